package untar

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strings"
)

// A selection applies Options.Filter and Limits.Entries. The lists of a filter may have a
// line for every file of an archive, so patterns without wildcards and members are looked up
// by hash, once for each leading part of a name. Only patterns with wildcards are tried one
// after another.
type selection struct {
	seed       maphash.Seed
	literal    map[uint64]bool     // hashes of exclude patterns without wildcards; true if it begins with "./"
	bare       map[uint64]struct{} // hashes of those patterns without their "./"
	exclude    []pattern           // patterns with wildcards
	members    []member
	byPath     map[uint64]int // members by the hashes of their paths
	maxEntries int64
	steps      int64  // that matching of wildcards may still take
	path       []byte // clean path of the current entry
}

// Limits of matching names with wildcards. A list of a few hundred patterns needs a few
// thousand steps per entry. A million steps take some milliseconds.
const (
	maxWildcards = 64 << 10 // bytes of all patterns with wildcards
	maxGlobName  = 4096     // bytes of a name that may match: PATH_MAX
	entrySteps   = 64 << 10 // for each entry that is read
	firstSteps   = 1 << 28  // in addition, for the whole archive: a second or two
)

var (
	errWildcards error = textError("more than 64 KiB of patterns with wildcards")
	errSteps     error = textError("the patterns take too long: they have too many wildcards for names of this length")
)

// A member is a requested entry.
type member struct {
	path  []byte
	found bool
}

// A MissingError means that the archive does not contain a requested member.
type MissingError struct{ Name string }

func (e *MissingError) Error() string { return fmt.Sprintf("%q is not in the archive", e.Name) }

// newSelection prepares the lists of a filter.
func newSelection(opt *Options) (*selection, error) {
	s := &selection{
		maxEntries: opt.Limits.Entries, seed: maphash.MakeSeed(), steps: firstSteps,
		literal: map[uint64]bool{}, bare: map[uint64]struct{}{}, byPath: map[uint64]int{},
	}
	if s.maxEntries == 0 {
		s.maxEntries = DefaultMaxEntries
	}
	wildcards := 0
	for _, text := range opt.Filter.Exclude {
		switch p := newPattern(text); {
		case text == "":
		case strings.ContainsAny(text, `*?[\`):
			s.exclude = append(s.exclude, p)
			if wildcards += len(text); wildcards > maxWildcards {
				return nil, errWildcards
			}
		default:
			s.literal[maphash.Bytes(s.seed, []byte(text))] = p.bare != ""
			if p.bare != "" {
				s.bare[maphash.Bytes(s.seed, []byte(p.bare))] = struct{}{}
			}
		}
	}
	for _, m := range opt.Filter.Members {
		clean, err := cleanName(nil, []byte(m))
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m, err)
		}
		h := maphash.Bytes(s.seed, clean)
		if _, ok := s.byPath[h]; !ok {
			s.byPath[h] = len(s.members)
			s.members = append(s.members, member{path: clean})
		}
	}
	return s, nil
}

// leading calls fn with the hash of each part of name before a "/", and of the whole name.
func (s *selection) leading(name []byte, fn func(hash uint64)) {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for {
		part, rest, more := bytes.Cut(name, []byte("/"))
		h.Write(part)
		fn(h.Sum64())
		if !more {
			return
		}
		h.WriteByte('/')
		name = rest
	}
}

// isListed reports whether a pattern without wildcards matches, with the same result as
// pattern.match.
func (s *selection) isListed(name []byte) bool {
	if len(s.literal) == 0 {
		return false
	}
	name = bytes.TrimRight(name, "/")
	found := false
	s.leading(name, func(h uint64) {
		_, ok := s.literal[h]
		found = found || ok
	})
	if found || string(name) == "." {
		return found
	}
	bare, dotted := bytes.CutPrefix(name, []byte("./"))
	if !dotted && len(s.bare) == 0 {
		return false
	}
	s.leading(bare, func(h uint64) {
		_, ok := s.bare[h]
		isDotted, isLiteral := s.literal[h]
		found = found || ok || dotted && isLiteral && !isDotted
	})
	return found
}

// selects sets s.path to the clean form of an entry's name, and reports whether the entry is
// selected. A bad name is an error even if the entry is not selected.
func (s *selection) selects(name []byte) (bool, error) {
	path, err := cleanName(s.path[:0], name)
	if err != nil {
		return false, err
	}
	s.path = path
	if s.isListed(name) {
		return false, nil
	}
	s.steps += entrySteps
	for _, p := range s.exclude {
		if len(name) > maxGlobName {
			break
		}
		if p.match(name, &s.steps) {
			return false, nil
		}
		if s.steps < 0 {
			return false, errSteps
		}
	}
	if len(s.members) == 0 {
		return true, nil
	}
	wanted := false
	find := func(h uint64) {
		if i, ok := s.byPath[h]; ok {
			s.members[i].found, wanted = true, true
		}
	}
	find(maphash.Bytes(s.seed, nil)) // the member "." selects everything
	s.leading(path, find)
	return wanted, nil
}

// missing returns an error if a member was not found.
func (s *selection) missing() error {
	for _, m := range s.members {
		if !m.found {
			return &MissingError{string(m.path)}
		}
	}
	return nil
}
