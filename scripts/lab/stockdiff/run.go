package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An outcome is a result of the template's check of its user namespace.
type outcome string

const (
	outcomeNo   outcome = "no"          // no namespace: root's own containers
	outcomeRoot outcome = "userns-root" // root's containers with lxc.idmap, or a nested container
	outcomeYes  outcome = "yes"         // an ordinary user's containers
)

var outcomes = []outcome{outcomeNo, outcomeRoot, outcomeYes}

// IDs as lxc-create maps them for a user with subordinate IDs.
const (
	subID    = 100000 // the host's ID for the container's ID 0
	subRange = 65536
	userID   = 1000  // the user who calls lxc-create
	mappedID = 65536 // the user's ID in the namespace: the first free ID
)

const systemCache = "/var/cache/lxc"

// An enterSpec says how to call one program: in a mount namespace in which Side is mounted
// at View and its cache directory over the system's, and in a user namespace.
type enterSpec struct {
	Side, View string
	OwnTmp     bool // Side/tmp is mounted at /tmp
	Outcome    outcome
	Bare       bool // userns-root: a container's map, equal to that of its process 1
	Proc       bool // internal: the process is in its namespaces and must still mount /proc
	Argv       []string
	Path       string
	Env        []string
}

// A result has the output and exit status of a call.
type result struct {
	status         int
	stdout, stderr string
	requests       []string
	start          time.Time
}

// runTimeout is much longer than a small image takes. A program that needs longer waits for
// something that never comes, for instance from a FIFO.
const runTimeout = 30 * time.Second

func (s enterSpec) run() (result, error) {
	spec, err := json.Marshal(s)
	if err != nil {
		return result{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", enterWord, string(spec))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = s.Env
	r := result{start: time.Now().Add(-10 * time.Millisecond)} // the kernel's clock for file times is coarse
	err = cmd.Run()
	r.stdout, r.stderr = stdout.String(), stderr.String()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.status = -1
		r.stderr += "\n(ended after " + runTimeout.String() + ")"
	case errors.As(err, &exit):
		r.status = exit.ExitCode()
	case err != nil:
		return r, err
	}
	if r.status == enterFailed {
		return r, fmt.Errorf("enter the namespaces: %s", r.stderr)
	}
	return r, nil
}

const (
	enterWord   = "enter-namespaces" // argv[1] when the program calls itself
	enterFailed = 126
)

// enter is the child's side of run, in the new mount namespace. It doesn't return.
func enter(spec string) {
	var s enterSpec
	err := json.Unmarshal([]byte(spec), &s)
	if err == nil {
		err = s.enter()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(enterFailed)
}

func (s enterSpec) enter() error {
	unix.Umask(0o022) // as in lxc-create
	if s.Proc {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return fmt.Errorf("mount proc: %w", err)
		}
		return s.exec()
	}
	binds := [][2]string{{s.Side, s.View}, {filepath.Join(s.Side, "cache"), systemCache}}
	if s.OwnTmp {
		binds = append(binds, [2]string{filepath.Join(s.Side, "tmp"), "/tmp"})
	}
	for _, b := range binds {
		if err := unix.Mount(b[0], b[1], "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s on %s: %w", b[0], b[1], err)
		}
	}
	if s.Outcome == outcomeNo {
		return s.exec()
	}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: subID, Size: subRange}}
	switch {
	case s.Outcome == outcomeYes:
		ids = append(ids, syscall.SysProcIDMap{ContainerID: mappedID, HostID: userID, Size: 1})
	case !s.Bare:
		ids = append(ids, syscall.SysProcIDMap{ContainerID: mappedID, HostID: 0, Size: 1})
	}
	cmd := &exec.Cmd{Path: s.Path, Args: s.Argv, Env: s.Env, Dir: s.View, Stdout: os.Stdout, Stderr: os.Stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings:                ids,
		GidMappings:                ids,
		GidMappingsEnableSetgroups: true,
		Credential:                 &syscall.Credential{Uid: 0, Gid: 0},
		Pdeathsig:                  syscall.SIGKILL,
	}
	if s.Outcome == outcomeRoot && s.Bare {
		s.Proc = true
		spec, err := json.Marshal(s)
		if err != nil {
			return err
		}
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
		cmd.Path, cmd.Args = "/proc/self/exe", []string{"stockdiff", enterWord, string(spec)}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && state.Signaled() {
		os.Exit(128 + int(state.Signal()))
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

func (s enterSpec) exec() error {
	if err := os.Chdir(s.View); err != nil {
		return err
	}
	return syscall.Exec(s.Path, s.Argv, s.Env)
}

// A program is one of the two compared programs.
type program struct {
	name  string   // in messages
	path  string   // absolute
	extra []string // arguments after the user's
	stock bool     // it is the stock template
}

// A side is one program's directory for one case; both programs see it at the same path.
type side struct {
	dir     string
	view    string
	program program
	local   bool   // the templates are lxc-local
	lxcpath string // below the view
	name    string // container
}

func (s *side) host(rel string) string   { return filepath.Join(s.dir, rel) }
func (s *side) inside(rel string) string { return filepath.Join(s.view, rel) }
func (s *side) container() string        { return filepath.Join(s.lxcpath, s.name) }

// owners returns the host's IDs of the container's owner, who called lxc-create, and of the
// container's root.
func (o outcome) owners(bare bool) (owner, root int) {
	switch {
	case o == outcomeYes:
		return userID, subID
	case o == outcomeRoot && bare:
		return subID, subID
	case o == outcomeRoot:
		return 0, subID
	}
	return 0, 0
}

// prepare makes the side's directories as they are before a template's first call.
func (s *side) prepare(p *plan, a *authority) error {
	owner, _ := p.outcome.owners(p.bare)
	directories := []string{"", "cache", "home", "tmp", "trust", "elsewhere"}
	for dir := s.lxcpath; dir != "."; dir = filepath.Dir(dir) {
		directories = append(directories, dir)
	}
	for _, dir := range directories {
		if err := os.MkdirAll(s.host(dir), 0o755); err != nil {
			return err
		}
		if err := os.Chown(s.host(dir), owner, owner); err != nil {
			return err
		}
	}
	if err := os.Chmod(s.host("tmp"), 0o1777); err != nil {
		return err
	}
	files := map[string][]byte{
		"trust/key.asc": a.key,
		"trust/ca.pem":  a.ca,
		"home/.wgetrc":  []byte("ca_certificate = " + s.inside("trust/ca.pem") + "\nca_directory = /nonexistent\nhsts = off\n"),
	}
	for name, data := range files {
		if err := os.WriteFile(s.host(name), data, 0o644); err != nil {
			return err
		}
	}
	return s.newContainer(p)
}

// newContainer makes the container's directory as lxc-create does before it calls
// the template.
func (s *side) newContainer(p *plan) error {
	owner, root := p.outcome.owners(p.bare)
	dir := s.host(s.container())
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o770); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		return err
	}
	config := p.config
	if s.program.stock {
		config = p.stockConfig
	}
	config = bytes.ReplaceAll(config, []byte("@ROOTFS@"), []byte(s.inside(s.container()+"/rootfs")))
	if err := os.WriteFile(filepath.Join(dir, "config"), config, 0o600); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(dir, "config"), os.FileMode(p.confMode)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "partial"), nil, 0); err != nil {
		return err
	}
	confOwner := owner
	if p.outcome == outcomeNo {
		confOwner = p.confUID
	}
	for name, id := range map[string]int{"": owner, "partial": owner, "config": confOwner, "rootfs": root} {
		if err := os.Chown(filepath.Join(dir, name), id, id); err != nil {
			return err
		}
	}
	return nil
}

