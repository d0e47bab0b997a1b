package main

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// A shape is what a made root file system has: files of one size, 100 in each directory.
type shape struct {
	files int
	size  int64 // bytes of each file
}

// write writes the tarball and returns its size. The same shape gives the same bytes.
func (s shape) write(w io.Writer) (int64, error) {
	counted := &counter{w: bufio.NewWriterSize(w, 1<<20)}
	t := tar.NewWriter(counted)
	content := newContent()
	when := time.Unix(1700000000, 0)
	for i := range s.files {
		if i%10000 == 0 {
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("d%d/", i/10000), Mode: 0o755, ModTime: when}); err != nil {
				return 0, err
			}
		}
		if i%100 == 0 {
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: directory(i), Mode: 0o755, ModTime: when}); err != nil {
				return 0, err
			}
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%sfile%d", directory(i), i), Mode: 0o644, Size: s.size, ModTime: when.Add(time.Duration(i) * time.Second)}
		if err := t.WriteHeader(h); err != nil {
			return 0, err
		}
		if _, err := io.CopyN(t, content, s.size); err != nil {
			return 0, err
		}
	}
	if err := t.Close(); err != nil {
		return 0, err
	}
	return counted.n, counted.w.Flush()
}

func directory(i int) string { return fmt.Sprintf("d%d/e%d/", i/10000, i/100) }

// A counter counts what goes through it.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

// A content is an endless stream that packs about as well as a root file system does, to a third:
// words from a table, and bytes at random.
type content struct {
	random *rand.ChaCha8
	words  [4096][]byte
	rest   []byte
	buffer []byte
}

func newContent() *content {
	c := &content{random: rand.NewChaCha8([32]byte{15})}
	for i := range c.words {
		c.words[i] = make([]byte, 4+c.random.Uint64()%24)
		c.random.Read(c.words[i])
	}
	return c
}

// Read fills p and never fails.
func (c *content) Read(p []byte) (int, error) {
	for done := 0; done < len(p); {
		if len(c.rest) == 0 {
			c.refill()
		}
		n := copy(p[done:], c.rest)
		c.rest, done = c.rest[n:], done+n
	}
	return len(p), nil
}

// refill makes about 64 KiB: a sixth of the pieces are random.
func (c *content) refill() {
	c.buffer = c.buffer[:0]
	for len(c.buffer) < 64<<10 {
		x := c.random.Uint64()
		if x%6 == 0 {
			for range 2 {
				c.buffer = fmt.Appendf(c.buffer, "%c%c%c%c", byte(x>>8)&127, byte(x>>16)&127, byte(x>>24)&127, byte(x>>32)&127)
			}
			continue
		}
		// The low numbers are frequent, as in real files.
		i := (x >> 8) % 4096 * ((x >> 32) % 4096) / 4096
		c.buffer = append(c.buffer, c.words[i]...)
	}
	c.rest = c.buffer
}
