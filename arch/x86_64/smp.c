/* Which CPUs run, and making them do something. */
#include <arch/irq.h>
#include <arch/smp.h>
#include "x86_internal.h"

unsigned cpus_possible(void)
{
	return 1;
}

cpuset_t cpus_online(void)
{
	return 1;
}

struct cpu *cpu_by_id(unsigned id)
{
	return id == 0 ? this_cpu() : NULL;
}

void cpu_call(cpuset_t set, void (*fn)(void *context), void *context)
{
	irqflags_t flags = irq_save();
	if (set & 1)
		fn(context);
	irq_restore(flags);
}

void cpu_relax(void)
{
	__builtin_ia32_pause();
}
