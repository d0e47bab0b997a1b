package cli

import (
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
)

// packedTexts has the long texts of the program, which few runs need: the files in the
// directory "text". Uncompressed they would need 18 kB more. "go test ./cli -run Text -update"
// writes the file anew, after a change of a text.
//
// It is a gzip file. The content has for each text, in the order of their names, a zero byte,
// the name, a newline and the text.
//
//go:embed text.gz
var packedTexts string

// maxTexts is the largest size of the content: more than twice that of 2026, so that damaged data
// can't need much memory.
const maxTexts = 64 << 10

// textOf returns the text with that name in packed, which has the form of packedTexts.
func textOf(packed, name string) (string, error) {
	var content []byte
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err == nil {
		content, err = io.ReadAll(io.LimitReader(z, maxTexts+1))
	}
	_, text, found := strings.Cut(string(content), "\x00"+name+"\n")
	if err == nil && (!found || len(content) > maxTexts) {
		err = errors.New("not the expected content")
	}
	if err != nil {
		return "", fmt.Errorf("text %q in this program: %w", name, err)
	}
	text, _, _ = strings.Cut(text, "\x00")
	return text, nil
}
