package pull

import (
	"os"
	"path/filepath"
	"testing"

	"lxc-pull/untar"
)

func TestRootMachine(t *testing.T) {
	elf := func(class, order, machine byte) string {
		head := make([]byte, 64)
		copy(head, "\x7fELF")
		head[4], head[5], head[6] = class, order, 1
		if order == 1 {
			head[16], head[18] = 3, machine
		} else {
			head[17], head[19] = 3, machine
		}
		return string(head)
	}
	outside := filepath.Join(t.TempDir(), "sh")
	if err := os.WriteFile(outside, []byte(elf(2, 1, 62)), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files, links map[string]string
		want         string
	}{
		"empty":            {nil, nil, ""},
		"sh":               {map[string]string{"usr/bin/dash": elf(2, 1, 183)}, map[string]string{"bin": "usr/bin", "usr/bin/sh": "dash"}, "arm64"},
		"an absolute link": {map[string]string{"bin/busybox": elf(2, 1, 243)}, map[string]string{"bin/sh": "/bin/busybox"}, "riscv64"},
		"a script":         {map[string]string{"bin/sh": "#!/bin/x\n", "lib/ld-linux.so.2": elf(1, 1, 3)}, nil, "i386"},
		"two machines":     {map[string]string{"lib/ld-linux.so.2": elf(1, 1, 3), "lib64/ld-linux-x86-64.so.2": elf(2, 1, 62)}, nil, "amd64"},
		"s390x":            {map[string]string{"sbin/init": elf(2, 2, 22)}, nil, "s390x"},
		"outside":          {nil, map[string]string{"bin/sh": outside, "sbin/init": "../../../../../../../../.." + outside}, ""},
		"a directory":      {map[string]string{"bin/sh/x": elf(2, 1, 62)}, nil, ""},
		"a loop":           {nil, map[string]string{"bin/sh": "sh"}, ""},
	} {
		dir := t.TempDir()
		for name, content := range c.files {
			path := filepath.Join(dir, name)
			os.MkdirAll(filepath.Dir(path), 0o755)
			if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for name, target := range c.links {
			path := filepath.Join(dir, name)
			os.MkdirAll(filepath.Dir(path), 0o755)
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		}
		root, err := untar.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := rootMachine(root); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		root.Close()
	}
}
