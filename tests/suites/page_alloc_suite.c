/*
 * The page allocator, live. What has to run out of memory does so in zone DMA, 16 MiB at most, or takes the
 * largest blocks first, so that a terabyte is exhausted in a thousand steps.
 */
#include <test/test.h>

#include <arch/irq.h>
#include <arch/smp.h>
#include <lib/bits.h>
#include <mm/fault_inject.h>
#include <mm/kmalloc.h>
#include <mm/page_alloc.h>
#include <expected.h>
#include <hoard.h>
#include <no_trace.h>

extern const struct test_suite page_alloc_suite;

static struct page *pages[512];

static struct hoard hoard;

/* Takes all that `gfp` can have in `zone`. */
static void hoard_zone(enum zone_type zone, gfp_t gfp)
{
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		struct page *page;
		while ((page = alloc_pages(gfp | __GFP_NOWARN, (unsigned)order))) {
			uint64_t n = page_to_pfn(page).raw;
			if (n < zones[zone].buddy.start) { /* the zone has no more: this came from below */
				__free_pages(page, (unsigned)order);
				break;
			}
			hoard_add(&hoard, page);
		}
	}
}

/* For statements under test whose value does not matter: they do not return. */
static void drop(struct page *page)
{
	if (page)
		__free_pages(page, page->order);
}

/* The zone that serves a plain request. */
static unsigned top_zone(void)
{
	unsigned z = NR_ZONES - 1;

	while (!zones[z].buddy.nr_managed)
		z--;
	return z;
}

static uint32_t interrupt_depth;

static void set_up(void)
{
	interrupt_depth = this_cpu()->interrupt_depth;
}

/* A failed case leaves a usable machine. */
static void tear_down(void)
{
	this_cpu()->interrupt_depth = interrupt_depth;
	fault_inject_disarm();
	hoard_release(&hoard);
}

static void every_order_is_aligned_to_its_size(void)
{
	for (unsigned order = 0; order <= 10; order++) {
		struct page *page = alloc_pages(GFP_KERNEL, order);
		assert_non_null(page);
		assert_true(is_aligned(page_to_paddr(page).raw, PAGE_SIZE << order));
		assert_int_equal(page->type, PAGE_HELD);
		assert_int_equal(page->order, order);
		memset(page_address(page), 0x5a, PAGE_SIZE << order);
		__free_pages(page, order);
	}
}

static void a_held_block_knows_who_asked(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 1);
	uintptr_t here = (uintptr_t)a_held_block_knows_who_asked;

	assert_non_null(page);
	assert_true(page->caller - (uint32_t)here < 4096);
	__free_pages(page, 1);
}

static void zeroed_memory_is_zero_whatever_was_there(void)
{
	for (unsigned order = 0; order <= 3; order++) {
		struct page *page = alloc_pages(GFP_KERNEL, order);
		assert_non_null(page);
		memset(page_address(page), 0xff, PAGE_SIZE << order);
		__free_pages(page, order);

		page = alloc_pages(GFP_KERNEL | __GFP_ZERO,
		                   order); /* the same block: the buddy's lists are LIFO */
		assert_non_null(page);
		const uint64_t *words = page_address(page);
		for (size_t i = 0; i < (PAGE_SIZE << order) / sizeof(*words); i++)
			assert_int_equal(words[i], 0);
		__free_pages(page, order);
	}
}

static void a_zone_flag_bounds_the_address(void)
{
	struct page *low = alloc_pages(GFP_DMA, 0), *middle = alloc_pages(GFP_DMA32, 0);

	assert_non_null(low);
	assert_non_null(middle);
	assert_at_most(page_to_paddr(low).raw, ZONE_DMA_END - PAGE_SIZE);
	assert_at_most(page_to_paddr(middle).raw, ZONE_DMA32_END - PAGE_SIZE);
	__free_page(low);
	__free_page(middle);
}

static void highmem_is_accepted_and_means_nothing(void)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_HIGHMEM, 0);
	assert_non_null(page);
	__free_page(page);
}

static void an_exhausted_zone_falls_back_downward(void)
{
	if (!zones[ZONE_DMA32].buddy.nr_managed)
		test_skip("no RAM in zone DMA32");
	hoard_zone(ZONE_DMA32, GFP_DMA32 | __GFP_HIGH);
	assert_int_equal(zones[ZONE_DMA32].buddy.nr_free, 0);
	struct page *page = alloc_pages(GFP_DMA32, 0);
	assert_non_null(page);
	assert_at_most(page_to_paddr(page).raw, ZONE_DMA_END - PAGE_SIZE);
	__free_page(page);
	hoard_release(&hoard);
}

static void a_zone_never_falls_back_upward(void)
{
	if (nr_managed_pages() == zones[ZONE_DMA].buddy.nr_managed)
		test_skip("no RAM above zone DMA");
	hoard_zone(ZONE_DMA, GFP_DMA | __GFP_HIGH);
	assert_int_equal(zones[ZONE_DMA].buddy.nr_free, 0);
	assert_at_least(nr_free_pages(), 1);
	assert_null(alloc_pages(GFP_DMA | __GFP_HIGH | __GFP_NOWARN, 0));
	assert_null(alloc_pages(GFP_DMA | __GFP_RECLAIM | __GFP_NOWARN, 0));
	assert_int_equal(alloc_pages_bulk(GFP_DMA | __GFP_NOWARN, 3, pages), 0);
	hoard_release(&hoard);
}

