package pull

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	ulikunitz "github.com/ulikunitz/xz"

	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// TestMemory checks that a Memory limits the whole program, not only the decoder, and that
// errors have the numbers of the whole program, also in their text.
func TestMemory(t *testing.T) {
	const dictionary = 8 << 20
	var packed bytes.Buffer
	w, err := ulikunitz.WriterConfig{DictCap: dictionary}.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, dictionary+1))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		memory Memory
		good   bool
	}{{0, true}, {24 << 20, true}, {16 << 20, false}, {ownMemory, false}, {11 << 20, false}, {1, false}} {
		d, err := untar.Decompress(bytes.NewReader(packed.Bytes()), c.memory.Decoding())
		if err == nil {
			_, err = io.Copy(io.Discard, d)
			d.Close()
		}
		var short *xz.MemoryError
		if c.good {
			if err != nil {
				t.Errorf("%d bytes: %v", c.memory, err)
			}
			continue
		}
		err = fmt.Errorf("wrapped: %w", err)
		allowed := fmt.Sprintf("%d are allowed", c.memory)
		if !errors.As(err, &short) || short.Allowed != int64(c.memory) || short.Needed < dictionary+ownMemory || short.Needed > dictionary+ownMemory+1<<20 || !strings.Contains(err.Error(), allowed) {
			t.Errorf("%d bytes: %v", c.memory, err)
		}
	}
	// A limit that the user did not set is the decoder's own.
	d, err := untar.Decompress(bytes.NewReader(packed.Bytes()), untar.DecompressOptions{Memory: 1 << 20})
	if err == nil {
		_, err = io.Copy(io.Discard, d)
		d.Close()
	}
	var short *xz.MemoryError
	if !errors.As(err, &short) || short.Allowed != 1<<20 || short.Needed >= ownMemory {
		t.Errorf("the decoder's own limit: %v", err)
	}
}
