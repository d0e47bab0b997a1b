package untar

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ulikunitz "github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"lxc-pull/untar/xz"
)

// packed returns content in each compressed format, but in bzip2 only if content is hello.
func packed(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	pack := func(w io.WriteCloser, err error) {
		t.Helper()
		if err == nil {
			_, err = w.Write(content)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var x, l, g, z bytes.Buffer
	xw, err := ulikunitz.NewWriter(&x)
	pack(xw, err)
	lw, err := lzma.NewWriter(&l)
	pack(lw, err)
	pack(gzip.NewWriter(&g), nil)
	zw, err := zstd.NewWriter(&z)
	pack(zw, err)
	all := map[string][]byte{FormatXZ: x.Bytes(), FormatLZMA: l.Bytes(), FormatGzip: g.Bytes(), FormatZstd: z.Bytes()}
	if string(content) == hello {
		if all[FormatBzip2], err = hex.DecodeString(helloBzip2); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

const hello = "hello world\n"

// helloBzip2 is hello compressed with bzip2. The standard library can't compress bzip2.
const helloBzip2 = "425a683931415926535" +
	"94eece83600000251800010400006449080200031064c4101a7a9a580bb9431f8bb9229c28482776741b0"

func decompress(data []byte, opt DecompressOptions) (string, []byte, error) {
	d, err := Decompress(iotest.HalfReader(bytes.NewReader(data)), opt)
	if err != nil {
		return "", nil, err
	}
	defer d.Close()
	got, err := io.ReadAll(d)
	return d.Format, got, err
}

func TestDecompress(t *testing.T) {
	all := packed(t, []byte(hello))
	all[FormatPlain] = []byte(hello)
	for format, data := range all {
		name, got, err := decompress(data, DecompressOptions{})
		if err != nil || name != format || string(got) != hello {
			t.Errorf("%s: %q as %q, %v", format, got, name, err)
		}
		d, err := Decompress(bytes.NewReader(data), DecompressOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if n, err := d.WriteTo(&out); err != nil || n != int64(len(hello)) || out.String() != hello {
			t.Errorf("%s: WriteTo gives %q, %v", format, out.String(), err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: Close: %v", format, err)
		}
	}
}

func TestDecompressConcatenated(t *testing.T) {
	for format, data := range packed(t, []byte(hello)) {
		_, got, err := decompress(append(bytes.Clone(data), data...), DecompressOptions{})
		if format == FormatLZMA { // the format has one stream only
			if err == nil {
				t.Error("two lzma files in a row are accepted")
			}
			continue
		}
		if err != nil || string(got) != hello+hello {
			t.Errorf("%s: %q, %v", format, got, err)
		}
	}
}

func TestDecompressCut(t *testing.T) {
	for format, data := range packed(t, []byte(hello)) {
		for n := 14; n < len(data); n++ { // with fewer bytes the format is not recognized
			if _, got, err := decompress(data[:n], DecompressOptions{}); err == nil {
				t.Errorf("%s: the first %d of %d bytes give %q", format, n, len(data), got)
			}
		}
	}
}

// Bytes after the end of a file are treated as by the format's own tool (scripts/lab/formats
// compares with the tools).
func TestDecompressAfterTheEnd(t *testing.T) {
	const (
		silent  = iota // no effect
		ignored        // ignored, but Garbage returns true; an error if strict
		refused
	)
	all := packed(t, []byte(hello))
	zeros := strings.Repeat("\x00", 100<<10)
	for _, c := range []struct {
		format, after string
		want          int
	}{
		{FormatGzip, "\x00", silent},
		{FormatGzip, zeros, silent},
		{FormatGzip, "garbage", ignored},
		{FormatGzip, "x", ignored},
		{FormatGzip, "\x1f", refused},
		{FormatGzip, "\x00\x00x", ignored},
		{FormatGzip, zeros + "x", ignored},
		{FormatGzip, "\x00" + string(all[FormatGzip]), ignored},
		{FormatGzip, "\x1f\x8b", refused},
		{FormatGzip, "\x1f\x8bgarbage and more of it", refused},
		{FormatBzip2, "\x00", silent},
		{FormatBzip2, "\x00\x00", silent},
		{FormatBzip2, "\x00\x00\x00\x00", silent},
		{FormatBzip2, zeros, silent},
		{FormatBzip2, "x", ignored},
		{FormatBzip2, "garbage", ignored},
		{FormatBzip2, "\x00x", ignored},
		{FormatBzip2, zeros + "x", ignored},
		{FormatBzip2, "BZ0", ignored},
		{FormatBzip2, "BZhx", ignored},
		{FormatBzip2, "\x00" + string(all[FormatBzip2]), ignored},
		{FormatBzip2, "B", refused},
		{FormatBzip2, "BZ", refused},
		{FormatBzip2, "BZh", refused},
		{FormatBzip2, "BZh9", refused},
		{FormatBzip2, "BZh9garbage and more of it", refused},
		{FormatXZ, "\x00\x00\x00\x00", silent},
		{FormatXZ, zeros, silent},
		{FormatXZ, "\x00", refused},
		{FormatXZ, "\x00\x00\x00\x00x", refused},
		{FormatXZ, "garbage", refused},
		{FormatLZMA, "\x00", refused},
		{FormatLZMA, "garbage", refused},
		{FormatZstd, "\x50\x2a\x4d\x18\x03\x00\x00\x00abc", silent}, // a skippable frame
		{FormatZstd, "\x50\x2a\x4d\x18\x04\x00\x00\x00abc", refused},
		{FormatZstd, "\x50\x2a\x4d\x18\x04", refused},
		{FormatZstd, "\x28\xb5\x2f\xfd", refused},
		{FormatZstd, "\x00", refused},
		{FormatZstd, "\x00\x00\x00\x00", refused},
		{FormatZstd, "garbage", refused},
	} {
		data := append(bytes.Clone(all[c.format]), c.after...)
		name := fmt.Sprintf("%s and %.20q", c.format, c.after)
		for _, strict := range []bool{false, true} {
			// Some readers return the last bytes together with io.EOF, others before it.
			for _, in := range []io.Reader{iotest.HalfReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data)), iotest.OneByteReader(bytes.NewReader(data))} {
				counted := &countReader{r: in}
				d, err := Decompress(counted, DecompressOptions{Strict: strict})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				got, err := io.ReadAll(d)
				if string(got) != hello && c.want != refused {
					t.Errorf("%s: %q", name, got)
				}
				good := c.want == silent || c.want == ignored && !strict
				if (err == nil) != good || err == nil && d.Garbage() != (c.want == ignored) {
					t.Errorf("%s, strict %v: %v, garbage %v", name, strict, err, d.Garbage())
				}
				if err == nil && counted.n != len(data) {
					t.Errorf("%s: %d of %d bytes are read", name, counted.n, len(data))
				}
				if n, again := d.Read(make([]byte, 1)); n > 0 || again == nil {
					t.Errorf("%s: after the end it reads %d bytes, %v", name, n, again)
				}
				d.Close()
			}
		}
	}
}

type countReader struct {
	r io.Reader
	n int
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// A file may have several streams. If the last one is cut off, that is an error, although
// the library may accept zeros in the place of the missing bytes.
func TestDecompressCutLast(t *testing.T) {
	for format, data := range packed(t, []byte(hello)) {
		if format == FormatLZMA {
			continue
		}
		for n := 1; n < len(data); n++ {
			if _, got, err := decompress(append(bytes.Clone(data), data[:n]...), DecompressOptions{}); err == nil {
				t.Errorf("%s: one and the first %d of %d bytes of the next give %q", format, n, len(data), got)
			}
		}
	}
	// The checksum of an empty bzip2 file is four zero bytes.
	const empty = "BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"
	for n := range len(empty) + 1 {
		d, err := Decompress(strings.NewReader(empty[:n]), DecompressOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Format == FormatPlain {
			continue
		}
		if got, err := io.ReadAll(d); (err == nil) != (n == len(empty)) || len(got) > 0 {
			t.Errorf("%d bytes of an empty bzip2 file: %q, %v", n, got, err)
		}
	}
}

func TestUnsupported(t *testing.T) {
	for head, want := range map[string]string{
		"\x04\x22\x4d\x18\x64": "lz4", "\x1f\x9d\x90": "compress", "LZIP\x01": "lzip", "7z\xbc\xaf\x27\x1c": "7z",
		"Rar!\x1a\x07\x01\x00": "rar", "PK\x03\x04": "zip", "hsqs": "squashfs", "\x25\xb5\x2f\xfd": "zstd before",
		"\x28\xb5\x2f\xfd": "", "": "", "PK": "", "hello": "",
	} {
		got := Unsupported([]byte(head))
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q", head, got)
		}
		if want == "" {
			continue
		}
		// As an archive it is refused with the name of its format. But an archive whose first
		// name begins like this is accepted.
		err := new(Options).Walk(strings.NewReader(head), func(*Entry, io.Reader) error { return nil })
		var format *FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), got) {
			t.Errorf("%q as an archive: %v", head, err)
		}
		err = new(Options).Walk(strings.NewReader(head+strings.Repeat("x", 5000)), func(*Entry, io.Reader) error { return nil })
		if err == nil || !strings.Contains(err.Error(), got) {
			t.Errorf("%q as a long archive: %v", head, err)
		}
		if strings.Contains(head, "\x00") {
			continue
		}
		var names []string
		archive := build(t, "", tar.Header{Name: head + ".txt", Typeflag: tar.TypeReg, Format: tar.FormatGNU})
		err = new(Options).Walk(bytes.NewReader(archive), func(e *Entry, _ io.Reader) error { names = append(names, string(e.Name)); return nil })
		if err != nil || len(names) != 1 || names[0] != head+".txt" {
			t.Errorf("%q as a name: %q, %v", head, names, err)
		}
	}
}

func TestDecompressPlain(t *testing.T) {
	for _, data := range []string{"", "x", "BZ", "BZh0", "\x1f", "./\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\xfd7zX"} {
		if format, got, err := decompress([]byte(data), DecompressOptions{}); err != nil || format != FormatPlain || string(got) != data {
			t.Errorf("%q: %q as %q, %v", data, got, format, err)
		}
	}
}

// Each format with a window reports how much memory it needs and how much is allowed.
func TestDecompressMemory(t *testing.T) {
	const limit = 1 << 20
	content := bytes.Repeat([]byte(hello), limit/4)
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z, zstd.WithWindowSize(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // in two parts, so that the frame header has no content size
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var x bytes.Buffer
	xw, err := ulikunitz.WriterConfig{DictCap: 4 << 20}.NewWriter(&x)
	if err == nil {
		_, err = xw.Write(content)
	}
	if err == nil {
		err = xw.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	small := packed(t, []byte(hello))[FormatZstd]
	for _, c := range []struct {
		name   string
		data   []byte
		needed int64
	}{
		{"xz", x.Bytes(), 4 << 20},
		{"zstd", z.Bytes(), 4 << 20},
		{"zstd, second frame", append(bytes.Clone(small), z.Bytes()...), 4 << 20},
		{"zstd, after a skippable frame", append([]byte("\x50\x2a\x4d\x18\x01\x00\x00\x00x"), z.Bytes()...), 4 << 20},
	} {
		var memory *xz.MemoryError
		_, _, err := decompress(c.data, DecompressOptions{Memory: limit})
		if !errors.As(err, &memory) || *memory != (xz.MemoryError{Needed: c.needed, Allowed: limit}) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, _, err := decompress(c.data, DecompressOptions{Memory: 4 << 20}); err != nil {
			t.Errorf("%s, with what it needs: %v", c.name, err)
		}
	}
}

// Errors of the input and of the output are returned unchanged.
func TestDecompressErrorsOfOthers(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Decompress(iotest.ErrReader(broken), DecompressOptions{}); !errors.Is(err, broken) {
		t.Errorf("nothing to read: %v", err)
	}
	for format, data := range packed(t, []byte(hello)) {
		d, err := Decompress(io.MultiReader(bytes.NewReader(data[:len(data)-1]), iotest.ErrReader(broken)), DecompressOptions{})
		if err == nil {
			_, err = io.ReadAll(d)
			d.Close()
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s: input: %v", format, err)
		}
		d, err = Decompress(bytes.NewReader(data), DecompressOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.WriteTo(brokenWriter{broken}); err != broken {
			t.Errorf("%s: output: %v", format, err)
		}
		d.Close()
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

// A Read into an empty slice returns 0 bytes: before, within and after the content.
func TestReadOfNothing(t *testing.T) {
	for format, data := range packed(t, []byte(hello)) {
		if format != FormatLZMA { // the format has one stream only
			data = slices.Concat(data, data)
		}
		done := make(chan error, 1)
		go func() {
			done <- func() error {
				d, err := Decompress(bytes.NewReader(data), DecompressOptions{})
				if err != nil {
					return err
				}
				defer d.Close()
				for at := 0; ; at++ {
					if n, err := d.Read(nil); n != 0 || err != nil && err != io.EOF {
						return fmt.Errorf("after %d bytes: %d, %w", at, n, err)
					}
					if _, err := io.ReadFull(d, make([]byte, 1)); err != nil {
						if at < len(hello) {
							return err
						}
						return nil
					}
				}
			}()
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", format, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it does not end", format)
		}
	}
}

// There are no more workers than processors.
func TestWorkers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for _, c := range [][3]int{{1, 1, 1}, {1, 2, 1}, {2, 1, 1}, {2, 2, 2}, {2, 9, 2}, {2, 0, 0}} {
		runtime.GOMAXPROCS(c[0])
		if got := (DecompressOptions{Workers: c[1]}).workers(); got != c[2] {
			t.Errorf("%d processors, at most %d workers: %d", c[0], c[1], got)
		}
	}
}
