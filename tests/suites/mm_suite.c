/*
 * The subsystem as a whole: failures injected at every allocation of every public call, exhaustion and recovery, and
 * proof that mm_verify() and mm_fingerprint() can tell.
 */
#include <remote.h>
#include <test/test.h>
#include <mm/fault_inject.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/ptdump.h>
#include <mm/vmalloc.h>
#include <expected.h>
#include <no_trace.h>
#include "../../mm/mm_internal.h"

/* A hole in every PC's RAM: the VGA window. */
#define NO_RAM_START 0xa0000UL

static char words[2048];

/* ---- Failure sweep ------------------------------------------------------------------------------------------------ */

/* Performs one public call, releases what it got, and tells whether it got it. */
struct sweep_call {
	const char *name;
	bool (*succeeds)(void);
};

static bool page_order_0(void)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_NOWARN);
	if (page)
		__free_page(page);
	return page;
}

static bool page_order_3(void)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, 3);
	if (page)
		__free_pages(page, 3);
	return page;
}

static bool zeroed_page(void)
{
	unsigned long address = get_zeroed_page(GFP_KERNEL | __GFP_NOWARN);
	free_pages(address, 0);
	return address;
}

static bool exact_pages(void)
{
	void *memory = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN);
	if (memory)
		free_pages_exact(memory, 5 * PAGE_SIZE);
	return memory;
}

static bool bulk_pages(void)
{
	struct page *pages[40];
	size_t got = alloc_pages_bulk(GFP_KERNEL | __GFP_NOWARN, ARRAY_SIZE(pages), pages);
	free_pages_bulk(got, pages);
	return got == ARRAY_SIZE(pages);
}

static bool ranged_pages(void)
{
	struct page *page = alloc_pages_range(GFP_KERNEL | __GFP_NOWARN, 2, prange(0, ZONE_DMA32_END));
	if (page)
		__free_pages(page, 2);
	return page;
}

static bool small_kmalloc(void)
{
	void *object = kmalloc(24, GFP_KERNEL | __GFP_NOWARN);
	kfree(object);
	return object;
}

static bool biggest_class_kmalloc(void)
{
	void *object = kzalloc(KMALLOC_MAX_CACHE_SIZE, GFP_KERNEL | __GFP_NOWARN);
	kfree(object);
	return object;
}

static bool large_kmalloc(void)
{
	void *object = kmalloc(5 * PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN);
	kfree(object);
	return object;
}

static bool array_kcalloc(void)
{
	void *object = kcalloc(33, 7, GFP_KERNEL | __GFP_NOWARN);
	kfree(object);
	return object;
}

static bool growing_krealloc(void)
{
	char *object = kmalloc(32, GFP_KERNEL | __GFP_NOWARN);
	if (!object)
		return false;
	memset(object, 'o', 32);
	char *grown = krealloc(object, 3000, GFP_KERNEL | __GFP_NOWARN);
	const char *kept = grown ? grown : object;
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(kept[i], 'o');
	kfree(kept);
	return grown;
}

static bool cache_life(void)
{
	struct kmem_cache *cache = kmem_cache_create("sweep", 100, 0, 0, NULL);
	if (!cache)
		return false;
	void *object = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NOWARN);
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	return object;
}

static bool cache_bulk(void)
{
	void *objects[70];
	struct kmem_cache *cache = kmem_cache_create("sweep-bulk", 200, 0, 0, NULL);
	if (!cache)
		return false;
	size_t got = kmem_cache_alloc_bulk(cache, GFP_KERNEL | __GFP_NOWARN, ARRAY_SIZE(objects), objects);
	kmem_cache_free_bulk(cache, got, objects);
	kmem_cache_destroy(cache);
	return got == ARRAY_SIZE(objects);
}

static bool vmalloc_of(size_t size, gfp_t gfp)
{
	void *memory = __vmalloc(size, GFP_KERNEL | __GFP_NOWARN | gfp, PAGE_KERNEL);
	vfree(memory);
	return memory;
}

static bool vmalloc_byte(void)
{
	return vmalloc_of(1, 0);
}

static bool vmalloc_over_batches(void)
{
	return vmalloc_of(70 * PAGE_SIZE, __GFP_ZERO);
}

