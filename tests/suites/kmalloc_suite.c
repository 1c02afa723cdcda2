/*
 * kmalloc and its family on the live system: sizes, alignment, contents, large requests to the page, and
 * every mistake's exact words.
 */
#include <test/test.h>

#include <hoard.h>
#include <lib/align.h>
#include <mm/fault_inject.h>
#include <mm/kmalloc.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <slab_model.h>
#include <expected.h>
#include <no_trace.h>
#include "../../mm/slab_internal.h"

static const size_t class_sizes[KMALLOC_CACHES] = {8,   16,  32,   64,   96,   128, 192,
                                                   256, 512, 1024, 2048, 4096, 8192};
static struct slab_model model;

static struct hoard hoard;

static void end_hoard(void)
{
	hoard_release(&hoard);
}

static void *must(void *pointer)
{
	assert_non_null(pointer);
	return pointer;
}

/* The class that a size belongs to, found the slow way. */
static unsigned class_of(size_t size)
{
	unsigned index = 0;

	while (class_sizes[index] < size)
		index++;
	return index;
}

/* ---- Small --------------------------------------------------------------------------------------------- */

static void every_size_takes_the_smallest_class_that_holds_it(void)
{
	for (size_t size = 1; size <= KMALLOC_MAX_CACHE_SIZE; size++) {
		test_step(size);
		unsigned class = class_of(size);
		assert_int_equal(kmalloc_index(size), class);
		char *object = must(kmalloc(size, GFP_KERNEL));
		assert_ptr_equal(slab_of(object)->cache, kmalloc_caches[class]);
		assert_int_equal(ksize(object), class_sizes[class]);
		object[0] = object[ksize(object) - 1] = 'x';
		kfree(object);
	}
	char *object = must(kmalloc(KMALLOC_MAX_CACHE_SIZE + 1, GFP_KERNEL));
	assert_null(slab_of(object));
	assert_int_equal(ksize(object), 3 * PAGE_SIZE);
	kfree(object);
}

#define SAME_CACHE(size)                                                                              \
	do {                                                                                          \
		volatile size_t variable_ = (size);                                                   \
		void *constant_object_ = must(kmalloc(size, GFP_KERNEL));                             \
		void *variable_object_ = must(kmalloc(variable_, GFP_KERNEL));                        \
		assert_ptr_equal(slab_of(constant_object_)->cache, slab_of(variable_object_)->cache); \
		assert_int_equal(ksize(constant_object_), class_sizes[class_of(size)]);               \
		kfree(constant_object_);                                                              \
		kfree(variable_object_);                                                              \
	} while (0)

static void constant_and_variable_sizes_meet_in_one_cache(void)
{
	SAME_CACHE(1);
	SAME_CACHE(8);
	SAME_CACHE(9);
	SAME_CACHE(16);
	SAME_CACHE(17);
	SAME_CACHE(32);
	SAME_CACHE(33);
	SAME_CACHE(64);
	SAME_CACHE(65);
	SAME_CACHE(96);
	SAME_CACHE(97);
	SAME_CACHE(128);
	SAME_CACHE(129);
	SAME_CACHE(192);
	SAME_CACHE(193);
	SAME_CACHE(256);
	SAME_CACHE(257);
	SAME_CACHE(512);
	SAME_CACHE(513);
	SAME_CACHE(1024);
	SAME_CACHE(1025);
	SAME_CACHE(2048);
	SAME_CACHE(2049);
	SAME_CACHE(4096);
	SAME_CACHE(4097);
	SAME_CACHE(8192);
}

static void the_caches_have_their_sizes_for_names(void)
{
	static const char *const names[KMALLOC_CACHES] = {
	        "kmalloc-8",   "kmalloc-16",  "kmalloc-32",  "kmalloc-64",  "kmalloc-96",
	        "kmalloc-128", "kmalloc-192", "kmalloc-256", "kmalloc-512", "kmalloc-1k",
	        "kmalloc-2k",  "kmalloc-4k",  "kmalloc-8k"};

	for (unsigned i = 0; i < KMALLOC_CACHES; i++) {
		assert_string_equal(kmem_cache_name(kmalloc_caches[i]), names[i]);
		assert_int_equal(kmem_cache_size(kmalloc_caches[i]), class_sizes[i]);
	}
}

