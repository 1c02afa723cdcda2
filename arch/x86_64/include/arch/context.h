/*
 * A place to come back to: how test code survives a panic or a fault it expected. context_save() returns false when it
 * saves and true when context_resume() comes back to it. As with setjmp(), locals changed in between must be volatile,
 * and the saving function must not have returned. Restores the interrupt flag. The host has a header of the same name.
 */
#ifndef ARCH_CONTEXT_H
#define ARCH_CONTEXT_H

#include <lib/compiler.h>

struct context {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip, rflags; /* context.asm knows the order */
};

bool context_save(struct context *context) RETURNS_TWICE;
NORETURN void context_resume(const struct context *context);

#endif
