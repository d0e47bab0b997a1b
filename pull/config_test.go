package pull

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/pull/source"
)

// into is a Listener that writes what it hears into b, a line each.
func into(b *strings.Builder) source.Listener {
	line := func(text string) { b.WriteString(text + "\n") }
	return source.Listener{Say: line, Tell: line, Warn: line, Note: line, Begin: func(string, int64) io.WriteCloser { return nothing{} }}
}

// nothing shows no progress.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// An image for a machine that this one is not gets a warning, unless the kernel
// has an interpreter for it.
func TestWarnForeignMachine(t *testing.T) {
	foreign := "riscv64"
	if runtime.GOARCH == foreign {
		foreign = "s390x"
	}
	for arch, want := range map[string]bool{"": false, "unheard": false, foreign: !interpreted(foreign)} {
		var out strings.Builder
		r := &run{tell: into(&out)}
		r.warnOfImage(lxc.ImageConfig{}, arch)
		if got := strings.Contains(out.String(), `can't run`); got != want {
			t.Errorf("%q: %q", arch, out.String())
		}
	}
}

// The config in a container's directory may be anything where others may write:
// only a regular file is read, and nothing is waited for.
func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "config")
	if data, err := ReadConfig(dir); data != nil || err != nil {
		t.Errorf("none: %q, %v", data, err)
	}
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(dir); err == nil {
		t.Error("a FIFO is read")
	}
	os.Remove(name)
	if err := os.Symlink("/etc/passwd", name); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(dir); err == nil {
		t.Error("a link is followed")
	}
	os.Remove(name)
	for size, ok := range map[int]bool{maxConfig: true, maxConfig + 1: false} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConfig(dir); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// What an image's config has beyond the list, and what it leaves out, is told in
// every namespace, and not without bounds.
func TestWarnOfImage(t *testing.T) {
	for _, namespace := range []lxc.Namespace{lxc.HostNamespace, lxc.RootNamespace, lxc.UserNamespace} {
		var out strings.Builder
		target := Target{Container: lxc.Container{Name: "x", Path: "/x", Rootfs: "/x/rootfs"}, Namespace: namespace}
		if err := Check(target, into(&out)); err != nil {
			t.Fatal(err)
		}
		r := &run{target: target, opt: Options{AllowHost: true}, tell: into(&out)}
		_, err := r.inspect(&source.Found{Meta: lxc.Meta{"config": []byte(strings.Repeat("lxc.cap.drop =\r\n", 2*maxWarnings))}})
		text := out.String()
		if got := strings.Count(text, `--allow-host-config lets the image's config have "lxc.cap.drop ="`); err != nil || got != maxWarnings || !strings.Contains(text, "8 more lines") || !strings.Contains(text, "nothing filters system calls") {
			t.Errorf("namespace %v: %d warnings; %v\n%s", namespace, got, err, text)
		}
	}
}
