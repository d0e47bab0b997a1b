//go:build !noasm

#include "textflag.h"

// The rounds of FIPS 180-4, section 6.2.2, for whole blocks. The eight words of the sum stay in
// registers: each round names them anew instead of moving them. The last 16 words of the message
// schedule are in the frame.
//
// A rotation costs nothing as a part of another instruction. So the sum of three rotations is one
// rotation of such a sum: e>>>6 ^ e>>>11 ^ e>>>25 is (e ^ e>>>5 ^ e>>>19)>>>6. The majority
// of a, b and c is (a^b & b^c) ^ b, and a^b is the b^c of the next round.
//
// R10 is the goroutine. The assembler needs R11 for constants that fit into no instruction: here
// all fit.

#define A  R0
#define B  R1
#define C  R2
#define D  R3
#define E  R4
#define F  R5
#define G  R6
#define H  R7
#define K  R8  // the next constant
#define IN R9  // the next word of the block
#define T2 R9  // after the block's words
#define AB R11 // a^b; before that it is free
#define BC R12 // b^c
#define T  R14

// W is word i of the schedule; 0(R13) is the return address.
#define W(i) (4+4*((i)&15))(R13)

// ROUND is a round. The word of the schedule is in T, the constant in ab.
#define ROUND(a, b, c, d, e, f, g, h, ab, bc) \
	ADD ab, h; \
	ADD T, h; \
	EOR e@>5, e, T; \
	EOR f, g, ab; \
	EOR e@>19, T; \
	AND e, ab; \
	ADD T@>6, h; \
	EOR g, ab; \
	ADD ab, h; \
	EOR a@>11, a, T; \
	ADD h, d; \
	EOR a@>20, T; \
	EOR a, b, ab; \
	ADD T@>2, h; \
	AND ab, bc; \
	EOR b, bc; \
	ADD bc, h

// FIRST is one of the first 16 rounds: the word is the block's, the first byte highest. ARMv5
// loads no word from an address that is no multiple of four, and lacks REV. There a loop of its
// own makes the words.
#ifdef GOARM_6
#define FIRST(i, a, b, c, d, e, f, g, h, ab, bc) \
	MOVW.P 4(IN), T; \
	MOVW.P 4(K), ab; \
	REV    T, T; \
	MOVW   T, W(i); \
	ROUND(a, b, c, d, e, f, g, h, ab, bc)
#else
#define FIRST(i, a, b, c, d, e, f, g, h, ab, bc) \
	MOVW   W(i), T; \
	MOVW.P 4(K), ab; \
	ROUND(a, b, c, d, e, f, g, h, ab, bc)
#endif

// NEXT is one of the other rounds: the word is computed from the words 16, 15, 7 and 2 before it.
#define NEXT(i, a, b, c, d, e, f, g, h, ab, bc) \
	MOVW   W(i+1), T; \
	MOVW   W(i+14), T2; \
	MOVW   T>>3, ab; \
	EOR    T@>7, ab; \
	EOR    T@>18, ab; \
	MOVW   W(i), T; \
	ADD    T, ab; \
	MOVW   T2>>10, T; \
	EOR    T2@>17, T; \
	EOR    T2@>19, T; \
	MOVW   W(i+9), T2; \
	ADD    ab, T; \
	MOVW.P 4(K), ab; \
	ADD    T2, T; \
	MOVW   T, W(i); \
	ROUND(a, b, c, d, e, f, g, h, ab, bc)

// SIXTEEN is 16 rounds, after which each word is in its register again.
#define SIXTEEN(round) \
	round(0, A, B, C, D, E, F, G, H, AB, BC); \
	round(1, H, A, B, C, D, E, F, G, BC, AB); \
	round(2, G, H, A, B, C, D, E, F, AB, BC); \
	round(3, F, G, H, A, B, C, D, E, BC, AB); \
	round(4, E, F, G, H, A, B, C, D, AB, BC); \
	round(5, D, E, F, G, H, A, B, C, BC, AB); \
	round(6, C, D, E, F, G, H, A, B, AB, BC); \
	round(7, B, C, D, E, F, G, H, A, BC, AB); \
	round(8, A, B, C, D, E, F, G, H, AB, BC); \
	round(9, H, A, B, C, D, E, F, G, BC, AB); \
	round(10, G, H, A, B, C, D, E, F, AB, BC); \
	round(11, F, G, H, A, B, C, D, E, BC, AB); \
	round(12, E, F, G, H, A, B, C, D, AB, BC); \
	round(13, D, E, F, G, H, A, B, C, BC, AB); \
	round(14, C, D, E, F, G, H, A, B, AB, BC); \
	round(15, B, C, D, E, F, G, H, A, BC, AB)

// MORE adds a register to word i of the sum, which is at T2.
#define MORE(i, v) \
	MOVW (4*i)(T2), T; \
	ADD  T, v; \
	MOVW v, (4*i)(T2)

// func blocks(h *[8]uint32, p *byte, n int)
TEXT ·blocks(SB), NOSPLIT, $64-12
	MOVW h+0(FP), T
	MOVW p+4(FP), IN
	MOVW n+8(FP), K
	ADD  IN, K
	MOVW K, n+8(FP) // the end
	MOVM.IA (T), [A-H]
	MOVW $·constants(SB), K

block:
#ifndef GOARM_6
	ADD $4, R13, BC // the address of W(0)

word:
	MOVBU.P 4(IN), T
	MOVBU   -3(IN), AB
	ORR     T<<8, AB, T
	MOVBU   -2(IN), AB
	ORR     T<<8, AB, T
	MOVBU   -1(IN), AB
	ORR     T<<8, AB, T
	MOVW.P  T, 4(BC)
	ADD     $(4+64), R13, AB
	CMP     AB, BC
	BNE     word
#endif
	EOR B, C, BC
	SIXTEEN(FIRST)
	MOVW IN, p+4(FP)

sixteen:
	SIXTEEN(NEXT)
	MOVW $·constants+256(SB), T
	CMP  T, K
	BNE  sixteen
	SUB  $256, K

	MOVW h+0(FP), T2
	MORE(0, A)
	MORE(1, B)
	MORE(2, C)
	MORE(3, D)
	MORE(4, E)
	MORE(5, F)
	MORE(6, G)
	MORE(7, H)
	MOVW p+4(FP), IN
	MOVW n+8(FP), T
	CMP  T, IN
	BNE  block
	RET
