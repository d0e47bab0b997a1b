package pgp

// The parts of the key of images.linuxcontainers.org: OpenPGP version 4, RSA of 4096 bits,
// no expiry, no subkeys, for certifying and signing; user id "LXC pre-built images
// <lxc-devel@lists.linuxcontainers.org>". LXC's download template contained the fingerprint
// from 2014 to 2022. The key's only self-signature uses SHA-1 and proves no more than the
// fingerprint does, so this package trusts the primary key without a self-signature.
const (
	linuxContainersFingerprint = "E7FB0CAEC8173D669066514CBAEFF88C22F6E216"
	linuxContainersCreated     = 1389412108 // 2014-01-11 03:48:28 UTC
	linuxContainersModulus     = "" +
		"zVcXy37Com2Wxeb9k3LfTdIMXRVYjs1XfyEQ6yeqUxAHDJVnUod1TN5VdKndVrTJagk4HG25Os1AGJz0NkbGoAqTpWiG" +
		"am2fAr+N/dD7lQIRtkEL7fWKxA9NLpyQaJrAt0LhfsYNEgaRwoZhVICcaJrBbgI6MHTKIfFxMTNr+ExHvr5vWe6IQQsZ" +
		"MOwuXFfXEB3gtV4hgQnHEXtSG9VO/hpj1MQLRsx1LEEODIxP4/N9HZjycMP2TWrisjaks6QbDJxIl/vEcKmBHmLagQMP" +
		"aZwNwTErIXwOS+TkcN82HnKMFFrfpa+ZYcwatr9yy4848LG+MHpfC+x2Z1A/tW0HtEEJMVgypRziLAdNgwsJs933PW7w" +
		"SCmcEUGfGpex4nKVnOMyTwW+1NAUhxPmME3Tn3xRS+2H20UvuMn59CQUprcn0z2jqRbx1fDBEudjGpt78l1gilwv/9xF" +
		"3FoYV+GR35HFibRJA39RcLqabVehxIMdnelE2dLxCttA8fh85YNJqUddEkv5bXIfMNWZdnKOOu6EzLKXZz6LE68RtKdh" +
		"vrP4FAP/hC2PHwf4Xl3zUm+SAdySfDkyPnMKjdQMPV+Gij0HLzxr30OTM/BWeIJFd/EM8zB7K+nnmRlD3AnLT+hVXwhz" +
		"tDM8cL9lTp02x/pO9gHJ4tqYk8J9AD3fSyopVzs="
)

// LinuxContainers returns a Keyring with the key that signs the images of
// images.linuxcontainers.org.
func LinuxContainers() *Keyring {
	return pinnedRSA(linuxContainersCreated, linuxContainersModulus)
}
