/*
 * The debug build's lock bookkeeping: each rule broken once, and nothing broken by the report. The ranks are nobody else's,
 * and what the cases add to the graph of orders is forgotten after each.
 */
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/lock_graph.h>
#include <arch/spinlock.h>
#include <test/test.h>

enum { OUTER = 110, INNER = 120 };

static struct spinlock outer, inner;
static struct spinlock a, b, c; /* without a rank */
static irqflags_t flags_before;
static unsigned classes_before;
static uint32_t turns_before;

static void make_locks(void)
{
	spin_lock_init(&outer, "outer", OUTER);
	spin_lock_init(&inner, "inner", INNER);
	spin_lock_init(&a, "a", 0);
	spin_lock_init(&b, "b", 0);
	spin_lock_init(&c, "c", 0);
	classes_before = lock_graph_classes();
	turns_before = spin_turns_max;
	flags_before = irq_save();
}

static void let_go(void)
{
	spin_turns_max = turns_before;
	lock_graph_forget(classes_before);
	irq_restore(flags_before);
}

/* The places that reports name. */
static NOINLINE void take_first(struct spinlock *lock)
{
	spin_lock(lock);
}

static NOINLINE void take_second(struct spinlock *lock)
{
	spin_lock(lock);
}

static NOINLINE void give(struct spinlock *lock)
{
	spin_unlock(lock);
}

static void nest(struct spinlock *first, struct spinlock *second)
{
	take_first(first);
	take_second(second);
	give(second);
	give(first);
}

static void only_debug(void)
{
	if (!IS_DEBUG)
		test_skip("locks are watched in the debug build only");
}

static void a_lock_is_held_between_lock_and_unlock(void)
{
	only_debug();
	assert_false(spin_is_held(&outer));
	spin_lock(&outer);
	assert_true(spin_is_held(&outer));
	assert_int_equal(this_cpu()->held_locks, 1);
	spin_unlock(&outer);
	assert_false(spin_is_held(&outer));
	assert_int_equal(this_cpu()->held_locks, 0);
}

static void irqsave_masks_interrupts_and_restores_what_was(void)
{
	irq_enable();
	irqflags_t at_outer = spin_lock_irqsave(&outer);
	assert_false(irqs_enabled());
	irqflags_t at_inner = spin_lock_irqsave(&inner);
	spin_unlock_irqrestore(&inner, at_inner);
	assert_false(irqs_enabled());
	spin_unlock_irqrestore(&outer, at_outer);
	assert_true(irqs_enabled());
	irq_disable();
}

static void locks_may_be_let_go_in_any_order(void)
{
	only_debug();
	spin_lock(&outer);
	spin_lock(&inner);
	spin_unlock(&outer);
	assert_true(spin_is_held(&inner));
	assert_int_equal(this_cpu()->held_locks, 1);
	spin_unlock(&inner);
	assert_int_equal(this_cpu()->held_locks, 0);
}

static void a_held_lock_is_listed_with_the_place_where_it_was_taken(void)
{
	only_debug();
	take_first(&outer);
	take_second(&inner);
	assert_ptr_equal(this_cpu()->held[0], &outer);
	assert_ptr_equal(this_cpu()->held[1], &inner);
	assert_true(this_cpu()->held_at[0] - (uintptr_t)take_first < 256);
	assert_true(this_cpu()->held_at[1] - (uintptr_t)take_second < 256);
	give(&outer);
	assert_true(this_cpu()->held_at[0] - (uintptr_t)take_second < 256);
	assert_ptr_equal(lock_place(inner.owner_at), this_cpu()->held_at[0]);
	give(&inner);
}

static void each_lock_taken_is_counted_and_none_had_to_wait(void)
{
	only_debug();
	uint64_t taken = this_cpu()->counters[COUNT_LOCKS];
	uint64_t waited = this_cpu()->counters[COUNT_LOCKS_CONTENDED];
	nest(&outer, &inner);
	assert_int_equal(this_cpu()->counters[COUNT_LOCKS], taken + 2);
	assert_int_equal(this_cpu()->counters[COUNT_LOCKS_CONTENDED], waited);
}

/* ---- Mistakes ---- */

static void taking_a_lock_that_was_not_initialised_is_reported(void)
{
	static struct spinlock blank;

	only_debug();
	expect_panic("spin_lock: 0x*, taken at take_first+0x*, was not initialised", take_first(&blank));
}

static void taking_a_lock_twice_is_reported(void)
{
	only_debug();
	take_first(&outer);
	expect_panic(
	        "spin_lock: outer: already held by this CPU, taken at take_first+0x*, and now at take_second+0x*",
	        take_second(&outer));
	give(&outer);
}

