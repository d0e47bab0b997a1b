//go:build !amd64 || noasm

package xz

import (
	"hash"
	"hash/crc64"
)

// newCRC64 returns the hash of checkCRC64.
func newCRC64() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) }
