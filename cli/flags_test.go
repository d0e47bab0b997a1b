package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tables returns a function for each command, by its name. The function returns a new call and
// the call's flags.
func tables() map[string]func() (call, []flag) {
	list := map[string]func() (call, []flag){}
	for i, c := range append(commands(), *template(templateName)) {
		list[c.name] = func() (call, []flag) {
			one := append(commands(), *template(templateName))[i].call
			return one, flagsOf(one.groups())
		}
	}
	return list
}

// Every flag that a command takes changes something, but for those that commands share
// and those that are accepted for tar's or the stock template's sake.
func TestFlagsAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("a line\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"": "", "SIZE": "24M", "N": "3", "TIME": "2026-08-29", "HOST:ADDRESS": "a:127.0.0.1", "FILE": file, "HEX": strings.Repeat("0", 64), "NAME=VALUE": "A=b", "PROTOCOL": "simplestreams",
	}
	for name, table := range tables() {
		_, flags := table()
		for i := range flags {
			one, flags := table()
			f := &flags[i]
			if _, ok := f.into.(*ui); ok {
				continue // TestEvents, TestProgress
			}
			if f.into == nil {
				if f.help != "" && f.long != "help" && f.long != "quiet" && f.long != "verbose" {
					t.Errorf("%s: --%s is explained and does nothing", name, f.name())
				}
				continue
			}
			value, known := values[f.value]
			if !known {
				value = "x"
			}
			set := func(f *flag) {
				if err := f.set(value); err != nil {
					t.Errorf("%s: --%s %q: %v", name, f.name(), value, err)
				}
			}
			for j := range flags { // what a flag undoes is done first
				if "no-"+flags[j].long == f.long && name == "untar" {
					set(&flags[j])
				}
			}
			before := fmt.Sprintf("%+v", one)
			if set(f); fmt.Sprintf("%+v", one) == before {
				t.Errorf("%s: --%s changes nothing", name, f.name())
			}
		}
	}
}

// No two flags of a command have the same name, and a help text says which flags may be repeated.
func TestFlagsAreUnique(t *testing.T) {
	for name, table := range tables() {
		_, flags := table()
		seen := map[string]bool{}
		for _, f := range flags {
			for _, n := range []string{f.long, strings.Trim(string(rune(f.short)), "\x00")} {
				if n != "" && seen[n] {
					t.Errorf("%s has two flags %q", name, n)
				}
				seen[n] = true
			}
			if f.long == "" && f.short == 0 {
				t.Errorf("%s has a flag without a name", name)
			}
			if _, list := f.into.(*[]string); list && f.help != "" && !f.again {
				t.Errorf("%s: the help text does not say that --%s may be given again", name, f.name())
			}
		}
	}
}

// The error suggests a command or option if the word is nearly its name, and nothing otherwise.
func TestDidYouMean(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // the end of the error
	}{
		{[]string{"crate"}, `unknown command "crate"; did you mean create?`},
		{[]string{"lst"}, `unknown command "lst"; did you mean list?`},
		{[]string{"zap"}, `unknown command "zap"`},
		{[]string{"list", "--jsno"}, `unknown option "--jsno"; did you mean --json?`},
		{[]string{"create", "--sever", "x"}, `unknown option "--sever"; did you mean --server?`},
		{[]string{"list", "--cache-size", "1G"}, `unknown option "--cache-size"`},
		{[]string{"cache", "lss"}, `cache has no command "lss"; did you mean ls?`},
		{[]string{"help", "verfy"}, `unknown command "verfy"; did you mean verify?`},
	} {
		_, _, err := perform(t, c.args...)
		if err == nil || err.Error() != c.want || exitStatus(err) != exitUsage {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
}
