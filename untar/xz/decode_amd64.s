//go:build !noasm && !nounsafe

#include "go_asm.h"
#include "textflag.h"

// The inner loop of the LZMA decoder. gen.go has the same loop in Go, and docs/xz.md says how
// much each choice gains. FuzzDecode compares the two.
//
// Each bit depends on the one before: shift, multiply, compare, select. That chain takes six
// cycles, and everything else is arranged to be ready before the chain needs it.
//
// No input may cause an access out of bounds:
//
//   - Probabilities: an index is a constant plus state (below 12), posState (below 16), a
//     literal's context (below 16) or the symbol of a tree, whose depth is fixed. BIT also
//     loads the two probabilities after the bit; these are in the array, too.
//   - Input: a symbol begins at lzma_last or before and takes at most 20 bytes; inputSlack
//     bytes follow.
//   - Window: copy checks distance and length before each match. A literal is written below
//     lzma_stop. A literal after a match reads at rep0, which the match has checked.

#define Z     DI  // *lzma
#define IN    SI  // the next byte of the input
#define RNG   R8
#define CODE  R9
#define DST   R10 // where the next byte of the content goes
#define STATE R11
#define REP0  R12
#define BASE  R13 // Z plus the offset of a tree
#define SYM   AX  // the bits of a tree so far, after a 1
#define SYM2  CX  // SYM after an odd number of bits
#define P     BX  // the probability of the next bit
#define P2    R15 // P after an odd number of bits
#define P0    R14
#define BOUND DX
#define TMP   BP

// AT is the offset of probability i in lzma.
#define AT(i) (lzma_probs+(i)*2)

// NORMALIZE refills the range coder. The jump passes over four instructions.
#define NORMALIZE \
	CMPL RNG, $(1<<24); \
	JCC  5(PC); \
	SHLL $8, RNG; \
	SHLL $8, CODE; \
	MOVB (IN), CODE; \
	ADDQ $1, IN

// SPLIT sets BOUND, the part of the range that means 0.
#define SPLIT(prob) \
	NORMALIZE; \
	MOVL  RNG, BOUND; \
	SHRL  $const_probBits, BOUND; \
	IMULL prob, BOUND

// SELECT decodes a bit without a branch. The carry flag is set if the bit is 0.
#define SELECT \
	MOVL    CODE, TMP; \
	SUBL    BOUND, RNG; \
	SUBL    BOUND, CODE; \
	CMOVLCS TMP, CODE; \
	CMOVLCS BOUND, RNG

// ADAPT sets TMP to 32 times what prob changes, which is prob for a 1 and prob-2048+31 for
// a 0. It needs and keeps the carry flag. STORE ends the change.
#define ADAPT(prob) \
	LEAL    (1<<const_probMove-1-1<<const_probBits)(prob), TMP; \
	CMOVLCC prob, TMP

#define STORE(prob, address) \
	SARL $const_probMove, TMP; \
	SUBL TMP, prob; \
	MOVW prob, address

// BIT decodes a bit of the tree at offset in BASE. sym becomes next, and the probability after
// prob becomes after: both candidates are loaded before the bit is known.
#define BIT(offset, base, sym, next, prob, after) \
	SPLIT(prob); \
	MOVWLZX (offset+0)(base)(sym*4), P0; \
	MOVWLZX (offset+2)(base)(sym*4), after; \
	LEAL    (sym)(sym*1), next; \
	SELECT; \
	CMOVLCS P0, after; \
	ADAPT(prob); \
	SBBL    $-1, next; \
	STORE(prob, offset(base)(sym*2))

// LAST is BIT for the last bit of a tree.
#define LAST(offset, base, sym, next, prob) \
	SPLIT(prob); \
	LEAL (sym)(sym*1), next; \
	SELECT; \
	ADAPT(prob); \
	SBBL $-1, next; \
	STORE(prob, offset(base)(sym*2))

#define ODD(offset, base) BIT(offset, base, SYM, SYM2, P, P2)
#define EVEN(offset, base) BIT(offset, base, SYM2, SYM, P2, P)

