package source

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pgp"
)

// What vouches for a file at a URL is in other files beside it: its signature, or a list of
// digests that is signed.
//
// Neither a file's signature nor a line of a list says to which directory a file belongs. So
// somebody who controls the server or the network can offer an older file, or one of another
// directory, that the same key has signed under the same name. Against the first the history
// helps (checkSeen); against the second only a name that tells the files apart, or the notation of
// scripts/publish (pathNotation), which is compared.

// besideNames are the names of the files that are asked for, in rounds: all of a round at the same
// time, and the next round if nobody vouches for the file yet. A name that begins with a dot or a
// hyphen follows the name of the file; others are in its directory. Lists come before
// signatures, because a digest is known before the download. Most publishers need the first
// round (Alpine, Arch Linux, Arch Linux ARM, Gentoo, Ubuntu Base, Kali, openSUSE, Debian's
// tarballs for Docker, linuxcontainers.org), OpenWrt and Void the second, CentOS and Fedora the
// third.
const besideNames = ".sha256 SHA256SUMS .asc .sig .gpg .minisig" +
	"|.DIGESTS .sha512 sha256sums sha256sum.txt" +
	"|CHECKSUM -CHECKSUM .CHECKSUM .SHA256SUM sha256sums.txt SHA512SUMS .md5"

// maxList is the size of the largest list of digests beside a file, in bytes. Several files are in
// memory at the same time. OpenWrt's lists have 100 kB.
const maxList = 1 << 20

// signatureNames are the ends of the names of signatures; the last one is only of a list's.
const signatureNames = ".asc .sig .gpg .minisig .sign"

// A search looks for what vouches for a file at a URL, and has what it found.
type search struct {
	_      [0]func() // forbids ==, whose code nothing needs
	finder *Finder
	head   string // the URL of the file, without what follows its path
	query  string // what follows the path: "?" and a query, or ""
	name   string // of the file, as lists have it
	dir    string // the path of its directory on the server, with a slash at the end
	given  []byte // the SHA-256 that the user gave; nil: none
	kept   []keptText
	away   bool // kept is all there is: the server is not asked
	// refusal says why the file in the cache is not used; nil: it is, or there is none.
	refusal error
	came    bool // the file was downloaded to the disk
	found   proofs
}

// A keptText is a small file that counted.
type keptText struct {
	name string
	text []byte
}

// The proofs are what a search has found.
type proofs struct {
	_         [0]func() // forbids ==, whose code nothing needs
	sums      [2][]byte // the SHA-256 and SHA-512 of the file; nil: not known
	pinned    bool      // sums[0] comes from who vouches for the file, or nobody has to
	signature []byte    // of the file, by a key that is trusted; nil: none is known
	by        signers   // of the list, or of the file once its signature is verified
	from      string    // the name of the list that has the digest; "": none
	texts     []keptText
	refused   error // the first reason why something that is there does not vouch; nil: none
	failed    error // the first download that failed otherwise than by an answer; nil: none
}

// vouched reports whether a trusted key vouches for the file, or does so if its signature is good.
func (p *proofs) vouched() bool { return p.by.keys != nil || p.signature != nil }

// run looks for what vouches for the file. Without keys it looks for digests only. It returns an
// error only if nothing else can help: a signature by a trusted key is wrong, digests differ, or
// the server can't be reached.
func (s *search) run(ctx context.Context) error {
	keys, p := !s.finder.trust.keyless(), &s.found
	*p = proofs{}
	p.sums[0] = s.given
	for _, round := range strings.Split(besideNames, "|") {
		var names []string
		for _, name := range strings.Fields(round) {
			if name[0] == '.' || name[0] == '-' {
				name = s.name + name
			}
			if keys || !s.signs(name) {
				names = append(names, name)
			}
		}
		texts, err := s.load(ctx, names)
		if err == nil {
			err = s.judge(ctx, texts)
		}
		if err != nil || p.vouched() || !keys && p.from != "" {
			return err
		}
	}
	return nil
}

// signs reports whether a name is that of a signature of the file.
func (s *search) signs(name string) bool {
	end, ok := strings.CutPrefix(name, s.name)
	return ok && strings.Contains(" "+signatureNames+" ", " "+end+" ")
}

