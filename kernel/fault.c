/*
 * An exception, explained: what happened, at which address, what lies there, how the kernel came to it.
 *
 * Works at every stage of boot and on every stack. A report reads only what it has checked to be mapped: the CPUs'
 * stacks, the tables below CR3, and what mm_describe_address() takes care of. Running off a stack arrives as
 * a double fault, because the processor finds no room for the page fault's frame; CR2 then still tells where.
 */
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/page.h>
#include <arch/trap.h>
#include <kernel/console.h>
#include <kernel/panic.h>
#include <lib/panic.h>
#include <mm/mm.h>
#include <mm/pagetable.h>

/* In an error code that is a selector. */
enum { ERROR_IDT = 1 << 1, ERROR_LDT = 1 << 2 };

/* ---- Which stack ---- */

/*
 * The overflowed stack, or NULL. A call or push may have moved RSP without CR2 knowing, and the reverse. A page fault in
 * a guard is a stray pointer: its frame did find room.
 */
static const struct guarded_stack *overflowed_stack(const struct trap_frame *frame)
{
	if (frame->vector != TRAP_DOUBLE_FAULT)
		return NULL;
	const struct guarded_stack *stack = stack_guarded_at(read_cr2());
	return stack ? stack : stack_guarded_at(vaddr(frame->rsp - 1));
}

static void explain_overflow(const struct trap_frame *frame, const struct guarded_stack *stack)
{
	vaddr_t lowest = vrange_contains(stack->guard, read_cr2()) ? read_cr2() : vaddr(frame->rsp);

	kprintf("Stack overflow: the %s of CPU %u [0x%lx, 0x%lx) of %lu bytes ran %lu bytes into its guard "
	        "page\n",
	        stack->what, stack->cpu, stack->stack.start.raw, stack->stack.end.raw,
	        vrange_size(stack->stack), stack->stack.start.raw - lowest.raw);
}

/* ---- What went wrong ---- */

static void explain_page_fault(const struct trap_frame *frame)
{
	uint64_t error = frame->error;
	vaddr_t va = read_cr2();
	const char *access = error & FAULT_FETCH ? "executing" : error & FAULT_WRITE ? "writing" : "reading";
	const char *why = error & FAULT_RESERVED  ? "a reserved bit is set in its page-table entry"
	                  : error & FAULT_PRESENT ? "its protection forbids that"
	                                          : "nothing is mapped there";

	if (va.raw < PAGE_SIZE)
		kprintf("NULL pointer + %lu: ", va.raw);
	kprintf("%s 0x%016lx in %s mode: %s\n", access, va.raw, error & FAULT_USER ? "user" : "kernel", why);
}

/* The processor does not say which address was not canonical; a register that is not is the likely one. */
static void explain_registers(const struct trap_frame *frame)
{
	static const struct {
		const char *name;
		size_t offset;
	} registers[] = {
#define REGISTER(name) {#name, offsetof(struct trap_frame, name)}
	        REGISTER(rax), REGISTER(rbx), REGISTER(rcx), REGISTER(rdx), REGISTER(rsi), REGISTER(rdi),
	        REGISTER(rbp), REGISTER(rsp), REGISTER(r8),  REGISTER(r9),  REGISTER(r10), REGISTER(r11),
	        REGISTER(r12), REGISTER(r13), REGISTER(r14), REGISTER(r15), REGISTER(rip),
#undef REGISTER
	};

	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		uint64_t value = *(const uint64_t *)((const char *)frame + registers[i].offset);
		if (!vaddr_is_canonical(vaddr(value), paging_levels()))
			kprintf("A non-canonical address? %s holds 0x%016lx\n", registers[i].name, value);
	}
}

/* #TS, #NP, #SS, #GP: the error code is a selector, or 0. Intel SDM vol. 3A, section 6.13. */
static void explain_protection_fault(const struct trap_frame *frame)
{
	uint64_t error = frame->error;

	if (error & ERROR_IDT)
		kprintf("Gate of vector %lu\n", error >> 3 & 0xff);
	else if (error)
		kprintf("Selector 0x%lx of the %s\n", error & 0xfff8, error & ERROR_LDT ? "LDT" : "GDT");
	else
		explain_registers(frame);
}

static void explain(const struct trap_frame *frame)
{
	const struct guarded_stack *stack = overflowed_stack(frame);

	if (stack)
		explain_overflow(frame, stack);
	else if (frame->vector == TRAP_PAGE_FAULT)
		explain_page_fault(frame);
	else if (frame->vector == TRAP_DOUBLE_FAULT)
		explain_registers(frame); /* is there a stack at all? */
	else if (frame->vector >= TRAP_INVALID_TSS && frame->vector <= TRAP_GENERAL_PROTECTION)
		explain_protection_fault(frame);
}

/* ---- The report ---- */

