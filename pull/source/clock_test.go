package source

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
	"strings"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
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
		c := &Clock{given: test.given, built: built, system: func() time.Time { return test.system }}
		c.learn(test.learned)
		c.learn(given) // never backwards
		if got := c.Now(); !got.Equal(test.want) || c.Behind() != test.behind {
			t.Errorf("%s: %v, behind %v; want %v, %v", test.name, got, c.Behind(), test.want, test.behind)
		}
		if p := c.Policy(); !p.Now.Equal(test.want) || p.Latest.IsZero() == test.behind {
			t.Errorf("%s: signatures from %v to %v", test.name, p.Now, p.Latest)
		}
	}
}

// A minisigner signs as minisign(1) does, which puts the time into the signed comment.
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

// A board's clock starts at a time before the program was built, and the program was built
// before the server's certificate became valid (httptest's certificate begins in 1970).
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
	// start begins a run on the board with one trusted key (nil: --no-validate) and with
	// histories.
	start := func(by *minisigner, given time.Time, histories ...*cache.Cache) *Finder {
		servers := new(Servers)
		if err := servers.Add(server.URL); err != nil {
			t.Fatal(err)
		}
		clock := &Clock{given: given, built: built, system: func() time.Time { return built.Add(-time.Hour) }}
		var keys *pgp.Keyring
		if by != nil {
			var err error
			if keys, err = pgp.ReadKeyring(by.public()); err != nil {
				t.Fatal(err)
			}
		}
		client, err := fetch.NewClient(fetch.Options{TLS: fetch.TLSOptions{CACerts: []string{ca}, Now: clock.Now, ClockBehind: func() bool { return by != nil && clock.Behind() }}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return Open(Options{Servers: servers, Client: client, Keys: keys, Clock: clock, Histories: histories, Mode: lxc.System}, deaf())
	}

	when = begins.Add(time.Hour)
	c := start(&publisher, time.Time{})
	if _, err := c.List(t.Context()); err != nil || !c.trust.clock.Now().Equal(when.Truncate(time.Second)) {
		t.Errorf("a fresh certificate and signature: %v, the time is %v, want %v", err, c.trust.clock.Now(), when)
	}

	var network *fetch.Error
	if _, err := start(nil, time.Time{}).List(t.Context()); !errors.As(err, &network) || network.Kind != fetch.KindClock {
		t.Errorf("a fresh certificate without signatures: %v, want kind %q", err, fetch.KindClock)
	}

	when = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	c = start(&publisher, time.Time{})
	var bad *pgp.BadSignatureError
	if _, err := c.List(t.Context()); !errors.As(err, &bad) || !bad.Future || !c.trust.clock.Now().Equal(built) {
		t.Errorf("a signature of 2099: %v, the time is %v, want %v", err, c.trust.clock.Now(), built)
	}

	// A signature of a possible year advances the clock of runs with this key alone. --time
	// overrides it for certificates; the history still counts.
	far := begins.Add(5 * 365 * 24 * time.Hour).Truncate(time.Second)
	base := t.TempDir()
	history := &cache.Cache{Base: base}
	err := history.UpdateSeen(t.Context(), func([]cache.Seen) ([]cache.Seen, error) {
		signer := start(&publisher, time.Time{}).trust.keys.Fingerprints()[0]
		return []cache.Seen{{Signer: signer, Name: image.Name{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default"}, Build: "1", Signed: far}}, nil
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
		c := start(&test.by, test.given, history)
		if got := c.trust.clock.Now(); !got.Equal(test.want) {
			t.Errorf("%s: the time is %v, want %v", test.name, got, test.want)
		}
		made := signers{keys: c.trust.keys.Fingerprints()[:1], at: begins}
		err := c.checkNotOlder(&image.Image{Name: image.Name{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default"}, Build: "1"}, &made, false)
		if old := test.name != "another key"; (err != nil) != old {
			t.Errorf("%s: an image signed today: %v", test.name, err)
		}
	}
}

// A clock that is later than the program's build, but earlier than a recorded signature by a
// trusted key, lets no older build pass and lowers no record, whether it is the system's
// clock or --time.
func TestClockBehindEvidence(t *testing.T) {
	day := func(month time.Month, d int) time.Time { return time.Date(2026, month, d, 5, 24, 0, 0, time.UTC) }
	publisher := newMinisigner("publisher")
	ring, err := pgp.ReadKeyring(publisher.public())
	if err != nil {
		t.Fatal(err)
	}
	by := ring.Fingerprints()[:1]
	img := func(build string) image.Image {
		return image.Image{Name: image.Name{Dist: "debian", Release: "trixie", Arch: "amd64", Variant: "default"}, Build: build}
	}
	base := t.TempDir()
	start := func(given, system time.Time) (f *Finder, warning string) {
		clock := &Clock{given: given, built: day(10, 30), system: func() time.Time { return system }}
		f = Open(Options{Keys: ring, Clock: clock, Histories: []*cache.Cache{{Base: base}}, Mode: lxc.System}, deaf())
		return f, clock.Warning()
	}
	remember := func(f *Finder, build string, signed time.Time) {
		found := &Found{finder: f, Image: img(build), lxcImage: lxcImage{index: indexUse{signers: signers{keys: by, at: signed}, downloaded: true}}}
		found.Remember(t.Context())
	}
	seen := func() (string, time.Time) {
		list, err := (&cache.Cache{Base: base}).LoadSeen()
		if err != nil || len(list) != 1 {
			t.Fatalf("%d records, %v", len(list), err)
		}
		return list[0].Build, list[0].Signed.UTC()
	}
	const today, old = "20261129_05:24", "20261109_05:24"
	c, said := start(time.Time{}, day(11, 29))
	remember(c, today, day(11, 29))
	if said != "" {
		t.Errorf("a right clock: %s", said)
	}
	for name, clocks := range map[string][2]time.Time{
		"the system's": {{}, day(11, 10)}, "--time": {day(11, 10), day(11, 29)}, "in 1970": {{}, in1970},
	} {
		c, said := start(clocks[0], clocks[1])
		if name == "the system's" && (!c.trust.clock.Behind() || !c.trust.clock.Now().Equal(day(11, 29))) {
			t.Errorf("%s: behind %v, now %v", name, c.trust.clock.Behind(), c.trust.clock.Now())
		}
		if name != "in 1970" && !strings.Contains(said, "behind what was signed on 2026-11-29") {
			t.Errorf("%s: %q", name, said)
		}
		if err := c.checkNotOlder(new(img(old)), &signers{keys: by, at: day(11, 9)}, false); KindOf(err) != Replayed {
			t.Errorf("%s: an old build: %v", name, err)
		}
		if err := c.checkNotOlder(new(img(today)), &signers{keys: by, at: day(11, 29)}, false); err != nil {
			t.Errorf("%s: the newest build: %v", name, err)
		}
		remember(c, old, day(11, 9))
		if build, signed := seen(); build != today || !signed.Equal(day(11, 29)) {
			t.Errorf("%s: the record is of %s, %v", name, build, signed)
		}
		// What ended before that was signed has ended.
		expired := &Found{Meta: lxc.Meta{"expiry": fmt.Append(nil, day(11, 20).Unix())}}
		if err := c.checkFresh(expired); name != "--time" && KindOf(err) != Replayed || c.expired(expired) != (name != "--time") {
			t.Errorf("%s: an expired image: %v", name, err)
		}
	}

	// A date in a build's name that is later than the signature over the index is not taken
	// for a date, and does not replace a recorded one.
	c, _ = start(time.Time{}, day(11, 29))
	for _, build := range []string{"20301231_00:00", "20991231_00:00"} {
		remember(c, build, day(11, 29))
		if got, _ := seen(); got != today {
			t.Errorf("%s is remembered as %s", build, got)
		}
	}
	list := c.note(nil, &cache.Seen{Signer: by[0], Name: img("").Name, Build: "20301231_00:00", Signed: day(11, 29)})
	if list = c.note(list, &cache.Seen{Signer: by[0], Name: img("").Name, Build: today, Signed: day(11, 29)}); list[0].Build != today {
		t.Errorf("a slip stays: %s", list[0].Build)
	}
	// The record of a signature time that can't be true is replaced; with --allow-older every
	// record is.
	far := cache.Seen{Signer: by[0], Name: img("").Name, Build: "20990101_00:00", Signed: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	if list = c.note([]cache.Seen{far}, &cache.Seen{Signer: by[0], Name: img("").Name, Build: today, Signed: day(11, 29)}); list[0].Build != today || !list[0].Signed.Equal(day(11, 29)) {
		t.Errorf("a signature of 2099 stays: %+v", list[0])
	}
	c.opt.AllowOlder = true
	remember(c, old, day(11, 9))
	if build, signed := seen(); build != old || !signed.Equal(day(11, 9)) {
		t.Errorf("--allow-older: the record is of %s, %v", build, signed)
	}
}
