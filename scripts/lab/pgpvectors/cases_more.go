package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
)

func (s *set) revocations() {
	k, stranger := eddsaKey("a", 4, keyTime), eddsaKey("stranger", 4, keyTime)
	good := sig{by: k}.packet(document)
	const revoked = "bad signature: key is revoked"
	rev := func(t uint32, more ...[]byte) sig { return sig{by: k, kind: 0x20, time: t, more: more} }
	renewal := selfSig(k, midTime+1000, flags(flagCertify|flagSign)).onID(k, userID)
	unreadable := rev(laterTime)
	unreadable.hashed = [][]byte{issuerPrint(k), {9, 99}}
	noTime := rev(laterTime)
	noTime.hashed = [][]byte{issuerPrint(k), reason(3)}
	with := func(s sig, hash byte) []byte { s.hash = hash; return s.onKey(k) }
	forged := sig{by: stranger, kind: 0x20, hashed: [][]byte{created(midTime), issuerPrint(k)}}
	for _, c := range []struct {
		name, expect, comment string
		more                  []byte
	}{
		{"no-reason", revoked, "no reason given, after the signature", rev(laterTime).onKey(k)},
		{"reason-0", revoked, "reason 0, none given", rev(laterTime, reason(0)).onKey(k)},
		{"reason-2", revoked, "reason 2, compromised", rev(laterTime, reason(2)).onKey(k)},
		{"reason-99", revoked, "an unknown reason", rev(laterTime, reason(99)).onKey(k)},
		{"reason-empty", revoked, "a reason without a code", rev(laterTime, sub(29)).onKey(k)},
		{"reason-unhashed", revoked, "a harmless reason that nobody signed", sig{by: k, kind: 0x20, time: laterTime, unhashed: [][]byte{reason(3)}}.onKey(k)},
		{"superseded-before", revoked, "superseded before the signature", rev(midTime, reason(1)).onKey(k)},
		{"retired-before", revoked, "retired before the signature", rev(midTime, reason(3)).onKey(k)},
		{"id-invalid-before", revoked, "reason 32 before the signature", rev(midTime, reason(32)).onKey(k)},
		{"superseded-after", "good", "superseded after the signature", rev(laterTime, reason(1)).onKey(k)},
		{"retired-after", "good", "retired after the signature", rev(laterTime, reason(3)).onKey(k)},
		{"retired-renewed", "good", "retired, and a newer self-signature before the signature", cat(rev(midTime, reason(3)).onKey(k), renewal)},
		{"hard-renewed", revoked, "a hard revocation can't be taken back", cat(rev(midTime, reason(2)).onKey(k), renewal)},
		{"retired-then-lost", revoked, "retired after the signature, then compromised", cat(rev(laterTime, reason(3)).onKey(k), rev(laterTime+1, reason(2)).onKey(k))},
		{"sha1", revoked, "a SHA-1 revocation", with(rev(laterTime, reason(2)), sha1Hash)},
		{"md5", revoked, "an MD5 revocation: believing it costs nobody anything", with(rev(laterTime, reason(2)), md5Hash)},
		{"unreadable", revoked, "a revocation whose subpackets can't be read", unreadable.onKey(k)},
		{"no-time", revoked, "a harmless revocation without a time", noTime.onKey(k)},
		{"critical", revoked, "a revocation with an unknown critical subpacket", rev(midTime, reason(1), sub(99|critical, 1)).onKey(k)},
		{"expired", revoked, "revocations don't expire", rev(midTime, reason(1), expires(1)).onKey(k)},
		{"sha3", revoked, "a SHA3-256 revocation", with(rev(laterTime, reason(2)), sha3Hash)},
		{"sha3-long", revoked, "a SHA3-512 revocation", with(rev(laterTime, reason(2)), sha3Long)},
		{"reason-twice", revoked, "two reasons, one of them harmless", rev(laterTime, reason(2), reason(3)).onKey(k)},
		{"reason-twice-harmless-first", revoked, "the same the other way round", rev(laterTime, reason(3), reason(2)).onKey(k)},
		{"reason-same-twice", "good", "the same harmless reason twice, after the signature", rev(laterTime, reason(3), reason(3)).onKey(k)},
		{"retired-same-second", revoked, "retired in the second of the signature", rev(signTime, reason(3)).onKey(k)},
		{"retired-next-second", "good", "retired a second later", rev(signTime+1, reason(3)).onKey(k)},
		{"retired-renewed-same-second", revoked, "retired, and a self-signature of the same second", cat(rev(midTime+1000, reason(3)).onKey(k), renewal)},
		{"retired-renewal-expired", revoked, "retired, and the newer self-signature has expired", cat(rev(midTime, reason(3)).onKey(k), selfSig(k, midTime+1000, expires(1000)).onID(k, userID))},
		{"retired-renewed-by-direct", "good", "retired, and a newer direct-key signature", cat(rev(midTime, reason(3)).onKey(k), sig{by: k, kind: 0x1f, time: midTime + 1000}.onKey(k))},
		{"retired-renewed-by-stranger", revoked, "retired, and a stranger's newer signature on the user id", cat(rev(midTime, reason(3)).onKey(k), selfSig(stranger, midTime+1000).onID(k, userID))},
		{"before-key", revoked, "a revocation dated before the key", rev(keyTime-1, reason(2)).onKey(k)},
		{"no-hint", revoked, "a revocation that names nobody", sig{by: k, kind: 0x20, hashed: [][]byte{created(laterTime)}}.onKey(k)},
		{"hint-elsewhere", revoked, "the owner's, which names a stranger", sig{by: k, kind: 0x20, hashed: [][]byte{created(laterTime), issuerPrint(stranger)}}.onKey(k)},
		{"critical-notation", revoked, "a revocation with a critical notation", rev(laterTime, notation(20|critical, "a@example.org", "b")).onKey(k)},
		{"below-subkey", revoked, "it stands below a subkey", cat(subkeyPacket(eddsaKey("sub", 4, keyTime+100)), rev(laterTime).onKey(k))},
		{"below-unreadable", revoked, "it stands below a subkey that can't be read", cat(packet(14, []byte{9, 9}), rev(laterTime).onKey(k))},
		{"of-id-as-key", "good", "the revocation of a user id, labelled as the key's", sig{by: k, kind: 0x20, time: midTime}.packet(k.hashed(), hashedID(userID))},
		{"forged", "good", "a stranger's, which names the owner", forged.onKey(k)},
		{"stranger", "good", "a stranger's", sig{by: stranger, kind: 0x20, time: midTime}.onKey(k)},
		{"of-another-key", "good", "the owner's, over another key", rev(midTime).packet(stranger.hashed())},
	} {
		s.detached("revoked-"+c.name, c.expect, c.comment, cert(k, c.more), good)
	}
	s.detached("revoked-second-copy", revoked, "the certificate twice; the second copy is revoked", cat(cert(k), cert(k, rev(laterTime).onKey(k))), good)
	s.detached("revoked-first-copy", revoked, "the certificate twice; the first copy is revoked", cat(cert(k, rev(laterTime).onKey(k)), cert(k)), good)

	appoint := sig{by: k, kind: 0x1f, time: keyTime, more: [][]byte{revoker(stranger)}}.onKey(k)
	by := sig{by: stranger, kind: 0x20, time: midTime, more: [][]byte{reason(2)}}.onKey(k)
	s.detached("revoker-at-hand", revoked, "a designated revoker's, whose key is in the file", cat(cert(k, appoint, by), cert(stranger)), good)
	s.detached("revoker-absent", "good", "a designated revoker's, whose key isn't there to check it", cert(k, appoint, by), good)
	s.detached("revoker-not-appointed", "good", "the same without the appointment", cat(cert(k, by), cert(stranger)), good)
	s.detached("revoker-appointed-unhashed", "good", "an appointment that nobody signed",
		cat(cert(k, sig{by: k, kind: 0x1f, time: keyTime, unhashed: [][]byte{revoker(stranger)}}.onKey(k), by), cert(stranger)), good)
	for _, c := range []struct {
		name, expect, comment string
		keys                  []byte
	}{
		{"in-id", revoked, "appointed in the user id's signature", cat(cert(k, selfSig(k, midTime, revoker(stranger)).onID(k, userID), by), cert(stranger))},
		{"sensitive", revoked, "appointed in confidence", cat(cert(k, sig{by: k, kind: 0x1f, time: keyTime, more: [][]byte{sub(12, append([]byte{0xc0, stranger.algo}, stranger.fingerprint()...)...)}}.onKey(k), by), cert(stranger))},
		{"class", "good", "an appointment without the bit that says so", cat(cert(k, sig{by: k, kind: 0x1f, time: keyTime, more: [][]byte{sub(12, append([]byte{0, stranger.algo}, stranger.fingerprint()...)...)}}.onKey(k), by), cert(stranger))},
		{"by-stranger", "good", "a stranger has appointed the stranger", cat(cert(k, sig{by: stranger, kind: 0x1f, hashed: [][]byte{created(keyTime), issuerPrint(k), revoker(stranger)}}.onKey(k), by), cert(stranger))},
		{"file-order", revoked, "the revoker's key stands first", cat(cert(stranger), cert(k, appoint, by))},
		{"retired-after", "good", "the revoker says that the key was retired, after the signature", cat(cert(k, appoint, sig{by: stranger, kind: 0x20, time: laterTime, more: [][]byte{reason(3)}}.onKey(k)), cert(stranger))},
		{"id", "good", "the revoker's revocation of a user id: only keys are theirs to revoke", cat(cert(k, appoint, sig{by: stranger, kind: 0x30, time: midTime}.onID(k, userID)), cert(stranger))},
	} {
		s.detached("revoker-"+c.name, c.expect, c.comment, c.keys, good)
	}
	revokedSub := eddsaKey("sub", 4, keyTime+100)
	s.detached("revoker-of-subkey", "bad signature: subkey is revoked", "the designated revoker revokes a subkey",
		cat(cert(k, appoint, subkeyPacket(revokedSub), binding(k, revokedSub, keyTime+100).onSubkey(k, revokedSub), sig{by: stranger, kind: 0x28, time: laterTime}.onSubkey(k, revokedSub)), cert(stranger)),
		sig{by: revokedSub}.packet(document))
	s.detached("revoked-by-subkey", "good", "a signing subkey has no say in its primary key",
		cert(k, subkeyPacket(revokedSub), binding(k, revokedSub, keyTime+100).onSubkey(k, revokedSub), sig{by: revokedSub, kind: 0x20, time: midTime}.onKey(k)), good)
	s.detached("revoked-strict", "bad signature: signature of today: the key is revoked", "retired after the signature, which --strict refuses",
		cert(k, rev(laterTime, reason(3)).onKey(k)), good, "strict")
	s.detached("revoker-hides-nothing", "bad signature: key had expired", "the appointment doesn't hide the expiry in the user id's signature",
		cat(primaryPacket(k), appoint, idPacket(userID), selfSig(k, keyTime, keyExpires(1000)).onID(k, userID)), good)
}

