package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

const checkedIn = "../../../untar/testdata/tar"

// TestUpToDate compares the files in the repository with those that this program writes.
func TestUpToDate(t *testing.T) {
	want := map[string][]byte{"cases.txt": []byte(index())}
	for _, v := range vectors() {
		if want[v.name] != nil {
			t.Errorf("two vectors are called %s", v.name)
		}
		want[v.name] = append([]byte{}, v.data...)
	}
	for name, data := range want {
		got, err := os.ReadFile(filepath.Join(checkedIn, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, data) {
			t.Errorf("%s differs; run go run -C scripts ./lab/tarvectors ../untar/testdata/tar", name)
		}
	}
	files, err := os.ReadDir(checkedIn)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := want[f.Name()]; !ok {
			t.Errorf("%s is made by no vector", f.Name())
		}
	}
}
