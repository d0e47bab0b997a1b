package xz

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "make testdata anew with xz, which must know the filter")

// branches returns n bytes with many of the instructions that filters convert. Some of the
// instructions overlap, and some have operands at the limit of what is converted.
func branches(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var out []byte
	word := func(v uint32) { out = binary.LittleEndian.AppendUint32(out, v) }
	for len(out) < n {
		// Real targets have few bits, so that their highest byte is 00 or FF.
		near := r.Uint32() >> (8 + r.IntN(20))
		if r.IntN(2) == 0 {
			near = -near
		}
		switch r.IntN(12) {
		case 0, 1: // x86 call and jump
			out = append(out, 0xe8+byte(r.IntN(2)))
			word(near)
		case 2: // several opcodes within five bytes
			for range 1 + r.IntN(8) {
				out = append(out, []byte{0xe8, 0xe9, 0, 0xff, byte(r.Uint32())}[r.IntN(5)])
			}
		case 3: // PowerPC bl, SPARC call, big endian
			out = binary.BigEndian.AppendUint32(out, []uint32{0x48000001 | near&0x03fffffc, 0x40000000 | near&0x3fffff, 0x7fc00000 | near&0x3fffff}[r.IntN(3)])
		case 4: // ARM bl, ARM64 bl
			word([]uint32{0xeb000000, 0x94000000}[r.IntN(2)] | near&0xffffff)
		case 5: // ARM64 adrp
			word(0x90000000 | near&0x60ffffff | r.Uint32()&0x1f)
		case 6: // ARM-Thumb bl
			word(0xf800f000 | near&0x07ff07ff)
		case 7: // IA-64 bundle with branches
			for len(out)%16 != 0 {
				out = append(out, 0)
			}
			out = append(out, byte(0x10+r.IntN(16)))
			for range 15 {
				out = append(out, byte(r.Uint32())&[]byte{0xff, 0, 0x0a, 0x50}[r.IntN(4)])
			}
		case 8: // RISC-V jal
			word(0xef | near<<8&0xfffff000 | uint32(r.IntN(4))<<7)
		case 9: // RISC-V auipc and an instruction that uses its register
			register := uint32(r.IntN(8))
			word(0x17 | register<<7 | near<<12)
			word(0x13 | r.Uint32()&0xfff07f80 | register<<15 | r.Uint32()&0x30)
		case 10:
			for range r.IntN(9) {
				out = append(out, 0)
			}
		default:
			for range r.IntN(9) {
				out = append(out, byte(r.Uint32()))
			}
		}
	}
	return out[:n]
}

// testdata/filters has a file for each filter and some chains, compressed by xz(1).
func TestFilters(t *testing.T) {
	for i, c := range []struct {
		name string
		args string
	}{
		{"x86", "--x86"},
		{"powerpc", "--powerpc"},
		{"ia64", "--ia64"},
		{"arm", "--arm"},
		{"armthumb", "--armthumb"},
		{"arm64", "--arm64"},
		{"sparc", "--sparc"},
		{"x86-start", "--x86=start=3735928559"},
		{"arm64-start", "--arm64=start=4294963200"},
		{"delta-1", "--delta=dist=1"},
		{"delta-256", "--delta=dist=256"},
		{"x86-delta-delta", "--x86 --delta=dist=4 --delta=dist=2"},
		{"delta-arm", "--delta=dist=3 --arm"},
	} {
		want := branches(uint64(i), 6000+i)
		name := filepath.Join("testdata", "filters", c.name+".xz")
		if *update {
			cmd := exec.Command("sh", "-c", "xz -c --check=sha256 "+c.args+" --lzma2=preset=9,dict=4KiB")
			cmd.Stdin, cmd.Stderr = bytes.NewReader(want), os.Stderr
			packed, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, packed, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeAll(data, Options{}, 0)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", c.name, len(got), err, len(want))
		}
	}
}

