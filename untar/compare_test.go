package untar

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A generated is an entry of a generated archive.
type generated struct {
	tar.Header
	text string
}

// generate returns an archive with all kinds of entries that this user can extract: repeated
// names, hard links to links, implied directories and sparse files among them.
func generate(r *rand.Rand) []generated {
	list := []generated{{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}}}
	dirs, files := []string{""}, []string(nil)
	modes := []int64{0o644, 0o755, 0o600, 0o4755, 0o2755}
	for i := range 40 {
		name := dirs[r.IntN(len(dirs))] + fmt.Sprintf("%c%d", 'a'+rune(r.IntN(26)), i)
		g := generated{Header: tar.Header{Name: name, Mode: modes[r.IntN(len(modes))], Uid: os.Geteuid(), Gid: os.Getegid()}}
		switch r.IntN(8) {
		case 0:
			g.Typeflag, g.Mode = tar.TypeDir, 0o755
			dirs = append(dirs, name+"/")
		case 1:
			g.Typeflag, g.Linkname = tar.TypeSymlink, "/etc/passwd"
		case 2:
			g.Typeflag = tar.TypeFifo
		case 3:
			g.Name += "/implied/file"
			g.Typeflag, g.text = tar.TypeReg, "below"
		case 4:
			if len(files) > 0 {
				g.Typeflag, g.Linkname = tar.TypeLink, files[r.IntN(len(files))]
				files = append(files, name)
				break
			}
			fallthrough
		case 5:
			if len(files) > 0 && r.IntN(3) == 0 {
				g.Name = files[r.IntN(len(files))]
			}
			fallthrough
		default:
			g.Typeflag, g.text = tar.TypeReg, strings.Repeat("0123456789abcdef", r.IntN(20))
			files = append(files, g.Name)
		}
		list = append(list, g)
	}
	return list
}

func pack(t testing.TB, list []generated) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, g := range list {
		g.Size = int64(len(g.text))
		if err := w.WriteHeader(&g.Header); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, g.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// extracted extracts an archive into a new directory and returns its root.
func extracted(t testing.TB, archive []byte, opt Options) (*Root, string, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		root.Close()
		filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error { // so that it can be removed
			if d != nil && d.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
	})
	_, err = root.Extract(bytes.NewReader(archive), opt)
	return root, dir, err
}

// show returns differences as lines.
func show(c *Comparison) string {
	s := ""
	for _, d := range c.Differences {
		s += fmt.Sprintf("%s %d %s?%s", d.Path, d.Fate, aspects(d.Wrong), aspects(d.Unknown))
		if d.Dir {
			s += " dir"
		}
		if d.Edited {
			s += " edited"
		}
		s += "\n"
	}
	return s
}

func aspects(a Aspect) (s string) {
	for i := range AspectLetters {
		if a>>i&1 == 1 {
			s += AspectLetters[i : i+1]
		}
	}
	return s
}

// What Extract makes differs in nothing from the archive, and each change of a file is found.
func TestCompareExtracted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user gets other modes")
	}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		list := generate(r)
		archive := pack(t, list)
		root, dir, err := extracted(t, archive, Options{Strict: true})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		compare := func(opt CompareOptions) string {
			opt.Strict, opt.Metadata.Privilege = true, Owners
			c, err := root.Compare(t.Context(), bytes.NewReader(archive), &opt)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if c.Entries != int64(len(list)) {
				t.Errorf("seed %d: %d entries of %d", seed, c.Entries, len(list))
			}
			return show(c)
		}
		if got := compare(CompareOptions{}); !onlyUnsure(got) {
			t.Fatalf("seed %d: new and different:\n%s", seed, got)
		}
		name := list[1+r.IntN(len(list)-1)].Name
		path := filepath.Join(dir, name)
		clean := filepath.Clean(name)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		if st.Nlink > 1 && st.Mode&unix.S_IFMT == unix.S_IFREG {
			continue // TestCompareChanges has hard links
		}
		want := ""
		switch r.IntN(4) {
		case 0:
			os.RemoveAll(path)
			want = clean + " 1 "
		case 1:
			os.Lchown(path, int(st.Uid)+1, int(st.Gid))
			want = clean + " 0 "
		case 2:
			os.RemoveAll(path)
			os.Symlink("/", path)
			want = clean + " 0 "
		default:
			path += ".new"
			os.WriteFile(path, nil, 0o644)
			want = clean + ".new 2 "
		}
		if got := compare(CompareOptions{}); !strings.Contains("\n"+got, "\n"+want) {
			t.Errorf("seed %d: no %q in:\n%s", seed, want, got)
		}
		if got := compare(CompareOptions{Ignore: []string{"*"}}); got != "" {
			t.Errorf("seed %d: ignored and different:\n%s", seed, got)
		}
	}
}