static void the_reserve_is_kept_for_those_who_cannot_wait(void)
{
	size_t reserve = zones[ZONE_DMA].reserve;

	assert_at_least(reserve, 1);
	hoard_zone(ZONE_DMA, GFP_DMA);
	assert_int_equal(zones[ZONE_DMA].buddy.nr_free, reserve);
	assert_int_equal(alloc_pages_bulk(GFP_DMA | __GFP_NOWARN, 3, pages), 0);
	for (size_t i = 0; i < reserve; i++) {
		struct page *page = alloc_pages(GFP_DMA | GFP_ATOMIC, 0);
		assert_non_null(page);
		hoard_add(&hoard, page);
	}
	assert_null(alloc_pages(GFP_DMA | GFP_ATOMIC | __GFP_NOWARN, 0));
	hoard_release(&hoard);
}

static void zone_dma_exhausted_comes_back_block_by_block(void)
{
	static uint32_t before[PAGE_ORDERS];

	drain_all_pages();
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		before[order] = zones[ZONE_DMA].buddy.free[order].count;
	struct page_list all = PAGE_LIST_INIT;
	size_t got, expected = zones[ZONE_DMA].buddy.nr_free;
	do {
		got = alloc_pages_bulk(GFP_DMA | __GFP_HIGH | __GFP_NOWARN, ARRAY_SIZE(pages), pages);
		for (size_t i = 0; i < got; i++)
			page_list_add(&all, pages[i]);
	} while (got);
	assert_int_equal(all.count, expected);
	assert_int_equal(zones[ZONE_DMA].buddy.nr_free, 0);
	assert_sound(page_alloc_check());
	free_page_list(&all);
	drain_all_pages();
	assert_int_equal(all.count, 0);
	assert_int_equal(all.head, PFN_NONE);
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		assert_int_equal(zones[ZONE_DMA].buddy.free[order].count, before[order]);
}

static void a_refusal_is_warned_about_once(void)
{
	hoard_zone(ZONE_DMA, GFP_DMA | __GFP_HIGH);
	expect_warning("alloc_pages: order 3 refused, flags 0x11 (__GFP_DMA|__GFP_HIGH), from *; "
	               "frames left: DMA 0, DMA32 *, Normal *",
	               assert_null(alloc_pages(GFP_DMA | __GFP_HIGH, 3)));
	expect_warning("alloc_pages_bulk: order 0 refused, flags 0x1 (__GFP_DMA), from *",
	               assert_int_equal(alloc_pages_bulk(GFP_DMA, 3, pages), 0));
	expect_warning("alloc_pages_exact: order 2 refused, flags 0x9 (__GFP_DMA|__GFP_RECLAIM), from *",
	               assert_null(alloc_pages_exact(3 * PAGE_SIZE, GFP_DMA | GFP_KERNEL)));
	hoard_release(&hoard);
}

static void a_range_without_memory_is_refused_with_no_flags_to_name(void)
{
	struct prange nowhere = prange(0, 0);
	expect_warning("alloc_pages_range: order 0 refused, flags 0x0 (GFP_NOWAIT), from *",
	               assert_null(alloc_pages_range(GFP_NOWAIT, 0, nowhere)));
}

static void nowarn_is_silent(void)
{
	hoard_zone(ZONE_DMA, GFP_DMA | __GFP_HIGH);
	test_warnings_begin();
	assert_null(alloc_pages(GFP_DMA | __GFP_NOWARN, 0));
	assert_null(alloc_pages(GFP_DMA | __GFP_NOWARN, MAX_PAGE_ORDER + 1));
	assert_int_equal(test_warnings_end(), 0);
	hoard_release(&hoard);
}

static void an_order_too_large_is_refused_not_served_smaller(void)
{
	expect_warning("alloc_pages: order 19 refused, from *; the largest is 18",
	               assert_null(alloc_pages(GFP_KERNEL, 19)));
	expect_warning("__get_free_pages: order 4294967295 refused, from *; the largest is 18",
	               assert_int_equal(__get_free_pages(GFP_KERNEL, UINT32_MAX), 0));
	expect_warning("alloc_pages_exact: order * refused, from *; the largest is 18",
	               assert_null(alloc_pages_exact((PAGE_SIZE << MAX_PAGE_ORDER) + 1, GFP_KERNEL)));
	expect_warning("alloc_pages_exact: order * refused, from *; the largest is 18",
	               assert_null(alloc_pages_exact(SIZE_MAX, GFP_KERNEL)));
	expect_warning("alloc_pages_exact: size 0 refused, from *",
	               assert_null(alloc_pages_exact(0, GFP_KERNEL)));
	expect_panic("alloc_pages: order 19 with __GFP_NOFAIL from *: the largest is 18",
	             drop(alloc_pages(GFP_KERNEL | __GFP_NOFAIL, 19)));
}

static void unknown_flags_are_named(void)
{
	expect_panic("alloc_pages: unknown flags 0x1400, from *", drop(alloc_pages(GFP_KERNEL | 0x1400, 0)));
	expect_panic("alloc_pages_bulk: unknown flags 0x80000000, from *",
	             (void)alloc_pages_bulk(1U << 31, 1, pages));
}

static void expect_contradiction(gfp_t gfp, const char *what)
{
	static char pattern[128];

	assert_string_equal(gfp_contradiction(gfp), what);
	drop(alloc_pages(GFP_KERNEL, 0)); /* this CPU has one at hand */
	format_buffer(pattern, sizeof(pattern), "alloc_pages: %s, from *", what);
	expect_panic(pattern, drop(alloc_pages(gfp, 0)));
	format_buffer(pattern, sizeof(pattern), "alloc_pages_bulk: %s, from *", what);
	expect_panic(pattern, (void)alloc_pages_bulk(gfp, 1, pages));
	format_buffer(pattern, sizeof(pattern), "alloc_pages_exact: %s, from *", what);
	expect_panic(pattern, assert_null(alloc_pages_exact(1, gfp)));
}

