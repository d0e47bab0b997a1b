package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// endsWithin is how long a command may take to end after a signal. A fraction of a second is
// enough, except on a busy machine.
const endsWithin = 5 * time.Second

// A cancelReader does not read when a signal interrupts poll: there is no input, so the read
// would wait for ever. The context is done a little later, when the goroutine that receives the
// signal has run.
func TestSignalInterruptsWait(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	thread, ended := make(chan int), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		_, err := newCancelReader(ctx, r).Read(make([]byte, 1))
		ended <- err
	}()
	id := <-thread
	for range 20 { // at least one signal comes while the thread waits in poll
		time.Sleep(10 * time.Millisecond)
		if err := unix.Tgkill(os.Getpid(), id, unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		<-signals
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Read returned %v", err)
		}
	case <-time.After(endsWithin):
		t.Error("Read did not return")
	}
}

// A signal ends every command that waits for input, for the other end of a FIFO, or for a
// reader of its output. The status is 128 and the signal's number, a message says so, and
// nothing unfinished is left on the disk.
func TestSignalWhileWaiting(t *testing.T) {
	needsKernel(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) {
		if err := os.WriteFile(at(name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("key", signify("public key", signer().Public().(ed25519.PublicKey)))
	write("sig", signed([]byte("hello\n")))
	write("big", bytes.Repeat([]byte("hello\n"), 1<<20))
	var archive, many bytes.Buffer
	w := tar.NewWriter(&archive)
	w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: 1 << 20})
	w.Write(make([]byte, 200_000)) // the rest is never written
	w = tar.NewWriter(&many)
	for range 2000 { // more names than a pipe holds
		w.WriteHeader(&tar.Header{Name: strings.Repeat("n", 250) + "/", Mode: 0o755})
	}
	w.Close()
	write("many", many.Bytes())

	for _, c := range []struct {
		name  string
		args  []string
		input []byte // written to the command's standard input, which then stays open
		made  string // a file that the command has created when the signal is sent
	}{
		{"zcat", []string{"zcat"}, nil, ""},
		{"zcat, begun", []string{"zcat", "-f"}, []byte("hello\n"), ""},
		{"zcat -t", []string{"zcat", "-t", "-"}, nil, ""},
		{"zcat -l", []string{"zcat", "-l"}, nil, ""},
		{"zcat of a FIFO", []string{"zcat", at("fifo")}, nil, ""},
		{"zcat to a full pipe", []string{"zcat", "-f", at("big")}, nil, ""},
		{"untar", []string{"untar", "-C", at("out")}, nil, ""},
		{"untar, begun", []string{"untar", "-C", at("out")}, archive.Bytes(), ".out.partial-*/file"},
		{"untar of a FIFO", []string{"untar", "-C", at("out"), at("fifo")}, nil, ""},
		{"untar -X of a FIFO", []string{"untar", "-X", at("fifo"), "-C", at("out")}, nil, ""},
		{"untar -v to a full pipe", []string{"untar", "-v", "-C", at("out"), at("many")}, nil, ""},
		{"untar -t", []string{"untar", "-t"}, nil, ""},
		{"untar -t to a full pipe", []string{"untar", "-t", at("many")}, nil, ""},
		{"untar -O", []string{"untar", "-O"}, archive.Bytes(), ""},
		{"verify", []string{"verify", "--keyring", at("key"), at("sig"), "-"}, []byte("hello\n"), ""},
		{"verify of a message", []string{"verify", "-"}, nil, ""},
		{"verify with a FIFO of keys", []string{"verify", "--keyring", at("fifo"), at("sig"), "-"}, nil, ""},
		{"sopv verify", []string{"sopv", "verify", at("sig"), at("key")}, []byte("hello\n"), ""},
		{"sopv verify, keys", []string{"sopv", "verify", at("sig"), "@FD:0"}, nil, ""},
		{"sopv inline-verify", []string{"sopv", "inline-verify", "--verifications-out", at("out"), at("key")}, nil, "out"},
		{"fetch to a full pipe", []string{"fetch", "-o", "-", "file://" + at("big")}, nil, ""},
		{"fetch to a FIFO", []string{"fetch", "-o", at("fifo"), "file://" + at("big")}, nil, ""},
		{"create with a FIFO of keys", []string{"create", "x", "-P", at("lxc"), "-d", "a", "-r", "b", "--no-cache", "--keyring", at("fifo")}, nil, ""},
		{"create with a FIFO for a config", []string{"create", "x", "-P", at("lxc"), "-f", at("fifo"), "-d", "a", "-r", "b", "--no-cache"}, nil, ""},
		{"fetch with a FIFO of header lines", []string{"fetch", "-o", at("out"), "--header-file", at("fifo"), "file://" + at("big")}, nil, ""},
		{"fetch with a FIFO of certificates", []string{"fetch", "-o", at("out"), "--cacert", at("fifo"), "https://127.0.0.1:1/x"}, nil, ""},
		{"list with a FIFO of passwords", []string{"list", "--no-cache", "--netrc-file", at("fifo"), "--keyring", at("key")}, nil, ""},
		{"list with a FIFO of keys", []string{"list", "--no-cache", "--keyring", at("fifo")}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
				// If the signal came before the program caught it, try again and wait longer.
				for wait := 100 * time.Millisecond; ; wait *= 4 {
					own := t.TempDir() // directory of this run, which takes the place of dir for "out" and "lxc"
					// Each run has its own FIFO, since another run could open the other end.
					fifo := filepath.Join(t.TempDir(), "fifo")
					if err := syscall.Mkfifo(fifo, 0o600); err != nil {
						t.Fatal(err)
					}
					var args []string
					for _, a := range c.args {
						for _, name := range []string{"out", "lxc"} {
							if a == at(name) {
								a = filepath.Join(own, name)
							}
						}
						if a == at("fifo") {
							a = fifo
						}
						args = append(args, a)
					}
					made := c.made
					if made != "" {
						made = filepath.Join(own, made)
					}
					state, words := interrupt(t, s, wait, args, c.input, made)
					if status := state.Sys().(syscall.WaitStatus); status.Signaled() && status.Signal() == s && wait < 10*time.Second {
						continue
					}
					says := "lxc-pull: interrupted ("
					if (&ui{command: args[0]}).leavesNothing() {
						says = "lxc-pull: interrupted; nothing half-made is left"
					}
					if state.ExitCode() != exitSignal+int(s) || !strings.Contains("\n"+words, "\n"+says) {
						t.Errorf("%v: %v, %q", s, state, words)
					}
					if left, err := os.ReadDir(own); err != nil || len(left) > 0 {
						t.Errorf("%v: left %v, %v", s, left, err)
					}
					break
				}
			}
		})
	}
}

