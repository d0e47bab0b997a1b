package untar

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ulikunitz "github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"lxc-pull/untar/xz"
)

// packed is the content in each format but plain, and in bzip2 if it is hello.
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

// helloBzip2 is hello as bzip2 packs it, which the standard library can't.
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
		if format == FormatLZMA { // ends where it ends
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
		for n := 14; n < len(data); n++ { // with fewer bytes it may be anything
			if _, got, err := decompress(data[:n], DecompressOptions{}); err == nil {
				t.Errorf("%s: the first %d of %d bytes give %q", format, n, len(data), got)
			}
		}
	}
}

func TestDecompressGarbageAfter(t *testing.T) {
	for format, data := range packed(t, []byte(hello)) {
		if _, _, err := decompress(append(bytes.Clone(data), "garbage"...), DecompressOptions{}); err == nil {
			t.Errorf("%s: garbage after the end is accepted", format)
		}
	}
}

func TestDecompressPadding(t *testing.T) {
	all := packed(t, []byte(hello))
	for _, c := range []struct {
		format, padding, after string
		good                   bool
	}{
		{FormatGzip, "\x00", "", true},
		{FormatGzip, strings.Repeat("\x00", 100<<10), "", true},
		{FormatGzip, "\x00\x00", "x", false},
		{FormatXZ, "\x00\x00\x00\x00", "", true},
		{FormatXZ, "\x00", "", false},
		{FormatZstd, "\x50\x2a\x4d\x18\x03\x00\x00\x00abc", "", true}, // a skippable frame
	} {
		data := append(bytes.Clone(all[c.format]), c.padding+c.after...)
		_, got, err := decompress(data, DecompressOptions{})
		if c.good && (err != nil || string(got) != hello) || !c.good && err == nil {
			t.Errorf("%s, %d bytes of padding, %q: %q, %v", c.format, len(c.padding), c.after, got, err)
		}
	}
	skippable := append([]byte("\x5f\x2a\x4d\x18\x00\x00\x00\x00"), all[FormatZstd]...)
	if format, got, err := decompress(skippable, DecompressOptions{}); err != nil || format != FormatZstd || string(got) != hello {
		t.Errorf("skippable frame first: %q as %q, %v", got, format, err)
	}
}

func TestGzipReservedFlags(t *testing.T) {
	good := packed(t, []byte(hello))[FormatGzip]
	bad := bytes.Clone(good)
	bad[3] |= 0x20
	for _, data := range [][]byte{bad, append(bytes.Clone(good), bad...)} {
		if _, _, err := decompress(data, DecompressOptions{}); err == nil || !strings.Contains(err.Error(), "reserved flags 0x20") {
			t.Error(err)
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

// Every format with a window says how much it needs and what it may have.
func TestDecompressMemory(t *testing.T) {
	const limit = 1 << 20
	content := bytes.Repeat([]byte(hello), limit/4)
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z, zstd.WithWindowSize(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // written in parts: the frame can't tell its size
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
		{"zstd, second frame", append(bytes.Clone(small), z.Bytes()...), 0},
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

// Errors of the input and of the output keep their identity.
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
