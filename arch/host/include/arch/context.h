/*
 * A place to come back to; see the machine's header of the same name. Restores the modelled interrupt flag,
 * too.
 */
#ifndef ARCH_CONTEXT_H
#define ARCH_CONTEXT_H

#include <setjmp.h>
#include <arch/percpu.h>

struct context {
	bool irqs_enabled;
	jmp_buf buffer;
};

/* A macro, because a function would return before the jump comes back to it. */
#define context_save(context) \
	((context)->irqs_enabled = this_cpu()->irqs_enabled, setjmp((context)->buffer) != 0)

static inline NORETURN void context_resume(struct context *context)
{
	host_set_irqs(context->irqs_enabled);
	longjmp(context->buffer, 1);
}

#endif
