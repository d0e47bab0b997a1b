package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
	"lxc-pull/untar"
)

// A checkCall is one use of "check".
type checkCall struct {
	made        madeOptions
	finder      finderOptions
	onlyChanged bool
	exclude     []string
	rootfs      string
	foreign     bool      // image.json belongs to another user
	other       bool      // pull.Audit.OtherImage
	mapped      [2]string // --mapped-uid and --mapped-gid, which reenter passes

	args []string // the arguments of this call, for reenter
}

func (c *checkCall) groups() []*group {
	groups := c.finder.groups(c.made.group(), &group{"", []flag{
		{long: "only-changed", help: "leave out missing and added files", into: &c.onlyChanged, exact: true},
		{long: "exclude", value: "PATTERN", help: "leave out files that match, and all below them", into: &c.exclude, again: true, exact: true},
		{long: "rootfs", value: "DIR", help: "the root file system is mounted at DIR", into: &c.rootfs, exact: true, more: true},
		{long: "no-cache", help: "do not use the cache", into: &c.finder.cache.noCache, exact: true, more: true},
		{long: "memory", value: "SIZE", help: "use at most SIZE bytes of memory (20M or more)", into: &c.finder.memory, exact: true, more: true},
		{long: "mapped-uid", value: "UID", into: &c.mapped[0], exact: true},
		{long: "mapped-gid", value: "GID", into: &c.mapped[1], exact: true},
	}})
	groups[2].flags[1].more = true // --mirror; --help has no room for it
	return groups
}

// rewrite keeps the arguments for reenter.
func (c *checkCall) rewrite(args []string) []string {
	c.args = args
	return args
}

func (c *checkCall) run(ctx context.Context, ui *ui, operands []string) error {
	unix.Umask(newUmask) // for files in the cache
	layout, uid := host.This(), os.Geteuid()
	c.finder.owner = unchanged()
	if id, ok := mappedID(c.mapped[0]); ok && host.Namespace() == lxc.UserNamespace { // reenter has called this process
		layout.Root, uid = false, id
		c.finder.owner.UID = id
		c.finder.owner.GID, _ = mappedID(c.mapped[1])
	}
	made, err := c.made.read(ctx, layout, operands, uid)
	if err != nil {
		return err
	}
	audit := &pull.Audit{Record: made.Record, Memory: pull.Memory(c.finder.memory), Ignore: c.exclude, ChangedOnly: c.onlyChanged, Tell: ui.listener()}
	for i, pattern := range c.exclude {
		c.exclude[i] = strings.TrimLeft(strings.TrimPrefix(pattern, "./"), "/")
	}
	if audit.IDMap, err = c.idMap(ui, made.Config); err != nil {
		return err
	}
	c.finder.trust.allowOlder = true // the container's build is the one to compare with, whatever came later
	c.finder.useRecord(ui, made)
	if made.Record.Image.Reference != "" {
		if err := c.useOther(ctx, ui, made); err != nil {
			return err
		}
	}
	if c.foreign = !made.Own; c.foreign {
		made.Record.Mode, made.Record.Privilege = c.finder.namespace.Mode(), "root"
		if made.Record.Mode == lxc.User {
			made.Record.Privilege = "user namespace"
		}
	}
	finder, err := c.finder.open(ctx, ui, true)
	if err != nil {
		return err
	}
	var result *untar.Comparison
	var used image.Image
	err = untilEnded(ctx, func() (err error) {
		if c.rootfs != "" {
			audit.Root, err = untar.OpenRoot(c.rootfs)
		} else {
			audit.Root, err = made.OpenRootfs()
		}
		if err != nil {
			return err
		}
		query := made.Record.Query()
		query.Build = made.Record.Image.Build
		found, err := finder.Find(ctx, query)
		for err == nil {
			var failed error
			if result, failed = audit.Compare(ctx, found); failed == nil {
				used = found.Image
				found.Close()
				break
			}
			// Another server or copy may not have what failed, so it is the next to compare with.
			found, err = finder.Next(ctx, found, failed)
		}
		audit.Root.Close()
		return err
	})
	if err != nil {
		return err
	}
	c.other = audit.OtherImage
	return c.print(ui, result, &used)
}

// useOther makes the Finder find the image of a container that was not made of an image in the index
// of an image server.
func (c *checkCall) useOther(ctx context.Context, ui *ui, made *pull.Made) error {
	rec := made.Record
	which, err := readReference(made)
	if err != nil {
		return errors.New(strconv.Quote(c.made.name) + " can't be compared: " + err.Error())
	}
	switch which.kind() {
	case fromRegistry:
		return fmt.Errorf("%q was made of the container image %q: check can't compare the layers of container images yet", c.made.name, rec.Image.Reference)
	case fromStreams:
		which.build = rec.Image.Build
	case fromURL:
		c.finder.file.digest = rec.Rootfs // which vouches for it
	}
	c.finder.servers = serverOptions{}
	return c.finder.use(ctx, ui, which)
}