static bool vmalloc_over_tables(void)
{
	return vmalloc_of(5 * PMD_SIZE / 2, 0);
}

static bool vmalloc_aligned_inside(void)
{
	void *memory = __vmalloc_node_range(3 * PAGE_SIZE, PMD_SIZE, mm_state.vmalloc.start.raw + PAGE_SIZE,
	                                    mm_state.vmalloc.end.raw, GFP_KERNEL | __GFP_NOWARN, PAGE_KERNEL,
	                                    0, NUMA_NO_NODE, (void *)CALLER_ADDRESS);
	vfree(memory);
	return memory;
}

static bool vmap_pages(void)
{
	struct page *pages[4];
	bool done = false;

	size_t got = alloc_pages_bulk(GFP_KERNEL | __GFP_NOWARN, ARRAY_SIZE(pages), pages);
	if (got == ARRAY_SIZE(pages)) {
		void *mapped = vmap(pages, ARRAY_SIZE(pages), VM_MAP, PAGE_KERNEL_RO);
		vunmap(mapped);
		done = mapped;
	}
	free_pages_bulk(got, pages);
	return done;
}

static bool reserved_area(void)
{
	struct vmap_area *area = get_vm_area(PAGE_SIZE, VM_MAP);
	if (area)
		free_vm_area(area);
	return area;
}

static bool device_memory(void)
{
	void *registers = ioremap(NO_RAM_START + 16, 100);
	iounmap(registers);
	return registers;
}

static bool kvmalloc_large(void)
{
	void *memory = kvmalloc(9 * PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN);
	kvfree(memory);
	return memory;
}

static const struct sweep_call sweep_calls[] = {
        {"alloc_page", page_order_0},
        {"alloc_pages(3)", page_order_3},
        {"get_zeroed_page", zeroed_page},
        {"alloc_pages_exact", exact_pages},
        {"alloc_pages_bulk", bulk_pages},
        {"alloc_pages_range", ranged_pages},
        {"kmalloc(24)", small_kmalloc},
        {"kzalloc(8192)", biggest_class_kmalloc},
        {"kmalloc(5 pages)", large_kmalloc},
        {"kcalloc", array_kcalloc},
        {"krealloc", growing_krealloc},
        {"kmem_cache_create", cache_life},
        {"kmem_cache_alloc_bulk", cache_bulk},
        {"vmalloc(1)", vmalloc_byte},
        {"vzalloc(70 pages)", vmalloc_over_batches},
        {"vmalloc(5 MiB)", vmalloc_over_tables},
        {"__vmalloc_node_range", vmalloc_aligned_inside},
        {"vmap", vmap_pages},
        {"get_vm_area", reserved_area},
        {"ioremap", device_memory},
        {"kvmalloc(9 pages)", kvmalloc_large},
};

static void every_allocation_of_every_public_call_may_fail_and_leaves_no_trace(void)
{
	unsigned injected = 0, survived = 0;

	need_injected_failures();
	need_window(16UL << 20, "takes an area of 5 MiB");
	for (size_t c = 0; c < ARRAY_SIZE(sweep_calls); c++) {
		for (unsigned nth = 1;; nth++) {
			test_step(c * 10000 + nth);
			remember_memory();
			test_warnings_begin();
			fault_inject_arm(nth);
			bool succeeded = sweep_calls[c].succeeds();
			bool delivered = fault_inject_disarm();
			test_warnings_end();
			if (!memory_is_like_before())
				fail_msg("%s leaves a trace when its allocation %u fails",
				         sweep_calls[c].name, nth);
			assert_sound(mm_verify());
			if (!delivered) {
				if (!succeeded)
					fail_msg("%s fails although nothing was refused",
					         sweep_calls[c].name);
				break;
			}
			injected++;
			survived += succeeded;
		}
	}
	assert_at_least(injected, ARRAY_SIZE(sweep_calls));
	test_note("%u failures injected into %zu calls, %u of them made good by the call itself", injected,
	          ARRAY_SIZE(sweep_calls), survived);
}

/* ---- Exhaustion --------------------------------------------------------------------------------------------------- */

