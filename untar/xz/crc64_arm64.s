//go:build !noasm

#include "textflag.h"

// func foldCRC64(rest *[16]byte, p *byte, n int, crc uint64)
//
// n is a multiple of 64, at least 64. The registers V0 to V3 hold 64 bytes that stand for
// all data so far. Each step multiplies them, without carries, by x to the power of the
// distance and adds the next 64 bytes.
TEXT ·foldCRC64(SB), NOSPLIT|NOFRAME, $0-32
	MOVD   rest+0(FP), R0
	MOVD   p+8(FP), R1
	MOVD   n+16(FP), R2
	MOVD   crc+24(FP), R3
	VEOR   V16.B16, V16.B16, V16.B16
	VMOV   R3, V16.D[0]
	MOVD   $·fold512(SB), R4
	VLD1   (R4), [V17.D2]
	MOVD   $·fold128(SB), R4
	VLD1   (R4), [V18.D2]
	VLD1.P 64(R1), [V0.D2, V1.D2, V2.D2, V3.D2]
	VEOR   V16.B16, V0.B16, V0.B16
	SUBS   $64, R2
	BEQ    reduce

loop:
	VLD1.P  64(R1), [V4.D2, V5.D2, V6.D2, V7.D2]
	VPMULL  V17.D1, V0.D1, V20.Q1
	VPMULL2 V17.D2, V0.D2, V0.Q1
	VPMULL  V17.D1, V1.D1, V21.Q1
	VPMULL2 V17.D2, V1.D2, V1.Q1
	VPMULL  V17.D1, V2.D1, V22.Q1
	VPMULL2 V17.D2, V2.D2, V2.Q1
	VPMULL  V17.D1, V3.D1, V23.Q1
	VPMULL2 V17.D2, V3.D2, V3.Q1
	VEOR    V4.B16, V20.B16, V20.B16
	VEOR    V5.B16, V21.B16, V21.B16
	VEOR    V6.B16, V22.B16, V22.B16
	VEOR    V7.B16, V23.B16, V23.B16
	VEOR    V20.B16, V0.B16, V0.B16
	VEOR    V21.B16, V1.B16, V1.B16
	VEOR    V22.B16, V2.B16, V2.B16
	VEOR    V23.B16, V3.B16, V3.B16
	SUBS    $64, R2
	BNE     loop

reduce:
	VPMULL  V18.D1, V0.D1, V20.Q1
	VPMULL2 V18.D2, V0.D2, V0.Q1
	VEOR    V20.B16, V1.B16, V1.B16
	VEOR    V0.B16, V1.B16, V1.B16
	VPMULL  V18.D1, V1.D1, V20.Q1
	VPMULL2 V18.D2, V1.D2, V1.Q1
	VEOR    V20.B16, V2.B16, V2.B16
	VEOR    V1.B16, V2.B16, V2.B16
	VPMULL  V18.D1, V2.D1, V20.Q1
	VPMULL2 V18.D2, V2.D2, V2.Q1
	VEOR    V20.B16, V3.B16, V3.B16
	VEOR    V2.B16, V3.B16, V3.B16
	VST1    [V3.D2], (R0)
	RET
