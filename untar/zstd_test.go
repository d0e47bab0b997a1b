package untar

import (
	"bytes"
	"slices"
	"testing"
)

// A file may begin with a skippable frame; files of pzstd do.
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
		at++ // the window field
	}
	wants := slices.Concat(data[:4], []byte{data[4] | 2}, data[5:at], []byte{0x39, 0x30}, data[at:])
	for _, all := range [][]byte{wants, append(bytes.Clone(data), wants...)} {
		if _, _, err := decompress(all, DecompressOptions{}); err == nil || err.Error() != "zstd: it needs the dictionary 12345, which is not supported" {
			t.Error(err)
		}
	}
}
