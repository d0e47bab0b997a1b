package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ulikunitz/xz"
)

// arch is Debian's name of the machine's architecture, lxcArch the value of lxc.arch.
var (
	arch    = cmp.Or(map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}[runtime.GOARCH], runtime.GOARCH)
	lxcArch = cmp.Or(map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l"}[runtime.GOARCH], runtime.GOARCH)
)

// canary is the host's directory that the images' links lead to.
const canary = "/w/canary"

// initScript opens devices that common.conf denies. Opening a denied device fails with
// EPERM, opening an allowed one with another error, because it doesn't exist. The script
// tells when it is done.
const initScript = `#!/bin/busybox sh
b=/bin/busybox
$b mknod /probe.char c 10 223
$b mknod /probe.block b 7 99
for f in char block; do $b head -c 1 /probe.$f >/probe.$f.out 2>&1; done
echo x >/probe.done
exec $b sleep 60
`

// A link is a symbolic link of a root file system.
type link struct{ name, target string }

// rootfses are root file systems whose links lead to the host; the first has no links.
var rootfses = [][]link{
	{},
	{{"out", canary}, {"dev/out", canary}, {"dev/up", "../../../.." + canary}},
	{{"dev", canary}},
	{{"dev", "../../.." + canary}},
	{{"proc", canary}},
	{{"sys", canary}},
	{{"dev/lxc", canary}, {"dev/mqueue", canary}, {"dev/shm", canary}, {"dev/pts", canary}},
	{{"dev/console", canary + "/file"}, {"dev/tty1", canary + "/new"}, {"dev/null", canary + "/new2"}, {"dev/ptmx", canary + "/new3"}},
	{{"etc", canary}, {"tmp", canary}, {"run", canary}, {"mnt", canary}},
	{{"out", "/proc/self/root" + canary}, {"p", "proc/1/root"}, {"dev/p", "/proc/1/root" + canary}},
}

func prepareImages(dir string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	for i, links := range rootfses {
		data, err := packRootfs(program, links)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("rootfs.%d", i)), data, 0o644); err != nil {
			return err
		}
	}
	never := false
	entity, err := openpgp.NewEntity("Hostile configs", "", "", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512, NonDeterministicSignaturesViaNotation: &never})
	if err != nil {
		return err
	}
	entity.Subkeys = nil
	for name, write := range map[string]func(io.Writer) error{
		"key.secret": func(w io.Writer) error { return entity.SerializePrivate(w, nil) },
		"key.pub":    entity.Serialize,
	} {
		var b bytes.Buffer
		blockType := openpgp.PublicKeyType
		if name == "key.secret" {
			blockType = openpgp.PrivateKeyType
		}
		w, err := armor.Encode(&b, blockType, nil)
		if err != nil {
			return err
		}
		if err := write(w); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func packRootfs(busybox []byte, links []link) ([]byte, error) {
	replaced := map[string]bool{}
	for _, l := range links {
		replaced[l.name] = true
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data []byte) error {
		h.Size, h.ModTime = int64(len(data)), time.Unix(1700000000, 0)
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	for _, name := range []string{".", "bin", "sbin", "dev", "proc", "sys", "etc", "tmp", "run", "var", "mnt", "root"} {
		if !replaced[name] {
			if err := add(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, nil); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range []struct {
		name string
		mode int64
		data []byte
	}{{"bin/busybox", 0o755, busybox}, {"sbin/init", 0o755, []byte(initScript)}} {
		if err := add(tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode}, f.data); err != nil {
			return nil, err
		}
	}
	for _, l := range append([]link{{"bin/sh", "busybox"}}, links...) {
		if err := add(tar.Header{Typeflag: tar.TypeSymlink, Name: l.name, Linkname: l.target, Mode: 0o777}, nil); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return pack(b.Bytes())
}

func pack(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// A publisher writes signed image trees with one image each.
type publisher struct {
	entity   *openpgp.Entity
	build    string
	rootfses [][]byte
}

func newPublisher(dir string) (*publisher, error) {
	key, err := os.ReadFile(filepath.Join(dir, "key.secret"))
	if err != nil {
		return nil, err
	}
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		return nil, err
	}
	p := &publisher{entity: ring[0], build: time.Now().UTC().Format("20060102_15:04")}
	for i := range rootfses {
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("rootfs.%d", i)))
		if err != nil {
			return nil, err
		}
		p.rootfses = append(p.rootfses, data)
	}
	return p, nil
}

// publish writes the image tree of a case into the directory tree.
func (p *publisher) publish(tree string, c testCase) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct{ name, data string }{
		{"create-message", "You just created a container.\n"}, {"config", c.Config}, {"fstab", c.Fstab}, {"templates", c.Templates},
	} {
		if f.data == "" && f.name != "config" {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(f.data)), ModTime: time.Unix(1700000000, 0)}); err != nil {
			return err
		}
		if _, err := w.Write([]byte(f.data)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	meta, err := pack(b.Bytes())
	if err != nil {
		return err
	}
	rootfs := p.rootfses[c.Rootfs]
	dir := fmt.Sprintf("images/d/r/%s/default/%s", arch, p.build)
	files := map[string][]byte{
		"meta/1.0/index-system": fmt.Appendf(nil, "d;r;%s;default;%s;/%s/\n", arch, p.build, dir),
		dir + "/SHA256SUMS":     fmt.Appendf(nil, "%x  rootfs.tar.xz\n%x  meta.tar.xz\n", sha256.Sum256(rootfs), sha256.Sum256(meta)),
		dir + "/meta.tar.xz":    meta,
		dir + "/rootfs.tar.xz":  rootfs,
	}
	files["meta/1.0/index-user"] = files["meta/1.0/index-system"]
	for name, data := range files {
		name = filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
		var sig bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&sig, p.entity, bytes.NewReader(data), &packet.Config{DefaultHash: crypto.SHA512}); err != nil {
			return err
		}
		if err := os.WriteFile(name+".asc", sig.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
