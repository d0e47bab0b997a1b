package main

import (
	"fmt"
	"strings"
	"testing"
)

// The rules are those of util-linux getopt(1), with which the stock template
// reads its command line.
func TestGetopt(t *testing.T) {
	options := append(stockOptions(), ownOptions()...)
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
		flags, operands, err := getopt(strings.Fields(c.args), options)
		var got []string
		for _, f := range flags {
			got = append(got, f.name+"="+f.value)
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

// Every option of the table is read by options.setOne.
func TestOptionsAreRead(t *testing.T) {
	values := map[string]string{
		"time": "2026-08-29", "memory": "24M", "cache-size": "1G", "limit-rate": "1M", "retries": "3", "stall-time": "9", "resolve": "a:127.0.0.1",
	}
	for _, o := range append(append(stockOptions(), ownOptions()...), option{long: "cache"}, option{long: "lxcpath"}, option{long: "config"}) {
		var opt options
		before := fmt.Sprintf("%+v", options{})
		value := values[o.name()]
		if value == "" {
			value = "x"
		}
		if err := opt.setOne(o.name(), value); err != nil || fmt.Sprintf("%+v", opt) == before && o.long != "standard-resolver" {
			t.Errorf("--%s changes nothing", o.name())
		}
	}
}

func TestMappedIDs(t *testing.T) {
	flags, rest := mappedIDs([]string{"a", "--mapped-uid", "65536", "b", "--mapped-gid", "7", "--mapped-uid"})
	if fmt.Sprint(flags) != "[{mapped-uid 65536} {mapped-gid 7}]" || strings.Join(rest, " ") != "a b --mapped-uid" {
		t.Errorf("%v, %q", flags, rest)
	}
	for _, c := range []struct {
		text string
		want int64
	}{{"65536", 65536}, {"0", 0}, {"-1", -1}, {"", -1}, {"4294967295", -1}, {"4294967294", 4294967294}, {"x\x81", -1}, {"99999999999", -1}} {
		got, ok := mappedID(c.text)
		if ok != (c.want != -1) || ok && uint32(got) != uint32(c.want&0xffffffff) {
			t.Errorf("mappedID(%q) = %d, %v", c.text, got, ok)
		}
	}
}

func TestParseSizeAndTime(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
	}{{"1", 1}, {"24M", 24 << 20}, {"3k", 3 << 10}, {"1G", 1 << 30}, {"", 0}, {"0", 0}, {"-1", 0}, {"M", 0}, {"1T", 0}, {"9999999999G", 0}} {
		if got, err := parseSize(c.text); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("parseSize(%q) = %d, %v", c.text, got, err)
		}
	}
	for _, text := range []string{"1787980800", "2026-08-29", "2026-08-29T00:00:00Z"} {
		if got, err := parseTime(text); err != nil || got.Unix() != 1787961600 && got.Unix() != 1787980800 {
			t.Errorf("parseTime(%q) = %v (%d), %v", text, got, got.Unix(), err)
		}
	}
	if _, err := parseTime("yesterday"); err == nil {
		t.Error("yesterday is a time")
	}
}

func TestServerURL(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"images.linuxcontainers.org", "https://images.linuxcontainers.org"},
		{"repo.turris.cz/lxc/", "https://repo.turris.cz/lxc"},
		{"127.0.0.1:8443", "https://127.0.0.1:8443"},
		{"http://box/x", "http://box/x"},
		{"file:///srv/images", "file:///srv/images"},
		{"ftp://x", ""}, {"https://", ""}, {"https://x/?y", ""}, {"x#y", ""}, {"a b", ""}, {"", ""},
	} {
		got, err := serverURL(c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("serverURL(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}
