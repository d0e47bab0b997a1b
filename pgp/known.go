package pgp

import "encoding/base64"

// The parts of the two keys of cloud-images.ubuntu.com, which are in Debian's package
// ubuntu-keyring (2023.11.28.1-0.2, /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg): OpenPGP
// version 4, RSA of 4096 bits, no expiry, no subkeys, for certifying and signing. The only
// self-signatures use SHA-1, as that of LinuxContainers.
//
// 4A3CE3CD565D7EB5C810E2B97FF3F408476CF100, "Ubuntu Cloud Image Builder (Canonical Internal Cloud
// Image Builder)", signs the lists of images; Juju verifies them with it, too.
// D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81, "UEC Image Automatic Signing Key
// <cdimage@ubuntu.com>", signs the digests of most builds.
const (
	ubuntuBuilderCreated = 1351381969 // 2012-10-27 23:52:49 UTC
	ubuntuBuilderModulus = "" +
		"wyp/ZjovVWYVvtHMZrt2hWVjINKezRCriKJJBHXej/gUSE3HDnXQy2gbrmpjG7f1db68VguSflF3t908IDuihnx/hAp1" +
		"w+YGHRDso1SpFMiM2FeUVVOQTK8U7pB7ofj5HDFVMub6LLApPTIr7QkSKjOnkan3l7+iAVfTBZAGxt8femTSP06mlk5W" +
		"hxrM89gMX/SXHBwjX295riyNrlZ1GqI7Q4mT5vUh05+jtKe08+zO/j/Ksr3Om3Z+RWAJPlm6Ps3o2FQRvxyyxOPnzWTx" +
		"EhlQlmbW2TgwT8aaU5zVZtxPOAkxbaZlhQbwRP6thvXvLOf5j9gE68y3VCjMa973GzV/jWNVMr59GdNj428U4Ys9RvuK" +
		"oegre4Ka7cFzzgf2wiE2S/WC63IcF4jYCyynBhdF45aQ9YXxCxotGj2WhxSwGuqqvEaPVkiZY2P2dIN8KI+rF6TPU3Vn" +
		"v82locQRprXiZd91gVe2tRrnDdMxdXRyL3r+BZK6dd1Ho92zFiylFgpmdNTh0rSwErIU6lcSAY9q4LMSHKh+ugyk0nWV" +
		"sgULYJv5Aqgb7qECxX1ICJRmYoU0PemGV6p/lXwYhW6Z4dby7duAn51XSps4m6ePCpIX6nbgxF8cf3/7mRDR+7fMQrjX" +
		"d6frtc3phjZ8bjvI8UuiHKN275yWhuAwJePL2gU="
	ubuntuImagesCreated = 1253058869 // 2009-09-15 23:54:29 UTC
	ubuntuImagesModulus = "" +
		"vFdNSRn3mFVZcJXK9HZsBfJ/lnv5W8cAK40f4GZR+/zCRGZwC0B1Kw06Q90pH27I0IHjbfHktycs6HNq97dp6LOK1zx+" +
		"JCMwL7arJc+jbOGWI6B1ZFQtqFfL2G8REft/5Q401lSCO6JrQ1b6h990JamGfPm0G7NtZWW9kTiSEAoh9GM2qmEdCNkh" +
		"MpAS/O91dMoHclv5gjMJ4l0y1MhgFFeP9vDTs8P+ixryRJSXuFKsEMZf2l7TyCYz5GvCwPPpw4uf7ulhIA1oAYSxB70B" +
		"tQTXbbZt1go27uM0t5jXzQYnU2pmXzmjCVGVWMYTgeZDUKskeHmKhSv1Pt9OXi62dOaHGnbJnEFpB0FW4LfoOMshTZee" +
		"jeQIq5BY1bXwK5FCXyDRoCe4JEnsqkyStuH9977CKT8EUOXhZ+x+D8BnND4spu92CyZ5UfeCzRBtHHjie7ta/lrmnrCI" +
		"/pSiGbBv60S3+23rGjAgrT3IplYBAJgaCHaU6XT92mueMP3b30sFuO5hmNeBuTwZP9DA8tmORznl2rd0V6RmWRYe828E" +
		"kPd0YWB92zTzXeZTLt2UZGF9fRVsaCwouZceCt35WIYqJWeYuCsSQqBkaG7Co5u+F79kJbwl2MgJOQZwEArLuYSmdbDo" +
		"UAAwnCs9WW4PCUXN75npWif1Rbx087OISU1LzqM="
)

// UbuntuCloudImages returns a Keyring with the keys that sign the images of
// cloud-images.ubuntu.com and the lists of them.
func UbuntuCloudImages() *Keyring {
	return Merge(pinnedRSA(ubuntuBuilderCreated, ubuntuBuilderModulus), pinnedRSA(ubuntuImagesCreated, ubuntuImagesModulus))
}

// pinnedRSA returns a Keyring with one key of this program: RSA of 4096 bits with the exponent
// 65537. Its self-signature would prove no more than its fingerprint does, so there is none.
func pinnedRSA(created uint32, modulus string) *Keyring {
	body := []byte{4, byte(created >> 24), byte(created >> 16), byte(created >> 8), byte(created), algoRSA, 4096 >> 8, 4096 & 0xff}
	body, _ = base64.StdEncoding.AppendDecode(body, []byte(modulus))
	body = append(body, 0, 17, 1, 0, 1) // the exponent
	primary := parsePublicKey(body)
	return &Keyring{
		certs: []*certificate{{primary: primary, pinned: true}},
		all:   map[string]*publicKey{primary.fingerprint: primary},
	}
}