static void taking_all_memory_block_by_block_leaves_nothing_and_all_of_it_comes_back(void)
{
	static struct {
		struct page *page;
		unsigned order;
	} taken[4096];
	size_t count = 0, frames = 0, free_before = nr_free_pages();
	struct rng rng;

	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		struct page *page;
		while ((page = alloc_pages(GFP_ATOMIC | __GFP_NOWARN, (unsigned)order))) {
			assert_at_most(count + 1, ARRAY_SIZE(taken));
			taken[count].page = page;
			taken[count++].order = (unsigned)order;
			frames += 1UL << order;
		}
	}
	assert_int_equal(frames, free_before);
	assert_int_equal(nr_free_pages(), 0);
	assert_sound(page_alloc_check());

	/* Out of memory is an answer, at every door. */
	test_warnings_begin();
	assert_int_equal(nr_free_pages(), 0);
	assert_null(alloc_page(GFP_KERNEL));
	assert_null(kmalloc(5 * PAGE_SIZE, GFP_KERNEL));
	assert_null(vmalloc(PAGE_SIZE));
	assert_at_least(test_warnings_end(), 1);

	rng_seed(&rng, test_seed());
	while (count) {
		size_t i = rng_below(&rng, count--);
		__free_pages(taken[i].page, taken[i].order);
		taken[i] = taken[count];
	}
	assert_int_equal(nr_free_pages(), free_before);
}

/* ---- The oracles can tell ----------------------------------------------------------------------------------------- */

static void a_fingerprint_differs_after_a_leak_of_each_kind(void)
{
	static struct mm_fingerprint before, after;
	struct buffer_printer out;

	mm_fingerprint(&before);
	struct page *page = alloc_page(GFP_KERNEL);
	mm_fingerprint(&after);
	buffer_printer_init(&out, words, sizeof(words));
	assert_false(mm_fingerprint_equal(&before, &after, &out.printer));
	assert_matches(words, "free blocks of order *");
	__free_page(page);

	void *object = kmalloc(64, GFP_KERNEL);
	mm_fingerprint(&after);
	buffer_printer_init(&out, words, sizeof(words));
	assert_false(mm_fingerprint_equal(&before, &after, &out.printer));
	assert_matches(words, "*live objects of cache * before, * after*");
	kfree(object);

	object = kmalloc(3 * PAGE_SIZE, GFP_KERNEL);
	mm_fingerprint(&after);
	buffer_printer_init(&out, words, sizeof(words));
	assert_false(mm_fingerprint_equal(&before, &after, &out.printer));
	assert_matches(words, "*bytes of large kmallocs: *");
	kfree(object);

	object = vmalloc(1);
	mm_fingerprint(&after);
	buffer_printer_init(&out, words, sizeof(words));
	assert_false(mm_fingerprint_equal(&before, &after, &out.printer));
	assert_matches(words, "*virtual areas: *");
	vfree(object);
}

static void the_verifier_notices_ram_that_nobody_accounts_for(void)
{
	/* The highest range: below 1 MiB all is reserved, RAM or not. */
	struct prange *highest = &mm_state.memblock.ram.at[mm_state.memblock.ram.count - 1];
	highest->end.raw += PAGE_SIZE;
	const char *broken = mm_verify();
	highest->end.raw -= PAGE_SIZE;
	assert_non_null(broken);
	assert_matches(broken, "M1: *");
}

static void the_verifier_notices_a_frame_that_claims_to_be_behind_an_area(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	page->type = PAGE_VMALLOC;
	const char *broken = mm_verify();
	page->type = PAGE_HELD;
	__free_page(page);
	assert_non_null(broken);
	assert_matches(broken, "M2: * frames are held by vmalloc, its areas count *");
}

static void the_verifier_notices_a_torn_exact_allocation(void)
{
	void *memory = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(memory);
	struct page *head = virt_to_page(memory), *tail = head + 4;
	char copies[4][128];

	head->private = 4;
	format_buffer(copies[0], sizeof(copies[0]), "%s", mm_verify());
	head->private = 6;
	format_buffer(copies[1], sizeof(copies[1]), "%s", mm_verify());
	head->private = 0;
	format_buffer(copies[2], sizeof(copies[2]), "%s", mm_verify());
	head->private = 5;
	tail->private --;
	format_buffer(copies[3], sizeof(copies[3]), "%s", mm_verify());
	tail->private ++;
	assert_sound(mm_verify());
	free_pages_exact(memory, 5 * PAGE_SIZE);
	assert_matches(copies[0], "M6: pfn 0x* is the tail of no exact allocation");
	assert_matches(copies[1], "M6: the exact allocation at pfn 0x* of 6 pages is torn at pfn 0x*");
	assert_matches(copies[2], "M6: the exact allocation at pfn 0x* has 0 pages");
	assert_matches(copies[3], "M6: the exact allocation at pfn 0x* of 5 pages is torn at pfn 0x*");
}

