/*
 * kmem_cache_*: on the live system, with caches of the test's own. Randomised cases compare with slab_model,
 * which knows nothing but what is live; the verifier runs after every step.
 */
#include <expect_broken.h>
#include <test/test.h>

#include <arch/smp.h>
#include <hoard.h>
#include <lib/align.h>
#include <mm/fault_inject.h>
#include <mm/page_alloc.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <slab_model.h>
#include <expected.h>
#include <no_trace.h>
#include "../../mm/slab_internal.h"

enum { CACHES = 6, STEPS_HOSTED = 4000, STEPS_KERNEL = 800 };

/* Every cache a case makes is here, so that tear_down can end what a failed case left. */
static struct kmem_cache *made[CACHES];
static size_t nr_made;
static struct slab_model model;
static void *held[1300];
static size_t nr_held;
static char words[512];

/* With magazines, as ordinary caches have them. */
static struct kmem_cache *make_cached(const char *name, size_t size, size_t align, unsigned flags,
                                      void (*ctor)(void *))
{
	struct kmem_cache *cache = kmem_cache_create(name, size, align, flags, ctor);
	assert_non_null(cache);
	assert_true(nr_made < CACHES);
	made[nr_made++] = cache;
	return cache;
}

/* Without: cases that look at slabs want to see each object come and go. */
static struct kmem_cache *make(const char *name, size_t size, size_t align, unsigned flags,
                               void (*ctor)(void *))
{
	return make_cached(name, size, align, flags | SLAB_NOMAGAZINE, ctor);
}

static void end_caches(void)
{
	while (nr_made)
		kmem_cache_destroy(made[--nr_made]);
}

static struct hoard hoard;

/* Objects of a failed case stay behind, and the fingerprint says so: destroying their cache would hide the failure. */
static void clean_up(void)
{
	while (nr_made) {
		if (!made[--nr_made]->nr_active)
			kmem_cache_destroy(made[nr_made]);
	}
	nr_held = 0;
	hoard_release(&hoard);
}

static unsigned slot_of(const void *object)
{
	const struct slab *slab = slab_of(object);
	return slab_slot_at(slab, (size_t)((const char *)object - slab->base));
}

/* Takes `count` objects into held[]. */
static void hold(struct kmem_cache *cache, size_t count)
{
	while (count--) {
		assert_true(nr_held < ARRAY_SIZE(held));
		held[nr_held] = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_non_null(held[nr_held]);
		nr_held++;
	}
}

static void drop_all(struct kmem_cache *cache)
{
	while (nr_held)
		kmem_cache_free(cache, held[--nr_held]);
}

/* ---- What is promised ---------------------------------------------------------------------------------- */

static void a_random_mix_of_caches_agrees_with_the_model(void)
{
	static const size_t sizes[CACHES] = {8, 24, 100, 512, 1500, 5000};
	size_t steps = test_is_hosted() ? STEPS_HOSTED : STEPS_KERNEL;
	struct rng rng;

	for (unsigned i = 0; i < CACHES; i++)
		make_cached("test-mix", sizes[i], i == 2 ? 32 : 0, i % 2 ? SLAB_NOMAGAZINE : 0, NULL);
	slab_model_init(&model);
	rng_seed(&rng, test_seed());
	for (size_t step = 0; step < steps; step++) {
		test_step(step);
		/* Waves: mostly growing, then mostly shrinking, so that slabs fill and empty. */
		bool grow = rng_below(&rng, 8) < (step / 200 % 2 ? 2 : 6);
		if (grow && model.count < SLAB_MODEL_MAX) {
			unsigned kind = (unsigned)rng_below(&rng, CACHES);
			bool zero = rng_below(&rng, 4) == 0;
			uint8_t *object = zero ? kmem_cache_zalloc(made[kind], GFP_KERNEL)
			                       : kmem_cache_alloc(made[kind], GFP_ATOMIC);
			assert_non_null(object);
			for (size_t i = 0; zero && i < sizes[kind]; i++)
				assert_int_equal(object[i], 0);
			assert_true(is_aligned((uintptr_t)object, kind == 2 ? 32 : 8));
			assert_sound(slab_model_add(&model, object, sizes[kind], kind, rng_next(&rng)));
		} else if (model.count) {
			size_t victim = rng_below(&rng, model.count);
			struct slab_model_object object = model.live[victim];
			assert_sound(slab_model_remove(&model, victim));
			kmem_cache_free(made[object.kind], object.start);
		}
		assert_sound(slab_check());
	}
	while (model.count) {
		struct slab_model_object object = model.live[0];
		assert_sound(slab_model_remove(&model, 0));
		kmem_cache_free(made[object.kind], object.start);
	}
	end_caches();
}

static void random_batches_agree_with_the_model(void)
{
	size_t steps = test_is_hosted() ? 600 : 100;
	struct kmem_cache *cache = make_cached("test-batch", 72, 0, 0, NULL);
	struct rng rng;
	void *batch[64];

	slab_model_init(&model);
	rng_seed(&rng, test_seed());
	for (size_t step = 0; step < steps; step++) {
		test_step(step);
		size_t count = rng_below(&rng, ARRAY_SIZE(batch) + 1);
		if (rng_below(&rng, 2) && model.count + count <= SLAB_MODEL_MAX) {
			assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, count, batch), count);
			for (size_t i = 0; i < count; i++)
				assert_sound(slab_model_add(&model, batch[i], 72, 0, rng_next(&rng)));
		} else {
			count = min_u64(count, model.count);
			for (size_t i = 0; i < count; i++) {
				size_t victim = rng_below(&rng, model.count);
				batch[i] = model.live[victim].start;
				assert_sound(slab_model_remove(&model, victim));
			}
			kmem_cache_free_bulk(cache, count, batch);
		}
		assert_sound(slab_check());
	}
	while (model.count) {
		void *object = model.live[0].start;
		assert_sound(slab_model_remove(&model, 0));
		kmem_cache_free(cache, object);
	}
	end_caches();
}

static size_t constructed;

static void construct(void *object)
{
	constructed++;
	memset(object, 0xc0, 40);
}

static void a_constructor_runs_once_per_object_and_its_work_stays(void)
{
	struct kmem_cache *cache = make("test-ctor", 40, 0, 0, construct);
	unsigned per_slab = slab_preferred_capacity(cache);

	constructed = 0;
	hold(cache, per_slab + 1);
	assert_int_equal(constructed, 2 * per_slab);
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < nr_held; i++) {
			const uint8_t *object = held[i];
			for (size_t b = 0; b < 40; b++)
				assert_int_equal(object[b], 0xc0);
		}
		void *object = held[0];
		kmem_cache_free(cache, object);
		held[0] = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_non_null(held[0]);
		assert_sound(slab_check());
	}
	assert_int_equal(constructed, 2 * per_slab);
	drop_all(cache);
	end_caches();
}

static void objects_are_aligned_as_asked(void)
{
	for (size_t align = 8; align <= PAGE_SIZE; align *= 2) {
		struct kmem_cache *cache = make("test-align", align / 2 + 3, align, 0, NULL);
		hold(cache, 20);
		for (size_t i = 0; i < nr_held; i++)
			assert_true(is_aligned((uintptr_t)held[i], align));
		drop_all(cache);
		end_caches();
	}
	struct kmem_cache *cache = make("test-line", 20, 0, SLAB_HWCACHE_ALIGN, NULL);
	hold(cache, 20);
	for (size_t i = 0; i < nr_held; i++)
		assert_true(is_aligned((uintptr_t)held[i], 64));
	drop_all(cache);
	end_caches();
}

static void powers_of_two_are_aligned_to_themselves(void)
{
	for (size_t size = 8; size <= SLAB_OBJECT_MAX; size *= 2) {
		struct kmem_cache *cache = make("test-natural", size, 0, 0, NULL);
		hold(cache, 3);
		for (size_t i = 0; i < nr_held; i++)
			assert_true(is_aligned((uintptr_t)held[i] - DIRECTMAP_BASE, size));
		drop_all(cache);
		end_caches();
	}
}

static void expect_shape(struct slab_shape shape, size_t size)
{
	size_t bytes = PAGE_SIZE << shape.order;

	assert_at_least(shape.slots, 1);
	assert_at_most(shape.slots * size, bytes);
	assert_at_most(bytes - shape.slots * size, size - 1);
	assert_at_most((bytes - shape.slots * size) * 8, bytes);
	assert_at_most(shape.slots, SLAB_SLOTS_MAX);
	if (shape.slots * size < bytes)
		assert_at_most(shape.slots, slab_room(shape.slots) - 1);
}

/* Slots are multiples of 8, so these sizes are all there are. */
static void no_size_wastes_more_than_an_eighth_of_a_slab(void)
{
	for (size_t size = 8; size <= SLAB_OBJECT_MAX; size += 8) {
		test_step(size);
		struct kmem_cache *cache = make("test-waste", size, 0, 0, NULL);
		expect_shape(cache->minimal, size);
		expect_shape(cache->preferred, size);
		assert_at_most(cache->minimal.order, size <= PAGE_SIZE ? 3 : SLAB_ORDER_MAX);
		assert_at_least(cache->preferred.order, cache->minimal.order);
		assert_int_equal(slab_room(cache->preferred.slots), slab_room(cache->minimal.slots));
		if (cache->preferred.order > cache->minimal.order)
			assert_at_most(cache->preferred.order, 3);
		if (size <= PAGE_SIZE)
			assert_at_least(cache->preferred.slots, 8);
		end_caches();
	}
}

