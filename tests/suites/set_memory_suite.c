/*
 * Permissions on the live system: what each call changes at which of a frame's two addresses, what it refuses, what it
 * costs, and that nothing of it outlives the area. Translations are read from the tables; where memory is touched, a CPU
 * remembers them, and the runner finds a missing flush. Faults are in tests/kernel.
 */
#include <arch/smp.h>
#include <arch/tlb.h>
#include <mm/fault_inject.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/set_memory.h>
#include <no_trace.h>
#include <test/test.h>
#include "../../mm/vmalloc_internal.h"
#include "vm_access.h"

enum { PAGES = 5 };

static char *area;

static bool is_in_large_leaf(const struct page *frame)
{
	struct translation t;
	return pagetable_lookup(&kernel_pagetable, vaddr_of(page_address(frame)), &t) && t.level > 1;
}

/*
 * An area whose frames the direct map shows in large leaves (not beside the image), so that to restrict them is to split; the
 * last frame in another 2 MiB than the first, so that it takes two tables at least.
 */
static void set_up(void)
{
	enum { TRIES = 4096 };
	static struct page *others[TRIES];
	struct page *frames[PAGES];
	size_t nr = 0, nr_others = 0;

	while (nr < PAGES && nr_others < TRIES) {
		struct page *frame = alloc_page(GFP_KERNEL);
		assert_non_null(frame);
		bool far = nr && (page_to_paddr(frame).raw ^ page_to_paddr(frames[0]).raw) >= PMD_SIZE;
		if (is_in_large_leaf(frame) && (nr < PAGES - 1 || far))
			frames[nr++] = frame;
		else
			others[nr_others++] = frame;
	}
	free_pages_bulk(nr_others, others);
	assert_int_equal(nr, PAGES);
	area = vmap(frames, PAGES, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	assert_non_null(area);
}

static void tear_down(void)
{
	vfree(area);
	area = NULL;
}

static unsigned long address(size_t page)
{
	return (unsigned long)area + page * PAGE_SIZE;
}

/* Valid while the page is present. */
static char *alias(size_t page)
{
	struct page *frame = vmalloc_to_page(area + page * PAGE_SIZE);
	assert_non_null(frame);
	return page_address(frame);
}

static const char *access_at(const void *pointer)
{
	struct translation t;
	return pagetable_lookup(&kernel_pagetable, vaddr_of(pointer), &t) ? pgprot_access(t.prot) : "---";
}

static void assert_access(size_t page, const char *own, const char *direct)
{
	assert_string_equal(access_at(area + page * PAGE_SIZE), own);
	assert_string_equal(access_at(alias(page)), direct);
}

static void assert_accesses(size_t first, size_t count, const char *own, const char *direct)
{
	for (size_t page = first; page < first + count; page++)
		assert_access(page, own, direct);
}

/* Every CPU that is asked to remembers both translations of a page, as writable. */
static void touch(size_t page)
{
	vm_poke(area + page * PAGE_SIZE, (uint8_t)(page + 1));
	vm_poke(alias(page) + 1, (uint8_t)(page + 1));
}

/* ---- What it changes ---------------------------------------------------------------------------------------------- */

static void read_only_is_so_in_the_direct_map_too_until_it_is_writable_again(void)
{
	for (size_t page = 0; page < PAGES; page++)
		touch(page);
	assert_true(set_memory_ro(address(0), PAGES));
	assert_accesses(0, PAGES, "r--", "r--");
	assert_sound(mm_verify());
	assert_int_equal(vm_peek(area + 2 * PAGE_SIZE + 1), 3);
	assert_true(set_memory_rw(address(0), PAGES));
	assert_accesses(0, PAGES, "rw-", "rw-");
	touch(PAGES - 1);
	assert_sound(mm_verify());
}

static void what_is_not_present_is_in_neither_place_and_keeps_contents_and_permissions(void)
{
	char *direct[PAGES];

	for (size_t page = 0; page < PAGES; page++) {
		touch(page);
		direct[page] = alias(page);
	}
	assert_true(set_memory_ro(address(1), 1));
	assert_true(set_memory_np(address(0), PAGES));
	for (size_t page = 0; page < PAGES; page++) {
		assert_string_equal(access_at(area + page * PAGE_SIZE), "---");
		assert_string_equal(access_at(direct[page]), "---");
		assert_null(vmalloc_to_page(area + page * PAGE_SIZE));
	}
	assert_sound(mm_verify());
	assert_true(set_memory_p(address(0), PAGES));
	for (size_t page = 0; page < PAGES; page++) {
		assert_ptr_equal(alias(page), direct[page]);
		assert_access(page, page == 1 ? "r--" : "rw-", page == 1 ? "r--" : "rw-");
		assert_int_equal(vm_peek(area + page * PAGE_SIZE + 1), page + 1);
	}
	assert_sound(mm_verify());
}

static void what_may_be_executed_is_writable_nowhere(void)
{
	assert_true(set_memory_ro(address(0), 2));
	assert_true(set_memory_x(address(0), 2));
	assert_accesses(0, 2, "r-x", "r--");
	assert_accesses(2, PAGES - 2, "rw-", "rw-");
	assert_sound(mm_verify());
	assert_true(set_memory_nx(address(0), 2));
	assert_accesses(0, 2, "r--", "r--");

	/* The area was made read-only without a word to the direct map. */
	char *plain = area;
	area = __vmalloc(PAGE_SIZE, GFP_KERNEL, PAGE_KERNEL_RO);
	assert_non_null(area);
	assert_access(0, "r--", "rw-");
	assert_true(set_memory_x(address(0), 1));
	assert_access(0, "r-x", "r--");
	vfree(area);
	area = plain;
}

static void only_the_pages_named_change(void)
{
	assert_true(set_memory_ro(address(1), 2));
	assert_true(set_memory_np(address(4), 1));
	assert_access(0, "rw-", "rw-");
	assert_accesses(1, 2, "r--", "r--");
	assert_access(3, "rw-", "rw-");
	assert_true(set_memory_ro(address(0), 0));
	assert_access(0, "rw-", "rw-");
	assert_true(set_memory_p(address(4), 1));
	assert_sound(mm_verify());
}

/* Every call on random pages of an area, against two words per page; now and then the area goes and another comes. */
static void every_page_is_what_was_last_asked_for_whatever_came_before(void)
{
	enum { MANY = 40, STEPS = 400 };
	static struct {
		bool write, exec, hidden, direct_write;
	} model[MANY];
	static char *direct[MANY];
	struct rng rng;
	char *plain = area;

	rng_seed(&rng, test_seed());
	area = NULL;
	for (unsigned step = 0; step < STEPS; step++) {
		test_step(step);
		if (!area || rng_below(&rng, 50) == 0) {
			vfree(area);
			for (size_t i = 0; area && i < MANY; i++)
				assert_string_equal(access_at(direct[i]), "rw-");
			area = vmalloc(MANY * PAGE_SIZE);
			assert_non_null(area);
			for (size_t i = 0; i < MANY; i++) {
				model[i].write = model[i].direct_write = true;
				model[i].exec = model[i].hidden = false;
				direct[i] = alias(i);
			}
		}
		size_t first = rng_below(&rng, MANY), count = 1 + rng_below(&rng, MANY - first);
		unsigned call = (unsigned)rng_below(&rng, 6);
		for (size_t i = first; i < first + count; i++)
			if ((call == 1 && model[i].exec) || (call == 2 && model[i].write))
				count = i - first; /* would be refused */
		static bool (*const calls[])(unsigned long, int) = {set_memory_ro, set_memory_rw,
		                                                    set_memory_x,  set_memory_nx,
		                                                    set_memory_np, set_memory_p};
		assert_true(calls[call](address(first), (int)count));
		for (size_t i = first; i < first + count; i++) {
			model[i].write = call == 0 ? false : call == 1 ? true : model[i].write;
			model[i].exec = call == 2 ? true : call == 3 ? false : model[i].exec;
			model[i].hidden = call == 4 ? true : call == 5 ? false : model[i].hidden;
			model[i].direct_write = call == 0 || call == 2 ? false
			                        : call == 1            ? true
			                                               : model[i].direct_write;
		}
		for (size_t i = 0; i < MANY; i++) {
			const char *own = model[i].write ? "rw-" : model[i].exec ? "r-x" : "r--";
			assert_string_equal(access_at(area + i * PAGE_SIZE), model[i].hidden ? "---" : own);
			assert_string_equal(access_at(direct[i]), model[i].hidden         ? "---"
			                                          : model[i].direct_write ? "rw-"
			                                                                  : "r--");
			if (!model[i].hidden)
				(void)vm_peek(area + i * PAGE_SIZE);
		}
		if (step % 20 == 0)
			assert_sound(mm_verify());
	}
	vfree(area);
	area = plain;
}

/* ---- Freeing ------------------------------------------------------------------------------------------------------ */

static void restrict_ro(void)
{
	assert_true(set_memory_ro(address(0), PAGES));
}

static void restrict_x(void)
{
	assert_true(set_memory_ro(address(1), 3));
	assert_true(set_memory_x(address(1), 3));
}

static void restrict_np(void)
{
	assert_true(set_memory_np(address(0), PAGES));
}

static void restrict_some(void)
{
	assert_true(set_memory_ro(address(2), 2));
	assert_true(set_memory_np(address(3), 2));
}

static void vfree_leaves_the_frames_writable_in_the_direct_map(void)
{
	static void (*const restrictions[])(void) = {restrict_ro, restrict_x, restrict_np, restrict_some};
	char *direct[PAGES];

	vfree(area);
	remember_memory();
	for (size_t i = 0; i < ARRAY_SIZE(restrictions); i++) {
		set_up();
		test_step(i);
		for (size_t page = 0; page < PAGES; page++) {
			touch(page);
			direct[page] = alias(page);
		}
		restrictions[i]();
		for (size_t page = 0; page < PAGES; page++)
			if (vmalloc_to_page(area + page * PAGE_SIZE))
				(void)vm_peek(direct[page]); /* remembered as what it is now */
		vfree(area);
		for (size_t page = 0; page < PAGES; page++) {
			assert_string_equal(access_at(area + page * PAGE_SIZE), "---");
			assert_string_equal(access_at(direct[page]), "rw-");
			vm_poke(direct[page], 7);
		}
		assert_sound(mm_verify());
		area = NULL;
		assert_true(
		        memory_is_like_before()); /* no table is left over: what was split is whole again */
	}
}

static void an_area_at_an_address_that_was_restricted_is_an_ordinary_one(void)
{
	for (unsigned round = 0; round < 3 * 64; round++) { /* ranges are used again after 64 */
		assert_accesses(0, PAGES, "rw-", "rw-");
		assert_true(set_memory_ro(address(0), PAGES));
		vfree(area);
		area = vmalloc(PAGES * PAGE_SIZE);
		assert_non_null(area);
		assert_false(find_vm_area(area)->flags & VM_FLUSH_RESET_PERMS);
	}
}

static void freeing_a_restricted_area_takes_no_memory(void)
{
	need_injected_failures();
	restrict_some();
	fault_inject_arm(1);
	vfree(area);
	assert_false(fault_inject_disarm());
	area = NULL;
}

/* ---- The direct map itself ---------------------------------------------------------------------------------------- */

static void pages_of_a_block_are_changed_where_they_are(void)
{
	struct page *block = alloc_pages(GFP_KERNEL, 3);
	assert_non_null(block);
	char *first = page_address(block);

	vm_poke(first + 3 * PAGE_SIZE, 3);
	assert_true(set_memory_ro((unsigned long)first + 2 * PAGE_SIZE, 3));
	assert_true(set_memory_np((unsigned long)first + 4 * PAGE_SIZE, 4));
	assert_string_equal(access_at(first + PAGE_SIZE), "rw-");
	assert_string_equal(access_at(first + 2 * PAGE_SIZE), "r--");
	assert_string_equal(access_at(first + 3 * PAGE_SIZE), "r--");
	assert_string_equal(access_at(first + 7 * PAGE_SIZE), "---");
	assert_sound(mm_verify());
	assert_true(set_memory_p((unsigned long)first + 4 * PAGE_SIZE, 4));
	assert_string_equal(access_at(first + 4 * PAGE_SIZE), "r--");
	assert_true(set_memory_rw((unsigned long)first, 8));
	vm_poke(first + 4 * PAGE_SIZE, 4);
	__free_pages(block, 3);
}

/* A large leaf's worth, or part of a larger one. */
static struct page *take_leaf(void)
{
	struct page *block = alloc_pages(GFP_KERNEL | __GFP_NOWARN, 9);
	if (!block)
		test_skip("needs 2 MiB in one piece");
	return block;
}

static void a_whole_leaf_stays_one(void)
{
	struct page *block = take_leaf();
	struct translation t;
	size_t tables = kernel_pagetable.nr_tables;

	unsigned long start = (unsigned long)page_address(block);
	assert_true(pagetable_lookup(&kernel_pagetable, vaddr(start), &t));
	unsigned level = t.level;
	assert_true(set_memory_ro(start, 512));
	assert_true(pagetable_lookup(&kernel_pagetable, vaddr(start + PMD_SIZE - 1), &t));
	assert_int_equal(t.level, level > 2 ? 2 : level);
	assert_string_equal(pgprot_access(t.prot), "r--");
	assert_true(set_memory_np(start + 7 * PAGE_SIZE, 2));
	assert_sound(mm_verify());
	assert_true(set_memory_p(start, 512));
	assert_true(set_memory_rw(start, 512));
	assert_true(pagetable_lookup(&kernel_pagetable, vaddr(start), &t));
	assert_int_equal(t.level, level);
	__free_pages(block, 9);
	assert_int_equal(kernel_pagetable.nr_tables, tables);
}

/* ---- Failing ------------------------------------------------------------------------------------------------------ */

static bool sweep_area(void)
{
	return set_memory_ro(address(0), PAGES);
}

static struct page *sweep_block;

static bool sweep_direct(void)
{
	return set_memory_np((unsigned long)page_address(sweep_block) + PAGE_SIZE, 6);
}

/* `tables`: as many at least are asked for. */
static void sweep(bool (*operation)(void), unsigned tables)
{
	for (unsigned nth = 1;; nth++) {
		test_step(nth);
		remember_memory();
		fault_inject_arm(nth);
		bool done = operation();
		bool delivered = fault_inject_disarm();
		assert_int_equal(done, !delivered);
		assert_sound(mm_verify());
		if (done) {
			assert_at_least(nth, tables + 1); /* else nothing was split, and nothing shown */
			return;
		}
		assert_accesses(0, PAGES, "rw-", "rw-");
		assert_true(memory_is_like_before());
	}
}

static void without_a_table_nothing_changes_and_none_is_kept(void)
{
	need_injected_failures();
	for (size_t page = 0; page < PAGES; page++)
		touch(page);
	sweep(sweep_area, 2);
	vfree(area);
	set_up();
	sweep_block = take_leaf();
	sweep(sweep_direct, 1);
	assert_true(set_memory_p((unsigned long)page_address(sweep_block), 8));
	__free_pages(sweep_block, 9);
}

/* ---- Flushing ----------------------------------------------------------------------------------------------------- */

struct flushes {
	uint64_t full, single, shootdowns;
};

static struct flushes flushes_now(void)
{
	struct tlb_stats stats = tlb_stats();
	return (struct flushes){stats.full, stats.single, counter_sum(COUNT_SHOOTDOWNS)};
}

/* Since `since`; each of them was a shootdown, if there is anybody to shoot at. */
static void assert_flushes(const struct flushes *since, uint64_t full, uint64_t single)
{
	struct flushes now = flushes_now();
	uint64_t calls = full + (single > 0);

	assert_int_equal(now.full - since->full, full);
	assert_int_equal(now.single - since->single, single);
	assert_int_equal(now.shootdowns - since->shootdowns, nr_cpus_online() > 1 ? calls : 0);
}

static void one_flush_serves_all_pages_at_both_addresses(void)
{
	struct flushes since = flushes_now();

	assert_true(set_memory_ro(address(0), PAGES));
	assert_flushes(&since, 2, 0); /* the other one between splitting and changing */
	assert_true(set_memory_np(address(0), PAGES));
	assert_flushes(&since, 3, 0);
	assert_true(set_memory_p(address(0), PAGES)); /* nobody remembers what was absent */
	assert_true(set_memory_ro(address(0), PAGES));
	assert_flushes(&since, 3, 0);
	assert_true(set_memory_x(address(0), PAGES)); /* the direct map is read-only there already */
	assert_flushes(&since, 3, PAGES);
	since = flushes_now();
	assert_true(set_memory_nx(address(0), 2));
	assert_flushes(&since, 0, 2);
}

/* ---- Mistakes ----------------------------------------------------------------------------------------------------- */

static void what_is_writable_does_not_become_executable_nor_the_other_way_round(void)
{
	assert_true(set_memory_ro(address(0), 3));
	expect_panic("set_memory_x: 0x* would be writable and executable",
	             (void)!set_memory_x(address(0), PAGES));
	assert_access(0, "r--", "r--");
	assert_access(3, "rw-", "rw-");
	assert_true(set_memory_x(address(1), 1));
	expect_panic("set_memory_rw: 0x* would be writable and executable",
	             (void)!set_memory_rw(address(0), PAGES));
	assert_access(0, "r--", "r--");
	assert_access(1, "r-x", "r--");
	assert_true(set_memory_nx(address(1), 1));
	assert_true(set_memory_rw(address(1), 1));
	assert_true(set_memory_np(address(1), 1)); /* nor while nobody sees it */
	expect_panic("set_memory_x: 0x* would be writable and executable",
	             (void)!set_memory_x(address(0), 2));
	assert_sound(mm_verify());
}

static void ranges_that_are_nobodys_are_refused(void)
{
	struct page *frame = alloc_page(GFP_KERNEL),
	            *table = pfn_to_page(paddr_to_pfn(kernel_pagetable.root));
	void *object = kmalloc(64, GFP_KERNEL);
	char *large = kmalloc(3 * PAGE_SIZE, GFP_KERNEL); /* two blocks */
	unsigned long direct = (unsigned long)page_address(frame);

	assert_non_null(frame);
	assert_true(object && large);
	char *mapped = vmap(&frame, 1, VM_MAP, PAGE_KERNEL);
	assert_non_null(mapped);
	remember_memory();
	expect_panic("set_memory_ro: 0x*001 is no page's address", (void)!set_memory_ro(address(0) + 1, 1));
	expect_panic("set_memory_rw: -1 pages at 0x*", (void)!set_memory_rw(address(0), -1));
	expect_panic("set_memory_rw: 2 pages at 0xfffffffffffff000", (void)!set_memory_rw(-PAGE_SIZE, 2));
	expect_panic("set_memory_np: [0x*, 0x*) reaches out of the area 0x*-0x*",
	             (void)!set_memory_np(address(0), PAGES + 1));
	expect_panic("set_memory_np: [0x*, 0x*) reaches out of the area 0x*-0x*",
	             (void)!set_memory_np(address(PAGES), 1));
	expect_panic("set_memory_p: 0x* is in no area", (void)!set_memory_p(VMALLOC_END - PAGE_SIZE, 1));
	expect_panic("set_memory_ro: 0x* is in a vmap area, whose frames are not its own",
	             (void)!set_memory_ro((unsigned long)mapped, 1));
	expect_panic("set_memory_ro: 0x* is neither in the vmalloc window nor in the direct map",
	             (void)!set_memory_ro(KIMAGE_BASE + (2UL << 20), 1));
	expect_panic("set_memory_ro: 0x* is neither in the vmalloc window nor in the direct map",
	             (void)!set_memory_ro(FRAMES_BASE, 1));
	expect_panic("set_memory_ro: 0x0 is neither in the vmalloc window nor in the direct map",
	             (void)!set_memory_ro(0, 1));
	expect_panic("set_memory_x: 0x* is in the direct map, which is never executable",
	             (void)!set_memory_x(direct, 1));
	expect_panic("set_memory_ro: 0x* shows a frame that is slab, not one from alloc_pages()",
	             (void)!set_memory_ro(align_down((unsigned long)object, PAGE_SIZE), 1));
	expect_panic("set_memory_ro: 0x* shows a frame that is vmalloc, not one from alloc_pages()",
	             (void)!set_memory_ro((unsigned long)alias(0), 1));
	expect_panic("set_memory_np: 0x* shows a frame that is *, not one from alloc_pages()",
	             (void)!set_memory_np((unsigned long)page_address(table), 1));
	static unsigned page;
	for (page = 0; page < 3; page++)
		expect_panic("set_memory_np: 0x* shows a frame that is *, not one from alloc_pages()",
		             (void)!set_memory_np((unsigned long)large + page * PAGE_SIZE, 1));
	assert_true(memory_is_like_before());
	vunmap(mapped);
	__free_page(frame);
	vfree(area);
	expect_panic("set_memory_ro: 0x* is in no area", (void)!set_memory_ro(address(0), 1));
	set_up();
	kfree(object);
	kfree(large);
}

/* ---- The verifier ------------------------------------------------------------------------------------------------- */

static void a_restriction_that_would_outlive_its_frames_is_noticed(void)
{
	struct vmap_area *node = find_vm_area(area);

	assert_true(set_memory_ro(address(1), 1));
	node->flags &= ~(uint32_t)VM_FLUSH_RESET_PERMS;
	assert_matches(mm_verify(),
	               "M7: the direct map is r-- at 0x*, a frame that is vmalloc and would stay so");
	node->flags |= VM_FLUSH_RESET_PERMS;
	assert_sound(mm_verify());

	struct page *frame = alloc_page(GFP_KERNEL);
	assert_non_null(frame);
	assert_true(set_memory_ro((unsigned long)page_address(frame), 1));
	assert_sound(mm_verify());
	assert_true(set_memory_rw((unsigned long)page_address(frame), 1));
	__free_page(frame);
}

static const struct test_case cases[] = {
        TEST_CASE(read_only_is_so_in_the_direct_map_too_until_it_is_writable_again),
        TEST_CASE(what_is_not_present_is_in_neither_place_and_keeps_contents_and_permissions),
        TEST_CASE(what_may_be_executed_is_writable_nowhere),
        TEST_CASE(only_the_pages_named_change),
        TEST_CASE(every_page_is_what_was_last_asked_for_whatever_came_before),
        TEST_CASE(vfree_leaves_the_frames_writable_in_the_direct_map),
        TEST_CASE(an_area_at_an_address_that_was_restricted_is_an_ordinary_one),
        TEST_CASE(freeing_a_restricted_area_takes_no_memory),
        TEST_CASE(pages_of_a_block_are_changed_where_they_are),
        TEST_CASE(a_whole_leaf_stays_one),
        TEST_CASE(without_a_table_nothing_changes_and_none_is_kept),
        TEST_CASE(one_flush_serves_all_pages_at_both_addresses),
        TEST_CASE(what_is_writable_does_not_become_executable_nor_the_other_way_round),
        TEST_CASE(ranges_that_are_nobodys_are_refused),
        TEST_CASE(a_restriction_that_would_outlive_its_frames_is_noticed),
};

extern const struct test_suite set_memory_suite;
const struct test_suite set_memory_suite =
        TEST_SUITE("set_memory", cases, .set_up = set_up, .tear_down = tear_down);