// localDir is the directory below the view with the files that lxc-local takes.
const localDir = "image"

// putFiles makes the files that lxc-local takes.
func (s *side) putFiles(rootfs, meta []byte) error {
	if err := os.MkdirAll(s.host(localDir), 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(s.host(localDir+"/rootfs.tar.xz"), rootfs, 0o644), os.WriteFile(s.host(localDir+"/meta.tar.xz"), meta, 0o644))
}

// create calls the program as lxc-create does.
func (s *side) create(p *plan, srv *server, words ...string) (result, error) {
	container := s.inside(s.container())
	argv := []string{filepath.Base(s.program.path), "--path=" + container, "--name=" + s.name, "--rootfs=" + container + "/rootfs",
		"--dist", p.dist, "-r", p.release, "--arch=" + p.arch, "--server", srv.name()}
	if s.local {
		argv = append(argv[:4], "-f", s.inside(localDir+"/rootfs.tar.xz"), "--metadata="+s.inside(localDir+"/meta.tar.xz"))
	} else if p.variant != "default" {
		argv = append(argv, "--variant", p.variant)
	}
	for _, word := range s.program.extra {
		argv = append(argv, strings.ReplaceAll(word, "@VIEW@", s.view))
	}
	argv = append(argv, words...)
	if p.outcome == outcomeYes || p.outcome == outcomeRoot && !p.bare {
		argv = append(argv, "--mapped-uid", fmt.Sprint(mappedID), "--mapped-gid", fmt.Sprint(mappedID))
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + s.inside("home")}
	if p.cacheInEnv {
		env = append(env, "LXC_CACHE_PATH="+s.inside("elsewhere"))
	}
	// lxc-create holds this lock until it ends (lxccontainer.c, create_partial).
	partial, err := os.OpenFile(s.host(s.container()+"/partial"), os.O_RDWR, 0)
	if err != nil {
		return result{}, err
	}
	defer partial.Close()
	if err := unix.FcntlFlock(partial.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return result{}, fmt.Errorf("lock of %q: %w", partial.Name(), err)
	}
	spec := enterSpec{Side: s.dir, View: s.view, OwnTmp: p.ownTmp, Outcome: p.outcome, Bare: p.bare, Argv: argv, Path: s.program.path, Env: env}
	r, err := spec.run()
	r.requests = srv.requests()
	return r, err
}
