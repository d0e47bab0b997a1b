package untar

import "golang.org/x/sys/unix"

// earlyBytes is how much content an extraction writes, in bytes, before it has the kernel write
// it to the disk. What is written last waits for Sync, so less is better; and each syncfs(2) ends
// with a commit of the file system's journal, so more is better. A disk takes longer to write
// this much than to commit, be it an SD card (seconds) or an NVMe disk (tens of milliseconds).
const earlyBytes = 32 << 20

// An earlySync has files written to the disk while later ones are extracted. Otherwise Linux
// begins with that after 30 seconds or when a tenth of the memory waits for it
// (Documentation/admin-guide/sysctl/vm.rst, dirty_expire_centisecs and
// dirty_background_ratio), and the disk is idle until Sync.
//
// It calls syncfs(2) in a goroutine. The alternative is sync_file_range(2) for each file, as
// dpkg does. For files of 20 KiB, as most are, that costs up to three times the system time:
// the kernel sends each file to the disk by itself. It also leaves the inodes and directories
// for Sync. On file systems in memory both do nothing.
type earlySync struct {
	_       [0]func()  // forbids ==, whose code nothing needs
	waiting int64      // bytes that were written since the last call began
	running chan error // gets the result of the call that runs, and has room for it; nil: none runs
	err     error      // of an earlier call
}

// wrote counts n bytes of content that were written to a file below the root, and begins to
// write to the disk if enough has come together. A disk that is slower than the extraction always
// writes, and all that came together in the meantime is written by the next call.
func (r *Root) wrote(n int) {
	s := &r.early
	if s.waiting += int64(n); s.waiting < earlyBytes {
		return
	}
	if s.running != nil && len(s.running) == 0 {
		return
	}
	s.wait()
	done, fd := make(chan error, 1), r.fd
	s.waiting, s.running = 0, done
	go func() { done <- unix.Syncfs(fd) }()
}

// wait waits until no call runs, and returns the first error of all calls. The error stays: the
// kernel reports a failed write only once for a descriptor.
func (s *earlySync) wait() error {
	if s.running != nil {
		err := <-s.running
		if s.running = nil; s.err == nil {
			s.err = err
		}
	}
	return s.err
}