// riscVEncode is the encoder of the RISC-V filter, which the xz(1) of most machines does not
// have yet. riscV undoes it on any content.
func riscVEncode(b []byte, pos uint32) {
	for i := 0; i <= len(b)-8; i += 2 {
		first, second := binary.LittleEndian.Uint32(b[i:]), binary.LittleEndian.Uint32(b[i+4:])
		pc := pos + uint32(i)
		switch {
		case first&0xfff == 0x0ef || first&0xfff == 0x2ef: // jal ra, jal t0
			v := first >> 12 // imm[20|10:1|11|19:12]
			target := v&0xff<<12 | v>>8&1<<11 | v>>9&0x3ff<<1 | v>>19<<20
			target += pc
			b[i+1] = b[i+1]&0x0f | byte(target>>13)&0xf0
			b[i+2] = byte(target >> 9)
			b[i+3] = byte(target >> 1)
			i += 4 - 2
		case first&0x7f == 0x17 && first&0xe80 != 0:
			// Convert only if a 32-bit instruction follows that uses the same register.
			if second&3 != 3 || second>>15&0x1f != first>>7&0x1f {
				i += 6 - 2
				continue
			}
			target := first&0xfffff000 + uint32(int32(second)>>20) + pc
			binary.LittleEndian.PutUint32(b[i:], 0x17|2<<7|second<<12)
			binary.BigEndian.PutUint32(b[i+4:], target)
			i += 8 - 2
		case first&0x7f == 0x17:
			register := first >> 27
			if (first-0x3117)<<18 >= register&0x1d {
				i += 4 - 2
				continue
			}
			// The pair looks like an encoded one: store it as an ordinary pair.
			binary.LittleEndian.PutUint32(b[i:], 0x17|register<<7|second&0xfffff000)
			binary.LittleEndian.PutUint32(b[i+4:], first>>12|second<<20)
			i += 8 - 2
		}
	}
}

func TestRISCV(t *testing.T) {
	converted := 0
	for seed := range uint64(200) {
		want := branches(seed, 1000+int(seed))
		b := bytes.Clone(want)
		start := uint32(seed) * 0x1fffe
		riscVEncode(b, start)
		if !bytes.Equal(b, want) {
			converted++
		}
		riscV(b, start)
		if !bytes.Equal(b, want) {
			t.Errorf("content %d comes back changed", seed)
		}
	}
	if converted < 100 {
		t.Errorf("only %d contents were changed by the encoder", converted)
	}
	// At address 0x100, jal ra to the address 0x1000 bytes further.
	b := []byte{0xef, 0x00, 0x08, 0x80, 0, 0, 0, 0}
	riscV(b, 0x100)
	if want := []byte{0xef, 0x10, 0x00, 0x00, 0, 0, 0, 0}; !bytes.Equal(b, want) {
		t.Errorf("jal: % x, want % x", b, want)
	}
}

// A filter's result does not depend on how its input is cut into pieces.
func TestFilterPieces(t *testing.T) {
	for _, id := range []int64{filterDelta, filterX86, filterPowerPC, filterIA64, filterARM, filterARMThumb, filterSPARC, filterARM64, filterRISCV} {
		for seed := range uint64(20) {
			content := branches(seed, 500)
			f := filter{id: id, distance: 3}
			f.reset(64)
			whole := bytes.Clone(content)
			f.undo(whole)
			s := stage{filter: filter{id: id, distance: 3}}
			s.reset(64)
			r := rand.New(rand.NewPCG(seed, 2))
			var got []byte
			for rest := content; ; {
				n := min(len(rest), r.IntN(40))
				end := n == len(rest)
				got = append(got, s.undo(rest[:n], end)...)
				if rest = rest[n:]; end {
					break
				}
			}
			if !bytes.Equal(got, whole) {
				t.Errorf("%s, content %d: pieces give something else", filterName(id), seed)
			}
		}
	}
}

// The filter test files of ../../../shared decode, if that directory exists.
func TestSharedVectors(t *testing.T) {
	base := filepath.Join("..", "..", "..", "shared", "vectors", "compressed", "made")
	names, _ := filepath.Glob(filepath.Join(base, "t-*.xz"))
	if len(names) == 0 {
		t.Skip("no reference vectors beside the checkout")
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// The check in each file shows whether the content is right.
		if _, err := decodeAll(data, Options{}, 0); err != nil {
			t.Error(fmt.Errorf("%s: %w", name, err))
		}
	}
}