func (s *set) subkeys() {
	k, sub, stranger := eddsaKey("a", 4, keyTime), eddsaKey("sub", 4, keyTime+100), eddsaKey("stranger", 4, keyTime)
	good := sig{by: sub}.packet(document)
	over := [][]byte{k.hashed(), sub.hashed()}
	back := backSig(k, sub, keyTime+100).body(over...)
	bind := func(t uint32, more ...[]byte) []byte {
		return sig{by: k, kind: 0x18, time: t, more: more}.onSubkey(k, sub)
	}
	withBack := func(b []byte) []byte { return bind(keyTime+100, flags(flagSign), embedded(b)) }
	plain := binding(k, sub, keyTime+100).onSubkey(k, sub)
	rev := func(t uint32, more ...[]byte) []byte {
		return sig{by: k, kind: 0x28, time: t, more: more}.onSubkey(k, sub)
	}
	changedBack := append([]byte(nil), back...)
	changedBack[len(changedBack)-1] ^= 1
	md5Back := backSig(k, sub, keyTime+100)
	md5Back.hash = md5Hash
	sha1Back := backSig(k, sub, keyTime+100)
	sha1Back.hash = sha1Hash
	const (
		unbound   = "bad signature: not bound"
		disagreed = "bad signature: did not agree"
		revoked   = "bad signature: subkey is revoked"
	)
	for _, c := range []struct {
		name, expect, comment string
		more                  []byte
	}{
		{"plain", "good", "a signing subkey", plain},
		{"unbound", unbound, "no binding", nil},
		{"bound-by-stranger", unbound, "bound by a stranger", sig{by: stranger, kind: 0x18, time: keyTime + 100, hashed: [][]byte{created(keyTime + 100), issuerPrint(k), flags(flagSign), embedded(back)}}.onSubkey(k, sub)},
		{"binding-of-another", unbound, "the binding of another subkey", binding(k, stranger, keyTime+100).onSubkey(k, stranger)},
		{"binding-md5", unbound, "bound with MD5", sig{by: k, kind: 0x18, hash: md5Hash, time: keyTime + 100, more: [][]byte{flags(flagSign), embedded(back)}}.onSubkey(k, sub)},
		{"binding-critical", unbound, "a binding with an unknown critical subpacket", bind(keyTime+100, flags(flagSign), embedded(back), []byte{2, 99 | critical, 1})},
		{"bound-later", "bad signature: older than the subkey's binding", "bound after it signed", binding(k, sub, laterTime).onSubkey(k, sub)},
		{"binding-expired", "bad signature: binding had expired", "the binding has expired", bind(keyTime+100, flags(flagSign), embedded(back), expires(1000))},
		{"no-flags", "bad signature: not for signing", "no key flags", bind(keyTime+100, embedded(back))},
		{"for-encryption", "bad signature: not for signing", "a subkey for encryption", bind(keyTime+100, flags(flagEncrypt), embedded(back))},
		{"expired", "bad signature: subkey had expired", "expired before it signed", bind(keyTime+100, flags(flagSign), embedded(back), keyExpires(1000))},
		{"expired-since", "good", "expired after it signed", bind(keyTime+100, flags(flagSign), embedded(back), keyExpires(signTime-keyTime))},
		{"extended", "good", "expired, then extended", cat(bind(keyTime+100, flags(flagSign), embedded(back), keyExpires(1000)), binding(k, sub, midTime).onSubkey(k, sub))},
		{"binding-before-key", "good", "the binding is older than the subkey", bind(keyTime+50, flags(flagSign), embedded(back))},
		{"agreement-before-key", disagreed, "its own signature is older than the subkey", withBack(backSig(k, sub, keyTime+50).body(over...))},
		{"newer-binding-expired", "good", "a newer binding that has expired takes nothing back", cat(plain, bind(midTime, flags(flagEncrypt), expires(1000)))},
		{"flags-taken", "bad signature: not for signing", "a newer binding without the flag", cat(plain, bind(midTime, flags(flagEncrypt), embedded(back)))},
		{"flags-unhashed", "bad signature: not for signing", "flags that nobody signed", sig{by: k, kind: 0x18, time: keyTime + 100, more: [][]byte{embedded(back)}, unhashed: [][]byte{flags(flagSign)}}.onSubkey(k, sub)},
		{"agreement-missing-in-newer", disagreed, "a newer binding without its own signature", cat(plain, bind(midTime, flags(flagSign)))},
		{"agreement-second", "good", "a stranger's signature embedded before its own", bind(keyTime+100, flags(flagSign), embedded(backSig(stranger, sub, keyTime+100).body(stranger.hashed(), sub.hashed())), embedded(back))},
		{"agreement-critical", disagreed, "its own signature has an unknown critical subpacket", withBack(backSig(k, sub, keyTime+100, []byte{2, 99 | critical, 1}).body(over...))},
		{"agreement-over-subkey-first", disagreed, "its own signature is over the keys the other way round", withBack(backSig(k, sub, keyTime+100).body(sub.hashed(), k.hashed()))},
		{"agreement-packet", disagreed, "a whole packet is embedded, with its header", withBack(packet(2, back))},
		{"agreement-no-time", disagreed, "its own signature has no time", withBack(sig{by: sub, kind: 0x19, hashed: [][]byte{issuerPrint(sub)}}.body(over...))},
		{"expired-at-once", "bad signature: subkey had expired", "expired in the second in which it signed", bind(keyTime+100, flags(flagSign), embedded(back), keyExpires(signTime-keyTime-100))},
		{"expired-next", "good", "expired a second later", bind(keyTime+100, flags(flagSign), embedded(back), keyExpires(signTime-keyTime-99))},
		{"below-id", unbound, "the binding stands below a user id", cat(idPacket("Other"), plain)},
		{"bound-by-itself", unbound, "the subkey has bound itself", sig{by: sub, kind: 0x18, time: keyTime + 100, hashed: [][]byte{created(keyTime + 100), issuerPrint(k), flags(flagSign), embedded(back)}}.onSubkey(k, sub)},
		{"revoked-sha3", revoked, "revoked with SHA3-256", cat(plain, sig{by: k, kind: 0x28, hash: sha3Hash, time: laterTime}.onSubkey(k, sub))},
		{"revoked-md5", revoked, "revoked with MD5", cat(plain, sig{by: k, kind: 0x28, hash: md5Hash, time: laterTime}.onSubkey(k, sub))},
		{"revoked-by-itself", "good", "revoked by itself, which is not its to say", cat(plain, sig{by: sub, kind: 0x28, time: midTime}.onSubkey(k, sub))},
		{"hard-renewed", revoked, "compromised, then bound again", cat(plain, rev(midTime, reason(2)), binding(k, sub, midTime+1000).onSubkey(k, sub))},
		{"retired-renewal-expired", revoked, "retired, and the newer binding has expired", cat(plain, rev(midTime, reason(3)), binding(k, sub, midTime+1000, expires(1000)).onSubkey(k, sub))},
		{"no-agreement", disagreed, "without its own signature anybody may have bound it", bind(keyTime+100, flags(flagSign))},
		{"agreement-unhashed", "good", "its own signature in the area that isn't signed", sig{by: k, kind: 0x18, time: keyTime + 100, more: [][]byte{flags(flagSign)}, unhashed: [][]byte{embedded(back)}}.onSubkey(k, sub)},
		{"agreement-changed", disagreed, "its own signature is bad", withBack(changedBack)},
		{"agreement-by-primary", disagreed, "the primary key's signature in its place", withBack(sig{by: k, kind: 0x19, time: keyTime + 100}.body(over...))},
		{"agreement-of-another-type", disagreed, "its own signature is of type 0x18", withBack(sig{by: sub, kind: 0x18, time: keyTime + 100}.body(over...))},
		{"agreement-to-stranger", disagreed, "it agreed to another primary key", withBack(backSig(stranger, sub, keyTime+100).body(stranger.hashed(), sub.hashed()))},
		{"agreement-expired", disagreed, "its own signature has expired", withBack(backSig(k, sub, keyTime+100, expires(1000)).body(over...))},
		{"agreement-md5", disagreed, "its own signature is over MD5", withBack(md5Back.body(over...))},
		{"agreement-sha1", "good", "its own signature is over SHA-1", withBack(sha1Back.body(over...))},
		{"agreement-later", disagreed, "it agreed after it signed", withBack(backSig(k, sub, laterTime).body(over...))},
		{"revoked", revoked, "revoked without a reason, after it signed", cat(plain, rev(laterTime))},
		{"revoked-lost", revoked, "revoked as compromised, after it signed", cat(plain, rev(laterTime, reason(2)))},
		{"retired-before", revoked, "retired before it signed", cat(plain, rev(midTime, reason(3)))},
		{"retired-after", "good", "retired after it signed", cat(plain, rev(laterTime, reason(3)))},
		{"retired-renewed", "good", "retired, then bound again before it signed", cat(plain, rev(midTime, reason(3)), binding(k, sub, midTime+1000).onSubkey(k, sub))},
		{"revoked-out-of-place", revoked, "the revocation stands below another subkey", cat(plain, subkeyPacket(eddsaKey("sub2", 4, keyTime)), rev(laterTime))},
		{"revocation-of-another", "good", "the revocation of another subkey", cat(plain, sig{by: k, kind: 0x28, time: midTime}.onSubkey(k, stranger))},
		{"revocation-forged", "good", "a stranger's revocation", cat(plain, sig{by: stranger, kind: 0x28, hashed: [][]byte{created(midTime), issuerPrint(k)}}.onSubkey(k, sub))},
		{"primary-revoked", "bad signature: key is revoked", "the primary key is revoked", cat(plain, sig{by: k, kind: 0x20, time: laterTime}.onKey(k))},
		{"copies", revoked, "the subkey twice, one copy revoked", cat(plain, subkeyPacket(sub), plain, rev(laterTime))},
	} {
		s.detached("subkey-"+c.name, c.expect, c.comment, cert(k, subkeyPacket(sub), c.more), good)
	}
	s.detached("subkey-primary-expired", "bad signature: key had expired", "the primary key was expired",
		cat(primaryPacket(k), idPacket(userID), selfSig(k, keyTime, keyExpires(1000)).onID(k, userID), subkeyPacket(sub), plain), good)
	s.detached("subkey-certify-only-primary", "good", "the primary key only certifies",
		cat(primaryPacket(k), idPacket(userID), selfSig(k, keyTime, flags(flagCertify)).onID(k, userID), subkeyPacket(sub), plain), good)
	s.detached("subkey-stolen", disagreed, "another certificate has bound the subkey without its agreement",
		cert(stranger, subkeyPacket(sub), sig{by: stranger, kind: 0x18, time: keyTime + 100, more: [][]byte{flags(flagSign), embedded(back)}}.onSubkey(stranger, sub)), good)
	s.detached("subkey-older-than-signature", "bad signature: older than its key", "signed before the subkey was made",
		cert(k, subkeyPacket(sub), plain), sig{by: sub, time: keyTime + 50}.packet(document))
	for _, c := range []struct {
		name, comment string
		body          []byte
	}{
		{"unknown-algorithm", "a subkey of an unknown algorithm", cat([]byte{4}, be32(keyTime), []byte{99, 1, 2, 3})},
		{"version-5", "a subkey of version 5", cat([]byte{5}, be32(keyTime), []byte{99, 0, 0, 0, 0})},
		{"version-6", "a subkey of version 6 below version 4", ed25519Key("sub", 6, keyTime).body},
		{"broken", "a subkey of two bytes", []byte{4, 0}},
	} {
		s.detached("subkey-"+c.name, "good", c.comment+", passed over", cert(k, packet(14, c.body), plain), sig{by: k}.packet(document))
	}
	v6, sub6 := ed25519Key("a", 6, keyTime), ed25519Key("sub", 6, keyTime+100)
	s.detached("subkey-v6", "good", "a signing subkey, version 6",
		cat(primaryPacket(v6), sig{by: v6, kind: 0x1f, time: keyTime, more: [][]byte{flags(flagCertify)}}.onKey(v6), subkeyPacket(sub6), binding(v6, sub6, keyTime+100).onSubkey(v6, sub6)),
		sig{by: sub6}.packet(document))
}

