package pull

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lxc-pull/image"
	"lxc-pull/image/json"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A Record says which image a container was made of. It is stored in the container's
// directory as RecordFile: one JSON object, with a member on each line.
//
//	version      1. A later version with another meaning of a member has another number;
//	             members may be added at any time
//	dist, release, arch, variant, build
//	             the names in the index of images
//	path         the build's directory on the server; "": not known
//	server       the URL of the server, never with a password; "file:" for a directory of
//	             this machine
//	reference    only of an image that is not from the index of an image server: its complete
//	             name; the URL of a file; "file" for a file or directory of this machine
//	digest       only of a container image: the digest of the manifest
//	rootfs_sha256, meta_sha256
//	             digests of the files with the root file system and the metadata; "": not
//	             known, or there is none
//	signers      fingerprints of the keys that signed the index or list of images, or the
//	             image; empty: no signature was verified
//	signed       when the newest of these signatures was made, as in RFC 3339; "": not known
//	created      when the container was made
//	program      the program and its version
//	mode         "system", or "user" for a container in a user namespace
//	privilege    "root", "user namespace" or "user": what the extraction could do
//	edited       what the creation made or changed in the root file system: of a file its
//	             SHA-256 digest afterwards, two blanks and its path, as sha256sum prints
//	             them; of a directory its path
//
// Other programs may add members of any type, and write it in another form. It has no
// secrets and no paths of the host.
type Record struct {
	Image image.Image
	source.Origin
	Rootfs    string // SHA-256 digest as hexadecimal digits; "": not known
	Program   string
	Mode      lxc.Mode
	Privilege string
	Edited    []string // as untar.CutDigest reads them
}

// RecordFile is the name of the file with the Record in a container's directory.
const RecordFile = "image.json"

// Limits of a record. The file has at most maxConfig bytes.
const (
	maxEdited = 128 << 10 // bytes of Edited, which JSON may make six times as long: more are left out
	// maxReference is the longest name of an image, in bytes. Of a container image a repository
	// has 255, a tag 128, a digest 71; URLs may be longer.
	maxReference = 4096
	maxStrings   = 4096 // strings in a list; today's images name two files to edit
)

// A Member is a member of a record: a string or a list of strings.
type Member struct {
	_    [0]func() // forbids ==, whose code nothing needs
	Name string
	One  *string // nil: it is a list
	Many *[]string
}

// Members returns the members that the record's image has, the names in the index of images
// first.
func (r *Record) Members() []Member {
	list := r.members()
	if r.Image.Reference == "" {
		list = list[:len(list)-2]
	}
	return list
}

// members returns all members, the two of container images last.
func (r *Record) members() []Member {
	img := &r.Image
	values := []*string{
		&img.Dist, &img.Release, &img.Arch, &img.Variant, &img.Build, &img.Path, &r.Server,
		&r.Rootfs, &r.Meta, &r.Signed, &r.Created, &r.Program, (*string)(&r.Mode), &r.Privilege,
		nil, nil, &img.Reference, &r.Digest,
	}
	const names = "dist release arch variant build path server rootfs_sha256 meta_sha256 signed created program mode privilege signers edited reference digest"
	list := make([]Member, len(values))
	for i, name := range strings.Fields(names) {
		list[i].Name, list[i].One = name, values[i]
	}
	list[14].Many, list[15].Many = &r.Signers, &r.Edited
	return list
}

// record returns the record of the image that was unpacked.
func (r *run) record(found *source.Found) *Record {
	rec := new(Record)
	rec.Image, rec.Program = found.Image, r.opt.Program
	found.Origin(&rec.Origin)
	if found.Config == nil { // a container image may have several layers, and Digest covers all
		rec.Rootfs = hex.EncodeToString(r.arrived.digest)
	}
	if found.Pinned() && rec.Image.Reference == "" {
		rec.Image.Reference = "file" // of this machine: its path would mean nothing elsewhere
	}
	rec.Mode, rec.Privilege = r.target.Namespace.Mode(), r.arrived.report.Privilege
	size := 0
	for _, name := range r.edited {
		if digest := r.staging.root.Digest(name); digest != "" {
			name = digest + "  " + name
		}
		// Image names are bytes, and JSON has text.
		if size += len(name); size <= maxEdited && utf8.ValidString(name) {
			rec.Edited = append(rec.Edited, name)
		}
	}
	return rec
}

// edit notes that the run made or changed a file of the root file system, so that it differs
// from the image's. Links in name are followed inside the root file system.
func (r *run) edit(name string) {
	if path, err := r.staging.root.Resolve(name); err == nil && !slices.Contains(r.edited, path) {
		r.edited = append(r.edited, path)
	}
}