/* All that is asked about a pointer comes down to this: the multiplication against a division. */
static void every_byte_of_a_slab_is_in_the_slot_that_division_says(void)
{
	for (size_t size = 8; size <= SLAB_OBJECT_MAX; size += size < 512 || test_is_hosted() ? 8 : 1112) {
		test_step(size);
		struct slab slab = {.base = NULL, .reciprocal = UINT64_MAX / size + 1};
		for (size_t offset = 0; offset < PAGE_SIZE << SLAB_ORDER_MAX; offset += size) {
			assert_int_equal(slab_slot_at(&slab, offset), offset / size);
			assert_int_equal(slab_slot_at(&slab, offset + 1), offset / size);
			assert_int_equal(slab_slot_at(&slab, offset + size - 1), offset / size);
			assert_true((uint64_t)slab_quotient(&slab, offset) < slab.reciprocal);
			assert_false((uint64_t)slab_quotient(&slab, offset + 1) < slab.reciprocal);
			assert_false((uint64_t)slab_quotient(&slab, offset + size - 1) < slab.reciprocal);
		}
	}
}

static struct cpu_pair taken[SLAB_SLOTS_MAX];

/* With one word of bits and with several; all, and all but one. */
static void a_slab_gives_its_objects_in_order_and_takes_them_back_in_any(void)
{
	static const size_t sizes[] = {8, 40, 64, 2000, SLAB_OBJECT_MAX};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		struct kmem_cache *cache = make("test-whole", sizes[i / 2], 0, 0, NULL);
		size_t all = slab_preferred_capacity(cache), some = all - i % 2;
		test_step(i);
		assert_true(slab_grow(cache, GFP_KERNEL));
		assert_int_equal(slab_take(cache, some, taken), some);
		for (size_t n = 0; n < some; n++) {
			assert_ptr_equal(taken[n].first, (char *)taken[0].first + n * cache->slot_size);
			*(uint8_t *)taken[n].second = SLOT_LIVE; /* a round that is nowhere is none */
		}
		assert_sound(slab_check());
		for (size_t n = 0; n < some; n++)
			*(uint8_t *)taken[n].second = SLOT_FREE;
		for (size_t n = 0; n + 1 < some; n += 2) {
			struct cpu_pair moved = taken[n];
			taken[n] = taken[some - 1 - n];
			taken[some - 1 - n] = moved;
		}
		slab_put(cache, some, taken);
		assert_sound(slab_check());
		assert_int_equal(cache->nr_empty, 1);
		end_caches();
	}
}

/* Takes all memory but every second frame, so that no two free ones are buddies. */
static void leave_single_frames(void)
{
	struct page *kept = NULL, *page;
	size_t left = 0;

	hoard_take(&hoard, GFP_ATOMIC, 512);
	while ((page = alloc_pages(GFP_ATOMIC | __GFP_NOWARN, 0))) {
		page->owner = kept;
		kept = page;
	}
	while ((page = kept)) {
		kept = page->owner;
		if (page_to_pfn(page).raw % 2)
			hoard_add(&hoard, page);
		else
			__free_pages(page, 0), left++;
	}
	assert_at_least(left, 64);
	drain_all_pages();
}

static void where_memory_is_in_pieces_slabs_are_small(void)
{
	struct kmem_cache *cache = make("test-pieces", 4096, 0, 0, NULL);

	hold(cache, 3);
	assert_int_equal(slab_of(held[0])->order, 3);
	assert_int_equal(cache->nr_objects, 8);
	assert_int_equal(cache->nr_pages, 8);
	leave_single_frames();
	hold(cache, 5 + 20); /* no warning: nothing was refused */
	assert_int_equal(cache->nr_slabs, 1 + 20);
	assert_int_equal(cache->nr_objects, 8 + 20);
	assert_int_equal(cache->nr_pages, 8 + 20);
	for (size_t i = 8; i < nr_held; i++) {
		assert_int_equal(slab_of(held[i])->order, 0);
		assert_int_equal(slab_of(held[i])->capacity, 1);
	}
	assert_sound(slab_check());
	hoard_release(&hoard);
	hold(cache, 1); /* and large again when there is room again */
	assert_int_equal(slab_of(held[nr_held - 1])->order, 3);
	assert_int_equal(cache->nr_objects, 8 + 20 + 8);
	assert_sound(slab_check());
	drop_all(cache);
	assert_int_equal(cache->nr_slabs, SLAB_EMPTY_KEPT);
	assert_sound(slab_check());
	end_caches();
}

/* As if memory were in pieces now and then. */
static void a_cache_of_large_and_small_slabs_agrees_with_the_model(void)
{
	size_t steps = test_is_hosted() ? 3000 : 600;
	struct kmem_cache *cache = make_cached("test-both", 2000, 0, 0, NULL);
	struct slab_shape preferred = cache->preferred;
	unsigned made_small = 0, made_large = 0;
	struct rng rng;

	assert_at_least(preferred.order, cache->minimal.order + 1U);
	slab_model_init(&model);
	rng_seed(&rng, test_seed());
	for (size_t step = 0; step < steps; step++) {
		test_step(step);
		bool grow = rng_below(&rng, 8) < (step / 200 % 2 ? 2 : 6);
		cache->preferred = rng_below(&rng, 2) ? preferred : cache->minimal;
		if (grow && model.count < SLAB_MODEL_MAX) {
			void *object = kmem_cache_alloc(cache, GFP_KERNEL);
			assert_non_null(object);
			*(slab_of(object)->order == preferred.order ? &made_large : &made_small) += 1;
			assert_sound(slab_model_add(&model, object, 2000, 0, rng_next(&rng)));
		} else if (model.count) {
			size_t victim = rng_below(&rng, model.count);
			void *object = model.live[victim].start;
			assert_sound(slab_model_remove(&model, victim));
			kmem_cache_free(cache, object);
		}
		cache->preferred = preferred;
		assert_sound(slab_check());
	}
	assert_at_least(made_small, 10);
	assert_at_least(made_large, 10);
	while (model.count) {
		void *object = model.live[0].start;
		assert_sound(slab_model_remove(&model, 0));
		kmem_cache_free(cache, object);
	}
	assert_sound(slab_check());
	end_caches();
}

static void failing_to_get_a_large_slab_refuses_nothing(void)
{
	need_injected_failures();
	struct kmem_cache *cache = make("test-optional", 4096, 0, 0, NULL);

	leave_single_frames();
	for (unsigned nth = 1; nth <= 3; nth++) { /* the object, the small slab's frame, its descriptor */
		fault_inject_arm(nth);
		void *object = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NOWARN);
		bool delivered = fault_inject_disarm();
		assert_int_equal(!object, delivered);
		if (object)
			kmem_cache_free(cache, object);
		assert_sound(slab_check());
	}
	hold(cache, 1);
	assert_int_equal(slab_of(held[0])->order, 0);
	drop_all(cache);
	hoard_release(&hoard);
	end_caches();
}

static void odd_sizes_round_up_and_keep_their_name_and_size(void)
{
	struct kmem_cache *cache = make("test-odd", 13, 0, 0, NULL);

	assert_string_equal(kmem_cache_name(cache), "test-odd");
	assert_int_equal(kmem_cache_size(cache), 13);
	assert_int_equal(cache->slot_size, 16);
	cache = make("test-31-characters-long-name-xx", 1, 0, 0, NULL);
	assert_string_equal(kmem_cache_name(cache), "test-31-characters-long-name-xx");
	hold(cache, 1);
	drop_all(cache);
	end_caches();
}

static void empty_slabs_beyond_the_reserve_return_at_once(void)
{
	struct kmem_cache *cache = make("test-return", 256, 0, 0, NULL);
	unsigned per_slab = slab_preferred_capacity(cache);

	hold(cache, 5 * per_slab);
	assert_int_equal(cache->nr_slabs, 5);
	size_t free_before = nr_free_pages();
	drop_all(cache);
	assert_int_equal(cache->nr_slabs, SLAB_EMPTY_KEPT);
	assert_int_equal(cache->nr_empty, SLAB_EMPTY_KEPT);
	assert_at_least(nr_free_pages(),
	                free_before + (5 - SLAB_EMPTY_KEPT) * (1UL << cache->preferred.order));
	end_caches();
}

static void one_object_in_and_out_costs_no_slab(void)
{
	struct kmem_cache *cache = make("test-reserve", 4096, 0, 0, NULL);

	hold(cache, 1);
	drop_all(cache);
	size_t free_before = nr_free_pages();
	for (unsigned i = 0; i < 10; i++) {
		hold(cache, 1);
		assert_int_equal(nr_free_pages(), free_before);
		drop_all(cache);
	}
	assert_int_equal(nr_free_pages(), free_before);
	end_caches();
}

