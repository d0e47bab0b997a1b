package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
)

const infoUsage = `Usage: lxc-pull info NAME [OPTION]...

Shows which image a container was made of, who signed it, how old it is, and
whether the server has a newer build. If the server can't be asked, that is no
failure.
`

// A madeOptions names a container that exists.
type madeOptions struct {
	name, lxcPath string
	path          string // the container's directory
	json          bool
}

func (o *madeOptions) flags() []flag {
	return []flag{
		{short: 'P', long: "lxcpath", value: "DIR", help: "where containers are (default: as in lxc.conf)", into: &o.lxcPath, exact: true},
		{long: "json", help: "print JSON", into: &o.json, exact: true},
	}
}

// read finds the container that the operands name, and reads what its directory says about
// it. uid is the user who may choose the server, besides root.
func (o *madeOptions) read(ctx context.Context, layout *host.Layout, operands []string, uid int) (*pull.Made, error) {
	if len(operands) != 1 {
		return nil, usageErrorf("one container must be named, not %q", operands)
	}
	o.name = operands[0]
	if err := image.CheckName(o.name); err != nil {
		return nil, usageErrorf("invalid name %q: %v", o.name, err)
	}
	return getUntilDone(ctx, func() (_ *pull.Made, err error) {
		if o.lxcPath == "" {
			o.lxcPath = layout.LXCPath()
		}
		if o.lxcPath, err = filepath.Abs(o.lxcPath); err != nil {
			return nil, err
		}
		o.path = filepath.Join(o.lxcPath, o.name)
		return pull.ReadContainer(o.path, uid)
	})
}

// useRecorded makes the record's server the one to ask, unless the user names servers.
// Another user could name any server in a record, and so make root send requests to it.
func (o *serverOptions) useRecorded(ui *ui, made *pull.Made) {
	server := made.Record.Server
	switch {
	case len(o.servers) > 0 || server == "" || server == "file:":
	case !made.Own:
		ui.notef("%s belongs to another user, so the server in it is not asked", pull.RecordFile)
	default:
		o.servers = []string{server}
	}
}

// namespaceOf returns the user namespace of a container. Its record says of which mode the
// image is.
func namespaceOf(made *pull.Made) lxc.Namespace {
	namespace := host.ContainerNamespace(made.Config)
	switch {
	case made.Record.Mode == lxc.System:
		return lxc.HostNamespace
	case namespace == lxc.HostNamespace:
		return lxc.RootNamespace
	}
	return namespace
}

// An infoCall is one use of "info".
type infoCall struct {
	made    madeOptions
	finder  finderOptions
	offline bool
}

func (c *infoCall) groups() []group {
	own := append(c.made.flags(), flag{long: "offline", help: "do not ask the server for a newer build", into: &c.offline, exact: true})
	return []group{{"", own}, c.finder.servers.group(), c.finder.trust.group(), c.finder.network.group(), commonFlags()}
}

func (c *infoCall) run(ctx context.Context, ui *ui, operands []string) error {
	made, err := c.made.read(ctx, host.This(), operands, os.Geteuid())
	if err != nil {
		return err
	}
	newest := ""
	if c.offline {
		ui.setClock(source.NewClock(c.finder.network.time, buildDate()))
	} else if made.Record.Server == "file:" && len(c.finder.servers.servers) == 0 {
		ui.warn("offline", "the image came from a directory of this machine; --server can name it, to see whether it has a newer build")
	} else {
		c.finder.servers.useRecorded(ui, made)
		c.finder.namespace = namespaceOf(made)
		index, err := c.finder.list(ctx, ui)
		if err == nil {
			var img image.Image
			img, err = index.Find(made.Record.Query())
			newest = img.Build
		}
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			ui.warn("offline", "whether there is a newer build is not known: %v", err)
		}
	}
	text := infoText(made.Record, newest, ui.clock.Now(), c.made.json)
	ui.settle()
	_, err = io.WriteString(ui.out, text)
	return err
}

// infoText returns the output: a line for each member of the record, the age of its build, and
// the newest build; or one JSON object. Members without a value are left out for people.
func infoText(rec *pull.Record, newest string, now time.Time, json bool) string {
	var text string
	var o jsonObject
	line := func(name string, value string) {
		if json {
			o.text(name, value)
		} else if value != "" {
			text += fmt.Sprintf("%-13s  %s\n", name, escaped(value))
		}
	}
	rec.Members(func(name string, one *string, many *[]string) {
		switch {
		case one != nil:
			line(name, *one)
		case !json:
			line(name, strings.Join(*many, " "))
		default:
			var list []string
			for _, s := range *many {
				list = append(list, jsonString(s))
			}
			o.raw(name, "["+strings.Join(list, ", ")+"]")
		}
	})
	built, dated := image.BuildTime(rec.Image.Build)
	if dated {
		line("age", source.Age(now.Sub(built)))
	}
	if newest == rec.Image.Build && !json {
		newest += ", this build"
	}
	if latest, ok := image.BuildTime(newest); ok && dated && latest.After(built) && !json {
		newest += ", " + source.Age(latest.Sub(built)) + " newer"
	}
	line("newest", newest)
	if json {
		return "{" + strings.Join(o, ", ") + "}\n"
	}
	return text
}

// escaped is printable for a text in one line: line feeds and tabs are escaped, too.
func escaped(s string) string {
	s = strings.ReplaceAll(printable(s), "\n", `\x0a`)
	return strings.ReplaceAll(s, "\t", `\x09`)
}
