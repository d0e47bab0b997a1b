package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A Process is what the user changes of the process that a container image runs.
type Process struct {
	Entrypoint []string // nil: the image's, with its Cmd
	Cmd        []string // nil: the image's
	Env        []string // NAME=VALUE, after the image's; NAME alone removes the image's
	DHCP       bool     // LXC's hook gets the addresses
}

// Limits of what a container image can make a run do.
const (
	maxPath    = 256      // directories of a PATH that are searched; images have ten
	maxVolumes = 1024     // directories; images have one or two
	maxDepth   = 64       // components of a volume or working directory: each is looked up from the root
	maxResolv  = 64 << 10 // bytes of this machine's resolv.conf
)

// setUpProcess prepares the root file system of a container image for the process that the
// image runs, and sets the process's lines of the container's config. Package lxc says what the
// lines are; the rules are those of "docker run".
//
// In the root file system it makes the working directory and the volumes, with the owner of the
// container's root, and writes etc/hostname, etc/hosts and etc/resolv.conf, as Docker does. The
// name servers are those of this machine that a container can reach; an image that starts a real
// init and has a resolv.conf keeps it. The user's own host name and name servers come first.
//
// For a root file system alone it only makes the directories, and writes etc/hosts and
// etc/hostname if the user gave a host name: nobody has said which process runs there, or
// where.
func (r *run) setUpProcess(ctx context.Context, found *source.Found) error {
	config := found.Config
	dir, err := r.makeDirs(ctx, config)
	if err != nil {
		return err
	}
	name := r.target.Container.UTSName()
	if r.target.RootfsOnly {
		name = r.target.Container.HostName
	}
	if err := r.writeHosts(name); err != nil || r.target.RootfsOnly {
		return err
	}
	p := &lxc.Process{Args: r.opt.Process.Arguments(config), Dir: dir, StopSignal: config.StopSignal, DHCP: r.opt.Process.DHCP}
	if p.Identity, err = r.lookUp(config.User); err != nil {
		return err
	}
	p.Env = environment(name, p.Home, config.Env, r.opt.Process.Env)
	if r.target.LXCVersion != nil {
		p.LXC = r.target.LXCVersion()
	}
	if len(p.Groups) > 1 && p.UID != 0 && !lxc.KnowsGroups(p.LXC, r.target.Container.UserNamespace) {
		r.warn("image-config", "the process gets none of its user's other groups: LXC can give them since 4.0.10, in user namespaces since 6.0.6")
	}
	if p.StopSignal == "" && !p.IsInit() {
		p.StopSignal = "SIGTERM" // Docker's; LXC's own, SIGPWR, ends no program that is process 1
	}
	if err := r.writeResolv(p.IsInit()); err != nil {
		return err
	}
	p.Tools, p.EmptyRun = r.tools(), r.isEmptyRun()
	container := &r.target.Container
	_, err = os.Stat(container.TemplateConfig + "/oci.common.conf")
	p.Include = err == nil
	about := r.readIncludes()
	p.Hooks, p.Sysctls = about.hooks, r.sysctls(about.shared)
	if _, err := os.Stat(container.HookDir + "/dhclient"); p.DHCP && err != nil && !r.target.WithoutLXC {
		return fmt.Errorf("LXC's hook for --dhcp: %w", err)
	}
	lines, err := r.processLines(p)
	if err == nil {
		// LXC reads each line for itself, so these need no others to be checked.
		_, err = lxc.CheckLoads(lines)
	}
	if err == nil && len(lines) > maxConfig/2 {
		err = errors.New("its config would be too large")
	}
	if err != nil {
		return fmt.Errorf("the process of the image: %w", err)
	}
	r.contents.process, r.contents.creates = lines, true // in dev: shm and mqueue
	return r.checkDev()
}

// processLines returns the lines of the process, and warns of what it does not get.
func (r *run) processLines(p *lxc.Process) ([]byte, error) {
	lines, left, err := r.target.Container.ProcessConfig(p)
	if err == nil && lxc.HasVariable(left, "PATH") && !strings.Contains(p.Args[0], "/") {
		// LXC would look for the command in other directories than the image's.
		if p.Args[0], err = r.lookPath(p.Args[0], p.Env, p.Dir); err == nil {
			lines, left, err = r.target.Container.ProcessConfig(p)
		}
	}
	if err != nil || left == nil {
		return lines, err
	}
	if n := len(left) - maxWarnings; n > 0 {
		left = append(left[:maxWarnings:maxWarnings], strconv.Itoa(n)+" more")
	}
	why := "because the image has no shell to set them"
	if p.Shell {
		why = "because the image's shell can't set them, and it has no env"
	}
	r.warn("image-config", "the process does not get the variables %q, %s, and LXC before 7.0 would give them to hooks, which are programs of the host", left, why)
	return lines, nil
}

