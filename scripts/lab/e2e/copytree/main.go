// Command copytree copies a directory with untar.Root.Copy, and prints the report.
//
//	copytree [--user] [--shift N] [--exclude PATTERN] FROM TO
//
// --user makes all files the caller's own. --shift maps the owners 0 to 65535 to those from N on,
// as for a container.
package main

import (
	"flag"
	"fmt"
	"os"

	"lxc-pull/untar"
)

func main() {
	var opt untar.Options
	opt.Strict = true
	user := flag.Bool("user", false, "make all files the caller's own")
	shift := flag.Uint("shift", 0, "the first owner")
	exclude := flag.String("exclude", "", "leave out what matches")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if *user {
		opt.Metadata.Privilege = untar.User
	}
	if *shift > 0 {
		opt.Metadata.IDMap = []untar.IDRange{{UID: true, GID: true, Outside: uint32(*shift), Count: 65536}}
	}
	if *exclude != "" {
		opt.Filter.Exclude = []string{*exclude}
	}
	if err := run(flag.Arg(0), flag.Arg(1), opt); err != nil {
		fmt.Fprintf(os.Stderr, "copytree: %v\n", err)
		os.Exit(1)
	}
}

func run(from, to string, opt untar.Options) error {
	source, err := untar.OpenRoot(from)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	target, err := untar.OpenRoot(to)
	if err != nil {
		return err
	}
	defer target.Close()
	report, err := target.Copy(source, opt)
	fmt.Println(string(report.AppendJSON(nil)))
	return err
}
