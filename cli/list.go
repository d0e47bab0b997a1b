package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
)

// A listCall is one use of "list".
type listCall struct {
	image  imageOptions
	finder finderOptions
	json   bool
	all    bool

	rows   []*listRow
	hidden int    // images of other architectures, which rows does not have
	listed bool   // a server gave its list
	of     string // the name of the simplestreams server that is listed, and a blank; "": other options name it
}

// A listRow is an image, and what the cache has of it.
type listRow struct {
	_      uncomparable
	img    *image.Image
	cached string // the build in the cache; "": none
	size   int64  // of the root file system, compressed; 0: not known
}

func (c *listCall) groups() []*group {
	own := &group{"", []flag{
		{long: "all", help: "list the images of all architectures", into: &c.all, exact: true},
		{long: "json", help: "print JSON", into: &c.json, exact: true},
		{long: "no-cache", into: &c.finder.cache.noCache, exact: true}, // no marks of cached images
	}}
	return []*group{
		own, c.image.filters(), c.finder.servers.withProtocol(), {"Container images", c.finder.registry.flags()}, c.finder.trust.group(), c.finder.network.group(),
		commonFlags(),
	}
}

func (c *listCall) run(ctx context.Context, ui *ui, operands []string) error {
	sources, words, err := c.readOperands(operands)
	if err != nil {
		return err
	}
	if c.image.container != "" {
		if err := c.image.checkOptions(ui.given); err != nil {
			return err
		}
		return c.finder.listContainer(ctx, ui, &c.image, c.json)
	}
	words = append(words, c.image.dist, c.image.release, c.image.arch, c.image.variant)
	words = strings.Split(strings.Join(words, "/"), "/")
	c.finder.namespace = host.Namespace()
	var all []*listRow
	hidden := 0
	for i := 0; i == 0 || i < len(sources); i++ {
		var named *sourceName
		which := words
		if len(sources) > 0 {
			named = sources[i]
			which = append(strings.Split(named.alias, "/"), words...)
		}
		if e := c.read(ctx, ui, named, which); e != nil {
			err = both(err, e)
			continue
		}
		all, hidden = append(all, c.rows...), hidden+c.hidden
		if !c.json && len(c.rows) > 0 {
			title := ""
			if len(sources) > 1 {
				title = strings.Repeat("\n", min(i, 1)) + printable(named.title()) + "\n"
			}
			if _, e := io.WriteString(ui.out, title+listTable(c.rows, terminalSize(os.Stdout), ui.clock.Now())); e != nil {
				return e
			}
		}
	}
	if c.json && (err == nil || c.listed) {
		err = both(printJSON(ui.out, all), err)
	}
	switch {
	case err != nil || ui.quiet:
	case hidden == 1:
		ui.line("1 image of another architecture is hidden; --all shows it")
	case hidden > 1:
		ui.line("%d images of other architectures are hidden; --all shows them", hidden)
	}
	return err
}

// readOperands returns the simplestreams servers that the operands name, and the words that images
// must match.
func (c *listCall) readOperands(operands []string) (sources []*sourceName, words []string, err error) {
	if err := c.image.check(); err != nil {
		return nil, nil, err
	}
	for _, word := range operands {
		isURL := strings.Contains(word, "://")
		named, err := readSource(word, isURL && c.finder.servers.streams)
		switch {
		case isContainer(word):
			if len(operands) > 1 {
				return nil, nil, usageErrorf("%q is a container image, so no other word can stand with it", word)
			}
			c.image.container = word
		case err != nil && isURL:
			return nil, nil, err
		case err != nil || named == nil: // a file of the name of a distribution does not matter here
			if err := refuse(word, false); err != nil {
				return nil, nil, err
			}
			addTo(&words, word)
		case named.kind != fromStreams:
			return nil, nil, usageErrorf("list shows the images of servers and registries; %q is %s", named.shown(), kindPhrases[named.kind])
		default:
			sources = append(sources, named)
		}
	}
	return sources, words, nil
}

// both returns two errors as one. Each may be nil.
func both(a, b error) error {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return errors.Join(a, b)
}