static void powers_of_two_are_aligned_to_their_size(void)
{
	enum { EACH = 5 };
	void *objects[EACH];

	for (size_t size = 8; size <= 16 * PAGE_SIZE; size *= 2) {
		for (unsigned i = 0; i < EACH; i++) {
			objects[i] = must(kmalloc(size, GFP_KERNEL));
			assert_true(is_aligned((uintptr_t)objects[i] - DIRECTMAP_BASE, size));
		}
		for (unsigned i = 0; i < EACH; i++)
			kfree(objects[i]);
	}
}

static void a_request_for_nothing_gets_the_pointer_to_nothing(void)
{
	volatile size_t none = 0;

	assert_ptr_equal(kmalloc(0, GFP_KERNEL), ZERO_SIZE_PTR);
	assert_ptr_equal(kmalloc(none, GFP_KERNEL), ZERO_SIZE_PTR);
	assert_ptr_equal(kzalloc(none, GFP_KERNEL), ZERO_SIZE_PTR);
	assert_ptr_equal(kcalloc(none, 8, GFP_KERNEL), ZERO_SIZE_PTR);
	assert_ptr_equal(kmalloc(none, GFP_DMA), ZERO_SIZE_PTR);
	assert_int_equal(ksize(ZERO_SIZE_PTR), 0);
	assert_int_equal(ksize(NULL), 0);
	kfree(ZERO_SIZE_PTR);
	kfree(NULL);
	kfree_sensitive(ZERO_SIZE_PTR);
	kfree_sensitive(NULL);
}

static void zeroed_memory_is_zero_at_every_size(void)
{
	static const size_t sizes[] = {1, 8, 63, 100, 192, 1000, 4096, 8192, 8193, 5 * PAGE_SIZE};

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		uint8_t *dirty = must(kmalloc(sizes[s], GFP_KERNEL));
		memset(dirty, 0xee, ksize(dirty));
		kfree(dirty);
		uint8_t *object = must(kzalloc(sizes[s], GFP_KERNEL));
		for (size_t i = 0; i < ksize(object); i++)
			assert_int_equal(object[i], 0);
		kfree(object);
		object = must(kcalloc(1, sizes[s], GFP_KERNEL));
		for (size_t i = 0; i < sizes[s]; i++)
			assert_int_equal(object[i], 0);
		kfree(object);
	}
}

static void an_array_too_large_to_count_is_refused(void)
{
	volatile size_t half = SIZE_MAX / 2;

	assert_null(kmalloc_array(half, 3, GFP_KERNEL));
	assert_null(kcalloc(half, half, GFP_KERNEL));
	assert_null(kcalloc(SIZE_MAX, 2, GFP_KERNEL));
	uint32_t *array = must(kmalloc_array(100, sizeof(*array), GFP_KERNEL));
	assert_int_equal(ksize(array), 512);
	kfree(array);
}

static void a_random_mix_of_sizes_agrees_with_the_model(void)
{
	size_t steps = test_is_hosted() ? 4000 : 800;
	struct rng rng;

	slab_model_init(&model);
	rng_seed(&rng, test_seed());
	for (size_t step = 0; step < steps; step++) {
		test_step(step);
		bool grow = rng_below(&rng, 8) < (step / 200 % 2 ? 2 : 6);
		if (grow && model.count < SLAB_MODEL_MAX) {
			/* Sizes of every magnitude up to five pages. */
			size_t size = 1 + rng_below(&rng, rng_below(&rng, 16) ? 8UL << rng_below(&rng, 10)
			                                                      : 5 * PAGE_SIZE);
			void *object = must(kmalloc(size, GFP_KERNEL));
			assert_at_least(ksize(object), size);
			assert_sound(slab_model_add(&model, object, size, 0, rng_next(&rng)));
		} else if (model.count) {
			size_t victim = rng_below(&rng, model.count);
			void *object = model.live[victim].start;
			assert_sound(slab_model_remove(&model, victim));
			if (rng_below(&rng, 8))
				kfree(object);
			else
				kfree_sensitive(object);
		}
		assert_sound(slab_check());
	}
	while (model.count) {
		void *object = model.live[0].start;
		assert_sound(slab_model_remove(&model, 0));
		kfree(object);
	}
}

/* ---- Large --------------------------------------------------------------------------------------------- */