// interrupt runs the program with pipes as standard input and output, which stay open. It sends
// a signal when the file made is there and the time wait has passed, and returns how the
// program ended and what it wrote to standard error.
func interrupt(t *testing.T, s syscall.Signal, wait time.Duration, args []string, input []byte, made string) (*os.ProcessState, string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command("lxc-pull", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LXC_TEMPLATE_CONFIG="+t.TempDir()) // no LXC is found
	cmd.Stderr = &said
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer inWrite.Close()
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer outRead.Close()
	cmd.Stdin, cmd.Stdout = inRead, outWrite
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inRead.Close()
	outWrite.Close()
	go inWrite.Write(input) // some commands stop reading when their output is full
	for i := 0; made != ""; i++ {
		if found, _ := filepath.Glob(made); len(found) > 0 {
			break
		}
		if i == 1000 {
			t.Errorf("no %s", made)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(wait)
	if err := cmd.Process.Signal(s); err != nil {
		t.Errorf("it ended before the signal: %v", err)
	}
	late := time.AfterFunc(endsWithin, func() {
		t.Errorf("%v: it does not end", s)
		cmd.Process.Kill()
	})
	defer late.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState, said.String()
}

// A read of a terminal ends with the context, also if what poll has seen is gone. Here poll
// sees a byte, and Read waits for a second one.
func TestTerminalReadEnds(t *testing.T) {
	master, slave := openPTY(t)
	defer master.Close()
	defer slave.Close()
	modes, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	modes.Lflag &^= unix.ICANON
	modes.Cc[unix.VMIN], modes.Cc[unix.VTIME] = 2, 100
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, modes); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		master.WriteString("a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		begin := time.Now()
		n, err := newCancelReader(ctx, slave).Read(make([]byte, 2))
		cancel()
		if n == 1 && err == nil {
			continue // a signal of Go's scheduler ended read(2), which then returns what it has
		}
		if n != 0 || err == nil || time.Since(begin) > 5*time.Second {
			t.Errorf("%d, %v after %v", n, err, time.Since(begin))
		}
		master.WriteString("b") // it ends the read
		return
	}
	t.Error("no read waits for a second byte")
}

// A signal ends a command that waits for a file system which does not answer, as a network file
// system without its server does.
func TestSignalWhileMountHangs(t *testing.T) {
	needsKernel(t)
	dir := t.TempDir()
	hang, lxc, system := filepath.Join(dir, "hang"), filepath.Join(dir, "lxc"), filepath.Join(dir, "system")
	os.Mkdir(hang, 0o755)
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(fuse)
	if err := unix.Mount("hang", hang, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(hang, unix.MNT_DETACH)
	never := hang + "/x/y" // nobody reads the kernel's first request, so each later one waits
	for _, args := range []string{
		"create x a/b -P LXC --report NEVER", "create x a/b -P LXC --template-config NEVER", "create x a/b -P LXC --set lxc.include=NEVER",
		"create x a/b -P NEVER", "create x a/b -P NEVER --dry-run", "create x a/b -P NEVER --print-url",
		"rootfs NEVER a/b", "rootfs NEVER a/b --dry-run", "rootfs SYSTEM a/b --report NEVER",
	} {
		words := strings.Fields(strings.NewReplacer("NEVER", never, "LXC", lxc, "SYSTEM", system).Replace(args))
		words = append(words, "--server", "file:///nowhere", "--no-validate")
		state, said := interrupt(t, unix.SIGINT, 500*time.Millisecond, words, nil, "")
		if state.ExitCode() != exitSignal+int(unix.SIGINT) {
			t.Errorf("%s: %v, %q", args, state, said)
		}
		for _, made := range []string{lxc, system} {
			if _, err := os.Lstat(made); err == nil {
				t.Errorf("%s: %s is left", args, made)
			}
		}
	}
}