// onlyUnsure reports whether nothing is known to differ: a hard link whose target a later entry
// of the archive replaced can't be compared, nor a file that this user can't read.
func onlyUnsure(lines string) bool {
	for line := range strings.Lines(lines) {
		if !strings.Contains(line, " 0 ?") {
			return false
		}
	}
	return true
}

// Each change is found as what it is.
func TestCompareChanges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	capability := string([]byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	list := []generated{
		{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}},
		{Header: tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}},
		{Header: tar.Header{Name: "etc/passwd", Mode: 0o644}, text: "root"},
		{Header: tar.Header{Name: "etc/hostname", Mode: 0o644}, text: "LXC_NAME"},
		{Header: tar.Header{Name: "etc/link", Typeflag: tar.TypeSymlink, Linkname: "passwd"}},
		{Header: tar.Header{Name: "bin/su", Mode: 0o4755}, text: "program"},
		{Header: tar.Header{Name: "bin/hard", Typeflag: tar.TypeLink, Linkname: "bin/su"}},
		{Header: tar.Header{Name: "bin/ping", Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}}, text: "ping"},
		{Header: tar.Header{Name: "dev/pipe", Typeflag: tar.TypeFifo, Mode: 0o600}},
		{Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}},
		{Header: tar.Header{Name: "dev/secret", Mode: 0o640}, text: "x"},
		{Header: tar.Header{Name: "skipped/file", Mode: 0o644}, text: "x"},
	}
	archive := pack(t, list)
	line := func(text, name string) string { return fmt.Sprintf("%x  %s", sha256.Sum256([]byte(text)), name) }
	for _, test := range []struct {
		name   string
		change func(dir string) error
		want   string
		opt    CompareOptions
	}{
		{name: "nothing", change: func(string) error { return nil }},
		{name: "content", change: func(d string) error { return os.WriteFile(d+"/etc/passwd", []byte("rooT"), 0) }, want: "etc/passwd 0 5?\n"},
		{name: "size", change: func(d string) error { return os.WriteFile(d+"/etc/passwd", []byte("root:"), 0) }, want: "etc/passwd 0 S5?\n"},
		{name: "huge", change: func(d string) error { return os.Truncate(d+"/etc/passwd", 1<<40) }, want: "etc/passwd 0 S5?\n"},
		{name: "mode", change: func(d string) error { return unix.Chmod(d+"/bin", 0o777) }, want: "bin 0 M?\n"},
		{name: "owner of a directory without an entry", change: func(d string) error { return os.Chown(d+"/bin", 7, 0) }, want: "bin 0 U?\n"},
		{name: "mode of an entry", change: func(d string) error { return unix.Chmod(d+"/etc", 0o700) }, want: "etc 0 M?\n"},
		{name: "set-user-ID", change: func(d string) error { return unix.Chmod(d+"/etc/passwd", 0o4644) }, want: "etc/passwd 0 M?\n"},
		{name: "root", change: func(d string) error { return unix.Chmod(d, 0o777) }, want: " 0 M?\n"},
		{name: "both owners", change: func(d string) error { return os.Chown(d+"/etc/passwd", 7, 8) }, want: "etc/passwd 0 UG?\n"},
		{name: "hard link", change: func(d string) error { return os.WriteFile(d+"/bin/su", []byte("Program"), 0) }, want: "bin/hard 0 5?\nbin/su 0 5?\n"},
		{name: "broken hard link", change: func(d string) error {
			return errors.Join(os.Remove(d+"/bin/hard"), os.WriteFile(d+"/bin/hard", []byte("program"), 0o755))
		}, want: "bin/hard 0 L?\n"},
		{name: "no hard link", change: func(d string) error { return os.Remove(d + "/bin/hard") }, want: "bin/hard 1 ?\n"},
		{name: "link", change: func(d string) error {
			return errors.Join(os.Remove(d+"/etc/link"), os.Symlink("/etc/shadow", d+"/etc/link"))
		}, want: "etc/link 0 L?\n"},
		{name: "link to itself in place of a directory", change: func(d string) error { return errors.Join(os.RemoveAll(d+"/bin"), os.Symlink("bin", d+"/bin")) }, want: "bin 0 M?\nbin/hard 1 ?\nbin/ping 1 ?\nbin/su 1 ?\n"},
		{name: "pipe", change: func(d string) error {
			return errors.Join(os.Remove(d+"/etc/passwd"), unix.Mkfifo(d+"/etc/passwd", 0o644))
		}, want: "etc/passwd 0 M?\n"},
		{name: "device", change: func(d string) error {
			return errors.Join(os.Remove(d+"/etc/passwd"), unix.Mknod(d+"/etc/passwd", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 1))))
		}, want: "etc/passwd 0 M?\n"},
		{name: "device number", change: func(d string) error {
			return errors.Join(os.Remove(d+"/dev/null"), unix.Mknod(d+"/dev/null", unix.S_IFCHR, int(unix.Mkdev(1, 1))), os.Chmod(d+"/dev/null", 0o666))
		}, want: "dev/null 0 D?\n"},
		{name: "no device", change: func(d string) error { return os.Remove(d + "/dev/null") }, want: "dev/null 1 ?\n"},
		{name: "no device, and none was made", change: func(d string) error { return os.Remove(d + "/dev/null") }, opt: CompareOptions{NoDevices: true}},
		{name: "capability lost", change: func(d string) error { return unix.Removexattr(d+"/bin/ping", attrCapability) }, want: "bin/ping 0 P?\n"},
		{name: "capability gained", change: func(d string) error { return unix.Setxattr(d+"/bin/su", attrCapability, []byte(capability), 0) }, want: "bin/hard 0 P?\nbin/su 0 P?\n"},
		{name: "added", change: func(d string) error {
			return errors.Join(os.MkdirAll(d+"/opt/below", 0o755), os.WriteFile(d+"/etc/new", nil, 0o644))
		}, want: "etc/new 2 ?\nopt 2 ? dir\n"},
		{name: "only changed", change: func(d string) error {
			return errors.Join(os.Mkdir(d+"/opt", 0o755), os.Remove(d+"/etc/link"), os.Chmod(d+"/etc", 0o700))
		}, want: "etc 0 M?\n", opt: CompareOptions{ChangedOnly: true}},
		{name: "ignored", change: func(d string) error {
			return errors.Join(os.MkdirAll(d+"/var/log/a", 0o755), os.Remove(d+"/etc/link"), os.Remove(d+"/bin/hard"))
		}, want: "var 2 ? dir\n", opt: CompareOptions{Ignore: []string{"etc", "bin/h*"}}},
		{name: "excluded", change: func(d string) error { return os.WriteFile(d+"/skipped/file", []byte("other"), 0) }, opt: CompareOptions{Options: Options{Filter: Filter{Exclude: []string{"./skipped"}}}}},
		{name: "edited", change: func(d string) error {
			return errors.Join(os.WriteFile(d+"/etc/hostname", []byte("web"), 0), os.Mkdir(d+"/dev/pts", 0o755), os.MkdirAll(d+"/root/.ssh", 0o700), os.WriteFile(d+"/root/.ssh/keys", nil, 0o600))
		}, want: "dev/pts 2 ? dir edited\netc/hostname 0 S5? edited\nroot/.ssh/keys 2 ? edited\n", opt: CompareOptions{Edited: []string{line("web", "etc/hostname"), "dev/pts", line("", "root/.ssh/keys"), "../up"}}},
		{name: "edited, and changed later", change: func(d string) error {
			return errors.Join(os.WriteFile(d+"/etc/hostname", []byte("Web"), 0), os.WriteFile(d+"/etc/passwd", []byte("evil"), 0), os.MkdirAll(d+"/root/.ssh", 0o700), os.Symlink("/etc/hostname", d+"/root/.ssh/keys"))
		}, want: "etc/hostname 0 S5?\netc/passwd 0 5?\nroot/.ssh/keys 2 ?\n", opt: CompareOptions{Edited: []string{line("web", "etc/hostname"), "etc/passwd", line("", "root/.ssh/keys")}}},
		{name: "edited, and huge", change: func(d string) error { return os.Truncate(d+"/etc/hostname", maxDigested+1) },
			want: "etc/hostname 0 S5?\n", opt: CompareOptions{Edited: []string{line("web", "etc/hostname")}}},
		{name: "below a directory that was made", change: func(d string) error {
			return errors.Join(os.MkdirAll(d+"/dev/pts/sub", 0o755), os.WriteFile(d+"/dev/pts/evil", nil, 0o4755))
		}, want: "dev/pts 2 ? dir edited\ndev/pts/evil 2 ?\ndev/pts/sub 2 ? dir\n", opt: CompareOptions{Edited: []string{"dev/pts"}}},
		{name: "edited files that were replaced", change: func(d string) error {
			return errors.Join(os.WriteFile(d+"/etc/a", nil, 0o600), os.Chmod(d+"/etc/a", 0o4755), os.WriteFile(d+"/etc/b", nil, 0o644), os.Chown(d+"/etc/b", 7, 0),
				os.WriteFile(d+"/dev/pts", []byte("x"), 0o644), os.Mkdir(d+"/etc/c", 0o777), os.Chmod(d+"/etc/c", 0o777),
				os.Mkdir(d+"/root", 0o755), os.Symlink("/etc", d+"/root/.ssh"), os.WriteFile(d+"/etc/d", nil, 0o666), os.Chmod(d+"/etc/d", 0o666))
		}, want: "dev/pts 2 ?\netc/a 2 ?\netc/b 2 ?\netc/c 2 ? dir\netc/d 2 ?\nroot/.ssh 0 M?\n",
			opt: CompareOptions{Edited: []string{line("", "etc/a"), line("", "etc/b"), line("", "etc/d"), "etc/c", "dev/pts", "root/.ssh", line("", "root/.ssh/authorized_keys")}}},
		{name: "keys that others may read", change: func(d string) error {
			return errors.Join(os.MkdirAll(d+"/root/.ssh", 0o755), os.WriteFile(d+"/root/.ssh/keys", nil, 0o644))
		}, want: "root/.ssh 0 M?\nroot/.ssh/keys 2 ?\n", opt: CompareOptions{Edited: []string{"root/.ssh", line("", "root/.ssh/keys")}}},
		{name: "a hard link of an edited file", change: func(d string) error { return os.WriteFile(d+"/bin/su", []byte("web"), 0) },
			want: "bin/hard 0 S5? edited\nbin/su 0 S5? edited\n", opt: CompareOptions{Edited: []string{line("web", "bin/hard")}}},
		{name: "an edited file with a hard link", change: func(d string) error { return os.WriteFile(d+"/bin/su", []byte("web"), 0) },
			want: "bin/hard 0 S5? edited\nbin/su 0 S5? edited\n", opt: CompareOptions{Edited: []string{line("web", "bin/su")}}},
		{name: "a hard link of an edited file that was changed", change: func(d string) error {
			return errors.Join(os.WriteFile(d+"/bin/su", []byte("web"), 0), os.Chmod(d+"/bin/su", 0o6755))
		}, want: "bin/hard 0 SM5?\nbin/su 0 SM5?\n", opt: CompareOptions{Edited: []string{line("web", "bin/hard")}}},
		{name: "a new file in the place of a link", change: func(d string) error {
			return errors.Join(os.Remove(d+"/etc/link"), os.WriteFile(d+"/etc/link", []byte("web"), 0o644), os.Remove(d+"/bin/hard"), os.WriteFile(d+"/bin/hard", []byte("web"), 0o644))
		}, want: "bin/hard 0 L? edited\netc/link 0 M? edited\n", opt: CompareOptions{Edited: []string{line("web", "etc/link"), line("web", "bin/hard")}}},
		{name: "another file in the place of a link", change: func(d string) error {
			return errors.Join(os.Remove(d+"/etc/link"), os.WriteFile(d+"/etc/link", []byte("web"), 0o755))
		}, want: "etc/link 0 M?\n", opt: CompareOptions{Edited: []string{line("web", "etc/link")}}},
		{name: "an edited secret that others may read", change: func(d string) error {
			return errors.Join(os.WriteFile(d+"/dev/secret", []byte("web"), 0), os.Chmod(d+"/dev/secret", 0o644))
		}, want: "dev/secret 0 SM5?\n", opt: CompareOptions{Edited: []string{line("web", "dev/secret")}}},
		{name: "edited and more", change: func(d string) error {
			return errors.Join(os.WriteFile(d+"/etc/hostname", []byte("web"), 0), os.Chmod(d+"/etc/hostname", 0o600), os.Remove(d+"/etc/passwd"))
		}, want: "etc/hostname 0 SM5?\netc/passwd 1 ?\n", opt: CompareOptions{Edited: []string{line("web", "etc/hostname"), line("", "etc/passwd")}}},
	} {
		root, dir, err := extracted(t, archive, Options{Strict: true, Filter: test.opt.Filter})
		if err != nil {
			t.Fatal(err)
		}
		if err := test.change(dir); err != nil && !strings.Contains(test.name, "excluded") {
			t.Fatalf("%s: %v", test.name, err)
		}
		test.opt.Strict = true
		c, err := root.Compare(t.Context(), bytes.NewReader(archive), &test.opt)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got := show(c); got != test.want {
			t.Errorf("%s: got\n%swant\n%s", test.name, got, test.want)
		}
	}
}

