//go:build ignore

// Gen writes the decoder's inner loop twice from one description: once with
// unchecked memory access (decode_unsafe.go), once with ordinary slices
// (decode_checked.go, build tag nounsafe).
//
// The loop is generated because it must be a single function: range, code and state have to
// stay in registers, a call for each bit costs more than decoding the bit, and Go has no
// macros. docs/xz.md says how much each choice gained.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"
)

func main() {
	directory := "."
	if len(os.Args) > 1 {
		directory = os.Args[1]
	}
	for _, v := range []struct {
		file, tag string
		checked   bool
	}{
		{"decode_unsafe.go", "!nounsafe", false},
		{"decode_checked.go", "nounsafe", true},
	} {
		g := &generator{checked: v.checked}
		g.file(v.tag)
		text, err := format.Source(g.Bytes())
		if err != nil {
			log.Fatalf("%v\n%s", err, g.Bytes())
		}
		if err := os.WriteFile(filepath.Join(directory, v.file), text, 0o666); err != nil {
			log.Fatal(err)
		}
	}
}

// A generator collects the text of one variant.
type generator struct {
	bytes.Buffer
	checked bool
}

// p writes a line.
func (g *generator) p(format string, args ...any) {
	fmt.Fprintf(g, format+"\n", args...)
}

// either writes unchecked or checked, according to the variant.
func (g *generator) either(unchecked, checked string) {
	if g.checked {
		g.p("%s", checked)
	} else {
		g.p("%s", unchecked)
	}
}

// A table is a range of probabilities in lzma.probs. It begins at a constant offset, or at
// an offset that generator.table has put into a variable.
type table struct {
	constant string // if not "", the offset
	variable string // else the name of the variable
}

// at returns the table at a constant offset.
func at(offset string) table { return table{constant: offset} }

// table writes a variable for the offset and returns the table that begins there.
func (g *generator) table(name, offset string) table {
	if g.checked {
		g.p("%s := %s", name, offset)
	} else {
		g.p("%s := unsafe.Add(probs, uintptr(%s)*2)", name, offset)
	}
	return table{variable: name}
}

// slot returns the expression for a probability.
func (g *generator) slot(t table, index string) string {
	switch {
	case g.checked && t.constant != "":
		return fmt.Sprintf("probs[uintptr(%s)+uintptr(%s)]", t.constant, index)
	case g.checked:
		return fmt.Sprintf("probs[uintptr(%s)+uintptr(%s)]", t.variable, index)
	case t.constant != "":
		return fmt.Sprintf("*(*uint16)(unsafe.Add(probs, uintptr(%s)*2+uintptr(%s)*2))", t.constant, index)
	}
	return fmt.Sprintf("*(*uint16)(unsafe.Add(%s, uintptr(%s)*2))", t.variable, index)
}

// slotBefore is slot for index-1; index is a variable of type uintptr.
func (g *generator) slotBefore(t table, index string) string {
	switch {
	case g.checked:
		return g.slot(t, index+"-1")
	case t.constant != "":
		return fmt.Sprintf("*(*uint16)(unsafe.Add(probs, %s*2+%s*2-2))", t.constant, index)
	}
	return fmt.Sprintf("*(*uint16)(unsafe.Add(%s, %s*2-2))", t.variable, index)
}

// byteAt returns the expression for a byte of the window.
func (g *generator) byteAt(index string) string {
	if g.checked {
		return fmt.Sprintf("buf[%s]", index)
	}
	return fmt.Sprintf("*(*byte)(unsafe.Add(buf, %s))", index)
}

// normalize writes code that refills the range coder.
func (g *generator) normalize() {
	g.p("if rng < 1<<24 {")
	g.p("rng <<= 8")
	g.either("code = code<<8 | uint32(*(*byte)(in))", "code = code<<8 | uint32(in[at])")
	g.either("in = unsafe.Add(in, 1)", "at++")
	g.p("}")
}