static void shrinking_returns_what_is_empty_and_says_how_much(void)
{
	struct kmem_cache *cache = make("test-shrink", 3000, 0, 0, NULL);

	reclaim_pages();
	hold(cache, 1);
	drop_all(cache);
	assert_int_equal(cache->nr_slabs, 1);
	size_t free_before = nr_free_pages();
	size_t frames = kmem_cache_shrink(cache);
	assert_at_least(frames, 1UL << cache->preferred.order);
	assert_int_equal(nr_free_pages() - free_before, frames);
	assert_int_equal(cache->nr_slabs, 0);
	assert_int_equal(kmem_cache_shrink(cache), 0);
	hold(cache, 1);
	assert_int_equal(kmem_cache_shrink(cache), 0);
	drop_all(cache);
	end_caches();
}

static void reclaim_returns_every_caches_empty_slabs(void)
{
	for (unsigned i = 0; i < 3; i++) {
		struct kmem_cache *cache = make("test-reclaim", 200 << i, 0, 0, NULL);
		hold(cache, 1);
		drop_all(cache);
		assert_int_equal(cache->nr_empty, 1);
	}
	size_t free_before = nr_free_pages();
	size_t frames = reclaim_pages();
	assert_at_least(nr_free_pages(), free_before + 3);
	assert_at_least(frames, nr_free_pages() - free_before);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(made[i]->nr_slabs, 0);
	for (unsigned i = 0; i < DESCRIPTOR_CACHES; i++)
		assert_int_equal(slab_descriptor_caches[i].nr_empty, 0);
	assert_sound(slab_check());
	end_caches();
}

static void partial_slabs_are_used_before_empty_ones(void)
{
	struct kmem_cache *cache = make("test-partial", 1024, 0, 0, NULL);
	unsigned per_slab = slab_preferred_capacity(cache);

	hold(cache, 2 * per_slab);
	/* The first slab becomes empty, the second keeps all but one. */
	for (unsigned i = 0; i <= per_slab; i++)
		kmem_cache_free(cache, held[i]);
	assert_int_equal(cache->nr_empty, 1);
	void *object = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_ptr_equal(object, held[per_slab]);
	assert_int_equal(cache->nr_empty, 1);
	for (unsigned i = per_slab; i < 2 * per_slab; i++)
		kmem_cache_free(cache, held[i]);
	nr_held = 0;
	end_caches();
}

static void zeroed_objects_are_zero_after_other_use(void)
{
	struct kmem_cache *cache = make_cached("test-zero", 300, 0, 0, NULL);

	hold(cache, 1);
	memset(held[0], 0xff, 300);
	drop_all(cache);
	uint8_t *object = kmem_cache_zalloc(cache, GFP_KERNEL);
	assert_non_null(object);
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(object[i], 0);
	kmem_cache_free(cache, object);
	end_caches();
}

static void freeing_null_and_destroying_null_do_nothing(void)
{
	kmem_cache_free(make("test-null", 64, 0, 0, NULL), NULL);
	kmem_cache_destroy(NULL);
	end_caches();
}

/* ---- Out of memory ------------------------------------------------------------------------------------- */

static void a_refused_allocation_leaves_no_trace_whichever_step_fails(void)
{
	need_injected_failures();
	struct kmem_cache *cache = make_cached("test-refused", 700, 0, 0, NULL);
	unsigned refused = 0;

	for (bool done = false; !done;) {
		reclaim_pages();
		size_t free_before = nr_free_pages();
		fault_inject_arm(refused + 1);
		void *object = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NOWARN);
		done = !fault_inject_disarm();
		/* A refused descriptor is refused memory, unless a slot had become free meanwhile. */
		assert_int_equal(!object, !done);
		if (object)
			kmem_cache_free(cache, object);
		reclaim_pages();
		assert_int_equal(nr_free_pages(), free_before);
		assert_sound(slab_check());
		refused += !done;
	}
	assert_at_least(refused, 3); /* the object, the slab's frames, the slab's descriptor */
	end_caches();
}

static void a_batch_is_all_or_nothing_whichever_step_fails(void)
{
	need_injected_failures();
	struct kmem_cache *cache = make_cached("test-all-or-none", 500, 0, 0, NULL);
	size_t count = 5 * slab_preferred_capacity(cache);
	unsigned refused = 0;

	assert_int_equal(cache->preferred.order, cache->minimal.order); /* frames can be refused */
	for (bool done = false; !done;) {
		reclaim_pages();
		size_t free_before = nr_free_pages();
		fault_inject_arm(refused + 1);
		size_t got = kmem_cache_alloc_bulk(cache, GFP_KERNEL | __GFP_NOWARN, count, held);
		done = !fault_inject_disarm();
		assert_int_equal(got, done ? count : 0);
		assert_int_equal(cache->nr_active - magazines_count(cache), got);
		assert_sound(slab_check());
		kmem_cache_free_bulk(cache, got, held);
		reclaim_pages();
		assert_int_equal(nr_free_pages(), free_before);
		refused += !done;
	}
	assert_at_least(refused, 1 + 2 * 5); /* the batch, and for each slab its frames and its descriptor */
	end_caches();
}

static void a_cache_that_cannot_be_made_is_null_or_a_panic_as_asked(void)
{
	need_injected_failures();
	fault_inject_arm(1);
	assert_null(kmem_cache_create("test-none", 64, 0, 0, NULL));
	assert_true(fault_inject_disarm());
	fault_inject_arm(1);
	expect_panic("kmem_cache_create: no memory for cache test-none, which the kernel cannot live without",
	             made[0] = kmem_cache_create("test-none", 64, 0, SLAB_PANIC, NULL));
	assert_true(fault_inject_disarm());
}

static void a_cache_takes_all_memory_refuses_and_gives_all_back(void)
{
	struct kmem_cache *cache = make_cached("test-exhaust", 1000, 0, 0, NULL);
	void **chain = NULL, **object;
	size_t count = 0;

	hoard_take(&hoard, GFP_ATOMIC, 512);
	test_warnings_begin();
	while ((object = kmem_cache_alloc(cache, GFP_ATOMIC))) {
		*object = chain;
		chain = object;
		count++;
	}
	assert_at_least(test_warnings_end(), 1);
	assert_at_least(count, 512 * 2); /* four a page, less what the descriptors of a debug build need */
	assert_null(kmem_cache_alloc(cache, GFP_ATOMIC | __GFP_NOWARN));
	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_ATOMIC | __GFP_NOWARN, 10, held), 0);
	assert_sound(slab_check());
	while (chain) {
		object = chain;
		chain = *object;
		kmem_cache_free(cache, object);
		count--;
	}
	assert_int_equal(count, 0);
	hoard_release(&hoard);
	end_caches();
}

/* ---- The caller's mistakes ----------------------------------------------------------------------------- */

static void a_double_free_is_reported_with_cache_and_slot(void)
{
	struct kmem_cache *cache = make_cached("test-double", 48, 0, 0, NULL);

	hold(cache, 3);
	void *object = held[1];
	unsigned slot = slot_of(object);
	kmem_cache_free(cache, object);
	expect_panic(expected("kmem_cache_free: object %u of cache test-double at %p is already free%s", slot,
	                      object, IS_DEBUG ? ", freed by *" : ""),
	             kmem_cache_free(cache, object));
	assert_sound(slab_check());
	kmem_cache_free(cache, held[0]);
	kmem_cache_free(cache, held[2]);
	nr_held = 0;
	end_caches();
}

static void a_pointer_into_an_object_is_reported_with_its_start(void)
{
	struct kmem_cache *cache = make_cached("test-inside", 120, 0, 0, NULL);

	hold(cache, 2);
	char *live = held[0], *dead = held[1];
	kmem_cache_free(cache, dead);
	nr_held = 1;
	expect_panic(
	        expected("kmem_cache_free: %p is 1 bytes inside live object %u of cache test-inside at %p%s",
	                 live + 1, slot_of(live), live, IS_DEBUG ? ", allocated by *" : ""),
	        kmem_cache_free(cache, live + 1));
	expect_panic(
	        expected(
	                "kmem_cache_free: %p is 119 bytes inside free object %u of cache test-inside at %p%s",
	                dead + 119, slot_of(dead), dead, IS_DEBUG ? ", freed by *" : ""),
	        kmem_cache_free(cache, dead + 119));
	char *end = slab_of(live)->base +
	            cache->preferred.slots * cache->slot_size; /* where one more would begin */
	expect_panic(
	        expected("kmem_cache_free: %p is behind the last object of a slab of cache test-inside", end),
	        kmem_cache_free(cache, end));
	assert_sound(slab_check());
	drop_all(cache);
	end_caches();
}

static void another_caches_object_is_reported_with_both_names(void)
{
	struct kmem_cache *mine = make("test-mine", 64, 0, 0, NULL),
	                  *other = make("test-other", 64, 0, 0, NULL);

	hold(mine, 2);
	expect_panic(expected("kmem_cache_free: %p is in slot %u of cache test-mine, not of cache test-other",
	                      held[1], slot_of(held[1])),
	             kmem_cache_free(other, held[1]));
	void *batch[] = {held[0], held[1]};
	expect_panic(
	        expected("kmem_cache_free_bulk: %p is in slot %u of cache test-mine, not of cache test-other",
	                 held[0], slot_of(held[0])),
	        kmem_cache_free_bulk(other, 2, batch));
	drop_all(mine);
	end_caches();
}