// read sets rows to the images of a server that match words. named is a simplestreams server;
// nil: other options name the server.
func (c *listCall) read(ctx context.Context, ui *ui, named *sourceName, words []string) error {
	c.rows, c.hidden, c.of = nil, 0, ""
	finder := c.finder
	if named != nil {
		which := imageOptions{named: &sourceName{kind: fromStreams, word: named.word, known: named.known, server: named.server}}
		c.of = named.listWords() + " "
		if err := which.oneServer(ui.given); err != nil {
			return err
		}
		if err := finder.use(ctx, ui, &which); err != nil {
			return err
		}
	}
	index, err := finder.list(ctx, ui)
	if err == nil {
		c.listed = true
		err = c.choose(&index, words)
	}
	if err == nil && (named != nil || !c.finder.servers.streams) {
		c.seeCache(named)
	}
	return err
}

// choose sets rows to the images that the options and words select, sorted by distribution
// and release. It leaves out other architectures than this machine's, unless the user named
// one, or there are no other images.
func (c *listCall) choose(index *image.Index, words []string) error {
	sortImages(index.Images)
	c.rows = make([]*listRow, len(index.Images))
	for i := range c.rows {
		c.rows[i] = &listRow{img: &index.Images[i]}
	}
	here, so := c.all, ""
	for _, word := range words {
		rows := c.matching(word)
		here = here || isArch(word)
		if len(rows) == 0 && word != "" {
			var names strings.Builder
			for _, row := range c.rows {
				names.WriteString(row.img.Name.String() + "/")
			}
			c.rows = nil
			return &source.Error{Kind: source.NotFound, Err: errors.New("no image matches " + strconv.Quote(so+word) + didYouMean(word, "lxc-pull list "+c.of+so, strings.Split(names.String(), "/")))}
		}
		if word != "" {
			c.rows, so = rows, so+word+" "
		}
	}
	if own := c.matching(hostArch()); !here && len(own) > 0 {
		c.hidden, c.rows = len(c.rows)-len(own), own
	}
	return nil
}

// sortImages sorts images by distribution. The newest release comes first, and of each release
// the default variant.
func sortImages(images []image.Image) {
	keys := make([]string, len(images))
	for i := range images {
		img := &images[i]
		keys[i] = img.Dist + "\x00" + newestFirst(img.Dist, img.Release)
		if img.Variant != defaultVariant {
			keys[i] += "\x01"
		}
	}
	unsorted := append([]image.Image(nil), images...)
	for to, from := range image.Order(keys) {
		images[to] = unsorted[from]
	}
}

// newestFirst returns a key by which the newest release is the first.
func newestFirst(dist, release string) string {
	key := []byte(image.ReleaseKey(dist, release) + "\x00")
	for n := range key {
		key[n] ^= 0xff // sorts descending
	}
	return string(key)
}

// matching returns the rows that have a word, or another name for the same, as a part of their
// names. The word Latest matches the first release of each distribution.
func (c *listCall) matching(word string) (rows []*listRow) {
	arches := cross.Spellings(word)
	rows = make([]*listRow, len(c.rows))
	first, n := new(image.Image), 0
	for _, row := range c.rows {
		img := row.img
		if img.Dist != first.Dist {
			first = img
		}
		if image.SameDist(word, img.Dist) || image.SameRelease(img.Dist, word, img.Release) || strings.EqualFold(word, img.Variant) ||
			slices.Contains(arches, img.Arch) || word == image.Latest && img.Release == first.Release {
			rows[n] = row
			n++
		}
	}
	return rows[:n]
}

// seeCache notes which images are in the cache: of the index of an image server, or of a
// simplestreams server. It needs no cache, and changes nothing in it.
func (c *listCall) seeCache(named *sourceName) {
	base := host.This().CacheDir(c.finder.namespace)
	if base == "" || c.finder.cache.noCache {
		return
	}
	list, _ := c.finder.cacheAt(base).List() // a cache that can't be read has nothing to mark
	for i := range list {
		info := &list[i]
		name := info.Name
		if info.Kept != nil {
			name, info.Build = info.Kept.Name, info.Kept.Build
		}
		for _, row := range c.rows {
			if !info.Partial && info.Damage == nil && name == row.img.Name && named.has(info) {
				if row.cached = info.Build; info.Build == row.img.Build {
					row.size = info.Size
				}
			}
		}
	}
}

