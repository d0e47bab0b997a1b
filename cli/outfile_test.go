package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/untar"
)

// writeReport writes a report as a command with --report does.
func writeReport(ctx context.Context, name, text string) error {
	r, err := openReport(ctx, name, "/") // the command fills another directory
	if err != nil {
		return err
	}
	defer r.close()
	return r.write(ctx, []byte(text))
}

// The owner of an output's directory can't make the command write to another file, whichever
// of the output's names the owner takes first.
func TestOutputFollowsNoLink(t *testing.T) {
	s := &fetchServer{data: []byte("from the server"), etag: `"1"`}
	server := httptest.NewServer(s)
	defer server.Close()
	download := func(name string) error {
		_, _, err := fetchTest(t, "-q", "-o", name, server.URL+"/x")
		return err
	}
	report := func(name string) error { return writeReport(t.Context(), name, "report") }
	symbolic := func(victim, name string) error { return os.Symlink(victim, name) }
	pipe := func(_, name string) error { return unix.Mkfifo(name, 0o600) }
	for _, test := range []struct {
		name   string
		write  func(name string) error
		suffix string
		put    func(victim, name string) error
		says   string // part of the error; "": the output is written
	}{
		{"a link", download, "", symbolic, ""},
		{"another name", download, "", os.Link, ""},
		{"a link as the part", download, ".part", symbolic, "symbolic link"},
		{"another name as the part", download, ".part", os.Link, "other names"},
		{"a pipe as the part", download, ".part", pipe, "not a regular file"},
		{"a link as the source's record", download, ".part.from", symbolic, ""},
		{"another name as the source's record", download, ".part.from", os.Link, ""},
		{"a pipe as the source's record", download, ".part.from", pipe, ""},
		{"a link as the report", report, "", func(victim, name string) error {
			return errors.Join(symbolic(victim, name), os.Chmod(filepath.Dir(name), 0o777))
		}, "symbolic link"},
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

// Files and links of another user are not used.
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
	// A link of root's in the path of the directory is followed.
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
	// A link of another user's to a device is replaced, and not followed.
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
		t.Error("a link to itself was followed to a file")
	}
}

// A link is followed if nobody but this user and root can have made it.
func TestReportThroughLinks(t *testing.T) {
	const other = 54321
	for _, test := range []struct {
		name  string
		mode  os.FileMode // of the directory
		owner int         // of the directory
		link  int         // owner of the link
		ok    bool
	}{
		{"mine", 0o755, 0, 0, true},
		{"in a sticky directory", 0o777 | os.ModeSticky, 0, 0, true},
		{"in a directory for all", 0o777, 0, 0, false},
		{"in another's directory", 0o755, other, 0, false},
		{"in another's sticky directory", 0o777 | os.ModeSticky, other, 0, false},
		{"another's", 0o755, 0, other, false},
		{"another's in a sticky directory", 0o777 | os.ModeSticky, 0, other, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if os.Geteuid() != 0 && test.owner+test.link > 0 {
				t.Skip("only root can make files of another user")
			}
			dir, in := t.TempDir(), ""
			in = filepath.Join(dir, "in")
			err := errors.Join(os.Mkdir(in, 0o755), os.Mkdir(dir+"/deep", 0o755),
				os.Symlink("../deep", in+"/directory"), os.Symlink("../deep/b", in+"/file"), os.Symlink("/dev/null", in+"/device"))
			if err != nil {
				t.Fatal(err)
			}
			if os.Geteuid() == 0 {
				err = errors.Join(os.Chown(in, test.owner, test.owner), os.Lchown(in+"/directory", test.link, test.link), os.Lchown(in+"/file", test.link, test.link), os.Lchown(in+"/device", test.link, test.link))
			}
			if err := errors.Join(err, os.Chmod(in, test.mode)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.WriteFile(in+"/notes", []byte("notes"), 0o600), writeReport(t.Context(), in+"/notes.json", "report")); err != nil {
				t.Error(err)
			}
			err = writeReport(t.Context(), in+"/notes", "report") // the directory's owner may have renamed it
			if text, _ := os.ReadFile(in + "/notes"); test.link == 0 && ((err == nil) != test.ok || (string(text) == "notes") == test.ok) {
				t.Errorf("a file that is there: %v, %q", err, text)
			}
			for name, at := range map[string]string{"directory/a": "deep/a", "file": "deep/b", "device": "/dev/null"} {
				err := writeReport(t.Context(), filepath.Join(in, name), "report")
				if (err == nil) != test.ok || err != nil && !strings.Contains(err.Error(), "symbolic link") {
					t.Errorf("%s: %v", name, err)
				}
				if text, err := os.ReadFile(filepath.Join(dir, at)); at[0] != '/' && ((string(text) == "report") != test.ok || (err == nil) != test.ok) {
					t.Errorf("%s: %q, %v", name, text, err)
				}
			}
		})
	}
}

