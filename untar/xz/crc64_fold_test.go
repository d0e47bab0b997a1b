//go:build (amd64 || arm64) && !noasm

package xz

import (
	"hash/crc64"
	"testing"
)

func TestFoldFactors(t *testing.T) {
	for distance, factors := range map[int][2]uint64{512: fold512, 128: fold128} {
		for i, power := range []int{distance + 63, distance - 1} {
			v := uint64(1) << 63 // x to the power 0
			for range power {
				v = v>>1 ^ crc64.ECMA&-(v&1)
			}
			if factors[i] != v {
				t.Errorf("x to the power %d is %#x, not %#x", power, v, factors[i])
			}
		}
	}
}
