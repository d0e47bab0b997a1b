package source

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// DefaultServer is the stock template's image server, the one whose key is built in
// (pgp.LinuxContainers).
const DefaultServer = "images.linuxcontainers.org"

// maxServers is the largest number of servers, and of mirrors, of a run. The largest
// distribution has 400 mirrors.
const maxServers = 1000

// A server is an image server or mirror, and what this run has found out about it.
type server struct {
	url     string // the base URL, without a slash at the end
	givenUp error  // the error for which giveUp dropped it: it is not asked for signed texts again; nil: it may be asked

	// Set by downloads of a build's tarballs, which any server or mirror may give.
	out   bool     // it sent wrong bytes or can't be reached: it is not asked again in this run
	last  bool     // it failed and may have recovered: it is asked after the others
	lacks []string // URLs of the directories of builds that it does not have

	index  *signedIndex // its index of images; nil: not read yet
	reread bool         // index was read a second time, because the first named a build that is not there
}

// A signedIndex is a server's index of images, which a trusted key signed.
type signedIndex struct {
	image.Index
	by       signers
	evidence evidence // the index's text and its signature
}

// Servers are the image servers and mirrors of a run. The signed texts (the index, the
// SHA256SUMS of a build, and signatures) come from one server at a time, in the order in
// which the servers were added. The two tarballs of a build (metadata and root file system)
// come from any server or mirror that has them; the caller verifies their bytes.
type Servers struct {
	servers []*server
	mirrors []*server // asked only for the two tarballs of a build

	mu sync.Mutex // guards out, last and lacks of each server, which concurrent downloads set
}

// Add adds an image server by its name, HOST[:PORT][/PATH] or a URL of scheme https, http or
// file. A name that was added before is no error. The error shows no password.
func (s *Servers) Add(name string) (err error) {
	s.servers, err = s.add(s.servers, name)
	return err
}

// AddMirror adds a server that is asked only for the two tarballs of a build, whose bytes the
// caller verifies. The name is as for Add.
func (s *Servers) AddMirror(name string) (err error) {
	s.mirrors, err = s.add(s.mirrors, name)
	return err
}

// add returns list with the server of that name added, unless list has it.
func (s *Servers) add(list []*server, name string) ([]*server, error) {
	u, err := serverURL(name)
	if err != nil {
		return list, err
	}
	same := func(each *server) bool { return each.url == u }
	if slices.ContainsFunc(list, same) {
		return list, nil
	}
	if len(list) == maxServers {
		return list, fmt.Errorf("more than %d", maxServers)
	}
	if i := slices.IndexFunc(s.servers, same); i >= 0 {
		return append(list, s.servers[i]), nil // an image server that is a mirror too
	}
	return append(list, &server{url: u}), nil
}

// serverURL returns the base URL of a server. HOST[:PORT][/PATH] means https, as for the stock
// template. The error shows nothing of server, which may hold a password.
func serverURL(server string) (string, error) {
	scheme, rest, _ := strings.Cut(server, ":")
	switch {
	case strings.Contains(server, "://"):
	case strings.HasPrefix(server, "/"), strings.HasPrefix(server, "."), strings.HasPrefix(server, "~"):
		return "", errors.New("a directory is written file:///DIR, with its absolute path")
	case scheme == "file":
		return "", errors.New("file: needs three slashes: file:///DIR")
	case (scheme == "http" || scheme == "https") && strings.HasPrefix(rest, "/"):
		return "", fmt.Errorf("%s: needs two slashes: %s://HOST", scheme, scheme)
	default:
		server = "https://" + server
	}
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return "", errors.New("not a host name or URL")
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file":
		return "", fmt.Errorf("unsupported scheme %q (use https, http or file)", u.Scheme)
	case u.User != nil:
		// lxc-create writes its arguments into the container's config.
		return "", errors.New("a password has no place in it: use --netrc-file or --header-file")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("must not contain a query or fragment")
	}
	server = strings.TrimRight(u.String(), "/")
	var bad *fetch.Error
	if errors.As(fetch.CheckURL(server), &bad) {
		return "", bad.Err
	}
	return server, nil
}

// current returns the server that is asked for signed texts: the first that was not given up,
// nil if all were.
func (s *Servers) current() *server {
	for _, each := range s.servers {
		if each.givenUp == nil {
			return each
		}
	}
	return nil
}

// others reports whether there is another server to ask if the current one fails.
func (s *Servers) others() bool {
	n := 0
	for _, each := range s.servers {
		if each.givenUp == nil {
			n++
		}
	}
	return n > 1
}

// giveUp drops the current server, which failed with err, and returns the next server, nil if
// there is none.
func (s *Servers) giveUp(err error) *server {
	s.current().givenUp = err
	return s.current()
}

