package source

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

// An openPGP signs as OpenPGP does (RFC 9580), with an Ed25519 key of version 4.
type openPGP struct {
	key ed25519.PrivateKey
	at  time.Time // of signatures; zero: now
}

func newOpenPGP(seed string) openPGP {
	sum := sha256.Sum256([]byte(seed))
	return openPGP{key: ed25519.NewKeyFromSeed(sum[:])}
}

func packet(tag byte, body []byte) []byte {
	return append([]byte{0xc0 | tag, 0xff, byte(len(body) >> 24), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func (k openPGP) public() []byte {
	body := binary.BigEndian.AppendUint32([]byte{4}, 1500000000)
	return append(append(body, 27), k.key.Public().(ed25519.PublicKey)...)
}

func (k openPGP) fingerprint() []byte {
	body := k.public()
	sum := sha1.Sum(append([]byte{0x99, 0, byte(len(body))}, body...))
	return sum[:]
}

// signature returns a signature packet; over is what is hashed before its own fields.
func (k openPGP) signature(kind byte, over []byte, at time.Time, more ...byte) []byte {
	hashed := append([]byte{5, 2}, binary.BigEndian.AppendUint32(nil, uint32(at.Unix()))...)
	hashed = append(append(hashed, 22, 33, 4), k.fingerprint()...)
	hashed = append(hashed, more...)
	body := append([]byte{4, kind, 27, 10, byte(len(hashed) >> 8), byte(len(hashed))}, hashed...)
	sum := sha512.Sum512(append(append(bytes.Clone(over), body...), 4, 0xff, 0, 0, 0, byte(len(body))))
	body = append(body, 0, 0, sum[0], sum[1])
	return packet(2, append(body, ed25519.Sign(k.key, sum[:])...))
}

func (k openPGP) certificate() []byte {
	user := []byte("test")
	over := append([]byte{0x99, 0, byte(len(k.public()))}, k.public()...)
	over = append(append(over, 0xb4, 0, 0, 0, byte(len(user))), user...)
	return bytes.Join([][]byte{packet(6, k.public()), packet(13, user), k.signature(0x13, over, time.Unix(1500000000, 0), 2, 27, 3)}, nil)
}

func (k openPGP) time() time.Time {
	if k.at.IsZero() {
		return time.Now()
	}
	return k.at
}

// binary returns a detached signature; more are subpackets.
func (k openPGP) binary(data []byte, more ...byte) []byte {
	return k.signature(0, data, k.time(), more...)
}

func armored(packets []byte) []byte {
	return fmt.Appendf(nil, "-----BEGIN PGP SIGNATURE-----\n\n%s\n-----END PGP SIGNATURE-----\n", base64.StdEncoding.EncodeToString(packets))
}

func (k openPGP) armor(data []byte) []byte { return armored(k.binary(data)) }

func (k openPGP) clear(text []byte) []byte {
	over := bytes.ReplaceAll(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"), []byte("\r\n"))
	return append(append([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"), text...), armored(k.signature(1, over, k.time()))...)
}

// notation returns the subpacket with the path of the signed file.
func notation(path string) []byte {
	body := append([]byte{20, 0x80, 0, 0, 0, 0, byte(len(pathNotation)), 0, byte(len(path))}, pathNotation+path...)
	return append([]byte{byte(len(body))}, body...)
}

// A site is a web server whose files are in memory.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string][]byte // by path
	handle map[string]http.HandlerFunc
	asked  map[string]int
}

func newSite(t *testing.T) *site {
	s := &site{files: map[string][]byte{}, handle: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.URL.Path]++
		data, ok := s.files[r.URL.Path]
		handle := s.handle[r.URL.Path]
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/octet-stream")
		switch {
		case handle != nil:
			handle(w, r)
		case !ok:
			http.NotFound(w, r)
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// urlOptions are the options of a Finder of a file at a URL, with these keys; nil: the user wants
// no checks.
func urlOptions(t *testing.T, file File, base string, keys ...[]byte) Options {
	t.Helper()
	var rings []*pgp.Keyring
	for _, each := range keys {
		ring, err := pgp.ReadKeyring(each)
		if err != nil {
			t.Fatal(err)
		}
		rings = append(rings, ring)
	}
	opt := Options{Clock: NewClock(time.Time{}, time.Now()), Mode: lxc.System, Wanted: Wanted{File: &file}}
	if keys != nil {
		opt.Keys = pgp.Merge(rings...)
	}
	if base != "" {
		opt.Cache = &cache.Cache{Base: base}
		opt.Histories = []*cache.Cache{opt.Cache}
	}
	var err error
	if opt.Client, err = fetch.NewClient(fetch.Options{Limits: fetch.LimitOptions{Retries: -1}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opt.Client.Close() })
	return opt
}

// getURL finds the file and reads it, as a run does.
func getURL(t *testing.T, opt Options, tell Listener) (*Found, string, error) {
	t.Helper()
	if tell.Image == nil {
		tell.Image = func(image.Image, string, bool) {}
	}
	if tell.Begin == nil {
		tell.Begin = func(string, int64, int64) io.WriteCloser { return nothing{io.Discard} }
	}
	f := Open(opt, tell)
	spooled := 0
	f.Provide(1<<20, spoolIn(t, &spooled))
	found, err := f.Find(t.Context(), image.Query{})
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(found.Close)
	found.Accept()
	for {
		text, err := read(t, found)
		if err == nil {
			found.Keep()
			found.Remember(t.Context())
			return found, text, nil
		}
		found.Forget(err)
		next, err := f.Next(t.Context(), found, err)
		if err != nil {
			return nil, "", err
		}
		found = next
	}
}

const rootfsText = "the root file system"

func gnuLine(data []byte, mark, name string) string {
	return fmt.Sprintf("%x %s%s\n", sha256.Sum256(data), mark, name)
}

func gnuLine512(data []byte, name string) string {
	return fmt.Sprintf("%x  %s\n", sha512.Sum512(data), name)
}

// A layout is how a publisher publishes. make returns the files beside the root file system, by
// name, for a root file system of that text.
type layout struct {
	publisher, file string
	make            func(k openPGP, name string, data []byte) map[string][]byte
	vouches         bool
	early           bool // the SHA-256 is known before the download
}

func layouts() []layout {
	type files = map[string][]byte
	other := gnuLine([]byte("other"), " ", "other.tar.gz")
	small := newMinisigner("void")
	return []layout{
		{"Alpine", "alpine-minirootfs-3.22.1-x86_64.tar.gz", func(k openPGP, n string, d []byte) files {
			return files{n + ".sha256": []byte(gnuLine(d, " ", n)), n + ".sha512": []byte(gnuLine512(d, n)), n + ".asc": k.armor(d)}
		}, true, false},
		{"Arch Linux ARM", "ArchLinuxARM-aarch64-latest.tar.gz", func(k openPGP, n string, d []byte) files {
			return files{n + ".md5": fmt.Appendf(nil, "%x  %s\n", md5.Sum(d), n), n + ".sig": k.binary(d)}
		}, true, false},
		{"Arch Linux", "archlinux-bootstrap-2026.11.01-x86_64.tar.zst", func(k openPGP, n string, d []byte) files {
			return files{n + ".sig": k.binary(d), "sha256sums.txt": []byte(other + gnuLine(d, " ", n)), "b2sums.txt": []byte("x")}
		}, true, false},
		{"Gentoo", "stage3-amd64-openrc-20261101T164548Z.tar.xz", func(k openPGP, n string, d []byte) files {
			text := fmt.Sprintf("# BLAKE2B HASH\n%x  %s\n# SHA512 HASH\n%s# BLAKE2B HASH\n%[1]x  %[2]s.CONTENTS.gz\n", sha512.Sum512([]byte("b2")), n, gnuLine512(d, n))
			return files{n + ".DIGESTS": k.clear([]byte(text)), n + ".asc": k.armor(d), n + ".sha256": k.clear([]byte("# SHA256 HASH\n" + gnuLine(d, " ", n)))}
		}, true, true},
		{"Gentoo's DIGESTS", "stage3-amd64-openrc-20261101T164548Z.tar.xz", func(k openPGP, n string, d []byte) files {
			text := fmt.Sprintf("# WHIRLPOOL HASH\n%x  %s\n# SHA512 HASH\n%s", sha512.Sum512([]byte("b2")), n, gnuLine512(d, n))
			return files{n + ".DIGESTS": k.clear([]byte(text))}
		}, true, false},
		{"Gentoo until 2021", "stage3-amd64-20210101T164548Z.tar.xz", func(k openPGP, n string, d []byte) files {
			text := []byte("# SHA512 HASH\n" + gnuLine512(d, n))
			return files{n + ".DIGESTS": text, n + ".DIGESTS.asc": k.clear(text)}
		}, true, false},
		{"Void", "void-x86_64-ROOTFS-20250202.tar.xz", func(_ openPGP, n string, d []byte) files {
			list := fmt.Appendf(nil, "SHA256 (other.iso) = %x\nSHA256 (%s) = %x\n", sha256.Sum256(nil), n, sha256.Sum256(d))
			return files{"sha256sum.txt": list, "sha256sum.sig": small.sign(list, time.Now())}
		}, true, true},
		{"OpenWrt", "openwrt-24.10.0-x86-64-rootfs.tar.gz", func(k openPGP, n string, d []byte) files {
			list := []byte(other + gnuLine(d, "*", n))
			return files{"sha256sums": list, "sha256sums.asc": k.armor(list), "sha256sums.sig": []byte("untrusted comment: x\nRW==\n")}
		}, true, true},
		{"OpenWrt's usign", "openwrt-24.10.0-x86-64-rootfs.tar.gz", func(_ openPGP, n string, d []byte) files {
			list := []byte(gnuLine(d, "*", n))
			return files{"sha256sums": list, "sha256sums.sig": signed(list)}
		}, true, true},
		{"Ubuntu Base", "ubuntu-base-24.04.1-base-amd64.tar.gz", func(k openPGP, n string, d []byte) files {
			list := []byte(other + gnuLine(d, "*", n))
			return files{"SHA256SUMS": list, "SHA256SUMS.gpg": k.armor(list)}
		}, true, true},
		{"Kali", "kali-nethunter-rootfs-full-arm64.tar.xz", func(k openPGP, n string, d []byte) files {
			list := []byte(gnuLine(d, " ", n))
			return files{"SHA256SUMS": list, "SHA256SUMS.gpg": k.binary(list), n + ".asc": newOpenPGP("stranger").armor(d)}
		}, true, true},
		{"Fedora", "Fedora-Container-Base-Generic-44-1.7.x86_64.tar.xz", func(k openPGP, n string, d []byte) files {
			return files{"CHECKSUM": k.clear(fmt.Appendf(nil, "# %s: %d bytes\nSHA256 (%s) = %x\n", n, len(d), n, sha256.Sum256(d)))}
		}, true, true},
		{"CentOS", "CentOS-Container.x86_64.tar.xz", func(k openPGP, n string, d []byte) files {
			return files{n + "-CHECKSUM": k.clear(fmt.Appendf(nil, "SHA256 (%s) = %x\n", n, sha256.Sum256(d)))}
		}, true, true},
		{"openSUSE", "openSUSE-Tumbleweed-Container.x86_64.tar.xz", func(k openPGP, n string, d []byte) files {
			list := []byte(gnuLine(d, " ", n))
			return files{n + ".sha256": list, n + ".sha256.asc": k.armor(list)}
		}, true, true},
		{"linuxcontainers.org", "rootfs.tar.xz", func(k openPGP, n string, d []byte) files {
			list := []byte(gnuLine(d, " ", n) + gnuLine(nil, " ", "meta.tar.xz"))
			return files{"SHA256SUMS": list, "SHA256SUMS.asc": k.armor(list)}
		}, true, true},
		{"each file alone", "rootfs.tar.xz", func(k openPGP, n string, d []byte) files {
			return files{n + ".minisig": small.sign(d, time.Now())}
		}, true, false},
		{"GnuPG's usual name", "rootfs.tar.xz", func(k openPGP, n string, d []byte) files {
			return files{n + ".gpg": k.binary(d)}
		}, true, false},
		{"Debian's tarballs for Docker", "rootfs.tar.xz", func(_ openPGP, n string, d []byte) files {
			return files{n + ".sha256": fmt.Appendf(nil, "%x\n", sha256.Sum256(d))}
		}, false, true},
		{"a list of SHA-512", "rootfs.tar.xz", func(_ openPGP, n string, d []byte) files {
			return files{"SHA512SUMS": []byte(gnuLine512(d, n))}
		}, false, false},
		{"nothing", "rootfs.tar.xz", func(openPGP, string, []byte) files { return files{} }, false, false},
	}
}

// Every publisher's layout is recognised: with the right key, with another one, without checks,
// and with a root file system that is not the one for which somebody vouches.
func TestURLLayouts(t *testing.T) {
	good := newOpenPGP("publisher")
	keys := [][]byte{good.certificate(), newMinisigner("void").public(), signify(signer().Public().(ed25519.PublicKey))}
	stranger := [][]byte{newOpenPGP("somebody").certificate()}
	for _, l := range layouts() {
		t.Run(l.publisher, func(t *testing.T) {
			s := newSite(t)
			dir := "/pub/x/"
			put := func(rootfs string) {
				s.files = map[string][]byte{dir + l.file: []byte(rootfs)}
				for name, data := range l.make(good, l.file, []byte(rootfsText)) {
					s.files[dir+name] = data
				}
			}
			at := File{Path: s.URL + dir + l.file}
			get := func(keys ...[]byte) (string, error) {
				found, text, err := getURL(t, urlOptions(t, at, t.TempDir(), keys...), deaf())
				if err == nil && (len(found.Signers()) > 0) != (l.vouches && keys != nil) {
					t.Errorf("signers %v", found.Signers())
				}
				return text, err
			}
			put(rootfsText)
			text, err := get(keys...)
			if l.vouches && (text != rootfsText || err != nil) {
				t.Errorf("with the key: %q, %v", text, err)
			}
			if !l.vouches && KindOf(err) != Unverified {
				t.Errorf("nobody vouches: %v", err)
			}
			if !l.vouches && l.early && !strings.Contains(err.Error(), fmt.Sprintf("%x", sha256.Sum256([]byte(rootfsText)))) {
				t.Errorf("the digest is not said: %v", err)
			}
			if _, err := get(stranger...); KindOf(err) != Unverified || s.asked[dir+l.file] > 10 {
				t.Errorf("with another key: %v", err)
			}
			if text, err := get(); text != rootfsText || err != nil {
				t.Errorf("without checks: %q, %v", text, err)
			}
			put("another file systems") // of the same size
			if _, err := get(keys...); KindOf(err) != Unverified {
				t.Errorf("another file, with the key: %v", err)
			}
			delete(s.files, dir+l.file)
			if _, err := get(keys...); KindOf(err) != NotFound {
				t.Errorf("no file: %v", err)
			}
		})
	}
}

// A urlTest is a file at a URL, and what a run says about it.
type urlTest struct {
	t    *testing.T
	site *site
	key  openPGP
	file File
	base string // of the cache
}

const urlName, urlPath = "base-1.2.3-amd64.tar.gz", "/pub/x/base-1.2.3-amd64.tar.gz"

func newURLTest(t *testing.T) *urlTest {
	u := &urlTest{t: t, site: newSite(t), key: newOpenPGP("publisher"), base: t.TempDir()}
	u.file.Path = u.site.URL + urlPath
	u.put(urlName, []byte(rootfsText))
	return u
}

func (u *urlTest) put(name string, data []byte) { u.site.files["/pub/x/"+name] = data }

func (u *urlTest) options() Options {
	return urlOptions(u.t, u.file, u.base, u.key.certificate())
}

// get runs with these options and returns the text of the root file system.
func (u *urlTest) get(opt Options) (*Found, string, error) {
	u.t.Helper()
	return getURL(u.t, opt, deaf())
}

// check runs and compares the Kind of the error, or the text if it is zero.
func (u *urlTest) check(what string, opt Options, kind Kind) error {
	u.t.Helper()
	_, text, err := u.get(opt)
	if KindOf(err) != kind || kind == 0 && (err != nil || text != rootfsText) {
		u.t.Errorf("%s: %q, kind %d, %v", what, text, KindOf(err), err)
	}
	return err
}

// What is beside the file is right, wrong, or something else.
func TestURLEvidence(t *testing.T) {
	data := []byte(rootfsText)
	stranger := newOpenPGP("stranger")
	list := []byte(gnuLine(data, " ", urlName))
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!DOCTYPE html><html><body>not found</body></html>")
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	others := strings.Fields(strings.ReplaceAll(besideNames, "|", " "))
	for _, c := range []struct {
		name string
		make func(u *urlTest)
		kind Kind
		says string
	}{
		{"a signature of another file", func(u *urlTest) { u.put(urlName+".asc", u.key.armor([]byte("other"))) }, Unverified, "bad signature"},
		{"a changed signature", func(u *urlTest) {
			sig := u.key.binary(data)
			sig[len(sig)-1] ^= 1
			u.put(urlName+".sig", sig)
		}, Unverified, "bad signature"},
		{"a list that was changed", func(u *urlTest) {
			u.put("SHA256SUMS", list)
			u.put("SHA256SUMS.gpg", u.key.binary([]byte(gnuLine(nil, " ", urlName))))
		}, Unverified, "bad signature"},
		{"a changed list with its signature in it", func(u *urlTest) {
			u.put("CHECKSUM", bytes.Replace(u.key.clear(list), []byte(urlName), []byte("base-1.2.3-amd64.tar.gx"), 1))
		}, Unverified, "bad signature"},
		{"another key's signature", func(u *urlTest) { u.put(urlName+".asc", stranger.armor(data)) }, Unverified, fmt.Sprintf("%X", stranger.fingerprint())},
		{"another key's list", func(u *urlTest) {
			u.put("SHA256SUMS", list)
			u.put("SHA256SUMS.asc", stranger.armor(list))
		}, Unverified, fmt.Sprintf("%X", stranger.fingerprint())},
		{"another key's signature beside a good list", func(u *urlTest) {
			u.put(urlName+".asc", stranger.armor(data))
			u.put("sha256sums", list)
			u.put("sha256sums.asc", u.key.armor(list))
		}, 0, ""},
		{"both keys", func(u *urlTest) {
			u.put(urlName+".sig", append(stranger.binary(data), u.key.binary(data)...))
		}, 0, ""},
		{"a list without the file", func(u *urlTest) {
			other := []byte(gnuLine(data, " ", "other.tar.gz"))
			u.put("SHA256SUMS", other)
			u.put("SHA256SUMS.gpg", u.key.binary(other))
		}, Unverified, "no signature beside it"},
		{"a signed list without the file", func(u *urlTest) {
			u.put("CHECKSUM", u.key.clear([]byte(gnuLine(data, " ", "other.tar.gz"))))
		}, Unverified, "does not name"},
		{"a renamed file", func(u *urlTest) {
			u.put("CHECKSUM", u.key.clear([]byte(gnuLine(data, " ", "old/"+urlName))))
		}, Unverified, "does not name"},
		{"a list with two digests", func(u *urlTest) {
			two := append(bytes.Clone(list), gnuLine(nil, " ", urlName)...)
			u.put("SHA256SUMS", two)
			u.put("SHA256SUMS.gpg", u.key.binary(two))
		}, Unverified, "two digests"},
		{"a signed text that is no list", func(u *urlTest) { u.put("CHECKSUM", u.key.clear(append([]byte("log\n"), list...))) }, Unverified, "not a digest"},
		{"a signed digest without a name", func(u *urlTest) {
			u.put(urlName+".sha256", fmt.Appendf(nil, "%x\n", sha256.Sum256(data)))
			u.put(urlName+".sha256.asc", u.key.armor(fmt.Appendf(nil, "%x\n", sha256.Sum256(data))))
		}, Unverified, "not a digest and a name"},
		{"lists that differ", func(u *urlTest) {
			u.put(urlName+".sha256", []byte(gnuLine(nil, " ", urlName)))
			u.put("SHA256SUMS", list)
			u.put("SHA256SUMS.asc", u.key.armor(list))
		}, Unverified, "is not that in"},
		{"a list that differs from the signature", func(u *urlTest) {
			u.put(urlName+".sha256", []byte(gnuLine(nil, " ", urlName)))
			u.put(urlName+".asc", u.key.armor(data))
		}, Unverified, "another digest"},
		{"web pages", func(u *urlTest) {
			for _, name := range others {
				u.site.handle["/pub/x/"+strings.Replace(urlName+name, urlName+"S", "S", 1)] = page
				u.site.handle["/pub/x/"+name] = page
			}
			delete(u.site.handle, urlPath+".asc")
			u.put(urlName+".asc", u.key.armor(data))
		}, 0, ""},
		{"an object store", func(u *urlTest) {
			u.site.handle[urlPath+".asc"], u.site.handle["/pub/x/SHA256SUMS"] = status(403), status(401)
			u.put(urlName+".sig", u.key.binary(data))
		}, 0, ""},
		{"a server that fails for one file", func(u *urlTest) {
			u.site.handle[urlPath+".asc"] = status(500)
			u.put(urlName+".sig", u.key.binary(data))
		}, 0, ""},
		{"a server that fails for the only file", func(u *urlTest) { u.site.handle[urlPath+".asc"] = status(500) }, Network, "500"},
		{"a large list", func(u *urlTest) {
			u.put("SHA256SUMS", bytes.Repeat([]byte("x"), maxSums+1))
		}, Unverified, "are allowed"},
		{"a large signature", func(u *urlTest) {
			u.put(urlName+".asc", append(u.key.armor(data), bytes.Repeat([]byte("\n"), maxSignature)...))
		}, Unverified, "are allowed"},
		{"an empty signature", func(u *urlTest) { u.put(urlName+".asc", []byte{}) }, Unverified, "not a valid signature file"},
		{"another directory's signature", func(u *urlTest) {
			u.put(urlName+".sig", u.key.binary(data, notation("pub/y/"+urlName)...))
		}, Unverified, "it was signed as"},
		{"this directory's signature", func(u *urlTest) {
			u.put(urlName+".sig", u.key.binary(data, notation("x/"+urlName)...))
		}, 0, ""},
		{"another directory's list", func(u *urlTest) {
			u.put("SHA256SUMS", list)
			u.put("SHA256SUMS.gpg", u.key.binary(list, notation("pub/y/SHA256SUMS")...))
		}, Unverified, "it was signed as"},
		{"from the future", func(u *urlTest) {
			u.key.at = time.Now().Add(72 * time.Hour)
			u.put(urlName+".sig", u.key.binary(data))
		}, Unverified, "future"},
		{"MD5", func(u *urlTest) { u.put(urlName+".md5", fmt.Appendf(nil, "%x\n", md5.Sum(data))) }, Unverified, "neither the SHA-256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newURLTest(t)
			c.make(u)
			err := u.check("the file", u.options(), c.kind)
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, without %q", err, c.says)
			}
			if kept := filepath.Join(u.base, ".lxc-pull", "images"); err != nil {
				left, _ := filepath.Glob(kept + "/sha256-*")
				if len(left) > 0 {
					t.Errorf("in the cache: %v", left)
				}
			}
		})
	}
}

// A digest from the user pins the file, and nothing beside it is asked for.
func TestURLDigest(t *testing.T) {
	u := newURLTest(t)
	u.file.SHA256 = sumOf([]byte(rootfsText))
	u.check("the right digest", u.options(), 0)
	if len(u.site.asked) != 1 {
		t.Errorf("asked for %v", u.site.asked)
	}
	u.file.RequireSignature = true
	u.check("a signature is required", u.options(), Unverified)
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	u.check("and is there", u.options(), 0)
	u.check("without keys", urlOptions(t, u.file, u.base), Unverified)
	u.put("SHA256SUMS", []byte(gnuLine([]byte(rootfsText), " ", urlName)))
	u.file.SHA256 = sumOf(nil)
	u.check("another digest than in the list", u.options(), Unverified)
	u.file.RequireSignature = false
	u.check("a wrong digest", u.options(), Unverified)
	u.file.SHA256 = "sha256:x"
	if _, _, err := u.get(u.options()); err == nil {
		t.Error("a digest that is none is accepted")
	}
}

// Of a file that has a signature the next run downloads the signature only.
func TestURLKept(t *testing.T) {
	u := newURLTest(t)
	old := u.key
	old.at = time.Now().Add(-240 * time.Hour)
	u.put(urlName+".sig", u.key.binary([]byte(rootfsText)))
	u.check("the first run", u.options(), 0)
	downloads := u.site.asked[urlPath]
	found, text, err := u.get(u.options())
	if err != nil || text != rootfsText || !found.Cached || u.site.asked[urlPath] != downloads || u.site.asked[urlPath+".sig"] < 2 {
		t.Errorf("the second run: %q, %v, %v", text, err, u.site.asked)
	}
	strange := urlOptions(t, u.file, u.base, newOpenPGP("stranger").certificate())
	u.check("another key", strange, Unverified)
	strange.Use.Force = true
	u.check("another key, without the server", strange, Unverified)
	opt := u.options()
	opt.Use.Force = true
	u.site.asked = map[string]int{}
	if u.check("--force-cache", opt, 0); len(u.site.asked) > 0 {
		t.Errorf("asked for %v", u.site.asked)
	}
	u.put(urlName+".sig", old.binary([]byte(rootfsText)))
	u.check("the same file with an older signature", u.options(), 0)
	u.put(urlName, []byte("an older one"))
	u.put(urlName+".sig", old.binary([]byte("an older one")))
	u.check("an older file", u.options(), Replayed)
	opt = u.options()
	opt.AllowOlder = true
	if _, text, err := u.get(opt); text != "an older one" || err != nil {
		t.Errorf("--allow-older: %q, %v", text, err)
	}
	newer := old
	newer.at = time.Now().Add(-120 * time.Hour)
	u.put(urlName, []byte(rootfsText))
	u.put(urlName+".sig", newer.binary([]byte(rootfsText)))
	u.check("a newer file", u.options(), 0)
	// Damage is noticed, and the file is downloaded again.
	blob := filepath.Join(u.base, ".lxc-pull", "images", "sha256-"+string(sumOf([]byte(rootfsText)))[len("sha256:"):])
	if err := os.WriteFile(blob, []byte("the root file sYstem"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.check("a damaged copy", u.options(), 0)
	u.site.Close()
	opt = u.options()
	var says strings.Builder
	if _, text, err := getURL(t, opt, hearing(&says)); text != rootfsText || err != nil || !strings.Contains(says.String(), "can't be reached") {
		t.Errorf("offline: %q, %v, %s", text, err, &says)
	}
	opt = u.options()
	opt.Use.Flush = true
	u.check("offline after --flush-cache", opt, Network)
}

// The bytes come from mirrors, after redirects, in pieces, or without a size.
func TestURLDownloads(t *testing.T) {
	data := []byte(rootfsText)
	u := newURLTest(t)
	other := newSite(t)
	other.files["/m"+urlPath] = []byte("the root file sYstem")
	u.file.Mirrors = []string{other.URL + "/m"}
	for _, way := range []struct {
		name string
		put  func()
	}{
		{"signature", func() { u.put(urlName+".sig", u.key.binary(data)) }},
		{"list", func() {
			delete(u.site.files, urlPath+".sig")
			u.put("CHECKSUM", u.key.clear([]byte(gnuLine(data, " ", urlName))))
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			way.put()
			get := func(what string, warns string) {
				t.Helper()
				u.t, u.base = t, t.TempDir()
				opt := u.options()
				var err error
				if opt.Client, err = fetch.NewClient(fetch.Options{Limits: fetch.LimitOptions{Retries: 2}}); err != nil {
					t.Fatal(err)
				}
				defer opt.Client.Close()
				var says strings.Builder
				found, text, err := getURL(t, opt, hearing(&says))
				if err != nil || text != rootfsText || !strings.Contains(says.String(), warns) {
					t.Errorf("%s: %q, %v, %s", what, text, err, &says)
				} else if len(u.file.Mirrors) > 0 && other.asked["/m"+urlPath] == 0 {
					t.Errorf("%s: the mirror was not asked", what)
				} else if found.Layers[0].Packed != int64(len(data)) && what != "no size" {
					t.Errorf("%s: %d bytes", what, found.Layers[0].Packed)
				}
			}
			other.asked = map[string]int{}
			u.file.Mirrors = []string{other.URL + "/m"}
			get("a mirror with other bytes", "starting again")
			u.file.Mirrors = []string{other.URL + "/nothing", other.URL + "/m"}
			get("a mirror without the file", "")
			u.file.Mirrors = nil
			u.site.handle[urlPath] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL+"/elsewhere", http.StatusFound)
			}
			other.files["/elsewhere"] = data
			get("a redirect", "")
			u.site.handle[urlPath] = func(w http.ResponseWriter, r *http.Request) { // sends 10 bytes at a time
				var first int
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d", &first)
				if first < 0 {
					first = max(0, len(data)+first)
				}
				if r.Header.Get("Range") != "" {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(data)-1, len(data)))
					w.WriteHeader(http.StatusPartialContent)
				} else {
					w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				}
				if strings.Contains(r.Header.Get("Range"), "=-") {
					w.Write(data[first:])
					return
				}
				w.Write(data[first:min(first+10, len(data))])
				w.(http.Flusher).Flush()
				if first+10 < len(data) {
					panic(http.ErrAbortHandler)
				}
			}
			get("a connection that is cut", "")
			u.site.handle[urlPath] = func(w http.ResponseWriter, _ *http.Request) {
				w.Write(data)
				w.(http.Flusher).Flush()
			}
			get("no size", "")
			delete(u.site.handle, urlPath)
		})
	}
}

// A squashfs image is recognised by its name or its first bytes.
func TestURLForm(t *testing.T) {
	for _, c := range []struct {
		name, text, dist string
		squashfs         bool
	}{
		{"rootfs.tar.xz", "x", "url", false},
		{"noble-server.Squashfs", "x", "noble", true},
		{"openwrt-x.img.squashfs", "hsqs", "openwrt", true},
		{"image", "hsqs and more", "url", true},
		{"Alpine-1.tar.gz", "hsq", "alpine", false},
		{"x86-1.tar.gz", "x", "url", false},
		{"%C3%BC-1.tar.gz", "x", "url", false},
	} {
		u := newURLTest(t)
		plain, err := url.PathUnescape(c.name)
		if err != nil {
			t.Fatal(err)
		}
		u.put(plain, []byte(c.text))
		u.put("SHA256SUMS", []byte(gnuLine([]byte(c.text), "*", "./"+plain)))
		u.put(plain+".asc", u.key.armor([]byte(c.text)))
		u.file.Path = strings.Replace(u.site.URL, "http://", "http://user:secret@", 1) + "/pub/x/" + c.name + "?token=secret"
		for _, base := range []string{u.base, ""} {
			opt := urlOptions(t, u.file, base, u.key.certificate())
			found, text, err := getURL(t, opt, deaf())
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			img := found.Image
			for _, name := range []string{img.Dist, img.Release, img.Variant, img.Build} {
				if err := image.CheckName(name); err != nil {
					t.Errorf("%s: the name %q: %v", c.name, name, err)
				}
			}
			l := found.Layers[0]
			if img.Arch != "" || text != c.text || l.Squashfs != c.squashfs || !l.Top || img.Dist != c.dist || strings.Contains(img.Reference, "secret") || !strings.HasSuffix(img.Reference, "/pub/x/"+c.name) {
				t.Errorf("%s: %q, %+v, %+v", c.name, text, l.Form, img)
			}
		}
	}
}

// Nothing is downloaded to find out what a run would do.
func TestURLReadOnly(t *testing.T) {
	u := newURLTest(t)
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	opt := u.options()
	opt.Use.ReadOnly = true
	found, err := Open(opt, deaf()).Find(t.Context(), image.Query{})
	if err != nil || found.Layers[0].Packed != int64(len(rootfsText)) || found.Cached || u.site.asked[urlPath] != 1 {
		t.Fatalf("%+v, %v, %v", found, err, u.site.asked)
	}
	if lines := found.FileList(); lines != fmt.Sprintf("- %d %s\n", len(rootfsText), u.site.URL+urlPath) || found.URL() != u.site.URL+urlPath {
		t.Errorf("%q, %s", lines, found.URL())
	}
	found.Close()
	if _, err := os.Stat(filepath.Join(u.base, ".lxc-pull")); err == nil {
		t.Error("the cache was changed")
	}
	for _, bad := range []string{"https://host", "https://host/dir/", "ftp://host/x", "https:///x"} {
		u.file.Path = bad
		if _, err := Open(u.options(), deaf()).Find(t.Context(), image.Query{}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	u.file.Path, u.file.Mirrors = u.site.URL+urlPath, []string{"https://host/?q"}
	if _, _, err := u.get(u.options()); err == nil {
		t.Error("a mirror with a query is accepted")
	}
}

// Metadata at a URL needs what the file needs; LXC's is recognised by its members.
func TestURLMetadata(t *testing.T) {
	var meta bytes.Buffer
	w := tar.NewWriter(&meta)
	w.WriteHeader(&tar.Header{Name: "config", Mode: 0o644, Size: 4})
	io.WriteString(w, "text")
	w.Close()
	u := newURLTest(t)
	u.put("meta.tar", meta.Bytes())
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	u.file.Metadata = u.site.URL + "/pub/x/meta.tar"
	u.check("nobody vouches for the metadata", u.options(), Unverified)
	list := []byte(gnuLine([]byte(rootfsText), " ", urlName) + gnuLine(meta.Bytes(), " ", "meta.tar"))
	u.put("SHA256SUMS", list)
	u.put("SHA256SUMS.gpg", u.key.binary(list))
	for _, what := range []string{"the network", "the cache"} {
		found, text, err := u.get(u.options())
		if err != nil || text != rootfsText || string(found.Meta["config"]) != "text" {
			t.Fatalf("a signed list, from %s: %q, %v", what, text, err)
		}
	}
	opt := u.options()
	opt.Use.Refresh, opt.Use.ReadOnly = true, true
	if found, err := Open(opt, deaf()).Find(t.Context(), image.Query{}); err != nil || !strings.HasSuffix(found.URL(), urlPath) {
		t.Errorf("%+v, %v", found, err)
	} else if lines := strings.Split(found.FileList(), "\n"); len(lines) != 3 || !strings.HasSuffix(lines[0], "/meta.tar") || !strings.HasSuffix(lines[1], urlPath) {
		t.Errorf("%q", lines)
	}
	u.put("meta.tar", append(meta.Bytes(), 0))
	u.check("other metadata", u.options(), Unverified)
	u.check("other metadata, without checks", urlOptions(t, u.file, u.base), Unverified)
	delete(u.site.files, "/pub/x/SHA256SUMS")
	u.check("no list, without checks", urlOptions(t, u.file, u.base), 0)
	u.put("meta.tar", meta.Bytes())
	u.put("SHA256SUMS", list)
	u.check("again", u.options(), 0)
	u.site.Close()
	u.check("offline", u.options(), 0)
	u.file.Metadata = filepath.Join(t.TempDir(), "meta.tar")
	if err := os.WriteFile(u.file.Metadata, meta.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if found, _, err := u.get(u.options()); err != nil || string(found.Meta["config"]) != "text" {
		t.Errorf("a local file: %v", err)
	}
}

// Metadata at a URL that is older than what was seen is refused, as the file is, and so is an image
// after its expiry date. export refuses to write what create would refuse.
func TestURLOldMetadata(t *testing.T) {
	u := newURLTest(t)
	signed := func(at time.Duration, files ...string) {
		key := u.key
		key.at = time.Now().Add(at)
		u.put("meta.tar", tarOf(t, files...))
		u.put("meta.tar.asc", key.armor(tarOf(t, files...)))
	}
	u.put(urlName+".asc", u.key.armor([]byte(rootfsText)))
	u.file.Metadata = u.site.URL + "/pub/x/meta.tar"
	signed(-time.Hour, "config", "new")
	u.check("the first metadata", u.options(), 0)
	signed(-240*time.Hour, "config", "old")
	u.check("older metadata", u.options(), Replayed)
	older := u.options()
	older.AllowOlder = true
	u.check("older metadata, --allow-older", older, 0)
	signed(-time.Hour, "config", "new")
	u.check("newer metadata", u.options(), 0)

	signed(-time.Minute, "config", "new", "expiry", "1577836800\n")
	u.check("expired", u.options(), Replayed)
	older = u.options()
	older.AllowOlder = true
	u.check("expired, --allow-older", older, 0)
	kept := u.options()
	kept.Use.Force = true
	u.check("expired, --force-cache", kept, 0)
	f := Open(kept, deaf())
	f.Provide(0, spoolIn(t, new(int)))
	for _, until := range []time.Time{{}, time.Unix(1500000000, 0)} {
		if err := f.Export(t.Context(), image.Query{}, until, io.Discard); KindOf(err) != Replayed {
			t.Errorf("export of what has expired, until %v: %v", until, err)
		}
	}

	// Whether the metadata comes from the cache counts, not whether the file does.
	u.file.SHA256 = sumOf([]byte(rootfsText))
	u.check("expired, with a digest", u.options(), Replayed)
	kept = u.options()
	kept.Use.Force = true
	u.check("expired, with a digest, --force-cache", kept, 0)
	u.put("new.tar", tarOf(t, "expiry", "1577836800\n"))
	u.put("new.tar.asc", u.key.armor(tarOf(t, "expiry", "1577836800\n")))
	old := u.file.Metadata
	u.file.Metadata = u.site.URL + "/pub/x/new.tar"
	kept = u.options()
	kept.Use.Force = true
	u.check("other metadata that has expired, --force-cache", kept, Replayed)
	u.file.Metadata = old
	u.site.Close()
	u.check("expired, with a digest, offline", u.options(), 0)
}

// FuzzURLKept changes what the cache keeps of a search. What is read is what would be written.
func FuzzURLKept(f *testing.F) {
	s := &search{head: "https://host/x"}
	s.found.texts = []keptText{{"x.asc", []byte("a\nb")}, {"SHA256SUMS", nil}}
	f.Add(s.keep(sumOf(nil)))
	f.Add([]byte(keptBegin + "https://host/x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := &search{head: "https://host/x"}
		digest := s.restore(text)
		if digest == "" {
			if s.kept != nil {
				t.Fatal("texts together with an error")
			}
			return
		}
		s.found.texts = s.kept
		again := &search{head: s.head}
		if again.restore(s.keep(digest)) != digest || len(again.kept) != len(s.kept) {
			t.Fatalf("%q, read again: %q", s.kept, again.kept)
		}
		for i := range s.kept {
			if s.kept[i].name != again.kept[i].name || !bytes.Equal(s.kept[i].text, again.kept[i].text) {
				t.Fatalf("%q, read again: %q", s.kept, again.kept)
			}
		}
	})
}