static void memory_of_other_layers_is_reported_as_what_it_is(void)
{
	struct kmem_cache *cache = make("test-foreign", 64, 0, 0, NULL);
	struct page *page = alloc_page(GFP_KERNEL);
	int local = 0;

	assert_non_null(page);
	expect_panic(
	        expected(
	                "kmem_cache_free: %p is not an allocated object (a page of alloc_pages()), allocated by *",
	                page_address(page)),
	        kmem_cache_free(cache, page_address(page)));
	void *gone = page_address(page);
	__free_page(page);
	expect_panic(expected("kmem_cache_free: %p is not an allocated object (a free page)", gone),
	             kmem_cache_free(cache, gone));
	expect_panic("kmem_cache_free: 0x0000000000000008 is not an allocated object (in the NULL page)",
	             kmem_cache_free(cache, (void *)8));
	expect_panic(
	        "kmem_cache_free: 0x4141414141414141 is not an allocated object (not a canonical address)",
	        kmem_cache_free(cache, (void *)0x4141414141414141));
	expect_panic(expected("kmem_cache_free: %p is a vmalloc address, use vfree()",
	                      (void *)(VMALLOC_START + 64)),
	             kmem_cache_free(cache, (void *)(VMALLOC_START + 64)));
	expect_panic(expected("kmem_cache_free: %p is not an allocated object (*)", (void *)&local),
	             kmem_cache_free(cache, &local));
	expect_panic(expected("kmem_cache_free: %p is not an allocated object (*)", (void *)held),
	             kmem_cache_free(cache, held));
	void *beyond = (void *)(DIRECTMAP_BASE + pfn_to_paddr(page_array_end()).raw);
	if (is_directmap_address(vaddr_of(beyond)))
		expect_panic(expected("kmem_cache_free: %p is not an allocated object (no RAM)", beyond),
		             kmem_cache_free(cache, beyond));
	void *low = (void *)(DIRECTMAP_BASE + PAGE_SIZE); /* mm_init() reserves low memory */
	expect_panic(expected("kmem_cache_free: %p is not an allocated object (reserved memory)", low),
	             kmem_cache_free(cache, low));
	char *exact = alloc_pages_exact(3 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(exact);
	for (volatile size_t at = 0; at < 3 * PAGE_SIZE; at += PAGE_SIZE)
		expect_panic(
		        expected(
		                "kmem_cache_free: %p is not an allocated object (a page of alloc_pages_exact()), allocated by *",
		                exact + at),
		        kmem_cache_free(cache, exact + at));
	free_pages_exact(exact, 3 * PAGE_SIZE);
	end_caches();
}

static void a_batch_with_a_mistake_in_it_is_reported(void)
{
	struct kmem_cache *cache = make("test-batch-bad", 64, 0, 0, NULL);

	hold(cache, 3);
	void *inside[] = {held[0], held[1], (char *)held[2] + 8};
	expect_panic(
	        expected(
	                "kmem_cache_free_bulk: %p is 8 bytes inside live object %u of cache test-batch-bad at %p*",
	                inside[2], slot_of(held[2]), held[2]),
	        kmem_cache_free_bulk(cache, 3, inside));
	assert_int_equal(cache->nr_active, 1); /* what came before the mistake is freed */
	nr_held = 1;
	held[0] = held[2];
	hold(cache, 2);
	void *twice[] = {held[0], held[1], held[0]};
	expect_panic(
	        expected("kmem_cache_free_bulk: object %u of cache test-batch-bad at %p is already free*",
	                 slot_of(held[0]), held[0]),
	        kmem_cache_free_bulk(cache, 3, twice));
	assert_int_equal(cache->nr_active, 1);
	kmem_cache_free(cache, held[2]);
	nr_held = 0;
	assert_sound(slab_check());
	end_caches();
}

/* At each place of a batch of several runs, with magazines: what comes before is free, what comes after is live. */
static void a_mistake_anywhere_in_a_batch_frees_what_comes_before_it_and_nothing_else(void)
{
	enum { COUNT = 3 * BULK_RUN, MISTAKES = 5 };
	struct kmem_cache *cache = make_cached("test-batch-at", 64, 0, 0, NULL),
	                  *other = make_cached("test-batch-other", 64, 0, 0, NULL);
	void *foreign = kmem_cache_alloc(other, GFP_KERNEL);
	int local = 0;

	assert_non_null(foreign);
	for (size_t at = 1; at < COUNT; at += at % BULK_RUN == 1 ? BULK_RUN - 2 : 1) {
		for (unsigned mistake = 0; mistake < MISTAKES; mistake++) {
			test_step(at * MISTAKES + mistake);
			assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, COUNT, held), COUNT);
			nr_held = COUNT;
			void *right = held[at], *first = held[0];
			void *wrong[MISTAKES] = {first, (char *)right + 8, foreign, &local, NULL};
			held[at] = wrong[mistake];
			const char *reports[MISTAKES] = {
			        "kmem_cache_free_bulk: object * of cache test-batch-at at * is already free*",
			        "kmem_cache_free_bulk: * is 8 bytes inside live object * of cache test-batch-at at *",
			        "kmem_cache_free_bulk: * is in slot * of cache test-batch-other, not of cache test-batch-at",
			        "kmem_cache_free_bulk: * is not an allocated object (*)",
			        "kmem_cache_free_bulk: 0x0000000000000000 is not an allocated object (in the NULL page)",
			};
			expect_panic(reports[mistake], kmem_cache_free_bulk(cache, COUNT, held));
			assert_sound(slab_check());
			held[at] = right;
			for (size_t i = 0; i < COUNT; i++)
				assert_int_equal(kmem_cache_owns(cache, held[i]), i >= at);
			assert_int_equal(cache->nr_active - magazines_count(cache), COUNT - at);
			kmem_cache_free_bulk(cache, COUNT - at, held + at);
			nr_held = 0;
		}
	}
	kmem_cache_free(other, foreign);
	end_caches();
}

/* The object's slab went back to the page allocator with an earlier part of the batch. */
static void a_long_batch_with_an_object_listed_twice_is_reported(void)
{
	struct kmem_cache *cache = make("test-batch-long", 2048, 0, 0, NULL);
	enum { COUNT = 300 };

	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, COUNT, held), COUNT);
	void *last = held[COUNT - 1];
	void *gone = held[COUNT - 1] =
	        held[slab_preferred_capacity(cache)]; /* of the second slab: one empty slab is kept */
	expect_panic(expected("kmem_cache_free_bulk: %p is not an allocated object (a free page)", gone),
	             kmem_cache_free_bulk(cache, COUNT, held));
	assert_sound(slab_check());
	assert_int_equal(cache->nr_active, 1);
	kmem_cache_free(cache, last);
	end_caches();
}

/* The debug build's poison, as what was read from a freed object. The freed descriptor of the slab before says the same. */
static void a_batch_with_a_wild_pointer_behind_a_slab_that_is_gone_is_reported(void)
{
	struct kmem_cache *cache = make("test-batch-wild", SLAB_OBJECT_MAX, 0, 0, NULL);
	void *batch[SLAB_EMPTY_KEPT + 2];
	enum { OBJECTS = ARRAY_SIZE(batch) - 1 };

	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, OBJECTS, batch), OBJECTS);
	assert_int_equal(slab_preferred_capacity(cache), 1);
	batch[OBJECTS] = (void *)(POISON_FREE * 0x0101010101010101UL);
	expect_panic("kmem_cache_free_bulk: 0x6b6b6b6b6b6b6b6b is not an allocated object (*",
	             kmem_cache_free_bulk(cache, OBJECTS + 1, batch));
	assert_int_equal(cache->nr_active, 0);
	end_caches();
}

static void destroying_a_cache_with_live_objects_lists_them(void)
{
	struct kmem_cache *cache = make("test-live", 64, 0, 0, NULL);

	hold(cache, 2);
	expect_panic(
	        expected("kmem_cache_destroy: cache test-live has 2 live objects: %p %p", held[0], held[1]),
	        kmem_cache_destroy(cache));
	hold(cache, 4);
	expect_panic(expected("kmem_cache_destroy: cache test-live has 6 live objects: %p %p %p %p …",
	                      held[0], held[1], held[2], held[3]),
	             kmem_cache_destroy(cache));
	assert_sound(slab_check());
	drop_all(cache);
	end_caches();
}

static void destroying_what_is_no_cache_is_reported(void)
{
	struct kmem_cache *cache = make("test-no-cache", 64, 0, 0, NULL);

	hold(cache, 1);
	expect_panic(
	        expected(
	                "kmem_cache_destroy: %p is in slot %u of cache test-no-cache, not of cache kmem_cache",
	                held[0], slot_of(held[0])),
	        kmem_cache_destroy(held[0]));
	drop_all(cache);
	struct kmem_cache *keeps_the_slab = make("test-neighbour", 64, 0, 0, NULL);
	nr_made = 0;
	made[nr_made++] = keeps_the_slab;
	kmem_cache_destroy(cache);
	expect_panic("kmem_cache_destroy: object * of cache kmem_cache at * is already free*",
	             kmem_cache_destroy(cache));
	expect_panic("kmem_cache_destroy: * is not an allocated object (*)",
	             kmem_cache_destroy(&kmem_cache_cache));
	end_caches();
}

