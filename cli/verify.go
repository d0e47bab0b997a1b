package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"lxc-pull/image/sha256"
	"lxc-pull/pgp"
	"lxc-pull/pull/source"
)

// A verifyCall is one use of "verify", which says who signed a file, as gpgv(1) does.
type verifyCall struct {
	keyrings     []string // files
	fingerprints []string
	list         bool
	policy       pgp.Policy
}

func (c *verifyCall) groups() []*group {
	return []*group{{"", []flag{
		{long: "keyring", value: "FILE", help: "trust the keys in FILE (default: those of pull.conf, else the key of " + source.DefaultServer + ")", into: &c.keyrings, again: true},
		{long: "fingerprint", value: "FPR", help: "trust only the key with this fingerprint", into: &c.fingerprints, again: true},
		{long: "keyid", value: "FPR", into: &c.fingerprints, exact: true},
		{long: "require", value: "N", help: "require signatures by N keys, not by one", into: c.setRequire},
		{long: "not-before", value: "TIME", help: "refuse signatures made before TIME", into: &c.policy.NotBefore},
		{long: "not-after", value: "TIME", help: "refuse signatures made after TIME", into: &c.policy.NotAfter},
		{long: "strict", help: "refuse keys that have expired since they signed", into: &c.policy.Strict},
		{long: "now", value: "TIME", help: "take TIME for the current time", into: &c.policy.Now},
		{long: "time", value: "TIME", into: &c.policy.Now, exact: true},
		{long: "list-keys", help: "print the trusted keys and whether they can sign", into: &c.list},
		{short: 'q', long: "quiet", help: "print errors only"},
		{short: 'h', long: "help", help: "print a short help", more: true},
	}}}
}

// setRequire parses --require.
func (c *verifyCall) setRequire(value string) (err error) {
	if c.policy.Require, err = strconv.Atoi(value); err != nil || c.policy.Require < 1 {
		return errors.New("not a number above 0")
	}
	return nil
}

func (c *verifyCall) run(ctx context.Context, ui *ui, operands []string) error {
	return untilDone(ctx, func() error { return c.verify(ui, operands) })
}

// verify verifies the files that the operands name, or lists the trusted keys.
func (c *verifyCall) verify(ui *ui, operands []string) error {
	switch {
	case c.list && len(operands) > 0:
		return usageErrorf("--list-keys takes no files")
	case c.list:
	case len(operands) == 0:
		return usageErrorf("verify needs a signature and a file, or a cleartext signed message")
	case operands[0] == "-" && len(operands) > 1:
		return usageErrorf("the signature can't come from standard input")
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

// signers are the keys whose signatures count, and the times at which they count.
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
			return &source.Error{Kind: source.Unverified, Err: fmt.Errorf("%q: the list %q does not have it", name, listName)}
		}
		got, err := sumFile(name)
		if err != nil {
			return err
		}
		if got != want {
			return &source.Error{Kind: source.Unverified, Err: fmt.Errorf("%q: its digest differs from that in the list %q", name, listName)}
		}
		if !ui.quiet {
			if _, err := fmt.Fprintf(ui.out, "good digest of %q\n", name); err != nil {
				return err
			}
		}
	}
	return nil
}

// sumFile returns the SHA-256 digest of a file.
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

// verifyStream reads r to its end and returns the signatures on it.
func verifyStream(v *pgp.Verifier, r io.Reader) (*pgp.Result, error) {
	// With a buffer of 256 KiB system calls cost almost nothing compared with the hash. The
	// structs hide the ReadFrom and WriteTo methods of *os.File, which allocate.
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
			ui.warn("weak-key", "%s: %s", s.Fingerprint, s.Warning)
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

// unverified adds the file's name to an error of package pgp. The error for a file that is
// not a signature has the exit status of a bad signature.
func unverified(name string, err error) error {
	var format *pgp.FormatError
	err = fmt.Errorf("%q: %w", name, err)
	if errors.As(err, &format) {
		return &source.Error{Kind: source.Unverified, Err: err}
	}
	return err
}
