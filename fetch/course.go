package fetch

import (
	"errors"
	"slices"
)

// A Course is the order in which a caller who knows a file's digest asks its
// URLs until the bytes are right. First all of them serve one stream together
// (Request.URLs). When the whole has a wrong digest it is fetched anew: bytes
// that an earlier run left are not used again, a server that gave wrong bytes
// alone is not asked again, and of several whose bytes were mixed each is asked
// alone, one after the other. Likewise where servers disagree on the file's
// length; a single server's file that changes under the download is begun anew,
// a few times.
type Course struct {
	ways    [][]string // sets of URLs still to be asked, the one in use first
	wrong   error      // the first wrong digest
	changes int
}

// maxChanges is how often a file that changes under the download is begun anew.
const maxChanges = 3

// NewCourse returns the Course of a file under these URLs, in order of
// preference.
func NewCourse(urls []string) *Course { return &Course{ways: [][]string{urls}} }

// URLs returns which URLs to ask now.
func (c *Course) URLs() []string { return c.ways[0] }

// Next is told what the attempt with URLs ended with: err, which is a wrong
// digest if wrong says so, of bytes that came from sources (Body.Sources) after
// had bytes of an earlier run. When again is true the caller drops all bytes and
// begins anew with what URLs returns now. Otherwise final is the error to end
// with; bytes that are here may stay for another run unless it is a wrong digest.
func (c *Course) Next(err error, wrong bool, had int64, sources []string) (again bool, final error) {
	if wrong && c.wrong == nil {
		c.wrong = err
	}
	changed := slices.ContainsFunc(Failures(err), func(e *Error) bool { return e.Kind == KindChanged })
	switch {
	case wrong && had > 0: // those were wrong, most likely
	case wrong:
		c.ways = append(otherWays(c.ways[0], sources), c.ways[1:]...)
	case changed && len(c.ways[0]) > 1:
		c.ways = append(alone(c.ways[0]), c.ways[1:]...)
	case changed && c.changes < maxChanges:
		c.changes++
	default:
		c.ways = c.ways[1:]
	}
	switch {
	case len(c.ways) > 0:
		return true, nil
	case c.wrong != nil:
		return false, c.wrong
	}
	return false, err
}

// otherWays returns which URLs to ask, in which company, after those of sources
// gave bytes that together are wrong.
func otherWays(urls, sources []string) [][]string {
	switch {
	case len(urls) == 1:
		return nil
	case len(sources) == 1:
		return [][]string{slices.DeleteFunc(slices.Clone(urls), func(u string) bool { return u == sources[0] })}
	}
	return alone(urls)
}

// alone returns ways of one URL each.
func alone(urls []string) (ways [][]string) {
	for _, u := range urls {
		ways = append(ways, []string{u})
	}
	return ways
}

// Failures returns the Errors that err is made of: several where several URLs
// failed.
func Failures(err error) []*Error {
	var list []*Error
	switch e := err.(type) {
	case nil:
	case *Error:
		list = append(list, e)
	case interface{ Unwrap() []error }:
		for _, each := range e.Unwrap() {
			list = append(list, Failures(each)...)
		}
	default:
		list = Failures(errors.Unwrap(err))
	}
	return list
}