// lookPath returns the path of a command that has no slash: the first file of that name in the
// directories of the last PATH of env.
func (r *run) lookPath(command string, env []string, dir string) (string, error) {
	path := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			path = value
		}
	}
	list := strings.Split(path, ":")
	if len(list) > maxPath {
		return "", errors.New("its PATH has too many directories")
	}
	for _, each := range list {
		if !strings.HasPrefix(each, "/") {
			each = dir + "/" + each
		}
		if name := filepath.Join(each, command); r.hasFile(name[1:]) {
			return name, nil
		}
	}
	return "", fmt.Errorf("the command %q is in none of the directories of its PATH", lxc.Shown(command))
}

// Arguments returns the program that a container image runs and its arguments. An entry point of
// the user makes the image's Cmd, which are arguments for the image's own, meaningless.
func (p *Process) Arguments(config *image.OCIConfig) []string {
	entrypoint, cmd := config.Entrypoint, config.Cmd
	if p.Entrypoint != nil {
		entrypoint, cmd = p.Entrypoint, nil
	}
	if p.Cmd != nil {
		cmd = p.Cmd
	}
	args := append(append([]string{}, entrypoint...), cmd...)
	if len(args) == 0 {
		args = []string{"/bin/sh"}
	}
	return args
}

// environment returns the variables that Docker gives a process: three of its own, unless the
// image or the user sets them, the image's and the user's. Text without "=" in the image's is
// no variable.
func environment(host, home string, fromImage, fromUser []string) (env []string) {
	if home == "" {
		home = "/"
	}
	own := []string{lxc.DefaultPath, "HOSTNAME=" + host, "HOME=" + home}
	for _, list := range [][]string{own, fromImage, fromUser} {
		all := append(env, list...)
		env = nil
		for i, variable := range all {
			// Of the variables before the list, those count that it does not have.
			name, _, ok := strings.Cut(variable, "=")
			if ok && name != "" && (i >= len(all)-len(list) || !lxc.HasVariable(list, name)) {
				env = append(env, variable)
			}
		}
	}
	return env
}

// lookUp finds the user of the process in the image's files. It refuses ids that the container
// does not map: LXC could not start the process.
func (r *run) lookUp(user string) (id lxc.Identity, err error) {
	var files [2][]byte
	for i, name := range []string{"etc/passwd", "etc/group"} {
		files[i], err = r.staging.root.ReadFile(name, maxPersonal)
		if err = r.inside(name, err); err != nil {
			return id, err
		}
	}
	if id, err = lxc.LookUp(user, files[0], files[1]); err != nil {
		return id, err
	}
	ranges, _ := lxc.IDMap(r.target.BaseConfig) // Check has seen the error
	if len(ranges) == 0 {
		return id, nil
	}
	for i, n := range append([]uint32{id.UID}, id.Groups...) {
		mapped := false
		for _, each := range ranges {
			if each.GID == (i > 0) && n >= each.Inside && n-each.Inside < each.Count {
				mapped = true
			}
		}
		if !mapped {
			return id, errors.New("the image runs with the user or group id " + strconv.FormatUint(uint64(n), 10) + ", which the container's lxc.idmap does not map")
		}
	}
	return id, nil
}

