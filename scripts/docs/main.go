// Command docs makes the picture of the README, and gives the end-to-end tests the
// commands of the documents.
//
//	docs picture FILE.svg          run the program and draw its terminal
//	docs commands LABELS FILE...   print the commands of the blocks with one of the labels
//	docs program KEY FILE          build lxc-pull with KEY in place of the built-in key
//
// Run it with `go run -C scripts ./docs`, or in the repository's top directory. The tests
// of this package run and check the commands of the documents; scripts/README.md has the
// conventions.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const usage = `usage: docs picture FILE.svg
       docs commands LABEL[,LABEL]... FILE...
       docs program KEY FILE
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "docs: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
		fmt.Print(usage)
		return nil
	}
	top, err := repository()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 2 && args[0] == "picture":
		return draw(ctx, top, args[1])
	case len(args) >= 3 && args[0] == "commands":
		return printCommands(top, args[1], args[2:])
	case len(args) == 3 && args[0] == "program":
		return buildTrusting(ctx, top, args[1], args[2])
	}
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
	return nil
}

// repository returns the top directory of the repository, which is the working directory
// or one above it.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "pgp", "linuxcontainers.go")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("run this in the repository of lxc-pull")
		}
		dir = parent
	}
}

// printCommands prints the commands of all blocks with one of the labels: label, file and
// line, and the command, with tabs between them.
func printCommands(top, labels string, files []string) error {
	found := false
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(top, file))
		if err != nil {
			return err
		}
		for _, b := range parseMarkdown(file, string(text)).blocks {
			if b.label == "" || !slices.Contains(strings.Split(labels, ","), b.label) {
				continue
			}
			found = true
			commands, err := b.commands()
			if err != nil {
				return err
			}
			for _, c := range commands {
				fmt.Printf("%s\t%s:%d\t%s\n", b.label, c.file, c.line, c.text)
			}
		}
	}
	if !found {
		return fmt.Errorf("no block has a label of %q", labels)
	}
	return nil
}
