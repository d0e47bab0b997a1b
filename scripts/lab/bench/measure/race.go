package measure

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Way is one candidate of a race and its measurements.
type Way struct {
	Name string
	Argv func(dir string) []string // its command, with an empty directory to work in
	Made string                    // the directory below dir that it must fill; "": none

	Wall, CPU    []float64 // seconds
	Memory, Disk []int64   // bytes
}

// Run measures one run in dir, which it makes anew: the wall time; the processor time, the peak
// of the resident memory of all processes; and the peak of the bytes on a disk besides what is
// in dir/Made: caches, temporary files, and deleted files that are still open. prepare is called
// before the run, env is added to the environment.
func (w *Way) Run(dir string, env []string, prepare func() error) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, d := range []string{filepath.Join(dir, w.Made), dir + "/tmp"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := prepare(); err != nil {
		return err
	}
	syscall.Sync() // so that earlier writes don't count
	argv := w.Argv(dir)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), "TMPDIR="+dir+"/tmp"), env...)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var memory, disk int64
	for tick := time.Tick(5 * time.Millisecond); ; {
		select {
		case <-tick:
			processes := family(cmd.Process.Pid)
			sum := int64(0)
			for _, pid := range processes {
				if len(processes) == 1 {
					sum += HighWater(pid)
				} else {
					sum += Resident(pid)
				}
			}
			memory = max(memory, sum<<10)
			disk = max(disk, sizes(dir, filepath.Join(dir, w.Made))+deleted(processes))
			continue
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%w: %s", err, output.String())
			}
		}
		break
	}
	w.Wall = append(w.Wall, time.Since(begin).Seconds())
	w.CPU = append(w.CPU, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	w.Memory, w.Disk = append(w.Memory, memory), append(w.Disk, disk)
	if entries, err := os.ReadDir(filepath.Join(dir, w.Made)); w.Made != "" && (err != nil || len(entries) == 0) {
		return fmt.Errorf("nothing was made: %s", output.String())
	}
	return nil
}

// family is a process with its descendants.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", all[i], all[i]))
		for _, f := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(f); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// sizes returns the bytes in dir, without those in the directory besides.
func sizes(dir, besides string) int64 {
	sum := int64(0)
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed in the meantime
		}
		if entry.IsDir() && path == besides && path != dir {
			return fs.SkipDir
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// deleted returns the bytes of deleted files that processes still have open.
func deleted(processes []int) int64 {
	sum := int64(0)
	for _, pid := range processes {
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range open {
			if target, err := os.Readlink(fd); err != nil || !strings.HasSuffix(target, " (deleted)") {
				continue
			}
			if info, err := os.Stat(fd); err == nil && info.Mode().IsRegular() {
				sum += info.Size()
			}
		}
	}
	return sum
}
