package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// A usage text fits a small screen, goes to standard output, and is no
// failure; a misuse writes nothing there.
func TestUsage(t *testing.T) {
	const lines, columns = 24, 80
	calls := [][]string{{"lxc-pull", "--help"}, {"lxc-download", "--help"}, {"lxc-oci", "--help"}, {"lxc-local", "--help"}}
	for _, c := range commands() {
		calls = append(calls, []string{"lxc-pull", c.name, "--help"})
	}
	for _, args := range calls {
		cmd, rest, err := choose(args)
		if err != nil {
			t.Fatal(err)
		}
		var out, errors bytes.Buffer
		if err := cmd.run(t.Context(), &ui{out: &out, err: &errors}, rest); err != nil || errors.Len() > 0 {
			t.Errorf("%q: %v, %q on standard error", args, err, &errors)
		}
		text := out.String()
		if text == "" || strings.Count(text, "\n") > lines {
			t.Errorf("%q: %d lines, not 1 to %d", args, strings.Count(text, "\n"), lines)
		}
		for line := range strings.Lines(text) {
			if len(line) > columns+1 {
				t.Errorf("%q: %d columns in %q", args, len(line)-1, line)
			}
		}
		out.Reset()
		wrong := append(slices.Clone(rest[:max(0, len(rest)-1)]), "--no-such-option")
		if err := cmd.run(t.Context(), &ui{out: &out, err: &errors}, wrong); exitStatus(err) != exitUsage && cmd.name != "sopv" || out.Len() > 0 {
			t.Errorf("%q: %v, %q on standard output", wrong, err, &out)
		}
	}
}
