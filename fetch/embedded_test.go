package fetch

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/crc32"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

var update = flag.Bool("update", false, "write the embedded CA certificates anew")

const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// farFuture is after every date of a constraint.
var farFuture = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// TestEmbeddedRoots checks that the embedded CA certificates are those of the module in
// go.mod, with the same constraints and in the same order. With -update it writes them.
func TestEmbeddedRoots(t *testing.T) {
	version := knownModule(t)
	want := moduleContent(t)
	content, err := unpackRoots(embeddedRoots)
	if *update {
		if err == nil && bytes.Equal(content, want) && RootsVersion() == version {
			return // another compressor's output is not worth a commit
		}
		if err := os.WriteFile("roots.gz", []byte(packRoots(t, rootsModule+" "+version, want)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	const remedy = "run go test ./fetch -run Roots -update"
	if err != nil {
		t.Fatalf("%v: %s", err, remedy)
	}
	if got := RootsVersion(); got != version {
		t.Errorf("the embedded CA certificates are from version %q of the module, go.mod has %s: %s", got, version, remedy)
	}
	for theirs := range bundle.Roots() {
		if len(content) == 0 {
			t.Fatalf("the module has more certificates: %s", remedy)
		}
		var ours root
		if ours, content, err = nextRoot(content); err != nil {
			t.Fatalf("%v: %s", err, remedy)
		}
		if !bytes.Equal(ours.certificate.Raw, embedded(t, theirs)) {
			t.Fatalf("%s is not the module's certificate at its place: %s", ours.certificate.Subject, remedy)
		}
		if !bytes.HasPrefix(theirs.Certificate[4:], ours.certificate.RawTBSCertificate) {
			t.Fatalf("%s does not have the content of the module's certificate: %s", ours.certificate.Subject, remedy)
		}
		if got, want := ours.distrustAfter, distrustAfter(t, theirs.Constraint); !got.Equal(want) {
			t.Errorf("%s: no trust after %v, the module has %v: %s", ours.certificate.Subject, got, want, remedy)
		}
		if theirs.Constraint != nil {
			sameConstraint(t, ours, theirs.Constraint)
		}
	}
	if len(content) != 0 {
		t.Errorf("the module has fewer certificates: %s", remedy)
	}
}

// knownModule returns the version of the module. It fails if the module may have constraints
// that moduleContent does not read.
func knownModule(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}\n{{.Dir}}", rootsModule).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	version, dir, _ := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "bundle", "roots.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "unparsedCertificate" && spec.Name.Name != "Root" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range field.Names {
				fields = append(fields, name.Name)
			}
		}
		return false
	})
	if want := strings.Fields("Certificate Constraint cn sha256Hash certStartOff certLength distrustAfter"); !slices.Equal(fields, want) {
		t.Fatalf("the module's certificates have the fields %q, not %q: see whether there are new constraints", fields, want)
	}
	return version
}

// moduleContent returns the module's certificates in the form of embeddedRoots.
func moduleContent(t *testing.T) []byte {
	t.Helper()
	var content []byte
	for theirs := range bundle.Roots() {
		content = appendRoot(content, distrustAfter(t, theirs.Constraint), embedded(t, theirs))
	}
	return content
}