// A report to a FIFO waits for a reader, and waits while the reader does not read, but ends
// with the context. If a regular file replaces the FIFO in the meantime, that is written.
func TestReportFIFO(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("a signal")
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if err := writeReport(ctx, name, "x"); !errors.Is(err, stop) {
		t.Errorf("without a reader: %v", err)
	}
	read := make(chan string)
	go func() {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
		}
		defer f.Close()
		text, _ := io.ReadAll(f)
		read <- string(text)
	}()
	if err := writeReport(t.Context(), name, "report"); err != nil {
		t.Error(err)
	}
	if got := <-read; got != "report" {
		t.Errorf("the reader has %q", got)
	}
	reader, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel = context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if err := writeReport(ctx, name, strings.Repeat("x", 1<<20)); !errors.Is(err, stop) {
		t.Errorf("a reader that does not read: %v", err)
	}
	reader.Close()
	// A file of this user replaces the FIFO, and its content is replaced.
	go func() {
		time.Sleep(2 * readerInterval)
		os.WriteFile(name+".file", []byte("what was here is longer"), 0o600)
		os.Rename(name+".file", name)
	}()
	if err := writeReport(t.Context(), name, "report"); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(name); string(text) != "report" {
		t.Errorf("the file holds %q", text)
	}
}

// If a report is not written, a new file is removed and an existing one is unchanged.
func TestReportUnused(t *testing.T) {
	t.Chdir(t.TempDir())
	os.WriteFile("old", []byte("old"), 0o644)
	for _, name := range []string{"new", "old"} {
		r, err := openReport(t.Context(), name, "/") // the command fills another directory
		if err != nil {
			t.Fatal(err)
		}
		r.close()
	}
	if text, _ := os.ReadFile("old"); directory(t) != "old" || string(text) != "old" {
		t.Errorf("the directory holds %q, the file %q", directory(t), text)
	}
	// A file that has taken the name in the meantime is not removed.
	r, err := openReport(t.Context(), "new", "/")
	if err != nil {
		t.Fatal(err)
	}
	os.Rename("old", "new")
	r.close()
	if text, _ := os.ReadFile("new"); string(text) != "old" {
		t.Errorf("it holds %q", text)
	}
}

// A report in the directory that the command fills is created only when it is written.
func TestReportInTheTree(t *testing.T) {
	t.Chdir(t.TempDir())
	root, err := untar.OpenRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r, err := openReport(t.Context(), "r.json", "/", ".")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if empty, err := root.IsEmpty(); !empty || err != nil {
		t.Errorf("it is in the way: %v, %v", empty, err)
	}
	if err := r.write(t.Context(), []byte("report")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile("r.json"); string(text) != "report" {
		t.Errorf("%q, %v", text, err)
	}
}

// A report that can't be written is an error before anything is extracted.
func TestReportFirst(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := exec.Command("tar", "cf", "a.tar", "--files-from=/dev/null").Run(); err != nil {
		t.Skip(err)
	}
	for _, report := range []string{"absent/r.json", "directory"} {
		os.Mkdir("directory", 0o755)
		_, _, err := perform(t, "untar", "-C", "out", "--report", report, "a.tar")
		if err == nil || directory(t) != "a.tar directory" {
			t.Errorf("%s: %v, %q is there", report, err, directory(t))
		}
	}
	for path, fd := range map[string]int{"/dev/stdout": 1, "/dev/stderr": 2, "/dev/fd/7": 7, "/proc/self/fd/12": 12, "/dev/fd/x": -1, "/dev/fd/-1": -1, "/dev/fd/7/x": -1, "/dev/null": -1} {
		if got := descriptorOf(path); got != fd {
			t.Errorf("%s names %d, want %d", path, got, fd)
		}
	}
}

// In a user namespace all users who are not mapped have one number. Their files and links
// are not used.
func TestOutputInNamespace(t *testing.T) {
	needsKernel(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of another user")
	}
	const user, other = 54321, 54322
	dir := t.TempDir()
	err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(dir+"/own", 0o755), os.WriteFile(dir+"/file", nil, 0o666), os.Chmod(dir+"/file", 0o666),
		os.Chown(dir, user, user), os.Chown(dir+"/own", user, user), os.Chown(dir+"/file", other, other),
		os.Symlink("own", dir+"/mine"), os.Symlink("own", dir+"/theirs"), os.Lchown(dir+"/mine", user, user), os.Lchown(dir+"/theirs", other, other))
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"own/r": true, "mine/r": true, "theirs/r": false, "file": false} {
		cmd := exec.Command("/proc/self/exe", "untar", "-C", dir+"/out", "--report", dir+"/"+name)
		cmd.Args[0] = "lxc-pull" // testscript.Main runs the program by this name
		cmd.Stdin = strings.NewReader(strings.Repeat("\x00", 10240))
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, Credential: &syscall.Credential{NoSetGroups: true},
			UidMappings: []syscall.SysProcIDMap{{HostID: user, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: user, Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Skipf("no user namespace: %v", err)
		}
		if (err == nil) != ok || err != nil && !strings.Contains(string(out), "another user (uid 65534)") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// Users who could open the part file, which an older version made, can't stop the download
// with a lock, nor choose its content. The complete file has the mode of a new file.
func TestPartOfOthers(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	defer unix.Umask(unix.Umask(0o022))
	for _, test := range []struct {
		name   string
		mode   os.FileMode // of the part at the second call
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
			if info, err := os.Stat("x"); err != nil || info.Mode() != 0o644 || directory(t) != "x" {
				t.Errorf("the file: %v, %v; the directory holds %q", info.Mode(), err, directory(t))
			}
		})
	}
}