static void a_bad_cache_request_is_reported(void)
{
	const char *long_name = "a name of thirty-two characters!";

	assert_int_equal(strlen(long_name), CACHE_NAME_MAX);
	expect_panic("kmem_cache_create: the name must have 1 to 31 characters",
	             made[0] = kmem_cache_create(NULL, 8, 0, 0, NULL));
	expect_panic("kmem_cache_create: the name must have 1 to 31 characters",
	             made[0] = kmem_cache_create("", 8, 0, 0, NULL));
	expect_panic("kmem_cache_create: the name must have 1 to 31 characters",
	             made[0] = kmem_cache_create(long_name, 8, 0, 0, NULL));
	expect_panic("kmem_cache_create: cache x: object size 0 is not in 1..32768",
	             made[0] = kmem_cache_create("x", 0, 0, 0, NULL));
	expect_panic("kmem_cache_create: cache x: object size 32769 is not in 1..32768",
	             made[0] = kmem_cache_create("x", 32769, 0, 0, NULL));
	expect_panic("kmem_cache_create: cache x: alignment 24 is no power of two up to a page",
	             made[0] = kmem_cache_create("x", 8, 24, 0, NULL));
	expect_panic("kmem_cache_create: cache x: alignment 8192 is no power of two up to a page",
	             made[0] = kmem_cache_create("x", 8, 8192, 0, NULL));
	expect_panic("kmem_cache_create: cache x: unknown flags 0x40",
	             made[0] = kmem_cache_create("x", 8, 0, 0x40, NULL));
}

static void flags_that_a_cache_cannot_honour_are_reported(void)
{
	struct kmem_cache *cache = make("test-flags", 64, 0, 0, NULL),
	                  *built = make("test-built", 64, 0, 0, construct);

	expect_panic("kmem_cache_alloc: flags 0x1 mean nothing to cache test-flags, asked by *",
	             held[0] = kmem_cache_alloc(cache, GFP_DMA));
	expect_panic("kmem_cache_alloc: flags 0x400 mean nothing to cache test-flags, asked by *",
	             held[0] = kmem_cache_alloc(cache, GFP_KERNEL | 0x400));
	expect_panic("kmem_cache_alloc: __GFP_NORETRY with __GFP_NOFAIL, cache test-flags, asked by *",
	             held[0] = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NORETRY | __GFP_NOFAIL));
	expect_panic("kmem_cache_alloc: __GFP_NOFAIL without __GFP_RECLAIM, cache test-flags, asked by *",
	             held[0] = kmem_cache_alloc(cache, GFP_ATOMIC | __GFP_NOFAIL));
	expect_panic("kmem_cache_alloc: zeroing would undo the constructor of cache test-built, asked by *",
	             held[0] = kmem_cache_zalloc(built, GFP_KERNEL));
	held[0] = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_HIGHMEM);
	assert_non_null(held[0]);
	kmem_cache_free(cache, held[0]);
	end_caches();
}

static void waiting_in_an_interrupt_is_reported_though_no_wait_was_needed(void)
{
	struct kmem_cache *cache = make("test-interrupt", 64, 0, 0, NULL);

	hold(cache, 1); /* the rest of the slab is there for the taking */
	this_cpu()->interrupt_depth++;
	expect_panic("kmem_cache_alloc: GFP_KERNEL in interrupt context, cache test-interrupt, asked by *",
	             held[1] = kmem_cache_alloc(cache, GFP_KERNEL));
	expect_panic("kmem_cache_create: in interrupt context (cache test)",
	             (void)!kmem_cache_create("test", 8, 0, 0, NULL));
	expect_panic("kmem_cache_destroy: in interrupt context", kmem_cache_destroy(cache));
	expect_panic("kmem_cache_shrink: in interrupt context (cache test-interrupt)",
	             kmem_cache_shrink(cache));
	held[nr_held] = kmem_cache_alloc(cache, GFP_ATOMIC);
	assert_non_null(held[nr_held]);
	nr_held++;
	drop_all(cache);
	this_cpu()->interrupt_depth--;
	end_caches();
}

static void need_poison(void)
{
	if (!IS_DEBUG)
		test_skip("objects are poisoned in the debug build only");
}

static void a_write_after_free_is_noticed_when_the_object_is_used_again(void)
{
	need_poison();
	struct kmem_cache *cache = make("test-late", 96, 0, 0, NULL);
	static const size_t at[] = {0, 9, 94, 95};

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		hold(cache, 2);
		uint8_t *object = held[0];
		kmem_cache_free(cache, object);
		object[at[i]] = 0x41;
		expect_panic(
		        expected(
		                "slab: object %u of cache test-late at %p was written after it was freed at byte %zu (0x41), "
		                "freed by *",
		                slot_of(object), (void *)object, at[i]),
		        held[0] = kmem_cache_alloc(cache, GFP_KERNEL));
		/* The report came on the way out: the object is ours. */
		kmem_cache_free(cache, object);
		kmem_cache_free(cache, held[1]);
		nr_held = 0;
	}
	end_caches();
}

static void fresh_and_freed_objects_hold_the_debug_patterns(void)
{
	need_poison();
	struct kmem_cache *cache = make("test-pattern", 50, 0, 0, NULL);

	hold(cache, 2);
	const uint8_t *object = held[0];
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(object[i], POISON_FRESH);
	kmem_cache_free(cache, held[0]);
	for (size_t i = 0; i < 49; i++)
		assert_int_equal(object[i], POISON_FREE);
	assert_int_equal(object[49], POISON_END);
	kmem_cache_free(cache, held[1]);
	nr_held = 0;
	end_caches();
}

static void damage_is_found_at_every_byte_of_every_small_size(void)
{
	_Alignas(8) static uint8_t object[40];

	for (size_t size = 1; size <= sizeof(object); size++) {
		memset(object, POISON_FREE, size - 1);
		object[size - 1] = POISON_END;
		assert_int_equal(poison_find_damage(object, size), size);
		for (size_t i = 0; i < size; i++) {
			object[i] ^= 0x10;
			assert_int_equal(poison_find_damage(object, size), i);
			object[i] ^= 0x10;
		}
	}
}

/* ---- Views --------------------------------------------------------------------------------------------- */

static const char *describe(const void *pointer)
{
	struct buffer_printer out;

	buffer_printer_init(&out, words, sizeof(words));
	if (!slab_describe(pointer, &out.printer))
		return "no";
	return words;
}

static void a_pointer_is_described_by_object_cache_and_distance(void)
{
	struct kmem_cache *cache = make("test-words", 120, 0, 0, NULL);

	hold(cache, 2);
	char *object = held[0];
	unsigned slot = slot_of(object);
	assert_matches(describe(object), expected("live object %u of cache test-words%s", slot,
	                                          IS_DEBUG ? ", allocated by *" : ""));
	assert_matches(describe(object + 7),
	               expected("live object %u of cache test-words, 7 bytes past its start at %p%s", slot,
	                        (void *)object, IS_DEBUG ? ", allocated by *" : ""));
	kmem_cache_free(cache, object);
	assert_matches(describe(object), expected("free object %u of cache test-words%s", slot,
	                                          IS_DEBUG ? ", freed by *" : ""));
	const struct slab *slab = slab_of(object);
	assert_string_equal(describe(slab->base + slab->bytes - 1),
	                    "unused end of a slab of cache test-words");
	assert_string_equal(describe(slab_of(slab)->base), "descriptor in a slab of cache slab");
	assert_string_equal(describe(&slab), "no");
	assert_string_equal(describe(NULL), "no");
	kmem_cache_free(cache, held[1]);
	nr_held = 0;
	end_caches();
}

static struct slab_stats seen;
static size_t nr_seen;

static void see(const struct slab_stats *stats, void *context)
{
	nr_seen++;
	if (strcmp(stats->name, context) == 0)
		seen = *stats;
	/* No lock is held: the visitor may allocate. */
	kmem_cache_free(made[0], kmem_cache_alloc(made[0], GFP_KERNEL));
}

static void the_figures_of_a_cache_are_what_was_done_with_it(void)
{
	struct kmem_cache *cache = make("test-figures", 500, 0, 0, NULL);
	char name[] = "test-figures";
	unsigned per_slab = slab_preferred_capacity(cache);

	hold(cache, per_slab + 1);
	nr_seen = 0;
	slab_for_each_cache(see, name);
	assert_at_least(nr_seen, 3);
	assert_int_equal(seen.object_size, 500);
	assert_int_equal(seen.slot_size, 504);
	assert_int_equal(seen.objects_per_slab, per_slab);
	assert_int_equal(seen.pages_per_slab, 1UL << cache->preferred.order);
	assert_int_equal(seen.active_objects, per_slab + 1);
	assert_int_equal(seen.total_objects, 2 * per_slab);
	assert_int_equal(seen.slabs, 2);
	assert_int_equal(seen.empty_slabs, 0);
	drop_all(cache);
	end_caches();
}