// choice writes code that decodes a bit with a branch, followed by the code that zero or one
// writes. A branch is faster than bit if the processor can predict the value.
func (g *generator) choice(t table, index string, zero, one func()) {
	g.p("{")
	g.p("i := %s", index)
	g.p("p = uint32(%s)", g.slot(t, "i"))
	g.normalize()
	g.p("bound = rng >> probBits * p")
	g.p("if code < bound {")
	g.p("rng = bound")
	g.p("%s = uint16(p + (1<<probBits-p)>>probMove)", g.slot(t, "i"))
	zero()
	g.p("} else {")
	g.p("rng -= bound")
	g.p("code -= bound")
	g.p("%s = uint16(p - p>>probMove)", g.slot(t, "i"))
	one()
	g.p("}")
	g.p("}")
}

// bit writes code that decodes a bit without a branch. It sets mask to all ones for a 0 bit
// and to 0 for a 1 bit: the upper half of the 64-bit difference code - bound.
func (g *generator) bit(t table, index string) {
	g.p("p = uint32(%s)", g.slot(t, index))
	g.decide(t, index)
}

// decide is bit for a probability that is already in p.
func (g *generator) decide(t table, index string) {
	g.normalize()
	g.p("bound = rng >> probBits * p")
	g.p("diff = uint64(code) - uint64(bound)")
	g.p("wide = uintptr(int64(diff) >> 32)")
	g.p("mask = uint32(wide)")
	g.p("rng -= bound")
	g.p("code = uint32(diff) + bound&mask")
	g.p("rng ^= (rng ^ bound) & mask")
	g.p("%s = uint16(p - uint32(int32(p+mask&probZero)>>probMove))", g.slot(t, index))
}

// tree writes code that decodes a bit tree of n bits into the variable sym, with a leading
// 1 bit. The code loads both probabilities that may come next before the bit is known;
// otherwise each bit would have to wait for the load.
func (g *generator) tree(t table, sym string, n int, each func(i int)) {
	g.p("%s = 1", sym)
	g.p("p = uint32(%s)", g.slot(t, "1"))
	for i := range n {
		last := i == n-1
		g.p("old = %s", sym)
		g.p("%s = %s*2 + 1", sym, sym)
		if !last {
			g.p("p0, p1 = uint32(%s), uint32(%s)", g.slotBefore(t, sym), g.slot(t, sym))
		}
		g.decide(t, "old")
		g.p("%s += wide", sym)
		if !last {
			g.p("p = p1 ^ (p0^p1)&mask")
		}
		if each != nil {
			each(i)
		}
	}
}

// length writes code that decodes a match length, with the length decoder at t, into the
// variable length.
func (g *generator) length(t string) {
	g.choice(at(t), "uint32(lenChoice)", func() {
		low := g.table("low", "("+t+"+lenLow+posState<<3)")
		g.tree(low, "sym", 3, nil)
		g.p("length = int(sym) - 8 + 2")
	}, func() {
		g.choice(at(t), "uint32(lenChoice2)", func() {
			mid := g.table("mid", "("+t+"+lenMid+posState<<3)")
			g.tree(mid, "sym", 3, nil)
			g.p("length = int(sym) - 8 + 10")
		}, func() {
			g.tree(at("("+t+"+lenHigh)"), "sym", 8, nil)
			g.p("length = int(sym) - 256 + 18")
		})
	})
}

