package source

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// What decompresses to hundreds of GiB, of which one read of compressed bytes has a third, ends when
// the run does.
func TestBombEnds(t *testing.T) {
	head, err1 := base64.StdEncoding.DecodeString(bombHead)
	zeros, err2 := base64.StdEncoding.DecodeString(bombZeros)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte(string(head)+strings.Repeat(string(zeros), 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, work := range map[string]func(context.Context) error{
		"a file": func(ctx context.Context) error {
			finder, _ := localFinder(&File{Path: path})
			_, err := finder.Find(ctx, image.Query{})
			return err
		},
		"an archive of container images": func(ctx context.Context) error {
			nowhere := func() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_RDWR, 0) }
			_, err := openArchive(ctx, path, "", nowhere, untar.DecompressOptions{})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- work(ctx) }()
		time.Sleep(50 * time.Millisecond) // work is in the middle, or has ended with another error
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: it goes on", name)
		}
	}
}

// bombHead is the header of a file of 300 GiB in an archive, and bombZeros 1 GiB of zeros, each
// compressed by bzip2.
const (
	bombHead = "" +
		"QlpoOTFBWSZTWQVVpyYAACLfwNiAQADFgAAIAEBhAJ5AQAAEACAAVFANAGRp6g0p+SRsoPUDRODiLpmEi5ixCyBa3a8TgNTg" +
		"Gop3I4Q9Er0eG5AWZ8XckU4UJAFVacmA"
	bombZeros = "" +
		"QlpoOTFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZDgni3wFfjkAAwAAACCAAMIBNRkKgJakKgJcxQVkm" +
		"U1kOCeLfAV+OQADAAAAIIAAwgE1GQqAlqQqAlzFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZDgni3wFf" +
		"jkAAwAAACCAAMIBNRkKgJakKgJcxQVkmU1kOCeLfAV+OQADAAAAIIAAwgE1GQqAlqQqAlzFBWSZTWQ4J4t8BX45AAMAAAAgg" +
		"ADCATUZCoCWpCoCXMUFZJlNZDgni3wFfjkAAwAAACCAAMIBNRkKgJakKgJcxQVkmU1kOCeLfAV+OQADAAAAIIAAwgE1GQqAl" +
		"qQqAlzFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZDgni3wFfjkAAwAAACCAAMIBNRkKgJakKgJcxQVkm" +
		"U1kOCeLfAV+OQADAAAAIIAAwgE1GQqAlqQqAlzFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZDgni3wFf" +
		"jkAAwAAACCAAMIBNRkKgJakKgJcxQVkmU1kOCeLfAV+OQADAAAAIIAAwgE1GQqAlqQqAlzFBWSZTWQ4J4t8BX45AAMAAAAgg" +
		"ADCATUZCoCWpCoCXMUFZJlNZDgni3wFfjkAAwAAACCAAMIBNRkKgJakKgJcxQVkmU1kOCeLfAV+OQADAAAAIIAAwgE1GQqAl" +
		"qQqAlzFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZDgni3wFfjkAAwAAACCAAMIBNRkKgJakKgJcxQVkm" +
		"U1kOCeLfAV+OQADAAAAIIAAwgE1GQqAlqQqAlzFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZDgni3wFf" +
		"jkAAwAAACCAAMIBNRkKgJakKgJcxQVkmU1lIfF/JAIpSyADAAAAEAAggADDMBSmmkSJDYUSJDxdyRThQkPaI5AI="
)