static void slabinfo_has_the_format_that_people_know(void)
{
	static char text[16384];
	struct kmem_cache *cache = make("test-info", 512, 0, 0, NULL);
	struct buffer_printer out;

	hold(cache, 9);
	buffer_printer_init(&out, text, sizeof(text));
	slabinfo_dump(&out.printer);
	assert_true(out.length < sizeof(text));
	assert_matches(
	        text,
	        "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> "
	        "<pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> "
	        "<num_slabs> <sharedavail>\nslab  *\nkmem_cache  *");
	assert_matches(text, "*\ntest-info              9     16    512    8    1 : tunables    0    0    0"
	                     " : slabdata      2      2      0\n*");
	drop_all(cache);
	end_caches();
}

/* ---- The verifier can tell ----------------------------------------------------------------------------- */

/* A cache with one partial slab, for breaking. */
static struct slab *breakable(struct kmem_cache **cache)
{
	*cache = make("test-break", 500, 0, 0, NULL);
	hold(*cache, 3);
	assert_sound(slab_check());
	return slab_of(held[0]);
}

static void mend(struct kmem_cache *cache)
{
	assert_sound(slab_check());
	drop_all(cache);
	end_caches();
}

/* Sets a field to a wrong value, expects the verifier's words, and sets it right. */
#define EXPECT_BROKEN(field, wrong, pattern)                                                  \
	do {                                                                                  \
		__typeof__(field) right_ = (field);                                           \
		expect_broken_by(slab_check(), pattern, (field) = (wrong), (field) = right_); \
	} while (0)

static void the_verifier_notices_broken_geometry(void)
{
	struct kmem_cache *cache;

	struct slab *slab = breakable(&cache);
	EXPECT_BROKEN(cache->object_size, 505, "S1: cache test-break: slots of 504 bytes for objects of 505");
	EXPECT_BROKEN(cache->minimal.slots, 0, "S1: cache test-break: 0 slots in a block of order 0");
	EXPECT_BROKEN(cache->minimal.slots, 6, "S1: cache test-break: 6 slots of 504 bytes in 4096 bytes");
	EXPECT_BROKEN(cache->preferred.slots, 9, "S1: cache test-break: 9 slots of 504 bytes in 4096 bytes");
	struct slab_shape large = {.slots = 16, .order = 1};
	EXPECT_BROKEN(cache->minimal, large,
	              "S1: cache test-break prefers slabs of order 0, and makes do with order 1");
	EXPECT_BROKEN(cache->reciprocal, cache->reciprocal - 1,
	              "S1: cache test-break: 0x* is not the reciprocal of 504");
	EXPECT_BROKEN(
	        slab->slots, 7,
	        "S1: cache test-break: slab at * has 7 slots, 8 of them objects, in 4096 bytes of order 0");
	EXPECT_BROKEN(
	        slab->capacity, 7,
	        "S1: cache test-break: slab at * has 8 slots, 7 of them objects, in 4096 bytes of order 0");
	EXPECT_BROKEN(slab->order, 1, "S1: cache test-break: slab at * in 4096 bytes of order 1");
	EXPECT_BROKEN(slab->bytes, 8192, "S1: cache test-break: slab at * in 8192 bytes of order 0");
	EXPECT_BROKEN(slab->slot_size, 512,
	              "S1: cache test-break: slab at * has slots of 512 bytes, reciprocal 0x*");
	EXPECT_BROKEN(slab->reciprocal, slab->reciprocal + 1,
	              "S1: cache test-break: slab at * has slots of 504 bytes, reciprocal 0x*");
	mend(cache);
}

static void the_verifier_notices_a_slab_on_the_wrong_list(void)
{
	struct kmem_cache *cache;
	struct slab *slab = breakable(&cache);

	list_move(&slab->link, &cache->slabs[SLAB_FULL]);
	const char *said = slab_check();
	list_move(&slab->link, &cache->slabs[SLAB_PARTIAL]);
	assert_non_null(said);
	assert_matches(
	        said,
	        expected("S2: cache test-break: slab at %p has 5 of 8 objects free, but is on the full list",
	                 (void *)slab->base));
	EXPECT_BROKEN(slab->cache, made[0] == cache ? &kmem_cache_cache : cache,
	              "S2: cache test-break lists a slab of cache kmem_cache");
	EXPECT_BROKEN(
	        slab->link.prev, &slab->link,
	        expected("S2: cache test-break: the partial list is torn at slab %p", (void *)slab->base));
	mend(cache);
}

static void the_verifier_notices_a_wrong_bitmap(void)
{
	struct kmem_cache *cache;
	struct slab *slab = breakable(&cache);

	EXPECT_BROKEN(slab_bitmap(slab)[0], slab_bitmap(slab)[0] ^ 1,
	              expected("S3: cache test-break: slab at %p counts 5 free slots, its bitmap 6",
	                       (void *)slab->base));
	EXPECT_BROKEN(slab->free_words, 0x81,
	              expected("S3: cache test-break: slab at %p: free_words is wrong about word 7",
	                       (void *)slab->base));
	EXPECT_BROKEN(slab->state[8], SLOT_LIVE,
	              expected("S3: cache test-break: slab at %p: where its slots end, state 1",
	                       (void *)slab->base));
	/* One bit moved behind the last slot: the count still fits. */
	EXPECT_BROKEN(slab_bitmap(slab)[0], (slab_bitmap(slab)[0] & (slab_bitmap(slab)[0] - 1)) | 1ULL << 63,
	              expected("S3: cache test-break: slab at %p: slot 63 is no object, but free",
	                       (void *)slab->base));
	mend(cache);
}

static void the_verifier_notices_a_frame_that_left_its_slab(void)
{
	struct kmem_cache *cache;
	struct slab *slab = breakable(&cache);
	struct page *page = virt_to_page(slab->base);

	EXPECT_BROKEN(page->type, PAGE_HELD,
	              expected("S4: cache test-break: page %p of a slab is marked held", (void *)slab->base));
	EXPECT_BROKEN(page->owner, NULL,
	              expected("S4: cache test-break: page %p of a slab leads to another descriptor",
	                       (void *)slab->base));
	EXPECT_BROKEN(page->order, 1,
	              expected("S4: cache test-break: slab at %p is a block of order 1, not 0",
	                       (void *)slab->base));
	EXPECT_BROKEN(slab->base, slab->base + 8,
	              "S4: cache test-break: slab base * is not aligned to the slab");
	mend(cache);
}

static void the_verifier_notices_a_stray_descriptor(void)
{
	struct kmem_cache *cache;
	struct slab *slab = breakable(&cache);
	struct slab *home = slab_of(slab);
	unsigned slot = slot_of(slab);
	/* The descriptor's twin at an address where no descriptor can be. */
	struct slab *twin = (struct slab *)held[1];

	slab_bitmap(home)[slot / BITS_PER_WORD] ^= 1ULL << slot % BITS_PER_WORD;
	const char *said = slab_check();
	slab_bitmap(home)[slot / BITS_PER_WORD] ^= 1ULL << slot % BITS_PER_WORD;
	assert_non_null(said);
	/* The descriptor cache is older and checked first: its own bitmap gives it away. */
	assert_matches(said, "S3: cache slab: slab at *");

	/* Free in a consistent way: only S5 can tell. */
	slab_bitmap(home)[slot / BITS_PER_WORD] ^= 1ULL << slot % BITS_PER_WORD;
	uint8_t free_words = home->free_words;
	home->free_words |= 1U << slot / BITS_PER_WORD;
	home->state[slot] = SLOT_FREE;
	home->nr_free++;
	slab_descriptor_caches[DESCRIPTORS_SMALL].nr_active--;
	enum slab_fill fill = home->fill;
	home->fill = slab_fill_of(home);
	list_move(&home->link, &slab_descriptor_caches[DESCRIPTORS_SMALL].slabs[home->fill]);
	slab_descriptor_caches[DESCRIPTORS_SMALL].nr_empty += home->fill == SLAB_EMPTY;
	struct slab saved = *slab;
	if (IS_DEBUG) {
		/* A free descriptor would be poisoned, and S8 would speak first. */
		slab_descriptor_caches[DESCRIPTORS_SMALL].ctor = construct;
	}
	said = slab_check();
	slab_descriptor_caches[DESCRIPTORS_SMALL].ctor = NULL;
	*slab = saved;
	slab_descriptor_caches[DESCRIPTORS_SMALL].nr_empty -= home->fill == SLAB_EMPTY;
	home->fill = (uint8_t)fill;
	list_move(&home->link, &slab_descriptor_caches[DESCRIPTORS_SMALL].slabs[fill]);
	slab_descriptor_caches[DESCRIPTORS_SMALL].nr_active++;
	home->nr_free--;
	home->state[slot] = SLOT_INTERNAL;
	home->free_words = free_words;
	slab_bitmap(home)[slot / BITS_PER_WORD] ^= 1ULL << slot % BITS_PER_WORD;
	assert_non_null(said);
	assert_matches(said, expected("S5: cache *: descriptor %p is free", (void *)slab));

	memcpy(twin, slab, sizeof(*slab));
	twin->link.prev->next = twin->link.next->prev = &twin->link;
	said = slab_check();
	slab->link.prev->next = slab->link.next->prev = &slab->link;
	assert_non_null(said);
	assert_matches(said, expected("S5: cache test-break: descriptor %p is not in a slab of descriptors",
	                              (void *)twin));

	twin = (struct slab *)((char *)slab + 8);
	EXPECT_BROKEN(slab->link.prev->next, &twin->link,
	              expected("S5: cache test-break: descriptor %p is in the wrong slot", (void *)twin));
	mend(cache);
}

