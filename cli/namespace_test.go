package cli

import (
	"testing"

	"lxc-pull/lxc"
	"lxc-pull/pull"
)

// A word with a blank or a quote inside is quoted.
func TestShellWords(t *testing.T) {
	got := shellWords([]string{"lxc-create", "-n", "a b", "it's", "", "$(x)", "a$b", "/srv/lxc"})
	if want := `lxc-create -n 'a b' 'it'\''s' '' '$(x)' 'a$b' /srv/lxc`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// LXC would read another path, or end the line there.
func TestCheckNames(t *testing.T) {
	for path, ok := range map[string]bool{"/lxc/web": true, "/l xc/w": true, "/lxc\n/web": false, "/lxc\x7f/web": false, "/lxc\r/web": false} {
		target := pull.Target{Container: lxc.Container{Name: "web", Path: path}}
		if err := checkNames(target); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}
