package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOutputFollowsNoLink: whoever owns the folder of an output can't make the
// command write elsewhere, whichever of the file's names he takes first.
func TestOutputFollowsNoLink(t *testing.T) {
	s := &fetchServer{data: []byte("from the server"), etag: `"1"`}
	server := httptest.NewServer(s)
	defer server.Close()
	download := func(name string) error {
		_, _, err := fetchTest(t, "-q", "-o", name, server.URL+"/x")
		return err
	}
	report := func(name string) error { return writeOutput(name, []byte("report")) }
	symbolic := func(victim, name string) error { return os.Symlink(victim, name) }
	pipe := func(_, name string) error { return unix.Mkfifo(name, 0o600) }
	for _, test := range []struct {
		name   string
		write  func(name string) error
		suffix string
		put    func(victim, name string) error
		says   string // "": it is written
	}{
		{"a link", download, "", symbolic, ""},
		{"another name", download, "", os.Link, ""},
		{"a link as the part", download, ".part", symbolic, "symbolic link"},
		{"another name as the part", download, ".part", os.Link, "other names"},
		{"a pipe as the part", download, ".part", pipe, "not a regular file"},
		{"a link as the source's record", download, ".part.from", symbolic, ""},
		{"another name as the source's record", download, ".part.from", os.Link, ""},
		{"a pipe as the source's record", download, ".part.from", pipe, ""},
		{"a link as the report", report, "", symbolic, "symbolic link"},
		{"another name as the report", report, "", os.Link, "other names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			victim, name := filepath.Join(dir, "victim"), filepath.Join(dir, "x")
			if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := test.put(victim, name+test.suffix); err != nil {
				t.Fatal(err)
			}
			err := test.write(name)
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %q", err, test.says)
			}
			if got, _ := os.ReadFile(victim); string(got) != "untouched" {
				t.Errorf("the other file holds %q", got)
			}
			if info, err := os.Lstat(name); test.says == "" && (err != nil || !info.Mode().IsRegular()) {
				t.Errorf("the output is no file: %v, %v", info, err)
			}
		})
	}
}

// TestOutputOfOthers: files and links of another user are not used.
func TestOutputOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of another user")
	}
	const nobody = 65534
	s := &fetchServer{data: []byte("0123456789"), etag: `"1"`}
	server := httptest.NewServer(s)
	defer server.Close()
	call := func(args ...string) error {
		_, _, err := fetchTest(t, append(args, server.URL+"/x")...)
		return err
	}
	dir := t.TempDir()
	mine := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(name, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "x")
	mine(out+".part", "abc")
	if err := call("-q", "-o", out); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("a part of another user's: %v", err)
	}
	if got, _ := os.ReadFile(out + ".part"); string(got) != "abc" {
		t.Errorf("the part of another user's holds %q", got)
	}
	// A link in the path to the folder; one of root's is followed.
	os.Mkdir(filepath.Join(dir, "real"), 0o755)
	link := filepath.Join(dir, "link")
	os.Symlink("real", link)
	if err := call("-q", "-o", filepath.Join(link, "y")); err != nil {
		t.Error(err)
	}
	os.Symlink(dir+"/./real/../link", filepath.Join(dir, "chain"))
	if err := call("-q", "-o", filepath.Join(dir, "chain", "z")); err != nil {
		t.Error(err)
	}
	os.Lchown(link, nobody, nobody)
	for _, through := range []string{"link", "chain"} {
		if err := call("-q", "-o", filepath.Join(dir, through, "v")); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%s: a link of another user's is followed: %v", through, err)
		}
	}
	// A link of another user's to a device: replaced, never written through.
	device := filepath.Join(dir, "device")
	os.Symlink("/dev/full", device)
	os.Lchown(device, nobody, nobody)
	if err := call("-q", "-o", device); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(device); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	os.Symlink("loop", filepath.Join(dir, "loop"))
	if err := call("-q", "-o", filepath.Join(dir, "loop", "x")); err == nil {
		t.Error("a circle of links leads somewhere")
	}
}

// TestPartOfOthers: whoever can open the part of a download can't hold it up, nor
// say what is in it; the file has a new file's mode at the end.
func TestPartOfOthers(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	defer unix.Umask(unix.Umask(0o022))
	for _, test := range []struct {
		name   string
		mode   os.FileMode // of a part that is there
		locked bool
		asked  string
		fails  string
	}{
		{"our own part", 0o600, false, "[bytes=70000-]", ""},
		{"another process of ours", 0o600, true, "[]", "is being written by another process"},
		{"others may read it", 0o644, false, "[bytes=70000-]", ""},
		{"others have locked it", 0o644, true, "[]", ""},
		{"others may write to it", 0o666, false, "[]", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			s := &fetchServer{data: data, etag: `"1"`, cuts: []int{70_000, -1}}
			server := httptest.NewServer(s)
			defer server.Close()
			if _, _, err := fetchTest(t, "-q", "-o", "x", server.URL+"/x"); err == nil {
				t.Fatal("the first call did not fail")
			}
			if info, err := os.Stat("x.part"); err != nil || info.Mode() != 0o600 {
				t.Fatalf("the part: %v, %v", info, err)
			}
			if err := os.Chmod("x.part", test.mode); err != nil {
				t.Fatal(err)
			}
			if test.locked {
				f, err := os.Open("x.part")
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
					t.Fatal(err)
				}
			}
			s.asked = nil
			_, _, err := fetchTest(t, "-q", "-o", "x", server.URL+"/x")
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("error %v, want %q", err, test.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(s.asked); got != test.asked {
				t.Errorf("asked for %s, want %s", got, test.asked)
			}
			if got, _ := os.ReadFile("x"); !bytes.Equal(got, data) {
				t.Errorf("%d bytes, not the file", len(got))
			}
			if info, err := os.Stat("x"); err != nil || info.Mode() != 0o644 || folder(t) != "x" {
				t.Errorf("the file: %v, %v; the folder holds %q", info.Mode(), err, folder(t))
			}
		})
	}
}
