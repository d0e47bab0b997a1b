package cli

import (
	"bytes"
	"crypto/ed25519"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"lxc-pull/pgp"
)

// A file of images.linuxcontainers.org verifies with the built-in key alone.
func TestLinuxContainersFile(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "vectors", "openpgp", "linuxcontainers")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("reference vectors, which the checkout may have beside it, are absent")
	}
	name := filepath.Join(dir, "SHA256SUMS")
	var said bytes.Buffer
	by := signers{&ui{out: &said, err: io.Discard}, pgp.LinuxContainers(), pgp.Policy{}}
	if err := by.verifyFile(name+".asc", name); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "good signature by E7FB0CAEC8173D669066514CBAEFF88C22F6E216") {
		t.Errorf("it says %q", said.String())
	}
	sums, err := by.readSums(name+".asc", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := sums["rootfs.tar.xz"]; !ok || len(sums) != 9 {
		t.Errorf("%d digests: %v", len(sums), sums)
	}
}

// After a read error the command never prints a result, whatever it has read before.
func TestVerifyStreamFailedRead(t *testing.T) {
	data := []byte("hello\n")
	keys, err := pgp.ReadKeyring(signify("public key", signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []io.Reader{bytes.NewReader(data), io.MultiReader(bytes.NewReader(data), iotest.ErrReader(io.ErrUnexpectedEOF))} {
		v, err := pgp.NewVerifier(keys, signed(data), pgp.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		_, whole := r.(*bytes.Reader)
		result, err := verifyStream(v, r)
		if whole != (err == nil) || whole != (result != nil) {
			t.Errorf("whole %v: %v, %v", whole, result, err)
		}
	}
}
