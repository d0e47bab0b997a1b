package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	ulikunitz "github.com/ulikunitz/xz/lzma"
)

// aloneFile packs content as a .lzma file.
func aloneFile(t testing.TB, content []byte, sized, marker bool) []byte {
	t.Helper()
	var out bytes.Buffer
	c := ulikunitz.WriterConfig{DictCap: 1 << 16, SizeInHeader: sized, Size: int64(len(content)), EOSMarker: marker}
	w, err := c.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if sized && len(content) == 0 {
		copy(out.Bytes()[5:], make([]byte, 8)) // the packer takes 0 for unknown
	}
	return out.Bytes()
}

func decodeAlone(data []byte, memory int64) ([]byte, error) {
	r, err := NewAloneReader(iotest.HalfReader(bytes.NewReader(data)), Options{Memory: memory})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestAloneGood(t *testing.T) {
	for _, content := range [][]byte{nil, short[:1], short, long[:400<<10]} {
		for _, c := range []struct {
			name          string
			sized, marker bool
		}{{"size", true, false}, {"marker", false, true}, {"size and marker", true, true}} {
			data := aloneFile(t, content, c.sized, c.marker)
			if !IsAlone(data) {
				t.Errorf("%d bytes with %s are not recognised", len(content), c.name)
			}
			got, err := decodeAlone(data, 0)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v; want %d", c.name, len(got), err, len(content))
			}
			for n := range data[:min(len(data), 500)] {
				if got, err := decodeAlone(data[:n], 0); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s, the first %d of %d bytes: %d bytes, %v", c.name, n, len(data), len(got), err)
				}
			}
		}
	}
}

func TestAloneBad(t *testing.T) {
	sized, marked := aloneFile(t, short, true, false), aloneFile(t, short, false, true)
	both := aloneFile(t, short, true, true)
	edit := func(data []byte, at int, to ...byte) []byte {
		data = bytes.Clone(data)
		copy(data[at:], to)
		return data
	}
	size := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for _, c := range []struct {
		name  string
		data  []byte
		cause string
	}{
		{"properties", edit(sized, 0, 225), "LZMA properties"},
		{"lc + lp above 4", edit(sized, 0, 4+9), "LZMA properties"},
		{"size above 256 GiB", edit(sized, 5, size(1<<38+1)...), "impossible content size"},
		{"first byte of the data", edit(sized, 13, 1), "begin with 0"},
		{"size less", edit(sized, 5, size(299)...), ""},
		{"size less, with marker", edit(both, 5, size(299)...), "more content than the size"},
		{"size more", edit(sized, 5, size(301)...), "too early"},
		{"marker before the size", edit(both, 5, size(301)...), "marker before the size"},
		{"garbage after the size", append(bytes.Clone(sized), 1), "garbage"},
		{"garbage after the marker", append(bytes.Clone(marked), 0), "garbage"},
		{"two files", append(bytes.Clone(marked), marked...), "garbage"},
	} {
		got, err := decodeAlone(c.data, 0)
		var format *FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: %d bytes, %v; want a format error with %q", c.name, len(got), err, c.cause)
		}
	}
	var memory *MemoryError
	data := aloneFile(t, long[:100<<10], false, true)
	if got, err := decodeAlone(data, 64<<10); err != nil || len(got) != 100<<10 {
		t.Errorf("dictionary as allowed: %v", err)
	}
	if _, err := decodeAlone(data, 32<<10); !errors.As(err, &memory) || memory.Needed != 64<<10 {
		t.Errorf("dictionary above: %v", err)
	}
}

// IsAlone takes neither tar archives nor text for .lzma files.
func TestIsAlone(t *testing.T) {
	for _, head := range []string{
		"", "./\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"]\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "]/etc/passwd and so on", "]\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff",
		"]\x01\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", "]\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	} {
		if IsAlone([]byte(head)) {
			t.Errorf("%q is taken for a .lzma file", head)
		}
	}
	for _, head := range []string{"]\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", "]\x00\x00\xc0\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x00", "]\xff\xff\xff\xff\x0a\x00\x00\x00\x00\x00\x00\x00\x00"} {
		if !IsAlone([]byte(head)) {
			t.Errorf("%q is not taken for a .lzma file", head)
		}
	}
}
