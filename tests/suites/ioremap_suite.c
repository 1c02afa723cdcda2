/*
 * Device memory on the live system: what each call maps and how, that two types never meet, that every failure leaves no
 * trace, and that the verifier sees each kind of damage. No device is touched: nothing need be there.
 */
#include <lib/rng.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <expect_broken.h>
#include <hoard.h>
#include <scarcity.h>
#include <no_trace.h>
#include <remote.h>
#include <test/test.h>
#include <vm_access.h>
#include "../../mm/ioremap_internal.h"
#include "../../mm/mm_internal.h"
#include "../../mm/vmalloc_internal.h"

static char words[256];

static const struct call {
	void *(*map)(uint64_t phys, size_t size);
	const char *name;
	enum memory_type type;
	uint64_t bits; /* of a 4 KiB leaf: PWT 0x8, PCD 0x10, PAT 0x80 */
} calls[] = {
        {ioremap, "ioremap", MEMORY_UC_MINUS, 0x10},    {ioremap_uc, "ioremap_uc", MEMORY_UC, 0x18},
        {ioremap_wc, "ioremap_wc", MEMORY_WC, 0x08},    {ioremap_wt, "ioremap_wt", MEMORY_WT, 0x98},
        {ioremap_cache, "ioremap_cache", MEMORY_WB, 0},
};

/* ---- Helpers ------------------------------------------------------------------------------------------------------ */

static struct translation leaf_at(const void *address)
{
	struct translation leaf;
	assert_true(pagetable_lookup(&kernel_pagetable, vaddr_of(address), &leaf));
	return leaf;
}

static void need_pat(void)
{
	if (!mm_state.pat)
		test_skip("this processor has no PAT");
}

static void *mapped(void *(*map)(uint64_t, size_t), uint64_t phys, size_t size)
{
	void *device = map(phys, size);
	assert_non_null(device);
	assert_sound(vmalloc_check());
	return device;
}

/* ---- What it gives ------------------------------------------------------------------------------------------------ */

static void a_device_is_mapped_uncached_at_its_odd_address(void)
{
	remember_memory();
	char *device = mapped(ioremap, no_ram() + 0x1ff8, 16);
	assert_int_equal((uintptr_t)device % PAGE_SIZE, 0xff8);
	assert_int_equal(leaf_at(device).pa.raw, no_ram() + 0x1ff8);
	assert_int_equal(leaf_at(device).prot.raw, pgprot_noncached(PAGE_KERNEL).raw);
	assert_int_equal(leaf_at(device + 15).pa.raw, no_ram() + 0x2007);
	assert_false(is_mapped(vaddr_of(device + 8 + PAGE_SIZE)));
	assert_null(vmalloc_to_page(device));
	assert_int_equal(vmalloc_to_pfn(device), (no_ram() >> PAGE_SHIFT) + 1);
	iounmap(device);
	assert_false(is_mapped(vaddr_of(device)));
	assert_like_before();
}

static void each_call_has_its_type_in_leaves_of_every_size(void)
{
	need_window(4 * PGD_SIZE, "maps devices of more than 2 MiB");
	need_pat();
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		test_step(i);
		remember_memory();
		char *device = mapped(calls[i].map, no_ram(), PMD_SIZE + PAGE_SIZE);
		const struct translation large = leaf_at(device), small = leaf_at(device + PMD_SIZE);
		assert_int_equal(large.level, 2);
		assert_int_equal(small.level, 1);
		assert_int_equal(small.prot.raw, PAGE_KERNEL.raw | calls[i].bits);
		assert_int_equal(large.prot.raw, PAGE_KERNEL.raw | calls[i].bits);
		assert_int_equal(pgprot_type(large.prot), calls[i].type);
		iounmap(device);
		assert_like_before();
	}
}

static void without_a_pat_wc_and_wt_are_uncached(void)
{
	static const uint64_t bits[ARRAY_SIZE(calls)] = {0x10, 0x18, 0x10, 0x10, 0};
	const bool pat = mm_state.pat;

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		test_step(i);
		mm_state.pat = false;
		void *device = calls[i].map(no_ram(), 1);
		mm_state.pat = pat; /* before an assertion leaves the case */
		assert_int_equal(leaf_at(device).prot.raw, PAGE_KERNEL.raw | bits[i]);
		iounmap(device);
	}
}