static void flags_that_contradict_each_other_are_named(void)
{
	expect_contradiction(GFP_KERNEL | __GFP_NORETRY | __GFP_NOFAIL, "__GFP_NORETRY with __GFP_NOFAIL");
	expect_contradiction(GFP_KERNEL | __GFP_NORETRY | __GFP_RETRY_MAYFAIL,
	                     "__GFP_NORETRY with __GFP_RETRY_MAYFAIL");
	expect_contradiction(GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOFAIL,
	                     "__GFP_RETRY_MAYFAIL with __GFP_NOFAIL");
	expect_contradiction(GFP_KERNEL | GFP_EFFORT, "__GFP_NORETRY with __GFP_NOFAIL");
	expect_contradiction(GFP_ATOMIC | __GFP_NOFAIL, "__GFP_NOFAIL without __GFP_RECLAIM");
	expect_contradiction(GFP_DMA | __GFP_RETRY_MAYFAIL, "__GFP_RETRY_MAYFAIL without __GFP_RECLAIM");
	drop(alloc_pages(__GFP_NORETRY, 0)); /* does not reclaim, and would not for long */
}

static void what_may_reclaim_is_caught_in_interrupts(void)
{
	this_cpu()->interrupt_depth++;
	expect_panic("alloc_pages: GFP_KERNEL in interrupt context, from *",
	             drop(alloc_pages(GFP_KERNEL, 0)));
	expect_panic("alloc_pages_bulk: GFP_KERNEL in interrupt context, from *",
	             (void)alloc_pages_bulk(GFP_KERNEL, 1, pages));
	expect_panic("alloc_pages_exact: GFP_KERNEL in interrupt context, from *",
	             assert_null(alloc_pages_exact(0, GFP_KERNEL)));
	expect_panic("reclaim_pages: in interrupt context", (void)reclaim_pages());
	struct page *page = alloc_pages(GFP_ATOMIC, 0);
	assert_non_null(page);
	__free_page(page);
	this_cpu()->interrupt_depth--;
}

static void no_shrinker_runs_under_a_lock(void)
{
	static struct spinlock lock = SPINLOCK_INIT("test", 1);

	if (!IS_DEBUG)
		test_skip("the debug build counts locks");
	irqflags_t flags = spin_lock_irqsave(&lock);
	expect_panic("mutex reclaim: wanted with the spinlock test held", (void)reclaim_pages());
	spin_unlock_irqrestore(&lock, flags);
}

/* A cache that can give back what it keeps: the hoard, when it is told to. */
static size_t frames_to_give, times_asked;

static size_t shrink_hoard(void)
{
	size_t freed = hoard_give(&hoard, frames_to_give);

	times_asked++;
	frames_to_give = 0;
	return freed;
}

static void use_test_shrinker(void)
{
	static struct shrinker shrinker = {.name = "test", .shrink = shrink_hoard};

	if (!shrinker.link.next) /* there is no way back: registered once, asked for nothing between cases */
		register_shrinker(&shrinker);
	frames_to_give = 0;
	times_asked = 0;
}

static void shrinkers_run_before_a_request_is_refused(void)
{
	use_test_shrinker();
	hoard_zone(ZONE_DMA, GFP_DMA | __GFP_HIGH);

	frames_to_give = 1;
	assert_null(alloc_pages(GFP_DMA | GFP_ATOMIC | __GFP_NOWARN, 0)); /* may not wait for them */
	assert_int_equal(times_asked, 0);

	frames_to_give = zones[ZONE_DMA].reserve + 1;
	struct page *page = alloc_pages(GFP_DMA | GFP_KERNEL, 0);
	assert_non_null(page);
	assert_int_equal(times_asked, 1);
	hoard_add(&hoard, page);

	frames_to_give = zones[ZONE_DMA].reserve + 1;
	assert_int_equal(alloc_pages_bulk(GFP_DMA | GFP_KERNEL, 1, pages), 1);
	hoard_add(&hoard, pages[0]);
	hoard_release(&hoard);
}

/* It would wait for itself. */
static size_t times_inside, reclaimed_inside;

static size_t shrink_by_reclaiming(void)
{
	times_inside++;
	reclaimed_inside += reclaim_pages();
	return 0;
}

static void what_a_shrinker_asks_for_is_not_reclaimed_for(void)
{
	static struct shrinker shrinker = {.name = "test, reclaiming", .shrink = shrink_by_reclaiming};

	register_shrinker(&shrinker);
	times_inside = reclaimed_inside = 0;
	(void)reclaim_pages();
	list_del(&shrinker.link);
	assert_int_equal(times_inside, 1);
	assert_int_equal(reclaimed_inside, 0);
}

/* Memory for itself, with none left, and with one frame left. */
static struct page *asked_with_nothing_left, *asked_with_one_left;
static size_t times_asking;

static size_t shrink_by_asking(void)
{
	times_asking++;
	asked_with_nothing_left = alloc_pages(GFP_DMA | __GFP_RECLAIM | __GFP_RETRY_MAYFAIL, 0);
	hoard_give(&hoard, zones[ZONE_DMA].reserve + 1);
	drain_all_pages(); /* out of this CPU's lists of larger blocks, where they would be of no use */
	asked_with_one_left = alloc_pages(GFP_DMA | GFP_KERNEL, 0);
	return 0;
}

