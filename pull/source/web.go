package source

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// A web is a remote store of files at URLs whose digests are known: those of a simplestreams
// server, or of a directory with a list of digests.
type web struct {
	_       [0]func() // forbids ==, whose code nothing needs
	client  *fetch.Client
	tell    Listener
	plain   bool // a URL is one of http, or a mirror's: nothing is decoded before it is verified
	files   []webFile
	courses []*fetch.Course
}

// A webFile is a file of a web.
type webFile struct {
	digest image.Digest
	urls   []string // of the same bytes; the mirrors' come first
}

// newWeb returns a web without files.
func (f *Finder) newWeb() *web { return &web{client: f.opt.Client, tell: f.tell} }

// add adds the file at url, which the mirrors have too. The mirrors are asked first.
func (w *web) add(d image.Digest, mirrors []string, url string) {
	w.plain = w.plain || len(mirrors) > 0 || strings.HasPrefix(strings.ToLower(url), "http:")
	w.addURLs(d, append(mirrors[:len(mirrors):len(mirrors)], url))
}

// addURLs adds a file that is at several URLs. The caller sets plain.
func (w *web) addURLs(d image.Digest, urls []string) {
	w.files = append(w.files, webFile{d, urls})
	w.courses = append(w.courses, fetch.NewCourse(urls))
}

// get returns a small file. If its bytes are wrong, it asks the other URLs.
func (w *web) get(ctx context.Context, path string, max int64) ([]byte, string, error) {
	_, name, _ := strings.Cut(path, "/")
	d := image.Digest(name)
	course := w.course(d)
	if course == nil {
		return nil, "", errors.New("no URL of " + strconv.Quote(name) + " is known")
	}
	for {
		request := fetch.Request{URLs: course.URLs(), Pinned: true, Max: max, Hasty: len(course.URLs()) > 1, CallerRestarts: true}
		data, sources, err := w.client.Load(ctx, request)
		wrong := err == nil && sumOf(data) != d
		if wrong {
			err = distrust(strconv.Quote(w.url("blobs", d)), "its SHA-256 digest is "+string(sumOf(data))[len("sha256:"):]+", not the listed one")
		}
		if err == nil || ctx.Err() != nil {
			return data, "", err
		}
		again, last := course.Next(fetch.Attempt{Err: err, Wrong: wrong, Sources: sources})
		if !again {
			return nil, "", last
		}
		w.tell.Warn("retry", err.Error()+"; starting again")
	}
}

func (w *web) referrers(context.Context, image.Digest) ([]image.Descriptor, error) { return nil, nil }

// open returns a *fetch.Body. A size of -1 is not known.
func (w *web) open(ctx context.Context, d *image.Descriptor, offset int64) (io.ReadCloser, error) {
	course := w.course(d.Digest)
	if course == nil {
		return nil, errors.New("no URL of " + strconv.Quote(string(d.Digest)) + " is known")
	}
	max := d.Size
	if max < 0 {
		max = maxRootfs
	}
	body, err := w.client.Open(ctx, fetch.Request{URLs: course.URLs(), Pinned: true, Max: max, Offset: offset})
	if err != nil {
		return nil, ofSize(err, d)
	}
	if body.Size >= 0 && d.Size >= 0 && body.Size != d.Size {
		body.Close()
		return nil, wrongSize(body.Size, d)
	}
	return body, nil
}

func (w *web) course(d image.Digest) *fetch.Course {
	for i := range w.files {
		if w.files[i].digest == d {
			return w.courses[i]
		}
	}
	return nil
}

func (w *web) url(_ string, d image.Digest) string {
	for i := range w.files {
		if w.files[i].digest == d {
			return w.files[i].urls[0]
		}
	}
	return ""
}

func (w *web) safe() bool { return !w.plain }
