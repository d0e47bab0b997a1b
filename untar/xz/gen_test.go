package xz

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The generated files are up to date: gen.go writes the same.
func TestGenerated(t *testing.T) {
	directory := t.TempDir()
	if out, err := exec.Command("go", "run", "gen.go", directory).CombinedOutput(); err != nil {
		t.Skipf("the generator can't be run here: %v\n%s", err, out)
	}
	for _, name := range []string{"decode_unsafe.go", "decode_checked.go"} {
		want, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what go generate makes", name)
		}
	}
}
