package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The vectors in the repository must be those that this program writes.
func TestVectorsAreUpToDate(t *testing.T) {
	const dir = "../../../pgp/testdata/vectors"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := vectors()
	if len(entries) != len(list) {
		t.Errorf("%d files, %d vectors", len(entries), len(list))
	}
	for _, v := range list {
		data, err := os.ReadFile(filepath.Join(dir, v.name+".txt"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(data, v.file()) {
			t.Errorf("%s differs: go run -C scripts ./lab/pgpvectors ../pgp/testdata/vectors", v.name)
		}
	}
}