static void a_large_request_holds_exactly_its_pages(void)
{
	static const size_t pages[] = {3, 4, 5, 6, 7, 8, 9, 17, 31, 33, 65};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		size_t free_before = nr_free_pages(), large_before = kmalloc_large_bytes();
		size_t bytes = pages[i] * PAGE_SIZE;
		char *memory = must(kmalloc(bytes - 100, GFP_KERNEL));
		assert_int_equal(free_before - nr_free_pages(), pages[i]);
		assert_int_equal(kmalloc_large_bytes() - large_before, bytes);
		assert_int_equal(ksize(memory), bytes);
		memset(memory, 'l', bytes);
		assert_sound(page_alloc_check());
		kfree(memory);
		assert_int_equal(nr_free_pages(), free_before);
		assert_int_equal(kmalloc_large_bytes(), large_before);
	}
}

static void what_can_never_be_had_is_refused_with_one_warning(void)
{
	volatile size_t size = KMALLOC_MAX_SIZE + 1;

	expect_warning(
	        "kmalloc: 1073741825 bytes are more than the 1073741824 that one request can have, asked by *",
	        assert_null(kmalloc(size, GFP_KERNEL)));
	size = SIZE_MAX;
	expect_warning("kmalloc: 18446744073709551615 bytes are more than *",
	               assert_null(kmalloc(size, GFP_KERNEL)));
	test_warnings_begin();
	assert_null(kmalloc(size, GFP_KERNEL | __GFP_NOWARN));
	assert_int_equal(test_warnings_end(), 0);
	void *memory = NULL;
	expect_panic("kmalloc: 18446744073709551615 bytes can never be had, but must not fail, asked by *",
	             memory = kmalloc(size, GFP_KERNEL | __GFP_NOFAIL));
	assert_null(memory);
}

static void dma_memory_is_where_devices_reach_it(void)
{
	static const size_t sizes[] = {20, 4096, 10000};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *memory = must(kmalloc(sizes[i], GFP_DMA));
		assert_at_most(directmap_to_paddr(memory).raw + sizes[i], ZONE_DMA_END);
		assert_at_least(ksize(memory), sizes[i]);
		kfree(memory);
		memory = must(kmalloc(sizes[i], GFP_KERNEL | GFP_DMA32));
		assert_at_most(directmap_to_paddr(memory).raw + sizes[i], ZONE_DMA32_END);
		kfree(memory);
	}
	uint8_t *memory = must(kmalloc(20, GFP_DMA | __GFP_ZERO));
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(memory[i], 0);
	kfree(memory);
}

/* ---- krealloc and kfree_sensitive ---------------------------------------------------------------------- */

