/*
 * Does a sweep see what it looks for? A stack of the suite's own is popped in a way that is not sound and in two that
 * are, by the call and by whoever interrupts it. And: does it meet each boundary?
 */
#include "stepper.h"
#include "timer_before.h"
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <arch/trap.h>
#include <test/test.h>

enum { ITEMS = 40 };

static struct {
	volatile size_t top;
	unsigned items[ITEMS];        /* item n is n */
	unsigned times_popped[ITEMS]; /* by call and handler */
} stack;

static unsigned pop(void)
{
	size_t top = stack.top - 1;
	unsigned item = stack.items[top];

	stack.top = top; /* whoever came in between has the same item */
	return item;
}

static void pop_in_handler(void)
{
	stack.times_popped[pop()]++;
}

static unsigned popped; /* by the call */

static void call_pop(void)
{
	popped = pop();
}

static void call_pop_masked(void)
{
	irqflags_t flags = irq_save();

	popped = pop();
	irq_restore(flags);
}

/* The same as a sequence that is restarted: its last instruction alone changes anything. */
unsigned restartable_pop(volatile size_t *top, const unsigned *items);
extern const char restartable_pop_end[];
__asm__(".pushsection .text; .type restartable_pop, @function\n"
        "restartable_pop:\n\t"
        "movq	(%rdi), %rax\n\t"
        "decq	%rax\n\t"
        "movl	(%rsi, %rax, 4), %ecx\n\t"
        "movq	%rax, (%rdi)\n"
        "restartable_pop_end:\n\t"
        "movl	%ecx, %eax\n\t"
        "ret\n"
        ".popsection");

static void restart_pop(struct trap_frame *frame)
{
	if (frame->rip - (uintptr_t)restartable_pop <
	    (uintptr_t)restartable_pop_end - (uintptr_t)restartable_pop)
		frame->rip = (uintptr_t)restartable_pop;
}

static void call_pop_restartable(void)
{
	popped = restartable_pop(&stack.top, stack.items);
}

/* One run over a full stack. Counts the items that were popped twice. */
static bool pop_interrupted(void (*call)(void), size_t due, size_t stride, size_t *collisions)
{
	for (unsigned i = 0; i < ITEMS; i++) {
		stack.items[i] = i;
		stack.times_popped[i] = 0;
	}
	stack.top = ITEMS;
	bool met = step_call(call, due, stride);
	stack.times_popped[popped]++;
	for (unsigned i = 0; i < ITEMS; i++)
		*collisions += stack.times_popped[i] > 1;
	return met;
}

/* The sweep has begun. */
static size_t sweep_pop(void (*call)(void))
{
	const struct step_counts *counts = step_counts();
	size_t collisions = 0;

	for (size_t due = 0; pop_interrupted(call, due, 0, &collisions); due++)
		;
	test_note("%zu boundaries, %zu restarts, %zu collisions", counts->interrupted, counts->restarts,
	          collisions);
	assert_sound(step_broken());
	return collisions;
}

static void a_stack_that_two_instructions_pop_is_found_out(void)
{
	step_begin(pop_in_handler);
	size_t collisions = sweep_pop(call_pop);

	assert_at_least(collisions, 1);
	/* Before the first instruction and after the last it is sound. */
	assert_at_most(collisions, step_counts()->interrupted - 2);
}

static void the_same_stack_with_interrupts_masked_is_sound(void)
{
	step_begin(pop_in_handler);
	assert_int_equal(sweep_pop(call_pop_masked), 0);
	assert_at_least(step_counts()->interrupted, 2);
	assert_at_least(step_measure(call_pop_masked).masked, 2);
}

/* The sequence has three boundaries inside: behind each instruction but the last. */
static void the_same_stack_popped_by_a_sequence_that_is_restarted_is_sound(void)
{
	step_begin_with(pop_in_handler, restart_pop);
	assert_int_equal(sweep_pop(call_pop_restartable), 0);
	assert_int_equal(step_counts()->restarts, 3);

	step_begin(pop_in_handler); /* knows nothing of this sequence */
	assert_at_least(sweep_pop(call_pop_restartable), 1);
}

static void a_run_interrupted_everywhere_gets_out_of_a_restarted_sequence(void)
{
	size_t collisions = 0;

	step_begin_with(pop_in_handler, restart_pop);
	pop_interrupted(call_pop_restartable, 0, 1, &collisions);
	assert_int_equal(collisions, 0);
	assert_int_equal(step_counts()->restarts, 3);
	assert_at_least(step_counts()->repeated, 3);
	assert_sound(step_broken());
}

static void count_only(void)
{
}

static unsigned runs_begun;

static void call_nothing(void)
{
	runs_begun++;
	__asm__ volatile("nop; nop; cli; nop; nop; nop; sti; nop; nop");
}

/* `count_only` changes nothing, so each boundary is met once, whichever way. */
static void each_way_to_sweep_meets_each_boundary(void)
{
	step_begin(count_only);
	struct step_length length = step_measure(call_nothing);
	assert_at_least(length.masked,
	                4); /* behind cli and three times nop; behind sti if that can be seen */
	assert_at_most(length.masked, 5);
	assert_at_least(length.open, 6);
	assert_int_equal(step_counts()->interrupted, 0);

	step_begin(count_only);
	step_call(call_nothing, 0, 1);
	assert_int_equal(step_counts()->interrupted, length.open);

	step_begin(count_only);
	runs_begun = 0;
	for (size_t due = 0; step_call(call_nothing, due, 0); due++)
		assert_int_equal(step_last(), due);
	assert_int_equal(step_counts()->interrupted, length.open);
	assert_int_equal(runs_begun, length.open + 1);

	step_begin(count_only);
	for (size_t due = 0; due < 3; due++)
		step_call(call_nothing, due, 3);
	assert_int_equal(step_counts()->interrupted, length.open);
	assert_false(in_interrupt());
}

/* ---- Around each case ---- */

static void set_up(void)
{
	remember_timer();
	timer_stop(); /* what it interrupts would not be what is counted */
	irq_enable();
}

static void tear_down(void)
{
	step_end();
	put_timer_back();
}

static const struct test_case cases[] = {
        TEST_CASE(each_way_to_sweep_meets_each_boundary),
        TEST_CASE(a_stack_that_two_instructions_pop_is_found_out),
        TEST_CASE(the_same_stack_with_interrupts_masked_is_sound),
        TEST_CASE(the_same_stack_popped_by_a_sequence_that_is_restarted_is_sound),
        TEST_CASE(a_run_interrupted_everywhere_gets_out_of_a_restarted_sequence),
};

extern const struct test_suite stepper_suite;
const struct test_suite stepper_suite =
        TEST_SUITE("stepper", cases, .set_up = set_up, .tear_down = tear_down);
