// Command fingerprints prints the fingerprints by which Incus and LXD know the images of lists:
//
//	fingerprints ARCH LIST.json... <NAMES
//
// For each line of the input, an alias, it prints the alias and the fingerprint, as the program's
// reader of lists finds them; "-" if no list has the alias. As LXD, it prefers squashfs.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"lxc-pull/image"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: fingerprints ARCH LIST.json... <NAMES")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "fingerprints:", err)
		os.Exit(1)
	}
}

func run(arch string, files []string) error {
	var lists []*image.Products
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		list, err := image.ParseProducts(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		lists = append(lists, list)
	}
	names := bufio.NewScanner(os.Stdin)
	for names.Scan() {
		found := "-"
		for _, list := range lists {
			if img, err := list.Find(image.StreamsQuery{Alias: names.Text(), Arch: []string{arch}}); err == nil {
				found = fingerprint(img)
			}
		}
		fmt.Println(names.Text(), found)
	}
	return names.Err()
}

// fingerprint returns the fingerprint of an image.
func fingerprint(img *image.StreamsImage) string {
	var digest image.Digest
	squashfs := false
	for i := range img.Files {
		squashfs = squashfs || img.Files[i].Type == "squashfs"
	}
	for i := range img.Files {
		switch f := &img.Files[i]; {
		case strings.HasSuffix(f.Type, "_combined.tar.gz"):
			digest = f.SHA256
		case f.Type == "lxd.tar.xz" && squashfs:
			digest = f.CombinedSquashfs
		case f.Type == "lxd.tar.xz" && f.CombinedRootXZ != "":
			digest = f.CombinedRootXZ
		case f.Type == "lxd.tar.xz":
			digest = f.Combined
		}
	}
	return strings.TrimPrefix(string(digest), "sha256:")
}
