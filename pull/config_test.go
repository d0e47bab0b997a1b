package pull

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
)

// into returns a Listener that writes each text to b, as a line.
func into(b *strings.Builder) source.Listener {
	line := func(text string) { b.WriteString(text + "\n") }
	return source.Listener{Say: line, Tell: line, Note: line,
		Warn: func(_, text string) { line(text) }, Image: func(image.Image, string, bool) {}, Begin: func(string, int64, int64) io.WriteCloser { return nothing{} }}
}

// A nothing ignores progress.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// thisArch is the image servers' name for this machine.
func thisArch() string {
	var u unix.Utsname
	unix.Uname(&u)
	return cross.Host(runtime.GOARCH, unix.ByteSliceToString(u.Machine[:]))
}

// An image for another kind of machine gets a warning, unless the kernel has an interpreter
// for its programs.
func TestWarnForeignMachine(t *testing.T) {
	foreign := "riscv64"
	if runtime.GOARCH == foreign {
		foreign = "s390x"
	}
	for arch, want := range map[string]bool{"": false, "unheard": false, foreign: !interpreted(foreign), thisArch(): false} {
		var out strings.Builder
		r := &run{opt: Options{Tell: into(&out)}}
		r.warnOfImage(lxc.ImageConfig{}, arch)
		if got := strings.Contains(out.String(), `can't run`); got != want {
			t.Errorf("%q: %q", arch, out.String())
		}
	}
}

// Where other users may write, the config in a container's directory may be any kind of file:
// only a regular file is read, and the open of a pipe does not block.
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

// In every namespace there are warnings of lines beyond the allow list and of missing
// protections, and only so many of them.
func TestWarnOfImage(t *testing.T) {
	for _, namespace := range []lxc.Namespace{lxc.HostNamespace, lxc.RootNamespace, lxc.UserNamespace} {
		var out strings.Builder
		target := Target{Container: lxc.Container{Name: "x", Path: "/x", Rootfs: "/x/rootfs"}, Namespace: namespace}
		if err := Check(target, into(&out)); err != nil {
			t.Fatal(err)
		}
		r := &run{target: target, opt: Options{AllowHost: true, Tell: into(&out)}}
		_, err := r.inspect(&source.Found{Meta: lxc.Meta{"config": []byte(strings.Repeat("lxc.cap.drop =\r\n", 2*maxWarnings))}})
		text := out.String()
		if got := strings.Count(text, `--allow-host-config lets the image's config have "lxc.cap.drop ="`); err != nil || got != maxWarnings || !strings.Contains(text, "8 more lines") || !strings.Contains(text, "nothing filters system calls") {
			t.Errorf("namespace %v: %d warnings; %v\n%s", namespace, got, err, text)
		}
	}
}

// Includes are followed as LXC follows them (confile.c), and not for ever.
func TestIncludes(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"common.conf": "", "good.conf": "lxc.include = " + at("common.conf") + "\n", "bad.conf": "lxc.include = " + at("missing.conf") + "\n",
		"loop.conf": "lxc.include = " + at("loop.conf") + "\n", "some/a.conf": "", "some/not-read": "lxc.include = /missing\n",
		"worse/b.conf": "lxc.include = " + at("missing.conf") + "\n",
	} {
		writeFile(t, at(name), []byte(text))
	}
	if err := unix.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"common.conf": true, "good.conf": true, "bad.conf": false, "loop.conf": false, "missing.conf": false, "pipe": false,
		"some": true, "worse": false, "missing": false, "missing/": true,
	} {
		var walk includeWalk
		path := dir + "/" + name
		if err := walk.check(path, 0); (err == nil) != ok || walk.common != (name == "common.conf" || name == "good.conf") {
			t.Errorf("%s: %v, common.conf %v", name, err, walk.common)
		}
		// The same in a config: an error with its Kind, a warning without LXC, and a
		// warning if lxc-create has read the config already.
		for _, target := range []Target{{}, {WithoutLXC: true}, {Caller: new(Caller)}} {
			var out strings.Builder
			target.BaseConfig = []byte("lxc.include = " + path + "\n")
			err := Check(target, into(&out))
			strict := !target.WithoutLXC && target.Caller == nil
			if (KindOf(err) == MissingInclude) != (strict && !ok) || err != nil && KindOf(err) == 0 || (out.Len() > 0) != (!strict && !ok) {
				t.Errorf("%s, %+v: %v; %s", name, target, err, &out)
			}
		}
	}
}

// Layers are counted if there are several.
func TestNth(t *testing.T) {
	found := &source.Found{Layers: make([]source.Layer, 5)}
	if got := nth(found, 1); got != ", layer 2/5" {
		t.Errorf("%q", got)
	}
	found.Layers = found.Layers[:1]
	if got := nth(found, 0); got != "" {
		t.Errorf("%q", got)
	}
}
