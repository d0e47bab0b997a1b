package pull

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"lxc-pull/untar"
)

// A Personal holds a user's own changes of a new root file system and of the container's
// config. The zero value changes nothing. The caller has checked the values. Run makes every
// change or fails. The host name is Target.Container.HostName.
type Personal struct {
	Keys     []byte // lines for the authorized_keys of root; empty: none
	Password string // for root, hashed as crypt(3) does; "": unchanged
	Resolv   string // the content of etc/resolv.conf; "": unchanged
	Config   string // the end of the container's config
}

// maxPersonal is the largest file that a change reads, in bytes: a passwd file with ten
// thousand users is smaller.
const maxPersonal = 1 << 20

// makePersonal makes the changes of r.opt.Personal in the root file system. The image chose
// what the names lead to, so they are resolved inside the root file system, and a link in the
// place of a new file is replaced.
func (r *run) makePersonal() (err error) {
	p, host := &r.opt.Personal, r.target.Container.HostName
	if host != "" || p.Resolv != "" {
		err = r.staging.root.MkdirAll("etc", 0o755)
	}
	if err == nil && host != "" {
		err = r.write("etc/hostname", 0o644, host+"\n")
	}
	if err == nil && p.Resolv != "" {
		err = r.write("etc/resolv.conf", 0o644, p.Resolv)
	}
	if err == nil && len(p.Keys) > 0 {
		err = r.addKeys(p.Keys)
	}
	if err == nil && p.Password != "" {
		err = r.setPassword(p.Password)
	}
	if err != nil {
		err = fmt.Errorf("changing the image's files as you asked: %w", err)
	}
	return err
}

// write puts a new file in the place of name.
func (r *run) write(name string, mode uint32, text string) error {
	err := r.staging.root.WriteFile(name, mode, []byte(text))
	if err == nil {
		r.edit(name)
	}
	return err
}

// read returns the content of a small file; ok is false if there is none.
func (r *run) read(name string) (text string, ok bool, err error) {
	data, err := r.staging.root.ReadFile(name, maxPersonal)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(data), err == nil, err
}

// addKeys appends lines to the authorized_keys of root. sshd accepts the file only if nobody
// but its owner may write it.
func (r *run) addKeys(keys []byte) error {
	users, _, err := r.read("etc/passwd")
	if err != nil {
		return err
	}
	home := "root"
	if _, fields, _ := rootLine(users); len(fields) > 5 && strings.HasPrefix(fields[5], "/") {
		home = strings.Trim(fields[5], "/")
	}
	if strings.IndexByte(home, 0) >= 0 {
		return errors.New("root's home in \"etc/passwd\" is not a path: " + strconv.Quote(home))
	}
	name := strings.TrimPrefix(home+"/.ssh", "/")
	if err := r.staging.root.MkdirAll(name, 0o700); err != nil {
		return err
	}
	r.edit(name)
	name += "/authorized_keys"
	old, _, err := r.read(name)
	var irregular *untar.NotRegularError
	if err != nil && !errors.As(err, &irregular) {
		return err
	}
	if old != "" && !strings.HasSuffix(old, "\n") {
		old += "\n"
	}
	return r.write(name, 0o600, old+string(keys))
}

// setPassword sets the password of root in etc/shadow, or in etc/passwd if there is no
// etc/shadow. If there is one, the field in etc/passwd becomes "x": any other field would count
// in place of the one in etc/shadow (passwd(5)). The files keep their owners and modes.
func (r *run) setPassword(hash string) error {
	field := hash
	for _, name := range []string{"etc/shadow", "etc/passwd"} {
		text, ok, err := r.read(name)
		if err == nil && !ok {
			continue
		}
		before, fields, after := rootLine(text)
		if err == nil && len(fields) < 2 {
			err = errors.New(strconv.Quote(name) + " has no line for root: omit --root-password-file, or choose another image")
		}
		if err == nil && fields[1] != field {
			fields[1] = field
			text = before + strings.Join(fields, ":") + after
			err = r.staging.root.Rewrite(name, maxPersonal, func([]byte) []byte { return []byte(text) })
			r.edit(name)
		}
		if err != nil {
			return err
		}
		field = "x"
	}
	if field == hash {
		return errors.New("it has neither etc/shadow nor etc/passwd: omit --root-password-file, or choose another image")
	}
	return nil
}

// rootLine returns the fields of root's line in the text of a passwd or shadow file, and the
// text before and after that line. fields is nil if there is no such line.
func rootLine(text string) (before string, fields []string, after string) {
	start := strings.Index("\n"+text, "\nroot:")
	if start < 0 {
		return text, nil, ""
	}
	end := strings.IndexByte(text[start:], '\n')
	if end < 0 {
		end = len(text) - start
	}
	return text[:start], strings.Split(text[start:start+end], ":"), text[start+end:]
}

// lacksPassword reports whether nobody can log in as root with a password yet. It is only for
// a hint: if that is not known it returns false.
func (r *run) lacksPassword() bool {
	text, _, _ := r.read("etc/shadow")
	_, fields, _ := rootLine(text)
	return len(fields) > 1 && !strings.HasPrefix(fields[1], "$")
}
