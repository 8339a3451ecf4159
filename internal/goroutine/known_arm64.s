//go:build gc && !purego

#include "textflag.h"

// The runtime keeps the address of the running g in the register g.

// func ID() uintptr
TEXT ·ID(SB), NOSPLIT, $0-8
	MOVD g, ret+0(FP)
	RET

// func Is(id *uintptr) bool
TEXT ·Is(SB), NOSPLIT, $0-9
	MOVD id+0(FP), R0
	MOVD (R0), R1
	CMP  g, R1
	CSET EQ, R2
	MOVB R2, ret+8(FP)
	RET