static void taking_a_lower_rank_is_reported(void)
{
	only_debug();
	take_first(&inner);
	expect_panic("spin_lock: outer (rank 110) taken at take_second+0x* while holding inner (rank 120), "
	             "taken at take_first+0x*",
	             take_second(&outer));
	give(&inner);
	nest(&outer, &inner); /* the refused lock was not taken, its order not remembered */
}

static void taking_an_equal_rank_is_reported(void)
{
	struct spinlock twin;

	only_debug();
	spin_lock_init(&twin, "twin", INNER);
	take_first(&inner);
	expect_panic("spin_lock: twin (rank 120) taken at take_second+0x* while holding inner (rank 120), "
	             "taken at take_first+0x*",
	             take_second(&twin));
	give(&inner);
}

static void a_rank_is_compared_past_a_lock_without_one(void)
{
	only_debug();
	take_first(&inner);
	take_second(&a);
	expect_panic("spin_lock: outer (rank 110) taken at take_second+0x* while holding inner (rank 120), "
	             "taken at take_first+0x*",
	             take_second(&outer));
	give(&a);
	give(&inner);
}

static void taking_a_lock_with_interrupts_enabled_is_reported(void)
{
	only_debug();
	irq_enable();
	expect_panic("spin_lock: outer: interrupts are not masked at take_first+0x*", take_first(&outer));
	irq_disable();
}

static void unlocking_a_free_lock_is_reported(void)
{
	only_debug();
	expect_panic("spin_unlock: outer: not held, at give+0x*", give(&outer));
}

static void unlocking_another_cpus_lock_is_reported(void)
{
	only_debug();
	outer.owner = CPUS_MAX;
	outer.owner_at = (uint32_t)(uintptr_t)take_first;
	expect_panic("spin_unlock: outer: held by CPU 63, taken at take_first+0x0, not by CPU *, at give+0x*",
	             give(&outer));
	outer.owner = 0;
}

static void holding_too_many_locks_is_reported(void)
{
	static struct spinlock locks[HELD_LOCKS_MAX + 1];

	only_debug();
	for (unsigned i = 0; i <= HELD_LOCKS_MAX; i++)
		spin_lock_init(&locks[i], "many", (uint8_t)(OUTER + i));
	for (unsigned i = 0; i < HELD_LOCKS_MAX; i++)
		take_first(&locks[i]);
	expect_panic("spin_lock: many: this CPU holds 8 locks already, at take_second+0x*",
	             take_second(&locks[HELD_LOCKS_MAX]));
	for (unsigned i = 0; i < HELD_LOCKS_MAX; i++)
		give(&locks[i]);
}

/* As if CPU 63 held it. */
static void waiting_without_end_is_reported(void)
{
	only_debug();
	spin_turns_max = 1000;
	outer.next = 1;
	expect_panic("spin_lock: outer: waited for at take_second+0x* without end, though no CPU holds it",
	             take_second(&outer));
	outer.owner = CPUS_MAX;
	outer.owner_at = (uint32_t)(uintptr_t)take_first;
	expect_panic("spin_lock: outer: waited for at take_second+0x* without end: CPU 63 holds it, "
	             "taken at take_first+0x0",
	             take_second(&outer));
}

/* ---- The graph of orders ---- */

static void locks_without_rank_nest_as_they_come(void)
{
	only_debug();
	nest(&a, &outer);
	nest(&b, &a);
	nest(&outer, &c);
	nest(&b, &a);
	assert_int_equal(this_cpu()->held_locks, 0);
}

static void the_other_order_of_two_locks_is_reported_with_all_four_places(void)
{
	only_debug();
	nest(&a, &b);
	take_second(&b);
	expect_panic(
	        "spin_lock: a taken at take_first+0x* while holding b, taken at take_second+0x*; but the "
	        "other order was seen: b taken at take_second+0x* while holding a, taken at take_first+0x*",
	        take_first(&a));
	give(&b);
	nest(&a, &c); /* had "a within b" stayed, */
	nest(&c, &b); /* this would close a cycle with it */
}

static void a_cycle_by_way_of_a_third_lock_is_reported(void)
{
	only_debug();
	nest(&a, &b);
	nest(&b, &c);
	take_first(&c);
	expect_panic(
	        "spin_lock: a taken at take_second+0x* while holding c, taken at take_first+0x*; but the "
	        "other order was seen, a > b > c: b taken at take_second+0x* while holding a, taken at "
	        "take_first+0x*; c taken at take_second+0x* while holding b, taken at take_first+0x*",
	        take_second(&a));
	give(&c);
}

static void every_lock_held_is_before_the_one_taken(void)
{
	only_debug();
	take_first(&a);
	nest(&b, &c);
	give(&a);
	take_first(&c);
	expect_panic("spin_lock: a taken at * while holding c, *; but the other order was seen: c taken at "
	             "take_second+0x* while holding a, taken at take_first+0x*",
	             take_second(&a));
	give(&c);
}

