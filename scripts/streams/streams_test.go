package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ulikunitz/xz"

	"lxc-pull/image"
)

// tree makes a tree and returns its directory.
func tree(t *testing.T, key string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	var packed bytes.Buffer
	w, err := xz.NewWriter(&packed)
	if err == nil {
		_, err = w.Write(make([]byte, 1024)) // an empty archive
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.WriteFile(dir+"/root.tar.xz", packed.Bytes(), 0o644)
	}
	o := &options{at: time.Unix(1780000000, 0)}
	if err == nil {
		err = o.parse(append([]string{"--tree", dir, "--key", key, "--root", dir + "/root.tar.xz"}, args...))
	}
	if err == nil {
		err = o.run()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Lists name the files that are there, and the metadata is what the program reads.
func TestTrees(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	for _, test := range []struct {
		args  []string
		alias string
		lists int
	}{
		{[]string{"debian/trixie/amd64/default/20260829_05:24", "debian/trixie/amd64/default/20260828_05:24"}, "debian/13", 1},
		{[]string{"--unified", "gentoo/current/amd64/openrc/20260829_16:07"}, "gentoo/current/openrc", 1},
		{[]string{"--layout", "ubuntu", "ubuntu/noble/amd64/default/20260829", "ubuntu/jammy/amd64/minimal/20260829"}, "24.04", 2},
	} {
		dir := tree(t, key, test.args...)
		paths, err := image.ParseStreams(read(t, dir+"/streams/v1/index.json"))
		if err != nil || len(paths) != test.lists {
			t.Fatalf("%+v, %v", paths, err)
		}
		found := 0
		for _, path := range paths {
			list, err := image.ParseProducts(read(t, filepath.Join(dir, path.Path)))
			if err != nil {
				t.Fatal(err)
			}
			img, err := list.Find(image.StreamsQuery{Alias: test.alias, Arch: []string{"amd64"}})
			if err != nil {
				continue
			}
			found++
			for _, f := range img.Files {
				digest, size, err := (&options{tree: dir}).digest(f.Path)
				if err != nil || "sha256:"+digest != string(f.SHA256) || size != f.Size {
					t.Errorf("%+v: %v", f, err)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s is in %d lists", test.alias, found)
		}
	}
	for _, layout := range []string{"incus", "ubuntu"} {
		o := &options{layout: layout}
		text, err := o.metadataYAML(&build{"ubuntu", "noble", "amd64", "default", "20260829", nil})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := image.ParseIncus([]byte(text)); err != nil || m.Arch != "x86_64" || len(m.Templates) < 2 || m.Created != 1787961600 {
			t.Errorf("%+v, %v: %s", m, err, text)
		}
	}
}

// Each way to sign leaves the documents that it says.
func TestSignatures(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	for how, want := range map[string]string{
		"full": "index clear beside, images clear beside", "none": "index, images", "sjson": "index clear, images clear", "gpg": "index beside, images beside",
		"other": "index, images", "altered": "index, images", "mixed": "index clear beside, images",
	} {
		dir := tree(t, key, "--sign", how, "debian/trixie/amd64/default/20260829_05:24")
		ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(read(t, key+".pub")))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range []string{"index", "images"} {
			file, good := filepath.Join(dir, "streams/v1", name), name
			if text, err := os.ReadFile(file + ".sjson"); err == nil {
				if block, _ := clearsign.Decode(text); block == nil {
					t.Errorf("%s: no message", how)
				} else if _, err := block.VerifySignature(ring, nil); err == nil {
					good += " clear"
				}
			}
			if signature, err := os.Open(file + ".json.gpg"); err == nil {
				if _, err := openpgp.CheckArmoredDetachedSignature(ring, bytes.NewReader(read(t, file+".json")), signature, nil); err == nil {
					good += " beside"
				}
				signature.Close()
			}
			got = append(got, good)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", how, got, want)
		}
	}
}
