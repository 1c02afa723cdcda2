/*
 * Modelled interrupt state: a thread is a CPU, masking is a flag, and a test enters "interrupt context" by
 * hand. The one interrupt there is, another CPU's cpu_call(), is taken where interrupts become enabled.
 */
#ifndef ARCH_IRQ_H
#define ARCH_IRQ_H

#include <arch/smp.h>

typedef struct {
	uint64_t raw; /* 1: were enabled */
} irqflags_t;

static inline irqflags_t irq_save(void)
{
	struct cpu *cpu = this_cpu();
	irqflags_t flags = {cpu->irqs_enabled};
	if (flags.raw)
		host_set_irqs(false);
	return flags;
}

static inline void irq_restore(irqflags_t flags)
{
	struct cpu *cpu = this_cpu();
	if (cpu->irqs_enabled != flags.raw)
		host_set_irqs(flags.raw);
	if (flags.raw && unlikely(__atomic_load_n(&cpu->asked_by, __ATOMIC_RELAXED)))
		cpu_serve();
}

static inline bool irqs_enabled(void)
{
	return this_cpu()->irqs_enabled;
}

static inline bool in_interrupt(void)
{
	return this_cpu()->interrupt_depth != 0;
}

#endif
