package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Servers and mirrors are asked in the order in which the command line and the lists
// name them.
func TestServerOptions(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	write := func(text string) {
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# mirrors\n\nm2/x/ # near\nhttps://a\n")
	var names []string
	err := readMirrorList(list, func(name string) error { names = append(names, name); return nil })
	if got, want := strings.Join(names, " "), "m2/x/ https://a"; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	o := serverOptions{servers: []string{"a", "http://b", "a/"}, mirrors: []string{"m1"}, mirrorLists: []string{list}}
	servers, err := o.parse()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(servers.URLs(), " "), "https://a http://b"; got != want {
		t.Errorf("servers %s, want %s", got, want)
	}
	for text, want := range map[string]string{
		"m1\n\nftp://x\n": "line 3: ",
		strings.Repeat("#", maxMirrorList) + "\nm1": "larger than",
	} {
		write(text)
		if _, err := o.parse(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), list) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// A password in a server's name is not repeated in an error.
func TestWithoutPassword(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "u:s3cret@a/x": "a/x", "http://u:p@a?k=v": "a", "a#b": "a"} {
		if got := withoutPassword(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
