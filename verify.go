package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lxc-pull/pgp"
)

const verifyUsage = `usage: lxc-pull verify [OPTION]... SIGNATURE FILE
       lxc-pull verify [OPTION]... MESSAGE    signed text, which is printed
       lxc-pull verify [OPTION]... SIGNATURE LIST FILE...
                       LIST, a signed SHA256SUMS, has the digest of each FILE
       lxc-pull verify --list-keys [OPTION]...
                       which keys are trusted, and which of them can sign

  --keyring FILE      trust the keys in FILE (OpenPGP, signify, minisign); again
                      for more. Default: the key of images.linuxcontainers.org
  --fingerprint FPR   of the trusted keys, this one only; again for more
  --require N         signatures by N of the keys are needed, not by one
  --not-before TIME, --not-after TIME    when it must have been made
  --strict            refuse what is only worth a warning: a key expired since
  --now TIME          verify as of that time

FILE or MESSAGE may be "-", standard input. TIME is 2026-08-29, RFC 3339, or
seconds since 1970. Example:

  lxc-pull verify --keyring keys.asc SHA256SUMS.asc SHA256SUMS rootfs.tar.xz
`

// verifyCommand says who signed a file: gpgv's place. It makes nothing.
func verifyCommand(ctx context.Context, ui *ui, args []string) error {
	return untilDone(ctx, func() error { return verify(ui, args) })
}

func verify(ui *ui, args []string) error {
	flags, operands, err := getopt(args, []option{
		{long: "keyring", arg: true},
		{long: "fingerprint", arg: true},
		{long: "keyid", arg: true, exact: true},
		{long: "require", arg: true},
		{long: "now", arg: true},
		{long: "time", arg: true, exact: true},
		{long: "not-before", arg: true},
		{long: "not-after", arg: true},
		{long: "strict"},
		{long: "list-keys"},
		{short: 'q', long: "quiet"},
		{short: 'h', long: "help"},
	})
	if err != nil {
		return err
	}
	var files, fingerprints []string
	var policy pgp.Policy
	list := false
	for _, f := range flags {
		var err error
		switch f.name {
		case "keyring":
			files = append(files, f.value)
		case "fingerprint", "keyid":
			fingerprints = append(fingerprints, f.value)
		case "require":
			if policy.Require, err = strconv.Atoi(f.value); err != nil || policy.Require < 1 {
				err = errors.New("not a number from 1 on")
			}
		case "now", "time":
			policy.Now, err = parseTime(f.value)
		case "not-before":
			policy.NotBefore, err = parseTime(f.value)
		case "not-after":
			policy.NotAfter, err = parseTime(f.value)
		case "strict":
			policy.Strict = true
		case "list-keys":
			list = true
		case "quiet":
			ui.quiet = true
		case "help":
			_, err := io.WriteString(ui.out, verifyUsage)
			return err
		}
		if err != nil {
			return usageErrorf("--%s %q: %v", f.name, f.value, err)
		}
	}
	switch {
	case list && len(operands) > 0:
		return usageErrorf("--list-keys verifies nothing")
	case list:
	case len(operands) == 0:
		return usageErrorf("verify takes a signature and a file, or a cleartext-signed message")
	case operands[0] == "-" && len(operands) > 1:
		return usageErrorf("the signature is read before the file, so it must be a file itself")
	}
	clock := newClock(policy.Now)
	clock.warn(ui)
	judged := clock.policy()
	policy.Now, policy.Latest = judged.Now, judged.Latest
	keys, err := readTrusted(files, fingerprints)
	if err != nil {
		return err
	}
	if list {
		return listKeys(ui, keys, policy.Now)
	}
	if len(operands) == 1 {
		return verifyMessage(ui, keys, operands[0], policy)
	}
	if len(operands) > 2 {
		return verifyListed(ui, keys, operands[0], operands[1], operands[2:], policy)
	}
	result, err := verifyFile(keys, operands[0], operands[1], policy)
	if err != nil {
		return err
	}
	return reportSignatures(ui, ui.out, result)
}

