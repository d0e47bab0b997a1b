package xz

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	ulikunitzxz "github.com/ulikunitz/xz"
	ulikunitz "github.com/ulikunitz/xz/lzma"
)

// maxFuzz is how many bytes of a file's content the fuzz targets decode at most.
const maxFuzz = 1 << 20

func seedFiles(f *testing.F) {
	for _, check := range []checkType{checkNone, checkCRC32, checkCRC64, checkSHA256} {
		s := testStream{check: check, blocks: []testBlock{{content: short, sizes: true}, {content: short[:100], count: 1, filters: []byte{filterX86, 0}}}}
		f.Add(s.bytes(f))
		s.blocks[1].filters, s.blocks[1].count = nil, 0
		f.Add(s.bytes(f))
	}
}

// decodeLimited decodes up to maxFuzz bytes.
func decodeLimited(t *testing.T, r io.Reader) ([]byte, error) {
	got, err := io.ReadAll(io.LimitReader(r, maxFuzz+1))
	if len(got) > maxFuzz {
		t.Skip("too much content")
	}
	return got, err
}

// FuzzReader compares decoding with one worker and with three, and compares the content with
// that of ulikunitz/xz where it supports the filters.
func FuzzReader(f *testing.F) {
	seedFiles(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		want, wantErr := fuzzDecode(t, data, 1)
		got, err := fuzzDecode(t, data, 3)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("one worker: %d bytes, %v; three: %d bytes, %v", len(want), wantErr, len(got), err)
		}
		var format *FormatError
		var memory *MemoryError
		switch {
		case errors.As(wantErr, &format):
			if format.Offset < 0 || format.Offset > int64(len(data)) {
				t.Fatalf("offset %d of %d", format.Offset, len(data))
			}
		case wantErr != nil && !errors.As(wantErr, &memory):
			t.Fatalf("an error of another kind: %v", wantErr)
		}
		if wantErr != nil {
			return
		}
		r, err := ulikunitzxz.NewReader(bytes.NewReader(data))
		if err == nil {
			got, err = io.ReadAll(r)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, ulikunitz/xz has %d others", len(want), len(got))
		}
	})
}

func fuzzDecode(t *testing.T, data []byte, workers int) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(data), Options{Workers: workers, Memory: 16 << 20})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return decodeLimited(t, r)
}

// decodeLZMA2 decodes LZMA2 data without a container, with a dictionary of 4 KiB.
func decodeLZMA2(t *testing.T, data []byte) ([]byte, error) {
	src := newSource(bytes.NewReader(data))
	var w window
	defer w.free()
	if err := w.reserve(minDict + ringExtra); err != nil {
		t.Fatal(err)
	}
	w.dict = minDict
	var l lzma2
	l.begin(src, &w, maxFuzz)
	var out []byte
	for {
		more, err := l.next()
		if !more {
			return out, err
		}
		out = append(out, w.take()...)
	}
}

// FuzzLZMA2 fuzzes LZMA2 data, which no checksum protects. Whatever this package accepts,
// ulikunitz/xz must not decode to other content.
func FuzzLZMA2(f *testing.F) {
	f.Add(lzma2DataDict(f, text(3, 20<<10), 4<<10))
	f.Add(lzma2Data(f, short))
	f.Add(join(raw(1, short), raw(2, short), []byte{0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeLZMA2(t, data)
		if err != nil {
			return
		}
		r, err := ulikunitz.Reader2Config{DictCap: minDict}.NewReader2(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := io.ReadAll(r); err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, ulikunitz/xz has %d others", len(got), len(want))
		}
	})
}

// FuzzAlone is FuzzLZMA2 for .lzma files.
func FuzzAlone(f *testing.F) {
	f.Add(aloneFile(f, short, true, false))
	f.Add(aloneFile(f, short, false, true))
	f.Add(aloneFile(f, text(4, 20<<10), true, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewAloneReader(bytes.NewReader(data), Options{Memory: 16 << 20})
		if err != nil {
			return
		}
		defer r.Close()
		got, err := decodeLimited(t, r)
		if err != nil {
			return
		}
		other, err := ulikunitz.NewReader(bytes.NewReader(data))
		if err != nil {
			return // this package requires a dictionary of 4 KiB or more
		}
		if want, err := io.ReadAll(other); err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, ulikunitz/xz has %d others", len(got), len(want))
		}
	})
}

// xzTool decodes with xz(1).
func xzTool(data []byte, args ...string) ([]byte, error) {
	cmd := exec.Command("xz", append([]string{"-dc", "-qq", "-T1"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	return cmd.Output()
}

// FuzzAgainstXZ compares content and verdict with those of xz(1), for three forms of file:
// .xz, LZMA2 data without a container, and .lzma.
func FuzzAgainstXZ(f *testing.F) {
	if _, err := exec.LookPath("xz"); err != nil {
		f.Skip("no xz to compare with")
	}
	seedFiles(f)
	f.Add(lzma2DataDict(f, text(3, 5<<10), 4<<10))
	f.Add(lzma2Data(f, short))
	f.Add(aloneFile(f, short, true, false))
	f.Add(aloneFile(f, short, false, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := fuzzDecode(t, data, 2)
		want, wantErr := xzTool(data, "--format=xz")
		if err != nil && strings.Contains(err.Error(), "check type") {
			return // xz only warns
		}
		var memory *MemoryError
		if !errors.As(err, &memory) {
			compare(t, ".xz", got, err, want, wantErr)
		}
		got, err = decodeLZMA2(t, data)
		// Without a container xz stops where the data ends, and so does decodeLZMA2.
		if want, wantErr = xzTool(data, "--format=raw", "--lzma2=dict=4KiB"); wantErr == nil || err != nil {
			compare(t, "LZMA2", got, err, want, wantErr)
		}
		if !IsAlone(data) {
			return
		}
		if r, e := NewAloneReader(bytes.NewReader(data), Options{Memory: 16 << 20}); e != nil {
			got, err = nil, e
		} else {
			got, err = decodeLimited(t, r)
			r.Close()
		}
		if !errors.As(err, &memory) {
			want, wantErr = xzTool(data, "--format=lzma")
			compare(t, ".lzma", got, err, want, wantErr)
		}
	})
}

func compare(t *testing.T, form string, got []byte, err error, want []byte, wantErr error) {
	t.Helper()
	if len(want) > maxFuzz {
		return
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: %d bytes, %v; xz: %d bytes, %v", form, len(got), err, len(want), wantErr)
	}
	if err == nil && !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes, xz has %d others", form, len(got), len(want))
	}
}