// The owners of a container in a user namespace are shifted, and its devices were not made.
func TestCompareShifted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	shift := []IDRange{{UID: true, GID: true, Outside: 100000, Count: 1000}}
	archive := pack(t, []generated{
		{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}},
		{Header: tar.Header{Name: "file", Uid: 5, Gid: 6, Mode: 0o644}, text: "x"},
		{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}},
		{Header: tar.Header{Name: "zero", Typeflag: tar.TypeLink, Linkname: "null"}},
	})
	opt := Options{Strict: true, Metadata: Metadata{IDMap: shift}}
	root, dir, err := extracted(t, archive, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"", "file 0 U?\n"} {
		c, err := root.Compare(t.Context(), bytes.NewReader(archive), &CompareOptions{Options: opt})
		if err != nil || show(c) != want {
			t.Errorf("%v, %v", c, err)
		}
		os.Lchown(dir+"/file", 5, 100006)
	}
}

// A sparse file is compared in the time that its data takes.
func TestCompareSparse(t *testing.T) {
	for _, c := range readCases(t) {
		root, dir, err := extracted(t, c.archive, Options{Metadata: Metadata{Privilege: User}})
		if err != nil {
			continue
		}
		if got, err := root.Compare(t.Context(), bytes.NewReader(c.archive), &CompareOptions{Options: Options{Metadata: Metadata{Privilege: User}}}); err != nil || !onlyUnsure(show(got)) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		files, _ := filepath.Glob(dir + "/*")
		for _, f := range files {
			if info, err := os.Lstat(f); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
				w, err := os.OpenFile(f, os.O_RDWR, 0)
				if err != nil {
					continue
				}
				var b [1]byte
				w.ReadAt(b[:], info.Size()-1)
				b[0]++
				w.WriteAt(b[:], info.Size()-1)
				w.Close()
				got, err := root.Compare(t.Context(), bytes.NewReader(c.archive), &CompareOptions{Options: Options{Metadata: Metadata{Privilege: User}}})
				if err != nil || !strings.Contains(show(got), filepath.Base(f)+" 0 ") {
					t.Errorf("%s: %v, %v", c.name, got, err)
				}
				break
			}
		}
	}
}

