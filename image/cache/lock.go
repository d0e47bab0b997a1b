package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A lock is held by one process at a time. It is a flock(2) on a file of its
// own, which is gone when nobody holds it; where the file system has no flock
// (some FUSE, NFS without its lock service), it is the existence of a second
// file that names its owner.
//
// A flock needs no more than an open file, and a read lock of fcntl(2) no more
// than one that is open for reading. So the file has mode 0600: who may not
// change the cache can't hold up who may. A file of another mode is what an older
// version left; anybody may have it open, and so its lock means nothing.
//
// What a power failure left of a lock (NULs, a line that is cut off) is locked and
// written anew: the flock is the proof that nobody holds it.
//
// The file is removed while it is locked; whoever has it open and gets the lock
// after that sees that the name leads elsewhere, and begins anew.
type lock struct {
	dir  directory // where it is; the holder's, open until release
	name string
	file *os.File      // nil: by owner file
	done chan struct{} // closed to end the beating of the file's heart
	gone chan struct{} // closed when it has ended
}

const (
	lockPoll   = 200 * time.Millisecond
	maxOwner   = 512              // bytes of who holds a lock: host name, boot id, pid
	heartbeat  = 30 * time.Second // how often who holds it sets the file's time
	lifeless   = 5 * time.Minute  // after which who did not is gone or stopped, wherever it ran
	emptyOwner = 10 * time.Second // how long an owner file may be empty: it is written at once
	// maxLockWait bounds the wait for another creation of the same image: half a
	// gigabyte at 150 kB/s. After that the run goes on without the cache.
	maxLockWait = time.Hour
)

// A waiter is how a lock is waited for.
type waiter struct {
	flock bool                                             // try flock first
	most  time.Duration                                    // to wait
	told  func(holder string)                              // called once before waiting; may be nil
	pause func(ctx context.Context, d time.Duration) error // waits
	own   func(*os.File)                                   // gives a file to the cache's owner
}

// wait waits for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// A LockedError says that a lock was waited for in vain.
type LockedError struct {
	Holder string // as in Cache.Waiting
	Waited time.Duration
}

func (e *LockedError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("%v (waited %v)", ErrLocked, e.Waited)
	}
	return fmt.Sprintf("%v: %s (waited %v)", ErrLocked, e.Holder, e.Waited)
}

func (e *LockedError) Unwrap() error { return ErrLocked }