static void the_names_of_the_types_are_those_of_the_processors_manual(void)
{
	static const char *const names[8] = {"WB", "WC", "UC-", "UC", "WB", "WP", "UC-", "WT"};

	for (unsigned n = 0; n < 8; n++) {
		pgprot_t prot = {PAGE_KERNEL.raw | (n & 1) << 3 | (n & 2) << 3 | (n & 4) << 5};
		assert_string_equal(pgprot_memory_type(prot), names[n]);
	}
	assert_string_equal(pgprot_memory_type(pgprot_writecombine(PAGE_KERNEL_NOCACHE)), "WC");
	assert_string_equal(pgprot_memory_type(pgprot_noncached(PAGE_KERNEL)), "UC-");
	assert_string_equal(pgprot_memory_type(pgprot_writethrough(PAGE_KERNEL)), "WT");
	assert_string_equal(pgprot_memory_type(PAGE_KERNEL_NOCACHE), "UC");
	assert_int_equal(pgprot_writecombine(PAGE_KERNEL_RO).raw & ~PTE_CACHE, PAGE_KERNEL_RO.raw);
}

static void an_area_lies_at_a_multiple_of_its_size_up_to_1_gib(void)
{
	static const struct {
		uint64_t offset;
		size_t size, align;
	} sizes[] = {
	        {0, 1, PAGE_SIZE},
	        {0, PAGE_SIZE, PAGE_SIZE},
	        {PAGE_SIZE - 1, 2, 2 * PAGE_SIZE},
	        {0, PAGE_SIZE + 1, 2 * PAGE_SIZE},
	        {0, 5 * PAGE_SIZE, 8 * PAGE_SIZE},
	        {PAGE_SIZE, PMD_SIZE, PMD_SIZE},
	        {0, PMD_SIZE + 1, 2 * PMD_SIZE},
	        {PMD_SIZE, PUD_SIZE - PMD_SIZE, PUD_SIZE},
	        {PMD_SIZE, 3 * PUD_SIZE, PUD_SIZE},
	};

	need_window(4 * PGD_SIZE, "maps devices of up to 3 GiB");
	remember_memory();
	void *in_the_way = vmalloc(1); /* the lowest address that is free is a multiple of nothing */
	assert_non_null(in_the_way);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		test_step(i);
		char *device = mapped(ioremap, no_ram() + sizes[i].offset, sizes[i].size);
		assert_int_equal(align_down((uintptr_t)device, PAGE_SIZE) % sizes[i].align, 0);
		assert_int_equal(leaf_at(device).pa.raw, no_ram() + sizes[i].offset);
		assert_false(is_mapped(vaddr_of(device + sizes[i].size + PAGE_SIZE - 1)));
		iounmap(device);
	}
	struct vmap_area *area = get_vm_area(3 * PAGE_SIZE, VM_IOREMAP);
	assert_non_null(area);
	assert_int_equal(area->va_start % (4 * PAGE_SIZE), 0);
	free_vm_area(area);
	vfree(in_the_way);
	assert_like_before();
}

static void a_large_device_has_the_largest_leaves_that_fit(void)
{
	unsigned largest = mm_state.max_level;

	need_window(4 * PGD_SIZE, "maps devices of more than 1 GiB");
	remember_memory();
	char *device = mapped(ioremap, no_ram(), PUD_SIZE + PMD_SIZE + PAGE_SIZE);
	assert_int_equal(leaf_at(device).level, largest);
	assert_int_equal(leaf_at(device + PUD_SIZE - 1).pa.raw, no_ram() + PUD_SIZE - 1);
	assert_int_equal(leaf_at(device + PUD_SIZE).level, 2);
	assert_int_equal(leaf_at(device + PUD_SIZE + PMD_SIZE).level, 1);
	assert_false(is_mapped(vaddr_of(device + PUD_SIZE + PMD_SIZE + PAGE_SIZE)));
	iounmap(device);
	device = mapped(ioremap, no_ram() + PMD_SIZE, PUD_SIZE); /* not where 1 GiB begins */
	assert_int_equal(leaf_at(device).level, 2);
	iounmap(device);
	device = mapped(ioremap, no_ram() + PAGE_SIZE, PMD_SIZE); /* not where 2 MiB do */
	assert_int_equal(leaf_at(device).level, 1);
	iounmap(device);
	assert_like_before();
}

