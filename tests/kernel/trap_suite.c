/* Exceptions and interrupts of a real processor: the right vector, the right error code, and nothing left behind. */
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <arch/percpu.h>
#include <arch/trap.h>
#include <kernel/panic.h>
#include <kernel/symbols.h>
#include <lib/panic.h>
#include <mm/vmalloc.h>
#include "expect_fault.h"
#include "timer_before.h"

/* No mapping is ever near the middle of the hole below the kernel image. */
#define ABSENT ((void *)0xfffff00000000000UL)

static void divide_by_zero(void)
{
	__asm__ volatile("xorl %%ecx, %%ecx; xorl %%edx, %%edx; divl %%ecx" : : "a"(1) : "ecx", "edx", "cc");
}

static void division_by_zero_is_a_divide_error(void)
{
	expect_fault(TRAP_DIVIDE, divide_by_zero());
}

static void an_undefined_instruction_is_an_invalid_opcode(void)
{
	expect_fault(TRAP_INVALID_OPCODE, __asm__ volatile("ud2"));
}

static void int3_is_a_breakpoint_and_lies_before_the_saved_rip(void)
{
	expect_fault(TRAP_BREAKPOINT, __asm__ volatile("int3"));
	assert_int_equal(touch_read((const void *)(expected_fault.frame.rip - 1)), 0xcc);
}

static void an_unexpected_breakpoint_is_mentioned_and_passed(void)
{
	expect_warning("breakpoint at *", __asm__ volatile("int3"));
	assert_int_equal(this_cpu()->interrupt_depth, 0);
}

static void a_single_step_is_mentioned_once_on_the_debug_stack(void)
{
	expect_warning("debug exception at *", __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop"
	                                                        :
	                                                        :
	                                                        : "cc", "memory"));
	assert_int_equal(this_cpu()->interrupt_depth, 0);
}

static void a_non_canonical_address_is_a_general_protection_fault_with_error_0(void)
{
	uint64_t half = 1UL << (pt_address_bits(paging_levels()) - 1);

	expect_fault(TRAP_GENERAL_PROTECTION, touch_read((const void *)half));
	assert_int_equal(expected_fault.frame.error, 0);
	expect_fault(TRAP_GENERAL_PROTECTION, touch_read((const void *)(-half - 1)));
	expect_page_fault(half - 1, 0, touch_read((const void *)(half - 1)));
}

static void a_bad_selector_is_named_in_the_error_code(void)
{
	expect_fault(TRAP_GENERAL_PROTECTION, __asm__ volatile("movl %0, %%es" : : "r"(0x1230)));
	assert_int_equal(expected_fault.frame.error, 0x1230);
}

static void page_faults_tell_reading_writing_and_executing_apart(void)
{
	expect_page_fault(ABSENT, 0, touch_read(ABSENT));
	expect_page_fault(ABSENT, FAULT_WRITE, *(volatile uint8_t *)ABSENT = 1);
	expect_page_fault(ABSENT, FAULT_FETCH, touch_execute(ABSENT));
	assert_int_equal(expected_fault.frame.rip, (uintptr_t)ABSENT);
}

static void the_frame_holds_the_registers_of_the_fault(void)
{
	expect_fault(TRAP_INVALID_OPCODE,
	             __asm__ volatile("movq $0x1111, %%r8; movq $0x2222, %%rsi; movq $0x3333, %%rdx; ud2"
	                              :
	                              :
	                              : "r8", "rsi", "rdx"));
	assert_int_equal(expected_fault.frame.r8, 0x1111);
	assert_int_equal(expected_fault.frame.rsi, 0x2222);
	assert_int_equal(expected_fault.frame.rdx, 0x3333);
}