static void resizing_keeps_the_contents_and_moves_only_when_it_must(void)
{
	static const size_t sizes[] = {5,    8,    9,    60,    64,    65,    96,   130,
	                               4000, 8192, 8193, 20000, 20480, 20481, 60000};
	uint8_t *memory = krealloc(NULL, 1, GFP_KERNEL);
	size_t filled = 0;

	assert_non_null(memory);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		uint8_t *before = memory;
		size_t usable = ksize(memory);
		memory = must(krealloc(memory, sizes[s], GFP_KERNEL));
		assert_int_equal(memory == before, sizes[s] <= usable);
		for (size_t i = 0; i < filled; i++)
			assert_int_equal(memory[i], (uint8_t)(i * 3));
		for (; filled < sizes[s]; filled++)
			memory[filled] = (uint8_t)(filled * 3);
	}
	assert_ptr_equal(krealloc(memory, 10, GFP_KERNEL), memory);
	assert_int_equal(ksize(memory), 15 * PAGE_SIZE);
	assert_ptr_equal(krealloc(memory, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	memory = must(krealloc(ZERO_SIZE_PTR, 30, GFP_KERNEL));
	kfree(memory);
}

static void resizing_with_zero_clears_what_is_new(void)
{
	uint8_t *memory = must(kmalloc(64, GFP_KERNEL));

	memset(memory, 0xaa, 64);
	memory = must(krealloc(memory, 500, GFP_KERNEL | __GFP_ZERO));
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(memory[i], i < 64 ? 0xaa : 0);
	kfree(memory);
}

static void a_refused_resize_leaves_the_memory_as_it_was(void)
{
	uint8_t *memory = must(kmalloc(64, GFP_KERNEL));

	memset(memory, 0x3c, 64);
	assert_null(krealloc(memory, KMALLOC_MAX_SIZE + 1, GFP_KERNEL | __GFP_NOWARN));
	if (IS_DEBUG) {
		fault_inject_arm(1);
		assert_null(krealloc(memory, 100, GFP_KERNEL | __GFP_NOWARN));
		assert_true(fault_inject_disarm());
	}
	assert_int_equal(ksize(memory), 64);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(memory[i], 0x3c);
	kfree(memory);
}

static void leave_as_it_is(void *object)
{
	(void)object;
}

/* An object with a constructor keeps its contents when it is freed, so that the wipe can be seen. */
static void sensitive_contents_are_wiped_before_they_are_freed(void)
{
	struct kmem_cache *cache = must(kmem_cache_create("test-secret", 100, 0, 0, leave_as_it_is));
	uint8_t *object = must(kmem_cache_alloc(cache, GFP_KERNEL));

	memset(object, 0x5e, 100);
	kfree_sensitive(object);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(object[i], 0);
	object = must(kmem_cache_alloc(cache, GFP_KERNEL));
	memset(object, 0x5e, 100);
	kfree(object);
	assert_int_equal(object[99], 0x5e);
	kmem_cache_destroy(cache);
}

/* ---- Out of memory ------------------------------------------------------------------------------------- */

static void a_refused_request_leaves_no_trace_whichever_step_fails(void)
{
	static const size_t sizes[] = {40, 8192, 5 * PAGE_SIZE};

	need_injected_failures();
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		unsigned refused = 0;
		for (bool done = false; !done;) {
			reclaim_pages();
			size_t free_before = nr_free_pages();
			fault_inject_arm(refused + 1);
			void *memory = kmalloc(sizes[s], GFP_KERNEL | __GFP_NOWARN);
			done = !fault_inject_disarm();
			assert_int_equal(!memory, !done);
			kfree(memory);
			reclaim_pages();
			assert_int_equal(nr_free_pages(), free_before);
			refused += !done;
		}
		assert_at_least(refused, 1);
	}
}

static void mixed_sizes_take_all_memory_and_give_all_back(void)
{
	size_t count = 0;
	void **chain = NULL, **memory;
	struct rng rng;

	rng_seed(&rng, test_seed());
	hoard_take(&hoard, GFP_ATOMIC, 700);
	while ((memory = kmalloc(8 + rng_below(&rng, 3 * PAGE_SIZE), GFP_ATOMIC | __GFP_NOWARN))) {
		*memory = chain;
		chain = memory;
		count++;
	}
	assert_at_least(count, 200);
	assert_sound(slab_check());
	assert_sound(page_alloc_check());
	while (chain) {
		memory = chain;
		chain = *memory;
		kfree(memory);
	}
	hoard_release(&hoard);
}

/* ---- The caller's mistakes ----------------------------------------------------------------------------- */

static unsigned slot_of(const void *object)
{
	const struct slab *slab = slab_of(object);
	return slab_slot_at(slab, (size_t)((const char *)object - slab->base));
}

static void small_mistakes_are_reported_with_cache_and_slot(void)
{
	char *object = must(kmalloc(100, GFP_KERNEL)), *neighbour = must(kmalloc(100, GFP_KERNEL));

	expect_panic(expected("kfree: %p is 5 bytes inside live object %u of cache kmalloc-128 at %p*",
	                      (void *)(object + 5), slot_of(object), (void *)object),
	             kfree(object + 5));
	expect_panic(expected("ksize: %p is 5 bytes inside live object %u of cache kmalloc-128 at %p*",
	                      (void *)(object + 5), slot_of(object), (void *)object),
	             assert_int_equal(ksize(object + 5), 128));
	kfree(object);
	const char *twice = expected("*: object %u of cache kmalloc-128 at %p is already free%s",
	                             slot_of(object), (void *)object, IS_DEBUG ? ", freed by *" : "");
	expect_panic(twice, kfree(object));
	assert_int_equal(strncmp(test_panic_message(), "kfree: ", 7), 0);
	expect_panic(twice, kfree_sensitive(object));
	assert_int_equal(strncmp(test_panic_message(), "kfree_sensitive: ", 17), 0);
	expect_panic(twice, assert_int_equal(ksize(object), 0));
	assert_int_equal(strncmp(test_panic_message(), "ksize: ", 7), 0);
	expect_panic(twice, assert_null(krealloc(object, 1, GFP_KERNEL)));
	assert_int_equal(strncmp(test_panic_message(), "krealloc: ", 10), 0);
	kfree(neighbour);
}

