/*
 * Every CPU's stacks, so that a report can tell on which one it is and which one overflowed. A CPU's row appears before
 * it is started and goes only if it never answered. Readers take no lock: they may be reporting anything.
 */
#include <arch/page.h>
#include <arch/percpu.h>
#include "x86_internal.h"

static struct guarded_stack stacks[CPUS_MAX][CPU_STACKS];

static const char *const names[CPU_STACKS] = {
        [STACK_KERNEL] = "kernel stack",     [STACK_DOUBLE_FAULT] = "#DF stack", [STACK_NMI] = "NMI stack",
        [STACK_MACHINE_CHECK] = "#MC stack", [STACK_DEBUG] = "#DB stack",
};

void stacks_register(unsigned cpu, const struct vrange ranges[CPU_STACKS])
{
	for (unsigned i = 0; i < CPU_STACKS; i++) {
		uint64_t bottom = ranges[i].start.raw;
		stacks[cpu][i] = (struct guarded_stack){
		        .what = names[i],
		        .cpu = cpu,
		        .guard = vrange(bottom - PAGE_SIZE, bottom),
		        .stack = ranges[i],
		};
	}
}

void stacks_forget(unsigned cpu)
{
	for (unsigned i = 0; i < CPU_STACKS; i++)
		stacks[cpu][i] = (struct guarded_stack){.what = NULL};
}

/* As entry.asm lays them out. */
void stacks_register_boot(void)
{
	const struct vrange ranges[CPU_STACKS] = {
	        [STACK_KERNEL] = {vaddr_of(boot_stack), vaddr_of(boot_stack_top)},
	        [STACK_DOUBLE_FAULT] = {vaddr_of(ist_df_stack), vaddr_of(ist_df_stack_top)},
	        [STACK_NMI] = {vaddr_of(ist_nmi_stack), vaddr_of(ist_nmi_stack_top)},
	        [STACK_MACHINE_CHECK] = {vaddr_of(ist_mc_stack), vaddr_of(ist_mc_stack_top)},
	        [STACK_DEBUG] = {vaddr_of(ist_db_stack), vaddr_of(ist_db_stack_top)},
	};

	stacks_register(0, ranges);
}

const struct guarded_stack *guarded_stack(unsigned n)
{
	if (n >= CPUS_MAX * CPU_STACKS)
		return NULL;
	const struct guarded_stack *stack = &stacks[n / CPU_STACKS][n % CPU_STACKS];
	return stack->what ? stack : NULL;
}

const struct guarded_stack *stack_at(vaddr_t va)
{
	const struct guarded_stack *stack;

	for (unsigned n = 0; (stack = guarded_stack(n)); n++) {
		if (vrange_contains(stack->stack, va))
			return stack;
	}
	return NULL;
}

const struct guarded_stack *stack_guarded_at(vaddr_t va)
{
	const struct guarded_stack *stack;

	for (unsigned n = 0; (stack = guarded_stack(n)); n++) {
		if (vrange_contains(stack->guard, va))
			return stack;
	}
	return NULL;
}
