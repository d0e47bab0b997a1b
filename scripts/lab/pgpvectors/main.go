// Command pgpvectors writes the signature cases for the tests of package pgp, one file for
// each: a txtar archive whose comment says the expected result and the reason. It makes
// packets by hand, because most of the cases are packets that no other program makes. Its
// output is the same in every run.
//
// usage: pgpvectors DIR
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pgpvectors DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "pgpvectors:", err)
		os.Exit(1)
	}
}

// write writes the vectors into dir and removes all others.
func write(dir string) error {
	names := []string{}
	for _, v := range vectors() {
		name := v.name + ".txt"
		if slices.Contains(names, name) {
			return fmt.Errorf("two vectors are called %s", v.name)
		}
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(dir, name), v.file(), 0o644); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// file returns the vector as a txtar archive.
func (v vector) file() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nexpect: %s\nnow: %d\n", v.comment, v.expect, nowTime)
	for _, p := range v.policy {
		fmt.Fprintf(&b, "policy: %s\n", p)
	}
	section(&b, "keys", v.keys)
	if v.message != nil {
		section(&b, "message", v.message)
		section(&b, "text", v.text)
	} else {
		section(&b, "signature", v.sig)
		section(&b, "data", v.data)
	}
	return b.Bytes()
}

// section writes one file of the archive: unchanged if it is short text that the format can
// express, else in base64.
func section(b *bytes.Buffer, name string, data []byte) {
	text := utf8.Valid(data) && !bytes.ContainsAny(data, "\r\x00\x1b\v\f") && bytes.HasSuffix(data, []byte("\n")) && !bytes.Contains(data, []byte("-- ")) && !bytes.Contains(data, []byte(" \n")) && !bytes.HasPrefix(data, []byte("\xef\xbb\xbf"))
	if text || len(data) == 0 {
		fmt.Fprintf(b, "-- %s --\n%s", name, data)
		return
	}
	fmt.Fprintf(b, "-- %s.base64 --\n", name)
	code := base64.StdEncoding.EncodeToString(data)
	for len(code) > 76 {
		fmt.Fprintln(b, code[:76])
		code = code[76:]
	}
	fmt.Fprintln(b, code)
}