// verifyListed verifies a list of digests, and the files by it. A file is
// looked up by its name as it is given, else by the last part of it.
func verifyListed(ui *ui, keys *pgp.Keyring, sigName, listName string, files []string, policy pgp.Policy) error {
	sig, err := readWhole(sigName, pgp.MaxSignature)
	if err != nil {
		return err
	}
	// The list that is verified is the one that is read: from memory.
	list, err := readWhole(listName, pgp.MaxSums)
	if err != nil {
		return err
	}
	result, err := pgp.Verify(keys, list, sig, policy)
	if err != nil {
		return unverified(listName, err)
	}
	sums, err := pgp.ParseSums(list)
	if err != nil {
		return unverified(listName, err)
	}
	if err := reportSignatures(ui, ui.out, result); err != nil {
		return err
	}
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

// listKeys prints each trusted key: its fingerprint, a tab, and what keeps it
// from signing, if anything does.
func listKeys(ui *ui, keys *pgp.Keyring, t time.Time) error {
	for _, k := range keys.Keys(t) {
		name, state := k.Fingerprint, "can sign"
		if k.KeyFingerprint != name {
			name += " subkey " + k.KeyFingerprint
		}
		if k.Problem != "" {
			state = k.Problem
		}
		if _, err := fmt.Fprintf(ui.out, "%s\t%s\n", name, state); err != nil {
			return err
		}
	}
	return nil
}

// readTrusted returns the keys of the files, or the built-in one where there
// are none, reduced to the fingerprints, if any.
func readTrusted(files, fingerprints []string) (keys *pgp.Keyring, err error) {
	keys = pgp.LinuxContainers()
	for i, name := range files {
		data, err := readWhole(name, pgp.MaxKeyring)
		if err != nil {
			return nil, err
		}
		ring, err := pgp.ReadKeyring(data)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if i == 0 {
			keys = ring
		} else {
			keys = pgp.Merge(keys, ring)
		}
	}
	if len(fingerprints) == 0 {
		return keys, nil
	}
	if keys, err = keys.Select(fingerprints); err != nil {
		return nil, usageErrorf("--fingerprint: %v", err)
	}
	return keys, nil
}

// verifyFile verifies a file as it is read, so its size doesn't matter.
func verifyFile(keys *pgp.Keyring, sigName, name string, policy pgp.Policy) (*pgp.Result, error) {
	sig, err := readWhole(sigName, pgp.MaxSignature)
	if err != nil {
		return nil, err
	}
	v, err := pgp.NewVerifier(keys, sig, policy)
	if err != nil {
		return nil, unverified(sigName, err)
	}
	f, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	result, err := verifyStream(v, f)
	if err != nil {
		return nil, unverified(name, err)
	}
	return result, nil
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

// verifyMessage prints the text of a cleartext-signed message: that text, and
// no other, is what was signed.
func verifyMessage(ui *ui, keys *pgp.Keyring, name string, policy pgp.Policy) error {
	message, err := readWhole(name, pgp.MaxCleartext)
	if err != nil {
		return err
	}
	text, result, err := pgp.VerifyCleartext(keys, message, policy)
	if err != nil {
		return unverified(name, err)
	}
	if err := reportSignatures(ui, ui.err, result); err != nil {
		return err
	}
	_, err = ui.out.Write(text)
	return err
}

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

// openInput opens a file, or standard input for "-".
func openInput(name string) (*os.File, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	return os.Open(name)
}

// readWhole reads a file or, for "-", standard input: one byte more than max
// at most, so that who parses it sees that it is too large.
func readWhole(name string, max int64) ([]byte, error) {
	f, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max+1))
}

// The rest is sopv, the verifying part of the Stateless OpenPGP Command Line
// Interface (draft-dkg-openpgp-stateless-cli), so that test suites and Debian's
// tools can use this verifier as any other.

// Exit statuses of SOP.
const (
	sopFailure           = 1
	sopNoSignature       = 3
	sopMissingArg        = 19
	sopUnsupportedOption = 37
	sopBadData           = 41
	sopOutputExists      = 59
	sopMissingInput      = 61
	sopUnknownSubcommand = 69
	sopUnknownPrefix     = 71
	sopAmbiguousInput    = 73
	sopIncompatible      = 83
)

func sopErrorf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

const sopvUsage = `Usage: sopv verify [--not-before=T] [--not-after=T] SIGNATURE CERTS... < DATA
       sopv inline-verify [--not-before=T] [--not-after=T]
                          [--verifications-out=FILE] CERTS... < MESSAGE
       sopv version [--backend|--extended|--sop-spec|--sopv]

Verifies as the Stateless OpenPGP command line has it (draft-dkg-openpgp-
stateless-cli), with its exit statuses.
`

// sopvCommand is "sopv SUBCOMMAND ...".
func sopvCommand(ctx context.Context, ui *ui, args []string) error {
	if len(args) == 0 {
		return sopErrorf(sopUnknownSubcommand, "no subcommand: verify, inline-verify or version")
	}
	switch sub, args := args[0], args[1:]; sub {
	case "--help", "-h", "help":
		_, err := io.WriteString(ui.out, sopvUsage)
		return err
	case "version":
		return sopVersion(ui, args)
	case "verify":
		return untilDone(ctx, func() error { return sopVerify(ui, args) })
	case "inline-verify":
		return sopInlineVerify(ctx, ui, args)
	default:
		return sopErrorf(sopUnknownSubcommand, "unsupported subcommand %q", sub)
	}
}

