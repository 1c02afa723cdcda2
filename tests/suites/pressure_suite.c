/*
 * Under pressure, on the live system: how hard each kind of request tries before it is refused, who is asked to give back
 * and who never is.
 */
#include <arch/smp.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/vmalloc.h>
#include <mm/vmap_notifier.h>
#include <no_trace.h>
#include <remote.h>
#include <scarcity.h>
#include <test/test.h>
#include "../../mm/mm_internal.h"
#include "../../mm/vmalloc_internal.h"

#define NORETRY (GFP_KERNEL | __GFP_NORETRY)
#define MAYFAIL (GFP_KERNEL | __GFP_RETRY_MAYFAIL)
#define NOFAIL  (GFP_KERNEL | __GFP_NOFAIL)

/* ---- Who gives back ----------------------------------------------------------------------------------------------- */

/*
 * A giver, shrinker or notifier: its k-th call gives what the request needs. Each call before says that it gave something,
 * as if others had had it at once; or, if it has no `progress`, that it gave nothing.
 */
static struct {
	size_t calls, gives_at;
	bool progress;
} giver;

enum { NEVER = 0 };

/* Frames beyond the zones' reserves, enough for each of the requests below. */
static size_t give_enough(void)
{
	size_t frames = 64;

	for (unsigned z = 0; z < NR_ZONES; z++)
		frames += zones[z].reserve;
	return hoard_give(&taken_frames, frames);
}

static size_t shrink(void)
{
	if (++giver.calls == giver.gives_at)
		return give_enough();
	return giver.progress;
}

static struct shrinker shrinker = {.name = "test, giver", .shrink = shrink};

static void use_shrinker(size_t gives_at, bool progress)
{
	giver.calls = 0;
	giver.gives_at = gives_at;
	giver.progress = progress;
	if (!shrinker.link.next)
		list_init(&shrinker.link);
	if (list_empty(&shrinker.link))
		register_shrinker(&shrinker);
}

/* ---- Around each case --------------------------------------------------------------------------------------------- */

static struct vmap_notifier notifier;
static bool notifier_is_registered;

static void end_notifier(void)
{
	if (notifier_is_registered)
		unregister_vmap_purge_notifier(&notifier);
	notifier_is_registered = false;
}

static void tear_down(void)
{
	if (shrinker.link.next)
		list_del(&shrinker.link);
	end_notifier();
	give_everything_back();
}

/* ---- Memory ------------------------------------------------------------------------------------------------------- */

static bool ask_page(gfp_t gfp)
{
	struct page *page = alloc_page(gfp);
	if (page)
		__free_page(page);
	return page;
}

static bool ask_exact(gfp_t gfp)
{
	void *memory = alloc_pages_exact(3 * PAGE_SIZE, gfp);
	if (memory)
		free_pages_exact(memory, 3 * PAGE_SIZE);
	return memory;
}

static bool ask_range(gfp_t gfp)
{
	struct page *page = alloc_pages_range(gfp, 0, prange(0, pfn_to_paddr(page_array_end()).raw));
	if (page)
		__free_page(page);
	return page;
}

static bool ask_bulk(gfp_t gfp)
{
	struct page *pages[40];
	size_t got = alloc_pages_bulk(gfp, ARRAY_SIZE(pages), pages);
	free_pages_bulk(got, pages);
	return got == ARRAY_SIZE(pages);
}

/* Made before memory is taken away; without a slab, so that its first object needs one. */
static struct kmem_cache *fresh_cache;

static bool ask_object(gfp_t gfp)
{
	void *object = kmem_cache_alloc(fresh_cache, gfp);
	kmem_cache_free(fresh_cache, object);
	return object;
}

static bool ask_kmalloc(gfp_t gfp)
{
	void *memory = kmalloc(5 * PAGE_SIZE, gfp);
	kfree(memory);
	return memory;
}

