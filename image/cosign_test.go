package image

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
)

func TestParseSimpleSigning(t *testing.T) {
	text := `{"critical":{"identity":{"docker-reference":"ghcr.io/a/b"},"image":{"docker-manifest-digest":"` + digestA + `"},"type":"cosign container image signature"},"optional":null}`
	for _, test := range []struct{ old, with, repository, want string }{
		{"", "", "ghcr.io/a/b", ""},
		{`"optional":null`, `"optional":{"creator":"x"}`, "ghcr.io/a/b", ""},
		{"ghcr.io/a/b", "", "", ""},
		{`"ghcr.io/a/b"`, "null", "", ""},
		{`{"docker-reference":"ghcr.io/a/b"}`, "{}", "", ""},
		{"ghcr.io/a/b", "index.docker.io/library/x", "docker.io/library/x", ""},
		{"ghcr.io/a/b", "ghcr.io/a/b:1.2", "ghcr.io/a/b", ""},
		{"ghcr.io/a/b", "ghcr.io/a/b@" + digestA, "ghcr.io/a/b", ""},
		{"ghcr.io/a/b", "Upper", "", "lower case"},
		{`"ghcr.io/a/b"`, "5", "", "not a text"},
		{digestA, "sha512:" + hexA + hexA, "", "no digest that is supported"},
		{digestA, "", "", "no digest that is supported"},
		{`"cosign container image signature"`, `"atomic container signature"`, "", `"type" is "atomic container signature"`},
		{`"cosign container image signature"`, `null`, "", `"type" is ""`},
		{`"type"`, `"notBefore":5,"type"`, "", `critical member "notBefore"`},
		{`"type"`, `"type":"x","type"`, "", "two members"},
		{text, `{}`, "", `"type" is ""`}, {text, `x`, "", "no valid JSON"}, {text, `[]`, "", "no JSON object"},
		{`"optional":null`, `"optional":"` + strings.Repeat("x", maxSigned) + `"`, "", "larger than"},
	} {
		changed := strings.Replace(text, test.old, test.with, 1)
		c, err := ParseSimpleSigning([]byte(changed))
		check(t, changed, err, test.want)
		if err == nil && (c.Digest != digestA || c.Repository != test.repository) {
			t.Errorf("%s: %+v", changed, c)
		}
	}
}

func TestParseBundle(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	dsse := `"dsseEnvelope":{"payload":"` + b64([]byte("{}?>")) + `","payloadType":"` + InTotoType + `","signatures":[{"sig":"` + b64([]byte("sig")) + `"}]}`
	message := `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"` + b64([]byte(strings.Repeat("\x0a", 32))) + `"},"signature":"` + b64([]byte("sig")) + `"}`
	text := `{"mediaType":"` + SigstoreBundle + `","verificationMaterial":{"publicKey":{"hint":"x"},"tlogEntries":[]},` + dsse + `}`
	for _, test := range []struct{ old, with, want string }{
		{"", "", ""},
		{b64([]byte("{}?>")), base64.URLEncoding.EncodeToString([]byte("{}?>")), ""},
		{dsse, message, ""},
		{dsse, message + "," + dsse, "either dsseEnvelope or messageSignature"},
		{dsse, `"other":{}`, "either dsseEnvelope or messageSignature"},
		{dsse, strings.Replace(message, "SHA2_256", "SHA2_512", 1), `"algorithm" is "SHA2_512"`},
		{dsse, strings.Replace(message, b64([]byte(strings.Repeat("\x0a", 32))), "Cg==", 1), "no digest"},
		{dsse, strings.Replace(message, b64([]byte("sig")), "", 1), `"signature" is no Base64`},
		{`"publicKey"`, `"certificate":{"rawBytes":"x"},"publicKey"`, "keyless signatures are not supported"},
		{`"publicKey"`, `"x509CertificateChain":{"certificates":[]},"publicKey"`, "keyless signatures are not supported"},
		{SigstoreBundle, "application/vnd.dev.sigstore.bundle+json;version=0.1", `"mediaType" is `},
		{SigstoreBundle, "", `"mediaType" is ""`},
		{`[{"sig":"` + b64([]byte("sig")) + `"}]`, `[]`, "no signatures"}, {`[{"sig":"` + b64([]byte("sig")) + `"}]`, `null`, "no signatures"},
		{`[{"sig":"` + b64([]byte("sig")) + `"}]`, `[{"sig":"!"}]`, `"sig" is no Base64`}, {`[{"sig":"` + b64([]byte("sig")) + `"}]`, `[{}]`, `"sig" is no Base64`}, {`[{"sig":"` + b64([]byte("sig")) + `"}]`, `["x"]`, `"sig" is no Base64`},
		{`[{"sig"`, `[` + strings.Repeat(`{"sig":"c2ln"},`, maxSignatures) + `{"sig"`, "at most 16"},
		{`"payload":"`, `"payload":"!`, `"payload" is no Base64`},
		{text, "", "no valid JSON"}, {text, "null", "no JSON object"},
	} {
		changed := strings.Replace(text, test.old, test.with, 1)
		b, err := ParseBundle([]byte(changed))
		check(t, changed, err, test.want)
		if err != nil {
			continue
		}
		if test.with == message {
			if b.Payload != nil || b.Type != "" || string(b.Message) != "sha256:"+strings.Repeat("0a", 32) || string(b.Signatures[0]) != "sig" {
				t.Errorf("%+v", b)
			}
		} else if string(b.Payload) != "{}?>" || b.Type != InTotoType || len(b.Signatures) != 1 || string(b.Signatures[0]) != "sig" || b.Message != "" {
			t.Errorf("%+v", b)
		}
	}
}