static void ranked_locks_and_others_have_one_graph(void)
{
	only_debug();
	nest(&outer, &inner);
	nest(&inner, &a);
	take_first(&a);
	expect_panic(
	        "spin_lock: outer taken at * while holding a, *; but the other order was seen, outer > inner > "
	        "a: *",
	        take_second(&outer));
	give(&a);
}

static void two_locks_of_one_name_do_not_nest(void)
{
	struct spinlock twin;
	char name[] = "a"; /* the text counts, not where it lies */

	only_debug();
	spin_lock_init(&twin, name, 0);
	take_first(&a);
	expect_panic("spin_lock: a taken at take_second+0x* while holding another a, taken at take_first+0x*",
	             take_second(&twin));
	give(&a);
	nest(&twin, &b);
	take_first(&b);
	expect_panic("spin_lock: a taken at * while holding b, *; but the other order was seen: *",
	             take_second(&a));
	give(&b);
	assert_int_equal(lock_graph_classes(), classes_before + 2);
}

static void a_full_graph_is_said_once_and_does_no_harm(void)
{
	static struct spinlock locks[LOCK_CLASSES_MAX + 2];
	static char names[LOCK_CLASSES_MAX + 2][LOCK_CLASS_NAME_MAX];
	unsigned room = LOCK_CLASSES_MAX - classes_before;

	only_debug();
	for (unsigned i = 0; i < room + 2; i++) {
		format_buffer(names[i], sizeof(names[i]), "class %u", i);
		spin_lock_init(&locks[i], names[i], 0);
	}
	for (unsigned i = 0; i + 1 < room; i++)
		nest(&locks[i], &locks[i + 1]);
	assert_int_equal(lock_graph_classes(), LOCK_CLASSES_MAX);
	expect_warning("lock graph: class * is not watched, nor are other locks of new classes: 32 are known",
	               nest(&locks[room], &locks[room + 1]));
	nest(&locks[room + 1], &locks[room]);
	nest(&locks[0], &locks[room]);
	take_first(&locks[2]);
	expect_panic(
	        "spin_lock: class 0 taken at * while holding class 2, *; but the other order was seen, class 0 > "
	        "class 1 > class 2: *",
	        take_second(&locks[0]));
	give(&locks[2]);
}

static void the_graph_is_told_an_order_a_line(void)
{
	static char text[4096];
	struct buffer_printer out;

	only_debug();
	nest(&a, &b);
	nest(&a, &b);
	nest(&b, &inner);
	buffer_printer_init(&out, text, sizeof(text));
	out.printer.symbol = test_printer()->symbol;
	lock_graph_dump(&out.printer);
	assert_matches(text, "*a (rank 0) > b (rank 0), taken at take_first+0x* and take_second+0x*\n"
	                     "b (rank 0) > inner (rank 120), taken at take_first+0x* and take_second+0x*\n");
	lock_graph_forget(classes_before);
	buffer_printer_init(&out, text, sizeof(text));
	lock_graph_dump(&out.printer);
	assert_false(glob_match("*inner*", text));
}

static const struct test_case cases[] = {
        TEST_CASE(a_lock_is_held_between_lock_and_unlock),
        TEST_CASE(irqsave_masks_interrupts_and_restores_what_was),
        TEST_CASE(locks_may_be_let_go_in_any_order),
        TEST_CASE(a_held_lock_is_listed_with_the_place_where_it_was_taken),
        TEST_CASE(each_lock_taken_is_counted_and_none_had_to_wait),
        TEST_CASE(taking_a_lock_that_was_not_initialised_is_reported),
        TEST_CASE(taking_a_lock_twice_is_reported),
        TEST_CASE(taking_a_lower_rank_is_reported),
        TEST_CASE(taking_an_equal_rank_is_reported),
        TEST_CASE(a_rank_is_compared_past_a_lock_without_one),
        TEST_CASE(taking_a_lock_with_interrupts_enabled_is_reported),
        TEST_CASE(unlocking_a_free_lock_is_reported),
        TEST_CASE(unlocking_another_cpus_lock_is_reported),
        TEST_CASE(holding_too_many_locks_is_reported),
        TEST_CASE(waiting_without_end_is_reported),
        TEST_CASE(locks_without_rank_nest_as_they_come),
        TEST_CASE(the_other_order_of_two_locks_is_reported_with_all_four_places),
        TEST_CASE(a_cycle_by_way_of_a_third_lock_is_reported),
        TEST_CASE(every_lock_held_is_before_the_one_taken),
        TEST_CASE(ranked_locks_and_others_have_one_graph),
        TEST_CASE(two_locks_of_one_name_do_not_nest),
        TEST_CASE(a_full_graph_is_said_once_and_does_no_harm),
        TEST_CASE(the_graph_is_told_an_order_a_line),
};

const struct test_suite spinlock_suite =
        TEST_SUITE("spinlock", cases, .set_up = make_locks, .tear_down = let_go);