static void a_shrinker_that_asks_is_given_what_is_there_and_refused_what_is_not(void)
{
	static struct shrinker shrinker = {.name = "test, asking", .shrink = shrink_by_asking};

	hoard_zone(ZONE_DMA, GFP_DMA | __GFP_HIGH);
	register_shrinker(&shrinker);
	times_asking = 0;
	expect_warning("alloc_pages: order 0 refused, flags 0x209 "
	               "(__GFP_DMA|__GFP_RECLAIM|__GFP_RETRY_MAYFAIL), from *",
	               (void)reclaim_pages());
	list_del(&shrinker.link);
	drop(asked_with_one_left);
	hoard_release(&hoard);
	assert_int_equal(times_asking, 1);
	assert_null(asked_with_nothing_left);
	assert_non_null(asked_with_one_left);
}

/* Which shrinkers ran, in turn. */
static char order_seen[8];

static size_t shrink_first(void)
{
	order_seen[strlen(order_seen)] = '1';
	return 0;
}

static size_t shrink_second(void)
{
	order_seen[strlen(order_seen)] = '2';
	return 0;
}

static void what_was_registered_last_gives_back_first(void)
{
	static struct shrinker first = {.name = "test, first", .shrink = shrink_first},
	                       second = {.name = "test, second", .shrink = shrink_second};

	memset(order_seen, 0, sizeof(order_seen));
	register_shrinker(&first);
	register_shrinker(&second);
	(void)reclaim_pages();
	(void)reclaim_pages();
	list_del(&first.link);
	list_del(&second.link);
	assert_string_equal(order_seen, "2121");
}

static void nofail_reclaims_again_and_again_then_takes_the_reserve_then_panics(void)
{
	use_test_shrinker();
	hoard_zone(ZONE_DMA, GFP_DMA);
	size_t reserve = zones[ZONE_DMA].reserve;
	for (size_t i = 0; i < reserve; i++) {
		struct page *page = alloc_pages(GFP_DMA | GFP_KERNEL | __GFP_NOFAIL, 0);
		assert_non_null(page);
		hoard_add(&hoard, page);
	}
	assert_int_equal(zones[ZONE_DMA].buddy.nr_free, 0);
	assert_int_equal(times_asked, reserve);
	expect_panic("alloc_pages: order 0 with __GFP_NOFAIL from *: out of memory",
	             drop(alloc_pages(GFP_DMA | GFP_KERNEL | __GFP_NOFAIL, 0)));
	expect_panic("alloc_pages_bulk: order 0 with __GFP_NOFAIL from *: out of memory",
	             (void)alloc_pages_bulk(GFP_DMA | GFP_KERNEL | __GFP_NOFAIL, 1, pages));
	hoard_release(&hoard);
}

static void memory_that_may_be_waited_for_is_not_asked_for_under_a_lock(void)
{
	static struct spinlock lock = SPINLOCK_INIT("test", 1);

	if (!IS_DEBUG)
		test_skip("locks are watched in the debug build only");
	irqflags_t flags = spin_lock_irqsave(&lock);
	expect_panic("*page_alloc.c:*: assertion failed: *held_locks*", drop(alloc_page(GFP_KERNEL)));
	expect_panic("*slab.c:*: assertion failed: *held_locks*", kfree(kmalloc(8, GFP_KERNEL)));
	struct page *page = alloc_page(GFP_ATOMIC);
	spin_unlock_irqrestore(&lock, flags);
	assert_non_null(page);
	__free_page(page);
}

static void five_pages_hold_five(void)
{
	for (size_t count = 1; count <= 33; count++) {
		size_t before = nr_free_pages();
		unsigned char *bytes = alloc_pages_exact(count * PAGE_SIZE - 5, GFP_KERNEL | __GFP_ZERO);
		assert_non_null(bytes);
		assert_int_equal(before - nr_free_pages(), count);
		assert_int_equal(bytes[0] | bytes[count * PAGE_SIZE - 1], 0);
		memset(bytes, 0xff, count * PAGE_SIZE);
		assert_sound(page_alloc_check());
		free_pages_exact(bytes, count * PAGE_SIZE - 5);
		assert_int_equal(nr_free_pages(), before);
	}
}

static void an_exact_free_with_another_size_changes_nothing(void)
{
	void *five = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(five);
	size_t before = nr_free_pages();

	/* 4 pages would be the first of its blocks, and leave the fifth behind. */
	static const size_t others[] = {1, 3, 4, 6, 8, 16};
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		expect_panic(
		        expected(
		                "free_pages_exact: pfn 0x* order *: %zu pages, but the exact allocation by * has 5",
		                others[i]),
		        free_pages_exact(five, others[i] * PAGE_SIZE));
	}
	expect_panic("free_pages_exact: 0x*: size 0 is none that was ever given", free_pages_exact(five, 0));
	expect_panic("free_pages_exact: 0x*: size 18446744073709551615 is none that was ever given",
	             free_pages_exact(five, SIZE_MAX));
	assert_int_equal(nr_free_pages(), before);
	free_pages_exact(five, 4 * PAGE_SIZE + 1);
	expect_panic("free_pages_exact: pfn 0x* order 2: already free, *",
	             free_pages_exact(five, 5 * PAGE_SIZE));
}

static void part_of_an_exact_allocation_is_not_freed_by_itself(void)
{
	void *five = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(five);
	struct page *head = virt_to_page(five);
	size_t before = nr_free_pages();

	expect_panic("__free_pages: pfn 0x* order 2: belongs to exact, order 2, by *", __free_pages(head, 2));
	expect_panic("__free_pages: pfn 0x* order 0: belongs to exact tail, order 0, by *",
	             __free_page(head + 4));
	expect_panic("free_pages_exact: pfn 0x* order 0: belongs to exact tail, order 0, by *",
	             free_pages_exact(page_address(head + 4), PAGE_SIZE));
	assert_int_equal(nr_free_pages(), before);
	free_pages_exact(five, 5 * PAGE_SIZE);

	struct page *page = alloc_pages(GFP_KERNEL, 2);
	assert_non_null(page);
	expect_panic("free_pages_exact: pfn 0x* order 2: is no exact allocation, held by *",
	             free_pages_exact(page_address(page), 4 * PAGE_SIZE));
	__free_pages(page, 2);
}

