package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/image/sha256"
	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// Limits of root file systems on this machine.
const (
	// maxLook is how many bytes of a pipe are read to find out what it has: more than a block of
	// bzip2, of 900 kB, without which nothing of such an archive can be decoded.
	maxLook = 1 << 20
	// maxZeros are too many zeros at the beginning of an archive. tar takes two blocks of them for its
	// end, and whoever has read a device or a hole by mistake gets no other byte.
	maxZeros = 1 << 20
	// maxTemplates is the most templates of Incus that are read; images have a handful.
	maxTemplates = 256
)

// findLocal finds the image of Options.File on this machine. The cache does not keep it. Nobody
// has to vouch for it, but a digest that the user gives must be right, and with RequireSignature
// there must be a signature beside it.
func (f *Finder) findLocal(ctx context.Context, found *Found) error {
	want := f.opt.File
	found.pinned = &pinnedImage{reader: new(imageReader), layers: []image.Descriptor{{Digest: want.SHA256, MediaType: fileType, Size: -1}}}
	found.Layers = []Layer{{Name: strconv.Quote(want.Path), Packed: -1, Content: -1}}
	var err error
	info, _ := os.Stat(want.Path)
	switch {
	case want.Path == "-":
		found.Layers[0].Name = "standard input"
		err = found.openStdin(ctx)
	case info != nil && info.IsDir():
		err = found.openTree(want.Path)
	default:
		var size int64
		if found.pinned.at.own, size, err = openLocal(want.Path); err == nil {
			err = found.useFile(ctx, found.pinned.at.own, io.NewSectionReader(found.pinned.at.own, 0, size))
		}
	}
	if err == nil && want.Metadata != "" {
		err = found.readLocalMeta(ctx)
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	arch := want.Arch
	if in := found.Incus; in != nil && arch == "" && image.CheckName(in.Arch) == nil {
		arch = in.Arch
	}
	switch {
	case want.Stock:
	case found.Incus != nil: // arch was not known before
		found.Meta = lxc.IncusMeta(arch, found.Incus.Expires)
	case found.Meta == nil:
		found.Meta = lxc.DefaultMeta(arch)
	}
	found.Image.Name = image.Name{Dist: "file", Release: "local", Arch: arch, Variant: "default"}
	if found.Incus != nil {
		nameIncus(&found.Image.Name, found.Incus)
	}
	return nil
}

// nameIncus sets those names of an image that its metadata for Incus has.
func nameIncus(n *image.Name, in *image.IncusMetadata) {
	for _, p := range in.Properties {
		value := strings.ToLower(p[1])
		switch {
		case image.CheckName(value) != nil:
		case p[0] == "os":
			n.Dist = value
		case p[0] == "release":
			n.Release = value
		case p[0] == "variant":
			n.Variant = value
		}
	}
}

// openLocal opens a regular file of this machine for reading. It neither opens a device, which may
// have effects, nor waits for the writer of a pipe.
func openLocal(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	var file *os.File
	if err == nil && info.Mode().IsRegular() {
		if file, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
			info, err = file.Stat()
		}
	}
	if err == nil && !info.Mode().IsRegular() { // also if it has become something else meanwhile
		err = errors.New(strconv.Quote(path) + " is not a regular file; for a pipe use - (standard input)")
	}
	if err != nil {
		file.Close() // does nothing for nil
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// restOf returns the bytes of a regular file after the place at which others, who may have read the
// beginning of standard input, have left it. It returns nil for another file.
func restOf(file *os.File) (*io.SectionReader, error) {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	start, err := file.Seek(0, io.SeekCurrent)
	return io.NewSectionReader(file, start, max(info.Size()-start, 0)), err
}

// openTree opens a directory, which is the root file system, or has it with Incus' metadata.
func (found *Found) openTree(path string) error {
	want, layer := found.finder.opt.File, &found.Layers[0]
	root, err := untar.OpenRoot(path)
	if err != nil {
		return err
	}
	layer.Tree = root
	has := func(name string) bool {
		f, _, err := root.OpenFile(name)
		f.Close() // does nothing for nil
		return err == nil
	}
	switch {
	case want.SHA256 != "":
		return errors.New(strconv.Quote(path) + " is a directory, which has no SHA-256 digest")
	case want.RequireSignature:
		return unsigned(strconv.Quote(path), "a directory has no signature")
	case has(layoutFile):
		return failed(Unusable, strconv.Quote(path)+" is an OCI layout: name it oci:"+path)
	}
	if empty, err := root.IsEmpty(); err != nil {
		return err
	} else if empty {
		return failed(Unusable, strconv.Quote(path)+" is empty")
	}
	inner, err := root.Open(incusRoot)
	if err != nil {
		layer.Top = true
		return nil
	}
	if !has(incusFile) {
		inner.Close()
		layer.Top = true
		if _, err := os.Lstat(path + "/" + incusFile); err == nil {
			return failed(Unusable, strconv.Quote(path+"/"+incusFile)+" is not a regular file, nor a link to one in that directory")
		}
		if has("config") { // neither the root directory of a system nor without a meaning
			return failed(Unusable, strconv.Quote(path)+" is the directory of a container; its root file system is "+strconv.Quote(path+"/"+incusRoot))
		}
		return nil
	}
	layer.Tree = inner
	defer root.Close()
	text, err := root.ReadFile(incusFile, image.MaxIncus)
	if err != nil {
		return err
	}
	if err = found.useIncus(map[string][]byte{incusFile: text}); err != nil {
		return err
	}
	for i := range found.Incus.Templates {
		if t := &found.Incus.Templates[i]; i < maxTemplates && image.CheckName(t.Template) == nil {
			t.Text, _ = root.ReadFile(incusTemplates+t.Template, maxMetaFile)
		}
	}
	return nil
}

// openStdin opens standard input. A squashfs image and Incus' archive with metadata are copied to
// the disk; another archive is read as it comes.
func (found *Found) openStdin(ctx context.Context) error {
	f, at, stdin := found.finder, &found.pinned.at, found.finder.opt.stdin()
	if f.opt.File.RequireSignature {
		return unsigned("standard input", "it has no signature")
	}
	if rest, err := restOf(stdin); err != nil {
		return err
	} else if rest != nil {
		return found.useFile(ctx, stdin, rest)
	}
	in := &waiter{ctx: ctx, f: stdin}
	head := make([]byte, maxLook)
	n, err := io.ReadFull(in, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	head = head[:n]
	whole := io.MultiReader(bytes.NewReader(head), in)
	more, err := found.look(ctx, io.NewSectionReader(bytes.NewReader(head), 0, int64(n)), n < maxLook)
	if err != nil {
		return found.otherBytes(ctx, err, io.LimitReader(whole, maxRootfs))
	}
	layer := &found.Layers[0]
	if layer.Content = -1; !layer.Squashfs && layer.Inside == "" && !more {
		at.pipe = whole
		return nil
	}
	if f.spool == nil {
		return errors.New("there is no place for a copy of standard input")
	}
	file, err := f.spool()
	if err != nil {
		return err
	}
	size, err := io.Copy(file, io.LimitReader(whole, maxRootfs+1))
	if err == nil && size > maxRootfs {
		err = errors.New("standard input has more than " + strconv.Itoa(maxRootfs>>30) + " GiB")
	}
	if err != nil {
		return err
	}
	at.private = true
	return found.useFile(ctx, file, io.NewSectionReader(file, 0, size))
}

// useFile makes the bytes of a file the layer, and finds out what they are.
func (found *Found) useFile(ctx context.Context, file *os.File, whole *io.SectionReader) error {
	o, layer, want := found.pinned, &found.Layers[0], found.finder.opt.File
	_, start, size := whole.Outer()
	o.sure, layer.Packed, o.layers[0].Size = true, size, size
	o.at.whole, o.at.starts = file, []int64{start}
	if want.RequireSignature || o.at.private && want.SHA256 != "" { // Ready lets a private file be used without another pass
		digest, by, err := found.finder.checkLocal(want.Path, untar.Until(ctx, whole))
		if err != nil {
			return err
		}
		if want.SHA256 != "" && want.SHA256 != digest {
			return otherDigest(layer.Name, &o.layers[0])
		}
		// The passes that follow compare the digest.
		o.layers[0].Digest, o.signers, found.index.signers = digest, by.keys, by
	}
	_, err := found.look(ctx, whole, true)
	if err != nil {
		err = found.otherBytes(ctx, err, untar.Until(ctx, io.NewSectionReader(whole, 0, size)))
	}
	return err
}

// otherBytes returns the error for bytes in which look has found no root file system: err, or that
// they have another digest than they should have, since of other bytes it does not matter what
// they are. No bytes at all are called what they are.
func (found *Found) otherBytes(ctx context.Context, err error, whole io.Reader) error {
	d := &found.pinned.layers[0]
	if d.Digest == "" || KindOf(err) == Unverified {
		return err
	}
	sum := sha256.New()
	n, failed := io.Copy(sum, whole)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed == nil && n > 0 && sumOfHash(sum) != d.Digest:
		return otherDigest(found.Layers[0].Name, d)
	}
	return err
}

// checkLocal reads a file of this machine to its end and returns its digest. If a signature is
// required, it verifies the one beside the file.
func (f *Finder) checkLocal(path string, file io.Reader) (digest image.Digest, by signers, err error) {
	s := &search{finder: f, name: path}
	if f.opt.File.RequireSignature {
		s.found.signature, err = f.signatureBeside(path)
	}
	if err == nil {
		digest, err = s.check(file)
	}
	return digest, s.found.by, err
}

// signatureBeside reads the signature beside a file of this machine.
func (f *Finder) signatureBeside(path string) ([]byte, error) {
	what := strconv.Quote(path)
	if f.trust.keyless() {
		return nil, needsKey(what)
	}
	for _, suffix := range []string{image.SigSuffix, ".sig", ".minisig"} {
		sig, err := readLocal(path+suffix, maxSignature)
		if !errors.Is(err, fs.ErrNotExist) {
			return sig, err
		}
	}
	return nil, unsigned(what, "it has no signature: there is no file of that name with "+image.SigSuffix+", .sig or .minisig at the end")
}

// readLocal reads a small file of this machine.
func readLocal(path string, max int64) ([]byte, error) {
	file, size, err := openLocal(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > max {
		return nil, tooLarge(strconv.Quote(path), size, max)
	}
	return io.ReadAll(io.NewSectionReader(file, 0, size))
}

// look finds out what the bytes of the layer are: a squashfs image, an archive of container
// images or a bundle, which are refused, an archive with Incus' metadata, or another one. all says
// that whole is not only the beginning. Otherwise more may say that the rest decides. What can't be
// read yet, the extraction will refuse.
func (found *Found) look(ctx context.Context, whole *io.SectionReader, all bool) (more bool, err error) {
	layer, f := &found.Layers[0], found.finder
	head := make([]byte, 4)
	n, _ := whole.ReadAt(head, 0)
	switch {
	case untar.IsSquashfs(head[:n]):
		layer.Squashfs, layer.Top = true, !f.opt.File.Stock
		return false, nil
	case n == 0:
		return false, failed(Unusable, layer.Name+" is empty")
	}
	sum := sha256.New()
	read := io.TeeReader(untar.Until(ctx, io.NewSectionReader(whole, 0, whole.Size())), sum)
	plain, err := f.decompress(read)
	if err != nil {
		return false, ctx.Err()
	}
	switch plain.Format {
	case untar.FormatPlain:
		layer.Content = layer.Packed
	case untar.FormatXZ:
		layer.measure(whole, whole.Size())
	}
	if f.opt.File.Stock {
		plain.Close()
		return false, nil
	}
	layer.Top = true
	l := looking{all: all, texts: map[string][]byte{}, room: maxMetaTotal}
	var bad *untar.FormatError
	z := &noZeros{r: untar.Until(ctx, plain)} // little may decompress to much
	err = untar.Options{}.Walk(z, l.member)
	plain.Close()
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case l.err != nil:
		return false, because(layer.Name, l.err)
	case l.refused != "":
		return false, failed(Unusable, layer.Name+l.refused+f.opt.File.Path)
	case z.zeros >= maxZeros:
		return false, failed(Unusable, layer.Name+" is no archive: it begins with zeros")
	case l.first == "" && (all || plain.Format == untar.FormatPlain) && errors.As(err, &bad) && bad.Offset == 0: // others the extraction will return
		return false, failed(Unusable, layer.Name+" is neither an archive nor a squashfs image: "+bad.Cause.Error())
	case !all:
		return l.texts[incusFile] != nil || l.early, nil
	case l.texts[incusFile] == nil || !l.root:
		return false, nil
	}
	if d := &found.pinned.layers[0]; d.Digest != "" { // the texts count as much as the root file system
		if _, err = io.Copy(io.Discard, read); err != nil {
			return false, err
		}
		if sumOfHash(sum) != d.Digest {
			return false, otherDigest(layer.Name, d)
		}
	}
	layer.Top, layer.Inside = false, incusRoot
	f.tell.Note("the archive has Incus' metadata, and the root file system below " + incusRoot)
	return false, found.useIncus(l.texts)
}

// noZeros reads an archive, and refuses one that begins with too many zeros.
type noZeros struct {
	_     [0]func() // forbids ==, whose code nothing needs
	r     io.Reader
	zeros int // at the beginning; -1: another byte came
}

func (z *noZeros) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	for i := 0; z.zeros >= 0 && i < n; i++ {
		if z.zeros++; p[i] != 0 {
			z.zeros = -1
		}
	}
	if z.zeros >= maxZeros {
		return 0, io.ErrUnexpectedEOF // look knows why
	}
	return n, err
}

// A looking looks at the members of an archive until it knows what the archive is.
type looking struct {
	_       [0]func()         // forbids ==, whose code nothing needs
	all     bool              // the archive is there to its end
	must    bool              // it is known to have Incus' metadata
	texts   map[string][]byte // Incus' metadata.yaml and templates, by name
	room    int64             // bytes that further texts may have
	missing []string          // names in texts of templates that the metadata has, and which did not come yet
	root    bool              // there is a directory rootfs
	first   string            // the first name at the top
	early   bool              // archives with Incus' metadata may begin with that
	refused string            // what it is in place of a root file system, and the scheme of that; "": it may be one
	err     error
}

const thatArchive = " is an archive of container images: name it "

// errLooked ends a looking.
var errLooked = errors.New("it is known")

// member looks at a member, and returns errLooked if no other one is needed.
func (l *looking) member(e *untar.Entry, body io.Reader) error {
	name := strings.Trim(strings.TrimPrefix(string(e.Name), "./"), "/")
	top, _, _ := strings.Cut(name, "/")
	begun := l.texts[incusFile] != nil
	if l.first == "" && name != "." {
		l.first, l.early = top, top == incusRoot || top+"/" == incusTemplates
	}
	switch {
	case name == "" || name == ".", begun && !l.root && top+"/" == incusTemplates && name == top:
		return nil
	case top == incusRoot:
		l.root = true
	case name == incusFile && e.Type != untar.TypeFile && (l.early || l.must):
		l.err = errors.New(incusFile + " is not a regular file")
	case (name == incusFile || top+"/" == incusTemplates) && e.Type == untar.TypeFile:
		if l.err = l.read(name, e.Size, body); l.err != nil {
			return errLooked
		}
	case begun || l.must || l.early: // Incus leaves out other files, too
	case name == bundleFile && l.first == name:
		l.refused = " is a bundle: name it bundle:"
	case name == layoutFile, name == indexFile, top == "blobs":
		l.refused = thatArchive + "oci-archive:"
	case name == savedFile, name == "repositories", isDigest("sha256:" + strings.TrimSuffix(top, ".tar")):
		l.refused = thatArchive + "docker-archive:"
	}
	if begun = l.texts[incusFile] != nil; begun && (!l.root || l.all && len(l.missing) > 0) {
		return nil
	}
	if !begun && l.err == nil && l.refused == "" && (l.must || l.early) {
		return nil
	}
	return errLooked
}

// read reads a text.
func (l *looking) read(name string, size int64, body io.Reader) error {
	if size > maxMetaFile || size > l.room || len(l.texts) > maxTemplates {
		return errors.New(strconv.Quote(name) + ": there are more or larger files of metadata than allowed")
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil // the extraction will say it
	}
	l.room -= size
	l.texts[name] = text
	if name == incusFile {
		in, err := image.ParseIncus(text)
		if err != nil {
			return err
		}
		for i := range in.Templates {
			l.missing = append(l.missing, incusTemplates+in.Templates[i].Template)
		}
	}
	var missing []string
	for _, each := range l.missing {
		if l.texts[each] == nil {
			missing = append(missing, each)
		}
	}
	l.missing = missing
	return nil
}

// readLocalMeta reads the file of Options.File's Metadata: Incus' metadata if it has a
// metadata.yaml, else LXC's.
func (found *Found) readLocalMeta(ctx context.Context) error {
	f, path := found.finder, found.finder.opt.File.Metadata
	if strings.Contains(path, "://") {
		return errors.New("the metadata of a root file system on this machine must be a file of it, too: " + strconv.Quote(path))
	}
	what := "metadata " + strconv.Quote(path)
	tarball, err := readLocal(path, maxMeta)
	if err == nil && f.opt.File.RequireSignature {
		_, _, err = f.checkLocal(path, bytes.NewReader(tarball))
	}
	if err != nil {
		return because(what, err)
	}
	found.pinned.manifest = &document{digest: sumOf(tarball)}
	found.Incus = nil
	if f.opt.File.Stock {
		texts, _ := f.readTexts(tarball)
		if texts[incusFile] != nil {
			return because(what, errors.New("it has Incus' "+incusFile+", which lxc-pull create --metadata takes, and lxc-local does not"))
		}
		return because(what, found.takeMeta(tarball))
	}
	return because(what, found.useEither(tarball))
}
