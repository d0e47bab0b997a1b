package fetch

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	maxCertFile  = 8 << 20 // a bundle of all public roots has 0.25 MB
	maxCertFiles = 4096    // in one directory; Debian's has 300, links included
)

// certificates returns the roots that TLS servers are judged by and where they
// were found: the first of the stores that holds one, else the embedded bundle,
// and always what the extra files hold.
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
		if err := loadBundle(pool); err != nil {
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

// CheckCertificates returns an error for a file that Options.CACerts can't name.
func CheckCertificates(file string) error { return addCertificates(x509.NewCertPool(), file) }

func addCertificates(pool *x509.CertPool, file string) error {
	data, err := readCapped(file, maxCertFile)
	if err == nil && !pool.AppendCertsFromPEM(data) {
		err = fmt.Errorf("%q holds no certificate in PEM form", file)
	}
	return err
}

// load adds what the store holds and reports whether there was anything.
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
			// Of the hash links beside the files themselves (c_rehash) only
			// the files count.
			if entry.Type()&os.ModeSymlink != 0 && linksBeside(dir, entry.Name()) {
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

// linksBeside reports whether a link leads to another name in its directory.
func linksBeside(dir, name string) bool {
	target, err := os.Readlink(filepath.Join(dir, name))
	return err == nil && filepath.Base(target) == target
}

// loadBundle adds Mozilla's roots, with the constraints (dates after which a
// root is trusted no more for new certificates) that their PEM form can't
// carry. They are parsed here, at the first need: to import
// x509roots/fallback itself costs 1.7 ms and 1.2 MB at every start.
func loadBundle(pool *x509.CertPool) error {
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return fmt.Errorf("embedded root: %v", err)
		}
		if root.Constraint == nil {
			pool.AddCert(certificate)
		} else {
			pool.AddCertWithConstraint(certificate, root.Constraint)
		}
	}
	return nil
}

// readCapped returns a regular file whole.
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
