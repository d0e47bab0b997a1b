// Command android runs a program under the system call filter that Android puts
// around every app: a system call that is not on the version's list ends the program
// with SIGSYS, before the program can see an error.
//
//	android [--root DIR] [--old-kernel] VERSION COMMAND [ARGUMENT]...
//	android --try NAME
//
// VERSION is 9, 11, 14 or main. COMMAND is an absolute path to a program of the same
// architecture as this one; build this program with GOARCH=386 for 32-bit programs.
// --root changes the root directory first, because the filter forbids that later.
// --old-kernel makes uname(2) report a kernel before 5.1, as phones with Android 9
// and 10 have, so that programs that choose calls by the version use no newer ones.
// The second form makes one system call and exits with 0 if the call returns, so that
// a test can show that the filter works.
//
// It does not imitate rules about a call's arguments, nor SELinux.
package main

import (
	"embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

//go:embed allowed.*
var lists embed.FS

// versions lists the versions, the oldest first.
var versions = []string{"9", "11", "14", "main"}

func main() {
	root := flag.String("root", "", "change the root directory to this one")
	old := flag.Bool("old-kernel", false, "make uname(2) report a kernel before 5.1")
	try := flag.String("try", "", "only make this system call")
	flag.Parse()
	if *try != "" {
		os.Exit(call(*try))
	}
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: android [--root DIR] [--old-kernel] VERSION COMMAND [ARGUMENT]...")
		os.Exit(2)
	}
	err := run(*root, *old, flag.Arg(0), flag.Args()[1:])
	fmt.Fprintf(os.Stderr, "android: %v\n", err)
	os.Exit(1)
}

// call makes a system call of the list by its name. Its arguments are no valid
// descriptors.
func call(name string) int {
	numbers := map[string]uintptr{"openat2": unix.SYS_OPENAT2, "faccessat2": unix.SYS_FACCESSAT2, "chroot": unix.SYS_CHROOT, "getpid": unix.SYS_GETPID}
	number, ok := numbers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "android: %q is not one to be tried\n", name)
		return 2
	}
	none := ^uintptr(0)
	syscall.RawSyscall(number, none, none, none)
	return 0
}

// run executes the command in place of this process. It returns only on an error.
func run(root string, old bool, version string, command []string) error {
	if old && !isOld() {
		// Do this first, and start this program again: its Go runtime has chosen
		// its system calls by the kernel's version too.
		const uname26 = 0x0020000 // linux/personality.h: reports 6.x as 2.6.60+x
		if _, _, e := syscall.RawSyscall(unix.SYS_PERSONALITY, uname26, 0, 0); e != 0 {
			return e
		}
		return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	numbers, err := allowed(version)
	if err != nil {
		return err
	}
	if root != "" {
		if err := unix.Chroot(root); err != nil {
			return err
		}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	// The filter applies to the calling thread, which then executes the command.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := program(numbers)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return err
	}
	return syscall.Exec(command[0], command, os.Environ())
}

// isOld reports whether uname(2) reports an old kernel.
func isOld() bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && strings.HasPrefix(unix.ByteSliceToString(u.Release[:]), "2.6.")
}

// allowed reads the numbers of the calls on a version's list.
func allowed(version string) ([]uint32, error) {
	at := slices.Index(versions, version)
	if at < 0 {
		return nil, fmt.Errorf("version %q is none of %q", version, versions)
	}
	text, err := lists.ReadFile("allowed." + runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	var numbers []uint32
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) == 3 {
			fields = append(fields, versions[len(versions)-1])
		}
		if len(fields) != 4 {
			return nil, fmt.Errorf("list: %q", line)
		}
		number, err := strconv.ParseUint(fields[1], 10, 32)
		first, last := slices.Index(versions, fields[2]), slices.Index(versions, fields[3])
		if err != nil || first < 0 || last < 0 {
			return nil, fmt.Errorf("list: %q", line)
		}
		if first <= at && at <= last {
			numbers = append(numbers, uint32(number))
		}
	}
	if len(numbers) == 0 {
		return nil, errors.New("an empty list")
	}
	return numbers, nil
}

// program returns a filter (linux/seccomp.h) that allows these calls of this
// architecture and raises SIGSYS for all others, as Android's does.
func program(numbers []uint32) []unix.SockFilter {
	const (
		numberAt, archAt = 0, 4 // in struct seccomp_data
		trap, kill       = 0x00030000, 0x80000000
		allow            = 0x7fff0000
	)
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "386": unix.AUDIT_ARCH_I386}[runtime.GOARCH]
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	end := func(verdict uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict}
	}
	// equal runs the next instruction only if the loaded value is k.
	equal := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: k}
	}
	filter := []unix.SockFilter{
		load(archAt),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: arch},
		end(kill),
		load(numberAt),
	}
	for _, n := range numbers {
		filter = append(filter, equal(n), end(allow))
	}
	return append(filter, end(trap))
}