// sopOptions splits SOP's command line. takes has the options and whether they
// take a value.
func sopOptions(args []string, takes map[string]bool) (values map[string]string, operands []string, err error) {
	values = map[string]string{}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			return values, append(operands, args...), nil
		}
		if !strings.HasPrefix(word, "-") {
			operands = append(operands, word)
			continue
		}
		name, value, given := strings.Cut(word, "=")
		arg, known := takes[name]
		switch {
		case !known && name != "--debug", given && !arg:
			return nil, nil, sopErrorf(sopUnsupportedOption, "unsupported option %q", word)
		case arg && !given && len(args) == 0:
			return nil, nil, sopErrorf(sopMissingArg, "%s needs a value", name)
		case arg && !given:
			value, args = args[0], args[1:]
		}
		values[name] = value
	}
	return values, operands, nil
}

func sopVersion(ui *ui, args []string) error {
	values, operands, err := sopOptions(args, map[string]bool{"--backend": false, "--extended": false, "--sop-spec": false, "--sopv": false})
	if err != nil {
		return err
	}
	delete(values, "--debug")
	if len(operands) > 0 {
		return sopErrorf(sopFailure, "version takes no arguments")
	}
	if len(values) > 1 {
		return sopErrorf(sopIncompatible, "version takes one option")
	}
	line := "lxc-pull " + version()
	for name := range values {
		switch name {
		case "--sopv":
			line = "1.0"
		case "--sop-spec":
			// The tilde: a part of it.
			line = "~draft-dkg-openpgp-stateless-cli-11"
		case "--extended":
			line += "\nverifies only: OpenPGP (RFC 9580) detached and cleartext signatures, signify, minisign"
		}
	}
	_, err = fmt.Fprintln(ui.out, line)
	return err
}

// sopPolicy reads --not-before and --not-after.
func sopPolicy(values map[string]string) (p pgp.Policy, err error) {
	p = newClock(time.Time{}).policy()
	for _, bound := range []struct {
		name string
		time *time.Time
	}{{"--not-before", &p.NotBefore}, {"--not-after", &p.NotAfter}} {
		switch value, given := values[bound.name]; {
		case !given, value == "-":
		case value == "now":
			*bound.time = p.Now
		default:
			t, err := time.Parse(time.RFC3339, value)
			if err != nil {
				t, err = time.Parse("20060102T150405Z0700", value)
			}
			if err != nil {
				return p, sopErrorf(sopUnsupportedOption, "%s %q is not a date such as 2026-08-29T05:24:00Z", bound.name, value)
			}
			*bound.time = t
		}
	}
	return p, nil
}

// sopVerify is "verify SIGNATURES CERTS... < DATA > VERIFICATIONS".
func sopVerify(ui *ui, args []string) error {
	values, operands, err := sopOptions(args, map[string]bool{"--not-before": true, "--not-after": true})
	if err != nil {
		return err
	}
	if len(operands) < 2 {
		return sopErrorf(sopMissingArg, "verify takes SIGNATURES CERTS...")
	}
	policy, err := sopPolicy(values)
	if err != nil {
		return err
	}
	sig, err := sopRead(operands[0], pgp.MaxSignature)
	if err != nil {
		return err
	}
	keys, err := sopKeys(operands[1:])
	if err != nil {
		return err
	}
	v, err := pgp.NewVerifier(keys, sig, policy)
	if err != nil {
		return sopVerdict(err)
	}
	result, err := verifyStream(v, os.Stdin)
	if err != nil {
		return sopVerdict(err)
	}
	return sopWriteVerifications(ui.out, result)
}

// sopInlineVerify is "inline-verify CERTS... < MESSAGE > TEXT".
func sopInlineVerify(ctx context.Context, ui *ui, args []string) (err error) {
	values, operands, err := sopOptions(args, map[string]bool{"--not-before": true, "--not-after": true, "--verifications-out": true})
	if err != nil {
		return err
	}
	if len(operands) < 1 {
		return sopErrorf(sopMissingArg, "inline-verify takes CERTS...")
	}
	policy, err := sopPolicy(values)
	if err != nil {
		return err
	}
	keys, err := getUntilDone(ctx, func() (*pgp.Keyring, error) { return sopKeys(operands) })
	if err != nil {
		return err
	}
	var verifications io.WriteCloser
	if name, ok := values["--verifications-out"]; ok {
		if verifications, err = sopCreate(name); err != nil {
			return err
		}
		defer func() {
			verifications.Close()
			if err != nil && !strings.HasPrefix(name, "@") {
				os.Remove(name) // made by this run
			}
		}()
	}
	message, err := io.ReadAll(io.LimitReader(newCancelReader(ctx, os.Stdin), pgp.MaxCleartext+1))
	if err != nil {
		return err
	}
	text, result, err := pgp.VerifyCleartext(keys, message, policy)
	if err != nil {
		return sopVerdict(err)
	}
	if verifications != nil {
		if err := sopWriteVerifications(verifications, result); err != nil {
			return err
		}
		if err := verifications.Close(); err != nil {
			return err
		}
	}
	return untilDone(ctx, func() error {
		_, err := ui.out.Write(text)
		return err
	})
}

