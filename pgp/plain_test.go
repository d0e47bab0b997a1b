package pgp

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keyBlock returns a public key in PEM.
func keyBlock(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// sum returns the digest of a message.
func sum(h crypto.Hash, message []byte) []byte {
	w := h.New()
	w.Write(message)
	return w.Sum(nil)
}

// rsaKey returns a private key for tests. Making one takes minutes under an emulator.
func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	text, err := os.ReadFile("testdata/rsa.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// plainKeys returns private keys of each kind, by name.
func plainKeys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	keys := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key
	}
	keys["rsa"] = rsaKey(t)
	keys["ed25519"] = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return keys
}

// Each kind of key verifies its signatures by the hash algorithms that cosign uses with it, and
// nothing else.
func TestPlainKeys(t *testing.T) {
	keys := plainKeys(t)
	message := []byte("a payload")
	for _, c := range []struct {
		key  string
		hash crypto.Hash
		opt  crypto.SignerOpts
		good bool
	}{
		{"p256", crypto.SHA256, crypto.SHA256, true},
		{"p256", crypto.SHA384, crypto.SHA384, false},
		{"p256", crypto.SHA1, crypto.SHA1, false},
		{"p384", crypto.SHA384, crypto.SHA384, true},
		{"p384", crypto.SHA256, crypto.SHA256, true},
		{"p384", crypto.SHA512, crypto.SHA512, false},
		{"p521", crypto.SHA512, crypto.SHA512, true},
		{"p521", crypto.SHA256, crypto.SHA256, true},
		{"p521", crypto.SHA384, crypto.SHA384, false},
		{"rsa", crypto.SHA256, crypto.SHA256, true},
		{"rsa", crypto.SHA512, crypto.SHA512, false},
		{"rsa", crypto.SHA256, &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}, false},
		{"ed25519", 0, crypto.Hash(0), true},
		{"ed25519", crypto.SHA512, crypto.SHA512, true}, // Ed25519ph
	} {
		digest := message
		if c.hash != 0 {
			digest = sum(c.hash, message)
		}
		sig, err := keys[c.key].Sign(rand.Reader, digest, c.opt)
		if err != nil {
			t.Fatal(err)
		}
		text := keyBlock(t, keys[c.key].Public())
		k, err := ReadKeyring([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		der, _ := pem.Decode([]byte(text))
		print := sha256.Sum256(der.Bytes)
		by, err := k.VerifyPlain(message, sig)
		if c.good != (err == nil) || c.good && by != strings.ToUpper(hex.EncodeToString(print[:])) || !c.good && by != "" {
			t.Errorf("%s with %v: %q, %v", c.key, c.hash, by, err)
		}
		if !c.good {
			continue
		}
		for _, changed := range [][]byte{nil, message[1:], append(message[:len(message):len(message)], 0)} {
			if _, err := k.VerifyPlain(changed, sig); !errors.As(err, new(*UntrustedError)) {
				t.Errorf("%s: %q instead: %v", c.key, changed, err)
			}
		}
		step := 1
		if testing.Short() {
			step = 8 // a verification takes a tenth of a second under an emulator
		}
		for i := 0; i < len(sig); i += step {
			bad := append([]byte(nil), sig...)
			bad[i] ^= 1
			if _, err := k.VerifyPlain(message, bad); err == nil {
				t.Errorf("%s: byte %d of the signature is changed", c.key, i)
			}
		}
		for _, bad := range [][]byte{nil, {0}, sig[:len(sig)-1], append(sig[:len(sig):len(sig)], 0), append([]byte{0}, sig...)} {
			if _, err := k.VerifyPlain(message, bad); err == nil {
				t.Errorf("%s: a signature of %d bytes, not %d", c.key, len(bad), len(sig))
			}
		}
	}
}

// Signatures with forbidden numbers are refused: r = s = 0 (CVE-2022-21449), and S plus the order
// of the group of Ed25519.
func TestPlainNumbers(t *testing.T) {
	keys := plainKeys(t)
	k, err := ReadKeyring([]byte(keyBlock(t, keys["p256"].Public()) + keyBlock(t, keys["ed25519"].Public())))
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N
	for _, v := range [][2]*big.Int{{new(big.Int), new(big.Int)}, {n, n}, {big.NewInt(1), new(big.Int)}, {big.NewInt(-1), big.NewInt(1)}} {
		sig, err := asn1.Marshal(struct{ R, S *big.Int }{v[0], v[1]})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.VerifyPlain([]byte("x"), sig); err == nil {
			t.Errorf("r = %v, s = %v", v[0], v[1])
		}
	}
	sig := ed25519.Sign(keys["ed25519"].(ed25519.PrivateKey), []byte("x"))
	if _, err := k.VerifyPlain([]byte("x"), sig); err != nil {
		t.Fatal(err)
	}
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := append([]byte(nil), sig[32:]...)
	for i := range 16 {
		s[i], s[31-i] = s[31-i], s[i]
	}
	more := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	for i := range more {
		sig[63-i] = more[i]
	}
	if _, err := k.VerifyPlain([]byte("x"), sig); err == nil {
		t.Error("S plus the order is accepted")
	}
}

// A file may have several keys, other text around them, and the line ends of any system.
func TestPlainFiles(t *testing.T) {
	keys := plainKeys(t)
	one, two := keyBlock(t, keys["p256"].Public()), keyBlock(t, keys["ed25519"].Public())
	for name, c := range map[string]struct {
		file string
		n    int
	}{
		"one":              {one, 1},
		"two":              {one + two, 2},
		"text":             {"Our keys, since 2024:\n\n" + one + "and é:\n" + two + "-- \nend\n", 2},
		"crlf":             {strings.ReplaceAll(one, "\n", "\r\n"), 1},
		"byte order mark":  {"\xef\xbb\xbf" + one, 1},
		"blanks":           {strings.ReplaceAll(one, "\n", " \t\n"), 1},
		"no line end":      {strings.TrimSuffix(one, "\n"), 1},
		"one line":         {joinBody(one), 1},
		"other dashes":     {"-----BEGIN\n----- BEGIN PUBLIC KEY -----\n" + one, 1},
		"dashes of a line": {"--------\n" + one, 1},
	} {
		k, err := ReadKeyring([]byte(c.file))
		if err != nil || len(k.Fingerprints()) != c.n || !k.HasPlain() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// joinBody writes the base64 of a PEM block as one line.
func joinBody(block string) string {
	lines := strings.Split(strings.TrimSpace(block), "\n")
	return lines[0] + "\n" + strings.Join(lines[1:len(lines)-1], "") + "\n" + lines[len(lines)-1] + "\n"
}

// Other files are refused, and the error says what they are.
func TestPlainRefused(t *testing.T) {
	keys := plainKeys(t)
	good := keyBlock(t, keys["p256"].Public())
	block := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	secret, err := x509.MarshalPKCS8PrivateKey(keys["p256"])
	if err != nil {
		t.Fatal(err)
	}
	weak := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), maxRSABits, 1), E: 65537}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := pem.Decode([]byte(good))
	// The object identifier of P-256 becomes that of another curve.
	unknown := []byte(strings.Replace(string(der.Bytes), oidP256, "\x2a\x86\x48\xce\x3d\x03\x01\x08", 1))
	many := ""
	for i := range maxPlainKeys + 1 {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i)
		many += keyBlock(t, ed25519.NewKeyFromSeed(seed).Public())
	}
	armored := armoredKeys(t)
	for _, c := range []struct{ name, file, want string }{
		{"a private key", block("PRIVATE KEY", secret), "a secret key"},
		{"cosign's private key", block("ENCRYPTED SIGSTORE PRIVATE KEY", secret), "a secret key"},
		{"a private key after a public one", good + block("EC PRIVATE KEY", secret), "a secret key"},
		{"openssl's ecparam", block("EC PARAMETERS", []byte{6, 1, 1}) + block("EC PRIVATE KEY", secret), `a PEM block "EC PARAMETERS"`},
		{"parameters alone", block("EC PARAMETERS", []byte{6, 1, 1}), `a PEM block "EC PARAMETERS"`},
		{"a certificate", block("CERTIFICATE", secret), `a PEM block "CERTIFICATE", not "PUBLIC KEY"`},
		{"a certificate of OpenSSL", block("TRUSTED CERTIFICATE", secret), `"TRUSTED CERTIFICATE"`},
		{"PKCS #1", block("RSA PUBLIC KEY", secret), `a PEM block "RSA PUBLIC KEY"`},
		{"another block", block("X509 CRL", secret), `"X509 CRL"`},
		{"escapes in a label", "-----BEGIN \x1b[2J-----\n", `"\x1b[2J"`},
		{"RSA of 1024 bits", keyBlock(t, weak), "not accepted: not RSA of 2048 bits"},
		{"RSA of 16385 bits", keyBlock(t, huge), "not accepted"},
		{"P-224", keyBlock(t, p224.Public()), "not accepted"},
		{"X25519", keyBlock(t, exchange.PublicKey()), "not accepted"},
		{"another curve", block("PUBLIC KEY", unknown), "not accepted"},
		{"cut DER", block("PUBLIC KEY", der.Bytes[:50]), "it is damaged"},
		{"longer DER", block("PUBLIC KEY", append(der.Bytes[:len(der.Bytes):len(der.Bytes)], 0)), "it is damaged"},
		{"empty", block("PUBLIC KEY", nil), "it is damaged"},
		{"a point that is not on the curve", block("PUBLIC KEY", append(der.Bytes[:len(der.Bytes)-1:len(der.Bytes)-1], der.Bytes[len(der.Bytes)-1]^1)), "it is damaged"},
		{"no end", strings.Split(good, "-----END")[0], "a damaged PEM block"},
		{"cut", good[:60], "a damaged PEM block"},
		{"another end", strings.Replace(good, "END PUBLIC", "END RSA PUBLIC", 1), "a damaged PEM block"},
		{"a damaged PEM block", strings.Replace(good, "\n", "\n!", 1), "a damaged PEM block"},
		{"long", "-----BEGIN PUBLIC KEY-----\n" + strings.Repeat(strings.Repeat("A", 64)+"\n", 1000), "damaged"},
		{"many", many, "more than 64 keys"},
		{"armor after", good + armored, `a PEM block "PGP PUBLIC KEY BLOCK"`},
		{"armor before", armored + good, `a PEM block "PGP PUBLIC KEY BLOCK"`},
		{"signature", block("SIGNATURE", secret), `"SIGNATURE"`},
	} {
		k, err := ReadKeyring([]byte(c.file))
		if err == nil || k != nil || !errors.As(err, new(*FormatError)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// armoredKeys returns a file of armored OpenPGP keys.
func armoredKeys(t *testing.T) string {
	t.Helper()
	for _, v := range readVectors(t) {
		if _, err := ReadKeyring(v.keys); err == nil && strings.HasPrefix(string(v.keys), armorBegin) {
			return string(v.keys)
		}
	}
	t.Fatal("no vector has armored keys")
	return ""
}

// PEM blocks of other kinds around armor are text around armor.
func TestBlocksAroundArmor(t *testing.T) {
	armored := armoredKeys(t)
	k, err := ReadKeyring([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + armored))
	if err != nil || len(k.certs) != 1 || k.HasPlain() {
		t.Errorf("%v", err)
	}
}

// Keys of PEM files and other keys don't stand in for each other.
func TestPlainAlone(t *testing.T) {
	keys := plainKeys(t)
	plain, err := ReadKeyring([]byte(keyBlock(t, keys["ed25519"].Public())))
	if err != nil {
		t.Fatal(err)
	}
	const want = "no signature by a trusted key"
	var cleartext vector
	for _, v := range readVectors(t) {
		if v.cleartext && v.expect == "good" {
			cleartext = v
			break
		}
	}
	for _, name := range []string{"algo-eddsa", "signify", "minisign"} {
		v := readVector(t, "testdata/vectors/"+name+".txt")
		if _, err := Verify(plain, v.data, v.sig, v.policy); !errors.As(err, new(*UntrustedError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		ring, err := ReadKeyring(v.keys)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ring.VerifyPlain([]byte("x"), []byte("y")); ring.HasPlain() || !errors.As(err, new(*UntrustedError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		both := Merge(ring, plain, nil, plain)
		if _, err := Verify(both, v.data, v.sig, v.policy); err != nil {
			t.Errorf("%s with both kinds of keys: %v", name, err)
		}
		message := []byte("a payload")
		sig := ed25519.Sign(keys["ed25519"].(ed25519.PrivateKey), message)
		if _, err := both.VerifyPlain(message, sig); err != nil {
			t.Errorf("%s with both kinds of keys: %v", name, err)
		}
		prints := both.Fingerprints()
		if len(prints) != len(ring.Fingerprints())+2 {
			t.Errorf("%s: %q", name, prints)
		}
		only, err := both.Select([]string{"0x" + strings.ToLower(prints[len(prints)-1])})
		if err != nil || !only.HasPlain() || len(only.certs) > 0 {
			t.Errorf("%s: %v", name, err)
		}
		if only, err = both.Select(prints[:1]); err != nil || only.HasPlain() {
			t.Errorf("%s: %v", name, err)
		}
		list := both.Keys(time.Unix(1700000000, 0))
		if last := list[len(list)-1]; !last.Plain || last.Problem != "" || last.Fingerprint != prints[len(prints)-1] || list[0].Plain {
			t.Errorf("%s: %+v", name, list)
		}
	}
	if _, _, err := VerifyCleartext(plain, append([]byte{}, cleartext.message...), cleartext.policy); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("cleartext: %v", err)
	}
	for _, empty := range []*Keyring{nil, {}} {
		if _, err := empty.VerifyPlain(nil, nil); err == nil || empty.HasPlain() {
			t.Errorf("no keys: %v", err)
		}
	}
	if empty, err := plain.Select(nil); err != nil || empty.HasPlain() {
		t.Errorf("nothing selected: %v", err)
	}
}

// OpenSSL's keys and signatures, where it is installed.
func TestPlainOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	message := filepath.Join(dir, "message")
	if err := os.WriteFile(message, []byte("a payload"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(openssl, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	for name, make := range map[string][]string{
		"-sha256": {"ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key"},
		"-sha384": {"ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "key"},
		"-sha512": {"ecparam", "-name", "secp521r1", "-genkey", "-noout", "-out", "key"},
		"":        {"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key"},
	} {
		run(make...)
		run("pkey", "-in", "key", "-pubout", "-out", "pub")
		if name == "" {
			name = "-sha256"
		}
		run("dgst", name, "-sign", "key", "-out", "sig", "message")
		public, _ := os.ReadFile(filepath.Join(dir, "pub"))
		sig, _ := os.ReadFile(filepath.Join(dir, "sig"))
		k, err := ReadKeyring(public)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.VerifyPlain([]byte("a payload"), sig); err != nil {
			t.Errorf("%v: %v", make, err)
		}
	}
	for _, curve := range []string{"secp256k1", "brainpoolP256r1"} {
		run("ecparam", "-name", curve, "-genkey", "-noout", "-out", "key")
		run("pkey", "-in", "key", "-pubout", "-out", "pub")
		public, _ := os.ReadFile(filepath.Join(dir, "pub"))
		if _, err := ReadKeyring(public); err == nil || !strings.Contains(err.Error(), "not accepted") {
			t.Errorf("%s: %v", curve, err)
		}
	}
}

// FuzzPlain changes PEM files. None of their keys has signed the data, whatever the bytes say,
// and the file's keys survive Merge and Select.
func FuzzPlain(f *testing.F) {
	keys := plainKeys(f)
	message := []byte("a payload")
	digest := sha256.Sum256(message)
	for _, name := range []string{"p256", "p384", "rsa"} {
		sig, err := keys[name].Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(keyBlock(f, keys[name].Public())), sig)
	}
	long := sha512.Sum512(message)
	sig, err := keys["ed25519"].Sign(rand.Reader, long[:], crypto.SHA512)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(keyBlock(f, keys["ed25519"].Public())+keyBlock(f, keys["p521"].Public())), sig)
	f.Fuzz(func(t *testing.T, file, sig []byte) {
		k, err := ReadKeyring(file)
		if err != nil {
			if k != nil {
				t.Fatal("a keyring together with an error")
			}
			return
		}
		if _, err := k.VerifyPlain(unsigned, sig); err == nil {
			t.Fatal("accepted")
		}
		if !k.HasPlain() {
			return
		}
		if len(k.bare) > maxPlainKeys || len(k.certs) > 0 {
			t.Fatal("too many keys, or keys of two kinds")
		}
		list := Merge(k, k).Fingerprints()
		if picked, err := k.Select(list); err != nil || len(picked.bare) < len(k.bare) {
			t.Fatalf("%v", err)
		}
	})
}