static void a_handler_returns_with_every_register_as_it_was(void)
{
	uint64_t sum = 0;

	test_warnings_begin();
	__asm__ volatile(
	        "movq $1, %%rbx; movq $2, %%rcx; movq $4, %%rdx; movq $8, %%rsi; movq $16, %%rdi\n\t"
	        "movq $32, %%r8; movq $64, %%r9; movq $128, %%r10; movq $256, %%r11; movq $512, %%r12\n\t"
	        "movq $1024, %%r13; movq $2048, %%r14; movq $4096, %%r15; movq $8192, %%rax\n\t"
	        "int3\n\t"
	        "addq %%rbx, %%rax; addq %%rcx, %%rax; addq %%rdx, %%rax; addq %%rsi, %%rax\n\t"
	        "addq %%rdi, %%rax; addq %%r8, %%rax; addq %%r9, %%rax; addq %%r10, %%rax\n\t"
	        "addq %%r11, %%rax; addq %%r12, %%rax; addq %%r13, %%rax; addq %%r14, %%rax\n\t"
	        "addq %%r15, %%rax"
	        : "=a"(sum)
	        :
	        : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	          "cc", "memory");
	assert_int_equal(test_warnings_end(), 1);
	assert_int_equal(sum, 16383);
}

static void an_expected_fault_prints_nothing_and_leaves_no_nesting(void)
{
	unsigned long warnings = warn_count();

	for (unsigned i = 0; i < 100; i++) {
		expect_page_fault(ABSENT, 0, touch_read(ABSENT));
		assert_int_equal(this_cpu()->interrupt_depth, 0);
		assert_false(in_interrupt());
	}
	assert_int_equal(warn_count(), warnings);
}

static void an_expected_fault_restores_the_interrupt_flag(void)
{
	bool enabled = irqs_enabled();

	irq_enable();
	expect_fault(TRAP_INVALID_OPCODE, __asm__ volatile("ud2"));
	assert_true(irqs_enabled());
	irq_disable();
	expect_fault(TRAP_INVALID_OPCODE, __asm__ volatile("ud2"));
	assert_false(irqs_enabled());
	if (enabled)
		irq_enable();
}

static void a_panic_can_be_expected_and_its_text_read(void)
{
	expect_panic("seven times seven is 49 at 0x00000000deadbeef",
	             panic("seven times %s is %d at %p", "seven", 49, (void *)0xdeadbeefUL));
	assert_false(in_interrupt());
}

static void an_expectation_serves_once(void)
{
	panic_expect(&expected_fault);
	assert_ptr_equal(panic_take_expectation(), &expected_fault);
	assert_null(panic_take_expectation());
}

/* ---- Interrupts ---- */

static volatile unsigned ticks, ticks_in_interrupt, ticks_enabled;
static volatile unsigned deepest;
static void (*volatile in_tick)(void);

static void tick(void)
{
	ticks++;
	ticks_in_interrupt += in_interrupt();
	ticks_enabled += irqs_enabled();
	if (this_cpu()->interrupt_depth > deepest)
		deepest = this_cpu()->interrupt_depth;
	if (in_tick)
		in_tick();
}

static void set_up(void)
{
	remember_timer();
	ticks = ticks_in_interrupt = ticks_enabled = deepest = 0;
	in_tick = NULL;
}

static void tear_down(void)
{
	in_tick = NULL;
	put_timer_back();
}

/* Waits at most some seconds, whatever the clock of the machine. */
static void wait_for_ticks(unsigned count)
{
	uint64_t start = rdtsc();
	while (ticks < count && rdtsc() - start < 1UL << 34)
		__asm__ volatile("pause");
	assert_at_least(ticks, count);
}

static void the_timer_ticks_in_interrupt_context_with_interrupts_masked(void)
{
	timer_start(1000, tick);
	irq_enable();
	wait_for_ticks(10);
	timer_stop();
	irq_disable();
	assert_int_equal(ticks_in_interrupt, ticks);
	assert_int_equal(ticks_enabled, 0);
	assert_int_equal(deepest, 1);
	assert_false(in_interrupt());
}

