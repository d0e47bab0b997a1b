package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

var in1970 = time.Unix(4, 0)

func TestClock(t *testing.T) {
	built := time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC)
	later := built.Add(300 * 24 * time.Hour)
	given := built.Add(-24 * time.Hour)
	far := built.Add(maxAge + time.Hour)
	for _, test := range []struct {
		name                   string
		given, system, learned time.Time
		want                   time.Time
		behind                 bool
	}{
		{"the system's", time.Time{}, later, time.Time{}, later, false},
		{"the system's, a signature of the same day", time.Time{}, built, built.Add(slack), built, false},
		{"the system's, a later signature", time.Time{}, built, later, later, true},
		{"the system's, a signature too far off", time.Time{}, built, far, built, false},
		{"1970", time.Time{}, in1970, time.Time{}, built, true},
		{"1970, a signature", time.Time{}, in1970, later, later, true},
		{"1970, an old signature", time.Time{}, in1970, given, built, true},
		{"1970, a signature too far off", time.Time{}, in1970, far, built, true},
		{"--time", given, in1970, later, given, false},
	} {
		c := &clock{given: test.given, built: built, system: func() time.Time { return test.system }}
		c.learn(test.learned)
		c.learn(given) // never backwards
		if got := c.now(); !got.Equal(test.want) || c.behind() != test.behind {
			t.Errorf("%s: %v, behind %v; want %v, %v", test.name, got, c.behind(), test.want, test.behind)
		}
		if p := c.policy(); !p.Now.Equal(test.want) || p.Latest.IsZero() == test.behind {
			t.Errorf("%s: signatures from %v to %v", test.name, p.Now, p.Latest)
		}
	}
}

