; A place to come back to: struct context of <arch/context.h>. Saves what the System V ABI lets a callee rely on, and
; the flags.

bits 64
default rel

CONTEXT_RBX      equ 0
CONTEXT_RBP      equ 8
CONTEXT_R12      equ 16
CONTEXT_R13      equ 24
CONTEXT_R14      equ 32
CONTEXT_R15      equ 40
CONTEXT_RSP      equ 48
CONTEXT_RIP      equ 56
CONTEXT_RFLAGS   equ 64

section .text

; bool context_save(struct context *context)
global context_save:function
context_save:
	mov	[rdi + CONTEXT_RBX], rbx
	mov	[rdi + CONTEXT_RBP], rbp
	mov	[rdi + CONTEXT_R12], r12
	mov	[rdi + CONTEXT_R13], r13
	mov	[rdi + CONTEXT_R14], r14
	mov	[rdi + CONTEXT_R15], r15
	mov	rax, [rsp]
	mov	[rdi + CONTEXT_RIP], rax
	lea	rax, [rsp + 8]		; as it will be when we have returned
	mov	[rdi + CONTEXT_RSP], rax
	pushfq
	pop	qword [rdi + CONTEXT_RFLAGS]
	xor	eax, eax
	ret

; void context_resume(const struct context *context)
; Touches no memory but the context before it has switched to a good stack: an overflowed one may be current.
global context_resume:function
context_resume:
	mov	rbx, [rdi + CONTEXT_RBX]
	mov	rbp, [rdi + CONTEXT_RBP]
	mov	r12, [rdi + CONTEXT_R12]
	mov	r13, [rdi + CONTEXT_R13]
	mov	r14, [rdi + CONTEXT_R14]
	mov	r15, [rdi + CONTEXT_R15]
	mov	rsp, [rdi + CONTEXT_RSP]
	push	qword [rdi + CONTEXT_RIP]
	push	qword [rdi + CONTEXT_RFLAGS]
	popfq
	mov	eax, 1
	ret

section .note.GNU-stack progbits noalloc noexec nowrite