func (s *set) keyFiles() {
	k, b := eddsaKey("a", 4, keyTime), eddsaKey("b", 4, keyTime)
	good := sig{by: k}.packet(document)
	armored := armorKey(cert(k))
	for _, c := range []struct {
		name, expect, comment string
		keys                  []byte
	}{
		{"armored", "good", "armored", []byte(armored)},
		{"crlf", "good", "armored, with CR LF", []byte(strings.ReplaceAll(armored, "\n", "\r\n"))},
		{"two-certificates", "good", "two certificates in one file", cat(cert(b), cert(k))},
		{"two-blocks", "good", "two armored certificates in one file", []byte(armorKey(cert(b)) + "\n" + armored)},
		{"prose", "good", "prose around the armor", []byte("The key of Test:\n\n" + armored + "\nKeep it.\n")},
		{"utf8-mark", "good", "a byte order mark before the armor's prose", []byte("\xef\xbb\xbfThe key:\n" + armored)},
		{"prose-beyond-ascii", "good", "prose that begins with a letter beyond ASCII", []byte("\u042d\u0442\u043e \u043a\u043b\u044e\u0447:\n" + armored)},
		{"armor-in-id", "untrusted", "packets with a stranger's armor in a user id: packets they stay", cert(b, idPacket("x\n"+armored))},
		{"armor-in-id-first", "untrusted", "the same before all that is signed", cat(primaryPacket(b), idPacket("x\n"+armored), cert(b))},
		{"partial", "key file: partial", "a partial length", cat([]byte{0xc6, 0xe5}, cert(k)[2:])},
		{"second-block-cut", "key file: without its end", "the second of two blocks is cut short: the rest may have been the revocation", []byte(armored + armorKey(cert(b))[:97])},
		{"html-around", "good", "a web page with the armor in it", []byte("<pre>\n" + armored + "</pre>\n")},
		{"old-format", "good", "the old packet format", cat(oldPacket(6, k.body), oldPacket(13, []byte(userID)), oldPacket(2, selfSig(k, keyTime).body(k.hashed(), hashedID(userID))))},
		{"secret-key", "key file: secret", "a secret key", cat(packet(5, append(k.body[:len(k.body):len(k.body)], 0)), idPacket(userID))},
		{"secret-subkey", "key file: secret", "a secret subkey", cat(cert(k), packet(7, append(b.body[:len(b.body):len(b.body)], 0)))},
		{"secret-armor", "key file: secret", "armor of a secret key", []byte(armor("PRIVATE KEY BLOCK", cert(k)))},
		{"signature", "key file: signatures, not keys", "a signature", good},
		{"signature-armor", "key file: another kind", "an armored signature", []byte(armorSig(good))},
		{"message", "key file: a message", "a literal packet after the certificate", cat(cert(k), packet(11, []byte("b\x00\x00\x00\x00\x00x")))},
		{"truncated", "key file: truncated", "the last byte is missing: the rest may have been a revocation", cert(k)[:len(cert(k))-1]},
		{"trailing", "key file: not an OpenPGP packet", "a byte after the certificate", cat(cert(k), []byte{0})},
		{"empty", "key file: empty", "an empty file", nil},
		{"text", "key file: neither armor nor packets", "some text", []byte("the key\n")},
		{"html", "key file: HTML", "a server's page", []byte("<html>")},
		{"keybox", "key file: keybox", "GnuPG's keybox", []byte("\x00\x00\x00\x20\x01\x01\x00\x02KBXf\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
		{"version-3", "key file: version 4 or 6", "a version 3 key alone", packet(6, cat([]byte{3}, be32(keyTime), []byte{0, 0, 1}, mpi([]byte{0xff}), mpi([]byte{3})))},
		{"wrong-checksum", "key file: wrong checksum", "a wrong armor checksum", []byte(strings.Replace(armored, "\n=", "\n=AAAA\n=", 1))},
		{"ids-only", "key file: no keys", "a user id alone", idPacket(userID)},
	} {
		if c.name == "wrong-checksum" {
			lines := strings.SplitAfter(armored, "\n")
			lines[len(lines)-3] = "=AAAA\n"
			c.keys = []byte(strings.Join(lines, ""))
		}
		s.detached("keys-"+c.name, c.expect, c.comment, c.keys, good)
	}
}

func (s *set) cleartext() {
	k := eddsaKey("a", 4, keyTime)
	signed := func(text string, spec sig) string {
		spec.by = k
		return armorSig(spec.packet([]byte(strings.ReplaceAll(text, "\n", "\r\n"))))
	}
	text := sig{kind: 1}
	plain := signed("Hello\n- dash\nlast", text)
	const (
		head = "-----BEGIN PGP SIGNED MESSAGE-----\n"
		body = "Hello\n- - dash\nlast\n"
	)
	message := head + "Hash: SHA256\n\n" + body + plain
	for _, c := range []struct{ name, expect, comment, message, text string }{
		{"plain", "good", "as it should be", message, "Hello\n- dash\nlast\n"},
		{"crlf", "good", "CR LF", strings.ReplaceAll(message, "\n", "\r\n"), "Hello\n- dash\nlast\n"},
		{"no-header", "good", "no Hash header", head + "\n" + body + plain, "Hello\n- dash\nlast\n"},
		{"two-headers", "good", "two Hash headers and two names", head + "Hash: SHA256, SHA512\nHash: SHA384\n\n" + body + plain, "Hello\n- dash\nlast\n"},
		{"other-hash", "good", "the header names another hash; the packet counts", head + "Hash: SHA512\n\n" + body + plain, "Hello\n- dash\nlast\n"},
		{"trailing-blanks", "good", "blanks at line ends are not signed, and not returned", strings.Replace(message, "Hello", "Hello \t", 1), "Hello\n- dash\nlast\n"},
		{"escaped-needlessly", "good", "any line may be escaped", strings.Replace(message, "Hello", "- Hello", 1), "Hello\n- dash\nlast\n"},
		{"binary-type", "good", "a signature of type binary over the same bytes", head + "\n" + body + signed("Hello\n- dash\nlast", sig{}), "Hello\n- dash\nlast\n"},
		{"first-line-empty", "good", "an empty first line belongs to the text", head + "\n\nHello\n" + signed("\nHello", text), "\nHello\n"},
		{"last-line-empty", "good", "an empty last line too", head + "\nHello\n\n" + signed("Hello\n", text), "Hello\n\n"},
		{"empty", "good", "no text", head + "\n" + signed("", text), ""},
		{"tab", "good", "a tab inside", head + "\na\tb\n" + signed("a\tb", text), "a\tb\n"},
		{"utf8", "good", "UTF-8", head + "\nGrüße\n" + signed("Grüße", text), "Grüße\n"},
		{"long-line", "good", "a line of 20000 bytes", head + "\n" + strings.Repeat("x", 20000) + "\n" + signed(strings.Repeat("x", 20000), text), strings.Repeat("x", 20000) + "\n"},
		{"blank-after", "good", "blank lines after", message + "\n\n", "Hello\n- dash\nlast\n"},
		{"changed", changed, "a letter was changed", strings.Replace(message, "Hello", "hello", 1), ""},
		{"line-added", changed, "a line was added", strings.Replace(message, "Hello", "Hello\nyou", 1), ""},
		{"line-end-added", changed, "an empty line was added", strings.Replace(message, "last\n", "last\n\n", 1), ""},
		{"long-line-changed", changed, "changed behind 20000 bytes", head + "\n" + strings.Repeat("x", 20000) + "y\n" + signed(strings.Repeat("x", 20000), text), ""},
		{"sha1", "bad signature: hash algorithm", "SHA-1", head + "\n" + body + signed("Hello\n- dash\nlast", sig{kind: 1, hash: sha1Hash}), ""},
		{"type", "bad signature: not over a document", "a certification", head + "\n" + body + signed("Hello\n- dash\nlast", sig{kind: 0x10}), ""},
		{"header-text", "format: header", "a sentence in the Hash header", head + "Hash: SHA256 and pay Mallory\n\n" + body + plain, ""},
		{"header-other", "format: header", "a Comment header", head + "Comment: signed by all\n\n" + body + plain, ""},
		{"header-not-dash-escaped", "format: header", "GnuPG's NotDashEscaped", head + "NotDashEscaped: yes\n\n" + body + plain, ""},
		{"header-continued", "format: header", "a second line of the header", head + "Hash: SHA256\n more\n\n" + body + plain, ""},
		{"header-empty", "format: header", "a Hash header without a name", head + "Hash: \n\n" + body + plain, ""},
		{"header-lower-case", "format: header", "a Hash header in lower case", head + "hash: SHA256\n\n" + body + plain, ""},
		{"header-charset", "format: header", "a Charset header", head + "Hash: SHA256\nCharset: utf-7\n\n" + body + plain, ""},
		{"header-escape", "format: header", "an escape in the Hash header", head + "Hash: SHA256\x1b[2J\n\n" + body + plain, ""},
		{"header-many", "good", "seven Hash headers", head + strings.Repeat("Hash: SHA256\n", 7) + "\n" + body + plain, "Hello\n- dash\nlast\n"},
		{"vertical-tab", "format: control character", "a vertical tab at a line's end", strings.Replace(message, "Hello\n", "Hello\v\n", 1), ""},
		{"backspace", "format: control character", "backspaces in the text", strings.Replace(message, "Hello", "Hello\b\b", 1), ""},
		{"delete", "format: control character", "a DEL in the text", strings.Replace(message, "Hello", "Hello\x7f", 1), ""},
		{"escaped-armor", "good", "an escaped armor line is text", head + "\n- -----BEGIN PGP SIGNATURE-----\n" + signed("-----BEGIN PGP SIGNATURE-----", text), "-----BEGIN PGP SIGNATURE-----\n"},
		{"escaped-dash-alone", "format: unescaped dash", "a dash that escapes nothing", strings.Replace(message, "Hello", "-Hello", 1), ""},
		{"escaped-empty", "good", "an escaped empty line", head + "\n- \n" + signed("", text), "\n"},
		{"begin-blanks", "good", "blanks behind BEGIN", strings.Replace(message, "MESSAGE-----\n", "MESSAGE----- \t\n", 1), "Hello\n- dash\nlast\n"},
		{"begin-text", "format: does not begin", "text behind BEGIN", strings.Replace(message, "MESSAGE-----\n", "MESSAGE----- by us\n", 1), ""},
		{"signature-blanks", "good", "blanks behind the signature's BEGIN", strings.Replace(message, "SIGNATURE-----\n", "SIGNATURE----- \n", 1), "Hello\n- dash\nlast\n"},
		{"begin-five-dashes", "format: does not begin", "six dashes", "-" + message, ""},
		{"utf8-mark", "format: does not begin", "a byte order mark before", "\xef\xbb\xbf" + message, ""},
		{"signature-headers", "good", "headers in the signature's armor", strings.Replace(message, "SIGNATURE-----\n\n", "SIGNATURE-----\nComment: x\n\n", 1), "Hello\n- dash\nlast\n"},
		{"signature-cut", "format: without its end", "the signature is cut short", message[:len(message)-20], ""},
		{"mixed-line-ends", "good", "LF and CR LF in one message", strings.Replace(message, "Hello\n", "Hello\r\n", 1), "Hello\n- dash\nlast\n"},
		{"separator-blank", "format: header", "a separator line with a blank in it", head + "Hash: SHA256\n \n" + body + plain, ""},
		{"separator-vt", "format: header", "a separator line with a vertical tab in it", head + "Hash: SHA256\n\v\n" + body + plain, ""},
		{"separator-missing", "format: header", "no separator line", head + "Hash: SHA256\n" + body + plain, ""},
		{"unescaped", "format: unescaped dash", "a line that begins with a dash", strings.Replace(message, "- - dash", "- dash\n-dash", 1), ""},
		{"unescaped-armor", "format: unescaped dash", "another armor's BEGIN line inside", strings.Replace(message, "Hello", "-----BEGIN PGP MESSAGE-----", 1), ""},
		{"nul", "format: control character", "a NUL in the text", strings.Replace(message, "Hello", "Hel\x00lo", 1), ""},
		{"form-feed", "format: control character", "a form feed in the text", strings.Replace(message, "Hello", "Hello\f", 1), ""},
		{"escape", "format: control character", "a terminal's escape, signed", head + "\n\x1b[2J\n" + signed("\x1b[2J", text), ""},
		{"lone-cr", "format: control character", "a carriage return inside a line", strings.Replace(message, "Hello", "Hel\rlo", 1), ""},
		{"two-crs", "format: control character", "two carriage returns at a line's end", strings.Replace(message, "Hello\n", "Hello\r\r\n", 1), ""},
		{"text-before", "format: does not begin", "text before", "Read this:\n" + message, ""},
		{"blank-before", "format: does not begin", "an empty line before", "\n" + message, ""},
		{"text-after", "format: text after the armor", "text after", message + "Read this.\n", ""},
		{"two-messages", "format: another kind", "two messages", message + message, ""},
		{"two-blocks", "format: more than one block", "two blocks of signatures", message + plain, ""},
		{"no-signature", "format: no signature", "no signature", head + "Hash: SHA256\n\n" + body, ""},
		{"no-text", "format: no text", "the first line alone", head, ""},
		{"empty-file", "format: does not begin", "an empty file", "", ""},
		{"detached", "format: does not begin", "a detached signature", plain, ""},
		{"inline", "format: does not begin", "a signed message in packets", armor("MESSAGE", packet(11, []byte("b\x00\x00\x00\x00\x00Hello"))), ""},
		{"data-in-signature", "format: a message", "data among the signatures", head + "\n" + body + armorSig(cat(packet(11, []byte("b\x00\x00\x00\x00\x00Hello")), text.with(k).packet([]byte("Hello\r\n- dash\r\nlast")))), ""},
	} {
		s.list = append(s.list, vector{name: "clear-" + c.name, expect: c.expect, comment: c.comment, keys: cert(k), message: []byte(c.message), text: []byte(c.text)})
	}
}

func (s sig) with(k *key) sig { s.by = k; return s }

// plain adds the cases of signify's and minisign's formats.
func (s *set) plain() {
	private := ed25519.NewKeyFromSeed(stream("plain", 32))
	number := []byte("\x01\x23\x45\x67\x89\xab\xcd\xef")
	line := func(algo string, number []byte, rest []byte) string {
		return base64.StdEncoding.EncodeToString(cat([]byte(algo), number, rest)) + "\n"
	}
	public := line("Ed", number, private.Public().(ed25519.PublicKey))
	keys := "untrusted comment: a public key\n" + public
	other := "untrusted comment: another\n" + line("Ed", number, ed25519.NewKeyFromSeed(stream("other", 32)).Public().(ed25519.PublicKey))
	stranger := "untrusted comment: a stranger's\n" + line("Ed", []byte("stranger"), ed25519.NewKeyFromSeed(stream("other", 32)).Public().(ed25519.PublicKey))

	raw := ed25519.Sign(private, document)
	digest := blake2b.Sum512(document)
	hashed := ed25519.Sign(private, digest[:])
	signify := "untrusted comment: verify with key.pub\n" + line("Ed", number, raw)
	spare := strings.LastIndexByte(signify, '=') - 1 // its last bits are unused
	mini := func(algo string, raw []byte, comment string) string {
		over := ed25519.Sign(private, cat(raw, []byte(comment)))
		return "untrusted comment: signature from minisign secret key\n" + line(algo, number, raw) +
			"trusted comment: " + comment + "\n" + base64.StdEncoding.EncodeToString(over) + "\n"
	}
	comment := fmt.Sprintf("timestamp:%d\tfile:hello\thashed", signTime)
	minisign := mini("ED", hashed, comment)
	const commentChanged = "bad signature: trusted comment"
	for _, c := range []struct{ name, expect, comment, keys, sig string }{
		{"signify", "good", "signify", keys, signify},
		{"signify-crlf", "good", "CR LF", strings.ReplaceAll(keys, "\n", "\r\n"), strings.ReplaceAll(signify, "\n", "\r\n")},
		{"signify-comment", "good", "another untrusted comment", keys, strings.Replace(signify, "verify with", "from", 1)},
		{"signify-same-number", "good", "two keys of one number", other + keys, signify},
		{"signify-wrong-key", changed, "another key of the same number", other, signify},
		{"signify-stranger", "untrusted", "a key of another number", stranger, signify},
		{"signify-prehashed", "format: unknown algorithm", "signify has no prehashed form", keys, "untrusted comment: x\n" + line("ED", number, hashed)},
		{"signify-algorithm", "format: unknown algorithm", "an unknown algorithm", keys, "untrusted comment: x\n" + line("Eg", number, raw)},
		{"signify-short", "format: not a key or signature", "a byte is missing", keys, "untrusted comment: x\n" + line("Ed", number, raw[:63])},
		{"signify-long", "format: not a key or signature", "a byte too many", keys, "untrusted comment: x\n" + line("Ed", number, append(raw[:64:64], 0))},
		{"signify-trailing", "format: not a valid signature file: this is a signify -e file", "a line after", keys, signify + "more\n"},
		{"signify-embedded", "format: not a valid signature file: this is a signify -e file", "the data follows, as signify -e has it", keys, signify + string(document)},
		{"signify-no-comment", "format: ", "no comment line", keys, line("Ed", number, raw)},
		{"signify-of-openpgp", "untrusted", "a signify signature and an OpenPGP key", armorKey(cert(eddsaKey("a", 4, keyTime))), signify},
		{"signify-key-algorithm", "key file: unknown algorithm", "a key of an unknown algorithm", "untrusted comment: x\n" + line("Eg", number, private.Public().(ed25519.PublicKey)), signify},
		{"signify-key-short", "key file: not a key", "a key that is too short", "untrusted comment: x\n" + line("Ed", number, raw[:31]), signify},
		{"signify-utf8-mark", "good", "a byte order mark before the key", "\xef\xbb\xbf" + keys, signify},
		{"signify-spare-bits", "format: not a key or signature", "bits in the padding of base64", keys, signify[:spare] + string(signify[spare]+1) + signify[spare+1:]},
		{"signify-blank-line", "format: 3 lines", "an empty line between", keys, strings.Replace(signify, "\n", "\n\n", 1)},
		{"signify-blanks", "format: not a key or signature", "a blank behind the base64", keys, strings.TrimSuffix(signify, "\n") + " \n"},
		{"signify-final-line-end", "good", "no line end at the end", keys, strings.TrimSuffix(signify, "\n")},
		{"minisign", "good", "minisign, prehashed", keys, minisign},
		{"minisign-final-line-end", "good", "no line end at the end", keys, strings.TrimSuffix(minisign, "\n")},
		{"minisign-comment-blank", commentChanged, "a blank behind the trusted comment", keys, strings.Replace(minisign, "hashed\n", "hashed \n", 1)},
		{"minisign-comment-unsigned", commentChanged, "the trusted comment's signature is another's", keys, strings.Join(append(strings.SplitAfter(minisign, "\n")[:3], strings.SplitAfter(mini("ED", hashed, "other"), "\n")[3:]...), "")},
		{"minisign-key-line", "good", "the public key's line alone", public, minisign},
		{"minisign-legacy", "good", "minisign, not prehashed", keys, mini("Ed", raw, comment)},
		{"minisign-no-time", "good", "a trusted comment without a time", keys, mini("ED", hashed, "by hand")},
		{"minisign-future", "bad signature: from the future", "a trusted comment from the future", keys, mini("ED", hashed, "timestamp:1730000000")},
		{"minisign-comment-changed", commentChanged, "the trusted comment was changed", keys, strings.Replace(minisign, "file:hello", "file:other", 1)},
		{"minisign-comment-moved", commentChanged, "the trusted comment of another signature", keys,
			strings.Join(append(strings.SplitAfter(minisign, "\n")[:2], strings.SplitAfter(mini("ED", raw, comment), "\n")[2:]...), "")},
		{"minisign-two-lines", "format: unknown algorithm", "the trusted comment was cut off", keys, strings.Join(strings.SplitAfter(minisign, "\n")[:2], "")},
		{"minisign-no-comment", "format: no trusted comment", "no trusted comment", keys, strings.Replace(minisign, "trusted comment: timestamp", "comment: timestamp", 1)},
		{"minisign-trailing", "format: 5 lines", "a line after", keys, minisign + "more\n"},
		{"minisign-prehash-swapped", changed, "the prehashed signature labelled as the other", keys, mini("Ed", hashed, comment)},
	} {
		s.detached(c.name, c.expect, c.comment, []byte(c.keys), []byte(c.sig))
	}
	s.detached("minisign-require-two", "untrusted: 1 of the trusted keys", "two are asked for, and one key can sign such a file", []byte(keys), []byte(minisign), "require 2")
	s.detached("minisign-changed", changed, "the data was changed", []byte(keys), []byte(minisign))
	s.over("other")
	s.detached("signify-changed", changed, "the data was changed", []byte(keys), []byte(signify))
	s.over("other")
	s.detached("signify-window", "bad signature: no time", "a window is asked for, and signify has no time", []byte(keys), []byte(signify), "not-before 1600000000")
	s.detached("minisign-window", "good", "minisign has one", []byte(keys), []byte(minisign), "not-before 1600000000")
}