func TestVersionDate(t *testing.T) {
	for version, want := range map[string]string{
		"v0.0.0-20261030153154-30a33513ff6d":       "2026-10-30T15:31:54Z",
		"v1.2.4-0.20261030153154-30a33513ff6d":     "2026-10-30T15:31:54Z",
		"v1.2.4-pre.0.20261030153154-30a33513ff6d": "2026-10-30T15:31:54Z",
		"v0.0.0-20261030153154-30a33513ff6d+dirty": "2026-10-30T15:31:54Z",
		"v0.0.0-20261399999999-30a33513ff6d":       "",
		"v1.20.3":                                  "", "(devel)": "", "": "", "v1-2-3": "",
	} {
		got := ""
		if d := versionDate(version); !d.IsZero() {
			got = d.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

// minisigner signs as minisign(1) does, which puts the time into the signed
// comment.
type minisigner struct{ key ed25519.PrivateKey }

func newMinisigner(seed string) minisigner {
	sum := sha256.Sum256([]byte(seed))
	return minisigner{ed25519.NewKeyFromSeed(sum[:])}
}

func (m minisigner) blob(payload []byte) string {
	public := m.key.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(append(append([]byte("Ed"), public[:8]...), payload...))
}

func (m minisigner) public() []byte {
	return fmt.Appendf(nil, "untrusted comment: a test's\n%s\n", m.blob(m.key.Public().(ed25519.PublicKey)))
}

func (m minisigner) sign(data []byte, when time.Time) []byte {
	sig := ed25519.Sign(m.key, data)
	comment := fmt.Sprintf("timestamp:%d", when.Unix())
	global := ed25519.Sign(m.key, append(bytes.Clone(sig), comment...))
	return fmt.Appendf(nil, "untrusted comment: a test's\n%s\ntrusted comment: %s\n%s\n", m.blob(sig), comment, base64.StdEncoding.EncodeToString(global))
}

// TestClockless is a board whose clock starts before its program was built, and
// that before the server's certificate began (httptest's, in 1970).
func TestClockless(t *testing.T) {
	index := []byte("debian;trixie;amd64;default;20260829_05:24;/images/debian/trixie/amd64/default/20260829_05:24/\n")
	publisher, another := newMinisigner("publisher"), newMinisigner("another")
	var when time.Time // of the signature
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/meta/1.0/index-system":
			w.Write(index)
		case "/meta/1.0/index-system.asc":
			w.Write(publisher.sign(index, when))
		default:
			http.NotFound(w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	begins := server.Certificate().NotBefore
	built := begins.Add(-300 * 24 * time.Hour)
	// start begins a run on the board that trusts a key, nil being --no-validate.
	start := func(by *minisigner, given time.Time) *creation {
		c := newCreation(&ui{out: &bytes.Buffer{}, err: &bytes.Buffer{}}, options{}, lxc.HostNamespace)
		var err error
		if c.servers, err = newServers(&options{servers: []string{server.URL}}); err != nil {
			t.Fatal(err)
		}
		c.trust.clock = &clock{given: given, built: built, system: func() time.Time { return built.Add(-time.Hour) }}
		if by != nil {
			ring, err := pgp.ReadKeyring(by.public())
			if err != nil {
				t.Fatal(err)
			}
			c.trust.ring = ring
		}
		network := networkOptions{cacerts: []string{ca}}
		if c.client, err = network.client("", []string{server.URL}, c.trust.clock, by != nil, &retryNotes{ui: c.ui}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.client.Close)
		return c
	}

	when = begins.Add(time.Hour)
	c := start(&publisher, time.Time{})
	if _, err := c.fetchIndex(t.Context()); err != nil || !c.trust.clock.now().Equal(when.Truncate(time.Second)) {
		t.Errorf("a fresh certificate and signature: %v, the time is %v, want %v", err, c.trust.clock.now(), when)
	}

	var network *fetch.Error
	if _, err := start(nil, time.Time{}).fetchIndex(t.Context()); !errors.As(err, &network) || network.Kind != fetch.KindClock {
		t.Errorf("a fresh certificate without signatures: %v, want kind %q", err, fetch.KindClock)
	}

	when = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	c = start(&publisher, time.Time{})
	var bad *pgp.BadSignatureError
	if _, err := c.fetchIndex(t.Context()); !errors.As(err, &bad) || !bad.Future || !c.trust.clock.now().Equal(built) {
		t.Errorf("a signature of 2099: %v, the time is %v, want %v", err, c.trust.clock.now(), built)
	}

	// One of the years that are believed moves this key's runs alone. --time takes
	// it back for certificates; what was seen still counts.
	far := begins.Add(5 * 365 * 24 * time.Hour).Truncate(time.Second)
	cache := t.TempDir()
	t.Setenv("LXC_CACHE_PATH", cache)
	err := (&fetch.Cache{Base: cache}).UpdateSeen(t.Context(), func([]fetch.Seen) ([]fetch.Seen, error) {
		signer := start(&publisher, time.Time{}).trust.ring.Fingerprints()[0]
		return []fetch.Seen{{Signer: signer, Key: fetch.Key{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default"}, Build: "1", Signed: far}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		by    minisigner
		given time.Time
		want  time.Time
	}{
		{"the same key", publisher, time.Time{}, far},
		{"another key", another, time.Time{}, built},
		{"--time", publisher, begins, begins},
	} {
		c := start(&test.by, test.given)
		c.recallTime()
		if got := c.trust.clock.now(); !got.Equal(test.want) {
			t.Errorf("%s: the time is %v, want %v", test.name, got, test.want)
		}
		made := signature{c.trust.ring.Fingerprints()[:1], begins}
		err := c.checkNotOlder(image.Image{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default", Build: "1"}, made, false)
		if old := test.name != "another key"; (err != nil) != old {
			t.Errorf("%s: an image signed today: %v", test.name, err)
		}
	}
}

// TestClockBehindEvidence: a clock after the program's build, but before what a
// trusted key was seen to have signed, lets nothing older pass and lowers no
// record, whether it is the system's or --time.
func TestClockBehindEvidence(t *testing.T) {
	day := func(month time.Month, d int) time.Time { return time.Date(2026, month, d, 5, 24, 0, 0, time.UTC) }
	publisher := newMinisigner("publisher")
	ring, err := pgp.ReadKeyring(publisher.public())
	if err != nil {
		t.Fatal(err)
	}
	signers := ring.Fingerprints()[:1]
	img := func(build string) image.Image {
		return image.Image{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default", Build: build}
	}
	cache := t.TempDir()
	t.Setenv("LXC_CACHE_PATH", cache)
	start := func(given, system time.Time) (*creation, *bytes.Buffer) {
		var said bytes.Buffer
		c := newCreation(&ui{out: io.Discard, err: &said}, options{}, lxc.HostNamespace)
		c.trust.ring = ring
		c.trust.clock = &clock{given: given, built: day(10, 30), system: func() time.Time { return system }}
		c.recallTime()
		c.trust.clock.warn(c.ui)
		return c, &said
	}
	seen := func() (string, time.Time) {
		list, err := (&fetch.Cache{Base: cache}).LoadSeen()
		if err != nil || len(list) != 1 {
			t.Fatalf("%d records, %v", len(list), err)
		}
		return list[0].Build, list[0].Signed.UTC()
	}
	const today, old = "20261129_05:24", "20261109_05:24"
	c, said := start(time.Time{}, day(11, 29))
	c.remember(t.Context(), &source{image: img(today), made: signature{signers, day(11, 29)}})
	if said.Len() > 0 {
		t.Errorf("a right clock: %s", said)
	}
	for name, clocks := range map[string][2]time.Time{
		"the system's": {{}, day(11, 10)}, "--time": {day(11, 10), day(11, 29)}, "in 1970": {{}, in1970},
	} {
		c, said := start(clocks[0], clocks[1])
		if name == "the system's" && (!c.trust.clock.behind() || !c.trust.clock.now().Equal(day(11, 29))) {
			t.Errorf("%s: behind %v, now %v", name, c.trust.clock.behind(), c.trust.clock.now())
		}
		if name != "in 1970" && bytes.Count(said.Bytes(), []byte("behind what was signed on 2026-11-29")) != 1 {
			t.Errorf("%s: %q", name, said)
		}
		var replay *replayError
		if err := c.checkNotOlder(img(old), signature{signers, day(11, 9)}, false); !errors.As(err, &replay) {
			t.Errorf("%s: an old build: %v", name, err)
		}
		if err := c.checkNotOlder(img(today), signature{signers, day(11, 29)}, false); err != nil {
			t.Errorf("%s: the newest build: %v", name, err)
		}
		c.remember(t.Context(), &source{image: img(old), made: signature{signers, day(11, 9)}})
		if build, signed := seen(); build != today || !signed.Equal(day(11, 29)) {
			t.Errorf("%s: the record is of %s, %v", name, build, signed)
		}
		// What ended before that was signed has ended.
		expired := &source{meta: lxc.Meta{"expiry": fmt.Append(nil, day(11, 20).Unix())}}
		if err := c.checkFresh(expired); name != "--time" && !errors.As(err, &replay) || expired.expired(c) != (name != "--time") {
			t.Errorf("%s: an expired image: %v", name, err)
		}
	}

	// A build's name that is later than the signature over it is no date, and takes
	// no date's place.
	c, _ = start(time.Time{}, day(11, 29))
	for _, build := range []string{"20301231_00:00", "20991231_00:00"} {
		c.remember(t.Context(), &source{image: img(build), made: signature{signers, day(11, 29)}})
		if got, _ := seen(); got != today {
			t.Errorf("%s is remembered as %s", build, got)
		}
	}
	list := c.note(nil, fetch.Seen{Signer: signers[0], Key: keyOf(img("")), Build: "20301231_00:00", Signed: day(11, 29)})
	if list = c.note(list, fetch.Seen{Signer: signers[0], Key: keyOf(img("")), Build: today, Signed: day(11, 29)}); list[0].Build != today {
		t.Errorf("a slip stays: %s", list[0].Build)
	}
	// A signature that can't be true gives way; with --allow-older all do.
	far := fetch.Seen{Signer: signers[0], Key: keyOf(img("")), Build: "20990101_00:00", Signed: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	if list = c.note([]fetch.Seen{far}, fetch.Seen{Signer: signers[0], Key: keyOf(img("")), Build: today, Signed: day(11, 29)}); list[0].Build != today || !list[0].Signed.Equal(day(11, 29)) {
		t.Errorf("a signature of 2099 stays: %+v", list[0])
	}
	c.opt.allowOlder = true
	c.remember(t.Context(), &source{image: img(old), made: signature{signers, day(11, 9)}})
	if build, signed := seen(); build != old || !signed.Equal(day(11, 9)) {
		t.Errorf("--allow-older: the record is of %s, %v", build, signed)
	}
}
