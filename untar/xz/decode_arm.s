//go:build arm.6 && !noasm && !nounsafe

#include "go_asm.h"
#include "textflag.h"

// The loop of decodeGo (gen.go), by hand: what it does, and why no access is out of bounds, is
// said there. The differences are these:
//
// A comparison sets the flags, and instructions with a condition choose range, code and
// probability by them (HS: the bit is 1, LO: it is 0). No bit of a tree is a branch.
//
// A tree is followed by addresses: a node at the address N has its two children side by side at
// 2N - the tree's address. Both probabilities are loaded before the bit is known.
//
// There are twelve registers. State, distances and bounds stay in lzma. R10 is the goroutine,
// and R11 belongs to the assembler, which needs it for constants that fit into no instruction.

#define Z      R0  // *lzma
#define IN     R1  // next byte of the input
#define RNG    R2
#define CODE   R3
#define BOUND  R4
#define POS    R5
#define NEG    R6  // the tree's address, negative
#define NODE   R7  // address of a probability
#define PAIR   R8  // address of the next two, then of the one that is chosen
#define PROB   R9  // the probability that is used next
#define PROB2  R12 // the one after it
#define P1     R14

// The same registers outside of trees, and in literals after a match.
#define TREE   R6
#define A      R7
#define SYM    R8
#define OFFSET R12
#define CHOOSE R14
#define MATCH  R5 // POS is in the frame
#define LENGTH R6
#define FROM   R7
#define TO     R8
#define T      R9
#define T2     R12
#define T3     R14

// NEW is added to the length of a match with a new distance.
#define NEW 0x10000

// PROBS is the offset in bytes of a probability in lzma.
#define PROBS(index) (lzma_probs+2*(index))

// NORMALIZE refills the range coder.
#define NORMALIZE \
	CMP     $(1<<24), RNG; \
	BHS     4(PC); \
	MOVBU.P 1(IN), BOUND; \
	SLL     $8, RNG; \
	ORR     CODE<<8, BOUND, CODE

// COMPARE compares code with the bound: LO for a 0 bit, HS for a 1 bit.
#define COMPARE(prob) \
	NORMALIZE; \
	SRL $const_probBits, RNG, BOUND; \
	MUL prob, BOUND, BOUND; \
	CMP BOUND, CODE

// CHOICE is COMPARE with the probability at A, for a branch. ZERO and ONE are what follows.
#define CHOICE \
	MOVHU (A), PROB; \
	COMPARE(PROB)

#define ZERO \
	MOVW BOUND, RNG; \
	RSB  $(1<<const_probBits), PROB, BOUND; \
	ADD  BOUND>>const_probMove, PROB; \
	MOVH PROB, (A)

#define ONE \
	SUB  BOUND, RNG; \
	SUB  BOUND, CODE; \
	SUB  PROB>>const_probMove, PROB; \
	MOVH PROB, (A)

// DECIDE decodes a bit without a branch: prob is at the address at. The flags stay.
#define DECIDE(prob, at) \
	COMPARE(prob); \
	SUB.HS  BOUND, CODE; \
	SUB.HS  BOUND, RNG; \
	MOVW.LO BOUND, RNG; \
	RSB.LO  $(1<<const_probBits), prob, BOUND; \
	ADD.LO  BOUND>>const_probMove, prob; \
	SUB.HS  prob>>const_probMove, prob; \
	MOVH    prob, (at)

// BIT and FINAL decode a bit of a tree: pair becomes the next node, prob2 its probability.
// START begins the tree at NODE. A tree of n bits has 2^n probabilities.
#define START \
	RSB   $0, NODE, NEG; \
	ADD   $2, NODE; \
	MOVHU (NODE), PROB

#define BIT(node, pair, prob, prob2) \
	ADD     node<<1, NEG, pair; \
	MOVHU   (pair), prob2; \
	MOVHU   2(pair), P1; \
	DECIDE(prob, node); \
	MOVW.HS P1, prob2; \
	ADD.HS  $2, pair

#define FINAL(node, pair, prob) \
	ADD    node<<1, NEG, pair; \
	DECIDE(prob, node); \
	ADD.HS $2, pair

#define ODD BIT(NODE, PAIR, PROB, PROB2)
#define EVEN BIT(PAIR, NODE, PROB2, PROB)

// MATCHED decodes bit n, from 1 to 8, of a literal after a match. OFFSET is 0x100 as long as
// the literal's bits are those of the byte MATCH, and 0 afterwards; SYM, OFFSET and the bit of
// MATCH choose one of 0x300 probabilities.
#define MATCHED(n) \
	AND     MATCH<<n, OFFSET, CHOOSE; \
	ADD     OFFSET, SYM, A; \
	ADD     CHOOSE, A; \
	ADD     A<<1, TREE, A; \
	MOVHU   (A), PROB; \
	DECIDE(PROB, A); \
	EOR.LO  CHOOSE, OFFSET; \
	MOVW.HS CHOOSE, OFFSET; \
	ADC     SYM, SYM

