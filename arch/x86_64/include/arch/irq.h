/* Interrupts of the current CPU: masking them, and asking where we are. The host has a header of the same name. */
#ifndef ARCH_IRQ_H
#define ARCH_IRQ_H

#include <arch/percpu.h>

typedef struct {
	uint64_t raw; /* RFLAGS */
} irqflags_t;

#define RFLAGS_IF (1UL << 9)

/* Masks interrupts and returns what was before, for irq_restore(). Nests. */
static inline irqflags_t irq_save(void)
{
	irqflags_t flags;
	__asm__ volatile("pushfq; popq %0; cli" : "=r"(flags.raw) : : "memory");
	return flags;
}

static inline void irq_restore(irqflags_t flags)
{
	if (flags.raw & RFLAGS_IF)
		__asm__ volatile("sti" : : : "memory");
}

static inline bool irqs_enabled(void)
{
	uint64_t flags;
	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	return flags & RFLAGS_IF;
}

/* True in an interrupt, exception or NMI handler of this CPU. */
static inline bool in_interrupt(void)
{
	bool inside;
	__asm__ volatile("cmpl $0, %%gs:%c1" : "=@ccne"(inside) : "i"(offsetof(struct cpu, interrupt_depth)));
	return inside;
}

#endif