/* ---- Two types ---------------------------------------------------------------------------------------------------- */

static void another_type_is_refused_and_both_owners_are_named(void)
{
	uint64_t at = no_ram() + 16 * PAGE_SIZE;

	need_pat();
	for (size_t a = 0; a < ARRAY_SIZE(calls); a++) {
		void *first = mapped(calls[a].map, at + 5, 3 * PAGE_SIZE - 5);
		remember_memory();
		for (size_t b = 0; b < ARRAY_SIZE(calls); b++) {
			test_step(a * 10 + b);
			if (a == b)
				continue;
			format_buffer(
			        words, sizeof(words),
			        "%s: 100 bytes, gfp 0x8, from *: %s, but 0x%lx-0x%lx is mapped %s from *",
			        calls[b].name, memory_type_name(calls[b].type), at, at + 3 * PAGE_SIZE,
			        memory_type_name(calls[a].type));
			expect_warning(words, assert_null(calls[b].map(at + PAGE_SIZE, 100)));
			assert_like_before();
		}
		iounmap(first);
	}
}

/* The range that it was about to have is far from all others, and was kept with its table. */
static void a_refused_device_leaves_no_table_behind(void)
{
	enum { FREED = 64 }; /* at once: then they are kept */
	void *areas[FREED];

	need_window(4 * PGD_SIZE, "needs an area that is alone in its tables");
	void *device = mapped(ioremap, no_ram(), PAGE_SIZE);
	vm_unmap_aliases();
	size_t tables = kernel_pagetable.nr_tables;
	for (size_t i = 0; i < FREED; i++) {
		areas[i] = i < FREED - 1
		                   ? vmalloc(PAGE_SIZE)
		                   : __vmalloc_node_range(PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL,
		                                          PAGE_KERNEL, 0, NUMA_NO_NODE, NULL);
		assert_non_null(areas[i]);
	}
	for (size_t i = 0; i < FREED; i++)
		vfree(areas[i]);
	expect_warning("ioremap_uc: *", assert_null(ioremap_uc(no_ram(), PAGE_SIZE)));
	vm_unmap_aliases();
	assert_int_equal(kernel_pagetable.nr_unswept, 0);
	assert_int_equal(kernel_pagetable.nr_tables, tables);
	iounmap(device);
}

static void one_common_page_is_a_conflict_and_touching_is_none(void)
{
	uint64_t at = no_ram() + 16 * PAGE_SIZE;
	static const struct {
		int from, to; /* pages, relative to a mapping of [0, 4) */
		bool conflict;
	} ranges[] = {{-2, 0, false}, {-2, 1, true}, {-2, 6, true}, {0, 4, true},
	              {1, 2, true},   {3, 4, true},  {3, 8, true},  {4, 8, false}};

	remember_memory();
	void *first = mapped(ioremap, at, 4 * PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		test_step(i);
		uint64_t from = at + (uint64_t)((int64_t)ranges[i].from * (int64_t)PAGE_SIZE);
		size_t size = (size_t)(ranges[i].to - ranges[i].from) * PAGE_SIZE;
		test_warnings_begin();
		void *second = ioremap_uc(from, size);
		assert_int_equal(test_warnings_end(), ranges[i].conflict ? 1 : 0);
		assert_int_equal(second == NULL, ranges[i].conflict);
		assert_sound(vmalloc_check());
		iounmap(second);
	}
	/* Its last byte alone, in the middle of a page. */
	expect_warning("ioremap_uc: 1 bytes, *", assert_null(ioremap_uc(at + 4 * PAGE_SIZE - 1, 1)));
	iounmap(first);
	assert_like_before();
}

static void the_same_type_overlaps_and_the_last_to_go_frees_the_range(void)
{
	uint64_t at = no_ram();
	void *devices[4];

	remember_memory();
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) /* the first two are the same */
		devices[i] = mapped(ioremap_uc, at + i / 2 * PAGE_SIZE, 4 * PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		test_step(i);
		expect_warning("ioremap: *: UC-, but 0x* is mapped UC from *",
		               assert_null(ioremap(at + 3 * PAGE_SIZE, 1)));
		iounmap(devices[i]);
		assert_sound(vmalloc_check());
	}
	void *other = mapped(ioremap, at + 3 * PAGE_SIZE, 1);
	iounmap(other);
	assert_like_before();
}