#define ROOT(offset, base) \
	MOVL    $1, SYM; \
	MOVWLZX (offset+2)(base), P

// TREE3 decodes a tree of three bits into SYM2.
#define TREE3(offset, base) \
	ROOT(offset, base); \
	ODD(offset, base); \
	EVEN(offset, base); \
	LAST(offset, base, SYM, SYM2, P)

// TREE8 decodes a tree of eight bits into SYM.
#define TREE8(offset, base) \
	ROOT(offset, base); \
	ODD(offset, base); \
	EVEN(offset, base); \
	ODD(offset, base); \
	EVEN(offset, base); \
	ODD(offset, base); \
	EVEN(offset, base); \
	ODD(offset, base); \
	LAST(offset, base, SYM2, SYM, P2)

// CHOICE decodes a bit with a branch, which the processor may predict. If the bit is 1, it
// jumps to one, which begins with ONE.
#define CHOICE(address, one) \
	MOVWLZX address, P; \
	SPLIT(P); \
	CMPL    CODE, BOUND; \
	JCC     one; \
	MOVL    BOUND, RNG; \
	MOVL    $(1<<const_probBits), TMP; \
	SUBL    P, TMP; \
	SHRL    $const_probMove, TMP; \
	ADDL    TMP, P; \
	MOVW    P, address

#define ONE(address) \
	SUBL BOUND, RNG; \
	SUBL BOUND, CODE; \
	MOVL P, TMP; \
	SHRL $const_probMove, TMP; \
	SUBL TMP, P; \
	MOVW P, address

// POSSTATE sets r to pos & pbMask.
#define POSSTATE(r) \
	MOVL DST, r; \
	SUBL buf-8(SP), r; \
	ANDL lzma_pbMask(Z), r

// LENGTH decodes a length with the length decoder at index coder, into SYM2.
#define LENGTH(coder, one, two, end) \
	CHOICE(AT(coder+const_lenChoice)(Z), one); \
	POSSTATE(BASE); \
	SHLL   $4, BASE; \
	ADDQ   Z, BASE; \
	TREE3(AT(coder+const_lenLow), BASE); \
	SUBL   $(8-2), SYM2; \
	JMP    end; \
one: \
	ONE(AT(coder+const_lenChoice)(Z)); \
	CHOICE(AT(coder+const_lenChoice2)(Z), two); \
	POSSTATE(BASE); \
	SHLL   $4, BASE; \
	ADDQ   Z, BASE; \
	TREE3(AT(coder+const_lenMid), BASE); \
	ADDL   $(10-8), SYM2; \
	JMP    end; \
two: \
	ONE(AT(coder+const_lenChoice2)(Z)); \
	TREE8(AT(coder+const_lenHigh), Z); \
	LEAL   (18-256)(SYM), SYM2; \
end:

// SETSTATE sets STATE to low if it was below 7, else to high.
#define SETSTATE(low, high) \
	MOVL    $low, TMP; \
	CMPL    STATE, $7; \
	MOVL    $high, STATE; \
	CMOVLCS TMP, STATE

// FETCH loads what is at distance into the cache before the decoder needs it. TMP2 is lost.
#define FETCH(distance, tmp2) \
	MOVQ    DST, TMP; \
	SUBQ    distance, TMP; \
	MOVQ    size-48(SP), tmp2; \
	ADDQ    TMP, tmp2; \
	CMPQ    TMP, buf-8(SP); \
	CMOVQLT tmp2, TMP; \
	PREFETCHT0 -1(TMP)

