package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A testFile is a file of an image.
type testFile struct{ name, text string }

// imageTree makes a server's tree with the unsigned image d/r/amd64 and returns the
// options by which it is found.
func imageTree(t *testing.T, meta, rootfs []testFile) []string {
	t.Helper()
	tree := t.TempDir()
	write := func(name string, data []byte) {
		name = filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, files := range map[string][]testFile{"meta": meta, "rootfs": rootfs} {
		var packed bytes.Buffer
		zw := gzip.NewWriter(&packed)
		tw := tar.NewWriter(zw)
		for _, f := range files {
			if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text))}); err != nil {
				t.Fatal(err)
			}
			io.WriteString(tw, f.text)
		}
		if err := errors.Join(tw.Close(), zw.Close()); err != nil {
			t.Fatal(err)
		}
		write("images/1/"+name+".tar.xz", packed.Bytes())
	}
	for _, mode := range []string{"system", "user"} {
		write("meta/1.0/index-"+mode, []byte("d;r;amd64;default;1;/images/1/\n"))
	}
	return []string{"--server=file://" + tree, "--no-validate", "--no-cache", "-d", "d", "-r", "r", "-a", "amd64"}
}

// manyEntries is an image of few bytes that unpacks to many files, in directories d0 to
// d39.
func manyEntries(t *testing.T) []string {
	var files []testFile
	for i := range 40_000 {
		files = append(files, testFile{fmt.Sprintf("d%d/%d", i/1000, i), ""})
	}
	return imageTree(t, []testFile{{"config", "lxc.arch = x86_64\n"}}, files)
}

// watched runs the program until it ends and calls look once the file made exists. It also
// reports whether the file never stayed absent.
func watched(t *testing.T, args []string, made string, look func(*os.Process), never string) (*os.ProcessState, string, bool) {
	t.Helper()
	needsKernel(t)
	cmd := exec.Command("lxc-pull", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	late := time.After(2 * time.Minute)
	for seen, absent := false, true; ; {
		select {
		case <-ended:
			if !seen {
				t.Errorf("no %s: %s", made, said.String())
			}
			return cmd.ProcessState, said.String(), absent
		case <-late:
			cmd.Process.Kill()
			t.Error("it does not end")
			late = nil
		case <-time.After(time.Millisecond):
		}
		if _, err := os.Lstat(made); err == nil && !seen {
			seen = true
			look(cmd.Process)
		}
		if _, err := os.Lstat(never); err == nil {
			absent = false
		}
	}
}

func modeOfFile(t *testing.T, name string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Error(err)
		return 0
	}
	return info.Mode().Perm()
}

// A signal ends unpacking at once, even if all bytes of the image were read long before.
// Meanwhile the directory is closed to other users. Only in a merge DIR keeps
// its mode.
func TestSignalWhileUnpacking(t *testing.T) {
	image := manyEntries(t)
	for _, merges := range []bool{false, true} {
		dir := t.TempDir()
		rootfs := filepath.Join(dir, "rootfs")
		if err := os.Mkdir(rootfs, 0o755); err != nil {
			t.Fatal(err)
		}
		args, want := append([]string{"rootfs", rootfs}, image...), os.FileMode(0o700)
		if merges {
			args, want = append([]string{"--name=c", "--path=" + dir, "--rootfs=" + rootfs}, image...), 0o755
			if err := os.WriteFile(filepath.Join(rootfs, "mine"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var sent time.Time
		state, words, early := watched(t, args, rootfs+"/d1", func(p *os.Process) {
			if mode := modeOfFile(t, rootfs); mode != want {
				t.Errorf("merge %v: mode %o while it is unpacked", merges, mode)
			}
			sent = time.Now()
			if err := p.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}, rootfs+"/d39")
		if state.ExitCode() != exitSignal+int(syscall.SIGTERM) || !strings.Contains(words, "interrupted") {
			t.Errorf("merge %v: %v, %s", merges, state, words)
		}
		if d := time.Since(sent); !early || d > endsWithin {
			t.Errorf("merge %v: it went on to the image's end, %v", merges, d)
		}
		if mode := modeOfFile(t, rootfs); mode != 0o755 {
			t.Errorf("merge %v: mode %o is left", merges, mode)
		}
		if left, _ := os.ReadDir(rootfs); !merges && len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		if _, err := os.Lstat(rootfs + "/mine"); merges && err != nil {
			t.Error(err)
		}
	}
}

// The directory stays closed until the image's files have been adapted to the container: a
// user who could open a file before could read or fill it while it is edited.
func TestClosedWhileEdited(t *testing.T) {
	const files = 4095 // one fewer than an image may have
	var rootfs []testFile
	names := ""
	for i := range files {
		rootfs = append(rootfs, testFile{fmt.Sprintf("t/%d", i), "LXC_NAME\n"})
		names += fmt.Sprintf("/t/%d\n", i)
	}
	rootfs = append(rootfs, testFile{"dev/x", ""})
	image := imageTree(t, []testFile{{"config", "lxc.arch = x86_64\n"}, {"templates", names}}, rootfs)
	dir := filepath.Join(t.TempDir(), "rootfs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// dev/pts is made before the first file is edited.
	state, words, _ := watched(t, append([]string{"rootfs", dir}, image...), dir+"/dev/pts", func(*os.Process) {
		mode := modeOfFile(t, dir)
		if last, err := os.ReadFile(fmt.Sprintf("%s/t/%d", dir, files-1)); err != nil || strings.HasPrefix(string(last), "LXC_NAME") {
			if mode != 0o700 {
				t.Errorf("mode %o while files are edited", mode)
			}
		} else {
			t.Log("it was too quick to be seen")
		}
	}, "")
	if last, err := os.ReadFile(fmt.Sprintf("%s/t/%d", dir, files-1)); !state.Success() || err != nil || strings.HasPrefix(string(last), "LXC_NAME") {
		t.Errorf("%v, %s; %q, %v", state, words, last, err)
	}
	if mode := modeOfFile(t, dir); mode != 0o755 {
		t.Errorf("mode %o is left", mode)
	}
}

// TestNobodyReads checks that a run whose output nobody reads goes on to its end: SIGPIPE
// must not leave half a container.
func TestNobodyReads(t *testing.T) {
	needsKernel(t)
	image := imageTree(t, []testFile{{"config", "lxc.arch = x86_64\n"}}, []testFile{{"f", ""}})
	dir := t.TempDir()
	for _, args := range [][]string{
		{"rootfs", dir + "/rootfs"},
		{"create", "c", "-P", dir + "/lxc", "--template-config", dir},
	} {
		cmd := exec.Command("lxc-pull", append(args, image...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "PATH=")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Run(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		w.Close()
	}
	for _, name := range []string{"/rootfs/f", "/lxc/c/config", "/lxc/c/rootfs/f"} {
		if _, err := os.Stat(dir + name); err != nil {
			t.Error(err)
		}
	}
}