static void what_is_unmapped_may_be_mapped_with_every_type_in_turn(void)
{
	need_pat();
	remember_memory();
	for (size_t i = 0; i < 3 * ARRAY_SIZE(calls); i++) {
		test_step(i);
		char *device = mapped(calls[i % ARRAY_SIZE(calls)].map, no_ram(), (1 + i % 3) * PAGE_SIZE);
		assert_int_equal(pgprot_type(leaf_at(device).prot), calls[i % ARRAY_SIZE(calls)].type);
		iounmap(device);
	}
	/* And if it went as an area. */
	void *device = mapped(ioremap, no_ram(), 1);
	free_vm_area(find_vm_area(device));
	iounmap(mapped(ioremap_uc, no_ram(), 1));
	assert_like_before();
}

enum { MODEL_PAGES = 48, MODEL_DEVICES = 24, MODEL_STEPS = 400 };

/* A device at random or, if the page counts of the model say so, a refusal. */
static void random_decisions_agree_with_a_count_per_page_and_type(void)
{
	static unsigned counts[MODEL_PAGES][MEMORY_TYPES];
	static struct {
		void *address;
		size_t first, pages;
		enum memory_type type;
	} held[MODEL_DEVICES];
	struct rng rng;
	size_t refused = 0;

	need_pat();
	remember_memory();
	memset(counts, 0, sizeof(counts));
	memset(held, 0, sizeof(held));
	rng_seed(&rng, test_seed());
	for (size_t step = 0; step < MODEL_STEPS + MODEL_DEVICES; step++) {
		test_step(step);
		size_t d = step < MODEL_STEPS ? rng_below(&rng, MODEL_DEVICES) : step - MODEL_STEPS;
		if (held[d].address) {
			iounmap(held[d].address);
			for (size_t n = 0; n < held[d].pages; n++)
				counts[held[d].first + n][held[d].type]--;
			held[d].address = NULL;
		} else if (step < MODEL_STEPS) {
			const struct call *call = &calls[rng_below(&rng, ARRAY_SIZE(calls))];
			size_t first = rng_below(&rng, MODEL_PAGES);
			size_t pages = 1 + rng_below(&rng, min_u64(6, MODEL_PAGES - first));
			bool conflict = false;
			for (size_t n = first; n < first + pages; n++)
				for (unsigned type = 0; type < MEMORY_TYPES; type++)
					conflict |= type != call->type && counts[n][type];
			test_warnings_begin();
			void *device = call->map(no_ram() + first * PAGE_SIZE, pages * PAGE_SIZE);
			assert_int_equal(test_warnings_end(), conflict);
			assert_int_equal(device == NULL, conflict);
			refused += conflict;
			held[d].address = device;
			held[d].first = first;
			held[d].pages = pages;
			held[d].type = call->type;
			for (size_t n = 0; device && n < pages; n++)
				counts[first + n][call->type]++;
		}
		assert_sound(vmalloc_check());
	}
	assert_at_least(refused, 20);
	assert_like_before();
}

/* ---- Failures ----------------------------------------------------------------------------------------------------- */

static void every_failure_inside_leaves_no_trace_and_one_warning(void)
{
	need_window(4 * PGD_SIZE, "maps devices of more than 1 GiB");
	need_injected_failures();
	for (size_t i = 0; i < 2 * ARRAY_SIZE(calls); i++) {
		const struct call *call = &calls[i / 2];
		size_t size = i % 2 ? PUD_SIZE + PMD_SIZE + PAGE_SIZE : PAGE_SIZE;
		bool refused = true;
		unsigned nth = 0;
		while (refused) {
			test_step(i * 100 + ++nth);
			remember_memory();
			refuse_allocation(nth);
			void *device = call->map(no_ram(), size);
			refused = was_refused(device);
			iounmap(device);
			assert_like_before();
		}
		assert_at_least(nth, 3);
	}
}