static void bulk_fills_the_array_and_comes_back(void)
{
	size_t before = nr_free_pages();

	assert_int_equal(alloc_pages_bulk(GFP_KERNEL | __GFP_ZERO, ARRAY_SIZE(pages), pages),
	                 ARRAY_SIZE(pages));
	assert_int_equal(before - nr_free_pages(), ARRAY_SIZE(pages));
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		uint64_t *words = page_address(pages[i]);
		assert_int_equal(words[0] | words[PAGE_SIZE / 8 - 1], 0);
		words[0] = i + 1; /* a frame given twice would show a number */
		assert_int_equal(pages[i]->type_order, page_type_order(PAGE_HELD, 0));
	}
	__free_page(pages[0]);
	free_pages_bulk(ARRAY_SIZE(pages) - 1, pages + 1);
	assert_int_equal(nr_free_pages(), before);
}

static void a_bulk_free_may_mix_zones(void)
{
	size_t before = nr_free_pages();

	for (size_t i = 0; i < 16; i++) {
		pages[i] = alloc_pages(i % 2 ? GFP_KERNEL : GFP_DMA, 0);
		assert_non_null(pages[i]);
	}
	free_pages_bulk(16, pages);
	assert_int_equal(nr_free_pages(), before);
}

static void a_bulk_free_reports_the_frame_that_is_wrong(void)
{
	static const size_t counts[] = {3, 10}; /* one by one, and in bulk */

	for (volatile unsigned i = 0; i < 2 * ARRAY_SIZE(counts); i++) {
		size_t count = counts[i / 2];
		bool drained = i % 2;
		assert_int_equal(alloc_pages_bulk(GFP_KERNEL, count, pages), count);
		__free_page(pages[count - 2]);
		if (drained)
			drain_all_pages();
		expect_panic(
		        drained ? "free_pages_bulk: pfn 0x* order 0: already free, in the free block of order *"
		                : "free_pages_bulk: pfn 0x* order 0: already free, in the block of order 0 *",
		        free_pages_bulk(count, pages));
		__free_page(pages[counts[i / 2] - 1]); /* never reached; those before were freed */
	}
	for (volatile unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		size_t count = counts[i], before = nr_free_pages();
		assert_int_equal(alloc_pages_bulk(GFP_KERNEL, count, pages), count);
		struct page *last = pages[count - 1];
		pages[count - 1] = (struct page *)((uintptr_t)last + 8);
		expect_panic("free_pages_bulk: 0x* is no struct page", free_pages_bulk(count, pages));
		assert_int_equal(nr_free_pages(), before - 1);
		__free_page(last);
	}
}

static void a_page_list_takes_and_gives_any_number(void)
{
	struct page_list list = PAGE_LIST_INIT;
	size_t before = nr_free_pages();

	assert_null(page_list_take(&list));
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 200, pages), 200);
	for (size_t i = 0; i < 200; i++)
		page_list_add(&list, pages[i]);
	assert_int_equal(list.count, 200);
	struct page *page = page_list_take(&list);
	assert_ptr_equal(page, pages[199]);
	__free_page(page);
	free_page_list(&list);
	assert_int_equal(list.count, 0);
	assert_int_equal(nr_free_pages(), before);
}

static void a_block_in_a_given_range_lies_there(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 4);
	assert_non_null(page);
	paddr_t pa = page_to_paddr(page);
	__free_pages(page, 4);

	/* That block is free now: pages of it can be had by address. */
	page = alloc_pages_range(GFP_KERNEL, 0,
	                         prange(pa.raw + 5 * PAGE_SIZE - 1, pa.raw + 6 * PAGE_SIZE + 1));
	assert_non_null(page);
	assert_int_equal(page_to_paddr(page).raw, pa.raw + 5 * PAGE_SIZE);
	assert_null(alloc_pages_range(GFP_KERNEL | __GFP_NOWARN, 0,
	                              prange(pa.raw + 5 * PAGE_SIZE, pa.raw + 6 * PAGE_SIZE)));
	__free_page(page);
	assert_null(alloc_pages_range(GFP_KERNEL | __GFP_NOWARN, 1,
	                              prange(pa.raw + PAGE_SIZE, pa.raw + 3 * PAGE_SIZE)));
	assert_null(alloc_pages_range(GFP_KERNEL | __GFP_NOWARN, 0, prange(UINT64_MAX - 5, UINT64_MAX)));
}

static void addresses_and_pages_name_the_same_memory(void)
{
	unsigned long address = __get_free_pages(GFP_KERNEL, 2);
	assert_int_not_equal(address, 0);
	assert_ptr_equal(page_address(virt_to_page((void *)address)), address);
	assert_int_equal(virt_to_page((void *)address)->order, 2);
	free_pages(address, 2);
	free_pages(0, 2);

	address = get_zeroed_page(GFP_KERNEL);
	assert_int_not_equal(address, 0);
	assert_int_equal(*(uint64_t *)address, 0);
	free_pages(address, 0);
}

