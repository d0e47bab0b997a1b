//go:build !noasm && !nounsafe

#include "go_asm.h"
#include "textflag.h"

// The loop of decodeGo (gen.go), by hand: what it does, and why no access is out of bounds, is
// said there. The differences are these:
//
// A comparison sets the flags, and CSEL takes range, code, probability and next probability by
// them. The carry flag is the bit (set if code >= bound), so that ADC appends it to the symbol.
// No bit of a tree is a branch: a branch that depends on the data costs ten instructions or
// more each time it is predicted wrongly.
//
// Both probabilities that may come next are loaded before the bit is known, as in decodeGo.
// They are two loads of 16 bits: one of 32 would wait for a store of 16 to the same word.
//
// All four distances are in registers, and short distances are copied 16 bytes at a time, too.

#define Z      R0  // *lzma
#define BUF    R1  // the window's bytes
#define IN     R2  // next byte of the input
#define RNG    R3
#define CODE   R4
#define STATE  R5
#define REP0   R6
#define REP1   R7
#define REP2   R8
#define REP3   R9
#define POS    R10
#define PREV   R11 // the byte before pos
#define PROB   R12 // the probability that is used next
#define BOUND  R13
#define T      R14
#define T2     R15
#define SYM    R16 // node of a bit tree
#define TREE   R17 // address of a bit tree
#define P0     R19 // the probability after a 0 bit
#define P1     R20 // the probability after a 1 bit
#define LENGTH R21
#define PBMASK R22
#define STOP   R23
#define LAST   R24 // address of the input's end
#define WIN    R25 // *window
#define A      R26 // an address

// NEW is added to the length of a match with a new distance.
#define NEW 0x10000

// PROBS is the offset in bytes of a probability in lzma.
#define PROBS(index) (lzma_probs+2*(index))

// NORMALIZE refills the range coder.
#define NORMALIZE \
	TSTW    $0xff000000, RNG; \
	BNE     4(PC); \
	MOVBU.P 1(IN), T; \
	LSLW    $8, RNG, RNG; \
	ORRW    CODE<<8, T, CODE

// COMPARE sets BOUND and compares code with it: LO for a 0 bit, HS for a 1 bit.
#define COMPARE \
	NORMALIZE; \
	LSRW $const_probBits, RNG, BOUND; \
	MULW PROB, BOUND, BOUND; \
	CMPW BOUND, CODE

// ZERO and ONE are what follows COMPARE and a branch. They set T to the new probability.
#define ZERO \
	SUBW $((1<<const_probBits)-(1<<const_probMove)+1), PROB, T; \
	MOVWU BOUND, RNG; \
	SUBW T->const_probMove, PROB, T

#define ONE \
	SUBW BOUND, RNG, RNG; \
	SUBW BOUND, CODE, CODE; \
	SUBW PROB>>const_probMove, PROB, T

// DECIDE decodes a bit with the probability PROB, without a branch: LO for a 0 bit, HS for a 1
// bit. It sets T to the new probability.
#define DECIDE \
	NORMALIZE; \
	LSRW  $const_probBits, RNG, BOUND; \
	MULW  PROB, BOUND, BOUND; \
	SUBW  $((1<<const_probBits)-(1<<const_probMove)+1), PROB, T; \
	SUBW  BOUND, RNG, RNG; \
	SUBSW BOUND, CODE, T2; \
	CSELW LO, BOUND, RNG, RNG; \
	CSELW LO, CODE, T2, CODE; \
	CSELW LO, T, PROB, T; \
	SUBW  T->const_probMove, PROB, T

// FIRST, NEXT and FINAL decode the bits of the tree at TREE: the node is SYM, and PROB is its
// probability. A tree of n bits has 2^n probabilities, and SYM is less than 2^n before the
// last bit.
#define FIRST \
	MOVHU 2(TREE), PROB; \
	MOVHU 4(TREE), P0; \
	MOVHU 6(TREE), P1; \
	MOVD  $1, SYM; \
	DECIDE; \
	MOVH  T, 2(TREE); \
	CSELW LO, P0, P1, PROB; \
	ADCW  SYM, SYM, SYM

#define NEXT \
	ADD   SYM<<2, TREE, A; \
	MOVHU (A), P0; \
	MOVHU 2(A), P1; \
	DECIDE; \
	MOVH  T, (TREE)(SYM<<1); \
	CSELW LO, P0, P1, PROB; \
	ADCW  SYM, SYM, SYM

#define FINAL \
	DECIDE; \
	MOVH T, (TREE)(SYM<<1); \
	ADCW SYM, SYM, SYM