static void a_stopped_timer_does_not_tick(void)
{
	timer_start(1000, tick);
	irq_enable();
	wait_for_ticks(1);
	timer_stop();
	unsigned after = ticks;
	for (uint64_t start = rdtsc(); rdtsc() - start < 1UL << 24;)
		;
	assert_int_equal(ticks, after);
}

static void masked_interrupts_wait(void)
{
	timer_start(1000, tick);
	irqflags_t flags = irq_save();
	unsigned before = ticks;
	for (uint64_t start = rdtsc(); rdtsc() - start < 1UL << 24;)
		;
	assert_int_equal(ticks, before);
	irq_restore(flags);
	irq_enable();
	wait_for_ticks(before + 1);
}

static volatile unsigned faults_in_tick;

/* A fault, expected, in a handler: comes back inside it. */
static void fault_in_tick(void)
{
	static struct expectation nested;

	in_tick = NULL;
	if (!context_save(&nested.context)) {
		panic_expect(&nested);
		touch_read(ABSENT);
	} else if (nested.faulted && nested.frame.vector == TRAP_PAGE_FAULT && in_interrupt() &&
	           !irqs_enabled()) {
		faults_in_tick++;
	}
}

static void a_fault_in_an_interrupt_handler_is_survived_inside_it(void)
{
	faults_in_tick = 0;
	in_tick = fault_in_tick;
	timer_start(1000, tick);
	irq_enable();
	wait_for_ticks(5);
	assert_int_equal(faults_in_tick, 1);
	assert_false(in_interrupt());
}

/* Makes a mistake in the next tick, and none in later ones. Called where its report is expected, and not before: a tick
 * may come at any instruction. */
static void make_in_tick(void (*mistake)(void))
{
	in_tick = mistake;
	wait_for_ticks(100000);
}

static void divide_in_tick(void)
{
	in_tick = NULL;
	divide_by_zero();
}

/* Armed outside, met inside: leaves the handler altogether, and the timer must go on. */
static void a_fault_expected_outside_leaves_the_handler(void)
{
	timer_start(1000, tick);
	irq_enable();
	expect_fault(TRAP_DIVIDE, make_in_tick(divide_in_tick));
	assert_false(in_interrupt());
	assert_true(irqs_enabled());
	wait_for_ticks(ticks + 5);
}

static void misuse_in_tick(void)
{
	in_tick = NULL;
	vfree(vmalloc(PAGE_SIZE));
}

static void vmalloc_in_an_interrupt_is_reported(void)
{
	timer_start(1000, tick);
	irq_enable();
	expect_panic("vmalloc: in interrupt context, from misuse_in_tick+0x*", make_in_tick(misuse_in_tick));
	assert_false(in_interrupt());
	wait_for_ticks(ticks + 2);
}

static void *area_to_free;

static void vfree_in_tick(void)
{
	in_tick = NULL;
	vfree(area_to_free);
}

static void an_area_may_be_freed_in_an_interrupt(void)
{
	vm_unmap_aliases();
	size_t pages_before = vmalloc_stats().nr_pages;

	area_to_free = vmalloc(5 * PAGE_SIZE);
	assert_non_null(area_to_free);
	timer_start(1000, tick);
	irq_enable();
	in_tick = vfree_in_tick;
	wait_for_ticks(ticks + 3);
	assert_null(in_tick);
	assert_int_equal(vmalloc_stats().nr_pages, pages_before + 5); /* marked only */
	vm_unmap_aliases();
	assert_int_equal(vmalloc_stats().nr_pages, pages_before);
}

static void an_interrupt_without_a_handler_is_mentioned_and_passed(void)
{
	expect_warning("interrupt: vector 200 has no handler", __asm__ volatile("int $200"));
	assert_int_equal(this_cpu()->interrupt_depth, 0);
}

static struct trap_frame seen_frame;

static void remember_frame(struct trap_frame *frame)
{
	seen_frame = *frame;
}

enum { FIRST_FREE_VECTOR = 48, SPURIOUS_VECTOR = 39, SPURIOUS_VECTOR_2 = 47 }; /* 32 to 47 are the 8259s' */

