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

// sopv is the verifying part of the Stateless OpenPGP Command Line Interface
// (draft-dkg-openpgp-stateless-cli), so that test suites and Debian's tools can use this
// verifier as any other.

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

// A sopvCall is "sopv SUBCOMMAND ...". It reads its words by SOP's rules.
type sopvCall struct{}

func (c *sopvCall) groups() []group { return nil }

func (c *sopvCall) run(ctx context.Context, ui *ui, args []string) error {
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
