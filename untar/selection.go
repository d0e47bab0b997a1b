package untar

import (
	"bytes"
	"fmt"
)

// A selection is what Options.Exclude, Members and MaxEntries leave of an
// archive.
type selection struct {
	exclude    []pattern
	members    []member
	maxEntries int64
	path       []byte // of the entry at hand, clean
}

type member struct {
	path  []byte
	found bool
}

// A MissingError is a member that was asked for and is not in the archive.
type MissingError struct{ Name string }

func (e *MissingError) Error() string { return fmt.Sprintf("%q is not in the archive", e.Name) }

func newSelection(opt Options) (*selection, error) {
	s := &selection{maxEntries: opt.MaxEntries}
	if s.maxEntries == 0 {
		s.maxEntries = DefaultMaxEntries
	}
	for _, p := range opt.Exclude {
		if p != "" {
			s.exclude = append(s.exclude, newPattern(p))
		}
	}
	for _, m := range opt.Members {
		clean, err := cleanName(nil, []byte(m))
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m, err)
		}
		s.members = append(s.members, member{path: clean})
	}
	return s, nil
}

// selects cleans an entry's name, into s.path, and reports whether the entry is
// wanted. A bad name is an error also where the entry is not wanted.
func (s *selection) selects(name []byte) (bool, error) {
	path, err := cleanName(s.path[:0], name)
	if err != nil {
		return false, err
	}
	s.path = path
	for _, p := range s.exclude {
		if p.match(name) {
			return false, nil
		}
	}
	if len(s.members) == 0 {
		return true, nil
	}
	wanted := false
	for i := range s.members {
		m := &s.members[i]
		if len(m.path) == 0 || bytes.HasPrefix(path, m.path) && (len(path) == len(m.path) || path[len(m.path)] == '/') {
			m.found, wanted = true, true
		}
	}
	return wanted, nil
}

// missing returns an error where a member was not found.
func (s *selection) missing() error {
	for _, m := range s.members {
		if !m.found {
			return &MissingError{string(m.path)}
		}
	}
	return nil
}