/* `int n; ret` in 4 bytes, for each free vector. */
extern const uint8_t raise_vector[];
__asm__(".pushsection .text; .balign 4\n"
        "raise_vector: .set vector, 48\n"
        ".rept 192; .byte 0xcd, vector, 0xc3, 0xcc; .set vector, vector + 1; .endr\n"
        ".popsection");

static void every_free_vector_reaches_its_handler(void)
{
	for (unsigned vector = FIRST_FREE_VECTOR; vector < TRAP_IRQ_VECTORS; vector++) {
		irq_register(vector, remember_frame);
		touch_execute(&raise_vector[4 * (vector - FIRST_FREE_VECTOR)]);
		irq_register(vector, NULL);
		assert_int_equal(seen_frame.vector, vector);
		assert_int_equal(seen_frame.error, 0);
	}
}

static void a_spurious_interrupt_is_passed_over_in_silence(void)
{
	unsigned long warnings = warn_count();

	__asm__ volatile("int %0; int %1" : : "i"(SPURIOUS_VECTOR), "i"(SPURIOUS_VECTOR_2));
	assert_int_equal(warn_count(), warnings);
	assert_int_equal(this_cpu()->interrupt_depth, 0);
}

/* As the processor reads it: Intel SDM vol. 3A, section 6.14.1. */
struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

static void every_vector_has_an_interrupt_gate_and_four_have_stacks_of_their_own(void)
{
	enum { PRESENT_INTERRUPT_GATE = 0x8e };
	struct PACKED {
		uint16_t limit;
		const struct gate *gates;
	} idt;
	unsigned stacks = 0;

	__asm__ volatile("sidt %0" : "=m"(idt));
	assert_int_equal(idt.limit, TRAP_VECTORS * sizeof(struct gate) - 1);
	for (unsigned vector = 0; vector < TRAP_VECTORS; vector++) {
		const struct gate *gate = &idt.gates[vector];
		bool apart = vector == TRAP_DOUBLE_FAULT || vector == TRAP_NMI ||
		             vector == TRAP_MACHINE_CHECK || vector == TRAP_DEBUG;
		assert_int_equal(gate->type, PRESENT_INTERRUPT_GATE);
		assert_int_equal(gate->ist != 0, apart);
		assert_false(stacks & apart << gate->ist);
		stacks |= apart << gate->ist;
	}
}

static void registering_a_handler_for_an_exception_is_a_mistake(void)
{
	expect_panic("irq_register: vector 14 is no interrupt's", irq_register(14, remember_frame));
	expect_panic("irq_register: vector 240 is no interrupt's", irq_register(240, remember_frame));
	expect_panic("irq_register: vector 256 is no interrupt's", irq_register(256, remember_frame));
}

static void a_rate_that_the_timer_cannot_keep_is_a_mistake(void)
{
	expect_panic("timer_start: 18 Hz is not in [19, 596591]", timer_start(18, tick));
	expect_panic("timer_start: 596592 Hz is not in [19, 596591]", timer_start(596592, tick));
}

/* ---- Reports ---- */

static NOINLINE void print_here(struct printer *out)
{
	backtrace_print(out, 0, (uint64_t)__builtin_frame_address(0));
	__asm__ volatile(""); /* no tail call: this frame must still be there */
}

static void a_backtrace_names_functions_and_stops_at_the_first_one(void)
{
	static char text[2048];
	struct buffer_printer buffer;

	if (!symbol_address("kernel_main"))
		test_skip("the loader handed over no symbols");
	buffer_printer_init(&buffer, text, sizeof(text));
	buffer.printer.symbol = symbol_find;
	print_here(&buffer.printer);
	assert_matches(text,
	               "Backtrace:\n   0  0x* a_backtrace_names_*selftest_run+0x*kernel_main+0x*entry+0x*\n");
	assert_at_most(buffer.length, sizeof(text) - 1);
}

