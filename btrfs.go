package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// subvolCreate is BTRFS_IOC_SUBVOL_CREATE, _IOW(0x94, 14, 4096 bytes) of
// linux/btrfs.h. The direction's bits differ between machines; FS_IOC_SETFLAGS
// is an _IOW as well.
const subvolCreate = unix.FS_IOC_SETFLAGS&0xe0000000 | 4096<<16 | 0x94<<8 | 14

// makeSubvolume makes a subvolume in a folder on btrfs, of the mode that a new
// folder has. On other file systems the error is ENOTTY.
func makeSubvolume(in *os.File, name string) error {
	// struct btrfs_ioctl_vol_args of linux/btrfs.h.
	var args struct {
		fd   int64
		name [4088]byte
	}
	if len(name) >= len(args.name) {
		return unix.ENAMETOOLONG
	}
	copy(args.name[:], name)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, in.Fd(), subvolCreate, uintptr(unsafe.Pointer(&args)))
	if e != 0 {
		return e
	}
	return nil
}
