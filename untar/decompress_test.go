package untar

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
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

// What may follow the end of a file, and what becomes of it, is for each format
// what its own tool says (scripts/lab/formats compares with them).
func TestDecompressAfterTheEnd(t *testing.T) {
	const (
		silent  = iota // as if it were not there
		ignored        // passed over; Garbage tells; an error if strict
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
			// The last read comes with the end, or before it.
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

// A file may be several; what is cut off the last of them is missed, though the
// library may take zeros for it.
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
	// The sum of an empty bzip2 file is four zeros.
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

// gzipMember is hello as a member whose header has these flags and fields.
func gzipMember(t *testing.T, flags byte, fields ...string) []byte {
	t.Helper()
	body := packed(t, []byte(hello))[FormatGzip]
	if body[3] != 0 {
		t.Fatal("the writer adds fields")
	}
	head := append([]byte{0x1f, 0x8b, 8, flags}, body[4:10]...)
	for _, f := range fields {
		head = append(head, f...)
	}
	if flags&2 != 0 {
		head = binary.LittleEndian.AppendUint16(head, uint16(crc32.ChecksumIEEE(head)))
	}
	return append(head, body[10:]...)
}

// No field of a gzip header has a limit (RFC 1952, section 2.3), in whichever
// member it is.
func TestGzipHeader(t *testing.T) {
	long := strings.Repeat("n", 1<<20) + "\x00"
	extra := "\xff\xff" + strings.Repeat("e", 1<<16-1)
	good := [][]byte{
		gzipMember(t, 1), // "text"
		gzipMember(t, 2),
		gzipMember(t, 4, "\x00\x00"),
		gzipMember(t, 4, extra),
		gzipMember(t, 8, "\x00"),
		gzipMember(t, 8, strings.Repeat("n", 511)+"\x00"),
		gzipMember(t, 8, strings.Repeat("n", 512)+"\x00"),
		gzipMember(t, 8, long),
		gzipMember(t, 16, long),
		gzipMember(t, 4|8|16|2, extra, long, long),
	}
	for i, data := range good {
		for _, all := range [][]byte{data, append(gzipMember(t, 0), data...)} {
			_, got, err := decompress(all, DecompressOptions{})
			if err != nil || len(got) == 0 || strings.ReplaceAll(string(got), hello, "") != "" {
				t.Errorf("header %d: %q, %v", i, got, err)
			}
		}
		if data[3]&2 != 0 {
			data = bytes.Clone(data)
			data[4] ^= 1 // the time
			if _, _, err := decompress(data, DecompressOptions{}); err == nil || !strings.Contains(err.Error(), "checksum of a header") {
				t.Errorf("header %d, changed: %v", i, err)
			}
		}
	}
	small := gzipMember(t, 4|8|16|2, "\x03\x00abc", "name\x00", "comment\x00")
	for n := 2; n < len(small); n++ {
		if _, got, err := decompress(small[:n], DecompressOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %q, %v", n, len(small), got, err)
		}
	}
	for i := range 8 { // the sum and the size
		bad := bytes.Clone(small)
		bad[len(bad)-1-i] ^= 1
		if _, _, err := decompress(bad, DecompressOptions{}); err == nil {
			t.Errorf("byte %d from the end changed: accepted", i+1)
		}
	}
	method := bytes.Clone(small)
	method[2] = 7
	if _, _, err := decompress(method, DecompressOptions{}); err == nil || !strings.Contains(err.Error(), "method 7") {
		t.Error(err)
	}
}

// A skippable frame may come first, and is how pzstd begins every file.
func TestZstdSkippableFirst(t *testing.T) {
	const skippable = "\x5f\x2a\x4d\x18\x00\x00\x00\x00"
	for after, want := range map[string]string{"": "", skippable: "", string(packed(t, []byte(hello))[FormatZstd]): hello} {
		format, got, err := decompress([]byte(skippable+after), DecompressOptions{})
		if err != nil || format != FormatZstd || string(got) != want {
			t.Errorf("%q as %q, %v", got, format, err)
		}
	}
}

func TestZstdDictionary(t *testing.T) {
	data := packed(t, []byte(hello))[FormatZstd]
	if data[4]&3 != 0 {
		t.Fatal("the writer names a dictionary")
	}
	at := 5
	if data[4]&(1<<5) == 0 {
		at++ // the window
	}
	wants := slices.Concat(data[:4], []byte{data[4] | 2}, data[5:at], []byte{0x39, 0x30}, data[at:])
	for _, all := range [][]byte{wants, append(bytes.Clone(data), wants...)} {
		if _, _, err := decompress(all, DecompressOptions{}); err == nil || err.Error() != "zstd: it needs the dictionary 12345, which is not supported" {
			t.Error(err)
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
		// As an archive it is refused by name; as an archive's first name it is one.
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

// A read of nothing is nothing, before, within and after the content.
func TestReadOfNothing(t *testing.T) {
	for format, data := range packed(t, []byte(hello)) {
		if format != FormatLZMA { // which has one stream
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
