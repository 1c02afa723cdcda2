/*
 * A change of the page tables reaches every CPU by a flush, whatever that CPU is doing, and without one it does not.
 */
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/page.h>
#include <arch/smp.h>
#include <arch/spinlock.h>
#include <arch/tlb.h>
#include <lib/rng.h>
#include "other_cpus.h"
#include "swapped_word.h"

enum { READ_FIRST, SWAPPED, FLUSHED };

static uint64_t seen[3][CPUS_MAX];
static unsigned readers[3];

/* With interrupts masked throughout: a tick could evict what is to be remembered, and flushes are answered by polling. */
static void read_at_every_stage(void *unused)
{
	irqflags_t flags = irq_save();

	(void)unused;
	for (unsigned at = READ_FIRST; at <= FLUSHED; at++) {
		await_stage(at);
		seen[at][this_cpu()->id] = *word;
		count_up(&readers[at]);
	}
	irq_restore(flags);
}

/* Every other CPU reads the word, then again when the entry has changed, and again after `flush`. */
static void watch_the_change(void (*flush)(void))
{
	memset(readers, 0, sizeof(readers));
	start_work_on_others(read_at_every_stage, NULL);
	await_count(&readers[READ_FIRST], nr_cpus - 1);
	swap_behind();
	set_stage(SWAPPED);
	await_count(&readers[SWAPPED], nr_cpus - 1);
	flush();
	set_stage(FLUSHED);
	wait_for_others();
}

static void flush_word(void)
{
	tlb_flush_range(word_page());
}

static void flush_many(void)
{
	tlb_flush_range(vrange_sized(word_page().start, (TLB_FLUSH_SINGLE_MAX + 1) * PAGE_SIZE));
}

static void flush_here_only(void)
{
	invlpg(word_page().start);
}

/* A CPU may forget a translation whenever it likes; then there is nothing to show. */
static bool all_remembered(void)
{
	for (unsigned id = 1; id < nr_cpus; id++) {
		if (seen[SWAPPED][id] != old_word)
			return false;
	}
	return true;
}

static void a_flush_shows_the_change_to_all(void (*flush)(void))
{
	need_another_cpu();
	map_word();
	watch_the_change(flush);
	unmap_word();
	for (unsigned id = 1; id < nr_cpus; id++) {
		assert_int_equal(seen[READ_FIRST][id], old_word);
		assert_int_equal(seen[FLUSHED][id], new_word);
	}
	if (!all_remembered())
		test_skip("a processor forgot the translation on its own, as it may");
}

static void flushing_a_page_shows_its_change_to_every_cpu(void)
{
	a_flush_shows_the_change_to_all(flush_word);
}

static void flushing_many_pages_shows_a_change_to_every_cpu(void)
{
	a_flush_shows_the_change_to_all(flush_many);
}

static void flushing_everything_shows_a_change_to_every_cpu(void)
{
	a_flush_shows_the_change_to_all(tlb_flush_all);
}

static void without_a_flush_of_all_others_go_on_with_the_old_entry(void)
{
	need_another_cpu();
	map_word();
	watch_the_change(flush_here_only);
	unmap_word();
	unsigned stale = 0;
	for (unsigned id = 1; id < nr_cpus; id++)
		stale += seen[FLUSHED][id] == old_word;
	if (!stale)
		test_skip("the processors forgot the translation on their own, as they may");
}

static void read_word(void *unused)
{
	(void)unused;
	seen[READ_FIRST][this_cpu()->id] = *word;
}

/* The same with CPUs that sleep: they are interrupted. */
static void a_flush_reaches_cpus_that_have_nothing_to_do(void)
{
	need_another_cpu();
	map_word();
	cpu_call(cpus_online(), read_word, NULL);
	swap_behind();
	flush_word();
	cpu_call(cpus_online(), read_word, NULL);
	unmap_word();
	for (unsigned id = 0; id < nr_cpus; id++)
		assert_int_equal(seen[READ_FIRST][id], new_word);
}

enum { FLUSHES = 80, FLUSHED_PAGES = 3, MIXES = 40 };

/* Addresses where nothing is mapped serve as well. */
static void flush_masked(void *unused)
{
	irqflags_t flags = irq_save();

	(void)unused;
	for (unsigned i = 0; i < scaled(FLUSHES); i++)
		tlb_flush_range(vrange_sized(vaddr(0xfffff00000000000UL), FLUSHED_PAGES * PAGE_SIZE));
	irq_restore(flags);
}

