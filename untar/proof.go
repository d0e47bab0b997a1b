package untar

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// newID returns a run's ID. The Go runtime seeds this generator with 16 random bytes that
// the kernel gives to each program (AT_RANDOM, getauxval(3)). Unlike getrandom(2) it never
// blocks, even early in the boot of a small board.
func newID() string { return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) }

// isID reports whether s has the form of an ID.
func isID(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// proofName returns the name of the proof, the file that shows which run is filling a
// directory.
func proofName(id string) string { return ".lxc-pull-" + id }

// prove makes the proof in the directory.
func (t *Target) prove(id string) error {
	name := proofName(id)
	if err := t.sign(name, unix.O_CREAT|unix.O_EXCL); err != nil {
		return pathError("make a file in", t.path, err)
	}
	t.proof, t.root.own = name, append(t.root.own, name)
	return nil
}

// sign writes the process ID into the proof. It ignores errors of the write: the process
// ID is for messages only, and a full disk makes a later call fail.
func (t *Target) sign(name string, flags int) error {
	fd, err := openat(t.root.fd, cname(name+"\x00"), flags|unix.O_WRONLY|openFlags, 0600)
	if err == nil {
		unix.Write(fd, strconv.AppendInt(nil, int64(os.Getpid()), 10))
		unix.Close(fd)
	}
	return err
}

// unprove removes the proof before the marker is removed. On a single file system the
// order survives a power cut; across two file systems a sync has to enforce it.
func (t *Target) unprove() error {
	if t.proof == "" {
		return nil
	}
	if err := t.root.removeOwn(t.proof); err != nil {
		return err
	}
	t.proof = ""
	var in, beside unix.Stat_t
	if unix.Fstat(t.root.fd, &in) == nil && unix.Fstat(int(t.parent.Fd()), &beside) == nil && in.Dev == beside.Dev {
		return nil
	}
	return t.syncRoot()
}

// isOurs reports whether st belongs to a regular file that this user made, and that has
// no second name at a place of another user's choice.
func isOurs(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Uid == uint32(os.Geteuid()) && st.Nlink == 1
}

// holds reports whether a directory contains the proof of the run with this ID.
func (r *Root) holds(id string) bool {
	var st unix.Stat_t
	return isID(id) && unix.Fstatat(r.fd, proofName(id), &st, unix.AT_SYMLINK_NOFOLLOW) == nil && isOurs(&st)
}

// busy returns the error for another run, with its process ID if r contains its proof.
func (t *Target) busy(r *Root, id string) error {
	err := ErrBusy
	if r.holds(id) {
		if fd, e := openat(r.fd, cname(proofName(id)+"\x00"), unix.O_RDONLY|openFlags|unix.O_NONBLOCK, 0); e == nil {
			text, _ := readFD(fd, t.path, 32)
			unix.Close(fd)
			if pid, e := strconv.Atoi(strings.TrimSpace(string(text))); e == nil && pid > 0 {
				err = &BusyError{pid}
			}
		}
	}
	return pathError("fill", t.path, err)
}

// tryLock locks a file or directory that only this user can open. The kernel releases the
// lock when the process ends. The error is EWOULDBLOCK if another run has the lock, and
// another error if the file system has no locks.
func tryLock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}
