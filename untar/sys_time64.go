//go:build !(386 || arm || mips || mipsle)

package untar

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// utimensat is the system call. A nil name means the file that dir is open on, which
// unix.UtimesNanoAt does not support.
func utimensat(dir int, name cname, sec int64, nsec int32, flags uintptr) error {
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: sec, Nsec: int64(nsec)}}
	var p unsafe.Pointer
	if name != nil {
		p = unsafe.Pointer(&name[0])
	}
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(dir), uintptr(p), uintptr(unsafe.Pointer(&times)), flags, 0, 0)
	return errnoErr(e)
}
