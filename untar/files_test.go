package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestReadFiles(t *testing.T) {
	archive := build(t, "text", tar.Header{Name: "./config"}, tar.Header{Name: "dir/", Typeflag: tar.TypeDir}, tar.Header{Name: "dir/f"})
	files, err := ReadFiles(bytes.NewReader(archive), 4, 8)
	if err != nil || len(files) != 3 || files[0].Name != "config" || string(files[0].Data) != "text" || files[1].Type != TypeDir || files[2].Name != "dir/f" {
		t.Errorf("files are %+v (%v)", files, err)
	}
	for _, limit := range [][2]int64{{3, 100}, {100, 7}} {
		if _, err := ReadFiles(bytes.NewReader(archive), limit[0], limit[1]); !errors.Is(err, errFileSize) {
			t.Errorf("limits %v: error is %v", limit, err)
		}
	}
	if _, err := ReadFiles(bytes.NewReader(build(t, "x", tar.Header{Name: "../x"})), 10, 10); !errors.Is(err, errParentName) {
		t.Errorf("error is %v", err)
	}
	// A directory of an incremental archive has a body, here of 1 TiB.
	endless := &tar.Header{Name: "d", Typeflag: typeDumpDir, Format: tar.FormatGNU}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(endless); err != nil {
		t.Fatal(err)
	}
	head := b.Bytes()
	copy(head[124:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00")
	head = fixChecksums(head)
	if _, err := ReadFiles(io.MultiReader(bytes.NewReader(head), zeros{}), 10, 10); !errors.Is(err, errFileSize) {
		t.Errorf("an endless body: %v", err)
	}
}