static void cpus_that_flush_at_each_other_masked_all_finish_and_all_are_flushed(void)
{
	uint64_t single = counter_sum(COUNT_FLUSH_SINGLE), shootdowns = counter_sum(COUNT_SHOOTDOWNS);

	need_another_cpu();
	start_work_on_others(flush_masked, NULL);
	flush_masked(NULL);
	wait_for_others();
	assert_int_equal(counter_sum(COUNT_SHOOTDOWNS) - shootdowns, scaled(FLUSHES) * nr_cpus);
	assert_int_equal(counter_sum(COUNT_FLUSH_SINGLE) - single,
	                 scaled(FLUSHES) * FLUSHED_PAGES * nr_cpus * nr_cpus);
}

static void a_flush_with_one_cpu_asks_nobody(void)
{
	uint64_t ipis = counter_sum(COUNT_IPIS), shootdowns = counter_sum(COUNT_SHOOTDOWNS);

	if (nr_cpus > 1)
		test_skip("several CPUs run");
	tlb_flush_range(vrange_sized(vaddr(0xfffff00000000000UL), PAGE_SIZE));
	tlb_flush_all();
	assert_int_equal(counter_sum(COUNT_IPIS), ipis);
	assert_int_equal(counter_sum(COUNT_SHOOTDOWNS), shootdowns);
}

static struct spinlock contended = SPINLOCK_INIT("contended", 10);

static void take_and_release(void *unused)
{
	(void)unused;
	irqflags_t flags = spin_lock_irqsave(&contended);
	spin_unlock_irqrestore(&contended, flags);
}

static unsigned nr_waiting_or_holding(void)
{
	return __atomic_load_n(&contended.next, __ATOMIC_RELAXED) -
	       __atomic_load_n(&contended.serving, __ATOMIC_RELAXED);
}

static void who_spins_for_a_lock_answers_the_flush_of_its_holder(void)
{
	need_another_cpu();
	irqflags_t flags = spin_lock_irqsave(&contended);
	start_work_on_others(take_and_release, NULL);
	while (nr_waiting_or_holding() < nr_cpus)
		cpu_relax();
	for (unsigned i = 0; i < scaled(FLUSHES); i++)
		tlb_flush_range(vrange_sized(vaddr(0xfffff00000000000UL), PAGE_SIZE));
	spin_unlock_irqrestore(&contended, flags);
	wait_for_others();
	assert_int_equal(nr_waiting_or_holding(), 0);
}

/* Flushes, calls and a lock, all at once: some hold it, some spin for it, some call meanwhile. */
static void mix(void *weight)
{
	struct rng rng;

	rng_seed(&rng, test_seed() + this_cpu()->id);
	for (unsigned i = 0; i < scaled(MIXES); i++) {
		irqflags_t flags = spin_lock_irqsave(&contended);
		if (rng_below(&rng, 2))
			tlb_flush_range(vrange_sized(vaddr(0xfffff00000000000UL), PAGE_SIZE));
		spin_unlock(&contended);
		if (rng_below(&rng, 2))
			cpu_call(cpus_online(), take_and_release, weight);
		irq_restore(flags);
	}
}

static void locks_calls_and_flushes_mix(void)
{
	enum { MIXERS = 4 }; /* the others are flushed and called */

	for (unsigned id = 1; id < nr_cpus && id < MIXERS; id++)
		cpu_start_work(id, mix, NULL);
	mix(NULL);
	wait_for_others();
	assert_int_equal(nr_waiting_or_holding(), 0);
}

static const struct test_case cases[] = {
        TEST_CASE(flushing_a_page_shows_its_change_to_every_cpu),
        TEST_CASE(flushing_many_pages_shows_a_change_to_every_cpu),
        TEST_CASE(flushing_everything_shows_a_change_to_every_cpu),
        TEST_CASE(without_a_flush_of_all_others_go_on_with_the_old_entry),
        TEST_CASE(a_flush_reaches_cpus_that_have_nothing_to_do),
        TEST_CASE(cpus_that_flush_at_each_other_masked_all_finish_and_all_are_flushed),
        TEST_CASE(a_flush_with_one_cpu_asks_nobody),
        TEST_CASE(who_spins_for_a_lock_answers_the_flush_of_its_holder),
        TEST_CASE(locks_calls_and_flushes_mix),
};

extern const struct test_suite tlb_smp_suite;
const struct test_suite tlb_smp_suite =
        TEST_SUITE("tlb_smp", cases, .set_up = begin_with_others, .tear_down = end_with_others);