// sopVerdict gives an error of a verification its exit status.
func sopVerdict(err error) error {
	var format *pgp.FormatError
	var untrusted *pgp.UntrustedError
	var bad *pgp.BadSignatureError
	switch {
	case errors.As(err, &format):
		return &exitError{sopBadData, err}
	case errors.As(err, &untrusted), errors.As(err, &bad):
		return &exitError{sopNoSignature, err}
	}
	return &exitError{sopFailure, err}
}

// sopWriteVerifications writes a line for each good signature: when it was
// made, by which key, of which certificate, and how. What has no time gets
// 1970.
func sopWriteVerifications(w io.Writer, result *pgp.Result) error {
	for _, s := range result.Signatures {
		mode, made := "binary", s.Created
		if s.Text {
			mode = "text"
		}
		if made.IsZero() {
			made = time.Unix(0, 0).UTC()
		}
		if _, err := fmt.Fprintf(w, "%s %s %s mode:%s\n", made.Format("2006-01-02T15:04:05Z"), s.KeyFingerprint, s.Fingerprint, mode); err != nil {
			return err
		}
	}
	return nil
}

func sopKeys(names []string) (*pgp.Keyring, error) {
	var rings []*pgp.Keyring
	for _, name := range names {
		data, err := sopRead(name, pgp.MaxKeyring)
		if err != nil {
			return nil, err
		}
		ring, err := pgp.ReadKeyring(data)
		if err != nil {
			return nil, sopErrorf(sopBadData, "%q: %w", name, err)
		}
		rings = append(rings, ring)
	}
	return pgp.Merge(rings...), nil
}

// sopSpecial splits a name such as "@FD:3", SOP's way to pass what is no file.
func sopSpecial(name string) (kind, value string, special bool, err error) {
	if !strings.HasPrefix(name, "@") {
		return "", "", false, nil
	}
	if _, err := os.Lstat(name); err == nil {
		return "", "", false, sopErrorf(sopAmbiguousInput, "%q may be a file: write ./ before it", name)
	}
	kind, value, _ = strings.Cut(name, ":")
	return kind, value, true, nil
}

// sopDescriptor returns the descriptor of "@FD:N".
func sopDescriptor(name, value string) (*os.File, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return nil, sopErrorf(sopMissingInput, "%q is not a descriptor", name)
	}
	f := os.NewFile(uintptr(n), name)
	if f == nil {
		return nil, sopErrorf(sopMissingInput, "%q is not open", name)
	}
	return f, nil
}

// sopRead reads a file, "@ENV:NAME" or "@FD:N": one byte more than max at most.
func sopRead(name string, max int64) ([]byte, error) {
	kind, value, special, err := sopSpecial(name)
	if err != nil {
		return nil, err
	}
	var f *os.File
	switch {
	case !special:
		f, err = os.Open(name)
		if err != nil {
			return nil, &exitError{sopMissingInput, err}
		}
	case kind == "@ENV":
		text, ok := os.LookupEnv(value)
		if !ok {
			return nil, sopErrorf(sopMissingInput, "%q: no such variable", name)
		}
		return []byte(text), nil
	case kind == "@FD":
		if f, err = sopDescriptor(name, value); err != nil {
			return nil, err
		}
	default:
		return nil, sopErrorf(sopUnknownPrefix, "unsupported input %q", name)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, &exitError{sopMissingInput, err}
	}
	return data, nil
}

// sopCreate opens a new file, or "@FD:N", for writing.
func sopCreate(name string) (*os.File, error) {
	kind, value, special, err := sopSpecial(name)
	switch {
	case err != nil:
		return nil, err
	case special && kind == "@FD":
		return sopDescriptor(name, value)
	case special:
		return nil, sopErrorf(sopUnknownPrefix, "unsupported output %q", name)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return nil, &exitError{sopOutputExists, err}
	}
	return f, err
}
