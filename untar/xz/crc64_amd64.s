//go:build !noasm

#include "textflag.h"

// func foldCRC64(rest *[16]byte, p *byte, n int, crc uint64)
//
// n is a multiple of 64, at least 64. The registers X0 to X3 hold 64 bytes that stand for
// all data so far. Each step multiplies them, without carries, by x to the power of the
// distance and adds the next 64 bytes.
TEXT ·foldCRC64(SB), NOSPLIT, $0-32
	MOVQ rest+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ crc+24(FP), X4
	MOVOU 0(SI), X0
	MOVOU 16(SI), X1
	MOVOU 32(SI), X2
	MOVOU 48(SI), X3
	PXOR X4, X0
	MOVOU ·fold512(SB), X5
	MOVOU ·fold128(SB), X6

loop:
	ADDQ $64, SI
	SUBQ $64, CX
	JZ   reduce

	MOVOA X0, X7
	MOVOA X1, X8
	MOVOA X2, X9
	MOVOA X3, X10
	PCLMULQDQ $0x00, X5, X0
	PCLMULQDQ $0x00, X5, X1
	PCLMULQDQ $0x00, X5, X2
	PCLMULQDQ $0x00, X5, X3
	PCLMULQDQ $0x11, X5, X7
	PCLMULQDQ $0x11, X5, X8
	PCLMULQDQ $0x11, X5, X9
	PCLMULQDQ $0x11, X5, X10
	MOVOU 0(SI), X11
	MOVOU 16(SI), X12
	MOVOU 32(SI), X13
	MOVOU 48(SI), X14
	PXOR X7, X0
	PXOR X8, X1
	PXOR X9, X2
	PXOR X10, X3
	PXOR X11, X0
	PXOR X12, X1
	PXOR X13, X2
	PXOR X14, X3
	JMP  loop

reduce:
	MOVOA X0, X7
	PCLMULQDQ $0x00, X6, X0
	PCLMULQDQ $0x11, X6, X7
	PXOR X0, X1
	PXOR X7, X1
	MOVOA X1, X7
	PCLMULQDQ $0x00, X6, X1
	PCLMULQDQ $0x11, X6, X7
	PXOR X1, X2
	PXOR X7, X2
	MOVOA X2, X7
	PCLMULQDQ $0x00, X6, X2
	PCLMULQDQ $0x11, X6, X7
	PXOR X2, X3
	PXOR X7, X3
	MOVOU X3, 0(DI)
	RET
