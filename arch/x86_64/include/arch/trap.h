/*
 * Exceptions and interrupts as C sees them. trap.asm saves a frame and calls trap_entry(), which counts nesting and
 * passes exceptions up to trap_handle() (declared here, defined in kernel/fault.c) and device interrupts to their
 * handlers.
 */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include <lib/addr.h>
#include <lib/compiler.h>

enum {
	TRAP_DIVIDE = 0,
	TRAP_DEBUG = 1,
	TRAP_NMI = 2,
	TRAP_BREAKPOINT = 3,
	TRAP_INVALID_OPCODE = 6,
	TRAP_DOUBLE_FAULT = 8,
	TRAP_INVALID_TSS = 10,
	TRAP_STACK_SEGMENT = 12,
	TRAP_GENERAL_PROTECTION = 13,
	TRAP_PAGE_FAULT = 14,
	TRAP_MACHINE_CHECK = 18,
	TRAP_EXCEPTIONS = 32,   /* vectors below are the processor's */
	TRAP_IRQ_VECTORS = 240, /* those from here on are the local APICs' */
	TRAP_VECTORS = 256,
};

/* Page-fault error code. Do not rely on PRESENT when RESERVED is set: emulators differ. */
enum {
	FAULT_PRESENT = 1 << 0,
	FAULT_WRITE = 1 << 1,
	FAULT_USER = 1 << 2,
	FAULT_RESERVED = 1 << 3,
	FAULT_FETCH = 1 << 4,
};

/* As trap.asm pushes it, lowest address first. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss; /* the processor's part */
};

/*
 * Installs GDT, TSS with guarded IST stacks for #DF, NMI, #MC and #DB, the IDT, GS, and the boot CPU's struct cpu. From
 * here on a fault prints instead of rebooting. The guards below the stacks become real when mm_init() switches to the
 * final page tables, which leave them unmapped.
 */
void arch_init_early(void);

/* An exception. Returns only if the frame may be resumed (an expected fault redirected it). Defined in kernel/. */
void trap_handle(struct trap_frame *frame);

/* `handler` runs in interrupt context with interrupts masked. TRAP_EXCEPTIONS <= vector < TRAP_IRQ_VECTORS. */
void irq_register(unsigned vector, void (*handler)(struct trap_frame *frame));

/*
 * If the interrupted instruction lies inside a restartable sequence of <arch/cpu_stack.h>, it begins anew when the
 * handler returns. Done before each interrupt handler; an exception's handler that allocates or frees must call it too,
 * and one that only looks must not: who steps would never get out of a sequence.
 */
void restart_interrupted_sequence(struct trap_frame *frame);

/* Set: a debug exception after each instruction. The processor clears it for handlers; iretq brings it back. */
#define RFLAGS_TF (1UL << 8)

/*
 * `hook` sees every debug exception before anyone else does, in interrupt context with interrupts masked, on the #DB
 * stack; it returns true for one that it wanted, else trap_handle() has it. To go on stepping it leaves RFLAGS_TF set
 * in the frame, to stop it clears it. And it sees each interrupt after its handler, so that stepping may begin where
 * interrupts are served again. One hook for all CPUs. NULL ends it.
 */
void debug_step_hook(bool (*hook)(struct trap_frame *frame));

/* True once arch_init_early() has set GS: this_cpu() may be used. */
bool arch_is_ready(void);

/* "page fault", "double fault", …; never NULL. */
const char *trap_name(unsigned vector);

/* Every CPU has these stacks; all but the first are where the processor goes for the exception in the name. */
enum stack_kind {
	STACK_KERNEL,
	STACK_DOUBLE_FAULT,
	STACK_NMI,
	STACK_MACHINE_CHECK,
	STACK_DEBUG,
	CPU_STACKS,
};

/* A stack and the unmapped page below it; `what` is "kernel stack", "#DF stack", …. */
struct guarded_stack {
	const char *what;
	unsigned cpu;
	struct vrange guard;
	struct vrange stack;
};

/* The n-th stack of all CPUs, or NULL: CPU_STACKS a CPU, in the order of ids and of enum stack_kind. */
const struct guarded_stack *guarded_stack(unsigned n);

/* The stack that holds `va`; and the one whose guard page does. NULL if none. Any context. */
const struct guarded_stack *stack_at(vaddr_t va);
const struct guarded_stack *stack_guarded_at(vaddr_t va);

#endif