// func decodeSymbols(z *lzma, w *window, in *byte, prev uint32) (next uintptr, result status)
TEXT ·decodeSymbols(SB), NOSPLIT, $16-24
	MOVW z+0(FP), Z
	MOVW w+4(FP), T
	MOVW in+8(FP), IN
	MOVW window_buf(T), T2
	MOVW T2, buf-4(SP)
	MOVW window_pos(T), POS
	MOVW lzma_rng(Z), RNG
	MOVW lzma_code(Z), CODE

	// A symbol takes at most 20 bytes of the input, which has 32 more after lzma_last.
symbol:
	MOVW lzma_stop(Z), T
	MOVW lzma_last(Z), T2
	CMP  T, POS
	BGE  more
	CMP  T2, IN
	BHI  more

	MOVW lzma_pbMask(Z), T
	MOVW lzma_state(Z), T2
	AND  POS, T
	ADD  T2<<4, T
	ADD  T<<1, Z, A
	ADD  $PROBS(const_probMatch), A
	CHOICE
	BHS  match
	ZERO

	// A literal. lc + lp <= 4, and prev is a byte: at most tree 15.
	MOVW lzma_lpMask(Z), T
	MOVW lzma_lc(Z), T3
	MOVW prev+12(FP), TREE
	AND  POS, T
	ADD  T<<8, TREE, T
	SLL  T3, T
	SRL  $8, T
	ADD  T<<1, T
	ADD  T<<9, Z, NODE
	ADD  $PROBS(const_probLiteral), NODE
	CMP  $7, T2
	BHS  matched
	SUB.S $3, T2
	MOVW.LO $0, T2
	MOVW T2, lzma_state(Z)
	START
	ODD
	EVEN
	ODD
	EVEN
	ODD
	EVEN
	ODD
	FINAL(PAIR, NODE, PROB2)
	ADD  NEG, NODE, T
	SRL  $1, T

literal:
	MOVW buf-4(SP), T2
	AND  $0xff, T
	MOVB T, POS<<0(T2)
	ADD  $1, POS
	MOVW T, prev+12(FP)
	B    symbol

	// The byte at the last distance is within the window: that match was checked.
matched:
	MOVW   NODE, TREE
	CMP    $10, T2
	SUB.LO $3, T2
	SUB.HS $6, T2
	MOVW   T2, lzma_state(Z)
	MOVW   (lzma_rep+0)(Z), T
	MOVW   POS, pos-8(SP)
	SUB    T, POS
	SUB.S  $1, POS
	BPL    inside
	MOVW   w+4(FP), T
	MOVW   window_size(T), T
	ADD    T, POS

inside:
	MOVW  buf-4(SP), T
	MOVBU POS<<0(T), MATCH
	MOVW  $0x100, OFFSET
	MOVW  $1, SYM
	MATCHED(1)
	MATCHED(2)
	MATCHED(3)
	MATCHED(4)
	MATCHED(5)
	MATCHED(6)
	MATCHED(7)
	MATCHED(8)
	MOVW  pos-8(SP), POS
	MOVW  SYM, T
	B     literal

match:
	ONE
	MOVW lzma_state(Z), T2
	ADD  T2<<1, Z, A
	ADD  $PROBS(const_probRep), A
	CHOICE
	BHS  rep
	ZERO

	// A match with a new distance.
	MOVW    (lzma_rep+0)(Z), T
	MOVW    (lzma_rep+4)(Z), A
	MOVW    (lzma_rep+8)(Z), T3
	MOVW    T, (lzma_rep+4)(Z)
	MOVW    A, (lzma_rep+8)(Z)
	MOVW    T3, (lzma_rep+12)(Z)
	CMP     $7, T2
	MOVW.LO $7, T2
	MOVW.HS $10, T2
	MOVW    T2, lzma_state(Z)
	MOVW    $(2+NEW), T
	MOVW    T, length-12(SP)
	ADD     $PROBS(const_probMatchLen), Z, A
	B       length

	// The length is in T.