// untilEnded is untilDone for an f that ends by itself when ctx is done, and then cleans up. It
// does not wait for an f that hangs in a system call, as on a file system whose server is gone.
func untilEnded(ctx context.Context, f func() error) error {
	late, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-ctx.Done()
		time.Sleep(cleanupTime)
		cancel(context.Cause(ctx))
	}()
	return untilDone(late, f)
}

// cleanupTime is how long a comparison may take to end after a signal: it ends a download, and
// notes in the cache how much of it is there.
const cleanupTime = 2 * time.Second

// idMap returns the map of the owners of the container's files, nil if they are not mapped for
// this process. For an ordinary user it first runs the program again in the user namespace of
// the container, whose root may read all files. If that is not possible, the files that the
// user can't read are not compared.
func (c *checkCall) idMap(ui *ui, config []byte) ([]untar.IDRange, error) {
	ranges, err := lxc.IDMap(config)
	if err != nil || len(ranges) == 0 || host.IsIn(ranges) {
		return nil, err
	}
	if os.Geteuid() != 0 && host.Namespace() == lxc.HostNamespace {
		if _, err := reenter(ranges, "check", append([]string{"-P", c.made.lxcPath}, c.args...)); err != errCantEnter {
			return nil, err
		}
		ui.warn("id-map", "the container's user namespace can't be entered (lxc-usernsexec, subuid), so only files that you may read are compared")
	}
	return idRanges(ranges), nil
}

// fates are the words for untar.Fate.
var fates = [...]string{"changed", "missing", "added"}

// print prints the differences. The error is silent if there are any.
func (c *checkCall) print(ui *ui, result *untar.Comparison, used *image.Image) error {
	var text []byte
	var objects []jsonObject
	different, edited := result.More, int64(0)
	for _, d := range result.Differences {
		mark := " "
		if d.Edited {
			mark = "c"
			edited++
		}
		if !d.Edited || c.foreign {
			different++
		} else if !ui.verbose && !c.made.json {
			continue
		}
		path := "/" + d.Path
		if d.Dir {
			path += "/"
		}
		fate, flags := fates[d.Fate], letters(d)
		if c.made.json {
			var o jsonObject
			o.text("path", path)
			if !utf8.ValidString(path) {
				o.text("path_hex", hex.EncodeToString([]byte(path)))
			}
			o.text("fate", fate)
			o.text("flags", flags)
			o.raw("edited", strconv.FormatBool(d.Edited))
			objects = append(objects, o)
			continue
		}
		if d.Fate == untar.Changed {
			fate = flags
		}
		text = fmt.Appendf(text, "%-9s %s %s\n", fate, mark, escaped(path))
	}
	ui.settle()
	_, err := ui.out.Write(text)
	if c.made.json {
		err = printObjects(ui.out, objects)
	}
	if err != nil {
		return err
	}
	if result.More > 0 {
		ui.warnText("incomplete", differing(result.More, " more")+"; there is no room for more in the list")
	}
	verdict := c.made.name + ": " + differing(different, "") + " from " + used.Name.String() + ", build " + used.Build
	if c.foreign && edited > 0 {
		ui.warnText("foreign-record", pull.RecordFile+" belongs to another user, so the files that the creation edited (c) count as differences")
	} else if edited > 0 {
		verdict += "; " + strconv.FormatInt(edited, 10) + " more were set up by the creation (-v lists them)"
	}
	if c.other {
		verdict += "; " + pull.RecordFile + " has another SHA-256 digest than this image: the container was made of another one, or the file was changed"
	}
	if !ui.quiet || c.other {
		ui.write("", verdict)
	}
	if different > 0 || c.other {
		return &silentError{code: "differs", text: verdict}
	}
	return nil
}

// differing returns "N files differ".
func differing(n int64, more string) string {
	files := " files differ"
	if n == 1 {
		files = " file differs"
	}
	return strconv.FormatInt(n, 10) + more + files
}

// letters returns a letter for each aspect of a changed file, as rpm --verify does.
func letters(d *untar.Difference) string {
	text := []byte(untar.AspectLetters)
	for i := range text {
		switch a := untar.Aspect(1) << i; {
		case d.Wrong&a != 0:
		case d.Unknown&a != 0 || a == untar.AspectTime:
			text[i] = '?'
		default:
			text[i] = '.'
		}
	}
	return string(text)
}
