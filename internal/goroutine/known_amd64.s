//go:build gc && !purego

#include "textflag.h"

// The runtime keeps the address of the running g in thread-local storage, at TLS.

// func ID() uintptr
TEXT ·ID(SB), NOSPLIT, $0-8
	MOVQ (TLS), AX
	MOVQ AX, ret+0(FP)
	RET

// func Is(id *uintptr) bool
TEXT ·Is(SB), NOSPLIT, $0-9
	MOVQ id+0(FP), BX
	MOVQ (TLS), AX
	CMPQ AX, (BX)
	SETEQ ret+8(FP)
	RET