// embedded returns the module's certificate in the form of embeddedRoots: with zeros in place of
// its own signature, unless it has a constraint.
func embedded(t *testing.T, theirs bundle.Root) []byte {
	t.Helper()
	if theirs.Constraint != nil {
		return theirs.Certificate
	}
	c, err := x509.ParseCertificate(theirs.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return withoutSignature(t, c)
}

// withoutSignature returns a certificate in DER with zeros in place of its signature, which is
// the end of the last element.
func withoutSignature(t *testing.T, c *x509.Certificate) []byte {
	t.Helper()
	rest, found := bytes.CutSuffix(c.Raw, c.Signature)
	if !found {
		t.Fatalf("%s does not end with its signature", c.Subject)
	}
	return append(bytes.Clone(rest), make([]byte, len(c.Signature))...)
}

// appendRoot appends a certificate in the form of embeddedRoots.
func appendRoot(content []byte, distrustAfter time.Time, der []byte) []byte {
	if !distrustAfter.IsZero() {
		content = distrustAfter.UTC().AppendFormat(content, time.RFC3339)
	}
	return append(append(content, '\n'), der...)
}

// packRoots compresses content.
func packRoots(t *testing.T, comment string, content []byte) string {
	t.Helper()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Comment = comment
	z.Write(content)
	z.Close()
	return packed.String()
}

// issued returns a chain whose last certificate is valid from a date on.
func issued(at time.Time) []*x509.Certificate {
	return []*x509.Certificate{{NotBefore: time.Unix(0, 0)}, {NotBefore: at}}
}

// distrustAfter returns the date of a constraint of the module, which its API does not tell:
// the last second for which the constraint has no error. It is zero for no constraint.
func distrustAfter(t *testing.T, constraint func([]*x509.Certificate) error) time.Time {
	t.Helper()
	if constraint == nil {
		return time.Time{}
	}
	if constraint(issued(time.Unix(0, 0))) != nil || constraint(issued(farFuture)) == nil {
		t.Fatal("a constraint of the module is not a date: see what it is")
	}
	trusted, not := int64(0), farFuture.Unix() // seconds, which an int of 32 bits can't hold
	for trusted+1 < not {
		if middle := (trusted + not) / 2; constraint(issued(time.Unix(middle, 0))) == nil {
			trusted = middle
		} else {
			not = middle
		}
	}
	return time.Unix(trusted, 0).UTC()
}

// sameConstraint checks that our constraint has the same errors as the module's.
func sameConstraint(t *testing.T, ours root, theirs func([]*x509.Certificate) error) {
	t.Helper()
	text := func(err error) string {
		if err == nil {
			return "no error"
		}
		return err.Error()
	}
	for _, at := range []time.Time{{}, ours.distrustAfter.Add(-time.Second), ours.distrustAfter, ours.distrustAfter.Add(1), ours.distrustAfter.Add(time.Second), farFuture} {
		if got, want := text(issuedBy(ours.distrustAfter)(issued(at))), text(theirs(issued(at))); got != want {
			t.Errorf("%s, a certificate of %v: %s, the module has: %s", ours.certificate.Subject, at, got, want)
		}
	}
}

// TestEmbeddedRootsConstrain checks that a constraint reaches the verification of a chain.
func TestEmbeddedRootsConstrain(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}}
	ca := certificate(t, template)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, err := x509.ParseCertificate(ca.Certificate[0]) // valid for an hour, since an hour
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Minute)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		date time.Time
		ok   bool
	}{
		{time.Time{}, true},
		{leaf.NotBefore, true},
		{leaf.NotBefore.Add(-time.Second), false},
	} {
		pool := x509.NewCertPool()
		if err := loadEmbedded(pool, packRoots(t, "", appendRoot(nil, test.date, parent.Raw))); err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now}); (err == nil) != test.ok {
			t.Errorf("no trust after %v, a certificate of %v: %v", test.date, leaf.NotBefore, err)
		}
	}
}

// TestRootsWithoutSignature checks that a chain is verified with a root that has zeros in place
// of its signature, whether or not the server sends the real root, and that another key's
// signature is still refused.
func TestRootsWithoutSignature(t *testing.T) {
	sign := func(template, parent *x509.Certificate, key crypto.PublicKey, signer any) *x509.Certificate {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(2), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var keys [3]*ecdsa.PrivateKey // of the root, the CA below it, and a stranger
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	top := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root := sign(top, top, keys[0].Public(), keys[0])
	middle := &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	pool := x509.NewCertPool()
	if err := loadEmbedded(pool, packRoots(t, "", appendRoot(nil, time.Time{}, withoutSignature(t, root)))); err != nil {
		t.Fatal(err)
	}
	for _, signer := range []*ecdsa.PrivateKey{keys[0], keys[2]} {
		below := sign(middle, &x509.Certificate{Subject: root.Subject, SubjectKeyId: root.SubjectKeyId, PublicKey: signer.Public()}, keys[1].Public(), signer)
		leaf := sign(&x509.Certificate{DNSNames: []string{"a.test"}}, below, keys[1].Public(), keys[1])
		for _, sent := range [][]*x509.Certificate{{below}, {below, root}} {
			between := x509.NewCertPool()
			for _, c := range sent {
				between.AddCert(c)
			}
			chains, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, DNSName: "a.test"})
			if want := signer == keys[0]; (err == nil) != want || want && len(chains) != 1 {
				t.Errorf("%d certificates sent: %d chains, error %v", len(sent), len(chains), err)
			}
		}
	}
}

