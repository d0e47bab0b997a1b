package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pickerTree makes a server's tree whose list has 40 images of this machine and 20 of another.
// All names stand for the same files. It returns the options by which the program finds it.
func pickerTree(t *testing.T) []string {
	t.Helper()
	options := imageTree(t, []testFile{{"config", "lxc.arch = " + hostArch() + "\n"}}, []testFile{{"file", "text"}})[:2]
	index := ""
	line := func(dist, release, arch, variant, build string) {
		index += strings.Join([]string{dist, release, arch, variant, build, "/images/1/\n"}, ";")
	}
	for _, release := range []string{"bookworm", "sid", "trixie"} {
		line("debian", release, hostArch(), "cloud", "20260829_05:24")
		line("debian", release, hostArch(), "default", "20260829_05:24")
		line("debian", release, otherArch(), "default", "20260828_05:24")
	}
	for n := 1; n <= 17; n++ {
		line("alpine", fmt.Sprintf("3.%d", n), hostArch(), "default", "20260830_13:00")
		line("alpine", fmt.Sprintf("3.%d", n), otherArch(), "default", "20260830_13:00")
		line("springdalelinux", fmt.Sprint(n), hostArch(), "default", "20260830_13:00")
	}
	for _, mode := range []string{"system", "user"} {
		file := filepath.Join(strings.TrimPrefix(options[0], "--server=file://"), "meta/1.0/index-"+mode)
		if err := os.WriteFile(file, []byte(index), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return options
}

func otherArch() string {
	if hostArch() == "riscv64" {
		return "amd64"
	}
	return "riscv64"
}

// startPicker starts "rootfs DIR" on a pseudo-terminal.
func startPicker(t *testing.T, columns, rows int, env []string, more ...string) (p *ptyRun, dir string) {
	t.Helper()
	dir = t.TempDir() + "/root"
	args := append([]string{"rootfs", dir}, pickerTree(t)...)
	return startPTY(t, columns, rows, env, append(args, more...)...), dir
}