// file writes a whole file. tag is its build constraint.
func (g *generator) file(tag string) {
	g.p("// Code generated by go run gen.go; DO NOT EDIT.")
	g.p("")
	g.p("//go:build %s", tag)
	g.p("")
	g.p("package xz")
	g.p("")
	if !g.checked {
		g.p(`import "unsafe"`)
		g.p("")
	}
	g.either("// A limit is an address in the input.\ntype limit = uintptr\n", "// A limit is an index into the input.\ntype limit = int\n")
	g.p("// decodeGo decodes symbols from input, beginning at inPos, into the window. It stops when")
	g.p("// the window's pos reaches stop, when the input passes inEnd, at the end marker, or at an")
	g.p("// error, and returns its position in the input and the reason. A match may write beyond")
	g.p("// stop, but not beyond end.")
	g.p("//")
	g.p("// The caller guarantees that inputSlack bytes after inEnd can be read, that stop is at")
	g.p("// most w.size and windowSlack bytes follow there, that w.dict is at most w.size if the")
	g.p("// window wraps, and that z has been reset after the window was emptied. Then every")
	g.p("// access is in bounds, whatever the input: bit trees have a fixed depth, and distance and")
	g.p("// length are checked before they are used.")
	g.p("func (z *lzma) decodeGo(w *window, input []byte, inPos, inEnd, stop, end int) (int, status) {")
	g.p("probs := %s", map[bool]string{true: "&z.probs", false: "unsafe.Pointer(&z.probs)"}[g.checked])
	if g.checked {
		g.p("buf := w.buf")
		g.p("in := input")
		g.p("at := inPos")
	} else {
		g.p("buf := unsafe.Pointer(unsafe.SliceData(w.buf))")
		g.p("in := unsafe.Add(unsafe.Pointer(unsafe.SliceData(input)), inPos)")
	}
	g.p("rng, code := z.rng, z.code")
	g.p("state := z.state")
	g.p("rep0 := z.rep[0] // the other distances are seldom needed and stay in memory")
	g.either("z.last = uintptr(unsafe.Pointer(unsafe.SliceData(input))) + uintptr(inEnd)", "z.last = inEnd")
	g.p("z.stop, z.end = stop, end")
	g.p("pos := w.pos")
	g.p("result := statusMore")
	g.p("var p, p0, p1, bound, mask uint32")
	g.p("var sym, old, wide uintptr // wide is mask extended to a register's width")
	g.p("var diff uint64")
	g.p("prev := uint32(w.last())")
	g.p("for pos < z.stop {")
	g.either("if uintptr(in) > z.last { break }", "if at > z.last { break }")
	g.p("posState := uint32(pos) & z.pbMask")
	g.p("length := 0")
	g.choice(at("probMatch"), "state<<4 + posState", func() {
		lit := g.table("lit", "(probLiteral + 0x300*(uint32(pos)&z.lpMask<<(z.lc&7) + prev>>((8-z.lc)&15)))")
		g.p("if state < 7 {")
		g.p("state = max(state, 3) - 3")
		g.tree(lit, "sym", 8, nil)
		g.p("} else {")
		g.p("if state < 10 { state -= 3 } else { state -= 6 }")
		g.p("src := pos - int(rep0) - 1")
		g.p("if src < 0 { src += w.size }")
		g.p("match := uint32(%s)", g.byteAt("src"))
		g.p("offset := uint32(0x100)")
		g.p("sym = 1")
		for range 8 {
			g.p("match <<= 1")
			g.p("{")
			g.p("choose := match & offset")
			g.p("place := uintptr(offset + choose) + sym")
			g.bit(lit, "place")
			g.p("offset &= choose ^ mask")
			g.p("sym = sym*2 + 1 + wide")
			g.p("}")
		}
		g.p("}")
		g.p("prev = uint32(sym) & 0xff")
		g.p("%s = byte(sym)", g.byteAt("pos"))
		g.p("pos++")
		g.p("continue")
	}, func() {})
	g.choice(at("probRep"), "state", func() {
		g.p("z.rep[3], z.rep[2], z.rep[1] = z.rep[2], z.rep[1], rep0")
		g.p("if state < 7 { state = 7 } else { state = 10 }")
		g.length("probMatchLen")
		slots := g.table("slots", "(probSlot + uint32(min(length, 5)-2)<<6)")
		g.tree(slots, "sym", 6, nil)
		g.p("slot := uint32(sym) - 64")
		g.p("if slot < 4 { rep0 = slot } else {")
		g.p("n := slot>>1 - 1")
		g.p("rep0 = 2 | slot&1")
		g.p("if slot < 14 {")
		g.p("rep0 <<= n & 7")
		special := g.table("special", "(probSpecial + rep0 - slot)")
		g.p("sym = 1")
		g.p("for j := uint32(0); j < n; j++ {")
		g.bit(special, "sym")
		g.p("sym = sym*2 + 1 + wide")
		g.p("rep0 += (1 + mask) << (j&7)")
		g.p("}")
		g.p("} else {")
		g.p("for n -= 4; n > 0; n-- {")
		g.normalize()
		g.p("rng >>= 1")
		g.p("code -= rng")
		g.p("mask = uint32(int32(code)>>31)")
		g.p("code += rng & mask")
		g.p("rep0 = rep0<<1 + 1 + mask")
		g.p("}")
		g.p("rep0 <<= 4")
		g.tree(at("probAlign"), "sym", 4, func(i int) { g.p("rep0 += (1 + mask) << %d", i) })
		g.p("if rep0 == 1<<32-1 { result = statusMarker; break }")
		g.p("}")
		g.p("}")
	}, func() {
		g.choice(at("probRepG0"), "state", func() {
			g.choice(at("probRep0Long"), "state<<4 + posState", func() {
				g.p("if state < 7 { state = 9 } else { state = 11 }")
				g.p("length = 1")
			}, func() {})
		}, func() {
			g.choice(at("probRepG1"), "state", func() {
				g.p("rep0, z.rep[1] = z.rep[1], rep0")
			}, func() {
				g.choice(at("probRepG2"), "state", func() {
					g.p("rep0, z.rep[1], z.rep[2] = z.rep[2], rep0, z.rep[1]")
				}, func() {
					g.p("rep0, z.rep[1], z.rep[2], z.rep[3] = z.rep[3], rep0, z.rep[1], z.rep[2]")
				})
			})
		})
		g.p("if length == 0 {")
		g.p("if state < 7 { state = 8 } else { state = 11 }")
		g.length("probRepLen")
		g.p("}")
	})
	// Copy a match. The checks come first, so that no access is out of bounds.
	g.p("if length > z.end-pos { result = statusTooLong; break }")
	g.p("if rep0 >= w.dict { result = statusTooFar; break }")
	g.p("src := pos - int(rep0) - 1")
	g.p("if src < 0 {")
	g.p("if !w.wrapped { result = statusTooFar; break }")
	g.p("src += w.size")
	g.p("}")
	if g.checked {
		g.p("if src < pos && int(rep0) + 1 >= length || src > pos && src+length <= w.size {")
		g.p("copy(buf[pos:pos+length], buf[src:src+length])")
		g.p("pos += length")
		g.p("} else {")
		g.p("for ; length > 0; length-- {")
		g.p("buf[pos] = buf[src]")
		g.p("pos++")
		g.p("if src++; src == w.size && src > pos { src = 0 }")
		g.p("}")
		g.p("}")
	} else {
		g.p("if unaligned && rep0 >= 15 && src+length <= w.size {")
		g.p("from, to := unsafe.Add(buf, src), unsafe.Add(buf, pos)")
		g.p("pos += length")
		g.p("for {")
		g.p("a, b := *(*uint64)(from), *(*uint64)(unsafe.Add(from, 8))")
		g.p("*(*uint64)(to), *(*uint64)(unsafe.Add(to, 8)) = a, b")
		g.p("if length <= 16 { break }")
		g.p("length -= 16")
		g.p("from, to = unsafe.Add(from, 16), unsafe.Add(to, 16)")
		g.p("}")
		g.p("} else {")
		g.p("for ; length > 0; length-- {")
		g.p("%s = %s", g.byteAt("pos"), g.byteAt("src"))
		g.p("pos++")
		g.p("if src++; src == w.size && src > pos { src = 0 }")
		g.p("}")
		g.p("}")
	}
	g.p("prev = uint32(%s)", g.byteAt("pos-1"))
	g.p("}")
	g.p("z.rng, z.code, z.state = rng, code, state")
	g.p("z.rep[0] = rep0")
	g.p("w.pos = pos")
	if g.checked {
		g.p("return at, result")
	} else {
		g.p("return int(uintptr(in) - uintptr(unsafe.Pointer(unsafe.SliceData(input)))), result")
	}
	g.p("}")
}