static bool ask_vmalloc(gfp_t gfp)
{
	void *area = __vmalloc(20 * PAGE_SIZE, gfp, PAGE_KERNEL);
	vfree(area);
	return area;
}

static bool ask_kvmalloc(gfp_t gfp)
{
	void *memory = kvmalloc(20 * PAGE_SIZE, gfp);
	kvfree(memory);
	return memory;
}

static const struct ask {
	const char *name;
	bool (*succeeds)(gfp_t gfp);
	unsigned parts; /* requests for frames that it may make one after the other */
	const char *panics;
} asks[] = {
        {"alloc_page", ask_page, 1, "alloc_pages: order 0 with __GFP_NOFAIL from *: out of memory"},
        {"alloc_pages_exact", ask_exact, 1,
         "alloc_pages_exact: order 2 with __GFP_NOFAIL from *: out of memory"},
        {"alloc_pages_range", ask_range, 1,
         "alloc_pages_range: order 0 with __GFP_NOFAIL from *: out of memory"},
        {"alloc_pages_bulk", ask_bulk, 1,
         "alloc_pages_bulk: order 0 with __GFP_NOFAIL from *: out of memory"},
        {"kmem_cache_alloc", ask_object, 1, "alloc_pages: order 0 with __GFP_NOFAIL from *: out of memory"},
        {"kmalloc", ask_kmalloc, 1, "alloc_pages_exact: order 3 with __GFP_NOFAIL from *: out of memory"},
        {"vmalloc", ask_vmalloc, 2, "vmalloc: 81920 bytes, gfp 0x*, from *: no *, and it must not fail"},
        {"kvmalloc", ask_kvmalloc, 2, "kvmalloc: 81920 bytes, gfp 0x*, from *: no *, and it must not fail"},
};

/* Asks with nothing left but what the shrinker gives. */
static bool asked(const struct ask *ask, gfp_t gfp, size_t gives_at, bool progress)
{
	take_all_frames();
	use_shrinker(gives_at, progress);
	bool succeeded = ask->succeeds(gfp | __GFP_NOWARN);
	list_del(&shrinker.link);
	give_frames();
	return succeeded;
}

#define assert_asked(ask, gfp, gives_at, progress, expected, least, most)                  \
	do {                                                                               \
		assert_int_equal(asked((ask), (gfp), (gives_at), (progress)), (expected)); \
		assert_at_least(giver.calls, (least));                                     \
		assert_at_most(giver.calls, (most));                                       \
	} while (0)

static void each_kind_of_request_for_memory_tries_as_hard_as_its_flags_say(void)
{
	fresh_cache = kmem_cache_create("test-pressure", 1000, 0, 0, NULL);
	assert_non_null(fresh_cache);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		const struct ask *ask = &asks[i];
		test_step(i);
		remember_memory();
		/* The third call gives, those before it give to others. */
		assert_asked(ask, GFP_ATOMIC, 3, true, false, 0, 0);
		assert_asked(ask, GFP_NOWAIT | __GFP_NORETRY, 3, true, false, 0, 0);
		assert_asked(ask, NORETRY, 3, true, false, 0, 0);
		assert_asked(ask, NORETRY, 1, true, false, 0, 0);
		assert_asked(ask, GFP_KERNEL, 3, true, false, 1, 1);
		assert_asked(ask, GFP_KERNEL, 1, true, true, 1, 1);
		assert_asked(ask, MAYFAIL, 3, true, true, 3, 3);
		assert_asked(ask, NOFAIL, 3, true, true, 3, 3);
		/* Nothing is given at all. */
		assert_asked(ask, GFP_KERNEL, NEVER, false, false, 1, 1);
		assert_asked(ask, MAYFAIL, NEVER, false, false, 1, ask->parts);
		assert_asked(ask, MAYFAIL, 3, false, false, 1, ask->parts);
		assert_like_before();
	}
	kmem_cache_destroy(fresh_cache);
}

