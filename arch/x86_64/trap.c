/*
 * From a trap frame to whoever is responsible: exceptions go up to trap_handle(), interrupts to the handler registered
 * for their vector. An interrupt that nobody asked for is counted and mentioned, never fatal.
 */
#include <arch/cpu.h>
#include <lib/panic.h>
#include "x86_internal.h"

static void (*handlers[TRAP_VECTORS])(struct trap_frame *frame);

#define GUARDED_STACK(name, bottom, below, top)                                         \
	{                                                                               \
		.what = (name), .guard = {{(uintptr_t)(below)}, {(uintptr_t)(bottom)}}, \
		.stack = {{(uintptr_t)(bottom)}, {(uintptr_t)(top)}},                   \
	}

const struct guarded_stack guarded_stacks[] = {
        GUARDED_STACK("kernel stack", boot_stack, boot_stack_guard, boot_stack_top),
        GUARDED_STACK("#DF stack", ist_df_stack, ist_df_guard, ist_df_stack_top),
        GUARDED_STACK("NMI stack", ist_nmi_stack, ist_nmi_guard, ist_nmi_stack_top),
        GUARDED_STACK("#MC stack", ist_mc_stack, ist_mc_guard, ist_mc_stack_top),
        GUARDED_STACK("#DB stack", ist_db_stack, ist_db_guard, ist_db_stack_top),
        {.what = NULL},
};

static const char *const names[TRAP_EXCEPTIONS] = {
        [0] = "divide error",
        [TRAP_DEBUG] = "debug exception",
        [TRAP_NMI] = "non-maskable interrupt",
        [TRAP_BREAKPOINT] = "breakpoint",
        [4] = "overflow",
        [5] = "bound range exceeded",
        [TRAP_INVALID_OPCODE] = "invalid opcode",
        [7] = "device not available",
        [TRAP_DOUBLE_FAULT] = "double fault",
        [TRAP_INVALID_TSS] = "invalid TSS",
        [11] = "segment not present",
        [TRAP_STACK_SEGMENT] = "stack-segment fault",
        [TRAP_GENERAL_PROTECTION] = "general protection fault",
        [TRAP_PAGE_FAULT] = "page fault",
        [16] = "x87 floating-point error",
        [17] = "alignment check",
        [TRAP_MACHINE_CHECK] = "machine check",
        [19] = "SIMD floating-point error",
        [20] = "virtualization exception",
        [21] = "control protection exception",
};

const char *trap_name(unsigned vector)
{
	if (vector >= TRAP_EXCEPTIONS)
		return "interrupt";
	return names[vector] ? names[vector] : "reserved exception";
}

void irq_register(unsigned vector, void (*handler)(struct trap_frame *frame))
{
	if (vector < TRAP_EXCEPTIONS || vector >= TRAP_VECTORS)
		panic("irq_register: vector %u is no interrupt's", vector);
	handlers[vector] = handler;
}

/* linker.ld: every sequence that <arch/cpu_stack.h> put into the code. Each is a few instructions; there are about ten. */
struct restart_range {
	uint64_t start, end;
};
extern const struct restart_range restart_ranges[], restart_ranges_end[];

void restart_interrupted_sequence(struct trap_frame *frame)
{
	for (const struct restart_range *range = restart_ranges; range < restart_ranges_end; range++) {
		if (frame->rip - range->start < range->end - range->start)
			frame->rip = range->start;
	}
}

void trap_entry(struct trap_frame *frame)
{
	unsigned vector = (unsigned)frame->vector;

	if (vector >= TRAP_EXCEPTIONS)
		restart_interrupted_sequence(frame);
	if (vector < TRAP_EXCEPTIONS)
		trap_handle(frame);
	else if (pic_is_spurious(vector))
		return;
	else if (handlers[vector])
		handlers[vector](frame);
	else
		warn("interrupt: vector %u has no handler", vector);
}

void arch_init_early(void)
{
	gdt_init();
	idt_init();
	cpu_init_features();
	pic_init();
}