static void the_verifier_notices_a_large_kmalloc_that_is_not_counted(void)
{
	void *memory = kmalloc(5 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(memory);

	virt_to_page(memory)->type = PAGE_EXACT;
	const char *broken = mm_verify();
	virt_to_page(memory)->type = PAGE_KMALLOC;
	size_t pages = kmalloc_large_bytes() >> PAGE_SHIFT;
	kfree(memory);
	assert_string_equal(broken, expected("M2: %zu frames are held by large kmallocs, counted as %zu",
	                                     pages - 5, pages));
}

static void the_verifier_notices_a_page_table_that_is_not_in_the_tree(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	assert_non_null(page);

	page->type = PAGE_TABLE;
	const char *broken = mm_verify();
	page->type = PAGE_HELD;
	__free_page(page);
	assert_matches(broken, "M2: * frames are page tables, but the kernel's walk needs *");
}

static void the_verifier_notices_a_direct_map_entry_without_ram(void)
{
	struct vrange va = vrange_sized(vaddr(DIRECTMAP_BASE + NO_RAM_START), PAGE_SIZE);

	assert_true(pagetable_map(&kernel_pagetable, va, paddr(NO_RAM_START), PAGE_KERNEL, 1));
	const char *broken = mm_verify();
	assert_true(pagetable_unmap(&kernel_pagetable, va, NULL));
	assert_matches(broken, "M3: the direct map at 0x* covers more than RAM");
}

static void the_verifier_notices_a_writable_alias_of_read_only_image(void)
{
	const struct mm_segment *readonly = NULL;

	for (size_t i = 0; i < mm_state.nr_image && !readonly; i++) {
		if (!(mm_state.image[i].prot.raw & PTE_WRITE))
			readonly = &mm_state.image[i];
	}
	if (!readonly)
		test_skip("this machine has no kernel image");
	struct vmap_area *area = get_vm_area(PAGE_SIZE, VM_IOREMAP);
	assert_non_null(area);
	struct vrange va = vrange_sized(vaddr(area->va_start), PAGE_SIZE);
	assert_true(pagetable_map(&kernel_pagetable, va, readonly->pa, PAGE_KERNEL, 1));
	const char *broken = mm_verify();
	assert_true(pagetable_unmap(&kernel_pagetable, va, NULL));
	free_vm_area(area);
	assert_matches(broken, "M4: 0x* is a writable alias of read-only segment *");
}

static void the_verifier_notices_an_area_over_a_free_frame(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	void *mapped = vmap(&page, 1, VM_MAP, PAGE_KERNEL);

	assert_non_null(mapped);
	__free_page(page);
	const char *broken = mm_verify();
	assert_matches(broken, "M5: vmalloc address 0x* leads to the free frame 0x*"); /* in a CPU's list */
	drain_all_pages();
	broken = mm_verify();
	vunmap(mapped);
	assert_matches(broken, "M5: vmalloc address 0x* leads to the free frame 0x*");
}

/* ---- Words -------------------------------------------------------------------------------------------------------- */

static const char *describe(uint64_t address)
{
	struct buffer_printer out;

	buffer_printer_init(&out, words, sizeof(words));
	mm_describe_address(vaddr(address), &out.printer);
	return words;
}

static void an_address_is_described_by_what_lies_there(void)
{
	uint64_t half = 1UL << (pt_address_bits(kernel_pagetable.levels) - 1);

	assert_matches(describe(8), "NULL page, offset 0x8");
	assert_matches(describe(half), "non-canonical address");
	assert_matches(describe(-half - 1), "non-canonical address");
	assert_matches(describe(half - 1), "unmapped, outside every window of the kernel");
	assert_matches(describe(DIRECTMAP_BASE + NO_RAM_START), "direct map*");
	assert_matches(describe(FRAMES_BASE + 5 * sizeof(struct page)), "frame array, entry of frame 0x5");

	char *object = kmalloc(64, GFP_KERNEL);
	assert_matches(describe((uintptr_t)object + 3), "*kmalloc-64*");
	kfree(object);

	struct page *page = alloc_pages(GFP_KERNEL, 1);
	assert_matches(describe((uintptr_t)page_address(page) + 5000),
	               "direct map, frame 0x* in the block of order 1 at frame 0x* (held) from *");
	__free_pages(page, 1);
	assert_matches(describe((uintptr_t)page_address(page)),
	               "direct map, frame 0x* in the block of order 1 at frame 0x* (free, kept by a CPU)");
	drain_all_pages();
	assert_matches(describe((uintptr_t)page_address(page)),
	               "direct map, frame 0x* in the block of order * (free)");

	char *area = vmalloc(3 * PAGE_SIZE);
	assert_matches(describe((uintptr_t)area + 3 * PAGE_SIZE), "*1 byte* past the end*12288 bytes*");
	vfree(area);
}

static void meminfo_adds_up(void)
{
	static char text[1024];
	struct buffer_printer out;

	buffer_printer_init(&out, text, sizeof(text));
	meminfo_dump(&out.printer);
	assert_true(out.length < sizeof(text));
	assert_matches(
	        text,
	        "MemTotal:* kB\nMemManaged:* kB\nMemFree:* kB\nReserved:* kB\nFrameArray:* kB\nPageTables:* "
	        "kB\nSlab:* kB\nVmallocTotal:* kB\nVmallocUsed:* kB\nVmallocChunk:* kB\n");
	const struct memblock *mb = mm_memblock();
	assert_int_equal(memblock_ram_bytes(mb),
	                 (nr_managed_pages() << PAGE_SHIFT) + memblock_reserved_bytes(mb));
}

static void dump_kernel_pagetable(struct printer *out)
{
	ptdump(&kernel_pagetable, out);
}

static void draw_vmalloc_window(struct printer *out)
{
	vmalloc_picture(vmalloc_used_range(), out);
}

static void every_view_prints_and_allocates_nothing(void)
{
	static char text[32768];
	void (*const views[])(struct printer *) = {
	        buddyinfo_dump,  slabinfo_dump, vmallocinfo_dump,      meminfo_dump,
	        memory_map_dump, layout_dump,   dump_kernel_pagetable, draw_vmalloc_window};
	void *area = vmalloc(1);

	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		struct buffer_printer out;
		size_t free_before = nr_free_pages();
		buffer_printer_init(&out, text, sizeof(text));
		fault_inject_arm(1);
		views[i](&out.printer);
		assert_false(fault_inject_disarm());
		assert_at_least(out.length, 16);
		assert_int_equal(nr_free_pages(), free_before);
	}
	vfree(area);
}