static void assert_panics(const struct ask *ask)
{
	remember_memory();
	take_all_frames();
	use_shrinker(NEVER, false);
	expect_panic(ask->panics, (void)ask->succeeds(NOFAIL));
	assert_at_least(giver.calls, 1);
	list_del(&shrinker.link);
	give_frames();
	assert_like_before();
}

static void what_must_not_fail_panics_when_nothing_is_left_that_could_be_given(void)
{
	fresh_cache = kmem_cache_create("test-pressure", 1000, 0, 0, NULL);
	assert_non_null(fresh_cache);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		test_step(i);
		assert_panics(&asks[i]);
	}
	kmem_cache_destroy(fresh_cache);
}

static void progress_that_never_helps_ends_a_request_that_may_fail_and_no_other(void)
{
	assert_asked(&asks[0], MAYFAIL, GFP_ROUNDS_MAX, true, true, GFP_ROUNDS_MAX, GFP_ROUNDS_MAX);
	assert_asked(&asks[0], MAYFAIL, GFP_ROUNDS_MAX + 1, true, false, GFP_ROUNDS_MAX, GFP_ROUNDS_MAX);
	assert_asked(&asks[0], NOFAIL, GFP_ROUNDS_MAX + 1, true, true, GFP_ROUNDS_MAX + 1,
	             GFP_ROUNDS_MAX + 1);
}

static void what_must_not_fail_takes_the_reserve_last(void)
{
	static const gfp_t gfps[] = {MAYFAIL, NOFAIL};

	for (size_t i = 0; i < ARRAY_SIZE(gfps); i++) {
		test_step(i);
		do /* all but the reserves */
			hoard_take(&taken_frames, GFP_NOWAIT, 0);
		while (reclaim_pages());
		take_all_descriptors(GFP_NOWAIT);
		size_t reserves = nr_free_pages();
		assert_at_least(reserves, 8);
		use_shrinker(NEVER, false);
		void *area = __vmalloc(2 * PAGE_SIZE, gfps[i] | __GFP_NOWARN, PAGE_KERNEL);
		assert_int_equal(area != NULL, gfps[i] == NOFAIL);
		vfree(area);
		assert_at_least(giver.calls, 1);
		list_del(&shrinker.link);
		give_descriptors();
		give_frames();
	}
}

static bool asked_for_descriptor(gfp_t gfp, size_t gives_at)
{
	take_all_frames();
	take_all_descriptors(GFP_ATOMIC);
	use_shrinker(gives_at, true);
	bool succeeded = ask_vmalloc(gfp | __GFP_NOWARN);
	list_del(&shrinker.link);
	give_descriptors();
	give_frames();
	return succeeded;
}

static void descriptors_are_reclaimed_for_as_the_flags_say(void)
{
	remember_memory();
	assert_false(asked_for_descriptor(NORETRY, 1));
	assert_int_equal(giver.calls, 0);
	assert_false(asked_for_descriptor(GFP_KERNEL, 3));
	assert_int_equal(giver.calls, 1);
	assert_true(asked_for_descriptor(GFP_KERNEL, 1));
	assert_int_equal(giver.calls, 1);
	assert_true(asked_for_descriptor(MAYFAIL, 3));
	assert_int_equal(giver.calls, 3);
	assert_true(asked_for_descriptor(NOFAIL, 3));
	assert_int_equal(giver.calls, 3);
	assert_like_before();
}

/* Blocks of two frames that this CPU keeps are of no use to who wants one, until they are drained. */
static void noretry_drains_what_cpus_keep_and_asks_nobody(void)
{
	struct page *pair = alloc_pages(GFP_KERNEL, 1);

	assert_non_null(pair);
	take_all_frames();
	use_shrinker(1, true);
	__free_pages(pair, 1);
	bool got = ask_page(NORETRY | __GFP_HIGH);
	list_del(&shrinker.link);
	give_frames();
	assert_true(got);
	assert_int_equal(giver.calls, 0);
}