static void mistakes_with_large_memory_are_reported_with_its_start(void)
{
	char *memory = must(kmalloc(5 * PAGE_SIZE, GFP_KERNEL)); /* a block of four pages and one of one */
	static const size_t inside[] = {1, 4096, 4097, 3 * 4096, 4 * 4096, 5 * 4096 - 1};
	struct kmem_cache *cache = must(kmem_cache_create("test-large", 64, 0, 0, NULL));

	for (size_t i = 0; i < ARRAY_SIZE(inside); i++) {
		test_step(i);
		expect_panic(
		        expected(
		                "kfree: %p is %zu bytes inside the large kmalloc of 20480 bytes at %p, allocated by *",
		                (void *)(memory + inside[i]), inside[i], (void *)memory),
		        kfree(memory + inside[i]));
	}
	expect_panic(
	        expected("kmem_cache_free: %p is a large kmalloc of 20480 bytes, use kfree(); allocated by *",
	                 (void *)memory),
	        kmem_cache_free(cache, memory));
	kmem_cache_destroy(cache);
	kfree(memory);
	expect_panic(expected("kfree: %p is not an allocated object (a free page)", (void *)memory),
	             kfree(memory));
}

static void pointers_that_were_never_kmallocs_are_reported_as_what_they_are(void)
{
	struct page *page = must(alloc_pages(GFP_KERNEL, 1));
	char *address = page_address(page);
	int local = 0;

	expect_panic(expected("kfree: %p is a vmalloc address, use vfree()", (void *)VMALLOC_START),
	             kfree((void *)VMALLOC_START));
	expect_panic(expected("kfree: %p is a vmalloc address, use vfree()", (void *)(VMALLOC_END - 1)),
	             kfree((void *)(VMALLOC_END - 1)));
	expect_panic("kfree: 0x0000000000000fff is not an allocated object (in the NULL page)",
	             kfree((void *)0xfff));
	void *no_address = (void *)(1UL << (pt_address_bits(kernel_pagetable.levels) - 1));
	expect_panic(expected("kfree: %p is not an allocated object (not a canonical address)", no_address),
	             kfree(no_address));
	void *last_page = (char *)no_address - PAGE_SIZE;
	expect_panic(expected("kfree: %p is not an allocated object (outside the direct map)", last_page),
	             kfree(last_page));
	expect_panic("kfree: 0xffffffff80001000 is not an allocated object (in the kernel image)",
	             kfree((void *)(KIMAGE_BASE + 0x1000)));
	expect_panic("kfree: 0xffffffef00000000 is not an allocated object (outside the direct map)",
	             kfree((void *)0xffffffef00000000));
	expect_panic(expected("kfree: %p is not an allocated object (*)", (void *)&local), kfree(&local));
	for (volatile size_t offset = 0; offset < 2 * PAGE_SIZE; offset += 1000)
		expect_panic(
		        expected(
		                "kfree: %p is not an allocated object (a page of alloc_pages()), allocated by *",
		                (void *)(address + offset)),
		        kfree(address + offset));
	__free_pages(page, 1);
	expect_panic(
	        expected("kfree: %p is not an allocated object (a free page)", (void *)(address + PAGE_SIZE)),
	        kfree(address + PAGE_SIZE));
}

static void the_slab_layers_own_memory_is_not_for_kfree(void)
{
	struct kmem_cache *cache = must(kmem_cache_create("test-own", 64, 0, 0, NULL));
	void *object = must(kmem_cache_alloc(cache, GFP_KERNEL));
	struct slab *slab = slab_of(object);

	expect_panic(expected("kfree: %p is the slab layer's own, of cache slab", (void *)slab), kfree(slab));
	expect_panic(expected("kfree: %p is the slab layer's own, of cache slab", (void *)slab_of(slab)),
	             kfree(slab_of(slab)));
	expect_panic(expected("kfree: %p is the slab layer's own, of cache kmem_cache", (void *)cache),
	             kfree(cache));
	expect_panic(expected("ksize: %p is the slab layer's own, of cache kmem_cache", (void *)cache),
	             assert_int_equal(ksize(cache), 0));
	kfree(object); /* objects of other caches are, as in Linux */
	kmem_cache_destroy(cache);
}

