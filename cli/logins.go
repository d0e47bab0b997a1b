package cli

import (
	"fmt"
	"os"
	"strings"

	"lxc-pull/image"
)

// This file has the logins of registries: --username with --password-file, and files as "docker
// login" and "podman login" write them. A login goes to its registry alone, and nothing of it
// is printed. The program runs no credential helper.

// An authFile is a file of logins.
type authFile struct {
	_    uncomparable
	name string
	text []byte
}

// readLogins reads the password and the files of logins. The files of --auth-file and
// REGISTRY_AUTH_FILE must exist. Those that podman and docker write (containers-auth.json(5))
// count if they exist, and if nobody else can change them: else another user could choose as whom
// this one logs in.
func (o *finderOptions) readLogins(ui *ui) error {
	r := &o.registry
	if r.passwordFile != "" {
		var err error
		if r.password, err = readSecret("password-file", r.passwordFile, maxCredentials); err != nil {
			return err
		}
	}
	if (r.user == "") != (r.password == "") || strings.Contains(r.user, ":") || strings.ContainsFunc(r.user+r.password, isControl) {
		return usageErrorf("--username and --password-file need each other, and must be lines of text, the name without a colon")
	}
	for _, what := range []string{"--auth-file", "REGISTRY_AUTH_FILE"} {
		name := r.authFile
		if what[0] != '-' {
			name = os.Getenv(what)
		}
		if name == "" {
			continue
		}
		text, err := readFile(name, maxCredentials)
		if err != nil {
			return fmt.Errorf("%s %q: %w", what, name, withoutPath(err))
		}
		r.files = append(r.files, authFile{name: name, text: text})
	}
	owners, private := trustedOwners(o.owner.UID)
	for _, place := range strings.Split(loginPlaces, "\n") {
		words := strings.Fields(place)
		dir := os.Getenv(words[0])
		if dir == "" && words[1] != "-" {
			dir = os.Getenv("HOME") + "/" + words[1]
		}
		if !strings.HasPrefix(dir, "/") {
			continue
		}
		name := dir + "/" + words[2]
		text, why := readOwned(name, owners, private)
		if why == "" {
			r.files = append(r.files, authFile{name: name, text: []byte(text)})
		} else if why != absent {
			ui.warn("ignored-option", "the logins in %q are not used: %s", name, why)
		}
	}
	return nil
}

// loginPlaces has a line for each file of logins, the first to be asked first: the variable that
// names its directory, the directory below HOME that is used without the variable ("-": none), and
// the file.
const loginPlaces = `XDG_RUNTIME_DIR - containers/auth.json
XDG_CONFIG_HOME .config containers/auth.json
DOCKER_CONFIG .docker config.json`

// login returns the name and password for a repository of a registry, "" if the user has none.
func (r *registryOptions) login(host, repository string) (user, password string, err error) {
	if r.user != "" && host == r.image.Reference.Host {
		return r.user, r.password, nil
	}
	for i := range r.files {
		f := &r.files[i]
		user, password, _, err = image.Login(f.text, host, repository)
		if err != nil {
			err = fmt.Errorf("the file of logins %q: %w", f.name, err)
		}
		if user != "" || err != nil {
			return user, password, err
		}
	}
	return "", "", nil
}

// lacking returns the name of the file of logins that has a login for the image's registry which
// this program can't use, "" if there is none, or another login was used.
func (r *registryOptions) lacking() string {
	ref := &r.image.Reference
	if user, _, _ := r.login(ref.Host, ref.Repository); user != "" {
		return ""
	}
	for i := range r.files {
		if _, _, lacks, _ := image.Login(r.files[i].text, ref.Host, ref.Repository); lacks {
			return r.files[i].name
		}
	}
	return ""
}
