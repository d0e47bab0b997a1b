package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// manifestTypes are the media types of all manifests that image.ParseManifest reads.
const manifestTypes = image.OCIManifest + ", " + image.OCIIndex + ", " + image.DockerIndex + ", " + image.DockerManifest

// Limits of a registry's lists.
const (
	maxPages     = 100     // of tags: registries put 100 to 1000 on a page
	maxReferrers = 4       // pages of referrers: registries put at least 100 on one
	maxPage      = 4 << 20 // bytes of a page
	maxTags      = 100_000 // in all: public repositories have up to 60,000
)

// A registry is the store of a repository in a registry (OCI distribution spec), and in the
// mirrors of that registry.
//
// Whatever has a digest comes from the mirrors first, since the digest proves the bytes. Which
// digest a tag has only the registry itself may say; a mirror is asked for that with a warning,
// if the registry can't be reached or asked too often.
type registry struct {
	client    *fetch.Client
	container *Container
	bases     []*base // the mirrors, then the registry itself
	tell      Listener
	courses   []*fetch.Course // of layers: which URLs are asked after their bytes were wrong
}

// A base is a repository at a registry or mirror.
type base struct {
	_                [0]func() // forbids ==, whose code nothing needs
	url              string    // of the repository in the API, without a slash at the end
	host, repository string
	out              bool // it can't be reached: it is asked only if no other is left
}

// bases returns the repository at the mirrors and, at the end, at its registry.
func (c *Container) bases() (list []*base, err error) {
	ref := &c.Reference
	for _, mirror := range c.Mirrors {
		u, err := serverURL(mirror)
		scheme, rest, _ := strings.Cut(u, "://")
		if err == nil && scheme == "file" {
			err = errors.New("it is no registry")
		}
		if err != nil {
			return nil, because("the mirror "+strconv.Quote(mirror), err)
		}
		host, prefix, _ := strings.Cut(rest, "/")
		repository := strings.TrimPrefix(prefix+"/"+ref.Repository, "/")
		list = append(list, &base{url: scheme + "://" + host + "/v2/" + repository, host: host, repository: repository})
	}
	return append(list, &base{url: ref.URL(), host: ref.Host, repository: ref.Repository}), nil
}

// own returns the repository at the registry itself.
func (r *registry) own() *base { return r.bases[len(r.bases)-1] }

// A question is a request for a small file below a repository.
type question struct {
	_      [0]func()    // forbids ==, whose code nothing needs
	path   string       // begins with a slash
	accept string       // media types
	max    int64        // bytes of the answer
	digest image.Digest // that the answer must have; "": any
}

// ask returns what the first of the repositories answers. The last of them decides on the error.
func (r *registry) ask(ctx context.Context, bases []*base, q *question) (answer *fetch.Answer, err error) {
	for i := range bases {
		if bases[i].out && i+1 < len(bases) {
			continue
		}
		request := fetch.Request{URLs: []string{bases[i].url + q.path}, Max: q.max, Accept: q.accept, Hasty: i+1 < len(bases)}
		answer, err = r.client.Ask(ctx, request)
		if err == nil && q.digest != "" {
			if got := sumOf(answer.Data); got != q.digest {
				err = distrust(string(q.digest), strconv.Quote(bases[i].host)+" gave a file with the digest "+string(got))
			}
		}
		if err == nil || ctx.Err() != nil {
			return answer, err
		}
		bases[i].out = Offline(err)
		err = r.explain(bases[i], q.path, err)
		if i+1 < len(bases) {
			r.tell.Warn("retry", err.Error()+"; asking "+strconv.Quote(bases[i+1].host))
		}
	}
	return nil, err
}

// byName is ask for what has no digest: the registry itself is asked, and the mirrors only if
// it can't say.
func (r *registry) byName(ctx context.Context, q *question) (*fetch.Answer, error) {
	answer, err := r.ask(ctx, r.bases[len(r.bases)-1:], q)
	if kind := KindOf(err); len(r.bases) == 1 || ctx.Err() != nil || kind != Network && kind != Limited {
		return answer, err
	}
	r.tell.Warn("retry", err.Error()+"; asking a mirror, which may give an older image")
	answer, other := r.ask(ctx, r.bases[:len(r.bases)-1], q)
	if other != nil {
		return nil, err
	}
	return answer, nil
}

func (r *registry) get(ctx context.Context, path string, max int64) (text []byte, mediaType string, err error) {
	q := &question{path: "/" + path, accept: manifestTypes, max: max}
	kind, name, _ := strings.Cut(path, "/")
	if kind == "blobs" {
		q.accept = "*/*"
	}
	var answer *fetch.Answer
	if strings.Contains(name, ":") {
		q.digest = image.Digest(name)
		answer, err = r.ask(ctx, r.bases, q)
	} else {
		answer, err = r.byName(ctx, q)
	}
	if err != nil {
		return nil, "", err
	}
	return answer.Data, answer.Header.Get("Content-Type"), nil
}

// tooLarge returns the error for something that is larger than what this program reads.
func tooLarge(what string, size, max int64) error {
	return errors.New(what + " has " + ByteCount(size) + ", more than the limit of " + ByteCount(max))
}

func (r *registry) referrers(ctx context.Context, d image.Digest) (list []image.Descriptor, err error) {
	_, list, err = r.pages(ctx, "/referrers/"+string(d), manifestTypes)
	return list, err
}

// tags lists the tags of the repository.
func (r *registry) tags(ctx context.Context) (list []string, err error) {
	list, _, err = r.pages(ctx, "/tags/list", "application/json")
	return list, err
}