/* At an odd page it has small leaves only: a table for each 2 MiB, and they run out in each of three parts. */
static void a_device_of_several_parts_is_mapped_wholly_or_not_at_all(void)
{
	static struct hoard hoard;
	size_t size = 2 * AREA_PART + 3 * PAGE_SIZE;
	void *device = NULL;
	unsigned refused = 0;

	need_window(4 * PGD_SIZE, "maps a device of 32 MiB");
	void *other = mapped(ioremap, no_ram() + PUD_SIZE, 1); /* so that descriptors are at hand */
	for (size_t left = 0; !device; left += 2) {
		test_step(left);
		remember_memory();
		hoard_take(&hoard, GFP_KERNEL | __GFP_HIGH | __GFP_NOWARN, left);
		test_warnings_begin();
		device = ioremap(no_ram() + PAGE_SIZE, size);
		refused += test_warnings_end();
		iounmap(device);
		hoard_release(&hoard);
		assert_like_before();
	}
	iounmap(other);
	assert_at_least(refused, size / PMD_SIZE / 2);
}

static void a_leaf_of_1_gib_is_unmapped_whole_where_there_is_no_memory_to_split_it(void)
{
	static struct hoard hoard;

	need_window(4 * PGD_SIZE, "maps devices of more than 1 GiB");
	remember_memory();
	void *device = mapped(ioremap, no_ram(), PUD_SIZE + PAGE_SIZE);
	hoard_take(&hoard, GFP_KERNEL | __GFP_HIGH | __GFP_NOWARN, 0);
	iounmap(device);
	hoard_release(&hoard);
	assert_like_before();
}

static void without_tables_the_registry_forgets_the_mapping_again(void)
{
	need_window(4 * PGD_SIZE, "maps devices of more than 1 GiB");
	remember_memory();
	test_warnings_begin();
	take_all_tables(NULL);
	void *device = ioremap(no_ram(), PUD_SIZE + PAGE_SIZE);
	give_tables();
	assert_int_equal(test_warnings_end(), 1);
	assert_null(device);
	assert_matches(test_warning_last(), "ioremap: * bytes, gfp 0x8, from *: no page-table page");
	assert_like_before();
	iounmap(mapped(ioremap_uc, no_ram(), 1));
	assert_like_before();
}

/* ---- The verifier ------------------------------------------------------------------------------------------------- */

static struct device_mapping *victim; /* UC-, three pages */
static struct vmap_area *victim_area;

static void set_up_victim(void)
{
	void *device = mapped(ioremap, no_ram(), 3 * PAGE_SIZE);
	victim_area = find_vm_area(device);
	victim = container_of(device_trees[MEMORY_UC_MINUS].node, struct device_mapping, rb);
	for (struct rb_node *node = rb_first(&device_trees[MEMORY_UC_MINUS]); node; node = rb_next(node))
		if (container_of(node, struct device_mapping, rb)->va == (uintptr_t)device)
			victim = container_of(node, struct device_mapping, rb);
	assert_int_equal(victim->va, (uintptr_t)device);
}

static void free_victim(void)
{
	assert_sound(vmalloc_check());
	iounmap((void *)victim_area->va_start);
}

#define expect_broken(pattern, damage, repair) expect_broken_by(vmalloc_check(), pattern, damage, repair)

static void the_verifier_sees_D1_a_mapping_in_the_wrong_tree(void)
{
	set_up_victim();
	expect_broken("D1: the mapping of 0x* is WB, but in the tree of UC-", victim->type = MEMORY_WB,
	              victim->type = MEMORY_UC_MINUS);
	free_victim();
}

static void the_verifier_sees_D2_a_wrong_end_of_a_subtree(void)
{
	set_up_victim();
	expect_broken("D2: the mapping of 0x* does not know the highest end of its subtree",
	              victim->subtree_end += PAGE_SIZE, victim->subtree_end -= PAGE_SIZE);
	free_victim();
}

static void the_verifier_sees_D3_two_types_of_one_page(void)
{
	static struct device_mapping stray;

	set_up_victim();
	stray = *victim;
	stray.rb = (struct rb_node){0};
	stray.type = MEMORY_WP; /* nobody else's tree */
	stray.subtree_end = stray.range.end.raw;
	expect_broken(
	        "D3: 0x* is mapped as * and as *",
	        rb_insert(&device_trees[MEMORY_WP], &stray.rb, NULL, &device_trees[MEMORY_WP].node, NULL),
	        rb_erase(&device_trees[MEMORY_WP], &stray.rb, NULL));
	free_victim();
}

