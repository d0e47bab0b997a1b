package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/image/sha256"
	"lxc-pull/pull/source"
)

// This file writes a download to a regular file, so that the file is complete or absent, and
// so that a later call can continue a download that this call could not finish. First comes
// the life of a download (download, claim, openPart, complete, attempt, cleanUp), then the
// record of which URL the bytes of FILE.part came from.

// The names that a download has beside FILE until it is complete. While a record is written
// it also has the name FILE.part.from.new (asideSuffix).
const (
	partSuffix   = ".part"      // the bytes that have come
	recordSuffix = ".part.from" // their record: which version of which URL they are from
)

// A download is the life of FILE.part, in this order:
//
//  1. claim looks at FILE.part, if there is one, and sets origin. Nothing on the disk has
//     changed yet, and no request was sent.
//  2. openPart opens or creates FILE.part, and locks it until the end of the call.
//  3. begin writes the record FILE.part.from, still without a validator, before FILE.part
//     has its first byte. So if this call is killed, a later call recognizes FILE.part.
//  4. complete appends to FILE.part, in as many attempts as it takes. The record gets the
//     validator when the server has sent it. Wrong bytes are dropped: FILE.part becomes
//     empty again, and the record loses its validator.
//  5. If all went well, FILE.part is renamed to FILE, and the record is removed. If not,
//     cleanUp keeps FILE.part and its record for a later call, or removes both.
//
// A record is written to FILE.part.from.new and renamed, so a power failure leaves the old
// record or the new one.
type download struct {
	call   *fetchCall
	client *fetch.Client
	out    *output

	origin   partOrigin // set by claim
	original int64      // the size of a foreign part before this call, in bytes
	part     *os.File   // FILE.part, set by openPart

	// resumable says that a later call can continue with the bytes that FILE.part has now:
	// the digest is known, or the record has a validator.
	resumable bool
}

// A partOrigin says which program made FILE.part, and so what happens to it if the download fails.
type partOrigin int

const (
	// Zero: FILE.part is absent or this program's. cleanUp removes it or keeps it for a later call.
	_ partOrigin = iota
	// emptyPart is empty and has no record. A call that was killed at once leaves such a
	// file, but any program may have made it: cleanUp empties it and does not remove it.
	emptyPart
	// foreignPart may be another program's, such as a browser's: cleanUp restores its
	// content.
	foreignPart
)

// download downloads the file to FILE.part, and renames that to the output's name when it is
// complete.
func (c *fetchCall) download(ctx context.Context, client *fetch.Client, out *output) (err error) {
	d := &download{call: c, client: client, out: out}
	if err := d.claim(); err != nil {
		return err
	}
	if d.part, err = d.openPart(); err != nil {
		return err
	}
	defer d.part.Close()
	if err := d.begin(); err != nil {
		return err
	}
	if err := d.complete(ctx); err != nil {
		return d.cleanUp(err)
	}
	if err := d.part.Sync(); err != nil {
		return err
	}
	if err := out.finish(d.part, partSuffix); err != nil {
		return err
	}
	d.removeRecord()
	return nil
}

// claim finds out which program made FILE.part, before any request or change. A record of
// this program shows that FILE.part is this program's, and so does an empty record (a power
// failure empties it) beside a file with the mode of a part. A foreign part is not to be
// emptied or removed; only with --sha256 can the call continue it, since the digest shows
// whether the result is the right file.
func (d *download) claim() error {
	st, err := d.out.stat(partSuffix)
	if _, ours := readRecord(d.out, recordSuffix); ours || err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil // if it can't be used, openPart says why
	}
	usable := trustedOwner(st.Uid) && st.Nlink == 1
	if usable {
		lost := d.out.isBlank(recordSuffix)
		switch {
		case st.Size == 0 && (lost || !d.out.exists(recordSuffix)):
			d.origin = emptyPart
			return nil
		case lost && st.Mode&0o777 == 0o600:
			if d.call.digest == nil {
				d.call.ui.warn("retry", "%q is empty, so it is not known which file %q is from: downloading from the beginning", d.out.path+recordSuffix, d.out.path+partSuffix)
			}
			return nil
		}
	}
	d.origin, d.original = foreignPart, st.Size
	if usable && st.Size > 0 && d.call.digest == nil {
		return usageErrorf("%q exists, and nothing shows that lxc-pull began it: move it away, or continue it with --sha256", d.out.path+partSuffix)
	}
	return nil
}