// judge looks at the files of one round.
func (s *search) judge(ctx context.Context, texts []keptText) error {
	t, p := s.finder.trust, &s.found
	var lists []keptText // without a signature in them
	for _, k := range texts {
		if s.signs(k.name) {
			if p.vouched() {
				continue
			}
			_, err := pgp.NewVerifier(t.keys, k.text, t.clock.Policy())
			if err != nil {
				if err = s.refuse(k.name, err); err != nil {
					return err
				}
				continue
			}
			p.signature, p.texts = k.text, []keptText{k}
			continue
		}
		clear := isCleartext(k.text)
		if clear && !t.keyless() && !p.vouched() {
			if err := s.useSigned(k, keptText{}); err != nil {
				return err
			}
		}
		sum, err := pgp.FindDigest(k.text, s.name, strings.HasPrefix(k.name, s.name))
		if err != nil {
			s.refuse(k.name, err)
		}
		if sum == nil {
			continue
		}
		if err := s.take(k, sum); err != nil {
			return err
		}
		if !clear {
			lists = append(lists, k)
		}
	}
	for _, list := range lists {
		if t.keyless() || p.vouched() {
			break
		}
		if err := s.judgeList(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

func isCleartext(text []byte) bool {
	return bytes.HasPrefix(text, []byte("-----BEGIN PGP SIGNED MESSAGE-----"))
}

// judgeList looks for the signature of a list that names the file.
func (s *search) judgeList(ctx context.Context, list keptText) error {
	names := strings.Fields(signatureNames)
	for i := range names {
		names[i] = list.name + names[i]
	}
	if stem, ok := strings.CutSuffix(list.name, ".txt"); ok { // as Void has it
		names = append(names, stem+".sig")
	}
	sigs, err := s.load(ctx, names)
	for _, sig := range sigs {
		if err != nil || s.found.vouched() {
			break
		}
		if isCleartext(sig.text) { // the list again, with its signature
			if err = s.useSigned(sig, keptText{}); s.found.vouched() {
				s.found.texts = []keptText{list, sig} // restore finds it beside the list
			}
		} else {
			err = s.useSigned(list, sig)
		}
	}
	return err
}

// refuse notes why a file does not vouch. It returns an error if that is a signature by a trusted
// key which is wrong.
func (s *search) refuse(name string, why error) error {
	err := unverified(quote(name), why)
	var bad *pgp.BadSignatureError
	if errors.As(why, &bad) {
		return err
	}
	s.finder.warn("", "", err, "")
	if s.found.refused == nil {
		s.found.refused = err
	}
	return nil
}

// useSigned takes the digest from a list that a trusted key has signed. If sig has no text, the
// signature is in the list.
func (s *search) useSigned(list, sig keptText) error {
	t, p, text := s.finder.trust, &s.found, list.text
	var result *pgp.Result
	var sum []byte
	var err error
	if sig.text == nil {
		text, result, err = pgp.VerifyCleartext(t.keys, bytes.Clone(text), t.clock.Policy())
	} else {
		result, err = pgp.Verify(t.keys, text, sig.text, t.clock.Policy())
	}
	if err == nil {
		err = s.checkPath(list.name, result)
	}
	if err == nil {
		sum, err = pgp.FindDigest(text, s.name, false)
	}
	if err == nil && sum == nil {
		err = errors.New("it is signed, and does not name " + quote(s.name))
	}
	if err != nil {
		return s.refuse(list.name, err)
	}
	if err = s.take(list, sum); err == nil {
		p.pinned, p.from, p.texts = len(sum) == 32, list.name, []keptText{list, sig}
		s.signedBy(result)
	}
	return err
}

// signedBy notes who signed.
func (s *search) signedBy(result *pgp.Result) {
	s.found.by = newest(result)
	s.finder.trust.clock.learn(s.found.by.at)
}

// checkPath is the function checkPath for a file beside the file. The server's URL is not known, so
// the path in the signature must be the end of the file's. A file on this machine may be anywhere.
func (s *search) checkPath(name string, result *pgp.Result) error {
	if s.dir == "" {
		return nil
	}
	path := s.dir + name
	for i := range result.Signatures {
		for _, n := range result.Signatures[i].Notations {
			if n.Name == pathNotation && strings.HasSuffix(path, "/"+n.Value) {
				path = n.Value
			}
		}
	}
	return checkPath(result, path)
}

// take notes the digest in a list. It must not differ from one that is known.
func (s *search) take(list keptText, sum []byte) error {
	p := &s.found
	known := &p.sums[len(sum)/64]
	if *known != nil && !bytes.Equal(*known, sum) {
		other := "the one that the user gave"
		if p.from != "" {
			other = "that in " + quote(p.from)
		}
		return distrust(quote(s.name), "its digest in "+quote(list.name)+" is not "+other)
	}
	if *known = sum; p.from == "" {
		p.from = list.name
		if s.finder.trust.keys == nil {
			p.pinned, p.texts = len(sum) == 32, []keptText{list}
		}
	}
	return nil
}

// load downloads small files at the same time, and returns those that exist. An error says that the
// server can't be reached, or that ctx is done.
func (s *search) load(ctx context.Context, names []string) (texts []keptText, err error) {
	if s.away {
		for _, name := range names {
			for _, k := range s.kept {
				if k.name == name {
					texts = append(texts, k)
				}
			}
		}
		return texts, nil
	}
	answers, errs := make([]keptText, len(names)), make([]error, len(names))
	var asking sync.WaitGroup
	for i := range names {
		asking.Go(func() {
			k := &answers[i]
			k.name = names[i]
			url, max := dirOf(s.head)+k.name, int64(maxList)
			if end, ok := strings.CutPrefix(k.name, s.name); ok {
				url, max = s.head+end, maxSignature
			}
			k.text, errs[i] = s.finder.load(ctx, url+s.query, max, false)
		})
	}
	asking.Wait()
	for i, err := range errs {
		if err == nil {
			texts = append(texts, answers[i])
			continue
		}
		list := fetch.Failures(err)
		if len(list) == 0 || Offline(err) {
			return nil, err
		}
		switch e := list[0]; {
		case e.Kind == fetch.KindTooLarge:
			s.refuse(names[i], err)
		case isNotFound(e), e.Kind == fetch.KindHTML, e.Status == 401, e.Status == 403:
			// For a file that may be missing these mean the same (Servers.lacksOrRefuses).
		case s.found.failed == nil:
			s.found.failed = err
		}
	}
	return texts, nil
}

// verdict returns an error unless somebody vouches for the file, or nobody has to.
func (s *search) verdict() error {
	p := &s.found
	if s.finder.trust.keys == nil || p.vouched() {
		return nil
	}
	err := p.refused
	switch {
	case err == nil && p.failed != nil:
		return p.failed
	case err == nil:
		err = unverified(quote(s.name), ErrUnvouched)
	}
	if p.from != "" && p.sums[0] != nil {
		text := err.Error() + "; by " + quote(p.from) + ", for which nobody vouches, its SHA-256 is " + hex.EncodeToString(p.sums[0])
		return &Error{Kind: Unverified, Text: text, Err: err}
	}
	return err
}

// ErrUnvouched says that nothing beside a file at a URL vouches for it.
var ErrUnvouched = errors.New("no signature beside it vouches for it")

// keptBegin begins the text in which a search is kept: lines with the URL and the digest of the
// file, and for each small file a line with its name and size, and its bytes.
const keptBegin = "lxc-pull url 1\n"

// keep returns a text with all that counted, from which restore can read it again without the
// server.
func (s *search) keep(digest image.Digest) []byte {
	text := keptBegin + s.reference() + "\n" + string(digest) + "\n"
	for _, k := range s.found.texts {
		text += k.name + "\n" + strconv.Itoa(len(k.text)) + "\n" + string(k.text)
	}
	return []byte(text)
}

// restore reads a text of keep. The digest is "" if it is not one, or is of another URL.
func (s *search) restore(text []byte) (digest image.Digest) {
	rest, ok := strings.CutPrefix(string(text), keptBegin+s.reference()+"\n")
	line, rest, _ := strings.Cut(rest, "\n")
	digest, err := image.ParseDigest(line)
	var kept []keptText
	for ok && err == nil && rest != "" {
		var n int
		name, after, _ := strings.Cut(rest, "\n")
		line, rest, _ = strings.Cut(after, "\n")
		if n, err = strconv.Atoi(line); err == nil && 0 <= n && n <= len(rest) {
			kept, rest = append(kept, keptText{name, []byte(rest[:n])}), rest[n:]
		} else {
			ok = false
		}
	}
	if !ok || err != nil {
		return ""
	}
	s.kept = kept
	return digest
}