static void every_mistaken_free_is_reported_exactly(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 2);
	assert_non_null(page);
	uintptr_t address = (uintptr_t)page_address(page);

	expect_panic("__free_pages: pfn 0x* order 0: inside the block of order 2 at pfn 0x*, held by *",
	             __free_pages(page + 1, 0));
	expect_panic("__free_pages: pfn 0x* order 1: held with order 2 by *", __free_pages(page, 1));
	expect_panic("__free_pages: pfn 0x* order 1: not aligned to the order", __free_pages(page + 1, 1));
	expect_panic("__free_pages: pfn 0x* order 19: order too large", __free_pages(page, 19));
	expect_panic("__free_pages: 0x* is no struct page",
	             __free_pages((struct page *)((uintptr_t)page + 3), 2));
	expect_panic("__free_pages: pfn 0x* order 0: no frame of RAM",
	             __free_pages(pfn_to_page(page_array_end()), 0));
	expect_panic("__free_pages: pfn 0x* order 0: no frame of RAM", __free_pages(NULL, 0));
	expect_panic("free_pages: 0x* is not the start of a page", free_pages(address + 8, 2));
	expect_panic("free_pages: 0x1000 is no direct-map address", free_pages(0x1000, 0));
	page->type = PAGE_SLAB;
	expect_panic("__free_pages: pfn 0x* order 2: belongs to slab, order 2, by *", __free_pages(page, 2));
	expect_panic("__free_pages: pfn 0x* order 0: inside the block of order 2 at pfn 0x*, slab by *",
	             __free_pages(page + 1, 0));
	page->type = PAGE_HELD;
	__free_pages(page, 2);
	if (zones[top_zone()].batch >> 2) /* else the zone is too small for lists of such blocks */
		expect_panic(
		        "__free_pages: pfn 0x* order 2: already free, in the block of order 2 at pfn 0x* that a CPU keeps, last held by *",
		        __free_pages(page, 2));
	drain_all_pages();
	expect_panic(
	        "__free_pages: pfn 0x* order 2: already free, in the free block of order * at pfn 0x*, last held by *",
	        __free_pages(page, 2));
}

static void a_block_freed_twice_at_once_is_noticed_when_it_is_handed_out_again(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	assert_non_null(page);
	__free_page(page);
	page->type = PAGE_HELD; /* as if another CPU had found it held, freed it, and been given it */
	expect_panic("alloc_pages: pfn 0x* in the list of CPU 0 is held, order 0: freed twice at once, *",
	             drop(alloc_page(GFP_KERNEL)));
	__free_page(page); /* it left the list with the report */
}

static void a_block_freed_twice_at_once_is_noticed_on_its_way_home_as_well(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	assert_non_null(page);
	__free_page(page);
	page->type = PAGE_HELD;
	size_t free_before = nr_free_pages();
	expect_panic("alloc_pages: pfn 0x* in the list of CPU 0 is held, order 0: freed twice at once, *",
	             drain_all_pages());
	assert_int_equal(nr_free_pages(),
	                 free_before - 1); /* it is its holder's; the rest of the list is home */
	assert_sound(page_alloc_check());
	__free_page(page);
}

/* Small blocks come out of this CPU's own list, and go back there: the buddy is not asked. */
static void small_blocks_meet_the_zone_once_a_batch(void)
{
	enum { BLOCKS = 256 };
	uint32_t batch = (uint32_t)min_u64(zones[top_zone()].batch, 64);
	uint64_t before = counter_sum(COUNT_PAGE_REFILLS) + counter_sum(COUNT_PAGE_DRAINS);

	if (batch < 8)
		test_skip("the zone is too small for lists");
	for (unsigned i = 0; i < BLOCKS; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		assert_non_null(pages[i]);
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		__free_page(pages[i]);
	uint64_t met = counter_sum(COUNT_PAGE_REFILLS) + counter_sum(COUNT_PAGE_DRAINS) - before;
	assert_at_least(met, 2);
	assert_at_most(met, 2 * (BLOCKS / batch + 2));

	for (unsigned i = 0; i < 1000; i++)
		drop(alloc_pages(GFP_KERNEL, i % 4));
	assert_at_most(counter_sum(COUNT_PAGE_REFILLS) + counter_sum(COUNT_PAGE_DRAINS) - before - met, 8);
}

/* Frees `frame`, and tells how many frames went home meanwhile. */
static size_t drained_by_freeing(struct page *frame)
{
	struct zone *zone = &zones[top_zone()];
	size_t before = zone->buddy.nr_free;

	__free_page(frame);
	return zone->buddy.nr_free - before;
}

static void a_run_goes_home_whole_where_the_buddy_would_not_cut_it(void)
{
	uint32_t batch = (uint32_t)min_u64(zones[top_zone()].batch, 64);
	unsigned order = log2_floor(batch) + 2;

	if (batch < 8)
		test_skip("the zone is too small for lists");
	drain_all_pages();
	struct page *frames = alloc_pages(GFP_KERNEL, order);
	assert_non_null(frames);
	split_page(frames, order);

	/* The list: frames 2, 1, 0, and then from the last one downward. */
	uint32_t last = 4 * batch, kept = 3;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(drained_by_freeing(&frames[2 - i]), 0);
	for (; kept < 2 * batch - 1; kept++)
		assert_int_equal(drained_by_freeing(&frames[--last]), 0);
	assert_int_equal(drained_by_freeing(&frames[--last]), 3);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(drained_by_freeing(&frames[--last]), 0);
	size_t blocks = zones[top_zone()].buddy.free[order - 2].count;
	assert_int_equal(drained_by_freeing(&frames[--last]), batch);
	assert_int_equal(zones[top_zone()].buddy.free[order - 2].count, blocks + 1); /* in one piece */
	while (last > 3)
		__free_page(&frames[--last]);
	drain_all_pages();
}

static void what_a_cpu_keeps_is_free_and_found_before_anything_is_refused(void)
{
	size_t before = zone_free_pages(&zones[ZONE_DMA]);

	for (unsigned order = 0; order < 4; order++) /* some of each in the list */
		drop(alloc_pages(GFP_DMA, order));
	assert_int_equal(zone_free_pages(&zones[ZONE_DMA]), before);
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		struct page *page;
		while ((page = alloc_pages(GFP_DMA | __GFP_HIGH | __GFP_NOWARN, (unsigned)order)))
			hoard_add(&hoard, page);
	}
	assert_int_equal(zone_free_pages(&zones[ZONE_DMA]), 0);
	hoard_release(&hoard);
	assert_int_equal(zone_free_pages(&zones[ZONE_DMA]), before);
}