// The archive is hostile: Compare ends without a crash, and changes nothing.
func FuzzCompare(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, archive []byte) {
		if len(archive) > maxFuzzArchive {
			t.Skip("the archive is longer than maxFuzzArchive")
		}
		archive = fixChecksums(archive)
		opt := Options{Metadata: Metadata{Privilege: User}, Limits: Limits{Bytes: 1 << 20, Entries: 1000}}
		root, dir, err := extracted(t, archive, opt)
		c, failed := root.Compare(t.Context(), bytes.NewReader(archive), &CompareOptions{Options: opt})
		if err == nil && (failed != nil || !onlyUnsure(show(c))) {
			t.Errorf("extracted, and different: %v, %v", c, failed)
		}
		os.Chmod(dir, 0o700)
	})
}

func TestCompareCancelled(t *testing.T) {
	archive := pack(t, generate(rand.New(rand.NewPCG(1, 1))))
	root, err := OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := root.Compare(ctx, bytes.NewReader(archive), &CompareOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	short := archive[:len(archive)/2/512*512]
	if c, err := root.Compare(t.Context(), bytes.NewReader(short), &CompareOptions{Options: Options{Strict: true}}); err == nil {
		t.Errorf("an archive that is cut off: %v", c)
	}
}

// A container's root can replace files while they are compared. Compare ends all the same, and
// opens neither pipes nor what links lead to.
func TestCompareWhileReplaced(t *testing.T) {
	archive := pack(t, []generated{
		{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}},
		{Header: tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}},
		{Header: tar.Header{Name: "d/file", Mode: 0o644}, text: "content"},
		{Header: tar.Header{Name: "d/other", Mode: 0o644}, text: "content"},
	})
	root, dir, err := extracted(t, archive, Options{Metadata: Metadata{Privilege: User}})
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	os.WriteFile(outside+"/file", []byte("content"), 0o644)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.Remove(dir + "/d/file")
			unix.Mkfifo(dir+"/d/file", 0o644)
			os.Rename(dir+"/d", dir+"/e")
			os.Symlink(outside, dir+"/d")
			os.Remove(dir + "/d")
			os.Rename(dir+"/e", dir+"/d")
			os.Remove(dir + "/d/file")
			os.WriteFile(dir+"/d/file", []byte("content"), 0o644)
		}
	}()
	for range 2000 {
		if _, err := root.Compare(t.Context(), bytes.NewReader(archive), &CompareOptions{}); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	<-stopped
}
