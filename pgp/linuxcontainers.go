package pgp

import "encoding/hex"

// The parts of the key of images.linuxcontainers.org: OpenPGP version 4, RSA of 4096 bits,
// no expiry, no subkeys, for certifying and signing; user id "LXC pre-built images
// <lxc-devel@lists.linuxcontainers.org>". LXC's download template contained the fingerprint
// from 2014 to 2022. The key's only self-signature uses SHA-1 and proves no more than the
// fingerprint does, so this package trusts the primary key without a self-signature.
const (
	linuxContainersFingerprint = "E7FB0CAEC8173D669066514CBAEFF88C22F6E216"
	linuxContainersCreated     = 1389412108 // 2014-01-11 03:48:28 UTC
	linuxContainersModulus     = "" +
		"cd5717cb7ec2a26d96c5e6fd9372df4dd20c5d15588ecd577f2110eb27aa5310070c95675287754cde5574a9dd56b4c9" +
		"6a09381c6db93acd40189cf43646c6a00a93a568866a6d9f02bf8dfdd0fb950211b6410bedf58ac40f4d2e9c90689ac0" +
		"b742e17ec60d120691c2866154809c689ac16e023a3074ca21f17131336bf84c47bebe6f59ee88410b1930ec2e5c57d7" +
		"101de0b55e218109c7117b521bd54efe1a63d4c40b46cc752c410e0c8c4fe3f37d1d98f270c3f64d6ae2b236a4b3a41b" +
		"0c9c4897fbc470a9811e62da81030f699c0dc1312b217c0e4be4e470df361e728c145adfa5af9961cc1ab6bf72cb8f38" +
		"f0b1be307a5f0bec7667503fb56d07b44109315832a51ce22c074d830b09b3ddf73d6ef048299c11419f1a97b1e27295" +
		"9ce3324f05bed4d0148713e6304dd39f7c514bed87db452fb8c9f9f42414a6b727d33da3a916f1d5f0c112e7631a9b7b" +
		"f25d608a5c2fffdc45dc5a1857e191df91c589b449037f5170ba9a6d57a1c4831d9de944d9d2f10adb40f1f87ce58349" +
		"a9475d124bf96d721f30d59976728e3aee84ccb297673e8b13af11b4a761beb3f81403ff842d8f1f07f85e5df3526f92" +
		"01dc927c39323e730a8dd40c3d5f868a3d072f3c6bdf439333f05678824577f10cf3307b2be9e7991943dc09cb4fe855" +
		"5f0873b4333c70bf654e9d36c7fa4ef601c9e2da9893c27d003ddf4b2a29573b"
)

// LinuxContainers returns a Keyring with the key that signs the images of
// images.linuxcontainers.org.
func LinuxContainers() *Keyring {
	body := []byte{4, linuxContainersCreated >> 24, linuxContainersCreated >> 16 & 0xff,
		linuxContainersCreated >> 8 & 0xff, linuxContainersCreated & 0xff, algoRSA,
		4096 >> 8, 4096 & 0xff}
	body, _ = hex.AppendDecode(body, []byte(linuxContainersModulus))
	body = append(body, 0, 17, 1, 0, 1) // the exponent, 65537
	primary := parsePublicKey(body)
	return &Keyring{
		certs: []*certificate{{primary: primary, pinned: true}},
		all:   map[string]*publicKey{primary.fingerprint: primary},
	}
}