static void a_frame_that_was_never_ours_is_reported_as_such(void)
{
	/* Page 0 is never given away: mm_init() reserves low memory. */
	expect_panic("__free_pages: pfn 0x0 order 0: reserved, not the allocator's",
	             __free_pages(pfn_to_page(pfn(0)), 0));
}

static void a_frame_that_was_never_allocated_is_reported_as_such(void)
{
	/* Somewhere a 2 MiB block was never cut: its second frame was never anybody's. */
	for (int z = NR_ZONES - 1; z >= 0; z--) {
		const struct buddy *buddy = &zones[z].buddy;
		for (unsigned order = GROUP_ORDER; order < PAGE_ORDERS; order++) {
			uint32_t n = buddy->free[order].head;
			if (n == PFN_NONE || page_entry_written(&buddy->array, n + 1UL))
				continue;
			expect_panic("__free_pages: pfn 0x* order 0: never allocated, "
			             "in the free block of order * at pfn 0x*",
			             __free_pages(pfn_to_page(pfn(n + 1UL)), 0));
			return;
		}
	}
	test_skip("every free 2 MiB block has been cut before");
}

static void an_injected_failure_is_one_quiet_refusal(void)
{
	need_injected_failures();
	test_warnings_begin();
	fault_inject_arm(2);
	struct page *first = alloc_pages(GFP_KERNEL, 0), *second = alloc_pages(GFP_KERNEL, 0),
	            *third = alloc_pages(GFP_KERNEL, 0);
	assert_true(fault_inject_disarm());
	assert_int_equal(test_warnings_end(), 0);
	assert_true(first && !second && third);
	__free_page(first);
	__free_page(third);

	fault_inject_arm(1);
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 2, pages), 0);
	assert_true(fault_inject_disarm());
	fault_inject_arm(1);
	first = alloc_pages(GFP_KERNEL | __GFP_NOFAIL, 0);
	assert_false(fault_inject_disarm()); /* never asked */
	assert_non_null(first);
	__free_page(first);
}

/* Blocks that are full of their own number: one handed out twice, or cleared late, would show. */
static void fill_block(struct page *page, uint64_t number)
{
	uint64_t *words = page_address(page);
	size_t last = (PAGE_SIZE << page->order) / sizeof(*words) - 1;

	words[0] = words[last / 2] = words[last] = number;
}

static void assert_block_is(const struct page *page, uint64_t number)
{
	const uint64_t *words = page_address(page);
	size_t last = (PAGE_SIZE << page->order) / sizeof(*words) - 1;

	assert_int_equal(words[0], number);
	assert_int_equal(words[last / 2], number);
	assert_int_equal(words[last], number);
}

static void random_blocks_never_overlap_and_come_back(void)
{
	static struct page *held[64];
	static const gfp_t kinds[] = {GFP_KERNEL, GFP_ATOMIC, GFP_DMA, GFP_DMA32, GFP_KERNEL | __GFP_ZERO};
	struct rng rng;

	rng_seed(&rng, test_seed());
	memset(held, 0, sizeof(held));
	for (uint64_t step = 0; step < (test_is_hosted() ? 20000 : 4000); step++) {
		size_t slot = rng_below(&rng, ARRAY_SIZE(held));
		test_step(step);
		if (held[slot]) {
			assert_block_is(held[slot], slot);
			__free_pages(held[slot], held[slot]->order);
			held[slot] = NULL;
		} else {
			unsigned order = (unsigned)rng_below(&rng, 6);
			held[slot] =
			        alloc_pages(kinds[rng_below(&rng, ARRAY_SIZE(kinds))] | __GFP_NOWARN, order);
			if (held[slot])
				fill_block(held[slot], slot);
		}
		if (step % 64 == 0)
			assert_sound(page_alloc_check());
	}
	for (size_t slot = 0; slot < ARRAY_SIZE(held); slot++) {
		if (held[slot])
			__free_pages(held[slot], held[slot]->order);
	}
}

static void buddyinfo_has_a_line_per_zone(void)
{
	static char text[1024];
	struct buffer_printer out;

	buffer_printer_init(&out, text, sizeof(text));
	buddyinfo_dump(&out.printer);
	assert_matches(text,
	               "Node 0, zone      DMA * \nNode 0, zone    DMA32 * \nNode 0, zone   Normal * \n");
	assert_int_equal(out.length, 3 * (22 + 7 * PAGE_ORDERS + 1));
}

