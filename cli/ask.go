package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
)

// askMissing asks the user for the names of the image that the command line leaves out. At a
// terminal the user chooses from a list (picker.go). Otherwise askMissing prints all images
// and reads a line for each missing name, as the stock template does. A missing architecture
// means the architecture of this machine.
func (c *creation) askMissing(ctx context.Context, ui *ui, finder *source.Finder, stdin *os.File) error {
	if c.image.kind() != fromServer {
		return nil
	}
	if c.image.streams {
		return errNoAlias
	}
	if c.image.dist != "" && c.image.release != "" {
		if c.image.arch == "" {
			c.image.arch = hostArch()
		}
		return nil
	}
	terminal := isTerminal(stdin)
	if info, err := stdin.Stat(); err == nil && info.Mode()&fs.ModeCharDevice != 0 && !terminal && !ui.isTemplate() {
		return errNoChoice // /dev/null
	}
	index, err := finder.List(ctx)
	if err != nil {
		return err
	}
	if terminal && isTerminal(os.Stdout) {
		err = c.choose(ctx, ui, stdin, index)
	} else {
		err = c.image.readNames(ui, newCancelReader(ctx, stdin), index)
	}
	if err != nil {
		return err
	}
	return c.image.check()
}

var errNoChoice error = &usageError{"no image is named, and there is no terminal to choose at: name it, as in lxc-pull create web debian; lxc-pull list shows them"}

var errNoAlias error = &usageError{"no image is named: lxc-pull list shows those of the server, and with --protocol simplestreams there is no list to pick from"}

var errNoImage error = &usageError{"distribution and release are missing: name the image as DIST/RELEASE, or pass --dist and --release"}

// readNames prints the list of images and reads a line for each missing name.
func (o *imageOptions) readNames(ui *ui, stdin io.Reader, index image.Index) error {
	if err := printImages(ui, index.Select(o.query())); err != nil {
		return err
	}
	for _, f := range []struct {
		prompt string
		value  *string
	}{{"Distribution: ", &o.dist}, {"Release: ", &o.release}, {"Architecture: ", &o.arch}} {
		if *f.value != "" {
			continue
		}
		io.WriteString(ui.out, f.prompt+"\n")
		line, err := readLine(stdin)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			return errNoImage
		}
		*f.value = line
	}
	io.WriteString(ui.out, "\n")
	if o.arch == "" {
		o.arch = hostArch()
	}
	if o.dist == "" || o.release == "" {
		return errNoImage
	}
	return nil
}

// maxLine is the longest answer, in bytes. It is longer than any name.
const maxLine = 1024

// readLine reads one line and no byte after it. The last line may lack its newline. The
// error is io.EOF if no line is left.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < maxLine {
		n, err := r.Read(b[:])
		if n == 1 && b[0] != '\n' {
			line = append(line, b[0])
			continue
		}
		if n == 1 || err != nil && len(line) > 0 {
			return strings.TrimSpace(string(line)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", errors.New("the answer is longer than " + strconv.Itoa(maxLine) + " bytes")
}

// choose lets the user choose an image that matches the names which are given, and says which
// command line does the same.
func (c *creation) choose(ctx context.Context, ui *ui, stdin *os.File, index image.Index) error {
	query := c.image.query()
	if c.noVariant {
		query.Variant = "" // check has set the default
	}
	images := index.Select(query)
	if len(images) == 0 {
		_, err := index.Find(query)
		return err
	}
	given := c.image
	if given.arch == "" {
		c.image.arch = hostArch()
	}
	var cached []cache.Info
	if base := host.This().CacheDir(c.finder.namespace); base != "" && !c.finder.cache.noCache {
		cached, _ = c.finder.cacheAt(base).List() // without marks the list is as good
	}
	ui.settle()
	img, err := newPicker(images, c.image.arch, cached).choose(ctx, ui.out, stdin)
	if err != nil {
		return err
	}
	c.image.dist, c.image.release, c.image.arch, c.image.variant = img.Dist, img.Release, img.Arch, img.Variant
	c.image.loose, c.image.anyVariant = false, false
	ui.say("Same as: " + shellWords(c.sameAs(ui, &given)) + "\n")
	return nil
}

// sameAs returns the words of the command line that does what this one does and names the
// image. given has the names that this one gives.
func (c *creation) sameAs(ui *ui, given *imageOptions) []string {
	// A NUL, which no argument has, ends each word.
	line := "lxc-pull\x00" + ui.command + "\x00"
	own := "-- --mapped-uid --mapped-gid" // from enterNamespace; without "--" operands stay operands
	if ui.isTemplate() {
		line = "lxc-create\x00-t\x00" + lxcTemplate() + "\x00-n\x00" + c.target.Container.Name + "\x00-P\x00" + filepath.Dir(c.target.Container.Path) + "\x00--\x00"
		own += " --name --path --rootfs" // from lxc-create
	}
	for i := 0; i < len(c.args); i++ {
		word := c.args[i]
		name, _, one := strings.Cut(word, "=")
		if among(own, name) {
			if !one && name != "--" {
				i++
			}
			continue
		}
		if strings.ContainsAny(word, "@?") && strings.ContainsAny(word, ":/") {
			word = fetch.ShowURL(word) // there may be a password
		}
		line += word + "\x00"
	}
	o := &c.image
	name, options := o.dist+"/"+o.release, "-r\x00"+o.release
	if given.dist == "" {
		options = "-d\x00" + o.dist + "\x00" + options
	}
	variant := c.noVariant && o.variant != defaultVariant
	if given.arch == "" && (o.arch != hostArch() || variant && isArch(o.variant)) {
		name += "/" + o.arch
		options += "\x00-a\x00" + o.arch
	}
	if variant {
		name += "/" + o.variant
		options += "\x00--variant\x00" + o.variant
	}
	if ui.isTemplate() {
		name = options
	}
	return strings.Split(line+name, "\x00")
}
