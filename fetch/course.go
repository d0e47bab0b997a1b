package fetch

import (
	"errors"
	"slices"
)

// A Course tells a caller that knows the digest of a file which URLs to ask until
// the bytes are right.
//
// The first attempt asks all URLs for one stream (Request.URLs). If the digest of
// the file is wrong, the caller drops all bytes and fetches the file again from the
// start. Which URLs it asks then depends on the attempt that failed:
//
//   - If the attempt used bytes of an earlier run, all URLs are asked again: most
//     likely the old bytes were wrong.
//   - If a single server sent all bytes, it is not asked again.
//   - If several servers sent the bytes, each is then asked alone, one after the
//     other. This also applies if servers disagree about the size of the file.
//
// If there is only one server and its file changes during the download, the file is
// fetched again up to three times.
type Course struct {
	sets       [][]string // sets of URLs still to be asked, the current set first
	firstWrong error      // the first error of a wrong digest; nil: none
	changes    int        // downloads started again because the file changed
}

// An Attempt says how an attempt to fetch the file ended.
type Attempt struct {
	Err     error    // not nil
	Wrong   bool     // Err is a wrong digest
	Resumed int64    // bytes of the file that came from an earlier run
	Sources []string // the URLs that sent bytes (Body.Sources)
}

const maxChanges = 3

// NewCourse returns the Course for a file and its URLs, in order of preference.
func NewCourse(urls []string) *Course { return &Course{sets: [][]string{urls}} }

// URLs returns the URLs for the next attempt.
func (c *Course) URLs() []string { return c.sets[0] }

// Next tells the Course how the attempt with URLs ended. If again is true, the
// caller must drop all bytes and fetch the file from the URLs that URLs returns now.
// Otherwise the fetch ends with the error last; unless last is a wrong digest, a
// later run may use the bytes.
func (c *Course) Next(a Attempt) (again bool, last error) {
	if a.Wrong && c.firstWrong == nil {
		c.firstWrong = a.Err
	}
	changed := slices.ContainsFunc(Failures(a.Err), func(e *Error) bool { return e.Kind == KindChanged })
	switch {
	case a.Wrong && a.Resumed > 0: // most likely the bytes of the earlier run were wrong
	case a.Wrong:
		c.sets = append(otherSets(c.sets[0], a.Sources), c.sets[1:]...)
	case changed && len(c.sets[0]) > 1:
		c.sets = append(eachAlone(c.sets[0]), c.sets[1:]...)
	case changed && c.changes < maxChanges:
		c.changes++
	default:
		c.sets = c.sets[1:]
	}
	switch {
	case len(c.sets) > 0:
		return true, nil
	case c.firstWrong != nil:
		return false, c.firstWrong
	}
	return false, a.Err
}

// otherSets returns the sets of URLs to ask after the bytes of sources were wrong.
func otherSets(urls, sources []string) [][]string {
	switch {
	case len(urls) == 1:
		return nil
	case len(sources) == 1:
		return [][]string{slices.DeleteFunc(slices.Clone(urls), func(u string) bool { return u == sources[0] })}
	}
	return eachAlone(urls)
}

// eachAlone returns a set for each URL.
func eachAlone(urls []string) (sets [][]string) {
	for _, u := range urls {
		sets = append(sets, []string{u})
	}
	return sets
}

// Failures returns all *Errors that err wraps. There are several if several URLs
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