static void the_verifier_names_each_broken_invariant(void)
{
	struct zone *zone = &zones[ZONE_DMA];
	size_t reserve = zone->reserve;
	uint32_t end = zone->buddy.end;
	const char *broken;

	zone->buddy.nr_free++;
	broken = page_alloc_check();
	zone->buddy.nr_free--;
	assert_non_null(broken);
	assert_matches(broken, "Z1: zone DMA: I5: * frames are on the lists, nr_free says *");

	zone->buddy.end = (uint32_t)(ZONE_DMA_END >> PAGE_SHIFT) + 1;
	broken = page_alloc_check();
	zone->buddy.end = end;
	assert_non_null(broken);
	assert_matches(broken, "Z2: zone DMA spans pfn [0x0, 0x1001)");

	zone->reserve = zone->buddy.nr_managed;
	broken = page_alloc_check();
	zone->reserve = reserve;
	assert_non_null(broken);
	assert_matches(broken, "Z3: zone DMA reserves * of * frames");
	assert_sound(page_alloc_check());
}

static void a_split_block_is_freed_page_by_page(void)
{
	static const unsigned orders[] = {0, 1, 3, GROUP_ORDER, GROUP_ORDER + 1};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct page *block = alloc_pages(GFP_KERNEL, orders[i]);
		assert_non_null(block);
		uint32_t caller = block->caller;
		split_page(block, orders[i]);
		assert_sound(page_alloc_check());
		for (size_t page = 0; page < 1UL << orders[i]; page++) {
			assert_true(page_is_head(block + page, PAGE_HELD, 0));
			assert_int_equal(block[page].caller, caller);
		}
		for (size_t page = 0; page < 1UL << orders[i]; page++) /* an odd factor: each once */
			__free_page(block + (page * 5 & ((1UL << orders[i]) - 1)));
	}
}

static void splitting_what_is_no_block_is_the_callers_mistake(void)
{
	static struct page *block;

	block = alloc_pages(GFP_KERNEL, 2);
	assert_non_null(block);
	expect_panic("split_page: pfn 0x* order 1: held with order 2 by *", split_page(block, 1));
	expect_panic("split_page: pfn 0x* order 0: inside the block of order 2 at pfn 0x*, held by *",
	             split_page(block + 1, 0));
	__free_pages(block, 2);
	expect_panic("split_page: pfn 0x* order 2: already free, *", split_page(block, 2));
}

static const struct test_case cases[] = {
        TEST_CASE(every_order_is_aligned_to_its_size),
        TEST_CASE(a_held_block_knows_who_asked),
        TEST_CASE(zeroed_memory_is_zero_whatever_was_there),
        TEST_CASE(a_zone_flag_bounds_the_address),
        TEST_CASE(highmem_is_accepted_and_means_nothing),
        TEST_CASE(an_exhausted_zone_falls_back_downward),
        TEST_CASE(a_zone_never_falls_back_upward),
        TEST_CASE(the_reserve_is_kept_for_those_who_cannot_wait),
        TEST_CASE(zone_dma_exhausted_comes_back_block_by_block),
        TEST_CASE(a_refusal_is_warned_about_once),
        TEST_CASE(a_range_without_memory_is_refused_with_no_flags_to_name),
        TEST_CASE(nowarn_is_silent),
        TEST_CASE(an_order_too_large_is_refused_not_served_smaller),
        TEST_CASE(unknown_flags_are_named),
        TEST_CASE(flags_that_contradict_each_other_are_named),
        TEST_CASE(what_may_reclaim_is_caught_in_interrupts),
        TEST_CASE(no_shrinker_runs_under_a_lock),
        TEST_CASE(shrinkers_run_before_a_request_is_refused),
        TEST_CASE(what_a_shrinker_asks_for_is_not_reclaimed_for),
        TEST_CASE(a_shrinker_that_asks_is_given_what_is_there_and_refused_what_is_not),
        TEST_CASE(what_was_registered_last_gives_back_first),
        TEST_CASE(nofail_reclaims_again_and_again_then_takes_the_reserve_then_panics),
        TEST_CASE(memory_that_may_be_waited_for_is_not_asked_for_under_a_lock),
        TEST_CASE(five_pages_hold_five),
        TEST_CASE(an_exact_free_with_another_size_changes_nothing),
        TEST_CASE(part_of_an_exact_allocation_is_not_freed_by_itself),
        TEST_CASE(bulk_fills_the_array_and_comes_back),
        TEST_CASE(a_bulk_free_may_mix_zones),
        TEST_CASE(a_bulk_free_reports_the_frame_that_is_wrong),
        TEST_CASE(a_page_list_takes_and_gives_any_number),
        TEST_CASE(a_block_in_a_given_range_lies_there),
        TEST_CASE(addresses_and_pages_name_the_same_memory),
        TEST_CASE(every_mistaken_free_is_reported_exactly),
        TEST_CASE(a_block_freed_twice_at_once_is_noticed_when_it_is_handed_out_again),
        TEST_CASE(a_block_freed_twice_at_once_is_noticed_on_its_way_home_as_well),
        TEST_CASE(small_blocks_meet_the_zone_once_a_batch),
        TEST_CASE(a_run_goes_home_whole_where_the_buddy_would_not_cut_it),
        TEST_CASE(what_a_cpu_keeps_is_free_and_found_before_anything_is_refused),
        TEST_CASE(a_frame_that_was_never_ours_is_reported_as_such),
        TEST_CASE(a_frame_that_was_never_allocated_is_reported_as_such),
        TEST_CASE(an_injected_failure_is_one_quiet_refusal),
        TEST_CASE(random_blocks_never_overlap_and_come_back),
        TEST_CASE(buddyinfo_has_a_line_per_zone),
        TEST_CASE(the_verifier_names_each_broken_invariant),
        TEST_CASE(a_split_block_is_freed_page_by_page),
        TEST_CASE(splitting_what_is_no_block_is_the_callers_mistake),
};
const struct test_suite page_alloc_suite =
        TEST_SUITE("page_alloc", cases, .set_up = set_up, .tear_down = tear_down);
