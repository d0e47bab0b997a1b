package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A lock is held by one process at a time. It is a flock(2) on a file made for it,
// which release removes. On a file system without flock (some FUSE, NFS without its lock
// service) the lock is instead the existence of a second file, the owner file, which
// names its owner.
//
// The lock file has mode 0600: a process can flock any file that it can open, and one
// that may not change the cache must not be able to hold its lock. A lock file of
// another mode is from an older version; other users may have it open, so its flock is
// ignored.
//
// A lock file that a power failure damaged (NULs, a cut line) is locked and
// written again: if flock succeeds, no process holds it.
//
// release removes the file while it is locked. A process that had opened it before and
// then gets the flock sees that the name leads to no file, or to another one, and opens
// the name again (isAt).
type lock struct {
	_       [0]func()  // forbids ==, whose code nothing needs
	dir     *directory // where the lock file is; the Slot closes it after release
	name    string
	file    *os.File      // nil: the lock is an owner file
	done    chan struct{} // release closes it to stop the heartbeat
	stopped chan struct{} // heartbeat closes it when it has returned
}

const (
	lockPoll   = 200 * time.Millisecond
	maxHolder  = 512              // bytes of a lock file: process id, host name, boot id
	beatEvery  = 30 * time.Second // how often a holder sets the time of its lock file
	deadAfter  = 5 * time.Minute  // a holder that has not set the time for so long is dead or stopped
	emptyOwner = 10 * time.Second // how long an owner file may be empty: its maker writes it at once
	// maxLockWait is how long a run waits for another download of the same image: half
	// a gigabyte at 150 kB/s. Then it goes on without the cache.
	maxLockWait = time.Hour
)

// wait waits for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// ErrLocked says that another process has locked the image.
var ErrLocked = errors.New("in use by another process")

// A lockedError is ErrLocked after a wait.
type lockedError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	holder string    // as for Cache.Waiting
	waited time.Duration
}

func (e *lockedError) Error() string {
	text := ErrLocked.Error()
	if e.holder != "" {
		text += ": " + e.holder
	}
	return text + " (waited " + e.waited.String() + ")"
}

func (e *lockedError) Unwrap() error { return ErrLocked }