// acquire takes the lock. A *LockedError says that it waited as long as it may,
// or as long as who holds it can have been silent.
func (w waiter) acquire(ctx context.Context, dir directory, name string) (*lock, error) {
	var seen time.Time              // of the file
	var waited, still time.Duration // in all, and since it had another time
	for first := true; ; first = false {
		l, err := w.try(dir, name, still >= lifeless)
		if l != nil || err != nil {
			return l, err
		}
		if first && w.told != nil {
			w.told(holder(dir, name))
		}
		if waited >= w.most || w.flock && still >= lifeless {
			return nil, &LockedError{holder(dir, name), waited}
		}
		// Only the waiting is counted: clocks of two machines differ.
		waited += lockPoll
		still += lockPoll
		beating := name
		if !w.flock {
			beating += ownerSuffix
		}
		if t, ok := dir.modified(beating); !ok || !t.Equal(seen) {
			seen, still = t, 0
		}
		if err := w.pause(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// holder says who has a lock: "process 12", with the machine where it is
// another one. "" where that is not known.
func holder(dir directory, name string) string {
	text, err := dir.read(name, maxOwner)
	if err != nil || len(text) == 0 {
		text, _ = dir.read(name+ownerSuffix, maxOwner)
	}
	pid, host, ok := parseOwner(text)
	if !ok {
		return ""
	}
	if here, _ := os.Hostname(); host != here {
		return fmt.Sprintf("process %d on %q", pid, host)
	}
	return fmt.Sprintf("process %d", pid)
}

// parseOwner reads what self wrote.
func parseOwner(text []byte) (pid int, host string, ok bool) {
	fields := strings.Split(strings.TrimSuffix(string(text), "\n"), "\t")
	if len(fields) != 3 {
		return 0, "", false
	}
	pid, err := strconv.Atoi(fields[0])
	return pid, fields[1], err == nil && pid > 0
}

// ownerSuffix makes the lock's name the owner file's.
const ownerSuffix = ".owner"

// try returns nil, nil when somebody else has the lock. lost says that an owner
// file is nobody's any more.
func (w *waiter) try(dir directory, name string, lost bool) (l *lock, err error) {
	if w.flock {
		l, err = tryFlock(dir, name)
		switch {
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			w.flock = false
			dir.remove(name)
		case l != nil:
			// Should this process be killed, the owner can still use what is left.
			w.own(l.file)
			l.file.Truncate(0)
			l.file.WriteString(self()) // for people: a full disk is no reason to fail
			go l.beat()
			return l, nil
		default:
			return nil, err
		}
	}
	return w.tryOwner(dir, name+ownerSuffix, lost)
}

func tryFlock(dir directory, name string) (*lock, error) {
	f, err := openLock(dir, name)
	if err != nil {
		return nil, err
	}
	err = retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == nil && isAt(f, dir, name) {
		return &lock{dir: dir, name: name, file: f, done: make(chan struct{}), gone: make(chan struct{})}, nil
	}
	f.Close()
	if err == unix.EWOULDBLOCK {
		err = nil
	}
	return nil, dir.wrap("lock", name, err)
}

// openLock opens or makes a lock file that nobody else can have open.
func openLock(dir directory, name string) (*os.File, error) {
	for {
		f, err := dir.openFile(name, unix.O_RDWR|unix.O_CREAT, 0o600)
		if err != nil {
			return nil, err
		}
		text := make([]byte, maxOwner+1)
		n, err := f.ReadAt(text, 0)
		if err != nil && err != io.EOF || !isLock(text[:n]) && !dir.isRemnant(name, text[:n]) {
			f.Close()
			return nil, dir.notOurs(name)
		}
		if private(f) {
			return f, nil
		}
		// Of an older version. Where modes can't be set (FAT), no file is better.
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

// private reports whether only its owner may open f.
func private(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&0o077 == 0
}

// isAt reports whether f is what the name in dir leads to.
func isAt(f *os.File, dir directory, name string) bool {
	var mine, there unix.Stat_t
	return unix.Fstat(int(f.Fd()), &mine) == nil &&
		unix.Fstatat(int(dir.Fd()), name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		mine.Dev == there.Dev && mine.Ino == there.Ino
}

func (w *waiter) tryOwner(dir directory, name string, lost bool) (*lock, error) {
	f, err := dir.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err == nil {
		w.own(f)
		_, err = f.WriteString(self())
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			dir.remove(name)
			return nil, err
		}
		l := &lock{dir: dir, name: name, done: make(chan struct{}), gone: make(chan struct{})}
		go l.beat()
		return l, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	owner, err := dir.read(name, maxOwner)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if !isLock(owner) && !dir.isRemnant(name, owner) {
		return nil, dir.notOurs(name)
	}
	if !lost && !abandoned(dir, name, owner) {
		return nil, nil
	}
	// Moved aside first, so that of two who find it abandoned one does not
	// remove the other's new lock.
	aside := name + "." + strconv.Itoa(os.Getpid())
	if dir.rename(name, aside) != nil {
		return nil, nil
	}
	if now, err := dir.read(aside, maxOwner); err == nil && !bytes.Equal(now, owner) {
		dir.rename(aside, name)
		return nil, nil
	}
	return nil, dir.remove(aside)
}

// beat shows others, on whatever machine, that the owner is there.
func (l *lock) beat() {
	defer close(l.gone)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
			now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
			unix.UtimesNanoAt(int(l.dir.Fd()), l.name, now, unix.AT_SYMLINK_NOFOLLOW)
		}
	}
}

// self describes this process so that others can tell whether it still lives.
func self() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%d\t%s\t%s\n", os.Getpid(), host, bootID())
}

// bootID changes at every start of the system; "" where /proc is missing.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// abandoned reports whether the process that an owner file describes is surely
// gone: this machine, and another start of it or no such process.
func abandoned(dir directory, name string, owner []byte) bool {
	pid, host, ok := parseOwner(owner)
	if !ok {
		// Its process was killed between creating and writing it; or a power failure
		// took what it wrote, and then only the heart that does not beat tells.
		most := emptyOwner
		if len(owner) > 0 {
			most = lifeless
		}
		t, ok := dir.modified(name)
		return ok && time.Since(t) > most
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

// release gives the lock up.
func (l *lock) release() error {
	close(l.done)
	<-l.gone // it uses l.dir, which the holder closes next
	if l.file == nil {
		// After a long sleep of the machine it may be another's.
		if owner, err := l.dir.read(l.name, maxOwner); err != nil || string(owner) != self() {
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
