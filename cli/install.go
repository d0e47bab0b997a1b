package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// This file is the command "--install": it makes links to the program under the names that
// choose a command by argv[0]. run goes through the names, and installName makes one of them.
// A file of that name is replaced only if it is an older version of this program (isOurs).

// templateAlias is the name of the stock template, as which this program can be called too.
const templateAlias = "lxc-download"

// An installCall is one call of the command: its options.
type installCall struct {
	symbolic bool
}

func (c *installCall) groups() []*group {
	return []*group{{"", []flag{
		{short: 's', long: "symbolic", help: "make symbolic links instead of hard links (or copies, if the file system has no links)", into: &c.symbolic},
		{short: 'h', long: "help"},
	}}}
}

func (c *installCall) run(_ context.Context, ui *ui, operands []string) error {
	if len(operands) == 0 {
		return usageErrorf("a directory is needed: --install DIR")
	}
	dir, names := operands[0], operands[1:]
	if err := checkInstallNames(names); err != nil {
		return err
	}
	asked := len(names) > 0
	if !asked {
		names = installNames()
	}
	program, err := ownPath()
	if err != nil {
		return err
	}
	skipped := false
	for _, name := range names {
		path := filepath.Join(dir, name)
		how, err := installName(program, path, c.symbolic)
		switch {
		case errors.Is(err, errAnother):
			skipped = true
			ui.warn("exists", "%q is another program and is left as it is", path)
		case err != nil:
			return err
		default:
			if _, err := fmt.Fprintf(ui.out, "%s: %s\n", printable(path), how); err != nil {
				return err
			}
		}
	}
	if skipped && asked {
		return &silentError{}
	}
	return nil
}

// installNames returns all names that choose a command by argv[0].
func installNames() []string {
	names := []string{templateAlias, ociName, localName}
	for _, each := range commands() {
		addTo(&names, each.alias...)
	}
	return names
}

// checkInstallNames returns a usage error if a name chooses no command.
func checkInstallNames(names []string) error {
	all := installNames()
	for _, name := range names {
		if !slices.Contains(all, name) {
			return usageErrorf("%q is not a name of this program, which has %s", name, strings.Join(all, ", "))
		}
	}
	return nil
}

// errAnother says that a file has the name and is not a version of this program.
var errAnother = errors.New("another program")

// installName makes path a name of program, and returns how: "hard link", "symbolic link",
// "copy", or "there already". An older version is replaced in one step: the new link is made
// under another name and then renamed. For any other file the error is errAnother.
func installName(program, path string, symbolic bool) (how string, err error) {
	old, err := os.Lstat(path)
	if os.IsNotExist(err) {
		return makeLink(program, path, symbolic)
	}
	if err != nil {
		return "", err
	}
	own, err := os.Stat(program)
	switch {
	case err != nil:
		return "", err
	case leadsTo(path, own):
		return "there already", nil
	case !old.Mode().IsRegular() || !isOurs(path):
		return "", errAnother
	}
	aside := path + ".new"
	if err := removeAside(aside, own); err != nil {
		return "", err
	}
	if how, err = makeLink(program, aside, symbolic); err != nil {
		return "", err
	}
	if err := os.Rename(aside, path); err != nil {
		os.Remove(aside)
		return how, err
	}
	return how, nil
}

// removeAside removes a link or copy of this program that a run left aside when it was
// killed. For any other file it returns errAnother.
func removeAside(aside string, own os.FileInfo) error {
	old, err := os.Lstat(aside)
	if err != nil {
		return nil // if it is there all the same, makeLink fails
	}
	if !leadsTo(aside, own) && !(old.Mode().IsRegular() && isOurs(aside)) {
		return errAnother
	}
	return os.Remove(aside)
}

// leadsTo reports whether path, or the symbolic link there, is the file own.
func leadsTo(path string, own os.FileInfo) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(own, info)
}

// makeLink makes a link to program, or a copy if no link can be made, and returns which.
func makeLink(program, path string, symbolic bool) (how string, err error) {
	ways := []struct {
		how  string
		make func(program, link string) error
	}{{"hard link", os.Link}, {"symbolic link", os.Symlink}, {"copy", copyProgram}}
	if symbolic {
		ways[0], ways[1] = ways[1], ways[0]
	}
	for _, way := range ways {
		if err = way.make(program, path); err == nil {
			return way.how, nil
		}
		if os.IsExist(err) {
			break
		}
	}
	return "", err
}

// copyProgram copies the program to a new file. It is for file systems without links, and for
// directories on another file system.
func copyProgram(program, path string) (err error) {
	in, err := os.Open(program)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, out.Close())
		if err != nil {
			os.Remove(path)
		}
	}()
	if _, err = io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}

// maxProgram is how much of a file isOurs reads, in bytes. No build is half as large.
const maxProgram = 64 << 20

// isOurs reports whether the file is a version of this program: whether it holds the module's
// name as the linker writes it into every Go program (debug/buildinfo).
func isOurs(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProgram))
	return err == nil && bytes.Contains(data, []byte("path\tlxc-pull\nmod\tlxc-pull\t"))
}

// ownPath returns the path of the running program. The kernel knows it; without /proc it is
// the file that a shell finds for argv[0].
func ownPath() (string, error) {
	if path, err := os.Executable(); err == nil {
		return path, nil
	}
	if strings.Contains(os.Args[0], "/") {
		return filepath.Abs(os.Args[0])
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, os.Args[0])
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("the path of this program is not known without /proc: call it by its path, not as %q", os.Args[0])
}
