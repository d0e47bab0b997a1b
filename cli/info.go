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
}

func (o *madeOptions) flags() []flag {
	return []flag{
		{short: 'n', long: "name", value: "NAME", help: "the container's name, as for other LXC programs", into: &o.name, more: true},
		{short: 'P', long: "lxcpath", value: "DIR", help: "where containers are (default: as in lxc.conf)", into: &o.lxcPath, exact: true},
	}
}

// read finds the container that the operands or the options name, and reads what its
// directory says about it. uid is the user who may choose the server, besides root.
func (o *madeOptions) read(ctx context.Context, layout host.Layout, operands []string, uid int) (*pull.Made, error) {
	if o.name == "" && len(operands) > 0 {
		o.name, operands = operands[0], operands[1:]
	}
	if o.name == "" {
		return nil, usageErrorf("the name of the container is missing")
	}
	if len(operands) > 0 {
		return nil, usageErrorf("unexpected argument %q after the name", operands[0])
	}
	if err := image.CheckName(o.name); err != nil {
		return nil, usageErrorf("name %q: %v", o.name, err)
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
	json    bool
	offline bool
}

func (c *infoCall) groups() []group {
	own := append(c.made.flags(),
		flag{long: "json", help: "print JSON", into: &c.json, exact: true},
		flag{long: "offline", help: "do not ask the server for a newer build", into: &c.offline, exact: true},
	)
	return []group{{"", own}, c.finder.servers.group(), c.finder.trust.group(), c.finder.network.group(), commonFlags()}
}

func (c *infoCall) run(ctx context.Context, ui *ui, operands []string) error {
	made, err := c.made.read(ctx, host.This(), operands, os.Geteuid())
	if err != nil {
		return err
	}
	rec := made.Record
	newest := ""
	if !c.offline {
		c.finder.servers.useRecorded(ui, made)
		c.finder.namespace = namespaceOf(made)
		if newest, err = c.newest(ctx, ui, rec); err != nil {
			if ctx.Err() != nil {
				return err
			}
			ui.warnf("whether there is a newer build is not known: %v", err)
		}
	}
	var o jsonObject
	rows := infoRows(rec, newest, ui.clock.Now())
	if c.json {
		o = nameObject(rec.Image.Name, rec.Image.Build)
	}
	text := ""
	for _, row := range rows {
		if c.json && row[1] != "" {
			o.text(row[1], row[2])
		} else if !c.json && row[0] != "" && row[2] != "" {
			text += fmt.Sprintf("%-10s %s\n", row[0], escaped(row[2]+row[3]))
		}
	}
	if c.json {
		o.raw("signers", jsonStrings(rec.Signers))
		o.raw("edited", jsonStrings(rec.Edited))
		text = "{" + strings.Join(o, ", ") + "}\n"
	}
	ui.settle()
	_, err = io.WriteString(ui.out, text)
	return err
}

// newest returns the build that the server's verified index lists for the image.
func (c *infoCall) newest(ctx context.Context, ui *ui, rec *pull.Record) (string, error) {
	index, err := c.finder.list(ctx, ui)
	if err != nil {
		return "", err
	}
	img, err := index.Find(rec.Query())
	return img.Build, err
}

// infoRows returns the lines of the output: the title, the name in JSON, the value, and a
// remark for people. A line without a title is in JSON only, and one without a name for
// people only.
func infoRows(rec *pull.Record, newest string, now time.Time) [][4]string {
	age, note := "", ""
	built, dated := image.BuildTime(rec.Image.Build)
	if dated {
		age = ", " + source.Age(now.Sub(built)) + " old"
	}
	switch latest, ok := image.BuildTime(newest); {
	case newest == rec.Image.Build:
		note = ": this build"
	case ok && dated && latest.After(built):
		note = ": newer than this build"
	case newest != "":
		note = ": another build"
	}
	signed := ""
	if rec.Signed != "" {
		signed = ", " + rec.Signed
	}
	signers := strings.Join(rec.Signers, " ")
	if signers == "" {
		signers = "nobody: no signature was verified"
	}
	return [][4]string{
		{"image", "", rec.Image.Name.String()},
		{"build", "", rec.Image.Build, age},
		{"newest", "newest", newest, note},
		{"server", "server", rec.Server},
		{"path", "path", rec.Image.Path},
		{"signed by", "", signers, signed},
		{"", "signed", rec.Signed},
		{"rootfs", "rootfs_sha256", rec.Rootfs},
		{"metadata", "meta_sha256", rec.Meta},
		{"created", "created", rec.Created, " by " + rec.Program},
		{"", "program", rec.Program},
		{"for", "", map[lxc.Mode]string{lxc.System: "root's containers", lxc.User: "containers in a user namespace"}[rec.Mode]},
		{"", "mode", string(rec.Mode)},
		{"edited", "", strings.Join(rec.Edited, " ")},
	}
}

// escaped is printable for a text in one line: line feeds and tabs are escaped, too.
func escaped(s string) string {
	s = strings.ReplaceAll(printable(s), "\n", `\x0a`)
	return strings.ReplaceAll(s, "\t", `\x09`)
}

// jsonStrings returns a list as a JSON array.
func jsonStrings(list []string) string {
	var items []string
	for _, s := range list {
		items = append(items, jsonString(s))
	}
	return "[" + strings.Join(items, ", ") + "]"
}
