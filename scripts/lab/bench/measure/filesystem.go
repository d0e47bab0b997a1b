package measure

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A FileSystem is a new ext4 on a loop device, whose file is on the disk to measure.
type FileSystem struct {
	Dir  string // where it is mounted
	file string
}

// NewFileSystem makes a file system of size bytes, whose file is in dir, and mounts it there. All
// tables of the file system are written now, so that the kernel doesn't do that during a run.
func NewFileSystem(dir string, size int64) (*FileSystem, error) {
	f := &FileSystem{Dir: filepath.Join(dir, "mounted"), file: filepath.Join(dir, "ext4")}
	if err := os.Mkdir(f.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, argv := range [][]string{
		{"fallocate", "-l", fmt.Sprint(size), f.file},
		{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", f.file},
		{"mount", "-o", "loop", f.file, f.Dir},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			f.Remove()
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	return f, nil
}

// Remove unmounts the file system and removes its file.
func (f *FileSystem) Remove() {
	exec.Command("umount", f.Dir).Run()
	os.Remove(f.file)
	os.Remove(f.Dir)
}

// Settle writes everything that is in memory to the disks, and waits until the disks have been
// quiet for a quarter of a second, at most 10 seconds.
func Settle() {
	syscall.Sync()
	for last, quiet, end := "", 0, time.Now().Add(10*time.Second); quiet < 5 && time.Now().Before(end); quiet++ {
		text, _ := os.ReadFile("/proc/diskstats")
		if string(text) != last {
			last, quiet = string(text), 0
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// DropCaches makes the kernel forget the clean pages, names and inodes in memory.
func DropCaches() error {
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200)
}

// ReadTree reads the files of a directory, so that they are in memory.
func ReadTree(dir string) error {
	return exec.Command("tar", "-cf", "/dev/null", "--hard-dereference", "-C", dir, ".").Run()
}
