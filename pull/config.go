package pull

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
)

// A config that LXC would refuse is refused here, before the network is used or before the
// root file system is downloaded: LXC refuses it only after the template has run, and then
// destroys the container (lxccontainer.c, prepend_lxc_header and its callers).

// Limits of included files. LXC's own includes are three levels deep and have a dozen files.
const (
	maxIncludeDepth = 16
	maxIncludeFiles = 1024
)

// maxWarnings is how many lines of an image's config get a warning each; the others are
// counted.
const maxWarnings = 8

// Check refuses a target if LXC would refuse the config that the container has before the
// image's is added (Target.BaseConfig). If lxc-create called this program, LXC has read that
// config and knows its own keys best: then Check only warns.
func Check(target Target, tell source.Listener) error {
	r := &run{target: target, opt: Options{Tell: tell}}
	const which = "the config with which the container begins"
	loaded, err := lxc.CheckLoads(target.BaseConfig)
	if err != nil {
		err = fmt.Errorf("%s: %w", which, err)
	} else {
		err = r.checkLoaded(which, loaded)
	}
	if target.Caller != nil {
		if err != nil {
			r.warn("image-config", "%v", err)
		}
		return nil
	}
	if err == nil {
		for _, line := range loaded.Rootfs {
			r.warn("image-config", "%s has %q; the container gets a root file system of its own", which, lxc.Shown(line))
		}
	}
	return err
}