// pages reads the pages of a list of tags, or of an index if that is accepted. A page names the next
// one in its header (RFC 8288).
func (r *registry) pages(ctx context.Context, path, accept string) (tags []string, list []image.Descriptor, err error) {
	at, most := r.own().url, maxPages
	if accept == manifestTypes {
		most = maxReferrers
	}
	var seen []string
	for !slices.Contains(seen, path) {
		if len(seen) == most {
			return tags, list, errors.New(strconv.Quote(at) + " has more than " + strconv.Itoa(most) + " pages")
		}
		seen = append(seen, path)
		answer, err := r.byName(ctx, &question{path: path, accept: accept, max: maxPage})
		if err != nil {
			return tags, list, err
		}
		if accept == manifestTypes {
			var m *image.Manifest
			if m, err = image.ParseManifest(answer.Data, ""); err == nil {
				list = appendSignatures(list, m.Manifests)
			}
		} else {
			var page []string
			page, err = image.ParseTags(answer.Data)
			if len(tags)+len(page) > maxTags {
				return tags, list, errors.New(strconv.Quote(at) + " has more than " + strconv.Itoa(maxTags) + " tags")
			}
			for _, tag := range page {
				tags = append(tags, strings.Clone(tag))
			}
		}
		if err != nil {
			return tags, list, because(strconv.Quote(at+path), err)
		}
		next := nextPage(at+path, answer.Header.Values("Link"))
		if !strings.HasPrefix(next, at+"/") || len(list) == maxSignatures {
			return tags, list, nil // the last page, or another server, which is not asked
		}
		path = next[len(at):]
	}
	return tags, list, errors.New(strconv.Quote(at) + " names the same of its pages again")
}

// nextPage returns the URL with the relation "next" in the Link fields of the answer from a
// URL, "" if there is none.
func nextPage(from string, links []string) string {
	for _, link := range links {
		target, rest, ok := strings.Cut(strings.TrimLeft(link, " <"), ">")
		if !ok || !strings.Contains(strings.ReplaceAll(rest, `"`, ""), "rel=next") {
			continue
		}
		u, err := url.Parse(from)
		if err == nil {
			u, err = u.Parse(target)
		}
		if err == nil {
			return u.String()
		}
	}
	return ""
}

// open returns a *fetch.Body.
func (r *registry) open(ctx context.Context, d *image.Descriptor, offset int64) (io.ReadCloser, error) {
	body, err := r.client.Open(ctx, fetch.Request{URLs: r.course(d.Digest).URLs(), Pinned: true, Max: d.Size, Offset: offset, Accept: "*/*"})
	if err != nil {
		return nil, r.explain(r.own(), "/blobs/"+string(d.Digest), ofSize(err, d))
	}
	if body.Size >= 0 && body.Size != d.Size {
		body.Close()
		return nil, wrongSize(body.Size, d)
	}
	return body, nil
}

// ofSize returns the error for a download that is larger than its descriptor says. Other errors
// stay as they are.
func ofSize(err error, d *image.Descriptor) error {
	if list := fetch.Failures(err); len(list) > 0 && list[0].Kind == fetch.KindTooLarge {
		return distrust(string(d.Digest), "it has more than "+strconv.FormatInt(d.Size, 10)+" bytes, its size by "+listedIn(d))
	}
	return err
}

// wrongSize returns the error for a blob that has another size than its descriptor says.
func wrongSize(size int64, d *image.Descriptor) error {
	return distrust(string(d.Digest), "it has "+strconv.FormatInt(size, 10)+" bytes, and "+strconv.FormatInt(d.Size, 10)+" by "+listedIn(d))
}

// url returns the URL of a manifest or blob at the registry that is asked first.
func (r *registry) url(kind string, d image.Digest) string {
	return r.bases[0].url + "/" + kind + "/" + string(d)
}

func (r *registry) safe() bool { return len(r.bases) == 1 && !r.container.Reference.Plain }

// course returns the Course of a layer.
func (r *registry) course(d image.Digest) *fetch.Course {
	for _, c := range r.courses {
		if strings.HasSuffix(c.URLs()[0], string(d)) {
			return c
		}
	}
	var urls []string
	for i := range r.bases {
		if !r.bases[i].out || i+1 == len(r.bases) {
			urls = appendNew(urls, r.bases[i].url+"/blobs/"+string(d))
		}
	}
	c := fetch.NewCourse(urls)
	r.courses = append(r.courses, c)
	return c
}

// explain gives the Kind of a registry's answer to an error of package fetch, and says what the
// registry says. Other errors stay as they are.
func (r *registry) explain(at *base, path string, err error) error {
	list := fetch.Failures(err)
	var own *Error
	if len(list) == 0 || errors.As(err, &own) {
		return err
	}
	failed := list[len(list)-1]
	code, said := image.RegistryError(failed.Page)
	if r.container.tells(said) {
		said = ""
	} else if said != "" {
		said = " (it says " + strconv.Quote(said[:min(len(said), 300)]) + ")"
	}
	host, repository := strconv.Quote(at.host), strconv.Quote(at.repository)
	kind, text := Limited, host+" limits how often its images are downloaded"
	switch failed.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind, text = Login, host+" does not let anybody without a login read "+repository+", or has no such repository"
		if user, _, err := r.container.login(at); err == nil && user != "" {
			text = host + " does not let the user " + strconv.Quote(user) + " read " + repository
		}
	case http.StatusNotFound:
		kind, text = NotFound, host+" has no repository "+repository
		if code != "NAME_UNKNOWN" {
			text = "the repository " + repository + " at " + host + " has no " + strconv.Quote(path[strings.LastIndexByte(path, '/')+1:])
		}
	case http.StatusTooManyRequests:
	default:
		if said == "" || failed.Kind != fetch.KindStatus {
			return err
		}
		return fmt.Errorf("%w%s", err, said)
	}
	return &Error{Kind: kind, Text: text + said, Err: err}
}
