/* The debug build's lock bookkeeping: each rule broken once, and nothing broken by the report. */
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/spinlock.h>
#include <test/test.h>

static struct spinlock outer, inner;
static irqflags_t flags_before;

static void make_locks(void)
{
	spin_lock_init(&outer, "outer", 10);
	spin_lock_init(&inner, "inner", 20);
	flags_before = irq_save();
}

static void let_go(void)
{
	irq_restore(flags_before);
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
	irqflags_t a = spin_lock_irqsave(&outer);
	assert_false(irqs_enabled());
	irqflags_t b = spin_lock_irqsave(&inner);
	spin_unlock_irqrestore(&inner, b);
	assert_false(irqs_enabled());
	spin_unlock_irqrestore(&outer, a);
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

static void taking_a_lock_twice_is_reported(void)
{
	only_debug();
	spin_lock(&outer);
	expect_panic("spin_lock: outer: already held by this CPU", spin_lock(&outer));
	spin_unlock(&outer);
}

static void taking_a_lower_rank_is_reported(void)
{
	only_debug();
	spin_lock(&inner);
	expect_panic("spin_lock: outer (rank 10) taken while holding inner (rank 20)", spin_lock(&outer));
	spin_unlock(&inner);
	spin_lock(&outer); /* the refused lock was not taken */
	spin_unlock(&outer);
}

static void taking_an_equal_rank_is_reported(void)
{
	struct spinlock twin;

	only_debug();
	spin_lock_init(&twin, "twin", 20);
	spin_lock(&inner);
	expect_panic("spin_lock: twin (rank 20) taken while holding inner (rank 20)", spin_lock(&twin));
	spin_unlock(&inner);
}

static void taking_a_lock_with_interrupts_enabled_is_reported(void)
{
	only_debug();
	irq_enable();
	expect_panic("spin_lock: outer: interrupts are not masked", spin_lock(&outer));
	irq_disable();
}

static void unlocking_a_free_lock_is_reported(void)
{
	only_debug();
	expect_panic("spin_unlock: outer: not held", spin_unlock(&outer));
}

static void unlocking_another_cpus_lock_is_reported(void)
{
	only_debug();
	outer.owner = 5;
	expect_panic("spin_unlock: outer: held by CPU 4, not by this one", spin_unlock(&outer));
	outer.owner = 0;
}

static void holding_too_many_locks_is_reported(void)
{
	static struct spinlock locks[HELD_LOCKS_MAX + 1];

	only_debug();
	for (unsigned i = 0; i <= HELD_LOCKS_MAX; i++)
		spin_lock_init(&locks[i], "many", i);
	for (unsigned i = 0; i < HELD_LOCKS_MAX; i++)
		spin_lock(&locks[i]);
	expect_panic("spin_lock: many: this CPU holds 8 locks already", spin_lock(&locks[HELD_LOCKS_MAX]));
	for (unsigned i = 0; i < HELD_LOCKS_MAX; i++)
		spin_unlock(&locks[i]);
}

static const struct test_case cases[] = {
        TEST_CASE(a_lock_is_held_between_lock_and_unlock),
        TEST_CASE(irqsave_masks_interrupts_and_restores_what_was),
        TEST_CASE(locks_may_be_let_go_in_any_order),
        TEST_CASE(taking_a_lock_twice_is_reported),
        TEST_CASE(taking_a_lower_rank_is_reported),
        TEST_CASE(taking_an_equal_rank_is_reported),
        TEST_CASE(taking_a_lock_with_interrupts_enabled_is_reported),
        TEST_CASE(unlocking_a_free_lock_is_reported),
        TEST_CASE(unlocking_another_cpus_lock_is_reported),
        TEST_CASE(holding_too_many_locks_is_reported),
};

const struct test_suite spinlock_suite =
        TEST_SUITE("spinlock", cases, .set_up = make_locks, .tear_down = let_go);
