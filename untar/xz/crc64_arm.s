//go:build arm.6 && !noasm

#include "go_asm.h"
#include "textflag.h"

// The four bytes that come next are added to the sum's lower half. An entry of 8 bytes for each of
// them, from its table, makes the next sum.
//
// The assembler needs R11 for constants that fit into no instruction: here all fit.

#define LOW   R0  // the sum's lower half
#define HIGH  R1
#define LOW2  R2  // the sum four bytes later
#define HIGH2 R3
#define X     R4  // an entry of a table: its lower half
#define Y     R5
#define T0    R6  // the tables
#define T1    R7
#define T2    R8
#define T3    R9
#define IN    R11 // the next byte
#define MASK  R12 // the bits of an entry's offset: 255 entries of 8 bytes
#define T     R14

// ENTRY loads the entry of the byte that shifted has, multiplied by 8, into two registers.
#define ENTRY(shifted, table, low, high) \
	AND     shifted, MASK, T; \
	ADD     table, T; \
	MOVM.IA (T), [low-high]

// MIX adds an entry to the next sum.
#define MIX(shifted, table, low, high) \
	ENTRY(shifted, table, X, Y); \
	EOR X, low; \
	EOR Y, high

// FOUR adds four bytes to the sum in low and high; the new one is in low2 and high2.
#define FOUR(low, high, low2, high2) \
	MOVW.P 4(IN), T; \
	EOR    T, low; \
	ENTRY(low<<3, T3, low2, high2); \
	EOR    high, low2; \
	MIX(low>>5, T2, low2, high2); \
	MIX(low>>13, T1, low2, high2); \
	MIX(low>>21, T0, low2, high2)

// func addCRC64(h *tableCRC64, p *byte, n int)
//
// The frame is there to save R14.
TEXT ·addCRC64(SB), NOSPLIT, $4-12
	MOVW h+0(FP), T0
	MOVW p+4(FP), IN
	MOVW n+8(FP), T
	ADD  IN, T
	MOVW T, n+8(FP) // the end
	MOVW tableCRC64_low(T0), LOW
	MOVW tableCRC64_high(T0), HIGH
	ADD  $tableCRC64_tables, T0
	ADD  $(256*8), T0, T1
	ADD  $(256*8), T1, T2
	ADD  $(256*8), T2, T3
	MOVW $(255<<3), MASK

eight:
	FOUR(LOW, HIGH, LOW2, HIGH2)
	FOUR(LOW2, HIGH2, LOW, HIGH)
	MOVW n+8(FP), T
	CMP  T, IN
	BNE  eight

	MOVW h+0(FP), T
	MOVW LOW, tableCRC64_low(T)
	MOVW HIGH, tableCRC64_high(T)
	RET
