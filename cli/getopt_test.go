package cli

import (
	"strings"
	"testing"
)

// The rules are those of util-linux getopt(1), with which the stock template
// reads its command line.
func TestGetopt(t *testing.T) {
	flags := flagsOf(new(templateCall).groups())
	for _, c := range []struct {
		args, want string // flags as name=value, then "|" and the operands; "!" and a part of the error
	}{
		{"", "|"},
		{"-d debian -r trixie", "dist=debian release=trixie|"},
		{"-ddebian -rtrixie", "dist=debian release=trixie|"},
		{"-lh", "list= help=|"},
		{"-ladebian", "list= arch=debian|"},
		{"--dist debian --release=trixie", "dist=debian release=trixie|"},
		{"--dis debian --rel=trixie --ar amd64", "dist=debian release=trixie arch=amd64|"},
		{"one -l two", "list=|one two"},
		{"-l -- -d x", "list=|-d x"},
		{"-d -r", "dist=-r|"},
		{"--mapped-uid 5 --mapped-gid=-1", "mapped-uid=5 mapped-gid=-1|"},
		{"--server=a=b", "server=a=b|"},
		{"--dist=", "dist=|"},
		{"-", "|-"},
		{"--keyring x --no-validate", "keyring=x no-validate=|"},
		{"--re x", "release=x|"},   // ours (--refresh, --report, --resolve) don't make a stock prefix ambiguous
		{"--v x", "!may be"},       // --variant, --verbose
		{"--f", "!may be"},         // --flush-cache, --force-cache
		{"--mapped-u", "!value"},   // no value left
		{"--keyrin x", "!unknown"}, // ours in full only
		{"--nonsense", "!unknown"},
		{"-z", "!unknown"},
		{"--list=x", "!takes no value"},
		{"-d", "!needs a value"},
		{"--", "|"},
		{"--=x", "!unknown"},
	} {
		values, operands, err := getopt(strings.Fields(c.args), flags)
		var got []string
		for _, v := range values {
			got = append(got, flags[v.flag].name()+"="+v.value)
		}
		text := strings.Join(got, " ") + "|" + strings.Join(operands, " ")
		if part, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %q, %v; want an error with %q", c.args, text, err, part)
			}
		} else if err != nil || text != c.want {
			t.Errorf("%q: %q, %v; want %q", c.args, text, err, c.want)
		}
	}
}