// openPart opens FILE.part, or creates it, and locks it. A foreign part keeps its mode, and
// must still be as claim found it.
func (d *download) openPart() (*os.File, error) {
	if d.origin != foreignPart {
		return d.out.openLocked(partSuffix)
	}
	f, err := d.out.open(partSuffix, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.Size() != d.original || !d.out.isStill(f, partSuffix) || unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK {
		f.Close()
		return nil, fmt.Errorf("%q is being written by another process", d.out.path+partSuffix)
	}
	return f, nil
}

// begin writes the record before FILE.part gets its first byte, unless there is a record that
// is still usable: a part without a record would be foreign to the next call.
func (d *download) begin() error {
	if d.origin == foreignPart || d.validator() != "" {
		return nil
	}
	err := d.writeRecord("")
	if errors.As(err, new(*obstacleError)) {
		d.call.ui.warn("retry", "%v; if this call is killed, no later one can continue the download", err)
		return nil
	}
	if err == nil {
		return nil
	}
	if info, bad := d.part.Stat(); bad == nil && info.Size() == 0 {
		return d.cleanUp(err)
	}
	return err
}

// complete downloads until FILE.part is complete and its digest right, or until no URL is
// left to be asked.
func (d *download) complete(ctx context.Context) error {
	if d.call.save != nil {
		if err := d.drop(); err != nil {
			return err
		}
		return d.call.save(ctx, d.part)
	}
	course := fetch.NewCourse(d.call.urls)
	for {
		before, sources, err := d.attempt(ctx, course.URLs())
		if err == nil || ctx.Err() != nil {
			return err
		}
		wrong := source.KindOf(err) == source.Unverified
		if wrong && d.origin == foreignPart && d.original > 0 {
			return fmt.Errorf("%w, with the %s that %q had before: move it away to download from the beginning", err, source.ByteCount(d.original), d.part.Name())
		}
		again, last := course.Next(fetch.Attempt{Err: err, Wrong: wrong, Resumed: before, Sources: sources})
		if !again && source.KindOf(last) != source.Unverified {
			return last // a later call may continue with the bytes that have come
		}
		if err := d.drop(); err != nil {
			return err
		}
		if !again {
			return last
		}
		d.call.ui.warn("retry", "%v; starting again", err)
	}
}

// drop empties FILE.part and takes the validator out of its record.
func (d *download) drop() error {
	if err := d.part.Truncate(0); err != nil {
		return err
	}
	if d.origin != foreignPart {
		if err := d.writeRecord(""); err != nil && !errors.As(err, new(*obstacleError)) {
			return err
		}
	}
	d.resumable = d.call.digest != nil
	return nil
}

// attempt downloads the rest of FILE.part from urls, and checks the digest of the whole file.
// before is how many bytes FILE.part had already; sources are the URLs that sent the other bytes.
func (d *download) attempt(ctx context.Context, urls []string) (before int64, sources []string, err error) {
	validator := d.validator()
	d.resumable = d.call.digest != nil || validator != ""
	sum := sha256.New()
	if before, err = d.seekEnd(sum); err != nil {
		return 0, nil, err
	}
	if before > 0 {
		d.call.ui.notef("continuing at byte %d", before)
	}
	body, err := d.client.Open(ctx, d.call.request(urls, before, validator))
	if err != nil {
		return before, nil, err
	}
	defer body.Close()
	if d.origin != foreignPart && body.Validator != "" && len(d.call.urls) == 1 {
		// If the record can't be written, a later call downloads from the beginning.
		if d.writeRecord(body.Validator) == nil {
			d.resumable = true
		}
	}
	d.call.ui.events.phase("Downloading the file")
	progress := d.call.ui.beginAt(path.Base(d.call.output), before, body.Size)
	if progress != nil {
		progress.done = before // these bytes are not written to it
	}
	defer progress.Close()
	writers := []io.Writer{d.part, progress}
	if d.call.digest != nil { // on a small router the digest takes longer than the rest
		writers = append(writers, sum)
	}
	if _, err = io.Copy(io.MultiWriter(writers...), body); err == nil {
		err = d.call.checkDigest(sum)
	}
	return before, body.Sources(), err
}

// seekEnd goes to the end of FILE.part and returns how many bytes it has. It drops them if
// they may be from another file than the one that is downloaded now. If the digest is
// known, it adds them to sum.
func (d *download) seekEnd(sum hash.Hash) (int64, error) {
	if !d.resumable {
		if err := d.part.Truncate(0); err != nil {
			return 0, err
		}
	}
	if d.call.digest == nil {
		return d.part.Seek(0, io.SeekEnd)
	}
	if _, err := d.part.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(sum, d.part)
}

// cleanUp ends a download that failed with err. A foreign part gets back the size that it
// had. A part that a later call can continue stays, as the error that is returned says. Any
// other part is removed (an emptyPart is emptied), and so is its record.
func (d *download) cleanUp(err error) error {
	if d.origin == foreignPart {
		if bad := d.part.Truncate(d.original); bad != nil {
			return fmt.Errorf("%w; %q could not be restored: %v", err, d.part.Name(), bad)
		}
		return err
	}
	info, bad := d.part.Stat()
	if bad == nil && info.Size() > 0 && d.resumable {
		return &keptError{err: err, size: info.Size(), name: d.part.Name()}
	}
	if !d.out.isStill(d.part, partSuffix) {
		return err
	}
	if d.origin == emptyPart {
		bad = d.part.Truncate(0)
	} else {
		d.out.remove(partSuffix)
	}
	if bad == nil {
		d.removeRecord()
	}
	return err
}

// A keptError is the failure of a download that a later call can continue.
type keptError struct {
	_    uncomparable
	err  error
	size int64  // of FILE.part, in bytes
	name string // of FILE.part
}

func (e *keptError) Error() string { return e.err.Error() + "; " + e.kept() }
func (e *keptError) Unwrap() error { return e.err }

// kept returns a sentence that says how many bytes were kept, and how to continue.
func (e *keptError) kept() string {
	return fmt.Sprintf("%s kept in %q; the same command goes on", source.ByteCount(e.size), e.name)
}

// A record is the content of FILE.part.from, a line for each field.
type record struct {
	// url is the SHA-256 of the first URL, in hexadecimal digits: the URL itself may hold a
	// password.
	url string
	// validator is the Validator of the fetch.Body that the bytes came from; "": the server
	// has sent none yet.
	validator string
}

// maxRecord is the largest record that is read, in bytes.
const maxRecord = 64 << 10

// readRecord reads a record; ok is false if there is none, or if the file is something else.
func readRecord(out *output, suffix string) (r record, ok bool) {
	data, err := out.read(suffix, maxRecord)
	if err != nil {
		return record{}, false
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 3 || lines[2] != "" {
		return record{}, false
	}
	sum, err := hex.DecodeString(lines[0])
	return record{lines[0], lines[1]}, err == nil && len(sum) == sha256.Size
}

// urlDigest returns the digest of the first URL as the record stores it.
func (d *download) urlDigest() string {
	sum := sha256.New()
	io.WriteString(sum, d.call.urls[0])
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// validator returns the record's validator; "" if the record is of another URL.
func (d *download) validator() string {
	r, ok := readRecord(d.out, recordSuffix)
	if !ok || r.url != d.urlDigest() {
		return ""
	}
	return r.validator
}

// writeRecord writes FILE.part.from. It replaces a record, and a file that is empty or holds
// only NUL bytes, which a power failure leaves. Any other file under the record's names is an
// *obstacleError. It must not be called for a foreign part.
func (d *download) writeRecord(validator string) error {
	for _, suffix := range []string{recordSuffix, recordSuffix + asideSuffix} {
		if _, ours := readRecord(d.out, suffix); d.out.exists(suffix) && !ours && !d.out.isBlank(suffix) {
			return &obstacleError{d.out.path + suffix}
		}
	}
	return d.out.replace(recordSuffix, []byte(d.urlDigest()+"\n"+validator+"\n"))
}

// An obstacleError says that another file has the name of the record. The download goes on
// without a record: in a directory such as /tmp anybody can create that file.
type obstacleError struct{ path string }

func (e *obstacleError) Error() string {
	return fmt.Sprintf("%q was not written by lxc-pull and is left as it is", e.path)
}

// removeRecord removes FILE.part.from, if it is a record.
func (d *download) removeRecord() {
	if _, ours := readRecord(d.out, recordSuffix); ours {
		d.out.remove(recordSuffix)
	}
}