// MATCHED decodes bit n, from 1 to 8, of a literal after a match. P0 is 0x100 as long as the
// literal's bits are those of the byte LENGTH, and 0 afterwards; SYM, P0 and the bit of
// LENGTH choose one of 0x300 probabilities.
#define MATCHED(n) \
	ANDW  LENGTH<<n, P0, P1; \
	ADDW  P0, SYM, A; \
	ADDW  P1, A, A; \
	MOVHU (TREE)(A<<1), PROB; \
	EORW  P1, P0, P0; \
	DECIDE; \
	MOVH  T, (TREE)(A<<1); \
	CSELW LO, P0, P1, P0; \
	ADCW  SYM, SYM, SYM

// func decodeSymbols(z *lzma, w *window, in *byte, prev uint32) (next uintptr, result status)
TEXT ·decodeSymbols(SB), NOSPLIT|NOFRAME, $0-48
	MOVD  z+0(FP), Z
	MOVD  w+8(FP), WIN
	MOVD  in+16(FP), IN
	MOVWU prev+24(FP), PREV
	MOVD  window_buf(WIN), BUF
	MOVD  window_pos(WIN), POS
	MOVWU lzma_rng(Z), RNG
	MOVWU lzma_code(Z), CODE
	MOVWU lzma_state(Z), STATE
	MOVWU (lzma_rep+0)(Z), REP0
	MOVWU (lzma_rep+4)(Z), REP1
	MOVWU (lzma_rep+8)(Z), REP2
	MOVWU (lzma_rep+12)(Z), REP3
	MOVWU lzma_pbMask(Z), PBMASK
	MOVD  lzma_stop(Z), STOP
	MOVD  lzma_last(Z), LAST

	// A symbol takes at most 20 bytes of the input, which has 32 more after LAST.
symbol:
	CMP STOP, POS
	BGE more
	CMP LAST, IN
	BHI more

	ANDW  PBMASK, POS, T
	ADDW  STATE<<4, T, T
	ADD   T<<1, Z, A
	MOVHU PROBS(const_probMatch)(A), PROB
	COMPARE
	BHS   match
	ZERO
	MOVH  T, PROBS(const_probMatch)(A)

	// A literal. lc + lp <= 4, and PREV is a byte: at most tree 15.
	MOVWU lzma_lpMask(Z), T
	MOVWU lzma_lc(Z), T2
	ANDW  POS, T, T
	ADDW  T<<8, PREV, T
	LSLW  T2, T, T
	LSRW  $8, T, T
	ADDW  T<<1, T, T
	ADD   T<<9, Z, TREE
	ADD   $PROBS(const_probLiteral), TREE
	CMPW  $7, STATE
	BHS   matched
	SUBSW $3, STATE, STATE
	CSELW LO, ZR, STATE, STATE
	FIRST
	NEXT
	NEXT
	NEXT
	NEXT
	NEXT
	NEXT
	FINAL

literal:
	MOVB SYM, (BUF)(POS)
	ADD  $1, POS
	ANDW $0xff, SYM, PREV
	B    symbol

	// The byte at the last distance is within the window: that match was checked.
matched:
	SUBW  $3, STATE, T
	SUBW  $6, STATE, T2
	CMPW  $10, STATE
	CSELW LO, T, T2, STATE
	SUB   REP0, POS, A
	SUBS  $1, A
	BPL   inside
	MOVD  window_size(WIN), T
	ADD   T, A

inside:
	MOVBU (BUF)(A), LENGTH
	MOVD  $0x100, P0
	MOVD  $1, SYM
	MATCHED(1)
	MATCHED(2)
	MATCHED(3)
	MATCHED(4)
	MATCHED(5)
	MATCHED(6)
	MATCHED(7)
	MATCHED(8)
	B     literal

match:
	ONE
	MOVH  T, PROBS(const_probMatch)(A)
	ADD   STATE<<1, Z, A
	MOVHU PROBS(const_probRep)(A), PROB
	COMPARE
	BHS   rep
	ZERO
	MOVH  T, PROBS(const_probRep)(A)

	// A match with a new distance.
	MOVWU REP2, REP3
	MOVWU REP1, REP2
	MOVWU REP0, REP1
	MOVD  $7, T
	MOVD  $10, T2
	CMPW  $7, STATE
	CSELW LO, T, T2, STATE
	ADD   $PROBS(const_probMatchLen), Z, A
	MOVD  $(2+NEW), LENGTH
	B     length

