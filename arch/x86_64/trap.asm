; The way into C for all 256 vectors, and the way back. Builds struct trap_frame <arch/trap.h> on the stack that the
; processor chose: the current one, or one of the TSS's for #DF, NMI, #MC and #DB.
;
; GS always holds the kernel's base: there is no user mode, so nothing to swap.

bits 64
default rel

INTERRUPT_DEPTH  equ 12			; offset in struct cpu, asserted in <arch/percpu.h>
FRAME_RIP        equ 17 * 8
STUB_SIZE        equ 16
STUBS            equ 256

; Vectors for which the processor pushes an error code: 8, 10 to 14, 17, 21, 29, 30.
WITH_ERROR       equ 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30

extern trap_entry

section .text

; Stub n is at trap_stubs + 16 n. The others push a zero, so that all frames have one shape.
align STUB_SIZE
global trap_stubs:function
trap_stubs:
%assign vector 0
%rep STUBS
	align STUB_SIZE
%if vector < 32
%if (WITH_ERROR >> vector & 1) == 0
	push	0
%endif
%else
	push	0
%endif
	push	dword vector
	jmp	near trap_common
%assign vector vector + 1
%endrep

align STUB_SIZE
global trap_common:function		; for its name in backtraces
trap_common:
	push	rax
	push	rbx
	push	rcx
	push	rdx
	push	rsi
	push	rdi
	push	rbp
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rdi, rsp
	cld
	; A frame as a call from the interrupted instruction would have left it: backtraces walk through.
	push	qword [rdi + FRAME_RIP]
	push	rbp
	mov	rbp, rsp
	inc	dword [gs:INTERRUPT_DEPTH]
	call	trap_entry
	dec	dword [gs:INTERRUPT_DEPTH]
	add	rsp, 16
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rbp
	pop	rdi
	pop	rsi
	pop	rdx
	pop	rcx
	pop	rbx
	pop	rax
	add	rsp, 16			; vector and error code
	iretq

section .note.GNU-stack progbits noalloc noexec nowrite
