package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"lxc-pull/pgp"
	"lxc-pull/pull/source"
)

const verifyUsage = `Usage: lxc-pull verify [OPTION]... SIGNATURE FILE
       lxc-pull verify [OPTION]... MESSAGE    signed text, which is printed
       lxc-pull verify [OPTION]... SIGNATURE LIST FILE...
                       LIST, a signed SHA256SUMS, has the digest of each FILE
       lxc-pull verify --list-keys [OPTION]...
                       which keys are trusted, and which of them can sign
`

const verifyExample = `FILE or MESSAGE may be "-", standard input. TIME is 2026-08-29, RFC 3339, or
seconds since 1970. Example:

  lxc-pull verify --keyring keys.asc SHA256SUMS.asc SHA256SUMS rootfs.tar.xz
`

// A verifyCall says who signed a file: gpgv's place. It makes nothing.
type verifyCall struct {
	keyrings     []string // files
	fingerprints []string
	list         bool
	policy       pgp.Policy
}

func (c *verifyCall) groups() []group {
	return []group{{"", []flag{
		{long: "keyring", value: "FILE", help: "trust the keys in FILE, not that of " + source.DefaultServer, into: &c.keyrings, again: true},
		{long: "fingerprint", value: "FPR", help: "of the trusted keys, this one only", into: &c.fingerprints, again: true},
		{long: "keyid", value: "FPR", into: &c.fingerprints, exact: true},
		{long: "require", value: "N", help: "signatures by N of the keys are needed, not by one", into: c.setRequire},
		{long: "not-before", value: "TIME", help: "when it must have been made: not before TIME,", into: &c.policy.NotBefore},
		{long: "not-after", value: "TIME", help: "nor after it", into: &c.policy.NotAfter},
		{long: "strict", help: "refuse what is a warning else: an expired key", into: &c.policy.Strict},
		{long: "now", value: "TIME", help: "verify as of that time", into: &c.policy.Now},
		{long: "time", value: "TIME", into: &c.policy.Now, exact: true},
		{long: "list-keys", help: "which keys are trusted, and which of them can sign", into: &c.list},
		{short: 'q', long: "quiet", help: "no warnings, no signers"},
		{short: 'h', long: "help", help: "this text", more: true},
	}}}
}

func (c *verifyCall) setRequire(value string) (err error) {
	if c.policy.Require, err = strconv.Atoi(value); err != nil || c.policy.Require < 1 {
		return errors.New("not a number from 1 on")
	}
	return nil
}

func (c *verifyCall) run(ctx context.Context, ui *ui, operands []string) error {
	return untilDone(ctx, func() error { return c.verify(ui, operands) })
}

func (c *verifyCall) verify(ui *ui, operands []string) error {
	switch {
	case c.list && len(operands) > 0:
		return usageErrorf("--list-keys verifies nothing")
	case c.list:
	case len(operands) == 0:
		return usageErrorf("verify takes a signature and a file, or a cleartext-signed message")
	case operands[0] == "-" && len(operands) > 1:
		return usageErrorf("the signature is read before the file, so it must be a file itself")
	}
	clock := source.NewClock(c.policy.Now, buildDate())
	ui.setClock(clock)
	policy, judged := c.policy, clock.Policy()
	policy.Now, policy.Latest = judged.Now, judged.Latest
	keys, err := readTrusted(c.keyrings, c.fingerprints)
	if err != nil {
		return err
	}
	by := signers{ui, keys, policy}
	switch {
	case c.list:
		return listKeys(ui, keys, policy.Now)
	case len(operands) == 1:
		return by.printMessage(operands[0])
	case len(operands) == 2:
		return by.verifyFile(operands[0], operands[1])
	}
	sums, err := by.readSums(operands[0], operands[1])
	if err != nil {
		return err
	}
	return compareFiles(ui, sums, operands[1], operands[2:])
}

// signers are the keys that may have signed a file, and when they may have.
type signers struct {
	ui     *ui
	keys   *pgp.Keyring
	policy pgp.Policy
}

