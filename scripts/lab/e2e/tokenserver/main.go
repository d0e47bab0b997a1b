// Command tokenserver is a token server for a registry (distribution, "Token Authentication"): it
// gives who knows the password a token for what was asked for, and others one for repositories
// below "public/".
//
//	tokenserver -listen HOST:PORT -cert FILE -key FILE -issuer NAME -user NAME -password PASSWORD
//
// The certificate, of an ECDSA key on P-256, is that of its TLS server, and the registry's
// rootcertbundle. Tokens end after -life.
package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"
)

// An access is one thing that a token allows.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("tokenserver: ")
	listen := flag.String("listen", "", "`address`")
	cert := flag.String("cert", "", "`file`")
	key := flag.String("key", "", "`file`")
	issuer := flag.String("issuer", "", "`name`")
	user := flag.String("user", "", "`name`")
	password := flag.String("password", "", "")
	life := flag.Duration("life", time.Minute, "of a token")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	signer, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		log.Fatal("the key is not for ECDSA")
	}
	http.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		name, given, basic := r.BasicAuth()
		if basic && (name != *user || given != *password) {
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}`, http.StatusUnauthorized)
			return
		}
		list := []access{}
		for _, scope := range r.URL.Query()["scope"] {
			f := strings.SplitN(scope, ":", 3)
			if len(f) == 3 && (basic || strings.HasPrefix(f[1], "public/")) {
				list = append(list, access{f[0], f[1], strings.Split(f[2], ",")})
			}
		}
		token, err := sign(signer, pair.Certificate[0], map[string]any{
			"iss": *issuer, "sub": name, "aud": r.URL.Query().Get("service"), "jti": rand.Text(),
			"iat": time.Now().Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(*life).Unix(), "access": list,
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": int(life.Seconds())})
	})
	log.Fatal(http.ListenAndServeTLS(*listen, *cert, *key, nil))
}

// sign returns a JSON web token (RFC 7519) of ES256.
func sign(key *ecdsa.PrivateKey, certificate []byte, claims map[string]any) (string, error) {
	header, err := json.Marshal(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(certificate)}})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	both := make([]byte, 64)
	r.FillBytes(both[:32])
	s.FillBytes(both[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(both), nil
}
