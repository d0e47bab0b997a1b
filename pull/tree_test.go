package pull

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/pull/source"
)

// testKey signs the images of the tests.
func testKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("the key of the tests' image servers"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// signify formats a key or a signature as signify(1) does.
func signify(payload []byte) []byte {
	blob := append([]byte("Ed12345678"), payload...)
	return fmt.Appendf(nil, "untrusted comment: a test's\n%s\n", base64.StdEncoding.EncodeToString(blob))
}

func testKeyring(t *testing.T) *pgp.Keyring {
	t.Helper()
	ring, err := pgp.ReadKeyring(signify(testKey().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// writeFile writes a file and the directories above it.
func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A serverTree is the directory of an image server, signed with testKey.
type serverTree struct {
	t   *testing.T
	dir string
}

func newTree(t *testing.T) *serverTree { return &serverTree{t, t.TempDir()} }

func (s *serverTree) url() string { return "file://" + s.dir }

// write writes a file of the tree and its signature.
func (s *serverTree) write(name string, data []byte) {
	s.t.Helper()
	writeFile(s.t, filepath.Join(s.dir, name), data)
	writeFile(s.t, filepath.Join(s.dir, name+image.SigSuffix), signify(ed25519.Sign(testKey(), data)))
}

// publish makes a build of the image d/r/amd64/default the newest.
func (s *serverTree) publish(build string, meta, rootfs []byte) {
	s.t.Helper()
	dir := "images/" + build + "/"
	s.write(dir+image.MetaFile, meta)
	s.write(dir+image.RootfsFile, rootfs)
	s.write(dir+image.SumsFile, fmt.Appendf(nil, "%x  %s\n%x  %s\n", sha256.Sum256(meta), image.MetaFile, sha256.Sum256(rootfs), image.RootfsFile))
	s.write(image.IndexDir+"/index-system", []byte("d;r;amd64;default;"+build+";/"+dir+"\n"))
}

// theImage is the query for the one image of a serverTree.
func theImage() image.Query {
	return image.Query{Dist: "d", Release: "r", Arch: []string{"amd64"}, Variant: "default"}
}

// A testEntry is an entry of a tar archive: a link if it has a target, a directory if
// its name ends in a slash, else a regular file with mode 0644.
type testEntry struct{ name, text, target string }

// pack makes a compressed tar archive.
func pack(t *testing.T, entries ...testEntry) []byte {
	t.Helper()
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.text)), ModTime: time.Unix(1700000000, 0)}
		switch {
		case e.target != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.target
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tw, e.text)
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// testOptions are the options of a Finder that asks servers, trusts testKey, and has a
// cache in the directory base; "": none.
func testOptions(t *testing.T, base string, servers ...string) source.Options {
	t.Helper()
	opt := source.Options{
		Servers: new(source.Servers), Keys: testKeyring(t), Clock: source.NewClock(time.Time{}, time.Now()),
		Mode: lxc.System, Decoding: Memory(0).Decoding(),
	}
	for _, name := range servers {
		if err := opt.Servers.Add(name); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if opt.Client, err = fetch.NewClient(fetch.Options{Limits: fetch.LimitOptions{Retries: -1}, Report: fetch.ReportOptions{Notify: opt.Servers.NoteFailure}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opt.Client.Close() })
	if base != "" {
		opt.Cache = &cache.Cache{Base: base, Evidence: source.EvidenceNames()}
		opt.Histories = []*cache.Cache{opt.Cache}
	}
	return opt
}

// below lists what is in a directory and below it: a line for each name, with its type
// and mode, a regular file's content, and a link's target.
func below(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&list, "%s %v", name, info.Mode())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&list, " %q", data)
		}
		if target, err := os.Readlink(path); err == nil {
			fmt.Fprintf(&list, " -> %s", target)
		}
		list.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}