distance:
	ANDW  $(NEW-1), LENGTH, LENGTH
	MOVD  $3, T
	SUBW  $2, LENGTH, T2
	CMPW  T, T2
	CSELW LO, T2, T, T
	ADD   T<<7, Z, TREE
	ADD   $PROBS(const_probSlot), TREE
	FIRST
	NEXT
	NEXT
	NEXT
	NEXT
	FINAL
	SUBW  $64, SYM, REP0
	SUBSW $4, REP0, T
	BLO   copy

	LSRW  $1, T, T2
	ADDW  $1, T2, T2  // slot/2 - 1
	ANDW  $1, REP0, P0
	ORRW  $2, P0, P0
	CMPW  $10, T
	BHS   direct
	LSLW  T2, P0, P0
	SUBW  REP0, P0, T
	ADD   T<<1, Z, TREE
	ADD   $PROBS(const_probSpecial), TREE
	MOVWU P0, REP0
	MOVWU T2, PREV // the counter; PREV is set after the copy
	MOVD  $1, SYM

special:
	MOVHU (TREE)(SYM<<1), PROB
	DECIDE
	MOVH  T, (TREE)(SYM<<1)
	ADCW  SYM, SYM, SYM
	SUBW  $1, PREV
	CBNZW PREV, special
	// The bits come lowest first; reversed, they are at the top, with the leading 1 below.
	CLZW  SYM, T
	ADDW  $1, T
	RBITW SYM, SYM
	LSRW  T, SYM, SYM
	ADDW  SYM, REP0
	B     copy

direct:
	SUBW  $4, T2, T2
	MOVWU P0, REP0

	// These bits have no probabilities. As in decodeGo, the sign decides.
directBit:
	NORMALIZE
	LSRW  $1, RNG, RNG
	ADDW  REP0, REP0, REP0
	SUBSW RNG, CODE, T
	CSELW MI, CODE, T, CODE
	CINCW PL, REP0, REP0
	SUBW  $1, T2
	CBNZW T2, directBit

	LSLW $4, REP0, REP0
	ADD  $PROBS(const_probAlign), Z, TREE
	FIRST
	NEXT
	NEXT
	FINAL
	RBITW SYM, SYM
	ADDW  SYM>>28, REP0, REP0
	CMNW  $1, REP0
	BEQ   marker

	// Copy a match. The checks come first, so that no access is out of bounds.
copy:
	MOVD  lzma_end(Z), T
	SUB   POS, T
	CMP   T, LENGTH
	BGT   tooLong
	MOVWU window_dict(WIN), T
	CMPW  T, REP0
	BHS   tooFar
	MOVD  window_size(WIN), T2
	SUB   REP0, POS, A
	SUBS  $1, A
	BMI   around
	ADD   LENGTH, A, T
	CMP   T2, T
	BGT   bytes
	ADD   BUF, A, A       // from
	ADD   BUF, POS, P0    // to
	ADD   LENGTH, POS
	CMPW  $15, REP0
	BLO   near

	// 16 bytes at a time: windowSlack and ringExtra allow for writing too far.
wide:
	LDP.P 16(A), (T, T2)
	SUBS  $16, LENGTH
	STP.P (T, T2), 16(P0)
	BGT   wide

copied:
	SUB   $1, POS, A
	MOVBU (BUF)(A), PREV
	B     symbol

	// The distance is less than 16, and the content repeats itself at each multiple of it.
	// Write so many bytes that the first of them has a multiple of 16 or more.
near:
	ADDW  $1, REP0, T2
	ADDW  $15, T2, T
	UDIVW T2, T, T
	MULW  T2, T, T
	SUBW  T2, T, T
	MOVD  A, P1

nearByte:
	MOVBU.P 1(P1), BOUND
	SUBS    $1, LENGTH
	MOVB.P  BOUND, 1(P0)
	BEQ     copied
	SUBW    $1, T
	CBNZW   T, nearByte
	B       wide

	// The source begins before the ring's beginning.
around:
	MOVBU window_wrapped(WIN), T
	CBZ   T, tooFar
	ADD   T2, A
	CMPW  $15, REP0
	BLO   bytes
	ADD   LENGTH, A, T
	CMP   T2, T
	BGT   bytes
	ADD   BUF, A, A
	ADD   BUF, POS, P0
	ADD   LENGTH, POS
	B     wide

	// One byte at a time, from the ring's end to its beginning if the source is there.
bytes:
	MOVBU (BUF)(A), T
	MOVB  T, (BUF)(POS)
	ADD   $1, POS
	ADD   $1, A
	CMP   T2, A
	BNE   bytesNext
	CMP   POS, A
	CSEL  GT, ZR, A, A

