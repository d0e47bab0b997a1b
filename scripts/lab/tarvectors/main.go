// Command tarvectors writes the project's own odd and hostile tar archives, each with
// one fault, and an index that describes each:
//
//	go run -C scripts ./lab/tarvectors ../untar/testdata/tar
//
// The index, cases.txt, has one paragraph for each archive: its name, a description, the
// outcome of strict and of lenient reading (accept or refuse) and, if it is accepted, the
// entries that must be in the tree and the paths that must not be:
//
//	link-self.tar
//	about hard link to itself, as old GNU tar writes: nothing to do
//	strict accept
//	lenient accept
//	has f file 0644 "data"
//	hasnot g
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A vector is one archive and the expected results.
type vector struct {
	name    string
	about   string
	strict  bool // accepted
	lenient bool
	has     []string // lines: path type mode content
	hasnot  []string
	data    []byte
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tarvectors DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "tarvectors:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, v := range vectors() {
		if err := os.WriteFile(filepath.Join(dir, v.name), v.data, 0644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "cases.txt"), []byte(index()), 0644)
}

// index returns the text of cases.txt.
func index() string {
	word := map[bool]string{true: "accept", false: "refuse"}
	var b strings.Builder
	b.WriteString("# Made by scripts/lab/tarvectors; see there for the form.\n")
	for _, v := range vectors() {
		fmt.Fprintf(&b, "\n%s\nabout %s\nstrict %s\nlenient %s\n", v.name, v.about, word[v.strict], word[v.lenient])
		for _, line := range v.has {
			fmt.Fprintf(&b, "has %s\n", line)
		}
		for _, line := range v.hasnot {
			fmt.Fprintf(&b, "hasnot %s\n", line)
		}
	}
	return b.String()
}
