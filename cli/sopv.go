package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"lxc-pull/pgp"
	"lxc-pull/pull/source"
)

// This file is the command "sopv", the verifying part of the Stateless OpenPGP Command Line
// Interface, SOP (draft-dkg-openpgp-stateless-cli). With it, test suites and Debian's tools can
// use this verifier like any other. SOP has its own rules for options, for names of files
// ("@FD:3") and for exit statuses, so the command parses its words itself. run chooses the
// subcommand: sopVersion, sopVerify or sopInlineVerify. The functions at the end read keys and
// open files by SOP's names.

// Exit statuses of SOP ("Failure Modes").
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
	return &sopError{status: code, err: fmt.Errorf(format, args...)}
}

// A sopvCall is one call of the command. It has no flags of this program's.
type sopvCall struct{}

func (c *sopvCall) groups() []*group { return nil }

func (c *sopvCall) run(ctx context.Context, ui *ui, args []string) error {
	if len(args) == 0 {
		return sopErrorf(sopUnknownSubcommand, "no subcommand: verify, inline-verify or version")
	}
	switch sub, args := args[0], args[1:]; sub {
	case "--help", "-h", "help":
		usage, err := textOf(packedTexts, "sopv.usage")
		if err == nil {
			_, err = io.WriteString(ui.out, usage)
		}
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

// sopOptions parses the words after a subcommand: takes says of each option whether it takes
// a value. Options and operands may be mixed, and "--" ends the options. Every subcommand
// takes --debug, which changes nothing.
func sopOptions(args []string, takes map[string]bool) (values map[string]string, operands []string, err error) {
	values = map[string]string{}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			return values, append(operands, args...), nil
		}
		if !strings.HasPrefix(word, "-") {
			addTo(&operands, word)
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

// sopVersion is "version [OPTION]".
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
			// "~" says that only a part of the draft is implemented.
			line = "~draft-dkg-openpgp-stateless-cli-11"
		case "--extended":
			line += "\nverifies only: OpenPGP (RFC 9580) detached and cleartext signatures, signify, minisign"
		}
	}
	_, err = fmt.Fprintln(ui.out, line)
	return err
}