static void the_verifier_notices_wrong_counts(void)
{
	struct kmem_cache *cache;

	breakable(&cache);
	EXPECT_BROKEN(cache->nr_slabs, 0, "S6: cache test-break counts 0 slabs, its lists hold more");
	EXPECT_BROKEN(cache->nr_slabs, 2, "S6: cache test-break counts 2 slabs, its lists hold 1");
	EXPECT_BROKEN(cache->nr_empty, 1, "S6: cache test-break counts 1 empty slabs, its list holds 0");
	EXPECT_BROKEN(cache->nr_objects, 9,
	              "S6: cache test-break counts 9 objects in 1 pages, its slabs have 8 in 1");
	EXPECT_BROKEN(cache->nr_pages, 2,
	              "S6: cache test-break counts 8 objects in 2 pages, its slabs have 8 in 1");
	EXPECT_BROKEN(cache->nr_active, 4, "S6: cache test-break counts 4 objects handed out, its slabs 3");
	mend(cache);
}

static void the_verifier_notices_too_many_empty_slabs(void)
{
	struct kmem_cache *cache = make("test-break", 2048, 0, 0, NULL);

	/* Two slabs; the second is emptied while the first is out of sight. */
	size_t per_slab = slab_preferred_capacity(cache);
	hold(cache, 2 * per_slab);
	kmem_cache_free_bulk(cache, per_slab, held);
	cache->nr_empty = 0;
	kmem_cache_free_bulk(cache, per_slab, held + per_slab);
	nr_held = 0;
	cache->nr_empty = 2;
	const char *said = slab_check();
	assert_non_null(said);
	assert_matches(said, "S6: cache test-break keeps 2 empty slabs");
	assert_at_least(kmem_cache_shrink(cache), 2UL << cache->preferred.order);
	mend(cache);
}

static void the_verifier_notices_what_is_lost_between_caches(void)
{
	struct kmem_cache *cache;
	size_t caches_before = kmem_cache_cache.nr_active + STATIC_CACHES;

	breakable(&cache);
	/* A descriptor that is live but describes no slab. */
	struct slab *lost = slab_alloc_internal(&slab_descriptor_caches[DESCRIPTORS_SMALL], GFP_KERNEL);
	assert_non_null(lost);
	const char *said = slab_check();
	slab_free_internal(lost);
	assert_non_null(said);
	assert_matches(said, "S7: * slab descriptors are live, but * slabs need one");
	/* A cache that is live but not listed. Its slabs' descriptors are missed first, so it must have none. */
	drop_all(cache);
	kmem_cache_shrink(cache);
	list_del(&cache->link);
	said = slab_check();
	list_add_tail(&cache->link, &caches);
	assert_non_null(said);
	assert_matches(said, expected("S7: %zu caches are live, but %zu are listed", caches_before + 1,
	                              caches_before));
	mend(cache);
}

/* ---- Magazines ----------------------------------------------------------------------------------------- */

static void a_cpu_meets_the_cache_once_a_magazine(void)
{
	struct kmem_cache *cache = make_cached("test-magazine", 64, 0, 0, NULL);
	size_t rounds = cache->magazine_size / sizeof(struct cpu_pair);
	uint64_t refills = counter_sum(COUNT_SLAB_REFILLS), drains = counter_sum(COUNT_SLAB_DRAINS),
	         exchanges = counter_sum(COUNT_DEPOT_EXCHANGES);

	assert_int_equal(rounds, 127);
	hold(cache, 9 * rounds);
	uint64_t filled = counter_sum(COUNT_SLAB_REFILLS) - refills;
	assert_at_least(filled, 9);
	assert_at_most(filled, 20); /* a slab's last objects fill no magazine */
	assert_int_equal(counter_sum(COUNT_DEPOT_EXCHANGES), exchanges);
	drop_all(cache);
	/* Two magazines here, eight in the depot: there is none left to be drained into slabs. */
	assert_int_equal(counter_sum(COUNT_SLAB_DRAINS), drains);
	assert_int_equal(counter_sum(COUNT_DEPOT_EXCHANGES) - exchanges, 8);
	assert_int_equal(magazines_count(cache), cache->nr_active);
	assert_sound(slab_check());
	hold(cache, 9 * rounds);
	assert_int_equal(counter_sum(COUNT_SLAB_REFILLS) - refills, filled);
	drop_all(cache);
	end_caches();
}

static void going_back_and_forth_at_a_magazines_end_leaves_the_depot_alone(void)
{
	struct kmem_cache *cache = make_cached("test-thrash", 64, 0, 0, NULL);
	size_t rounds = cache->magazine_size / sizeof(struct cpu_pair);

	hold(cache, 3 * rounds);
	for (size_t i = 0; i < rounds + 1; i++)
		kmem_cache_free(cache, held[--nr_held]);
	uint64_t exchanges = counter_sum(COUNT_DEPOT_EXCHANGES), refills = counter_sum(COUNT_SLAB_REFILLS);
	for (unsigned turn = 0; turn < 100; turn++) {
		hold(cache, 2 + turn % 5);
		for (size_t i = 0; i < 2 + turn % 5; i++)
			kmem_cache_free(cache, held[--nr_held]);
	}
	assert_int_equal(counter_sum(COUNT_DEPOT_EXCHANGES), exchanges);
	assert_int_equal(counter_sum(COUNT_SLAB_REFILLS), refills);
	drop_all(cache);
	end_caches();
}

static void a_full_depot_sends_a_magazine_home_at_a_time(void)
{
	struct kmem_cache *cache = make_cached("test-home", 512, 0, 0, NULL);
	size_t rounds = cache->magazine_size / sizeof(struct cpu_pair);
	uint64_t drains = counter_sum(COUNT_SLAB_DRAINS);

	hold(cache, 20 * rounds);
	drop_all(cache);
	/* 2 magazines are the CPU's, 8 the depot's; the one that was loaded was not empty. */
	assert_at_least(counter_sum(COUNT_SLAB_DRAINS) - drains, 10);
	assert_at_most(counter_sum(COUNT_SLAB_DRAINS) - drains, 11);
	assert_sound(slab_check());
	size_t free_before = nr_free_pages();
	assert_at_least(kmem_cache_shrink(cache), 1);
	assert_at_least(nr_free_pages(), free_before + 10 * rounds * 512 / PAGE_SIZE);
	assert_int_equal(cache->nr_slabs, 0);
	assert_int_equal(cache->depot.nr_full + cache->depot.nr_empty, 0);
	end_caches();
}

static void without_memory_for_magazines_objects_come_and_go_one_by_one(void)
{
	struct kmem_cache *cache = make_cached("test-poor", 64, 0, 0, NULL);

	assert_true(slab_grow(cache, GFP_KERNEL));
	hoard_take(&hoard, GFP_ATOMIC, 0);
	/* The cache of magazines has an empty slab or a partial one at most: use it up. */
	struct cpu_pair spare[64];
	size_t spares = 0;
	while (spares < ARRAY_SIZE(spare) && slab_take(magazine_cache_of(cache), 1, &spare[spares]))
		spares++;
	test_warnings_begin();
	void *object = kmem_cache_alloc(cache, GFP_ATOMIC);
	(void)test_warnings_end();
	assert_non_null(object);
	assert_int_equal(cache->cpu[this_cpu()->id].loaded->size, 0);
	kmem_cache_free(cache, object);
	assert_int_equal(cache->nr_active, 0);
	slab_put(magazine_cache_of(cache), spares, spare);
	hoard_release(&hoard);
	end_caches();
}

static void an_object_freed_twice_at_once_is_noticed_when_it_is_handed_out_again(void)
{
	struct kmem_cache *cache = make_cached("test-race", 64, 0, 0, NULL);

	hold(cache, 1);
	uint8_t *state = &slab_of(held[0])->state[slot_of(held[0])];
	kmem_cache_free(cache, held[0]);
	*state = SLOT_LIVE; /* as if another CPU had freed it as well, and had been given it */
	expect_panic(
	        "kmem_cache_alloc: free object * of cache test-race at * is live: freed twice at once, *",
	        held[1] = kmem_cache_alloc(cache, GFP_KERNEL));
	kmem_cache_free(cache, held[0]); /* it left the magazine with the report */
	nr_held = 0;
	end_caches();
}

static void an_object_freed_twice_at_once_is_noticed_when_it_is_handed_out_in_a_batch(void)
{
	struct kmem_cache *cache = make_cached("test-race", 64, 0, 0, NULL);

	hold(cache, 5);
	void *freed[] = {held[1], held[2], held[3]};
	uint8_t *state = &slab_of(held[1])->state[slot_of(held[1])];
	kmem_cache_free_bulk(cache, ARRAY_SIZE(freed), freed);
	*state = SLOT_LIVE; /* as above */
	expect_panic(
	        "kmem_cache_alloc: free object * of cache test-race at * is live: freed twice at once, *",
	        (void)!kmem_cache_alloc_bulk(cache, GFP_KERNEL, 4, held + 1));
	/* The last freed come first, and are the caller's; the one reported left the magazine. */
	assert_ptr_equal(held[1], freed[2]);
	assert_ptr_equal(held[2], freed[1]);
	held[3] = freed[0];
	assert_sound(slab_check());
	drop_all(cache);
	end_caches();
}

