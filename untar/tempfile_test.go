package untar

import (
	"io"
	"os"
	"testing"
)

func TestTempFile(t *testing.T) {
	dir := t.TempDir()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// On file systems that rename a removed file that is open, the file keeps its name.
	r.fsKind = "nfs"
	f, err := r.TempFile()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if empty, err := r.IsEmpty(); !empty || err != nil {
		t.Errorf("empty: %v (%v)", empty, err)
	}
	if _, err := f.File.WriteString("text"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(io.NewSectionReader(f.File, 0, 10)); string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("there is %v (%v)", left, err)
	}
	r.fsKind = "ext4"
	second, err := r.TempFile()
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("a kill would leave %v (%v)", left, err)
	}
	if _, err := second.File.WriteString("text"); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(io.NewSectionReader(second.File, 0, 10)); string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Finish(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("there is %v (%v)", left, err)
	}
}
