package pgp

import "testing"

// TestLinuxContainers computes the fingerprint from the parts of the key. LXC's download
// template contained that fingerprint from 2014 to 2022.
func TestLinuxContainers(t *testing.T) {
	const want = "E7FB0CAEC8173D669066514CBAEFF88C22F6E216"
	list := LinuxContainers().Fingerprints()
	if len(list) != 1 || list[0] != want {
		t.Fatalf("fingerprints %q, want %q", list, want)
	}
	for _, given := range []string{want, "0x" + want, "e7fb 0cae c817 3d66 9066 514c baef f88c 22f6 e216"} {
		if picked, err := LinuxContainers().Select([]string{given}); err != nil || len(picked.certs) != 1 {
			t.Errorf("Select(%q): %v", given, err)
		}
	}
	for _, given := range []string{"", "22F6E216", "0xBAEFF88C22F6E216", want[:39], want[:39] + "7", want[:39] + "G", want + want} {
		if _, err := LinuxContainers().Select([]string{given}); err == nil {
			t.Errorf("Select(%q) found a key", given)
		}
	}
}
