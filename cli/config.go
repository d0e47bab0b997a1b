package cli

import (
	"context"
	"io"
	"os"
	"strings"

	"lxc-pull/lxc/host"
	"lxc-pull/pgp"
)

// A configCall is one use of "config". It reads only files, and asks no server.
type configCall struct{ json bool }

func (c *configCall) groups() []*group {
	return []*group{{"", []flag{{long: "json", help: "print JSON", into: &c.json, exact: true}}}, commonFlags()}
}

func (c *configCall) run(ctx context.Context, ui *ui, operands []string) error {
	if len(operands) > 0 {
		return unexpected(operands)
	}
	var s *settings
	err := untilDone(ctx, func() error {
		s = readSettings(-1)
		s.check(ctx, ui)
		return nil
	})
	if err != nil {
		return err
	}
	rows := s.rows()
	if c.json {
		err = printObjects(ui.out, rowObjects(rows))
	} else {
		_, err = io.WriteString(ui.out, columns(rows, false))
	}
	for _, text := range s.errs {
		ui.write("", "lxc-pull: "+text)
	}
	if err == nil && len(s.errs) > 0 {
		err = &silentError{usage: true}
	}
	return err
}

// check adds to s.errs what a creation with these settings would refuse before it asks a
// server.
func (s *settings) check(ctx context.Context, ui *ui) {
	c := new(createCall)
	s.give(flagsOf(c.groups()), nil)
	c.finder.owner = unchanged()
	if _, err := c.finder.open(ctx, ui, false); err != nil {
		addTo(&s.errs, s.blame(err).Error())
	}
	if name := c.finder.registry.authFile; name != "" {
		if _, err := readOption("auth-file", name, maxCredentials); err != nil {
			addTo(&s.errs, s.blame(err).Error())
		}
	}
}

// rows returns the table that "config" prints: the settings, what else counts, and the files
// that were looked for.
func (s *settings) rows() [][]string {
	rows := [][]string{{"NAME", "VALUE", "FROM"}}
	add := func(name, value, from string) {
		var row []string
		addTo(&row, name, printable(value), printable(from))
		rows = append(rows, row)
	}
	for _, name := range settingNames() {
		list := s.of(name)
		for _, x := range list {
			value := x.value
			if name == "server" || name == "mirror" {
				value = withoutPassword(value)
			}
			add(name, value, x.where)
		}
		if list != nil {
			continue
		}
		_, value := kindOf(name)
		if name == "keyring" {
			value += " " + pgp.LinuxContainers().Fingerprints()[0]
		}
		add(name, value, "default")
	}
	layout := host.This()
	from := "default"
	if os.Getenv("LXC_CACHE_PATH") != "" {
		from = "LXC_CACHE_PATH"
	}
	add("cache", layout.CacheDir(host.Namespace()), from)
	add("lxcpath", layout.LXCPath(), "LXC")
	add("arch", hostArch(), "this machine")
	add("variant", defaultVariant, "default")
	for i := 0; i < len(s.files); i += 2 {
		state := s.files[i+1]
		if state == "" {
			state = "read"
		}
		name := "file"
		if s.files[i][0] != '/' {
			name = "variable"
		}
		add(name, s.files[i], state)
	}
	return rows
}

// rowObjects returns the rows of a table as JSON objects. Their keys are those of the first
// row.
func rowObjects(rows [][]string) []jsonObject {
	objects := make([]jsonObject, len(rows)-1)
	for i, row := range rows[1:] {
		for n, cell := range row {
			objects[i].text(strings.ToLower(rows[0][n]), cell)
		}
	}
	return objects
}
