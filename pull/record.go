package pull

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

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
//	rootfs_sha256, meta_sha256
//	             digests of rootfs.tar.xz and meta.tar.xz; "": not known
//	signers      fingerprints of the keys that signed the index of images; empty: no
//	             signature was verified
//	signed       when the newest of these signatures was made, as in RFC 3339; "": not known
//	created      when the container was made
//	program      the program and its version
//	mode         "system", or "user" for a container in a user namespace
//	privilege    "root", "user namespace" or "user": what the extraction could do
//	edited       files of the root file system that differ from the image's, because the
//	             creation made or changed them
//
// Programs other than this one do not read it. It has no secrets and no paths of the host.
type Record struct {
	Image   image.Image
	Server  string
	Rootfs  string // SHA-256 digest as hexadecimal digits; "": not known
	Meta    string // likewise
	Signers []string
	Signed  string
	Created string
	Program string
	Mode    lxc.Mode

	Privilege string
	Edited    []string // clean paths below the root file system, without leading slash
}

// RecordFile is the name of the file with the Record in a container's directory.
const RecordFile = "image.json"

// Limits of a record. The file has at most maxConfig bytes.
const (
	maxEdited  = 64 << 10 // bytes of the paths in Edited: more are left out
	maxStrings = 4096     // strings in a list; today's images name two files to edit
)

// Members calls fn with the name and the value of each member: a string or a list of strings.
func (r *Record) Members(fn func(name string, one *string, many *[]string)) {
	values := [...]*string{
		&r.Image.Dist, &r.Image.Release, &r.Image.Arch, &r.Image.Variant, &r.Image.Build, &r.Image.Path, &r.Server, &r.Rootfs, &r.Meta,
		&r.Signed, &r.Created, &r.Program, (*string)(&r.Mode), &r.Privilege,
	}
	for i, name := range strings.Fields("dist release arch variant build path server rootfs_sha256 meta_sha256 signed created program mode privilege") {
		fn(name, values[i], nil)
	}
	fn("signers", nil, &r.Signers)
	fn("edited", nil, &r.Edited)
}

// record returns the record of the image that was unpacked.
func (r *run) record(found *source.Found) *Record {
	origin := found.Origin()
	rec := new(Record)
	rec.Image, rec.Server, rec.Signers, rec.Program = found.Image, origin.Server, origin.Signers, r.opt.Program
	rec.Rootfs, rec.Meta = hex.EncodeToString(r.arrived.digest), hex.EncodeToString(origin.Meta)
	rec.Signed, rec.Created = stamp(origin.Signed), stamp(origin.Now)
	rec.Mode, rec.Privilege = r.target.Namespace.Mode(), r.arrived.privilege
	size := 0
	for _, name := range r.edited {
		// Image names are bytes, and JSON has text.
		if size += len(name); size <= maxEdited && utf8.ValidString(name) {
			rec.Edited = append(rec.Edited, name)
		}
	}
	return rec
}

// stamp formats a time as in RFC 3339; "" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// edit notes that the run made or changed a file of the root file system, so that it differs
// from the image's. Links in name are followed inside the root file system.
func (r *run) edit(name string) {
	if path, err := r.staging.root.Resolve(name); err == nil {
		r.edited = append(r.edited, path)
	}
}

// AppendJSON appends the record as the text of a RecordFile.
func (r *Record) AppendJSON(b []byte) []byte {
	b = append(b, "{\n  \"version\": 1"...)
	r.Members(func(name string, one *string, many *[]string) {
		b = append(b, ",\n  \""+name+"\": "...)
		if one != nil {
			b = untar.AppendJSONString(b, *one)
			return
		}
		separator := "["
		for _, s := range *many {
			b = untar.AppendJSONString(append(b, separator...), s)
			separator = ", "
		}
		if separator == "[" {
			b = append(b, '[')
		}
		b = append(b, ']')
	})
	return append(b, "\n}\n"...)
}

var (
	errRecord  = errors.New("it is not an object of strings, numbers and lists of strings")
	errVersion = errors.New("another version of this program wrote it, in another form")
	errMode    = errors.New("its mode is neither system nor user")
)

// ParseRecord parses the text of a RecordFile, which may be of another user: it checks each
// name that becomes part of a path or URL. Members that it does not know are skipped.
func ParseRecord(text []byte) (*Record, error) {
	r := new(Record)
	p := recordParser(text)
	version := ""
	if !p.skip('{') {
		return nil, errRecord
	}
	for more := !p.skip('}'); more; {
		key, ok := p.str()
		if !ok || !p.skip(':') {
			return nil, errRecord
		}
		var one string
		var list []string
		if p.skip('[') {
			list, ok = p.list()
		} else if one, ok = p.str(); !ok {
			n := max(strings.IndexAny(string(p), "\"{},[] \t\r\n"), 0)
			if ok = n > 0; key == "version" {
				version = string(p[:n])
			}
			p = p[n:]
		}
		if !ok {
			return nil, errRecord
		}
		r.Members(func(name string, to *string, many *[]string) {
			switch {
			case name != key:
			case to != nil:
				*to = one
			default:
				*many = list
			}
		})
		if more = p.skip(','); !more && !p.skip('}') {
			return nil, errRecord
		}
	}
	if p.skip(0); len(p) > 0 {
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

// A recordParser is the rest of the text of a flat JSON object.
type recordParser string

// skip skips white space and then c, unless c is 0. It reports whether c was there.
func (p *recordParser) skip(c byte) bool {
	*p = recordParser(strings.TrimLeft(string(*p), " \t\r\n"))
	if len(*p) == 0 || (*p)[0] != c || c == 0 {
		return false
	}
	*p = (*p)[1:]
	return true
}

// str parses a string. AppendJSON writes only escapes that mean the same in Go.
func (p *recordParser) str() (s string, ok bool) {
	if p.skip(0); len(*p) == 0 || (*p)[0] != '"' {
		return "", false
	}
	quoted, err := strconv.QuotedPrefix(string(*p))
	if err == nil {
		*p = (*p)[len(quoted):]
		s, err = strconv.Unquote(quoted)
	}
	return s, err == nil
}

// list parses the rest of a list of strings.
func (p *recordParser) list() (list []string, ok bool) {
	if p.skip(']') {
		return nil, true
	}
	for len(list) < maxStrings {
		s, ok := p.str()
		list = append(list, s)
		if p.skip(']') || !ok {
			return list, ok
		}
		if !p.skip(',') {
			break
		}
	}
	return nil, false
}

// A Made is a container that exists, as its directory says.
type Made struct {
	Record *Record
	Config []byte // nil: there is none
	// Own says that the record's owner is this process's user or root. Otherwise its server
	// is another user's choice.
	Own bool
}

// ReadContainer reads the record and the config in a container's directory, which may be of
// another user: it reads regular files with one name and follows no link. uid is this
// process's user. The error is of Kind NoRecord if there is no container or no record.
func ReadContainer(path string, uid int) (*Made, error) {
	m := new(Made)
	var text []byte
	var st unix.Stat_t
	directory, err := openDir(path)
	if err == nil {
		defer directory.close()
		text, st, err = directory.read(RecordFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Kind: NoRecord, Text: err.Error()}
	}
	if err == nil {
		m.Record, err = ParseRecord(text)
		err = directory.fail("read", RecordFile, err)
	}
	if err != nil {
		return nil, err
	}
	m.Own = st.Uid == 0 || int(st.Uid) == uid
	if m.Config, _, err = directory.read("config"); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return m, err
}
