/*
 * The processor remembers translations. Each case changes a page-table entry behind pagetable.c's back and shows what a
 * missing flush does, or that the flush in question is one.
 */
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/page.h>
#include <arch/tlb.h>
#include <test/test.h>
#include "swapped_word.h"

static irqflags_t flags_before;

static void set_up(void)
{
	map_word();
	flags_before = irq_save(); /* a tick in between could evict what is to be remembered */
}

static void tear_down(void)
{
	irq_restore(flags_before);
	unmap_word();
}

static void a_changed_entry_stays_hidden_without_a_flush(void)
{
	assert_int_equal(*word, old_word);
	swap_behind();
	uint64_t seen = *word;
	if (seen != old_word)
		test_skip("this processor forgot the translation on its own, as it may");
	tlb_flush_range(word_page());
	assert_int_equal(*word, new_word);
}

static void flushing_a_page_shows_the_change(void)
{
	assert_int_equal(*word, old_word);
	swap_behind();
	tlb_flush_range(word_page());
	assert_int_equal(*word, new_word);
}

static void a_full_flush_shows_the_change_of_a_global_entry(void)
{
	assert_int_equal(*word, old_word);
	swap_behind();
	tlb_flush_all();
	assert_int_equal(*word, new_word);
}

static void a_large_range_takes_one_full_flush(void)
{
	struct tlb_stats before = tlb_stats();

	assert_int_equal(*word, old_word);
	swap_behind();
	tlb_flush_range(vrange_sized(word_page().start, (TLB_FLUSH_SINGLE_MAX + 1) * PAGE_SIZE));
	assert_int_equal(*word, new_word);
	assert_int_equal(tlb_stats().full, before.full + 1);
	assert_int_equal(tlb_stats().single, before.single);
}

static void a_small_range_takes_one_flush_per_page(void)
{
	struct tlb_stats before = tlb_stats();

	tlb_flush_range(vrange_sized(word_page().start, TLB_FLUSH_SINGLE_MAX * PAGE_SIZE));
	assert_int_equal(tlb_stats().single, before.single + TLB_FLUSH_SINGLE_MAX);
	assert_int_equal(tlb_stats().full, before.full);
}

static void an_empty_range_takes_none(void)
{
	struct tlb_stats before = tlb_stats();

	tlb_flush_range(vrange_sized(word_page().start, 0));
	assert_int_equal(tlb_stats().single, before.single);
	assert_int_equal(tlb_stats().full, before.full);
}

static void a_full_flush_leaves_the_control_registers_as_they_were(void)
{
	uint64_t cr3 = read_cr3().raw, cr4 = read_cr4();

	tlb_flush_all();
	assert_int_equal(read_cr3().raw, cr3);
	assert_int_equal(read_cr4(), cr4);
}

static const struct test_case cases[] = {
        TEST_CASE(a_changed_entry_stays_hidden_without_a_flush),
        TEST_CASE(flushing_a_page_shows_the_change),
        TEST_CASE(a_full_flush_shows_the_change_of_a_global_entry),
        TEST_CASE(a_large_range_takes_one_full_flush),
        TEST_CASE(a_small_range_takes_one_flush_per_page),
        TEST_CASE(an_empty_range_takes_none),
        TEST_CASE(a_full_flush_leaves_the_control_registers_as_they_were),
};

const struct test_suite tlb_suite = TEST_SUITE("tlb", cases, .set_up = set_up, .tear_down = tear_down);
