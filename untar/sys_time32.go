//go:build 386 || arm || mips || mipsle

package untar

import (
	"math"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hasTime64 reports whether the kernel has utimensat_time64, by its version (5.1). It does
// not try the call: Android's system call filter kills a process that does.
var hasTime64 = sync.OnceValue(func() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	major, minor, part := 0, 0, &[2]int{}
	i := 0
	for _, c := range u.Release {
		if c < '0' || c > '9' {
			if i++; c != '.' || i == len(part) {
				break
			}
			continue
		}
		part[i] = part[i]*10 + int(c-'0')
	}
	major, minor = part[0], part[1]
	return major > 5 || major == 5 && minor >= 1
})

// utimensat is the system call. It passes 64-bit seconds if the kernel supports that, else
// the nearest time that fits in 32 bits. A nil name means the file that dir is open on.
func utimensat(dir int, name cname, sec int64, nsec int32, flags uintptr) error {
	var p unsafe.Pointer
	if name != nil {
		p = unsafe.Pointer(&name[0])
	}
	if hasTime64() {
		// struct __kernel_timespec: 64 bits each, whatever the byte order.
		times := [2][2]int64{{0, unix.UTIME_OMIT}, {sec, int64(nsec)}}
		_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT_TIME64, uintptr(dir), uintptr(p), uintptr(unsafe.Pointer(&times)), flags, 0, 0)
		return errnoErr(e)
	}
	sec = max(math.MinInt32, min(sec, math.MaxInt32))
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: int32(sec), Nsec: nsec}}
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(dir), uintptr(p), uintptr(unsafe.Pointer(&times)), flags, 0, 0)
	return errnoErr(e)
}