// listTable returns a line for each row. For a terminal of so many columns it has a header,
// the age of each build at time now, and the size and a mark of cached images. The columns
// that do not fit are left out: size, age, and the variant if all are the default one. Width 0
// means that a program reads it: then it has the build's name.
func listTable(rows []*listRow, width int, now time.Time) string {
	const n = 7 // columns
	cells := make([]string, n*(len(rows)+1))
	copy(cells, strings.Split("DIST/RELEASE/ARCH/VARIANT/AGE/SIZE/CACHED", "/"))
	varied := width == 0
	for i, row := range rows {
		age, size, cached := row.img.Build, "", ""
		if width > 0 {
			age = "-"
			if built, ok := image.BuildTime(row.img.Build); ok {
				age = source.Age(now.Sub(built))
			}
			if row.size > 0 {
				size = source.ByteCount(row.size)
			}
			if row.cached != "" {
				cached = "older"
			}
			if row.cached == row.img.Build {
				cached = "yes"
			}
		}
		varied = varied || row.img.Variant != defaultVariant
		line := row.img.Name.String() + "/" + age + "/" + size + "/" + cached // no name has a slash
		copy(cells[n*(i+1):], strings.Split(printable(line), "/"))
	}
	var wide [n]int // 0: nothing is in the column
	for i := len(cells) - 1; i >= 0; i-- {
		if i >= n || wide[i] > 0 { // a header alone makes no column
			wide[i%n] = max(wide[i%n], len(cells[i]))
		}
	}
	for i := n - 2; i >= 3 && width > 0 && (i > 3 || !varied); i-- {
		total := -2
		for _, each := range wide {
			if each > 0 {
				total += each + 2
			}
		}
		if total > width {
			wide[i] = 0
		}
	}
	var b strings.Builder
	line := ""
	for i, cell := range cells {
		if wide[i%n] > 0 {
			line += fmt.Sprintf("%-*s", wide[i%n]+2, cell)
		}
		if i%n < n-1 {
			continue
		}
		if i >= n || width > 0 {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		line = ""
	}
	return b.String()
}

// list returns the list of a server.
func (o *finderOptions) list(ctx context.Context, ui *ui) (image.Index, error) {
	defer ui.settle()
	o.owner = unchanged()
	o.listStreams()
	finder, err := o.open(ctx, ui, false)
	if err != nil {
		return image.Index{}, err
	}
	index, err := finder.List(ctx)
	o.asked = finder.Server()
	return index, err
}

// listTemplate prints the template's --list as the stock template does. Like the stock template,
// it lists only the default variant unless the user names another.
func listTemplate(ctx context.Context, ui *ui, finder finderOptions, which imageOptions) error {
	index, err := finder.list(ctx, ui)
	if err != nil {
		return err
	}
	return printImages(ui, index.Select(which.query()))
}

// printImages prints images as the stock template does, in columns.
func printImages(ui *ui, images []image.Image) error {
	rows := make([][]string, len(images)+1)
	rows[0] = strings.Split("DIST/RELEASE/ARCH/VARIANT/BUILD", "/")
	for i := range images {
		rows[i+1] = strings.Split(printable(images[i].Name.String()+"/"+images[i].Build), "/") // no name has a slash
	}
	_, err := io.WriteString(ui.out, "\n---\n"+columns(rows, false)+"---\n")
	return err
}

// printJSON prints rows as a JSON array of objects.
func printJSON(w io.Writer, rows []*listRow) error {
	var objects []jsonObject
	for _, row := range rows {
		o := nameObject(row.img.Name, row.img.Build)
		o.text("path", row.img.Path)
		o.raw("cached", strconv.FormatBool(row.cached == row.img.Build))
		if row.size > 0 {
			o.raw("size", strconv.FormatInt(row.size, 10))
		}
		objects = append(objects, o)
	}
	return printObjects(w, objects)
}
