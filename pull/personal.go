package pull

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Personal holds a user's own changes of a new root file system. The caller has checked the
// values. Each change is made or Run fails.
type Personal struct {
	HostName    string   // for etc/hostname, and in place of LXC_NAME in the image's files; "": unchanged
	Keys        string   // lines for the authorized_keys of root; "": none
	Password    string   // for root, hashed as crypt(3) does; "": unchanged
	NameServers []string // for etc/resolv.conf; nil: unchanged
	Config      string   // lines for the end of the container's config; "": none
}

// maxPersonal is the largest file that personal changes, in bytes: a passwd file with ten
// thousand users is smaller.
const maxPersonal = 1 << 20

// personal makes the changes of r.opt.Personal. As the image chose what the names lead to,
// they are resolved inside the root file system, and a link in the place of a file is
// replaced by a file.
func (r *run) personal() error {
	p := r.opt.Personal
	if p == nil {
		return nil
	}
	root := r.staging.root
	if p.HostName != "" || p.NameServers != nil {
		if err := root.MkdirAll("etc", 0o755); err != nil {
			return personalError("etc", err)
		}
	}
	if p.HostName != "" {
		if err := r.write("etc/hostname", 0o644, func([]byte) []byte { return []byte(p.HostName + "\n") }); err != nil {
			return err
		}
	}
	if p.NameServers != nil {
		text := "nameserver " + strings.Join(p.NameServers, "\nnameserver ") + "\n"
		if err := r.write("etc/resolv.conf", 0o644, func([]byte) []byte { return []byte(text) }); err != nil {
			return err
		}
	}
	if p.Keys != "" {
		if err := r.addKeys(p.Keys); err != nil {
			return err
		}
	}
	if p.Password != "" {
		return r.setPassword(p.Password)
	}
	return nil
}

// personalError says which file could not be changed.
func personalError(name string, err error) error {
	return fmt.Errorf("changing %q in the rootfs: %w", name, err)
}

// write edits a file, or makes it, and notes its name.
func (r *run) write(name string, mode uint32, edit func(old []byte) []byte) error {
	if err := r.staging.root.WriteFile(name, mode, maxPersonal, edit); err != nil {
		return personalError(name, err)
	}
	if !slices.Contains(r.edited, name) { // it may be there from an image that failed
		r.edited = append(r.edited, name)
	}
	return nil
}

// addKeys appends lines to the authorized_keys of root. sshd accepts the file only if nobody
// else may write it or a directory above it.
func (r *run) addKeys(keys string) error {
	users, err := r.staging.root.ReadFile("etc/passwd", maxPersonal)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return personalError("etc/passwd", err)
	}
	home := "root"
	if fields := accountOf(users); len(fields) > 5 && path.IsAbs(fields[5]) {
		home = strings.TrimPrefix(path.Clean(fields[5]), "/")
	}
	dir := path.Join(home, ".ssh")
	if err := r.staging.root.MkdirAll(dir, 0o700); err != nil {
		return personalError(dir, err)
	}
	return r.write(dir+"/authorized_keys", 0o600, func(old []byte) []byte {
		if n := len(old); n > 0 && old[n-1] != '\n' {
			old = append(old, '\n')
		}
		return append(old, keys...)
	})
}

// setPassword sets the password of root in etc/shadow, or in etc/passwd if there is no
// etc/shadow.
func (r *run) setPassword(hash string) error {
	name := "etc/shadow"
	text, err := r.staging.root.ReadFile(name, maxPersonal)
	if errors.Is(err, fs.ErrNotExist) {
		name = "etc/passwd"
		text, err = r.staging.root.ReadFile(name, maxPersonal)
	}
	if err != nil {
		return personalError(name, err)
	}
	if len(accountOf(text)) < 2 {
		return personalError(name, errors.New("it has no line for root"))
	}
	if err := r.rewrite(name, hash); err != nil || name == "etc/passwd" {
		return err
	}
	// A field other than "x" would count in place of the one in etc/shadow (passwd(5)).
	users, err := r.staging.root.ReadFile("etc/passwd", maxPersonal)
	if fields := accountOf(users); err != nil || len(fields) < 2 || fields[1] == "x" {
		return nil
	}
	return r.rewrite("etc/passwd", "x")
}

// rewrite sets the second field of root's line in a file that has one. It follows links inside
// the root file system: the file was read by that name.
func (r *run) rewrite(name, field string) error {
	err := r.staging.root.Rewrite(name, maxPersonal, func(old []byte) []byte { return setAccount(old, field) })
	if err != nil {
		return personalError(name, err)
	}
	if !slices.Contains(r.edited, name) {
		r.edited = append(r.edited, name)
	}
	return nil
}

// accountOf returns the fields of root's line in a passwd or shadow file; nil if there is none.
func accountOf(text []byte) []string {
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "root:") {
			return strings.Split(strings.TrimSuffix(line, "\n"), ":")
		}
	}
	return nil
}

// setAccount replaces the second field of root's line in a passwd or shadow file.
func setAccount(text []byte, field string) []byte {
	var out []byte
	done := false
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte("root:"))
		if end := bytes.IndexByte(rest, ':'); ok && !done {
			if end < 0 {
				end = len(bytes.TrimSuffix(rest, []byte("\n")))
			}
			line = []byte("root:" + field + string(rest[end:]))
			done = true
		}
		out = append(out, line...)
	}
	return out
}

// finishConfig adds the user's lines to a container's config.
func (p *Personal) finishConfig(config []byte) []byte {
	if p == nil || p.Config == "" {
		return config
	}
	if n := len(config); n > 0 && config[n-1] != '\n' {
		config = append(config, '\n')
	}
	return append(config, "\n# Options of the creation\n"+p.Config...)
}

// expansion returns the function that replaces the tokens in the image's files.
func (r *run) expansion() func([]byte) []byte {
	container := r.target.Container
	if p := r.opt.Personal; p != nil && p.HostName != "" {
		container.Name = p.HostName
	}
	return container.Expand
}
