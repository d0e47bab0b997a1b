package pull

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/cross"
)

// foreignMachine returns this machine's name (uname -m) if it can't run programs of arch,
// "" if it can or if that is not known.
func foreignMachine(arch string) string {
	var u unix.Utsname
	if arch == "" || unix.Uname(&u) != nil {
		return ""
	}
	machine := unix.ByteSliceToString(u.Machine[:])
	if cross.Runs(runtime.GOARCH, machine, arch, runs32) || interpreted(arch) {
		return ""
	}
	return machine
}

// runs32 reports whether a 64-bit ARM kernel runs 32-bit programs. A kernel without
// CONFIG_COMPAT, or on a processor without AArch32, refuses PER_LINUX32 with EINVAL.
func runs32() bool {
	const linux32 = 8 // PER_LINUX32, linux/personality.h
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, _, err := unix.RawSyscall(unix.SYS_PERSONALITY, linux32, 0, 0)
	if err == 0 {
		unix.RawSyscall(unix.SYS_PERSONALITY, old, 0, 0)
	}
	return err != unix.EINVAL
}

// interpreted reports whether binfmt_misc has an interpreter for programs of arch.
func interpreted(arch string) bool {
	const dir = "/proc/sys/fs/binfmt_misc"
	if status, err := readFile(filepath.Join(dir, "status"), maxBinfmt); err != nil || !strings.HasPrefix(string(status), "enabled") {
		return false
	}
	list, _ := os.ReadDir(dir)
	for _, entry := range list {
		text, err := readFile(filepath.Join(dir, entry.Name()), maxBinfmt)
		if err == nil && cross.Interprets(string(text), arch) {
			return true
		}
	}
	return false
}

// maxBinfmt bounds a file of binfmt_misc, in bytes: the kernel writes at most a page.
const maxBinfmt = 64 << 10
