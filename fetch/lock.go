package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
// The file is removed while it is locked; whoever has it open and gets the lock
// after that sees that the name leads elsewhere, and begins anew.
type lock struct {
	dir  folder // where it is; the holder's, open until release
	name string
	file *os.File      // nil: by owner file
	done chan struct{} // closed to end the beating of an owner file's heart
}

const (
	lockPoll   = 200 * time.Millisecond
	maxOwner   = 512              // bytes of an owner file: host name, boot id, pid
	heartbeat  = 30 * time.Second // how often its owner sets the file's time
	lifeless   = 5 * time.Minute  // after which an owner that did not is gone, wherever it ran
	emptyOwner = 10 * time.Second // how long an owner file may be empty: it is written at once
)

// acquire takes the lock, waiting as long as it must; waiting is called once if
// so. flock says whether to try flock first.
func acquire(ctx context.Context, dir folder, name string, flock bool, waiting func(), pause func(context.Context, time.Duration) error) (*lock, error) {
	var seen time.Time      // of the owner file
	var still time.Duration // how long it has been that
	for first := true; ; first = false {
		l, err := try(dir, name, &flock, still >= lifeless)
		if l != nil || err != nil {
			return l, err
		}
		if first && waiting != nil {
			waiting()
		}
		// Only the waiting is counted: clocks of two machines differ.
		still += lockPoll
		if t, ok := dir.modified(name + ownerSuffix); !ok || !t.Equal(seen) {
			seen, still = t, 0
		}
		if err := pause(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// ownerSuffix makes the lock's name the owner file's.
const ownerSuffix = ".owner"

// try returns nil, nil when somebody else has the lock. lost says that an owner
// file is nobody's any more.
func try(dir folder, name string, flock *bool, lost bool) (*lock, error) {
	if *flock {
		l, err := tryFlock(dir, name)
		switch {
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			*flock = false
			dir.remove(name)
		default:
			return l, err
		}
	}
	return tryOwner(dir, name+ownerSuffix, lost)
}

func tryFlock(dir folder, name string) (*lock, error) {
	f, err := dir.openFile(name, unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return nil, err
	}
	err = retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == nil {
		var mine, there unix.Stat_t
		err = unix.Fstat(int(f.Fd()), &mine)
		if err == nil && unix.Fstatat(int(dir.Fd()), name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			mine.Dev == there.Dev && mine.Ino == there.Ino {
			return &lock{dir: dir, name: name, file: f}, nil
		}
	}
	f.Close()
	if err == unix.EWOULDBLOCK {
		err = nil
	}
	return nil, dir.wrap("lock", name, err)
}

func tryOwner(dir folder, name string, lost bool) (*lock, error) {
	f, err := dir.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
	if err == nil {
		_, err = f.WriteString(self())
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			dir.remove(name)
			return nil, err
		}
		l := &lock{dir: dir, name: name, done: make(chan struct{})}
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
	id, err := readCapped("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// abandoned reports whether the process that an owner file describes is surely
// gone: this machine, and another start of it or no such process.
func abandoned(dir folder, name string, owner []byte) bool {
	if len(owner) == 0 {
		// Its process was killed between creating and writing it.
		var st unix.Stat_t
		err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		return err == nil && time.Since(time.Unix(st.Mtim.Unix())) > emptyOwner
	}
	fields := strings.Split(strings.TrimSuffix(string(owner), "\n"), "\t")
	if len(fields) != 3 {
		return false
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 0 {
		return false
	}
	if here, _ := os.Hostname(); fields[1] != here {
		return false
	}
	if boot, now := fields[2], bootID(); boot != now && boot != "" && now != "" {
		return true
	}
	return unix.Kill(pid, 0) == unix.ESRCH
}

// release gives the lock up.
func (l *lock) release() error {
	if l.file == nil {
		close(l.done)
		// After a long sleep of the machine it may be another's.
		if owner, err := l.dir.read(l.name, maxOwner); err != nil || string(owner) != self() {
			return err
		}
	}
	err := l.dir.remove(l.name)
	if l.file != nil {
		if e := l.file.Close(); err == nil {
			err = e
		}
	}
	return err
}