// AppendJSON appends the record as the text of a RecordFile.
func (r *Record) AppendJSON(b []byte) []byte {
	before := "{\n  \"version\": 1"
	for _, m := range r.Members() {
		values, open, end := m.Many, "[", "]"
		if m.One != nil {
			values, open, end = &[]string{*m.One}, "", ""
		}
		before += ",\n  \"" + m.Name + "\": " + open
		for _, value := range *values {
			b = untar.AppendJSONString(append(b, before...), value)
			before = ", "
		}
		before = strings.TrimPrefix(before, ", ") + end
	}
	return append(b, before+"\n}\n"...)
}

var (
	errRecord  = errors.New("it is not a JSON object, or a member is not of the type that it must have")
	errVersion = errors.New("another version of this program wrote it, in another form")
	errMode    = errors.New("its mode is neither system nor user")
)

// ParseRecord parses the text of a RecordFile, which may be of another user: it checks each
// name that becomes part of a path or URL. Members that it does not know are skipped.
func ParseRecord(text []byte) (*Record, error) {
	object, err := json.ParseLoose(string(text))
	if err != nil {
		return nil, errRecord
	}
	r := new(Record)
	known := r.members()
	version := int64(0)
	parts, ok := object.Members()
	for i := 0; i < len(parts); i += 2 {
		name, _ := parts[i].Text()
		if name == "version" {
			version, _ = parts[i+1].Int()
		}
		for j := range known {
			m, fits := &known[j], true
			switch {
			case m.Name != name:
			case m.One != nil:
				*m.One, fits = parts[i+1].Text()
			default:
				*m.Many = nil
				var items []json.Value
				items, fits = parts[i+1].Items()
				for _, item := range items {
					text, isText := item.Text()
					fits = fits && isText && len(*m.Many) < maxStrings
					*m.Many = append(*m.Many, text)
				}
			}
			ok = ok && fits
		}
	}
	if !ok {
		return nil, errRecord
	}
	if version != 1 {
		return nil, errVersion
	}
	return r, r.check()
}

// check refuses values that are not safe as parts of a path or a URL, or have no meaning.
func (r *Record) check() error {
	names := []string{r.Image.Dist, r.Image.Release, r.Image.Arch, r.Image.Variant, r.Image.Build}
	if r.Image.Path != "" {
		names = append(names, strings.Split(r.Image.Path, "/")...)
	}
	if ref := r.Image.Reference; ref != "" {
		// Most platforms have no variant, and a file of this machine has hardly any name.
		names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
		_, err := image.ParseDigest(r.Digest)
		if len(ref) > maxReference || strconv.Quote(ref) != "\""+ref+"\"" || r.Digest != "" && err != nil {
			return errors.New("its reference and digest are not those of an image")
		}
	}
	for _, name := range names {
		if err := image.CheckName(name); err != nil {
			return fmt.Errorf("name %q: %w", name, err)
		}
	}
	if r.Mode != lxc.System && r.Mode != lxc.User {
		return errMode
	}
	return nil
}

// A Made is a container that exists, as its directory says.
type Made struct {
	Record *Record
	Config []byte // nil: there is none
	// Own says that the record's owner is this process's user or root. Otherwise what it says
	// is another user's choice.
	Own bool

	ownConfig bool       // the same of the config
	directory *directory // which OpenRootfs closes
}

// ReadContainer reads the record and the config in a container's directory, which may be of
// another user: it reads regular files with one name and follows no link. uid is this
// process's user. The error is of Kind NoContainer or NoRecord if that is missing.
func ReadContainer(path string, uid int) (*Made, error) {
	m := new(Made)
	var noConfig error
	name := strconv.Quote(filepath.Base(path))
	directory, err := openDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Kind: NoContainer, Text: "there is no container " + name + " in " + strconv.Quote(filepath.Dir(path))}
	}
	if err != nil {
		return nil, err
	}
	m.directory = directory
	text, st, err := directory.read(RecordFile)
	m.Own = st.Uid == 0 || int(st.Uid) == uid
	m.Config, st, noConfig = directory.read("config")
	m.ownConfig = st.Uid == 0 || int(st.Uid) == uid
	if err == nil {
		if m.Record, err = ParseRecord(text); err != nil {
			err = directory.fail("read", RecordFile, err)
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = &Error{Kind: NoRecord, Text: "container " + name + " has no " + RecordFile}
	}
	if err != nil {
		directory.close()
		return nil, err
	}
	if errors.Is(noConfig, fs.ErrNotExist) {
		noConfig = nil
	}
	return m, noConfig
}
