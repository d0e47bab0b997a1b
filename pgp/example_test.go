package pgp_test

import (
	"fmt"
	"io"
	"log"
	"strings"

	"lxc-pull/pgp"
)

// The key, made with "gpg --quick-generate-key", and its signatures.
const (
	publicKey = `-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZeyHgBYJKwYBBAHaRw8BAQdAxQzkaiuXtzl4zomRI7F64FmkBNHc2pnJ36r1
hpnSG0q0HEV4YW1wbGUgPGltYWdlc0BleGFtcGxlLm9yZz6IkAQTFggAOBYhBPDi
2O5i1OdpYAO/rYU5CNcJilVhBQJl7IeAAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4B
AheAAAoJEIU5CNcJilVh2LEA+gP24vHCcCD8yRK2J9DqeR+dv4DNFW82sm6iKL3p
YBV6AP9kZJfYKiZwDjy4h/dyjegjvrP35egfgLOP8md0llB1Cw==
=b2Kl
-----END PGP PUBLIC KEY BLOCK-----
`
	signature = `-----BEGIN PGP SIGNATURE-----

iHUEABYIAB0WIQTw4tjuYtTnaWADv62FOQjXCYpVYQUCZeyHgAAKCRCFOQjXCYpV
Yc81AP9Dw7TcaEDWj8VF2adovnob5h6gOCGAwlZd8uo+qSRZSAEA8Au9AKv6LDIf
upXM+OFk89/qp9r6aJdj8i7j+iuPfAc=
=kbx4
-----END PGP SIGNATURE-----
`
	message = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

hello, world
-----BEGIN PGP SIGNATURE-----

iHUEARYIAB0WIQTw4tjuYtTnaWADv62FOQjXCYpVYQUCZeyHgAAKCRCFOQjXCYpV
YTXhAQDe8eoNxvGKY2+56TjsVw2szUXHsDM+VvM1tVLQSwl0pgEA7GhB91kLfPd7
5lTXevhrZryNJzTeMDkJavyRftlO2gM=
=gwui
-----END PGP SIGNATURE-----
`
)

// A file is verified while it is read. Nothing of it may be used before Finish succeeds.
func ExampleNewVerifier() {
	keyring, err := pgp.ReadKeyring([]byte(publicKey))
	if err != nil {
		log.Fatal(err)
	}
	v, err := pgp.NewVerifier(keyring, []byte(signature), pgp.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	file := strings.NewReader("hello, world\n")
	if _, err := io.Copy(v, file); err != nil {
		log.Fatal(err)
	}
	result, err := v.Finish()
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range result.Signatures {
		fmt.Println(s.Created.Format("2006-01-02"), s.Fingerprint)
	}
	// Output: 2024-03-09 F0E2D8EE62D4E7696003BFAD853908D7098A5561
}

// Only the returned text is signed, not all of the message.
func ExampleVerifyCleartext() {
	keyring, err := pgp.ReadKeyring([]byte(publicKey))
	if err != nil {
		log.Fatal(err)
	}
	text, _, err := pgp.VerifyCleartext(keyring, []byte(message), pgp.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", text)
	// Output: hello, world
}