// askAgain makes the servers that do not have the image current again, and reports whether
// there are any.
func (s *Servers) askAgain() (any bool) {
	for _, each := range s.servers {
		if each.givenUp != nil && KindOf(each.givenUp) == NotFound {
			each.givenUp, any = nil, true
		}
	}
	return any
}

// worstError returns the most severe of the servers' errors, after all were given up.
func (s *Servers) worstError() error {
	var worst error
	for _, each := range s.servers {
		if worst == nil || severity(each.givenUp) > severity(worst) {
			worst = each.givenUp
		}
	}
	return worst
}

// files returns the URLs of a tarball of a build, in the order in which to ask: the mirrors,
// the current server, the other servers, and at the end those that failed before. The caller
// verifies the bytes.
func (s *Servers) files(path string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.mirrors)
	current := s.current()
	if current != nil {
		all = append(all, current)
	}
	all = append(all, s.servers...)
	var urls, last []string
	for _, each := range all {
		u := each.url + "/" + path
		switch {
		case each.givenUp != nil || each.out || slices.Contains(last, u):
		case each != current && slices.Contains(each.lacks, dirOf(u)):
		case each.last && !slices.Contains(urls, u):
			last = appendNew(last, u)
		default:
			urls = appendNew(urls, u)
		}
	}
	if urls = append(urls, last...); len(urls) == 0 && current != nil {
		urls = appendNew(nil, current.url+"/"+path) // its error says why it can't give the file
	}
	return urls
}

// appendNew appends a text to a list that does not have it.
func appendNew(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// dirOf returns a URL without the file's name.
func dirOf(u string) string { return u[:strings.LastIndexByte(u, '/')+1] }

// find returns the server to which a URL belongs, nil if there is none.
func (s *Servers) find(u string) *server {
	var found *server
	for _, each := range append(slices.Clone(s.servers), s.mirrors...) {
		if strings.HasPrefix(u, each.url+"/") && (found == nil || len(each.url) > len(found.url)) {
			found = each
		}
	}
	return found
}

// NoteFailure records a failure after which another server is asked: a server that is down is
// not asked again, a server that lacks a file is not asked for other files of the same build,
// and a server that failed otherwise is asked after the others. Pass it to fetch.ReportOptions.Notify.
func (s *Servers) NoteFailure(e fetch.Event) {
	each := s.find(e.Err.URL)
	if each == nil || each == s.find(e.Next) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case Offline(e.Err):
		each.out = true
	case isNotFound(e.Err):
		each.lacks = append(each.lacks, dirOf(e.Err.URL))
	default:
		each.last = true
	}
}

// noteWrong records that the bytes from sources were wrong. If there are several sources,
// nothing tells which of them sent wrong bytes, and it records nothing.
func (s *Servers) noteWrong(sources []string) {
	if len(sources) != 1 {
		return
	}
	if each := s.find(sources[0]); each != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		each.out = true
	}
}

// safe reports whether a decoder may read a URL's bytes before they are verified. Plain http
// can be altered on the way, and a mirror is run by others.
func (s *Servers) safe(u string) bool {
	each := s.find(u)
	return each != nil && !slices.Contains(s.mirrors, each) && !strings.HasPrefix(u, "http:")
}

// lacks reports whether err says that a file does not exist on the current server.
// The missing file may be a signature, which must exist: then isUnverified is true as well.
func (s *Servers) lacks(err error) bool {
	return slices.ContainsFunc(fetch.Failures(err), func(e *fetch.Error) bool {
		return isNotFound(e) && s.find(e.URL) == s.current()
	})
}

// lacksOrRefuses reports whether err says that a file does not exist on the current server, or
// that the server refuses to give it. For an optional file both mean the same: object stores
// answer 403 if a file does not exist, other servers answer with a web page.
func (s *Servers) lacksOrRefuses(err error) bool {
	return slices.ContainsFunc(fetch.Failures(err), func(e *fetch.Error) bool {
		refused := e.Kind == fetch.KindHTML || e.Kind == fetch.KindStatus && (e.Status == 401 || e.Status == 403)
		return (refused || isNotFound(e)) && s.find(e.URL) == s.current()
	})
}

// isNotFound reports whether a failure says that the file does not exist.
func isNotFound(e *fetch.Error) bool {
	return e.NotFound() || e.Kind == fetch.KindFile && errors.Is(e.Err, fs.ErrNotExist)
}

// URLs returns the base URLs of the image servers, without mirrors.
func (s *Servers) URLs() []string {
	var urls []string
	for _, each := range s.servers {
		urls = append(urls, each.url)
	}
	return urls
}
