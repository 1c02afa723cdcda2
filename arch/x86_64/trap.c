/*
 * From a trap frame to whoever is responsible: exceptions go up to trap_handle(), interrupts to the handler registered
 * for their vector or to the local APIC. An interrupt that nobody asked for is mentioned, never fatal. An NMI by which a
 * reporting CPU stops the others goes nowhere: it ends here.
 */
#include <arch/bringup.h>
#include <arch/cpu.h>
#include <lib/panic.h>
#include "x86_internal.h"

static void (*handlers[TRAP_VECTORS])(struct trap_frame *frame);

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
	if (vector < TRAP_EXCEPTIONS || vector >= TRAP_IRQ_VECTORS)
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
	for (const struct restart_range *range = restart_ranges; range != restart_ranges_end; range++) {
		if (frame->rip - range->start < range->end - range->start)
			frame->rip = range->start;
	}
}

static bool (*step_hook)(struct trap_frame *frame);

void debug_step_hook(bool (*hook)(struct trap_frame *frame))
{
	step_hook = hook;
}

static void interrupt_handle(unsigned vector, struct trap_frame *frame)
{
	if (vector >= TRAP_IRQ_VECTORS)
		apic_interrupt(vector);
	else if (pic_is_spurious(vector))
		return;
	else if (handlers[vector])
		handlers[vector](frame);
	else
		warn("interrupt: vector %u has no handler", vector);
}

void trap_entry(struct trap_frame *frame)
{
	unsigned vector = (unsigned)frame->vector;

	if (vector == TRAP_NMI && cpu_must_park())
		cpu_park();
	if (vector >= TRAP_EXCEPTIONS)
		restart_interrupted_sequence(frame);
	if (vector == TRAP_DEBUG && step_hook && step_hook(frame))
		return;
	if (vector < TRAP_EXCEPTIONS) {
		trap_handle(frame);
		return;
	}
	interrupt_handle(vector, frame);
	if (unlikely(step_hook))
		(void)step_hook(frame);
}

void arch_init_early(void)
{
	stacks_register_boot();
	gdt_init(0);
	idt_init();
	cpu_init_features();
	pic_init();
}
