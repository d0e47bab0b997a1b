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
	"unicode/utf16"
	"unicode/utf8"

	"lxc-pull/image"
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
//	reference, digest
//	             only of a container image: its complete name, and the digest of the manifest
//	rootfs_sha256, meta_sha256
//	             digests of rootfs.tar.xz and meta.tar.xz; "": not known
//	signers      fingerprints of the keys that signed the index of images; empty: no
//	             signature was verified
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
	// maxReference is the longest name of a container image, in bytes. A repository has 255, a
	// tag 128, a digest 71.
	maxReference = 1024
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
	return []Member{
		{Name: "dist", One: &img.Dist}, {Name: "release", One: &img.Release}, {Name: "arch", One: &img.Arch}, {Name: "variant", One: &img.Variant},
		{Name: "build", One: &img.Build}, {Name: "path", One: &img.Path}, {Name: "server", One: &r.Server},
		{Name: "rootfs_sha256", One: &r.Rootfs}, {Name: "meta_sha256", One: &r.Meta},
		{Name: "signed", One: &r.Signed}, {Name: "created", One: &r.Created}, {Name: "program", One: &r.Program},
		{Name: "mode", One: (*string)(&r.Mode)}, {Name: "privilege", One: &r.Privilege},
		{Name: "signers", Many: &r.Signers}, {Name: "edited", Many: &r.Edited},
		{Name: "reference", One: &img.Reference}, {Name: "digest", One: &r.Digest},
	}
}

// record returns the record of the image that was unpacked.
func (r *run) record(found *source.Found) *Record {
	rec := new(Record)
	rec.Image, rec.Program = found.Image, r.opt.Program
	found.Origin(&rec.Origin)
	if found.Config == nil { // a container image may have several layers, and Digest covers all
		rec.Rootfs = hex.EncodeToString(r.arrived.digest)
	}
	rec.Mode, rec.Privilege = r.target.Namespace.Mode(), r.arrived.privilege
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

	errReference = errors.New("its reference and digest are not those of a container image")
)

// ParseRecord parses the text of a RecordFile, which may be of another user: it checks each
// name that becomes part of a path or URL. Members that it does not know are skipped.
func ParseRecord(text []byte) (*Record, error) {
	r := new(Record)
	members := r.members()
	p := &jsonParser{rest: strings.TrimLeft(string(text), jsonSpace)}
	version := ""
	if p.next() != '{' {
		return nil, errRecord
	}
	token := p.next()
	for token == '"' {
		key := p.text
		if p.next() != ':' {
			return nil, errRecord
		}
		var m *Member
		for i := range members {
			if members[i].Name == key {
				m = &members[i]
			}
		}
		token = p.next()
		switch {
		case m != nil && m.One != nil && token == '"':
			*m.One = p.text
		case m != nil && m.Many != nil && token == '[':
			*m.Many = nil
			for token = p.next(); token == '"' && len(*m.Many) < maxStrings; token = p.next() {
				*m.Many = append(*m.Many, p.text)
				if token = p.next(); token != ',' {
					break
				}
			}
			if token != ']' {
				return nil, errRecord
			}
		case m != nil || !p.skip(token):
			return nil, errRecord
		case key == "version":
			if version = p.text; token != word {
				version = ""
			}
		}
		if token = p.next(); token != ',' {
			break
		}
		token = p.next()
	}
	if token != '}' || p.rest != "" {
		return nil, errRecord
	}
	if version != "1" {
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
		if names[3] == "" { // most platforms have no variant
			names[3] = names[2]
		}
		digest := strings.TrimPrefix(r.Digest, "sha256:")
		if len(ref) > maxReference || strings.Contains(ref, " ") || strconv.Quote(ref) != "\""+ref+"\"" || r.Digest != "" && (len(digest) != 64 || len(r.Digest) != 71 || strings.Trim(digest, "0123456789abcdef") != "") {
			return errReference
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

// A jsonParser reads JSON (RFC 8259).
type jsonParser struct {
	rest string // without white space before it
	text string // of the last string or word
}

const (
	jsonSpace = " \t\r\n"
	jsonMarks = "{}[],:"
	word      = 'a' // the token of a number, true, false or null
)

// skip skips the value that begins with token. It reports false if the text ends before the
// value, or a token is bad; it does not check the order of tokens in a list or an object.
func (p *jsonParser) skip(token byte) bool {
	for depth := 0; ; token = p.next() {
		switch token {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case 0:
			return false
		}
		if depth <= 0 {
			return depth == 0 && token != ',' && token != ':'
		}
	}
}

// next returns the next token: a mark, '"' for a string, or word. It is 0 at the end, for a
// bad string, and for a comma that nothing follows.
func (p *jsonParser) next() (token byte) {
	if p.rest == "" {
		return 0
	}
	token, n := p.rest[0], 1
	if token == '"' {
		if n = p.string(); n == 0 {
			return 0
		}
	} else if strings.IndexByte(jsonMarks, token) < 0 {
		if n = strings.IndexAny(p.rest, jsonMarks+jsonSpace+"\""); n < 0 {
			return 0
		}
		token, p.text = word, p.rest[:n]
	}
	p.rest = strings.TrimLeft(p.rest[n:], jsonSpace)
	if token == ',' && p.rest != "" && (p.rest[0] == ']' || p.rest[0] == '}') {
		return 0
	}
	return token
}

// string sets p.text to the string at the beginning of p.rest and returns its length with the
// quotation marks, 0 if it is none. Half a surrogate pair and bytes that are not UTF-8 become
// U+FFFD.
func (p *jsonParser) string() int {
	const escapes, mean = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	var text []byte
	s := p.rest
	for i := 1; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case c == '"':
			p.text = string(text)
			return i
		case c < ' ':
			return 0
		case c != '\\':
		case unicodeEscape(s[i-1:]) >= 0:
			c = unicodeEscape(s[i-1:])
			i += 5
			if pair := utf16.DecodeRune(c, unicodeEscape(s[i:])); pair != utf8.RuneError {
				c = pair
				i += 6
			}
		default:
			at := -1
			if i < len(s) {
				at = strings.IndexByte(escapes, s[i])
			}
			if at < 0 {
				return 0
			}
			c = rune(mean[at])
			i++
		}
		text = utf8.AppendRune(text, c)
	}
	return 0
}

// unicodeEscape returns the 16 bits of an escape with four hexadecimal digits at the beginning
// of s, -1 if there is none.
func unicodeEscape(s string) rune {
	if len(s) < 6 || s[:2] != `\u` {
		return -1
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
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