/* Three a line: 80 columns are all that a text screen has. */
static void print_registers(const struct trap_frame *f)
{
	kprintf("RIP %04lx:%016lx  %pS\n", f->cs, f->rip, (void *)f->rip);
	kprintf("RSP %04lx:%016lx  RFLAGS %08lx\n", f->ss, f->rsp, f->rflags);
	kprintf("RAX %016lx  RBX %016lx  RCX %016lx\n", f->rax, f->rbx, f->rcx);
	kprintf("RDX %016lx  RSI %016lx  RDI %016lx\n", f->rdx, f->rsi, f->rdi);
	kprintf("RBP %016lx  R8  %016lx  R9  %016lx\n", f->rbp, f->r8, f->r9);
	kprintf("R10 %016lx  R11 %016lx  R12 %016lx\n", f->r10, f->r11, f->r12);
	kprintf("R13 %016lx  R14 %016lx  R15 %016lx\n", f->r13, f->r14, f->r15);
	kprintf("CR0 %08lx  CR2 %016lx  CR3 %012lx  CR4 %08lx\n", read_cr0(), read_cr2().raw, read_cr3().raw,
	        read_cr4());
}

void describe_address(vaddr_t va)
{
	const struct guarded_stack *stack = stack_guarded_at(va);

	if (stack)
		kprintf("guard page of the %s of CPU %u", stack->what, stack->cpu);
	else
		mm_describe_address(va, &console);
}

/* A page fault's CR2, and an overflow's, are addresses worth looking up. */
static void print_address(const struct trap_frame *frame)
{
	if (frame->vector != TRAP_PAGE_FAULT && !overflowed_stack(frame))
		return;
	struct pagetable live = {.root = paddr(read_cr3().raw & PTE_ADDRESS), .levels = paging_levels()};
	vaddr_t va = read_cr2();

	kprintf("At 0x%016lx: ", va.raw);
	describe_address(va);
	kprintf("\nPage walk:\n");
	pagetable_dump_walk(&live, va, &console);
}

/*
 * Who went on at an address that cannot be executed has left its frame: a call left its return address on top of the
 * stack. Where that is no stack of ours, or the jump was none, rbp's frame is the next best.
 */
static bool was_called_into_nothing(const struct trap_frame *frame)
{
	if (frame->vector != TRAP_PAGE_FAULT || frame->rip != read_cr2().raw)
		return false;
	return stack_at(vaddr(frame->rsp)) && is_aligned(frame->rsp, sizeof(uint64_t));
}

static void print_backtrace(const struct trap_frame *frame)
{
	if (was_called_into_nothing(frame))
		kprintf("Called from %pS\n", (void *)*(const uint64_t *)frame->rsp);
	backtrace_print(&console, frame->rip, frame->rbp);
}

static NORETURN void report(const struct trap_frame *frame)
{
	unsigned vector = (unsigned)frame->vector;

	if (!report_begin()) {
		kprintf("%s within the report: RIP %016lx %pS CR2 %016lx\n", trap_name(vector), frame->rip,
		        (void *)frame->rip, read_cr2().raw);
		report_end();
	}
	kprintf("\nFAULT on CPU %u%s: %s (vector %u, error code 0x%lx)\n", this_cpu()->id,
	        this_cpu()->interrupt_depth > 1 ? ", in a handler" : "", trap_name(vector), vector,
	        frame->error);
	explain(frame);
	print_registers(frame);
	print_address(frame);
	print_backtrace(frame);
	report_end();
}

/* ---- Going on ---- */

/* Back through iretq, which also releases the interrupt stack; context_resume() finds the context in rdi. */
static void resume(struct trap_frame *frame, struct expectation *expected)
{
	expected->faulted = true;
	expected->frame = *frame;
	expected->address = read_cr2();
	this_cpu()->interrupt_depth = expected->interrupt_depth + 1; /* trap.asm takes one off */
	frame->rip = (uintptr_t)context_resume;
	frame->rdi = (uintptr_t)&expected->context;
	frame->rsp = expected->context.rsp;
	frame->rflags &= ~(RFLAGS_IF | RFLAGS_TF);
}

/* Exceptions that concern the machine, not what the interrupted code did. */
static bool is_asynchronous(unsigned vector)
{
	return vector == TRAP_NMI || vector == TRAP_MACHINE_CHECK;
}

void trap_handle(struct trap_frame *frame)
{
	unsigned vector = (unsigned)frame->vector;
	struct expectation *expected = is_asynchronous(vector) ? NULL : panic_take_expectation();

	if (expected) {
		resume(frame, expected);
	} else if (vector == TRAP_BREAKPOINT || vector == TRAP_DEBUG) {
		warn("%s at %pS", trap_name(vector), (void *)frame->rip);
		frame->rflags &= ~RFLAGS_TF;
	} else {
		report(frame);
	}
}
