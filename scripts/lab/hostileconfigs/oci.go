package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// An ociImage is a container image whose variables attack the mount hook of /w/hook.conf.
type ociImage struct {
	Env   []string
	Shell bool // it has /bin/sh
}

// mountHook is a program of the host, which finds others by their names, as LXC's and lxcfs's
// do. It tells the watch if it sees one of the image's variables: all have "evil". The shell
// opens its own environ; the variable that the container's shell evaluates is only text.
const mountHook = `#!/bin/sh
exec 3</proc/self/environ
env >/dev/null
cat </dev/null
if /usr/bin/tr '\0' '\n' <&3 | /bin/grep -v '^LXC_PULL_EXEC=' | /bin/grep -q evil; then
  /usr/bin/touch ` + canary + `/hook-saw
fi
exit 0
`

// evil is a program of the image for the names that a hook may look up.
const evil = "#!/bin/sh\n/usr/bin/touch " + canary + "/by-image\n"

// mounted are paths of the image's evil directory on the host while a mount hook runs.
const mounted = "/usr/lib/x86_64-linux-gnu/lxc/rootfs/evil:/usr/lib/aarch64-linux-gnu/lxc/rootfs/evil:/var/lib/lxc/rootfs/evil"

// ociCases are images with each variable alone, and with all of them.
func ociCases() (cases []testCase) {
	var all []string
	for _, name := range []string{"PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "ENV", "IFS", "PYTHONPATH", "PERL5OPT", "PERL5LIB", "GCONV_PATH", "HOME", "LXC_ROOTFS_PATH", "LXC_PULL_EXEC", "BASH_FUNC_env%%", "OTHER"} {
		value := mounted
		if strings.HasPrefix(name, "BASH_FUNC") || name == "OTHER" {
			value = "() { /usr/bin/touch " + canary + "/evil; }"
		}
		all = append(all, name+"="+value)
	}
	lists := [][]string{all}
	for _, variable := range all {
		lists = append(lists, []string{variable})
	}
	for i, list := range lists {
		name, _, _ := strings.Cut(list[0], "=")
		if i == 0 {
			name = "all variables"
		}
		cases = append(cases,
			testCase{Name: "container image, " + name + ", shell", OCI: &ociImage{list, true}},
			testCase{Name: "container image, " + name + ", no shell", OCI: &ociImage{list, false}})
	}
	return cases
}

// publish writes the image as an OCI layout.
func (image *ociImage) publish(dir string) error {
	name, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	busybox, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	files := map[string][]byte{"app/busybox": busybox, "sbin/init": []byte("x")}
	for _, name := range []string{"env", "cat", "sh", "tr", "grep", "touch"} {
		files["evil/"+name] = []byte(evil)
	}
	if image.Shell {
		files["bin/sh"] = busybox
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, name := range []string{"dev", "proc", "sys", "etc", "tmp", "run", "app", "bin", "sbin", "evil"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: time.Unix(1700000000, 0)}); err != nil {
			return err
		}
	}
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data)), ModTime: time.Unix(1700000000, 0)}); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	blobs := filepath.Join(dir, "blobs/sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	put := func(media string, data []byte) map[string]any {
		digest := fmt.Sprintf("%x", sha256.Sum256(data))
		if e := os.WriteFile(filepath.Join(blobs, digest), data, 0o644); e != nil && err == nil {
			err = e
		}
		return map[string]any{"mediaType": "application/vnd.oci.image." + media, "digest": "sha256:" + digest, "size": len(data)}
	}
	text := func(value any) []byte {
		data, e := json.Marshal(value)
		if e != nil && err == nil {
			err = e
		}
		return data
	}
	packed := put("layer.v1.tar", layer.Bytes())
	config := put("config.v1+json", text(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []any{packed["digest"]}},
		"config": map[string]any{"Env": image.Env, "Entrypoint": []string{"/app/busybox", "sleep", "60"}},
	}))
	manifest := put("manifest.v1+json", text(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []any{packed}}))
	for name, data := range map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": text(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})} {
		if e := os.WriteFile(filepath.Join(dir, name), data, 0o644); e != nil && err == nil {
			err = e
		}
	}
	return err
}