// MATCHED decodes bit k of a literal that follows a match, as long as all bits before are
// those of the byte at distance rep0. SYM2 is the index of the bit's probability, P0 that byte
// with a 1 before, so that all indices are known. If the bit differs, it jumps to differs.
#define MATCHED(k, differs) \
	MOVL    P0, SYM; \
	MOVL    P0, P2; \
	SHLL    $(k+2), SYM; \
	SHRL    $(7-k), P2; \
	ANDL    $0x100, SYM; \
	ADDL    P2, SYM; \
	SPLIT(P); \
	MOVWLZX AT(const_probLiteral+0x100)(BASE)(SYM*2), P2; \
	SELECT; \
	ADAPT(P); \
	SBBL    BOUND, BOUND; \
	STORE(P, AT(const_probLiteral)(BASE)(SYM2*2)); \
	LEAL    0x100(SYM), SYM2; \
	MOVL    P2, P; \
	ADDL    SYM, BOUND; \
	TESTL   $1, BOUND; \
	JEQ     differs

// DIFFERS continues after MATCHED with the other value of bit k.
#define DIFFERS(k, sym, prob) \
	MOVL    P0, sym; \
	SHRL    $(7-k), sym; \
	XORL    $1, sym; \
	MOVWLZX AT(const_probLiteral)(BASE)(sym*2), prob

// func decodeSymbols(z *lzma, w *window, in *byte, prev uint32) (next uintptr, result status)
TEXT ·decodeSymbols(SB), NOSPLIT, $48-48
	MOVQ z+0(FP), Z
	MOVQ w+8(FP), BASE
	MOVQ in+16(FP), IN
	MOVL prev+24(FP), TMP
	SHRL $4, TMP
	MOVL TMP, nibble-32(SP)

	MOVQ window_buf(BASE), TMP
	MOVQ TMP, buf-8(SP)
	MOVQ window_size(BASE), SYM
	MOVQ SYM, size-48(SP)
	MOVQ window_pos(BASE), DST
	ADDQ TMP, DST
	MOVQ lzma_stop(Z), SYM
	ADDQ TMP, SYM
	MOVQ SYM, stop-16(SP)
	ADDQ lzma_end(Z), TMP // may wrap around: only the difference to DST counts
	MOVQ TMP, end-24(SP)
	MOVL lzma_rng(Z), RNG
	MOVL lzma_code(Z), CODE
	MOVL lzma_state(Z), STATE
	MOVL lzma_rep(Z), REP0

symbol:
	CMPQ DST, stop-16(SP)
	JGE  more
	CMPQ IN, lzma_last(Z)
	JHI  more
	MOVL DST, BASE
	SUBL buf-8(SP), BASE // pos
	MOVL BASE, SYM
	ANDL lzma_pbMask(Z), SYM
	MOVL STATE, TMP
	SHLL $4, TMP
	ADDL TMP, SYM
	CHOICE(AT(const_probMatch)(Z)(SYM*2), match)

	// A literal. Its context is the high lc bits of the byte before, which are among the
	// first four (lc is at most 4), and the low lp bits of pos.
	ANDL lzma_lpMask(Z), BASE
	SHLL $4, BASE
	ORL  nibble-32(SP), BASE
	MOVL $4, CX
	SUBL lzma_lc(Z), CX
	SHRL CX, BASE
	LEAL (BASE)(BASE*2), BASE
	SHLL $9, BASE             // times 0x300 probabilities
	ADDQ Z, BASE
	CMPL STATE, $7
	JCC  matched
	XORL TMP, TMP
	SUBL $3, STATE
	CMOVLCS TMP, STATE
	ROOT(AT(const_probLiteral), BASE)
	ODD(AT(const_probLiteral), BASE)

literal1:
	EVEN(AT(const_probLiteral), BASE)

literal2:
	ODD(AT(const_probLiteral), BASE)

literal3:
	EVEN(AT(const_probLiteral), BASE)

literal4:
	MOVL SYM, TMP
	ANDL $15, TMP
	MOVL TMP, nibble-32(SP)
	ODD(AT(const_probLiteral), BASE)

literal5:
	EVEN(AT(const_probLiteral), BASE)

literal6:
	ODD(AT(const_probLiteral), BASE)

literal7:
	LAST(AT(const_probLiteral), BASE, SYM2, SYM, P2)
	MOVB SYM, (DST)
	ADDQ $1, DST
	JMP  symbol

