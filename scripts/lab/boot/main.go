// Command boot is process 1 of an initramfs that holds lxc-pull and very little else.
// On a virtual machine (QEMU's "virt" board) it loads the drivers, sets up the network
// and mounts the disk. Then it runs lxc-pull with the arguments that the kernel passes
// on, reads back the files that lxc-pull wrote, prints the result on the console, and
// powers the machine off.
//
// It expects /lxc-pull and, in /modules, the kernel's modules, whose names sort in the
// order in which to load them. It mounts the disk on /disk. The network is that of
// QEMU's user mode (10.0.2.0/24; 10.0.2.2 is the host's loopback). Nothing else is
// mounted: no /proc, no /dev except for the console, no /tmp.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Println("boot: the clock says", time.Now().UTC().Format(time.RFC3339))
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("boot: FAILED:", err)
	} else {
		fmt.Println("boot: done")
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run(args []string) error {
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := setAddress("eth0", "10.0.2.15"); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := mountDisk("vda", "/disk", 0); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if err := start("/lxc-pull", args); err != nil {
		return err
	}
	// Mount the disk again, so that the files are read from it and not from memory.
	if err := unix.Unmount("/disk", 0); err != nil {
		return err
	}
	if err := mountDisk("vda", "/disk", unix.MS_RDONLY); err != nil {
		return fmt.Errorf("disk, again: %w", err)
	}
	files, bytes, err := readAll("/disk")
	fmt.Printf("boot: read back %d files, %d bytes\n", files, bytes)
	return err
}

// loadModules loads the kernel modules in a directory, in the order of their names.
func loadModules(dir string) error {
	names, err := filepath.Glob(dir + "/*.ko")
	if err != nil {
		return err
	}
	sort.Strings(names)
	for _, name := range names {
		module, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := unix.InitModule(module, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// eventually calls try until it succeeds, for up to ten seconds: a device appears some
// time after its driver is loaded.
func eventually(try func() error) error {
	var err error
	for range 100 {
		if err = try(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// setAddress gives an interface an IPv4 address in a /24 and switches it on.
func setAddress(name, address string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	var ip [4]byte
	if _, err := fmt.Sscanf(address, "%d.%d.%d.%d", &ip[0], &ip[1], &ip[2], &ip[3]); err != nil {
		return err
	}
	for _, step := range []struct {
		call    uint
		address [4]byte
	}{{unix.SIOCSIFADDR, ip}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 0}}} {
		if err := request.SetInet4Addr(step.address[:]); err != nil {
			return err
		}
		if err := eventually(func() error { return unix.IoctlIfreq(s, step.call, request) }); err != nil {
			return err
		}
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request)
}

// mountDisk mounts the block device with this kernel name on dir. devtmpfs is mounted
// only while mountDisk needs it.
func mountDisk(name, dir string, flags uintptr) error {
	const devices = "/devices"
	if err := os.MkdirAll(devices, 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("devtmpfs", devices, "devtmpfs", 0, ""); err != nil {
		return err
	}
	defer unix.Unmount(devices, 0)
	return eventually(func() error { return unix.Mount(devices+"/"+name, dir, "ext4", flags, "") })
}

// start runs a program with an empty environment and prints its time and memory.
func start(program string, args []string) error {
	began := time.Now()
	child, err := syscall.ForkExec(program, append([]string{program}, args...), &syscall.ProcAttr{Dir: "/", Files: []uintptr{0, 1, 2}})
	if err != nil {
		return err
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		// Process 1 also gets the orphans of other processes.
		pid, err := syscall.Wait4(-1, &status, 0, &usage)
		if err == syscall.EINTR || err == nil && pid != child {
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	fmt.Printf("boot: %d KiB resident at most, %.1f s\n", usage.Maxrss, time.Since(began).Seconds())
	if status.ExitStatus() != 0 {
		return fmt.Errorf("%s: status %#x", program, uint32(status))
	}
	return nil
}

// readAll reads every file of a tree.
func readAll(dir string) (files, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(io.Discard, f)
		files++
		bytes += n
		return err
	})
	if err == nil && files == 0 {
		err = errors.New("nothing there")
	}
	return files, bytes, err
}