static void the_verifier_sees_D4_mapping_and_area_apart(void)
{
	set_up_victim();
	expect_broken("D4: the mapping of 0x* at 0x* has no area", victim_area->flags &= ~(uint32_t)VM_DEVICE,
	              victim_area->flags |= VM_DEVICE);
	expect_broken("D4: the mapping of 0x* is not what its area 0x*-0x* says",
	              victim_area->phys_addr += PAGE_SIZE, victim_area->phys_addr -= PAGE_SIZE);
	expect_broken("D4: the mapping of 0x* is not what its area 0x*-0x* says", victim->caller++,
	              victim->caller--);
	struct vmap_area *area = get_vm_area(PAGE_SIZE, VM_IOREMAP);
	assert_non_null(area);
	expect_broken("D4: * mappings are entered, * areas are there", area->flags |= VM_DEVICE,
	              area->flags &= ~(uint32_t)VM_DEVICE);
	free_vm_area(area);
	free_victim();
}

static void retype(pgprot_t prot)
{
	struct vrange page = vrange_sized(vaddr(victim->va + PAGE_SIZE), PAGE_SIZE);
	assert_true(pagetable_protect(&kernel_pagetable, page, prot));
}

static void the_verifier_sees_D5_a_leaf_of_another_type_or_none(void)
{
	set_up_victim();
	expect_broken("D5: 0x* is mapped UC, not UC-", retype(PAGE_KERNEL_NOCACHE),
	              retype(pgprot_noncached(PAGE_KERNEL)));
	struct vrange page = vrange_sized(vaddr(victim->va + PAGE_SIZE), PAGE_SIZE);
	expect_broken("D5: 0x* does not lead to the device at 0x*",
	              assert_true(pagetable_unmap(&kernel_pagetable, page, NULL)),
	              assert_true(pagetable_map(&kernel_pagetable, page, paddr(no_ram() + PAGE_SIZE),
	                                        pgprot_noncached(PAGE_KERNEL), 1)));
	free_victim();
}

static const struct test_case cases[] = {
        TEST_CASE(a_device_is_mapped_uncached_at_its_odd_address),
        TEST_CASE(each_call_has_its_type_in_leaves_of_every_size),
        TEST_CASE(without_a_pat_wc_and_wt_are_uncached),
        TEST_CASE(the_names_of_the_types_are_those_of_the_processors_manual),
        TEST_CASE(an_area_lies_at_a_multiple_of_its_size_up_to_1_gib),
        TEST_CASE(a_large_device_has_the_largest_leaves_that_fit),
        TEST_CASE(another_type_is_refused_and_both_owners_are_named),
        TEST_CASE(one_common_page_is_a_conflict_and_touching_is_none),
        TEST_CASE(a_refused_device_leaves_no_table_behind),
        TEST_CASE(the_same_type_overlaps_and_the_last_to_go_frees_the_range),
        TEST_CASE(what_is_unmapped_may_be_mapped_with_every_type_in_turn),
        TEST_CASE(random_decisions_agree_with_a_count_per_page_and_type),
        TEST_CASE(every_failure_inside_leaves_no_trace_and_one_warning),
        TEST_CASE(a_device_of_several_parts_is_mapped_wholly_or_not_at_all),
        TEST_CASE(a_leaf_of_1_gib_is_unmapped_whole_where_there_is_no_memory_to_split_it),
        TEST_CASE(without_tables_the_registry_forgets_the_mapping_again),
        TEST_CASE(the_verifier_sees_D1_a_mapping_in_the_wrong_tree),
        TEST_CASE(the_verifier_sees_D2_a_wrong_end_of_a_subtree),
        TEST_CASE(the_verifier_sees_D3_two_types_of_one_page),
        TEST_CASE(the_verifier_sees_D4_mapping_and_area_apart),
        TEST_CASE(the_verifier_sees_D5_a_leaf_of_another_type_or_none),
};

extern const struct test_suite ioremap_suite;
const struct test_suite ioremap_suite = TEST_SUITE("ioremap", cases);