// sopPolicy returns the policy of --not-before and --not-after: "-" is no bound, "now" is the
// present, and any other value is a date of RFC 3339 or ISO 8601.
func sopPolicy(values map[string]string) (p pgp.Policy, err error) {
	p = source.NewClock(time.Time{}, buildDate()).Policy()
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

// sopVerify is "verify SIGNATURE CERTS... < DATA > VERIFICATIONS".
func sopVerify(ui *ui, args []string) error {
	values, operands, err := sopOptions(args, map[string]bool{"--not-before": true, "--not-after": true})
	if err != nil {
		return err
	}
	if len(operands) < 2 {
		return sopErrorf(sopMissingArg, "verify needs SIGNATURE CERTS...")
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

// sopInlineVerify is "inline-verify CERTS... < MESSAGE > TEXT". A file that it creates for
// --verifications-out is removed if anything fails.
func sopInlineVerify(ctx context.Context, ui *ui, args []string) (err error) {
	values, operands, err := sopOptions(args, map[string]bool{"--not-before": true, "--not-after": true, "--verifications-out": true})
	if err != nil {
		return err
	}
	if len(operands) < 1 {
		return sopErrorf(sopMissingArg, "inline-verify needs CERTS...")
	}
	policy, err := sopPolicy(values)
	if err != nil {
		return err
	}
	var keys *pgp.Keyring
	err = untilDone(ctx, func() (err error) {
		keys, err = sopKeys(operands)
		return err
	})
	if err != nil {
		return err
	}
	name, wanted := values["--verifications-out"]
	if !wanted {
		text, _, err := sopReadMessage(ctx, keys, policy)
		if err != nil {
			return err
		}
		return sopWriteText(ctx, ui, text)
	}
	verifications, created, err := sopCreate(name)
	if err != nil {
		return err
	}
	defer func() {
		verifications.Close()
		if err != nil && created {
			os.Remove(name)
		}
	}()
	text, result, err := sopReadMessage(ctx, keys, policy)
	if err != nil {
		return err
	}
	if err := sopWriteVerifications(verifications, result); err != nil {
		return err
	}
	if err := verifications.Close(); err != nil {
		return err
	}
	return sopWriteText(ctx, ui, text)
}

// sopReadMessage reads a cleartext signed message from standard input, verifies it, and
// returns the signed text.
func sopReadMessage(ctx context.Context, keys *pgp.Keyring, policy pgp.Policy) ([]byte, *pgp.Result, error) {
	message, err := readUpTo(newCancelReader(ctx, os.Stdin), pgp.MaxCleartext)
	if err != nil {
		return nil, nil, err
	}
	text, result, err := pgp.VerifyCleartext(keys, message, policy)
	if err != nil {
		return nil, nil, sopVerdict(err)
	}
	return text, result, nil
}

// sopWriteText writes to standard output, which may be a full pipe.
func sopWriteText(ctx context.Context, ui *ui, text []byte) error {
	return untilDone(ctx, func() error {
		_, err := ui.out.Write(text)
		return err
	})
}

// sopVerdict adds its exit status to an error of a verification.
func sopVerdict(err error) error {
	var format *pgp.FormatError
	var untrusted *pgp.UntrustedError
	var bad *pgp.BadSignatureError
	switch {
	case errors.As(err, &format):
		return &sopError{status: sopBadData, err: err}
	case errors.As(err, &untrusted), errors.As(err, &bad):
		return &sopError{status: sopNoSignature, err: err}
	}
	return &sopError{status: sopFailure, err: err}
}

// sopWriteVerifications writes a line for each good signature ("VERIFICATIONS"): its
// date, the fingerprints of the key and of its certificate, and its mode. A signature
// without a date gets 1970-01-01.
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

// sopKeys reads the certificates of all these files.
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

// sopSpecial splits a special designator such as "@FD:3", which is not the name of a file
// ("Special Designators"). If there is a file of that name all the same, that is an error.
func sopSpecial(name string) (kind, value string, special bool, err error) {
	if !strings.HasPrefix(name, "@") {
		return "", "", false, nil
	}
	if _, err := os.Lstat(name); err == nil {
		return "", "", false, sopErrorf(sopAmbiguousInput, "%q is also the name of a file: write ./ before it", name)
	}
	kind, value, _ = strings.Cut(name, ":")
	return kind, value, true, nil
}

// sopDescriptor returns the open file of "@FD:N"; value is N.
func sopDescriptor(name, value string) (*os.File, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return nil, sopErrorf(sopMissingInput, "%q is not the number of a descriptor", name)
	}
	f := os.NewFile(uintptr(n), name)
	if f == nil {
		return nil, sopErrorf(sopMissingInput, "%q is not open", name)
	}
	return f, nil
}

// sopRead returns the content of a file, of the variable of "@ENV:NAME", or of "@FD:N". If the
// content is larger than max bytes, it returns more than max bytes, which the parser refuses.
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
			return nil, &sopError{status: sopMissingInput, err: err}
		}
	case kind == "@ENV":
		text, ok := os.LookupEnv(value)
		if !ok {
			return nil, sopErrorf(sopMissingInput, "%q: the variable is not set", name)
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
	data, err := readUpTo(f, max)
	if err != nil {
		return nil, &sopError{status: sopMissingInput, err: err}
	}
	return data, nil
}

// sopCreate creates a file, or returns that of "@FD:N". created says that it created one.
func sopCreate(name string) (f *os.File, created bool, err error) {
	kind, value, special, err := sopSpecial(name)
	switch {
	case err != nil:
		return nil, false, err
	case special && kind == "@FD":
		f, err = sopDescriptor(name, value)
		return f, false, err
	case special:
		return nil, false, sopErrorf(sopUnknownPrefix, "unsupported output %q", name)
	}
	f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		err = &sopError{status: sopOutputExists, err: err}
	}
	return f, err == nil, err
}