distance:
	BIC   $NEW, T
	MOVW  T, length-12(SP)
	SUB   $2, T
	CMP   $3, T
	MOVW.HS $3, T
	ADD   T<<7, Z, NODE
	ADD   $PROBS(const_probSlot), NODE
	START
	ODD
	EVEN
	ODD
	EVEN
	ODD
	FINAL(PAIR, NODE, PROB2)
	ADD   NEG, NODE, T
	SRL   $1, T
	SUB   $64, T
	CMP   $4, T
	BLO   known
	SRL   $1, T, T2
	SUB   $1, T2      // the number of bits after the first two
	AND   $1, T, T3
	ORR   $2, T3
	CMP   $14, T
	BHS   direct
	SLL   T2, T3
	MOVW  T3, (lzma_rep+0)(Z)
	SUB   T, T3
	ADD   T3<<1, Z, TREE
	ADD   $PROBS(const_probSpecial), TREE
	MOVW  $1, SYM
	MOVW  $0, T3      // the bits
	MOVW  $1, T
	MOVW  T, bit-16(SP)

	// The bits come lowest first.
special:
	ADD    SYM<<1, TREE, A
	MOVHU  (A), PROB
	DECIDE(PROB, A)
	MOVW   bit-16(SP), T
	ADC    SYM, SYM
	ORR.HS T, T3
	SLL    $1, T
	MOVW   T, bit-16(SP)
	SUB.S  $1, T2
	BNE    special
	MOVW   (lzma_rep+0)(Z), T
	ADD    T3, T
	B      known

direct:
	SUB $4, T2

	// These bits have no probabilities. As in decodeGo, the sign decides.
directBit:
	NORMALIZE
	SRL     $1, RNG
	SUB.S   RNG, CODE, T
	MOVW.PL T, CODE
	SLL     $1, T3
	ORR.PL  $1, T3
	SUB.S   $1, T2
	BNE     directBit

	SLL   $4, T3
	MOVW  T3, (lzma_rep+0)(Z)
	ADD   $PROBS(const_probAlign), Z, NODE
	START
	ODD
	EVEN
	ODD
	FINAL(PAIR, NODE, PROB2)
	ADD   NEG, NODE, T2 // twice the four bits, lowest first
	MOVW  (lzma_rep+0)(Z), T
	TST   $16, T2
	ORR.NE $1, T
	TST   $8, T2
	ORR.NE $2, T
	TST   $4, T2
	ORR.NE $4, T
	TST   $2, T2
	ORR.NE $8, T
	CMN   $1, T
	BEQ   marker

known:
	MOVW T, (lzma_rep+0)(Z)
	MOVW length-12(SP), LENGTH

	// Copy a match of LENGTH at the distance T + 1. The checks come first, so that no access
	// is out of bounds.
copy:
	MOVW lzma_end(Z), T2
	SUB  POS, T2
	CMP  T2, LENGTH
	BGT  tooLong
	MOVW w+4(FP), T3
	MOVW window_dict(T3), T2
	CMP  T2, T
	BHS  tooFar
	MOVW window_size(T3), BOUND
	SUB  T, POS, FROM
	SUB.S $1, FROM
	BMI  around
	ADD  LENGTH, FROM, T2
	CMP  BOUND, T2
	BGT  bytes
	MOVW buf-4(SP), T3
	ADD  T3, FROM
	ADD  T3, POS, TO
	ADD  LENGTH, POS
	CMP  $15, T
	BLO  near

	// 16 bytes at a time: windowSlack and ringExtra allow for writing too far.
wide:
	MOVW.P 4(FROM), T
	MOVW.P 4(FROM), T2
	MOVW.P 4(FROM), T3
	MOVW.P 4(FROM), BOUND
	SUB.S  $16, LENGTH
	MOVW.P T, 4(TO)
	MOVW.P T2, 4(TO)
	MOVW.P T3, 4(TO)
	MOVW.P BOUND, 4(TO)
	BGT    wide

copied:
	MOVW  buf-4(SP), T
	ADD   POS, T
	MOVBU -1(T), T
	MOVW  T, prev+12(FP)
	B     symbol

	// The distance is less than 16, and the content repeats itself at each multiple of it.
	// Write so many bytes that the first of them has a multiple of 16 or more.
near:
	ADD  $1, T, T2
	MOVW T2, T

nearTotal:
	CMP    $16, T
	ADD.LO T2, T
	BLO    nearTotal
	SUB    T2, T
	MOVW   FROM, T3

nearByte:
	MOVBU.P 1(T3), BOUND
	SUB.S   $1, LENGTH
	MOVB.P  BOUND, 1(TO)
	BEQ     copied
	SUB.S   $1, T
	BNE     nearByte
	B       wide

	// The source begins before the ring's beginning.
around:
	MOVBU window_wrapped(T3), T2
	CMP   $0, T2
	BEQ   tooFar
	ADD   BOUND, FROM
	CMP   $15, T
	BLO   bytes
	ADD   LENGTH, FROM, T2
	CMP   BOUND, T2
	BGT   bytes
	MOVW  buf-4(SP), T3
	ADD   T3, FROM
	ADD   T3, POS, TO
	ADD   LENGTH, POS
	B     wide

	// One byte at a time, from the ring's end to its beginning if the source is there.