// TestDamagedRoots checks that damaged data are an error, and never fewer certificates.
func TestDamagedRoots(t *testing.T) {
	content := moduleContent(t)
	pack := func(content []byte) string { return packRoots(t, "", content) }
	first, _, err := nextRoot(content)
	if err != nil {
		t.Fatal(err)
	}
	der := string(first.certificate.Raw)
	for name, packed := range map[string]string{
		"no data":                "",
		"no certificate":         pack(nil),
		"no gzip":                string(content),
		"a byte after it":        embeddedRoots + "x",
		"zeros after it":         embeddedRoots + strings.Repeat("\x00", 512),
		"a certificate cut":      pack(content[:len(content)-1]),
		"a line cut":             pack([]byte("\n" + der + "2026-04-15T23:59:59Z")),
		"no line":                pack([]byte(der)),
		"another date":           pack([]byte("2026-04-15\n" + der)),
		"another constraint":     pack([]byte("2026-04-15T23:59:59Z only example.org\n" + der)),
		"an empty certificate":   pack([]byte("\n")),
		"a certificate of zeros": pack(append([]byte("\n"), make([]byte, len(der))...)),
		"a long certificate":     pack([]byte("\n\x30\x84\xff\xff\xff\xff" + der)),
	} {
		if err := loadEmbedded(x509.NewCertPool(), packed); err == nil || !strings.HasPrefix(err.Error(), "embedded CA certificates: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := unpackRoots(pack(make([]byte, maxRoots))); err != nil {
		t.Error(err)
	}
	if _, err := unpackRoots(pack(make([]byte, maxRoots+1))); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large file: error %v", err)
	}
	for n := 0; n < len(embeddedRoots); n += 997 {
		if _, err := unpackRoots(embeddedRoots[:n]); err == nil {
			t.Errorf("the first %d bytes are no error", n)
		}
	}
	sum := crc32.ChecksumIEEE(content)
	for n := 0; n < len(embeddedRoots); n += 499 {
		damaged := []byte(embeddedRoots)
		damaged[n] ^= 1 << (n % 8)
		// Some bytes of the header, such as the name of the system, change nothing.
		if got, err := unpackRoots(string(damaged)); err == nil && (len(got) != len(content) || crc32.ChecksumIEEE(got) != sum) {
			t.Errorf("a wrong byte %d is no error", n)
		}
	}
}

// TestEmbeddedRootsPool checks that every embedded certificate reaches the pool.
func TestEmbeddedRootsPool(t *testing.T) {
	pool, source, err := certificates(&Paths{}, nil)
	if err != nil || source != "the embedded roots" {
		t.Fatal(source, err)
	}
	want := x509.NewCertPool()
	n := 0
	for theirs := range bundle.Roots() {
		c, err := x509.ParseCertificate(theirs.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		want.AddCert(c)
		n++
	}
	//lint:ignore SA1019 Subjects is deprecated for system pools only.
	got, all := pool.Subjects(), want.Subjects()
	if n < 100 || len(got) != n || !slices.EqualFunc(got, all, bytes.Equal) {
		t.Errorf("the pool has %d certificates of %d", len(got), n)
	}
}

// TestRootsVersion checks that the version is read from the header of the data alone, since
// every command needs it.
func TestRootsVersion(t *testing.T) {
	if n := testing.AllocsPerRun(10, func() { RootsVersion() }); n != 0 {
		t.Errorf("%v allocations: it decompresses the data", n)
	}
	before := embeddedRoots
	defer func() { embeddedRoots = before }()
	for packed, want := range map[string]string{
		packRoots(t, "a/module v1.2.3", nil): "v1.2.3",
		packRoots(t, "a/module", nil):        "",
		packRoots(t, "", []byte("x v1.2.3")): "",
		before[:10]:                          "", before[:9]: "", "": "", "no gzip v1.2.3": "",
	} {
		embeddedRoots = packed
		if got := RootsVersion(); got != want {
			t.Errorf("%q: version %q, want %q", packed, got, want)
		}
	}
}

// BenchmarkEmbeddedRoots measures loading the embedded CA certificates.
func BenchmarkEmbeddedRoots(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := loadEmbedded(x509.NewCertPool(), embeddedRoots); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkModuleRoots measures the same with the module, which has them uncompressed.
func BenchmarkModuleRoots(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		pool := x509.NewCertPool()
		for theirs := range bundle.Roots() {
			c, err := x509.ParseCertificate(theirs.Certificate)
			if err != nil {
				b.Fatal(err)
			}
			if theirs.Constraint == nil {
				pool.AddCert(c)
			} else {
				pool.AddCertWithConstraint(c, theirs.Constraint)
			}
		}
	}
}