static const struct test_case cases[] = {
        TEST_CASE(every_allocation_of_every_public_call_may_fail_and_leaves_no_trace),
        TEST_CASE(taking_all_memory_block_by_block_leaves_nothing_and_all_of_it_comes_back),
        TEST_CASE(a_fingerprint_differs_after_a_leak_of_each_kind),
        TEST_CASE(the_verifier_notices_ram_that_nobody_accounts_for),
        TEST_CASE(the_verifier_notices_a_frame_that_claims_to_be_behind_an_area),
        TEST_CASE(the_verifier_notices_a_torn_exact_allocation),
        TEST_CASE(the_verifier_notices_a_large_kmalloc_that_is_not_counted),
        TEST_CASE(the_verifier_notices_a_page_table_that_is_not_in_the_tree),
        TEST_CASE(the_verifier_notices_a_direct_map_entry_without_ram),
        TEST_CASE(the_verifier_notices_a_writable_alias_of_read_only_image),
        TEST_CASE(the_verifier_notices_an_area_over_a_free_frame),
        TEST_CASE(an_address_is_described_by_what_lies_there),
        TEST_CASE(meminfo_adds_up),
        TEST_CASE(every_view_prints_and_allocates_nothing),
};

extern const struct test_suite mm_suite;
const struct test_suite mm_suite = TEST_SUITE("mm", cases);
