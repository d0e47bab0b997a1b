package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A madeOptions names a container that exists.
type madeOptions struct {
	_             uncomparable
	name, lxcPath string
	path          string // the container's directory
	json          bool
}

func (o *madeOptions) group() *group {
	return &group{"", []flag{
		{short: 'P', long: "lxcpath", value: "DIR", help: "where containers are (default: as in lxc.conf)", into: &o.lxcPath, exact: true},
		{long: "json", help: "print JSON", into: &o.json, exact: true},
	}}
}

// read finds the container that the operands name, and reads what its directory says about
// it. uid is the user who may choose the server, besides root.
func (o *madeOptions) read(ctx context.Context, layout *host.Layout, operands []string, uid int) (*pull.Made, error) {
	switch len(operands) {
	case 0:
		return nil, usageErrorf("the name of the container is missing")
	case 1:
	default:
		return nil, unexpected(operands)
	}
	o.name = operands[0]
	if err := image.CheckName(o.name); err != nil {
		return nil, usageErrorf("invalid name %q: %v", o.name, err)
	}
	var made *pull.Made
	err := untilDone(ctx, func() (err error) {
		if o.lxcPath == "" {
			o.lxcPath = layout.LXCPath()
		}
		if o.lxcPath, err = filepath.Abs(o.lxcPath); err != nil {
			return err
		}
		o.path = filepath.Join(o.lxcPath, o.name)
		made, err = pull.ReadContainer(o.path, uid)
		return err
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// fromHere stands in a record in place of the server of an image that came from a directory or
// bundle of this machine.
const fromHere = "file:"

// useRecord sets the user namespace and the server to those of a container. The record says of
// which mode the image is, and which server to ask, before those of the settings, unless the
// command line names servers. A record of another user could name any server, and so make root
// send requests to it; its mode is that which the config implies.
func (o *finderOptions) useRecord(ui *ui, made *pull.Made) {
	o.namespace = host.ContainerNamespace(made.Config)
	o.servers.streams = false
	switch {
	case !made.Own:
	case made.Record.Mode == lxc.System:
		o.namespace = lxc.HostNamespace
	case o.namespace == lxc.HostNamespace:
		o.namespace = lxc.RootNamespace
	}
	server := made.Record.Server
	switch {
	case len(o.servers.servers) > len(o.servers.settings) || server == "" || server == fromHere:
	case !made.Own:
		ui.notef("%s belongs to another user, so the server in it is not asked", pull.RecordFile)
	default:
		o.servers.servers = append([]string{server}, o.servers.settings...)
	}
}

// An infoCall is one use of "info".
type infoCall struct {
	made    madeOptions
	finder  finderOptions
	offline bool
}

func (c *infoCall) groups() []*group {
	return c.finder.groups(c.made.group(), &group{"", []flag{
		{long: "offline", help: "do not ask the server for a newer build", into: &c.offline, exact: true},
	}})
}

// groups returns the flags of a command: its own, and those of finding an image. Only a setting
// gives "server*" (settings.give).
func (o *finderOptions) groups(made, own *group) []*group {
	second := &group{"", []flag{{long: "server*", value: "SERVER", into: &o.servers.settings, exact: true}}}
	return []*group{made, own, o.servers.group(), o.trust.group(), o.network.group(), commonFlags(), second}
}

func (c *infoCall) run(ctx context.Context, ui *ui, operands []string) error {
	layout := host.This()
	made, err := c.made.read(ctx, layout, operands, os.Geteuid())
	if err != nil {
		return err
	}
	newest := ""
	if c.offline {
		ui.setClock(source.NewClock(c.finder.network.time, buildDate()))
	} else if made.Record.Image.Reference != "" {
		if newest, err = c.newestImage(ctx, ui, made); ctx.Err() != nil {
			return err
		}
		if err != nil {
			ui.warn("offline", "whether there is another image now is not known: %v", err)
		}
	} else if made.Record.Server == fromHere && len(c.finder.servers.servers) == 0 {
		ui.warn("offline", "the image came from a directory or bundle of this machine; --server can name a server, to see whether it has a newer build")
	} else {
		c.finder.useRecord(ui, made)
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
	text := c.output(ui, made.Record, newest)
	ui.settle()
	_, err = io.WriteString(ui.out, text)
	return err
}

// newestImage returns the build of the image that the name of a container's image leads to now: of
// a tag in a registry, or of an alias of a simplestreams server.
func (c *infoCall) newestImage(ctx context.Context, ui *ui, made *pull.Made) (string, error) {
	rec, o := made.Record, &c.finder
	which, err := readReference(made)
	switch {
	case err != nil:
		return "", err
	case which.kind() == fromURL:
		return "", errors.New("the image came from a URL, which names no builds")
	}
	if name := which.container; name != "" {
		tagged, _, _ := strings.Cut(name, "@")
		if strings.LastIndexByte(tagged, ':') < strings.LastIndexByte(tagged, '/') {
			return "", errors.New("the image was named by its digest alone")
		}
		which.container = tagged
		o.trust.keyrings, o.trust.keyids = nil, nil // those of settings are for image servers
	}
	o.namespace = host.ContainerNamespace(made.Config)
	o.servers, o.asked = serverOptions{}, rec.Server // those of settings are image servers
	finder, err := o.openOther(ctx, ui, which)
	if err != nil {
		return "", err
	}
	found, err := finder.Find(ctx, image.Query{})
	if err != nil {
		return "", err
	}
	found.Close()
	return found.Image.Build, nil
}

// readReference returns the name of a container's image that is not one of an image server, as
// options of this program.
func readReference(made *pull.Made) (*imageOptions, error) {
	rec := made.Record
	name := rec.Image.Reference
	which := &imageOptions{arch: rec.Image.Arch}
	switch {
	case !made.Own:
		return nil, errors.New(pull.RecordFile + " belongs to another user, so the server in it is not asked")
	case isContainer(name):
		which.container = name
		return which, nil
	}
	// A product of a server without a short name is "URL KEY".
	named, err := readSource(strings.Replace(name, " ", ":", 1), strings.Contains(name, " "))
	if err != nil || named == nil || named.kind > fromURL {
		return nil, errors.New("the image came from an archive, file or directory of this machine")
	}
	which.named = named
	return which, nil
}

// output returns what the command prints: a line for each member of the record, the age of its
// build, and the newest build, with the server that has it if that is not the record's; or one
// JSON object. Members without a value are left out for people, and so are rare ones without -v.
func (c *infoCall) output(ui *ui, rec *pull.Record, newest string) string {
	now, json, asked := ui.clock.Now(), c.made.json, c.finder.asked
	age, seconds, newer, build := "", "null", "null", "null"
	if newest != "" {
		build = jsonString(newest)
	}
	if built, ok := image.BuildTime(rec.Image.Build); ok {
		age, seconds = source.Age(now.Sub(built)), strconv.FormatInt(int64(now.Sub(built)/time.Second), 10)
		if latest, ok := image.BuildTime(newest); ok {
			newer = strconv.FormatBool(latest.After(built))
			if latest.After(built) {
				newest += ", " + source.Age(latest.Sub(built)) + " newer"
			}
		}
	}
	if rec.Image.Reference != "" && newest != "" {
		newer = strconv.FormatBool(newest != rec.Image.Build)
		if newer == "true" {
			newest += ", another image than this"
		}
	}
	if newest != "" && newest == rec.Image.Build {
		newest += ", this build"
		newer = "false"
	}
	if newest != "" && asked != rec.Server {
		newest += ", on " + asked
	}
	text := ""
	var o jsonObject
	for _, m := range rec.Members() {
		switch {
		case m.One != nil && json:
			o.text(m.Name, *m.One)
		case !json && !ui.verbose && among("path rootfs_sha256 meta_sha256 edited", m.Name):
		case m.One == &rec.Server && rec.Server == fromHere:
			text += infoLine(m.Name, "none: the image came from this machine")
		case m.One != nil:
			text += infoLine(m.Name, *m.One)
		case json:
			o.raw(m.Name, jsonList(*m.Many))
		default:
			list := ""
			for _, s := range *m.Many {
				_, s = untar.CutDigest(s)
				list += " " + s
			}
			text += infoLine(m.Name, strings.TrimPrefix(list, " "))
		}
	}
	if !json {
		return text + infoLine("age", age) + infoLine("newest", newest)
	}
	o.raw("age_seconds", seconds)
	o.raw("newest", build)
	o.raw("newer", newer)
	server := "null"
	if asked != "" {
		server = jsonString(asked)
	}
	o.raw("asked", server)
	return "{" + strings.Join(o, ", ") + "}\n"
}

// infoLine returns a line for people, "" if there is no value.
func infoLine(name, value string) string {
	if value == "" {
		return ""
	}
	return (name + "               ")[:15] + escaped(value) + "\n"
}

// escaped is printable for a text in one line: line feeds and tabs are escaped, too.
func escaped(s string) string {
	s = strings.ReplaceAll(printable(s), "\n", `\x0a`)
	return strings.ReplaceAll(s, "\t", `\x09`)
}
