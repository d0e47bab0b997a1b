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
	_          uncomparable
	what, name string // what is the option or variable that names the file
	text       []byte
}

// readLogins reads the files of logins. The files of --auth-file and REGISTRY_AUTH_FILE must
// exist. Those that docker and podman write count if they exist, and if nobody else can change
// them: else another user could choose as whom this one logs in.
func (o *finderOptions) readLogins(ui *ui) error {
	r := &o.registry
	switch {
	case (r.user == "") != (r.passwordFile == "" && !r.passwordGiven):
		return usageErrorf("--username and --password-file need each other")
	case r.passwordFile != "":
		if err := r.readPassword(); err != nil {
			return err
		}
	}
	if strings.ContainsAny(r.user, ":") || strings.ContainsFunc(r.user+r.password, isControl) {
		return usageErrorf("--username, or the password, has a colon or a control character")
	}
	if r.authFile != "" {
		text, err := readOption("auth-file", r.authFile, maxCredentials)
		if err != nil {
			return err
		}
		r.files = append(r.files, authFile{what: "--auth-file", name: r.authFile, text: text})
	}
	if name := os.Getenv("REGISTRY_AUTH_FILE"); name != "" {
		text, err := readFile(name, maxCredentials)
		if err != nil {
			return fmt.Errorf("REGISTRY_AUTH_FILE %q: %w", name, withoutPath(err))
		}
		r.files = append(r.files, authFile{what: "REGISTRY_AUTH_FILE", name: name, text: text})
	}
	owners, private := trustedOwners(o.owner.UID)
	for _, name := range loginPaths() {
		text, why := readOwned(name, owners, private)
		if why == "" && len(text) > maxCredentials {
			why = "larger than " + strconv.Itoa(maxCredentials) + " bytes"
		}
		switch why {
		case "":
			r.files = append(r.files, authFile{what: "the file of logins", name: name, text: []byte(text)})
		case absent:
		default:
			ui.warnText("ignored-option", "the logins in "+strconv.Quote(name)+" are not used: "+why)
		}
	}
	return nil
}

// loginPaths returns where podman and docker keep logins, the first to be asked first
// (containers-auth.json(5)).
func loginPaths() (paths []string) {
	home := os.Getenv("HOME")
	for _, place := range [][3]string{
		{os.Getenv("XDG_RUNTIME_DIR"), "", "containers/auth.json"},
		{os.Getenv("XDG_CONFIG_HOME"), ".config", "containers/auth.json"},
		{os.Getenv("DOCKER_CONFIG"), ".docker", "config.json"},
	} {
		dir := place[0]
		if dir == "" && place[1] != "" && home != "" {
			dir = filepath.Join(home, place[1])
		}
		if filepath.IsAbs(dir) {
			addTo(&paths, filepath.Join(dir, place[2]))
		}
	}
	return paths
}

// readPassword reads the password of --password-file: the first line.
func (r *registryOptions) readPassword() error {
	name := r.passwordFile
	if name == "-" && isTerminal(os.Stdin) {
		return usageErrorf("--password-file -: standard input is a terminal, which would show the password: use a pipe or a file")
	}
	data, err := readWhole(name, maxCredentials)
	if err != nil {
		return &fileError{"password-file", name, withoutPath(err)}
	}
	r.password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if r.password == "" || len(r.password) > maxCredentials {
		return wrongValue("password-file", name, "it is empty or too large")
	}
	return nil
}

// login returns the name and password for a repository of a registry, "" if the user has none.
func (r *registryOptions) login(host, repository string) (user, password string, err error) {
	if r.user != "" && host == r.image.Reference.Host {
		return r.user, r.password, nil
	}
	for i := range r.files {
		f := &r.files[i]
		user, password, ok, err := image.Login(f.text, host, repository)
		if err != nil {
			return "", "", fmt.Errorf("%s %q: %w", f.what, f.name, err)
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
