package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
	if (r.user == "") != (r.passwordFile == "" && r.password == "") {
		return usageErrorf("--username and --password-file need each other")
	}
	if name := r.passwordFile; name != "" {
		if name == "-" && isTerminal(os.Stdin) {
			return usageErrorf("--password-file -: standard input is a terminal, which would show the password: use a pipe or a file")
		}
		data, err := readWhole(name, maxCredentials)
		if err != nil {
			return &fileError{"password-file", name, withoutPath(err)}
		}
		r.password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	if strings.Contains(r.user, ":") || strings.ContainsFunc(r.user+r.password, isControl) || r.user != "" && r.password == "" || len(r.password) > maxCredentials {
		return usageErrorf("--username and the password must be lines of text, the name without a colon")
	}
	for _, option := range []bool{true, false} {
		name, what := r.authFile, "auth-file"
		if !option {
			name, what = os.Getenv("REGISTRY_AUTH_FILE"), "REGISTRY_AUTH_FILE"
		}
		if name == "" {
			continue
		}
		text, err := readOption(what, name, maxCredentials)
		if err != nil && !option {
			return fmt.Errorf("%s %q: %w", what, name, err.(*fileError).err)
		}
		if err != nil {
			return err
		}
		r.files = append(r.files, authFile{name: name, text: text})
	}
	owners, private := trustedOwners(o.owner.UID)
	for _, place := range strings.Split(loginPlaces, "\n") {
		variable, path, _ := strings.Cut(place, " ")
		at, file, _ := strings.Cut(path, "|")
		dir := os.Getenv(variable)
		if dir == "" && at != "" {
			dir = os.Getenv("HOME") + "/" + at
		}
		if !strings.HasPrefix(dir, "/") {
			continue
		}
		name := filepath.Join(dir, file)
		text, why := readOwned(name, owners, private)
		switch {
		case why == "":
			r.files = append(r.files, authFile{name: name, text: []byte(text)})
		case why != absent:
			ui.warnText("ignored-option", "the logins in "+strconv.Quote(name)+" are not used: "+why)
		}
	}
	return nil
}

// loginPlaces has a line for each file of logins, the first to be asked first: the variable that
// names its directory, and "DIRECTORY|FILE"; the directory is below HOME, and used without the
// variable.
const loginPlaces = `XDG_RUNTIME_DIR |containers/auth.json
XDG_CONFIG_HOME .config|containers/auth.json
DOCKER_CONFIG .docker|config.json`

// login returns the name and password for a repository of a registry, "" if the user has none.
func (r *registryOptions) login(host, repository string) (user, password string, err error) {
	if r.user != "" && host == r.image.Reference.Host {
		return r.user, r.password, nil
	}
	for i := range r.files {
		f := &r.files[i]
		user, password, ok, err := image.Login(f.text, host, repository)
		if err != nil {
			return "", "", fmt.Errorf("the file of logins %q: %w", f.name, err)
		}
		if ok {
			return user, password, nil
		}
	}
	return "", "", nil
}

// helped reports whether a file of logins leaves passwords to a program that this one does not
// run.
func (r *registryOptions) helped() bool {
	for i := range r.files {
		if text := string(r.files[i].text); strings.Contains(text, `"credsStore"`) || strings.Contains(text, `"credHelpers"`) {
			return true
		}
	}
	return false
}