static void waiting_in_an_interrupt_is_reported(void)
{
	volatile size_t size = 64;
	void *memory = NULL;

	this_cpu()->interrupt_depth++;
	expect_panic("kmem_cache_alloc: GFP_KERNEL in interrupt context, cache kmalloc-64, asked by *",
	             memory = kmalloc(64, GFP_KERNEL));
	expect_panic("kmem_cache_alloc: GFP_KERNEL in interrupt context, cache kmalloc-64, asked by *",
	             memory = kmalloc(size, GFP_KERNEL));
	expect_panic("alloc_pages_exact: GFP_KERNEL in interrupt context*",
	             memory = kmalloc(3 * PAGE_SIZE, GFP_KERNEL));
	assert_null(memory);
	kfree(must(kmalloc(64, GFP_ATOMIC)));
	kfree(must(kmalloc(3 * PAGE_SIZE, GFP_ATOMIC)));
	this_cpu()->interrupt_depth--;
}

/* A mistake is the caller's, so the report names the line that made it, not a function in between. */
static void reports_name_the_code_that_allocated(void)
{
	if (!IS_DEBUG)
		test_skip("the debug build keeps callers");
	volatile size_t size = 200;
	void *constant = must(kmalloc(200, GFP_KERNEL)), *variable = must(kmalloc(size, GFP_KERNEL));
	void *moved = must(krealloc(must(kmalloc(8, GFP_KERNEL)), 200, GFP_KERNEL));
	void *large = must(kmalloc(5 * PAGE_SIZE, GFP_KERNEL));
	uint32_t here = (uint32_t)(uintptr_t)reports_name_the_code_that_allocated;
	const void *small[] = {constant, variable, moved};

	for (size_t i = 0; i < ARRAY_SIZE(small); i++)
		assert_at_most(slab_callers(slab_of(small[i]))[slot_of(small[i])] - here, 0x4000);
	assert_at_most(virt_to_page(large)->caller - here, 0x4000);
	for (size_t i = 0; i < ARRAY_SIZE(small); i++)
		kfree(small[i]);
	kfree(large);
}

static const struct test_case cases[] = {
        TEST_CASE(every_size_takes_the_smallest_class_that_holds_it),
        TEST_CASE(constant_and_variable_sizes_meet_in_one_cache),
        TEST_CASE(the_caches_have_their_sizes_for_names),
        TEST_CASE(powers_of_two_are_aligned_to_their_size),
        TEST_CASE(a_request_for_nothing_gets_the_pointer_to_nothing),
        TEST_CASE(zeroed_memory_is_zero_at_every_size),
        TEST_CASE(an_array_too_large_to_count_is_refused),
        TEST_CASE(a_random_mix_of_sizes_agrees_with_the_model),
        TEST_CASE(a_large_request_holds_exactly_its_pages),
        TEST_CASE(what_can_never_be_had_is_refused_with_one_warning),
        TEST_CASE(dma_memory_is_where_devices_reach_it),
        TEST_CASE(resizing_keeps_the_contents_and_moves_only_when_it_must),
        TEST_CASE(resizing_with_zero_clears_what_is_new),
        TEST_CASE(a_refused_resize_leaves_the_memory_as_it_was),
        TEST_CASE(sensitive_contents_are_wiped_before_they_are_freed),
        TEST_CASE(a_refused_request_leaves_no_trace_whichever_step_fails),
        TEST_CASE(mixed_sizes_take_all_memory_and_give_all_back),
        TEST_CASE(small_mistakes_are_reported_with_cache_and_slot),
        TEST_CASE(mistakes_with_large_memory_are_reported_with_its_start),
        TEST_CASE(pointers_that_were_never_kmallocs_are_reported_as_what_they_are),
        TEST_CASE(the_slab_layers_own_memory_is_not_for_kfree),
        TEST_CASE(waiting_in_an_interrupt_is_reported),
        TEST_CASE(reports_name_the_code_that_allocated),
};

extern const struct test_suite kmalloc_suite;
const struct test_suite kmalloc_suite = TEST_SUITE("kmalloc", cases, .tear_down = end_hoard);