// makeDirs makes the working directory and the volumes, and returns the path of the former.
func (r *run) makeDirs(ctx context.Context, config *image.OCIConfig) (dir string, err error) {
	dir = config.Dir
	if dir == "" {
		dir = "/"
	}
	if dir[0] != '/' {
		return "", errors.New("the working directory of the image is no absolute path: " + strconv.Quote(lxc.Shown(dir)))
	}
	dir = filepath.Clean(dir)
	if err := r.makeDir(dir); err != nil {
		return "", fmt.Errorf("the working directory of the image: %w", err)
	}
	if len(config.Volumes) > maxVolumes {
		return "", errors.New("the image has too many volumes")
	}
	for _, volume := range config.Volumes {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := r.inside(volume, r.makeDir(filepath.Clean("/"+volume))); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// makeDir makes a directory and those above it, and notes the ones that were missing. Links are
// followed inside the root file system.
func (r *run) makeDir(name string) error {
	root := r.staging.root
	if strings.Count(name, "/") > maxDepth {
		return &fs.PathError{Op: "mkdir", Path: lxc.Shown(name), Err: syscall.ENAMETOOLONG}
	}
	for i := 1; i < len(name); i++ {
		if i+1 < len(name) && name[i+1] != '/' {
			continue
		}
		// Resolve is content if only the last component is missing.
		at := name[:i+1]
		_, err := root.Resolve(at + "/-")
		if errors.Is(err, fs.ErrNotExist) {
			if err = root.MkdirAll(at, 0o755); err == nil {
				r.edit(at)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeHosts writes etc/hostname and etc/hosts for a host name, if there is one.
func (r *run) writeHosts(name string) error {
	if name == "" {
		return nil
	}
	// The addresses of lxc-oci's file, which are those of Debian's.
	const hosts = "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
	err := r.makeDir("/etc")
	if err == nil {
		err = r.write("etc/hostname", 0o644, name+"\n")
	}
	if err = r.inside("etc/hostname", err); err == nil {
		err = r.inside("etc/hosts", r.write("etc/hosts", 0o644, strings.Replace(hosts, "%s", name, 1)))
	}
	return err
}

// writeResolv writes etc/resolv.conf.
func (r *run) writeResolv(init bool) error {
	const name = "etc/resolv.conf"
	if r.opt.Personal.Resolv != "" {
		return nil
	}
	if init {
		if old, err := r.staging.root.Resolve(name); err == nil && (old != name || r.staging.root.Digest(name) != "") {
			return nil
		}
	}
	// systemd-resolved's own file has the servers behind its local one.
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, err := readFile(file, maxResolv)
		if text := reachable(string(data)); err == nil && text != "" {
			return r.inside(name, r.write(name, 0o644, text))
		}
	}
	return nil
}

// reachable returns the lines of a resolv.conf that are of use in a container, which has a
// loopback interface of its own; "" if no name server is left.
func reachable(conf string) string {
	text, found := "", false
	for _, line := range strings.Split(conf, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
			continue
		case f[0] == "nameserver":
			address, err := netip.ParseAddr(f[1])
			if err != nil || address.IsLoopback() || address.Zone() != "" { // the zone of a link-local address is the host's
				continue
			}
			found = true
		case f[0] != "search" && f[0] != "domain" && f[0] != "options":
			continue
		}
		text += strings.Join(f, " ") + "\n"
	}
	if !found {
		return ""
	}
	return text
}

// tools returns the programs that the image has.
func (r *run) tools() lxc.Tools {
	tools := lxc.Tools{Shell: r.hasFile("bin/sh")}
	for _, name := range []string{"/usr/bin/env", "/bin/env", "/bin/busybox env"} {
		if file, _, _ := strings.Cut(name[1:], " "); r.hasFile(file) {
			tools.EnvTool = name
			break
		}
	}
	return tools
}

// hasFile reports whether the image has a file that is not empty.
func (r *run) hasFile(name string) bool {
	_, err := r.staging.root.ReadFile(name, 0)
	var large *untar.TooLargeError
	return errors.As(err, &large)
}

// isEmptyRun reports whether the image's run is an empty directory of the container's root with
// the usual mode, which a new file system can take the place of.
func (r *run) isEmptyRun() bool {
	var owners [2]*syscall.Stat_t
	empty := false
	for i, name := range []string{"etc", "run"} {
		dir, err := r.staging.root.Open(name)
		if err != nil {
			return false
		}
		empty, err = dir.IsEmpty()
		f, err2 := dir.File()
		dir.Close()
		if err2 != nil {
			return false
		}
		info, err2 := f.Stat()
		f.Close()
		if err != nil || err2 != nil {
			return false
		}
		owners[i], _ = info.Sys().(*syscall.Stat_t)
	}
	etc, run := owners[0], owners[1]
	return empty && etc != nil && run != nil && run.Mode&0o7777 == 0o755 && etc.Uid == run.Uid && etc.Gid == run.Gid
}

// readIncludes reads the container's config as far as it is not the image's, and all that it
// includes. What can't be read may have anything.
func (r *run) readIncludes() (walk includeWalk) {
	config := r.ownConfig()
	walk.note(config)
	templates := r.target.Container.TemplateConfig
	for _, name := range lxc.Values(config, "lxc.include") {
		if name != "" && walk.check(name, 0) != nil {
			walk.shared, walk.hooks = true, true
		}
	}
	// These belong to the image's config. No LXC lacks the first.
	for _, name := range []string{"common", "userns", "oci.common"} {
		if err := walk.check(templates+"/"+name+".conf", 0); err != nil && (name == "common" || !errors.Is(err, fs.ErrNotExist)) {
			walk.hooks = true
		}
	}
	return walk
}

// ownConfig returns the lines of the container's config that are this machine's or the user's.
func (r *run) ownConfig() []byte {
	return []byte(string(r.target.BaseConfig) + "\n" + r.opt.Personal.Config)
}

// sysctls returns the settings that Incus gives the network of such containers: ports below
// 1024 and ping for every user. There are none if the container may have the host's network,
// which they would change, and none that the kernel lacks.
func (r *run) sysctls(shared bool) (list []string) {
	config := r.ownConfig()
	// The kernel takes only groups that the namespace maps.
	last := uint32(1<<32 - 2)
	if r.target.Container.UserNamespace {
		last = 0
		ranges, _ := lxc.IDMap(config)
		for _, each := range ranges {
			if each.GID && each.Inside == 0 {
				last = each.Count - 1
			}
		}
	}
	for _, sysctl := range []string{"ip_unprivileged_port_start=0", "ping_group_range=0 " + strconv.FormatUint(uint64(last), 10)} {
		name, _, _ := strings.Cut(sysctl, "=")
		// Linux has the first since 4.11, the second since 3.0.
		if _, err := os.Stat("/proc/sys/net/ipv4/" + name); err == nil && !shared && (last > 0 || name[0] != 'p') {
			list = append(list, "net.ipv4."+sysctl)
		}
	}
	return list
}