/* A block that is only tried for takes none of the flags with it. */
static void large_areas_may_have_any_of_the_flags(void)
{
	static const gfp_t gfps[] = {NORETRY, MAYFAIL, NOFAIL};

	need_window(64UL << 20, "takes areas of 4 MiB");
	for (size_t i = 0; i < ARRAY_SIZE(gfps); i++) {
		test_step(i);
		void *area = __vmalloc(2 * PMD_SIZE, gfps[i], PAGE_KERNEL);
		void *memory = kvmalloc(2 * PMD_SIZE, gfps[i]);
		assert_non_null(area);
		assert_non_null(memory);
		vfree(area);
		kvfree(memory);
	}
}

static void kvmalloc_makes_others_give_for_a_block_only_if_told_to(void)
{
	size_t block_calls;

	take_all_frames();
	use_shrinker(2, true);
	void *memory = kvmalloc(2 * PAGE_SIZE, MAYFAIL | __GFP_NOWARN);
	block_calls = giver.calls;
	bool is_block = memory && !is_vmalloc_addr(memory);
	kvfree(memory);
	list_del(&shrinker.link);
	give_frames();
	assert_true(is_block);
	assert_int_equal(block_calls, 2);
}

/* ---- Page tables -------------------------------------------------------------------------------------------------- */

static size_t rain_at;

static bool it_has_been_asked_often_enough(void)
{
	return giver.calls >= rain_at;
}

/* An area where no table is. */
static bool ask_remote(gfp_t gfp)
{
	uintptr_t at = remote();
	void *area = __vmalloc_node_range(PAGE_SIZE, 1, at, VMALLOC_END, gfp, PAGE_KERNEL, 0, NUMA_NO_NODE,
	                                  SOMEWHERE);
	vfree(area);
	vm_unmap_aliases();
	return area;
}

static const struct ask remote_ask = {"vmalloc", ask_remote, 1, NULL};

static bool asked_for_tables(gfp_t gfp, size_t rain)
{
	rain_at = rain;
	use_shrinker(NEVER, true);
	take_all_tables(it_has_been_asked_often_enough);
	bool succeeded = remote_ask.succeeds(gfp | __GFP_NOWARN);
	give_tables();
	list_del(&shrinker.link);
	return succeeded;
}

#define assert_asked_for_tables(gfp, rain, expected, expected_calls)           \
	do {                                                                   \
		assert_int_equal(asked_for_tables((gfp), (rain)), (expected)); \
		assert_int_equal(giver.calls, (expected_calls));               \
	} while (0)

static void page_tables_are_reclaimed_for_as_the_flags_say(void)
{
	need_window(4 * PGD_SIZE, "needs an area that is alone in its tables");
	remember_memory();
	assert_asked_for_tables(GFP_ATOMIC, 1, false, 0);
	assert_int_equal(tables_asked_for(), 1);
	assert_asked_for_tables(NORETRY, 1, false, 0);
	assert_int_equal(tables_asked_for(),
	                 2); /* there is something to drain each time, but it is done once */
	assert_asked_for_tables(GFP_KERNEL, 3, true, 3);
	assert_asked_for_tables(GFP_KERNEL, 16, true, 16);
	assert_asked_for_tables(GFP_KERNEL, 17, false, 16);
	assert_asked_for_tables(MAYFAIL, 17, true, 17);
	assert_asked_for_tables(MAYFAIL, GFP_ROUNDS_MAX + 1, false, GFP_ROUNDS_MAX);
	assert_asked_for_tables(NOFAIL, GFP_ROUNDS_MAX + 1, true, GFP_ROUNDS_MAX + 1);
	assert_like_before();
}

/* ---- Virtual space ------------------------------------------------------------------------------------------------ */

/* What the notifier can do without: an area of exactly the range that is asked for. */
static void *cached_area;

static uintptr_t range_start(void)
{
	return remote();
}

enum { RANGE_PAGES = 5 };

