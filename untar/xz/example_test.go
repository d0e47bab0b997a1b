package xz_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"lxc-pull/untar/xz"
)

// hello is a file that "echo hello, world | xz" made, in base64.
const hello = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAMaGVsbG8sIHdvcmxkCgAAAAB7RlqByRK46gABJQ1xGcS2H7bzfQEAAAAABFla"

func ExampleNewReader() {
	file := base64.NewDecoder(base64.StdEncoding, strings.NewReader(hello))
	r, err := xz.NewReader(file, xz.Options{Memory: 64 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(os.Stdout, r); err != nil {
		log.Fatal(err)
	}
	// Output: hello, world
}

// The error for a file that is cut short is a FormatError and io.ErrUnexpectedEOF.
func ExampleFormatError() {
	file := base64.NewDecoder(base64.StdEncoding, strings.NewReader(hello[:40]))
	r, err := xz.NewReader(file, xz.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	fmt.Println(err)
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// xz: at byte 30: the data ends too early
	// true
}
