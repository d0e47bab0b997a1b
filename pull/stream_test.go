package pull

import (
	"archive/tar"
	"bytes"
	"errors"
	"math/rand/v2"
	"os/exec"
	"testing"

	"lxc-pull/untar"
)

// Extract reads an image to its last byte in every format, whatever follows the end of the
// archive: stream.Check needs all bytes.
func TestUnpackReadsAllBytes(t *testing.T) {
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	if err := errors.Join(tw.WriteHeader(&tar.Header{Name: "./file", Mode: 0o644}), tw.Close()); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 256<<10) // more than the decoders' buffers hold
	rand.NewChaCha8([32]byte{}).Read(noise)
	archive.Write(noise)
	for _, command := range [][]string{{"cat"}, {"gzip"}, {"bzip2"}, {"xz"}, {"xz", "--format=lzma"}, {"zstd"}} {
		compress := exec.Command(command[0], command[1:]...)
		if compress.Err != nil {
			t.Log(compress.Err) // the format is not tested here
			continue
		}
		compress.Stdin = bytes.NewReader(archive.Bytes())
		compressed, err := compress.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, opt := range []untar.Options{{Strict: true}, {Strict: true, Layer: true}, {Strict: true, Merge: true}} {
			root, err := untar.OpenRoot(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			input := bytes.NewReader(compressed)
			decoder, err := untar.Decompress(input, Memory(0).Decoding())
			if err != nil {
				t.Fatal(err)
			}
			defer decoder.Close()
			if _, err := root.Extract(decoder, opt); err != nil || input.Len() > 0 {
				t.Errorf("%v: %v, %d bytes are not read", command, err, input.Len())
			}
		}
	}
}