static void *take_range(gfp_t gfp)
{
	uintptr_t start = range_start(), end = start + (RANGE_PAGES + 1) * PAGE_SIZE;

	return __vmalloc_node_range(RANGE_PAGES * PAGE_SIZE, 1, start, end, gfp, PAGE_KERNEL, 0, NUMA_NO_NODE,
	                            SOMEWHERE);
}

static size_t purge_at_last(struct vmap_notifier *self)
{
	assert_ptr_equal(self, &notifier);
	if (++giver.calls != giver.gives_at)
		return giver.progress ? PAGE_SIZE : 0;
	vfree(cached_area);
	cached_area = NULL;
	return (RANGE_PAGES + 1) * PAGE_SIZE;
}

static void use_notifier(size_t (*purge)(struct vmap_notifier *), size_t gives_at, bool progress)
{
	end_notifier();
	giver.calls = 0;
	giver.gives_at = gives_at;
	giver.progress = progress;
	notifier = (struct vmap_notifier){.name = "test", .purge = purge};
	register_vmap_purge_notifier(&notifier);
	notifier_is_registered = true;
}

static bool asked_for_range(gfp_t gfp, size_t gives_at, bool progress)
{
	cached_area = take_range(GFP_KERNEL);
	assert_non_null(cached_area);
	use_notifier(purge_at_last, gives_at, progress);
	void *area = take_range(gfp | __GFP_NOWARN);
	end_notifier();
	vfree(area);
	vfree(cached_area);
	cached_area = NULL;
	return area;
}

#define assert_asked_for_range(gfp, gives_at, progress, expected, expected_calls)             \
	do {                                                                                  \
		assert_int_equal(asked_for_range((gfp), (gives_at), (progress)), (expected)); \
		assert_int_equal(giver.calls, (expected_calls));                              \
	} while (0)

static void virtual_space_is_asked_back_as_the_flags_say(void)
{
	remember_memory();
	assert_asked_for_range(GFP_ATOMIC, 1, true, false, 0);
	assert_asked_for_range(NORETRY, 1, true, false, 0);
	assert_asked_for_range(GFP_KERNEL, 1, true, true, 1);
	assert_asked_for_range(GFP_KERNEL, 16, true, true, 16);
	assert_asked_for_range(GFP_KERNEL, 17, true, false, 16);
	assert_asked_for_range(GFP_KERNEL, 2, false, false, 1);
	assert_asked_for_range(MAYFAIL, 17, true, true, 17);
	assert_asked_for_range(MAYFAIL, 2, false, false, 1);
	assert_asked_for_range(MAYFAIL, GFP_ROUNDS_MAX + 1, true, false, GFP_ROUNDS_MAX);
	assert_asked_for_range(NOFAIL, GFP_ROUNDS_MAX + 1, true, true, GFP_ROUNDS_MAX + 1);
	assert_like_before();
}

static void nobody_is_asked_for_space_that_is_there_or_can_never_be(void)
{
	uintptr_t start = range_start();

	use_notifier(purge_at_last, NEVER, true);
	void *area = take_range(GFP_KERNEL);
	assert_non_null(area);
	vfree(area);
	area = take_range(GFP_KERNEL); /* it was there, but for a flush */
	assert_non_null(area);
	vfree(area);
	assert_null(__vmalloc_node_range(PAGE_SIZE, 1, start, start + PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN,
	                                 PAGE_KERNEL, 0, NUMA_NO_NODE, SOMEWHERE));
	assert_int_equal(giver.calls, 0);
}

/* ---- Every call that takes space, and every one that gives it back -------------------------------------------------- */

static struct page *mapped_page;

static void *space_vmalloc(void)
{
	return vmalloc(PAGE_SIZE);
}

static void *space_vmap(void)
{
	return vmap(&mapped_page, 1, VM_MAP, PAGE_KERNEL);
}