func TestParseStatement(t *testing.T) {
	text := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + hexA + `"},"annotations":{}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`
	one := []Claim{{Digest: digestA}}
	for _, test := range []struct {
		old, with, want string
		claims          []Claim
	}{
		{"", "", "", one},
		{`{"digest"`, `{"digest":{"sha512":"x","sha256":"` + hexA + `"},"name":"ghcr.io/a/b"},{"digest"`, "", []Claim{{Digest: digestA, Repository: "ghcr.io/a/b"}, one[0]}},
		{`"annotations"`, `"name":"index.docker.io/library/x","annotations"`, "", []Claim{{Digest: digestA, Repository: "docker.io/library/x"}}},
		{`"annotations"`, `"name":"nginx","annotations"`, "", one},
		{`"annotations"`, `"name":"_","annotations"`, "", one},
		{"https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", `"predicateType" is "https://slsa.dev/provenance/v1"`, nil},
		{"https://sigstore.dev/cosign/sign/v1", "https://sigstore.dev/cosign/sign/v10", `"predicateType" is`, nil},
		{"Statement/v1", "Statement/v2", `"_type" is`, nil},
		{`"sha256"`, `"sha512"`, "no digest that is supported", nil},
		{hexA, strings.ToUpper(hexA), "no digest that is supported", nil},
		{`"digest":{"sha256":"` + hexA + `"}`, `"digest":"` + digestA + `"`, `"digest" is no object`, nil},
		{`"subject":[`, `"subject":[],"other":[`, "names no image", nil},
		{`"subject":[`, `"other":[`, "names no image", nil},
		{`"subject":[`, `"subject":[` + strings.Repeat(`{},`, maxSubjects), "at most 1000", nil},
		{text, "", "no valid JSON", nil}, {text, "[]", "no JSON object", nil},
	} {
		changed := strings.Replace(text, test.old, test.with, 1)
		claims, err := ParseStatement([]byte(changed))
		check(t, changed, err, test.want)
		if err == nil && !reflect.DeepEqual(claims, test.claims) {
			t.Errorf("%s: %+v", changed, claims)
		}
	}
}

// Whatever is accepted as a signature has a digest and repositories that are checked.
func FuzzCosign(f *testing.F) {
	f.Add([]byte(`{"critical":{"identity":{"docker-reference":"ghcr.io/a/b"},"image":{"docker-manifest-digest":"` + digestA + `"},"type":"cosign container image signature"},"optional":null}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + hexA + `"},"name":"a.b/c"}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`))
	f.Add([]byte(`{"mediaType":"` + SigstoreBundle + `","dsseEnvelope":{"payload":"e30=","payloadType":"x","signatures":[{"sig":"c2ln"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var claims []Claim
		c, err := ParseSimpleSigning(text)
		if err == nil {
			claims = append(claims, c)
		}
		if more, err := ParseStatement(text); err == nil {
			claims = append(claims, more...)
		}
		for _, c := range claims {
			r, err := ParseReference(c.Repository)
			if _, bad := ParseDigest(c.Digest); bad != nil || c.Repository != "" && (err != nil || r.Name() != c.Repository) {
				t.Errorf("%q: %+v", text, c)
			}
		}
		b, err := ParseBundle(text)
		if err == nil && (len(b.Signatures) == 0 || len(b.Signatures) > maxSignatures || (b.Message == "") != (len(b.Payload) > 0)) {
			t.Errorf("%q: %+v", text, b)
		}
	})
}

// A bundle that cosign 3.0 made of the text "hello\n", with a key.
func TestBundleOfCosign(t *testing.T) {
	b, err := ParseBundle([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial":{"publicKey":{"hint":"gsN4hF7yw6y0A9CYDMlm5gKEUiazLVBkdatQCEAHucU="}}, "messageSignature":{"messageDigest":{"algorithm":"SHA2_256", "digest":"WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="}, "signature":"MEUCIEkCaXjjw1uAPTxUcS51i0vBu3jtoZ6oxEgnSmNeakCgAiEA4UHUTZ6HPxGB/n47dkT2mpHBvlln/Qc+6tEVms7KgSU="}}`))
	if err != nil || b.Message != "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" || len(b.Signatures) != 1 || len(b.Signatures[0]) != 71 {
		t.Errorf("%+v, %v", b, err)
	}
}