static void a_backtrace_of_frames_that_form_a_ring_ends(void)
{
	static char text[2048];
	struct buffer_printer buffer;
	uint64_t ring[4] = {(uintptr_t)&ring[2], 0x1111, (uintptr_t)&ring[0], 0x1111};

	buffer_printer_init(&buffer, text, sizeof(text));
	backtrace_print(&buffer.printer, 0, (uintptr_t)ring);
	assert_matches(text, "Backtrace:\n   0  0x0000000000001111*\n      ... * times more\n");
	ring[1] = 0x2222;
	buffer_printer_init(&buffer, text, sizeof(text));
	backtrace_print(&buffer.printer, 0, (uintptr_t)ring);
	assert_matches(text, "Backtrace:\n   0  0x0000000000002222*\n  ... and so on\n");
}

static void symbols_are_found_both_ways(void)
{
	uintptr_t offset;

	if (!symbol_address("kernel_main"))
		test_skip("the loader handed over no symbols");
	assert_ptr_equal(symbol_address("symbol_find"), symbol_find);
	assert_string_equal(symbol_find((uintptr_t)symbol_find + 3, &offset), "symbol_find");
	assert_int_equal(offset, 3);
	assert_int_equal(symbol_address("no_such_function"), 0);
	assert_null(symbol_find(1, &offset));
	assert_null(symbol_find((uintptr_t)&expected_fault, &offset));
}

static const struct test_case cases[] = {
        TEST_CASE(division_by_zero_is_a_divide_error),
        TEST_CASE(an_undefined_instruction_is_an_invalid_opcode),
        TEST_CASE(int3_is_a_breakpoint_and_lies_before_the_saved_rip),
        TEST_CASE(an_unexpected_breakpoint_is_mentioned_and_passed),
        TEST_CASE(a_single_step_is_mentioned_once_on_the_debug_stack),
        TEST_CASE(a_non_canonical_address_is_a_general_protection_fault_with_error_0),
        TEST_CASE(a_bad_selector_is_named_in_the_error_code),
        TEST_CASE(page_faults_tell_reading_writing_and_executing_apart),
        TEST_CASE(the_frame_holds_the_registers_of_the_fault),
        TEST_CASE(a_handler_returns_with_every_register_as_it_was),
        TEST_CASE(an_expected_fault_prints_nothing_and_leaves_no_nesting),
        TEST_CASE(an_expected_fault_restores_the_interrupt_flag),
        TEST_CASE(a_panic_can_be_expected_and_its_text_read),
        TEST_CASE(an_expectation_serves_once),
        TEST_CASE(the_timer_ticks_in_interrupt_context_with_interrupts_masked),
        TEST_CASE(a_stopped_timer_does_not_tick),
        TEST_CASE(masked_interrupts_wait),
        TEST_CASE(a_fault_in_an_interrupt_handler_is_survived_inside_it),
        TEST_CASE(a_fault_expected_outside_leaves_the_handler),
        TEST_CASE(vmalloc_in_an_interrupt_is_reported),
        TEST_CASE(an_area_may_be_freed_in_an_interrupt),
        TEST_CASE(an_interrupt_without_a_handler_is_mentioned_and_passed),
        TEST_CASE(every_free_vector_reaches_its_handler),
        TEST_CASE(a_spurious_interrupt_is_passed_over_in_silence),
        TEST_CASE(every_vector_has_an_interrupt_gate_and_four_have_stacks_of_their_own),
        TEST_CASE(registering_a_handler_for_an_exception_is_a_mistake),
        TEST_CASE(a_rate_that_the_timer_cannot_keep_is_a_mistake),
        TEST_CASE(a_backtrace_names_functions_and_stops_at_the_first_one),
        TEST_CASE(a_backtrace_of_frames_that_form_a_ring_ends),
        TEST_CASE(symbols_are_found_both_ways),
};

const struct test_suite trap_suite = TEST_SUITE("trap", cases, .set_up = set_up, .tear_down = tear_down);