static void *space_area(void)
{
	struct vmap_area *area = get_vm_area(PAGE_SIZE, VM_MAP);
	return area ? (void *)area->va_start : NULL;
}

static void *space_ioremap(void)
{
	return ioremap(no_ram() + 5, 16);
}

static void give_area(const void *address)
{
	if (address)
		free_vm_area(find_vm_area(address));
}

static const struct {
	void *(*take)(void);
	void (*give)(const void *address);
} spaces[] = {
        {space_vmalloc, vfree}, {space_vmap, vunmap}, {space_area, give_area}, {space_ioremap, iounmap}};

static size_t given_by; /* one of spaces[] */

static size_t purge_cached(struct vmap_notifier *self)
{
	(void)self;
	size_t bytes = cached_area ? 2 * PAGE_SIZE : 0;

	giver.calls++;
	spaces[given_by].give(cached_area);
	cached_area = NULL;
	return bytes;
}

static void every_call_has_the_space_that_every_other_gives_back(void)
{
	mapped_page = alloc_page(GFP_KERNEL);
	assert_non_null(mapped_page);
	for (size_t i = 0; i < ARRAY_SIZE(spaces) * ARRAY_SIZE(spaces); i++) {
		test_step(i);
		size_t taken_by = i % ARRAY_SIZE(spaces);
		given_by = i / ARRAY_SIZE(spaces);
		cached_area = spaces[given_by].take();
		assert_non_null(cached_area);
		take_all_space();
		use_notifier(purge_cached, NEVER, false);
		void *area = spaces[taken_by].take();
		test_warnings_begin();
		void *second = spaces[taken_by].take();
		unsigned long warnings = test_warnings_end();
		end_notifier();
		spaces[taken_by].give(area);
		give_space();
		assert_non_null(area);
		assert_null(second);
		assert_int_equal(warnings, 1);
		assert_int_equal(giver.calls, 2);
	}
	__free_page(mapped_page);
}

/* ---- The chain ------------------------------------------------------------------------------------------------------ */

static char chain_seen[16];
static size_t first_gives; /* so many times */

static size_t note_name(struct vmap_notifier *self)
{
	size_t length = strlen(chain_seen);

	assert_at_most(length + 2, sizeof(chain_seen));
	chain_seen[length] = self->name[0];
	if (self->name[0] != 'c' || !first_gives)
		return 0;
	first_gives--;
	return PAGE_SIZE;
}

static void all_notifiers_are_asked_the_latest_first_until_they_are_unregistered(void)
{
	static struct vmap_notifier many[] = {{.name = "a", .purge = note_name},
	                                      {.name = "b", .purge = note_name},
	                                      {.name = "c", .purge = note_name}};
	void *area = take_range(GFP_KERNEL);

	assert_non_null(area);
	memset(chain_seen, 0, sizeof(chain_seen));
	first_gives = 1;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		register_vmap_purge_notifier(&many[i]);
	assert_null(take_range(GFP_KERNEL | __GFP_NOWARN));
	unregister_vmap_purge_notifier(&many[1]);
	assert_null(take_range(GFP_KERNEL | __GFP_NOWARN));
	unregister_vmap_purge_notifier(&many[2]);
	unregister_vmap_purge_notifier(&many[0]);
	assert_null(take_range(GFP_KERNEL | __GFP_NOWARN));
	vfree(area);
	assert_string_equal(chain_seen, "cbacbaca");
}

