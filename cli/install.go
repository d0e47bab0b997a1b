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

const installUsage = `Usage: lxc-pull --install [-s] DIR [NAME]...

Makes links to this program in DIR, by whose names it is called: all of them,
or only NAMEs. What is there and is another program stays.
`

const installExample = `  lxc-pull --install -s /usr/local/bin untar xzcat sopv
  lxc-pull --install /usr/share/lxc/templates lxc-download
`

// templateAlias is the name of the stock template whose place this one takes.
const templateAlias = "lxc-download"

// An installCall makes the names that argv[0] chooses a command by.
type installCall struct {
	symbolic bool
}

func (c *installCall) groups() []group {
	return []group{{"", []flag{
		{short: 's', long: "symbolic", help: "symbolic links; without it hard ones. If neither works, copies.", into: &c.symbolic},
		{short: 'h', long: "help"},
	}}}
}

func (c *installCall) run(_ context.Context, ui *ui, operands []string) error {
	names := []string{templateAlias}
	for _, each := range commands() {
		names = append(names, each.alias...)
	}
	if len(operands) == 0 {
		return usageErrorf("a directory is needed: --install DIR")
	}
	asked := operands[1:]
	for _, name := range asked {
		if !slices.Contains(names, name) {
			return usageErrorf("%q is no name of this program; it has %s", name, strings.Join(names, ", "))
		}
	}
	if len(asked) > 0 {
		names = asked
	}
	program, err := ownPath()
	if err != nil {
		return err
	}
	kept := 0
	for _, name := range names {
		path := filepath.Join(operands[0], name)
		how, err := installName(program, path, c.symbolic)
		switch {
		case errors.Is(err, errAnother):
			kept++
			ui.warnf("%q is another program, which stays", path)
		case err != nil:
			return err
		default:
			fmt.Fprintf(ui.out, "%s: %s\n", printable(path), how)
		}
	}
	if kept > 0 && len(asked) > 0 {
		return &exitError{code: exitFailure}
	}
	return nil
}

// errAnother is a name that something else has.
var errAnother = errors.New("another program")

// installName makes path a name of program, and says how.
func installName(program, path string, symbolic bool) (how string, err error) {
	link := path
	if there, err := os.Lstat(path); err == nil {
		own, err := os.Stat(program)
		if err != nil {
			return "", err
		}
		if same, err := os.Stat(path); err == nil && os.SameFile(own, same) {
			return "there already", nil
		}
		if !there.Mode().IsRegular() || !isOurs(path) {
			return "", errAnother
		}
		// An older version of ours, under its own name: replaced in one step.
		link += ".new"
		if there, err := os.Lstat(link); err == nil {
			// A killed run's, or somebody's.
			leads, err := os.Stat(link)
			linked := err == nil && os.SameFile(own, leads)
			if !linked && !(there.Mode().IsRegular() && isOurs(link)) {
				return "", errAnother
			}
			if err := os.Remove(link); err != nil {
				return "", err
			}
		}
	} else if !os.IsNotExist(err) {
		return "", err
	}
	ways := []struct {
		how  string
		make func(program, link string) error
	}{{"hard link", os.Link}, {"symbolic link", os.Symlink}, {"copy", copyProgram}}
	if symbolic {
		ways[0], ways[1] = ways[1], ways[0]
	}
	for _, way := range ways {
		if err = way.make(program, link); err == nil {
			how = way.how
			break
		}
		if os.IsExist(err) {
			return "", err
		}
	}
	if err == nil && link != path {
		if err = os.Rename(link, path); err != nil {
			os.Remove(link)
		}
	}
	return how, err
}

// copyProgram is for file systems without links, and for links that would
// cross them.
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

// maxProgram bounds what is read of a file to see whether it is this program,
// in bytes: no build is half as large.
const maxProgram = 64 << 20

// isOurs tells whether the file is a version of this program, by what the
// linker writes into each (debug/buildinfo reads it too).
func isOurs(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProgram))
	return err == nil && bytes.Contains(data, []byte("path\tlxc-pull\nmod\tlxc-pull\t"))
}

// ownPath returns the path of the running program: what the kernel says, else
// (no /proc) what the shell must have found for the name in argv[0].
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
	return "", fmt.Errorf("no /proc says where this program is: call it by its path, not as %q", os.Args[0])
}
