#include "other_cpus.h"
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/smp.h>

enum { LET_GO = 1 << 30 };

static unsigned stage;
unsigned nr_cpus;
static bool began_masked; /* interrupts, when the case began */

void need_another_cpu(void)
{
	if (nr_cpus < 2)
		test_skip("only one CPU runs");
}

unsigned stage_now(void)
{
	return __atomic_load_n(&stage, __ATOMIC_ACQUIRE);
}

void set_stage(unsigned to)
{
	__atomic_store_n(&stage, to, __ATOMIC_RELEASE);
}

void await_stage(unsigned at_least)
{
	while (stage_now() < at_least)
		cpu_relax();
}

void await_count(const unsigned *count, unsigned at_least)
{
	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < at_least)
		cpu_relax();
}

void count_up(unsigned *count)
{
	__atomic_fetch_add(count, 1, __ATOMIC_ACQ_REL);
}

void start_work_on_others(void (*fn)(void *context), void *context)
{
	for (unsigned id = 1; id < nr_cpus; id++)
		cpu_start_work(id, fn, context);
}

void wait_for_others(void)
{
	for (unsigned id = 1; id < nr_cpus; id++)
		cpu_wait_work(id);
}

unsigned scaled(unsigned rounds)
{
	unsigned count = rounds * 8 / (nr_cpus * nr_cpus * nr_cpus);
	return count > 4 ? count : 4;
}

void begin_with_others(void)
{
	nr_cpus = nr_cpus_online();
	began_masked = !irqs_enabled();
	set_stage(0);
}

void end_with_others(void)
{
	set_stage(LET_GO);
	if (!began_masked)
		irq_enable();
	wait_for_others();
}