bytesNext:
	SUBS $1, LENGTH
	BNE  bytes
	B    copied

rep:
	ONE
	MOVH  T, PROBS(const_probRep)(A)
	MOVHU PROBS(const_probRepG0)(A), PROB
	COMPARE
	BHS   rep1
	ZERO
	MOVH  T, PROBS(const_probRepG0)(A)
	ANDW  PBMASK, POS, T
	ADDW  STATE<<4, T, T
	ADD   T<<1, Z, A
	MOVHU PROBS(const_probRep0Long)(A), PROB
	COMPARE
	BHS   long
	ZERO
	MOVH  T, PROBS(const_probRep0Long)(A)
	MOVD  $9, T
	MOVD  $11, T2
	CMPW  $7, STATE
	CSELW LO, T, T2, STATE
	MOVD  $1, LENGTH
	B     copy

long:
	ONE
	MOVH T, PROBS(const_probRep0Long)(A)
	B    repLength

rep1:
	ONE
	MOVH  T, PROBS(const_probRepG0)(A)
	MOVHU PROBS(const_probRepG1)(A), PROB
	COMPARE
	BHS   rep2
	ZERO
	MOVH  T, PROBS(const_probRepG1)(A)
	MOVWU REP1, T
	MOVWU REP0, REP1
	MOVWU T, REP0
	B     repLength

rep2:
	ONE
	MOVH  T, PROBS(const_probRepG1)(A)
	MOVHU PROBS(const_probRepG2)(A), PROB
	COMPARE
	BHS   rep3
	ZERO
	MOVH  T, PROBS(const_probRepG2)(A)
	MOVWU REP2, T
	MOVWU REP1, REP2
	MOVWU REP0, REP1
	MOVWU T, REP0
	B     repLength

rep3:
	ONE
	MOVH T, PROBS(const_probRepG2)(A)
	MOVWU REP3, T
	MOVWU REP2, REP3
	MOVWU REP1, REP2
	MOVWU REP0, REP1
	MOVWU T, REP0

repLength:
	MOVD  $8, T
	MOVD  $11, T2
	CMPW  $7, STATE
	CSELW LO, T, T2, STATE
	ADD   $PROBS(const_probRepLen), Z, A
	MOVD  $2, LENGTH

	// The length decoder is at A. posState is at most 15.
length:
	MOVHU (2*const_lenChoice)(A), PROB
	COMPARE
	BHS   notLow
	ZERO
	MOVH  T, (2*const_lenChoice)(A)
	ANDW  PBMASK, POS, T
	ADD   T<<4, A, TREE
	ADD   $(2*const_lenLow), TREE

	// Three bits, of one of the 16 trees for short lengths or of the 16 for longer ones.
three:
	FIRST
	NEXT
	FINAL
	ADDW SYM, LENGTH
	SUBW $8, LENGTH
	TBNZ $16, LENGTH, distance
	B    copy

notLow:
	ONE
	MOVH  T, (2*const_lenChoice)(A)
	MOVHU (2*const_lenChoice2)(A), PROB
	COMPARE
	BHS   high
	ZERO
	MOVH  T, (2*const_lenChoice2)(A)
	ADDW  $8, LENGTH
	ANDW  PBMASK, POS, T
	ADD   T<<4, A, TREE
	ADD   $(2*const_lenMid), TREE
	B     three

high:
	ONE
	MOVH T, (2*const_lenChoice2)(A)
	ADD  $(2*const_lenHigh), A, TREE
	FIRST
	NEXT
	NEXT
	NEXT
	NEXT
	NEXT
	NEXT
	FINAL
	ADDW SYM, LENGTH
	SUBW $(256-16), LENGTH
	TBNZ $16, LENGTH, distance
	B    copy

more:
	MOVD $const_statusMore, T
	B    done

marker:
	MOVD $const_statusMarker, T
	B    done

tooLong:
	MOVD $const_statusTooLong, T
	B    done

tooFar:
	MOVD $const_statusTooFar, T

done:
	MOVW RNG, lzma_rng(Z)
	MOVW CODE, lzma_code(Z)
	MOVW STATE, lzma_state(Z)
	MOVW REP0, (lzma_rep+0)(Z)
	MOVW REP1, (lzma_rep+4)(Z)
	MOVW REP2, (lzma_rep+8)(Z)
	MOVW REP3, (lzma_rep+12)(Z)
	MOVD POS, window_pos(WIN)
	MOVD IN, next+32(FP)
	MOVD T, result+40(FP)
	RET