// readSums verifies the signature of a list of SHA-256 digests and returns the digests
// by file name. It reads the list once, so the digests are those that were signed.
func (by signers) readSums(sigName, listName string) (map[string][sha256.Size]byte, error) {
	sig, err := readWhole(sigName, pgp.MaxSignature)
	if err != nil {
		return nil, err
	}
	list, err := readWhole(listName, pgp.MaxSums)
	if err != nil {
		return nil, err
	}
	result, err := pgp.Verify(by.keys, list, sig, by.policy)
	if err != nil {
		return nil, unverified(listName, err)
	}
	sums, err := pgp.ParseSums(list)
	if err != nil {
		return nil, unverified(listName, err)
	}
	return sums, reportSignatures(by.ui, by.ui.out, result)
}

// compareFiles compares files with the digests that the list listName has for them. It
// looks for a file's name as it is given, else for the last part of the name.
func compareFiles(ui *ui, sums map[string][sha256.Size]byte, listName string, files []string) error {
	for _, name := range files {
		want, ok := sums[name]
		if !ok {
			want, ok = sums[filepath.Base(name)]
		}
		if !ok {
			return &exitError{exitUnverified, fmt.Errorf("%q: not in the list %q", name, listName)}
		}
		got, err := sumFile(name)
		if err != nil {
			return err
		}
		if got != want {
			return &exitError{exitUnverified, fmt.Errorf("%q: its digest is not the one in the list %q", name, listName)}
		}
		if !ui.quiet {
			if _, err := fmt.Fprintf(ui.out, "good digest of %q\n", name); err != nil {
				return err
			}
		}
	}
	return nil
}

func sumFile(name string) (sum [sha256.Size]byte, err error) {
	f, err := openInput(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// verifyFile verifies a file of any size and says who signed it.
func (by signers) verifyFile(sigName, name string) error {
	sig, err := readWhole(sigName, pgp.MaxSignature)
	if err != nil {
		return err
	}
	v, err := pgp.NewVerifier(by.keys, sig, by.policy)
	if err != nil {
		return unverified(sigName, err)
	}
	f, err := openInput(name)
	if err != nil {
		return err
	}
	defer f.Close()
	result, err := verifyStream(v, f)
	if err != nil {
		return unverified(name, err)
	}
	return reportSignatures(by.ui, by.ui.out, result)
}

// verifyStream reads r to its end and returns who signed it.
func verifyStream(v *pgp.Verifier, r io.Reader) (*pgp.Result, error) {
	// 256 KiB: large enough that system calls cost nothing beside the hash. The
	// structs hide *os.File's own ways of copying, which allocate.
	_, err := io.CopyBuffer(struct{ io.Writer }{v}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err != nil {
		return nil, err
	}
	return v.Finish()
}

// printMessage verifies a cleartext signed message and prints the text that was signed
// (RFC 9580, section 7).
func (by signers) printMessage(name string) error {
	message, err := readWhole(name, pgp.MaxCleartext)
	if err != nil {
		return err
	}
	text, result, err := pgp.VerifyCleartext(by.keys, message, by.policy)
	if err != nil {
		return unverified(name, err)
	}
	if err := reportSignatures(by.ui, by.ui.err, result); err != nil {
		return err
	}
	_, err = by.ui.out.Write(text)
	return err
}

// reportSignatures writes a line to w for each signature, unless -q is given.
func reportSignatures(ui *ui, w io.Writer, result *pgp.Result) error {
	for _, s := range result.Signatures {
		line := "good signature by " + s.Fingerprint
		if s.KeyFingerprint != s.Fingerprint {
			line += ", subkey " + s.KeyFingerprint
		}
		if !s.Created.IsZero() {
			line += ", made " + s.Created.Format(time.RFC3339)
		}
		if s.Warning != "" {
			ui.warnf("%s: %s", s.Fingerprint, s.Warning)
		}
		if ui.quiet {
			continue
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// unverified names the file that an error of package pgp is about. What is no
// signature is as good as none here.
func unverified(name string, err error) error {
	var format *pgp.FormatError
	err = fmt.Errorf("%q: %w", name, err)
	if errors.As(err, &format) {
		return &exitError{exitUnverified, err}
	}
	return err
}