// ReadConfig returns the config that lxc-create has left in a container's directory, nil
// if there is none.
func ReadConfig(path string) ([]byte, error) {
	directory, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer directory.close()
	data, _, err := directory.read("config")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// inspect reads the parts of an image's metadata that the target needs. It refuses a config
// that LXC would refuse later, and a config or fstab that would configure the host.
func (r *run) inspect(found *source.Found) (*contents, error) {
	c := &contents{of: found}
	mode := r.target.Namespace.Mode()
	if templates, _ := found.Meta.Relevant("templates", mode); len(lxc.Lines(templates)) > maxTemplates {
		return nil, fmt.Errorf("the image names more than %d templates", maxTemplates)
	}
	if r.target.RootfsOnly {
		return c, nil
	}
	config, ok := found.Meta.Relevant("config", mode)
	if found.Meta == nil { // lxc-local without metadata
		c.bare = true
		config, ok = []byte{}, true
	}
	if !ok {
		return nil, &Error{Kind: NoConfig, Text: "meta tarball is missing the configuration file"}
	}
	c.config = lxc.TrimCR(config)
	container := r.target.Container
	about, err := container.CheckConfig(container.Expand(c.config), r.opt.AllowHost)
	if err != nil {
		return nil, hostConfig(err)
	}
	name := found.Meta.RelevantName("fstab", mode)
	fstab, hasFstab := found.Meta[name]
	if hasFstab {
		c.hasFstab, c.fstab, c.fstabMode = true, lxc.TrimCR(fstab), fstabMode(found, name)
		mounts, err := container.CheckFstab(container.Expand(c.fstab), r.opt.AllowHost)
		if err != nil {
			return nil, hostConfig(err)
		}
		about.Creates = about.Creates || mounts.Creates
		about.Foreign = append(about.Foreign, mounts.Foreign...)
		about.Writable = append(about.Writable, mounts.Writable...)
	}
	c.creates = about.Creates
	for _, arch := range about.Arch {
		if cross.LXCKnows(arch) && !cross.LXCMeans(arch, found.Image.Arch) {
			r.warn("image-config", "the image's lxc.arch is %q, although the image is listed as %q", arch, found.Image.Arch)
		}
	}
	if err := r.checkLoaded("the image's config", about.Loaded); err != nil {
		return nil, err
	}
	if err := r.checkFinal(c, &about); err != nil {
		return nil, err
	}
	arch := found.Image.Arch
	if found.Unlisted() {
		arch = "" // settleArch knows more
	}
	r.warnOfImage(about, arch)
	return c, nil
}

// hostConfig gives the Kind HostConfig to an *lxc.HostConfigError; other errors stay as they
// are.
func hostConfig(err error) error {
	var host *lxc.HostConfigError
	if errors.As(err, &host) {
		return &Error{Kind: HostConfig, Text: err.Error(), Err: err}
	}
	return err
}

// fstabMode returns the mode that the stock template's cp gives the container's fstab: the
// mode of the metadata file called name, without the bits of the umask 022.
func fstabMode(found *source.Found, name string) fs.FileMode {
	mode, ok := found.FileMode(name)
	if !ok {
		return 0o644
	}
	return mode & 0o755
}

// checkLoaded checks the architectures and the includes that a config has. which names the
// config in errors.
func (r *run) checkLoaded(which string, loaded lxc.Loaded) error {
	for _, arch := range loaded.Arch {
		if !cross.LXCKnows(arch) {
			return fmt.Errorf("%s has the lxc.arch %q, which LXC does not know", which, lxc.Shown(arch))
		}
	}
	var walk includeWalk
	for _, name := range loaded.Includes {
		err := walk.check(name, 0)
		if err != nil && r.target.WithoutLXC {
			r.warn("missing-include", "%s includes %q, which this machine lacks", which, lxc.Shown(name))
			continue
		}
		if err != nil {
			text := fmt.Sprintf("%s includes %q: %v", which, lxc.Shown(name), err)
			return &Error{Kind: MissingInclude, Text: text, Err: err}
		}
	}
	return nil
}

// An includeWalk follows includes from file to file, and counts the files.
type includeWalk struct {
	files  int
	common bool // LXC's common.conf was among them
	shared bool // one of them may give the container another network than its own
	hooks  bool // one of them has a hook
}

// check returns an error if LXC could not read the file or directory name, or a file that
// it includes in turn (set_config_includefiles and do_includedir in confile.c). It does
// not check the other keys: these files belong to the host.
func (w *includeWalk) check(name string, depth int) error {
	if w.files++; depth > maxIncludeDepth || w.files > maxIncludeFiles {
		return errors.New("too many files include each other")
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, "/") {
		return nil // LXC skips a directory that does not exist
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		list, err := os.ReadDir(name)
		for _, entry := range list {
			if file := entry.Name(); len(file) > len(".conf") && strings.HasSuffix(file, ".conf") && err == nil {
				err = w.check(filepath.Join(name, file), depth+1)
			}
		}
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a regular file", name)
	}
	data, err := readFile(name, maxConfig)
	if err != nil {
		return err
	}
	w.common = w.common || filepath.Base(name) == "common.conf"
	w.note(data)
	for _, included := range lxc.Values(data, "lxc.include") {
		if included == "" {
			continue
		}
		if err := w.check(included, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// note notes what a file has.
func (w *includeWalk) note(config []byte) {
	w.shared = w.shared || lxc.SharesNetwork(config)
	w.hooks = w.hooks || lxc.HasHook(config)
}

// checkFinal reads the config that the container will have as LXC will read it, and notes
// in about which of LXC's protections it lacks.
func (r *run) checkFinal(c *contents, about *lxc.ImageConfig) error {
	container := r.target.Container
	final, err := lxc.CheckLoads(c.write(&container, r.target.BaseConfig))
	if err != nil && r.target.Caller != nil {
		return nil // Check has warned
	}
	if err != nil {
		return fmt.Errorf("the container's config: %w", err)
	}
	if final.Name != container.UTSName() {
		return fmt.Errorf("LXC would read the name %q as %q", container.UTSName(), lxc.Shown(final.Name))
	}
	about.Missing = final.Missing
	if final.Missing != nil {
		// An included file may include common.conf in turn.
		var walk includeWalk
		for _, name := range final.Includes {
			walk.check(name, 0) // checkLoaded has reported the error
		}
		if walk.common {
			about.Missing = nil
		}
	}
	return nil
}

// warnOfImage warns, before the download, of lines that --allow-host-config lets pass, of
// protections that the config lacks, and of an architecture that this machine can't run.
func (r *run) warnOfImage(about lxc.ImageConfig, arch string) {
	for i, line := range about.Foreign {
		if i == maxWarnings {
			r.warn("image-config", "the image's config has %d more lines that reach for the host", len(about.Foreign)-i)
			break
		}
		r.warn("image-config", "--allow-host-config lets the image's config have %q", lxc.Shown(line))
	}
	if about.Missing != nil {
		r.warn("image-config", "the image's config does not include LXC's common.conf: nothing %s", strings.Join(about.Missing, ", nothing "))
	}
	if about.Writable != nil {
		r.warn("image-config", "the image's config gives the container the host's %s, where its root may write", strings.Join(about.Writable, ", "))
	}
	r.warnForeign(arch)
}

// warnForeign warns of an image for a machine whose programs this one can't run.
func (r *run) warnForeign(arch string) {
	if machine := foreignMachine(arch); machine != "" {
		r.warn("foreign-arch", "the image is for %q, which this machine (%s) can't run: the container won't start without an emulator (qemu-user with binfmt_misc)", arch, machine)
	}
}