matched:
	// The byte at distance rep0. The match before has checked that it is in the window.
	MOVQ DST, TMP
	SUBQ REP0, TMP
	CMPQ TMP, buf-8(SP)
	JGT  3(PC)
	MOVQ w+8(FP), SYM
	ADDQ window_size(SYM), TMP
	MOVBLZX -1(TMP), P0
	LEAL -3(STATE), TMP
	SUBL $6, STATE
	CMPL STATE, $(10-6)
	CMOVLCS TMP, STATE
	MOVL P0, SYM2
	SHLL $1, SYM2
	ANDL $0x100, SYM2
	ADDL $0x101, SYM2
	ORL  $0x100, P0
	MOVWLZX AT(const_probLiteral)(BASE)(SYM2*2), P
	MATCHED(0, differs0)
	MATCHED(1, differs1)
	MATCHED(2, differs2)
	MATCHED(3, differs3)
	MATCHED(4, differs4)
	MATCHED(5, differs5)
	MATCHED(6, differs6)
	SPLIT(P)
	SELECT
	ADAPT(P)
	SBBL BOUND, BOUND
	STORE(P, AT(const_probLiteral)(BASE)(SYM2*2))
	ORL  $1, P0
	ADDL BOUND, P0
	MOVB P0, (DST)
	ADDQ $1, DST
	SHRL $4, P0
	ANDL $15, P0
	MOVL P0, nibble-32(SP)
	JMP  symbol

differs0:
	DIFFERS(0, SYM2, P2)
	JMP literal1

differs1:
	DIFFERS(1, SYM, P)
	JMP literal2

differs2:
	DIFFERS(2, SYM2, P2)
	JMP literal3

differs3:
	DIFFERS(3, SYM, P)
	JMP literal4

differs4:
	MOVL P0, TMP
	SHRL $4, TMP
	ANDL $15, TMP
	MOVL TMP, nibble-32(SP)
	DIFFERS(4, SYM2, P2)
	JMP literal5

differs5:
	MOVL P0, TMP
	SHRL $4, TMP
	ANDL $15, TMP
	MOVL TMP, nibble-32(SP)
	DIFFERS(5, SYM, P)
	JMP literal6

differs6:
	MOVL P0, TMP
	SHRL $4, TMP
	ANDL $15, TMP
	MOVL TMP, nibble-32(SP)
	DIFFERS(6, SYM2, P2)
	JMP literal7

match:
	ONE(AT(const_probMatch)(Z)(SYM*2))
	CHOICE(AT(const_probRep)(Z)(STATE*2), rep)
	MOVL lzma_rep+8(Z), TMP
	MOVL lzma_rep+4(Z), SYM
	MOVL TMP, lzma_rep+12(Z)
	MOVL SYM, lzma_rep+8(Z)
	MOVL REP0, lzma_rep+4(Z)
	SETSTATE(7, 10)
	LENGTH(const_probMatchLen, matchLen1, matchLen2, matchLen)
	MOVL SYM2, length-36(SP)
	MOVL $5, BASE
	CMPL SYM2, BASE
	CMOVLCS SYM2, BASE
	SUBL $2, BASE
	SHLL $7, BASE // times 64 probabilities
	ADDQ Z, BASE
	ROOT(AT(const_probSlot), BASE)
	ODD(AT(const_probSlot), BASE)
	EVEN(AT(const_probSlot), BASE)
	ODD(AT(const_probSlot), BASE)
	EVEN(AT(const_probSlot), BASE)
	ODD(AT(const_probSlot), BASE)
	LAST(AT(const_probSlot), BASE, SYM2, SYM, P2)
	SUBL $64, SYM // the slot
	CMPL SYM, $4
	JCC  far
	MOVL SYM, REP0
	MOVL length-36(SP), CX
	JMP  copy

far:
	MOVL SYM, REP0
	ANDL $1, REP0
	ORL  $2, REP0
	MOVL SYM, CX
	SHRL $1, CX
	SUBL $1, CX // how many bits follow
	CMPL SYM, $14
	JCC  direct

	// A tree whose first bit is the lowest. Its index is at most 83, and that of a
	// probability in it at most 31. The symbol has n bits when it is 1<<n or more.
	SHLL CX, REP0
	MOVL REP0, BASE
	SUBL SYM, BASE
	ADDL BASE, BASE
	ADDQ Z, BASE
	MOVL $1, TMP
	SHLL CX, TMP
	MOVL TMP, limit-40(SP)
	ROOT(AT(const_probSpecial), BASE)

