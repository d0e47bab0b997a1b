package pgp

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A vector is one file of testdata/vectors, which scripts/lab/pgpvectors writes: a sentence about
// the case, the expected outcome, and the files to verify.
type vector struct {
	name, comment, expect string
	policy                Policy
	keys, sig, data       []byte
	message, text         []byte
	cleartext             bool
}

// sectionLine matches the line before a file in a vector, which is a txtar archive.
var sectionLine = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func readVectors(t testing.TB) []vector {
	t.Helper()
	names, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(names) < 300 {
		t.Fatalf("%d vectors, %v", len(names), err)
	}
	var list []vector
	for _, name := range names {
		list = append(list, readVector(t, name))
	}
	return list
}

func readVector(t testing.TB, name string) vector {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	parts := sectionLine.Split(string(data), -1)
	names := sectionLine.FindAllStringSubmatch(string(data), -1)
	v := vector{name: strings.TrimSuffix(filepath.Base(name), ".txt")}
	seconds := func(s string) time.Time {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return time.Unix(n, 0)
	}
	for i, line := range strings.Split(strings.TrimSpace(parts[0]), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		word, value2, _ := strings.Cut(value, " ")
		switch {
		case i == 0:
			v.comment = line
		case key == "expect":
			v.expect = value
		case key == "now":
			v.policy.Now = seconds(value)
		case key == "policy" && word == "require":
			v.policy.Require, _ = strconv.Atoi(value2)
		case key == "policy" && word == "not-before":
			v.policy.NotBefore = seconds(value2)
		case key == "policy" && word == "not-after":
			v.policy.NotAfter = seconds(value2)
		case key == "policy" && word == "strict":
			v.policy.Strict = true
		default:
			t.Fatalf("%s: unknown line %q", name, line)
		}
	}
	for i, part := range parts[1:] {
		content := []byte(part)
		section, coded := strings.CutSuffix(names[i][1], ".base64")
		if coded {
			if content, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(part, "\n", "")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		switch section {
		case "keys":
			v.keys = content
		case "signature":
			v.sig = content
		case "data":
			v.data = content
		case "message":
			v.message, v.cleartext = content, true
		case "text":
			v.text = content
		default:
			t.Fatalf("%s: unknown section %q", name, section)
		}
	}
	return v
}

// run verifies the vector and describes the outcome in the form of its expect line.
func (v vector) run() (outcome string, text []byte, result *Result) {
	keys, err := ReadKeyring(v.keys)
	if err != nil {
		return "key file: " + err.Error(), nil, nil
	}
	if v.cleartext {
		text, result, err = VerifyCleartext(keys, append([]byte{}, v.message...), v.policy)
	} else {
		result, err = Verify(keys, v.data, v.sig, v.policy)
	}
	var format *FormatError
	var untrusted *UntrustedError
	var bad *BadSignatureError
	switch {
	case err == nil:
		return "good", text, result
	case errors.As(err, &format):
		return "format: " + err.Error(), text, result
	case errors.As(err, &untrusted):
		return "untrusted: " + err.Error(), text, result
	case errors.As(err, &bad):
		return "bad signature: " + err.Error(), text, result
	}
	return err.Error(), text, result
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			outcome, text, result := v.run()
			kind, part, _ := strings.Cut(v.expect, ": ")
			if !strings.HasPrefix(outcome, kind) || !strings.Contains(outcome, part) {
				t.Fatalf("%s: %s, want %s", v.comment, outcome, v.expect)
			}
			if v.expect != "good" {
				if text != nil || result != nil {
					t.Error("a text or result together with the error")
				}
				return
			}
			if string(text) != string(v.text) {
				t.Errorf("text %q, want %q", text, v.text)
			}
			if len(result.Signatures) == 0 {
				t.Error("no signature in the result")
			}
		})
	}
}