bytes:
	MOVW buf-4(SP), T3

nextByte:
	MOVBU   FROM<<0(T3), T
	MOVB    T, POS<<0(T3)
	ADD     $1, POS
	ADD     $1, FROM
	CMP     BOUND, FROM
	BNE     3(PC)
	CMP     POS, FROM
	MOVW.GT $0, FROM
	SUB.S   $1, LENGTH
	BNE     nextByte
	B       copied

rep:
	ONE
	ADD  $(2*(const_probRepG0-const_probRep)), A
	CHOICE
	BHS  rep1
	ZERO
	MOVW lzma_pbMask(Z), T
	MOVW lzma_state(Z), T2
	AND  POS, T
	ADD  T2<<4, T
	ADD  T<<1, Z, A
	ADD  $PROBS(const_probRep0Long), A
	CHOICE
	BHS  long
	ZERO
	CMP  $7, T2
	MOVW.LO $9, T2
	MOVW.HS $11, T2
	MOVW T2, lzma_state(Z)
	MOVW (lzma_rep+0)(Z), T
	MOVW $1, LENGTH
	B    copy

long:
	ONE
	B    repLength

rep1:
	ONE
	ADD  $(2*(const_probRepG1-const_probRepG0)), A
	CHOICE
	BHS  rep2
	ZERO
	MOVW (lzma_rep+4)(Z), T
	B    swap1

rep2:
	ONE
	ADD  $(2*(const_probRepG2-const_probRepG1)), A
	CHOICE
	BHS  rep3
	ZERO
	MOVW (lzma_rep+8)(Z), T
	B    swap2

rep3:
	ONE
	MOVW (lzma_rep+12)(Z), T
	MOVW (lzma_rep+8)(Z), T2
	MOVW T2, (lzma_rep+12)(Z)

swap2:
	MOVW (lzma_rep+4)(Z), T2
	MOVW T2, (lzma_rep+8)(Z)

swap1:
	MOVW (lzma_rep+0)(Z), T2
	MOVW T2, (lzma_rep+4)(Z)
	MOVW T, (lzma_rep+0)(Z)

repLength:
	MOVW    lzma_state(Z), T2
	CMP     $7, T2
	MOVW.LO $8, T2
	MOVW.HS $11, T2
	MOVW    T2, lzma_state(Z)
	MOVW    $2, T
	MOVW    T, length-12(SP)
	ADD     $PROBS(const_probRepLen), Z, A

	// The length decoder is at A. posState is at most 15.
length:
	CHOICE
	BHS  notLow
	ZERO
	MOVW lzma_pbMask(Z), T
	AND  POS, T
	ADD  T<<4, A
	ADD  $(2*(const_lenLow-const_lenChoice)), A

	// Three bits, of one of the 16 trees for short lengths or of the 16 for longer ones.
three:
	START
	ODD
	EVEN
	FINAL(NODE, PAIR, PROB)
	ADD  NEG, PAIR, T2
	MOVW length-12(SP), T
	ADD  T2>>1, T
	SUB  $8, T

lengthKnown:
	CMP  $NEW, T
	BHS  distance
	MOVW T, LENGTH
	MOVW (lzma_rep+0)(Z), T
	B    copy

notLow:
	ONE
	ADD  $(2*(const_lenChoice2-const_lenChoice)), A
	CHOICE
	BHS  high
	ZERO
	MOVW length-12(SP), T
	ADD  $8, T
	MOVW T, length-12(SP)
	MOVW lzma_pbMask(Z), T
	AND  POS, T
	ADD  T<<4, A
	ADD  $(2*(const_lenMid-const_lenChoice2)), A
	B    three

high:
	ONE
	ADD  $(2*(const_lenHigh-const_lenChoice2)), A
	START
	ODD
	EVEN
	ODD
	EVEN
	ODD
	EVEN
	ODD
	FINAL(PAIR, NODE, PROB2)
	ADD  NEG, NODE, T2
	MOVW length-12(SP), T
	ADD  T2>>1, T
	SUB  $(256-16), T
	B    lengthKnown

more:
	MOVW $const_statusMore, T
	B    done

marker:
	MOVW T, (lzma_rep+0)(Z)
	MOVW $const_statusMarker, T
	B    done

tooLong:
	MOVW $const_statusTooLong, T
	B    done

tooFar:
	MOVW $const_statusTooFar, T

done:
	MOVW w+4(FP), T2
	MOVW RNG, lzma_rng(Z)
	MOVW CODE, lzma_code(Z)
	MOVW POS, window_pos(T2)
	MOVW IN, next+16(FP)
	MOVW T, result+20(FP)
	RET