static void an_object_freed_twice_at_once_is_noticed_when_both_return_to_the_slab(void)
{
	struct kmem_cache *cache = make_cached("test-return", 64, 0, 0, NULL);

	hold(cache, 2); /* the slab must not go */
	unsigned slot = slot_of(held[0]);
	struct cpu_pair round = slab_round(slab_of(held[0]), slot);
	struct cpu_pair twice[] = {round, round}; /* what a magazine would hold after two CPUs freed it */
	expect_panic(
	        "slab: object * of cache test-return at * comes out of a magazine, but is live: freed twice at once, *",
	        slab_put(cache, 1, &round));
	*(uint8_t *)round.second = SLOT_FREE;
	expect_panic(
	        "slab: object * of cache test-return at * comes out of a magazine, but is in its slab: freed twice at once, *",
	        slab_put(cache, 2, twice));
	assert_int_equal(slab_take(cache, 1, &round), 1); /* the lowest free slot: the same again */
	assert_ptr_equal(round.first, held[0]);
	*(uint8_t *)round.second = SLOT_LIVE;
	drop_all(cache);
	end_caches();
}

static void the_verifier_notices_broken_magazines(void)
{
	struct kmem_cache *cache = make_cached("test-break", 64, 0, 0, NULL);

	hold(cache, 100);
	drop_all(cache);
	struct cpu_slab *own = &cache->cpu[this_cpu()->id];
	struct cpu_magazine *magazine = own->loaded->used ? own->loaded : own->previous;
	struct cpu_pair round = magazine->pairs[0];
	uint8_t *state = round.second;

	EXPECT_BROKEN(
	        magazine->used, magazine->used - 16,
	        "S9: cache test-break: * objects are free outside their slabs, but its magazines hold *");
	EXPECT_BROKEN(magazine->used, magazine->used + 8,
	              "S9: cache test-break: * is no magazine of it, or holds *");
	EXPECT_BROKEN(magazine->size, magazine->size - 16,
	              "S9: cache test-break: * is no magazine of it, or holds *");
	EXPECT_BROKEN(magazine->pairs[0].second, state + 1,
	              "S9: cache test-break: a magazine holds *, which is no object of it");
	EXPECT_BROKEN(magazine->pairs[0].first, (char *)round.first + 8,
	              "S9: cache test-break: a magazine holds *, which is no object of it");
	EXPECT_BROKEN(*state, SLOT_LIVE, "S9: cache test-break: * objects are free outside their slabs, *");
	EXPECT_BROKEN(*state, 2, "S3: cache test-break: slab at *: slot * is handed out, and has state 2");
	EXPECT_BROKEN(own->previous, own->loaded, "S9: cache test-break: *");
	EXPECT_BROKEN(
	        cache->depot.nr_full, cache->depot.nr_full + 1,
	        "S9: cache test-break: * objects are free outside their slabs, but its magazines hold *");
	EXPECT_BROKEN(cache->depot.nr_empty, cache->depot.nr_empty + 1,
	              "S9: cache test-break: the depot has fewer empty magazines than it counts");
	void *lost = slab_alloc_internal(magazine_cache_of(cache), GFP_KERNEL);
	assert_non_null(lost);
	const char *said = slab_check();
	slab_free_internal(lost);
	assert_non_null(said);
	assert_matches(said, "S7: * magazines are live, but * are in use");
	mend(cache);
}

static void the_verifier_notices_a_write_to_a_free_object(void)
{
	need_poison();
	struct kmem_cache *cache;
	struct slab *slab = breakable(&cache);
	uint8_t *object = slab_object(slab, 5);

	EXPECT_BROKEN(object[321], 0,
	              expected("S8: cache test-break: free object 5 at %p was written at byte 321",
	                       (void *)object));
	mend(cache);
}

static const struct test_case cases[] = {
        TEST_CASE(a_random_mix_of_caches_agrees_with_the_model),
        TEST_CASE(random_batches_agree_with_the_model),
        TEST_CASE(a_constructor_runs_once_per_object_and_its_work_stays),
        TEST_CASE(objects_are_aligned_as_asked),
        TEST_CASE(powers_of_two_are_aligned_to_themselves),
        TEST_CASE(no_size_wastes_more_than_an_eighth_of_a_slab),
        TEST_CASE(every_byte_of_a_slab_is_in_the_slot_that_division_says),
        TEST_CASE(a_slab_gives_its_objects_in_order_and_takes_them_back_in_any),
        TEST_CASE(where_memory_is_in_pieces_slabs_are_small),
        TEST_CASE(a_cache_of_large_and_small_slabs_agrees_with_the_model),
        TEST_CASE(failing_to_get_a_large_slab_refuses_nothing),
        TEST_CASE(odd_sizes_round_up_and_keep_their_name_and_size),
        TEST_CASE(empty_slabs_beyond_the_reserve_return_at_once),
        TEST_CASE(one_object_in_and_out_costs_no_slab),
        TEST_CASE(shrinking_returns_what_is_empty_and_says_how_much),
        TEST_CASE(reclaim_returns_every_caches_empty_slabs),
        TEST_CASE(partial_slabs_are_used_before_empty_ones),
        TEST_CASE(zeroed_objects_are_zero_after_other_use),
        TEST_CASE(freeing_null_and_destroying_null_do_nothing),
        TEST_CASE(a_refused_allocation_leaves_no_trace_whichever_step_fails),
        TEST_CASE(a_batch_is_all_or_nothing_whichever_step_fails),
        TEST_CASE(a_cache_that_cannot_be_made_is_null_or_a_panic_as_asked),
        TEST_CASE(a_cache_takes_all_memory_refuses_and_gives_all_back),
        TEST_CASE(a_double_free_is_reported_with_cache_and_slot),
        TEST_CASE(a_pointer_into_an_object_is_reported_with_its_start),
        TEST_CASE(another_caches_object_is_reported_with_both_names),
        TEST_CASE(memory_of_other_layers_is_reported_as_what_it_is),
        TEST_CASE(a_batch_with_a_mistake_in_it_is_reported),
        TEST_CASE(a_mistake_anywhere_in_a_batch_frees_what_comes_before_it_and_nothing_else),
        TEST_CASE(a_long_batch_with_an_object_listed_twice_is_reported),
        TEST_CASE(a_batch_with_a_wild_pointer_behind_a_slab_that_is_gone_is_reported),
        TEST_CASE(destroying_a_cache_with_live_objects_lists_them),
        TEST_CASE(destroying_what_is_no_cache_is_reported),
        TEST_CASE(a_bad_cache_request_is_reported),
        TEST_CASE(flags_that_a_cache_cannot_honour_are_reported),
        TEST_CASE(waiting_in_an_interrupt_is_reported_though_no_wait_was_needed),
        TEST_CASE(a_write_after_free_is_noticed_when_the_object_is_used_again),
        TEST_CASE(fresh_and_freed_objects_hold_the_debug_patterns),
        TEST_CASE(damage_is_found_at_every_byte_of_every_small_size),
        TEST_CASE(a_pointer_is_described_by_object_cache_and_distance),
        TEST_CASE(the_figures_of_a_cache_are_what_was_done_with_it),
        TEST_CASE(slabinfo_has_the_format_that_people_know),
        TEST_CASE(a_cpu_meets_the_cache_once_a_magazine),
        TEST_CASE(going_back_and_forth_at_a_magazines_end_leaves_the_depot_alone),
        TEST_CASE(a_full_depot_sends_a_magazine_home_at_a_time),
        TEST_CASE(without_memory_for_magazines_objects_come_and_go_one_by_one),
        TEST_CASE(an_object_freed_twice_at_once_is_noticed_when_it_is_handed_out_again),
        TEST_CASE(an_object_freed_twice_at_once_is_noticed_when_it_is_handed_out_in_a_batch),
        TEST_CASE(an_object_freed_twice_at_once_is_noticed_when_both_return_to_the_slab),
        TEST_CASE(the_verifier_notices_broken_magazines),
        TEST_CASE(the_verifier_notices_broken_geometry),
        TEST_CASE(the_verifier_notices_a_slab_on_the_wrong_list),
        TEST_CASE(the_verifier_notices_a_wrong_bitmap),
        TEST_CASE(the_verifier_notices_a_frame_that_left_its_slab),
        TEST_CASE(the_verifier_notices_a_stray_descriptor),
        TEST_CASE(the_verifier_notices_wrong_counts),
        TEST_CASE(the_verifier_notices_too_many_empty_slabs),
        TEST_CASE(the_verifier_notices_what_is_lost_between_caches),
        TEST_CASE(the_verifier_notices_a_write_to_a_free_object),
};

extern const struct test_suite slab_suite;
const struct test_suite slab_suite = TEST_SUITE("slab", cases, .tear_down = clean_up);
