package fetch

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	maxCertFile  = 8 << 20 // all public CA certificates have 0.25 MB
	maxCertFiles = 4096    // in one directory; on Debian it has 300, with links
)

// certificates returns the CA certificates for TLS servers and a text that says
// where they were found. It uses the first store that has a certificate, or else the
// embedded bundle, and always adds the certificates of the extra files. An error is
// an *Error of KindFile.
func certificates(paths *Paths, extra []string) (*x509.CertPool, string, error) {
	pool, source := x509.NewCertPool(), ""
	for _, store := range paths.Stores {
		if store.load(pool) {
			source = store.Name
			break
		}
		if store.Must {
			if len(extra) == 0 {
				return nil, "", &Error{Kind: KindFile, Err: fmt.Errorf("%s: no certificate found", store.Name)}
			}
			source = store.Name + " (no certificate found)"
			break
		}
	}
	if source == "" {
		source = "the embedded roots"
		if err := loadEmbedded(pool, embeddedRoots); err != nil {
			return nil, "", &Error{Kind: KindFile, Err: err}
		}
	}
	for _, file := range extra {
		if err := addCertificates(pool, file); err != nil {
			return nil, "", &Error{Kind: KindFile, Err: err}
		}
		source += fmt.Sprintf(" and %q", file)
	}
	return pool, source, nil
}

// CheckCertificates returns an error if a file can't be used in TLSOptions.CACerts.
func CheckCertificates(file string) error { return addCertificates(x509.NewCertPool(), file) }

func addCertificates(pool *x509.CertPool, file string) error {
	data, err := readCapped(file, maxCertFile)
	if err == nil && !pool.AppendCertsFromPEM(data) {
		err = fmt.Errorf("%q has no certificate in PEM form", file)
	}
	return err
}

// load adds the certificates of the store to pool and reports whether there was one.
func (s *Store) load(pool *x509.CertPool) bool {
	found := false
	for _, file := range s.Files {
		data, err := readCapped(file, maxCertFile)
		if err != nil {
			continue
		}
		found = pool.AppendCertsFromPEM(data)
		break
	}
	seen := 0
	for _, dir := range s.Dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			// The links that c_rehash makes lead to files that are read anyway.
			if entry.Type()&os.ModeSymlink != 0 && linksWithin(dir, entry.Name()) {
				continue
			}
			if seen++; seen > maxCertFiles {
				break
			}
			data, err := readCapped(filepath.Join(dir, entry.Name()), maxCertFile)
			if err == nil && pool.AppendCertsFromPEM(data) {
				found = true
			}
		}
	}
	return found
}

// linksWithin reports whether a link leads to another name in its own directory.
func linksWithin(dir, name string) bool {
	target, err := os.Readlink(filepath.Join(dir, name))
	return err == nil && filepath.Base(target) == target
}

// readCapped returns the content of a regular file of at most max bytes.
func readCapped(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%q has more than %d bytes", name, max)
	}
	return data, err
}
