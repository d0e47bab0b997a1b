package main

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// TestGenerate shows that a seed always gives the same cases, and that a run of 2,000
// cases uses every key and every mount.
func TestGenerate(t *testing.T) {
	var all strings.Builder
	for i := range 2000 {
		c := generate(rand.New(rand.NewPCG(1, uint64(i))), i)
		if again := generate(rand.New(rand.NewPCG(1, uint64(i))), i); !reflect.DeepEqual(c, again) {
			t.Fatalf("case %d: %+v, and then %+v", i, c, again)
		}
		if c.Rootfs < 0 || c.Rootfs >= len(rootfses) || c.Take || c.Notice != "" {
			t.Fatalf("case %d: %+v", i, c)
		}
		all.WriteString(c.Config + c.Fstab)
	}
	text := strings.ToLower(all.String())
	for _, key := range keys {
		if !strings.Contains(text, key) {
			t.Errorf("%s is in none of 2,000 configs", key)
		}
	}
	for _, m := range mountValues {
		if !strings.Contains(text, strings.ToLower(m)) {
			t.Errorf("%q is in none of 2,000 configs", m)
		}
	}
}

// TestFixedCases shows that numbers and names of the cases are unique.
func TestFixedCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range fixed {
		if seen[c.Name] {
			t.Errorf("two cases %q", c.Name)
		}
		seen[c.Name] = true
		if c.Notice != "" {
			t.Errorf("%q asks for --allow-host-config", c.Name)
		}
	}
	kinds := map[kind]bool{}
	for _, c := range selfCases {
		kinds[c.Notice] = true
	}
	// A container can't cause left, ended and verdict.
	for _, k := range []kind{inFiles, inMounts, inNames, inSettings, inNetwork, inGroups, inProcesses, gone, reach, shared, loosened} {
		if !kinds[k] {
			t.Errorf("no case of -self shows that %q is noticed", k)
		}
	}
}

func TestEscape(t *testing.T) {
	if got := escape("a\x1b[2J\rb\xff"); strings.ContainsFunc(got, func(c rune) bool { return c < ' ' || c > '~' }) || !strings.Contains(got, `\x1b`) {
		t.Errorf("%q", got)
	}
}
