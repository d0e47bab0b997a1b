// Command typist runs a program on a pseudo-terminal and types, as a person would: it
// waits for a text, then sends keys.
//
//	typist [--columns N] [--rows N] [--expect TEXT --type KEYS]... -- COMMAND...
//
// In KEYS \r is Enter, \e Escape, \t Tab, and \e[A the arrow up; after the last keys it
// waits for the command's end. It prints what the terminal shows at the end, and exits with its status;
// with status 125 if a text does not come within a minute.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"lxc-pull/scripts/lab/terminal"
)

// patience is how long a text may take to appear. Creating a container of Debian takes a
// few seconds.
const patience = time.Minute

// failed is the exit status if the typist could not do its work.
const failed = 125

// A play is what to wait for and what to type then.
type play struct{ expect, keys string }

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "typist: %v\n", err)
		os.Exit(failed)
	}
	os.Exit(status)
}

func run(args []string) (int, error) {
	plays, columns, rows, command, err := parse(args)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(command[0], command[1:]...)
	t, err := terminal.Start(cmd, columns, rows)
	if err != nil {
		return 0, err
	}
	at := 0
	for _, p := range plays {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		at, err = t.Expect(ctx, p.expect, at)
		cancel()
		if err == nil {
			err = t.Type(p.keys)
		}
		if err != nil {
			cmd.Process.Kill()
			return 0, fmt.Errorf("%v; it printed:\n%s", err, t.Output())
		}
	}
	status, err := t.Wait()
	os.Stdout.WriteString(t.Screen().Text())
	return status, err
}

func parse(args []string) (plays []play, columns, rows int, command []string, err error) {
	columns, rows = 80, 24
	for len(args) > 1 && args[0] != "--" {
		switch name, value := args[0], args[1]; name {
		case "--expect":
			plays = append(plays, play{expect: value})
		case "--type":
			if len(plays) == 0 {
				return nil, 0, 0, nil, errors.New("--type comes after --expect")
			}
			plays[len(plays)-1].keys += strings.NewReplacer(`\r`, "\r", `\e`, "\x1b", `\t`, "\t").Replace(value)
		case "--columns":
			columns, err = strconv.Atoi(value)
		case "--rows":
			rows, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown option %q", name)
		}
		if err != nil {
			return nil, 0, 0, nil, err
		}
		args = args[2:]
	}
	if len(args) < 2 || args[0] != "--" {
		return nil, 0, 0, nil, errors.New("the command is missing: typist [OPTION...] -- COMMAND [ARGUMENT...]")
	}
	return plays, columns, rows, args[1:], nil
}