special:
	ODD(AT(const_probSpecial), BASE)
	MOVL SYM2, SYM
	MOVL P2, P
	CMPL SYM2, limit-40(SP)
	JCS  special
	LEAQ ·reversed(SB), TMP
	MOVBLZX (TMP)(SYM*1), TMP
	ADDL TMP, REP0
	MOVL length-36(SP), CX
	JMP  copy

direct:
	SUBL $4, CX

directBit:
	// NORMALIZE without a branch, which could not be predicted: each of these bits takes a
	// whole bit of the input. It reads one byte more than it uses.
	MOVL CODE, TMP
	MOVL RNG, SYM
	SHLL $8, TMP
	SHLL $8, SYM
	MOVB (IN), TMP
	CMPL RNG, $(1<<24)
	CMOVLCS SYM, RNG
	CMOVLCS TMP, CODE
	ADCQ $0, IN
	SHRL $1, RNG
	MOVL CODE, TMP
	SUBL RNG, TMP
	CMOVLPL TMP, CODE
	SHRL $31, TMP // 1 for a 0
	LEAL 1(REP0)(REP0*1), REP0
	SUBL TMP, REP0
	SUBL $1, CX
	JNE  directBit
	SHLL $4, REP0
	FETCH(REP0, SYM)
	ROOT(AT(const_probAlign), Z)
	ODD(AT(const_probAlign), Z)
	EVEN(AT(const_probAlign), Z)
	ODD(AT(const_probAlign), Z)
	LAST(AT(const_probAlign), Z, SYM2, SYM, P2)
	LEAQ ·reversed(SB), TMP
	MOVBLZX (TMP)(SYM*1), TMP
	ADDL TMP, REP0
	CMPL REP0, $-1
	JEQ  marker
	MOVL length-36(SP), CX
	JMP  copy

rep:
	ONE(AT(const_probRep)(Z)(STATE*2))
	CHOICE(AT(const_probRepG0)(Z)(STATE*2), repG0)
	POSSTATE(SYM)
	MOVL STATE, TMP
	SHLL $4, TMP
	ADDL TMP, SYM
	CHOICE(AT(const_probRep0Long)(Z)(SYM*2), rep0Long)
	SETSTATE(9, 11)
	MOVL $1, CX
	JMP  copy

rep0Long:
	ONE(AT(const_probRep0Long)(Z)(SYM*2))
	JMP repLength

repG0:
	ONE(AT(const_probRepG0)(Z)(STATE*2))
	MOVL lzma_rep+4(Z), SYM
	MOVL REP0, lzma_rep+4(Z)
	CHOICE(AT(const_probRepG1)(Z)(STATE*2), repG1)
	MOVL SYM, REP0
	JMP  repLength

repG1:
	ONE(AT(const_probRepG1)(Z)(STATE*2))
	MOVL lzma_rep+8(Z), REP0
	MOVL SYM, lzma_rep+8(Z)
	CHOICE(AT(const_probRepG2)(Z)(STATE*2), repG2)
	JMP  repLength

repG2:
	ONE(AT(const_probRepG2)(Z)(STATE*2))
	MOVL lzma_rep+12(Z), SYM
	MOVL REP0, lzma_rep+12(Z)
	MOVL SYM, REP0

repLength:
	FETCH(REP0, SYM)
	SETSTATE(8, 11)
	LENGTH(const_probRepLen, repLen1, repLen2, repLen)

	// Copy CX bytes from distance REP0. The checks come first, so that no access is out of
	// bounds. Comparisons of addresses are signed: a difference may be below 0.