static void mistaken_registrations_are_named(void)
{
	static struct vmap_notifier twice = {.name = "twice", .purge = note_name},
	                            never = {.name = "never", .purge = note_name};

	register_vmap_purge_notifier(&twice);
	expect_panic("register_vmap_purge_notifier: twice is registered already",
	             register_vmap_purge_notifier(&twice));
	expect_panic("unregister_vmap_purge_notifier: never is not registered",
	             unregister_vmap_purge_notifier(&never));
	unregister_vmap_purge_notifier(&twice);
	expect_panic("unregister_vmap_purge_notifier: twice is not registered",
	             unregister_vmap_purge_notifier(&twice));
	this_cpu()->interrupt_depth++;
	expect_panic("mutex reclaim: wanted in an interrupt handler", register_vmap_purge_notifier(&never));
	this_cpu()->interrupt_depth--;
	assert_true(reclaim_begin());
	expect_panic("register_vmap_purge_notifier: never, out of a notifier or shrinker",
	             register_vmap_purge_notifier(&never));
	expect_panic("unregister_vmap_purge_notifier: never, out of a notifier or shrinker",
	             unregister_vmap_purge_notifier(&never));
	reclaim_end();
}

/* One that wants what it is asked for: refused where there is none, served where there is some. */
static void *got_taken_range, *got_elsewhere;
static size_t reclaimed_inside;

static size_t purge_by_asking(struct vmap_notifier *self)
{
	(void)self;
	giver.calls++;
	got_taken_range = take_range(MAYFAIL);
	got_elsewhere = vmalloc(PAGE_SIZE);
	vfree(got_elsewhere);
	reclaimed_inside += reclaim_pages();
	return 0;
}

static size_t shrink_by_asking(void)
{
	giver.calls++;
	got_taken_range = take_range(MAYFAIL);
	return 0;
}

static void who_is_asked_to_give_back_is_refused_not_asked_again(void)
{
	static struct shrinker asking = {.name = "test, asking for space", .shrink = shrink_by_asking};
	void *area = take_range(GFP_KERNEL);

	assert_non_null(area);
	use_notifier(purge_by_asking, NEVER, true);
	reclaimed_inside = 0;
	test_warnings_begin();
	void *second = take_range(GFP_KERNEL);
	assert_int_equal(test_warnings_end(), 2); /* the notifier's request, and ours */
	assert_null(second);
	assert_null(got_taken_range);
	assert_non_null(got_elsewhere);
	assert_int_equal(giver.calls, 1);
	assert_int_equal(reclaimed_inside, 0);

	/* And a shrinker makes no notifier run. */
	use_notifier(purge_at_last, NEVER, true);
	register_shrinker(&asking);
	expect_warning("vmalloc: 20480 bytes, gfp 0x208, from *: no virtual space", (void)reclaim_pages());
	list_del(&asking.link);
	assert_null(got_taken_range);
	assert_int_equal(giver.calls, 1); /* the shrinker's own */
	end_notifier();
	vfree(area);
}

static const struct test_case cases[] = {
        TEST_CASE(each_kind_of_request_for_memory_tries_as_hard_as_its_flags_say),
        TEST_CASE(what_must_not_fail_panics_when_nothing_is_left_that_could_be_given),
        TEST_CASE(progress_that_never_helps_ends_a_request_that_may_fail_and_no_other),
        TEST_CASE(what_must_not_fail_takes_the_reserve_last),
        TEST_CASE(descriptors_are_reclaimed_for_as_the_flags_say),
        TEST_CASE(noretry_drains_what_cpus_keep_and_asks_nobody),
        TEST_CASE(large_areas_may_have_any_of_the_flags),
        TEST_CASE(kvmalloc_makes_others_give_for_a_block_only_if_told_to),
        TEST_CASE(page_tables_are_reclaimed_for_as_the_flags_say),
        TEST_CASE(virtual_space_is_asked_back_as_the_flags_say),
        TEST_CASE(nobody_is_asked_for_space_that_is_there_or_can_never_be),
        TEST_CASE(every_call_has_the_space_that_every_other_gives_back),
        TEST_CASE(all_notifiers_are_asked_the_latest_first_until_they_are_unregistered),
        TEST_CASE(mistaken_registrations_are_named),
        TEST_CASE(who_is_asked_to_give_back_is_refused_not_asked_again),
};

const struct test_suite pressure_suite = TEST_SUITE("pressure", cases, .tear_down = tear_down);