// lock takes the lock name in dir. It returns a *lockedError after maxWait, of which Waiting is
// told if it is not 0, or once the holder of a flock has not set the file's time for deadAfter: the holder is stopped or its machine
// can't be reached, since the kernel releases the flock of a process that ends.
func (c *Cache) lock(ctx context.Context, dir *directory, name string, maxWait time.Duration) (*lock, error) {
	flock, pause := !c.noFlock, c.pause
	if pause == nil {
		pause = wait
	}
	var beat time.Time               // the file's time
	var waited, silent time.Duration // in all, and since the file's time changed
	for first := true; ; first = false {
		l, err := c.try(dir, name, &flock, silent >= deadAfter)
		if l != nil || err != nil {
			return l, err
		}
		if first && maxWait > 0 && c.Waiting != nil {
			c.Waiting(holder(dir, name))
		}
		if waited >= maxWait || flock && silent >= deadAfter {
			return nil, &lockedError{holder: holder(dir, name), waited: waited}
		}
		// Add up the pauses instead of comparing times: the clocks of two machines
		// differ.
		waited += lockPoll
		silent += lockPoll
		file := name
		if !flock {
			file += ownerSuffix
		}
		if t, ok := dir.modified(file); !ok || !t.Equal(beat) {
			beat, silent = t, 0
		}
		if err := pause(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// holder describes the process that holds a lock: "process 12", with the host name if
// it runs on another machine. It returns "" if the process is not known.
func holder(dir *directory, name string) string {
	text, err := dir.read(name, maxHolder)
	if err != nil || len(text) == 0 {
		text, _ = dir.read(name+ownerSuffix, maxHolder)
	}
	pid, host, ok := parseHolder(text)
	if !ok {
		return ""
	}
	process := "process " + strconv.Itoa(pid)
	if here, _ := os.Hostname(); host != here {
		process += " on " + strconv.Quote(host)
	}
	return process
}

// parseHolder parses the line that self returns.
func parseHolder(text []byte) (pid int, host string, ok bool) {
	fields := strings.Split(strings.TrimSuffix(string(text), "\n"), "\t")
	if len(fields) != 3 {
		return 0, "", false
	}
	pid, err := strconv.Atoi(fields[0])
	return pid, fields[1], err == nil && pid > 0
}

// ownerSuffix is added to a lock's name for its owner file.
const ownerSuffix = ".owner"

// try returns nil, nil if another process has the lock. It tries flock first, if flock is true,
// and sets it to false if the file system has none. holderDead says that an owner file may be
// taken over.
func (c *Cache) try(dir *directory, name string, flock *bool, holderDead bool) (l *lock, err error) {
	if *flock {
		l, err = tryFlock(dir, name)
		switch {
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			*flock = false
			dir.remove(name)
		case l != nil:
			// If this process is killed, the cache's owner can remove the file.
			c.giveAway(l.file)
			l.file.Truncate(0)
			l.file.WriteString(self()) // for people; a full disk is no reason to fail
			go l.heartbeat()
			return l, nil
		default:
			return nil, err
		}
	}
	return c.tryOwner(dir, name+ownerSuffix, holderDead)
}

// tryFlock locks the lock file; nil, nil: another process has locked it, or has just
// removed it.
func tryFlock(dir *directory, name string) (*lock, error) {
	f, err := openLock(dir, name)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil && isAt(f, dir, name) {
		return &lock{dir: dir, name: name, file: f, done: make(chan struct{}), stopped: make(chan struct{})}, nil
	}
	f.Close()
	if err == unix.EWOULDBLOCK {
		err = nil
	}
	return nil, dir.wrap("lock", name, err)
}

// openLock opens or creates a lock file that other users can't have open.
func openLock(dir *directory, name string) (*os.File, error) {
	for {
		f, err := dir.openFile(name, unix.O_RDWR|unix.O_CREAT, 0o600)
		if err != nil {
			return nil, err
		}
		text := make([]byte, maxHolder+1)
		n, err := f.ReadAt(text, 0)
		if err != nil && err != io.EOF || !isLock(text[:n]) && !dir.isDamagedLock(name, text[:n]) {
			f.Close()
			return nil, dir.notOurs(name)
		}
		if private(f) {
			return f, nil
		}
		// The file is from an older version: replace it. On a file system that does
		// not store modes (FAT) a new file would be no better.
		if f.Chmod(0o600) != nil || !private(f) {
			return f, nil
		}
		if isAt(f, dir, name) {
			err = dir.remove(name)
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// private reports whether the mode of f lets only its owner open it.
func private(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&0o077 == 0
}

// isAt reports whether the name in dir leads to f.
func isAt(f *os.File, dir *directory, name string) bool {
	var mine, there unix.Stat_t
	return unix.Fstat(int(f.Fd()), &mine) == nil &&
		unix.Fstatat(int(dir.file.Fd()), name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		mine.Dev == there.Dev && mine.Ino == there.Ino
}

// tryOwner creates the owner file, or removes one whose owner is dead, so that the
// next try can create it. nil, nil: there is, or was, an owner file.
func (c *Cache) tryOwner(dir *directory, name string, holderDead bool) (*lock, error) {
	f, err := dir.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err == nil {
		c.giveAway(f)
		_, err = f.WriteString(self())
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			dir.remove(name)
			return nil, err
		}
		l := &lock{dir: dir, name: name, done: make(chan struct{}), stopped: make(chan struct{})}
		go l.heartbeat()
		return l, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	owner, err := dir.read(name, maxHolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if !isLock(owner) && !dir.isDamagedLock(name, owner) {
		return nil, dir.notOurs(name)
	}
	if !holderDead && !abandoned(dir, name, owner) {
		return nil, nil
	}
	// Rename the file before removing it: another process may have done the same and
	// created its own owner file since the read, which must not be removed.
	aside := name + "." + strconv.Itoa(os.Getpid())
	if dir.rename(name, aside) != nil {
		return nil, nil
	}
	if now, err := dir.read(aside, maxHolder); err == nil && !bytes.Equal(now, owner) {
		dir.rename(aside, name)
		return nil, nil
	}
	return nil, dir.remove(aside)
}

// heartbeat sets the time of the lock file regularly, which shows processes on this and
// other machines that the holder is alive.
func (l *lock) heartbeat() {
	tick := time.NewTicker(beatEvery)
	for {
		select {
		case <-l.done:
			tick.Stop()
			close(l.stopped)
			return
		case <-tick.C:
			l.dir.touch(l.name, 0)
		}
	}
}

// self returns the line in a lock file that describes this process: process id, host
// name and boot id, between tabs.
func self() string {
	host, _ := os.Hostname()
	return strconv.Itoa(os.Getpid()) + "\t" + host + "\t" + bootID() + "\n"
}

// bootID returns the kernel's random id of this boot, "" if /proc is not mounted.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// abandoned reports whether the process that an owner file describes has certainly
// ended: the file names this machine, and an earlier boot of it or a process that does
// not exist.
func abandoned(dir *directory, name string, owner []byte) bool {
	pid, host, ok := parseHolder(owner)
	if !ok {
		// An empty file: its process was killed between creating and writing it. A
		// damaged file: only the missing heartbeat shows that its process has ended.
		limit := emptyOwner
		if len(owner) > 0 {
			limit = deadAfter
		}
		t, ok := dir.modified(name)
		return ok && time.Since(t) > limit
	}
	if here, _ := os.Hostname(); host != here {
		return false
	}
	boot := strings.TrimSuffix(string(owner[bytes.LastIndexByte(owner, '\t')+1:]), "\n")
	if now := bootID(); boot != now && boot != "" && now != "" {
		return true
	}
	return unix.Kill(pid, 0) == unix.ESRCH
}

// release stops the heartbeat and removes the lock file.
func (l *lock) release() error {
	close(l.done)
	<-l.stopped // the heartbeat uses l.dir, which the Slot closes next
	if l.file == nil {
		// Another process may have taken the lock over while this machine was suspended.
		if owner, err := l.dir.read(l.name, maxHolder); err != nil || string(owner) != self() {
			return err
		}
		return l.dir.remove(l.name)
	}
	var err error
	if isAt(l.file, l.dir, l.name) {
		err = l.dir.remove(l.name)
	}
	if e := l.file.Close(); err == nil {
		err = e
	}
	return err
}