copy:
	MOVQ end-24(SP), TMP
	SUBQ DST, TMP
	CMPQ CX, TMP
	JGT  tooLong
	MOVQ w+8(FP), BASE
	CMPL REP0, window_dict(BASE)
	JCC  tooFar
	MOVQ DST, SYM
	SUBQ REP0, SYM
	SUBQ $1, SYM // the source
	CMPQ SYM, buf-8(SP)
	JLT  wrapped
	CMPL REP0, $15
	JCS  near

copy16:
	// Sixteen bytes at a time; windowSlack or ringExtra has room for the last of them.
	MOVOU (SYM), X0
	MOVOU X0, (DST)
	CMPL CX, $16
	JHI  long
	MOVBLZX -1(SYM)(CX*1), TMP
	ADDQ CX, DST
	SHRL $4, TMP
	MOVL TMP, nibble-32(SP)
	JMP  symbol

long:
	ADDQ $16, SYM
	ADDQ $16, DST
	SUBL $16, CX
	MOVOU (SYM), X0
	MOVOU X0, (DST)
	CMPL CX, $16
	JHI  long
	ADDQ CX, DST

copied:
	MOVBLZX -1(DST), TMP
	SHRL $4, TMP
	MOVL TMP, nibble-32(SP)
	JMP  symbol

near:
	MOVBLZX (SYM), TMP
	MOVB TMP, (DST)
	ADDQ $1, SYM
	ADDQ $1, DST
	SUBL $1, CX
	JNE  near
	JMP  copied

wrapped:
	CMPB window_wrapped(BASE), $0
	JEQ  tooFar
	ADDQ window_size(BASE), SYM
	MOVQ window_size(BASE), BASE
	ADDQ buf-8(SP), BASE // the end of the ring
	MOVQ SYM, TMP
	ADDQ CX, TMP
	CMPQ TMP, BASE
	JGT  around
	CMPL REP0, $15
	JCC  copy16

around:
	MOVBLZX (SYM), TMP
	MOVB TMP, (DST)
	ADDQ $1, DST
	ADDQ $1, SYM
	CMPQ SYM, BASE
	JNE  4(PC)
	CMPQ SYM, DST
	JLE  2(PC)
	MOVQ buf-8(SP), SYM
	SUBL $1, CX
	JNE  around
	JMP  copied

more:
	MOVQ $const_statusMore, SYM
	JMP  done

marker:
	MOVQ $const_statusMarker, SYM
	JMP  done

tooLong:
	MOVQ $const_statusTooLong, SYM
	JMP  done

tooFar:
	MOVQ $const_statusTooFar, SYM

done:
	MOVL RNG, lzma_rng(Z)
	MOVL CODE, lzma_code(Z)
	MOVL STATE, lzma_state(Z)
	MOVL REP0, lzma_rep(Z)
	SUBQ buf-8(SP), DST
	MOVQ w+8(FP), BASE
	MOVQ DST, window_pos(BASE)
	MOVQ IN, next+32(FP)
	MOVQ SYM, result+40(FP)
	RET

// reversed has, for a symbol of a tree of up to five bits, the bits after the first 1 in the
// reverse order.
DATA ·reversed+0(SB)/8, $"\x00\x00\x00\x01\x00\x02\x01\x03"
DATA ·reversed+8(SB)/8, $"\x00\x04\x02\x06\x01\x05\x03\x07"
DATA ·reversed+16(SB)/8, $"\x00\x08\x04\x0c\x02\x0a\x06\x0e"
DATA ·reversed+24(SB)/8, $"\x01\x09\x05\x0d\x03\x0b\x07\x0f"
DATA ·reversed+32(SB)/8, $"\x00\x10\x08\x18\x04\x14\x0c\x1c"
DATA ·reversed+40(SB)/8, $"\x02\x12\x0a\x1a\x06\x16\x0e\x1e"
DATA ·reversed+48(SB)/8, $"\x01\x11\x09\x19\x05\x15\x0d\x1d"
DATA ·reversed+56(SB)/8, $"\x03\x13\x0b\x1b\x07\x17\x0f\x1f"
GLOBL ·reversed(SB), RODATA|NOPTR, $64
