/*
 * The buddy allocator in private worlds: an array of entries full of garbage, a span of it, and a byte map
 * beside it that knows what must be true. After every step buddy.c's invariants hold and the two agree, block
 * by block.
 */
#include <test/test.h>

#include <lib/bits.h>
#include <mm/buddy.h>
#include <mm/page_alloc.h>
#include "buddy_model.h"

extern const struct test_suite buddy_suite;

enum { ENTRIES = BUDDY_MODEL_FRAMES };

static struct page entries[ENTRIES];
static uint8_t written[SECTION_FRAMES / GROUP_FRAMES];
static struct page_array array = {.frames = entries, .written = written};
static const uint64_t first_section[] = {1};
static struct buddy world;
static struct buddy_model model;
static struct page untouched; /* what lies past the array's end */
static struct page *pages[ENTRIES];

/* Garbage of three kinds: noise, all ones, and the worst: entries that look like held frames of order 0. */
static void fill_with_garbage(unsigned kind)
{
	static const uint8_t bytes[] = {0xa5, 0xff};

	if (kind < ARRAY_SIZE(bytes))
		memset(entries, bytes[kind], sizeof(entries));
	memset(written, GROUP_WRITTEN, sizeof(written));
	for (unsigned n = 0; kind == ARRAY_SIZE(bytes) && n < ENTRIES; n++)
		entries[n] = (struct page){
		        .next = n + 1,
		        .prev = n - 1,
		        .type = PAGE_HELD,
		};
}
enum { GARBAGE_KINDS = 3 };

/* The span [start, end) of an array that ends with it. No memory yet. */
static void create_world(uint32_t start, uint32_t end, unsigned garbage)
{
	fill_with_garbage(garbage);
	if (end < ENTRIES)
		untouched = entries[end];
	array.end = end;
	page_array_init(&array, first_section);
	buddy_init(&world, &array, pfn(start), pfn(end));
	buddy_model_init(&model, start, end);
}

static void give(uint32_t start, uint32_t end)
{
	buddy_add(&world, pfn(start), pfn(end));
	buddy_model_add(&model, start, end);
}

static void check_world(void)
{
	assert_sound(buddy_check(&world));
	assert_sound(buddy_model_compare(&model, &world));
	if (array.end < ENTRIES)
		assert_true(memcmp(&entries[array.end], &untouched, sizeof(untouched)) == 0);
}

static uint32_t number_of(const struct page *page)
{
	return (uint32_t)(page - entries);
}

/* Allocates, and lets the model decide whether the answer was right. */
static struct page *take(unsigned order)
{
	bool possible = buddy_model_can_alloc(&model, order, world.start, world.end);
	struct page *page = buddy_alloc(&world, order);

	assert_int_equal(page != NULL, possible);
	if (page)
		assert_true(buddy_model_hold(&model, number_of(page), order));
	return page;
}

static void put(uint32_t n, unsigned order)
{
	assert_int_equal(buddy_free(&world, pfn(n), order), BUDDY_OK);
	buddy_model_free(&model, n, order);
}

static void trim(uint32_t n, uint32_t count)
{
	buddy_trim(&world, &entries[n], count);
	buddy_model_trim(&model, n, count);
}

/*
 * What a wrong free is answered, and that it changed nothing. BUDDY_NEVER is BUDDY_FREE with a never-written
 * entry.
 */
static void assert_judged_right(uint64_t n, unsigned order)
{
	enum buddy_misuse expected = buddy_model_judge(&model, n, order);

	if (expected == BUDDY_FREE && !page_entry_written(&array, n))
		expected = BUDDY_NEVER;
	assert_int_equal(buddy_judge_free(&world, pfn(n), order), expected);
	if (expected != BUDDY_OK)
		assert_int_equal(buddy_free(&world, pfn(n), order), expected);
}

/* Frees every held block, in an order drawn from the seed, and expects the free memory to be whole again. */
static void free_all_in_random_order(struct rng *rng)
{
	static uint32_t heads[ENTRIES];
	size_t count = 0;

	for (uint32_t n = world.start; n < world.end; n++) {
		if (model.state[n] == FRAME_HEAD)
			heads[count++] = n;
	}
	while (count) {
		size_t pick = rng_below(rng, count);
		put(heads[pick], model.order[heads[pick]]);
		heads[pick] = heads[--count];
	}
	check_world();
}

static void an_empty_span_gives_nothing(void)
{
	create_world(3, 61, 0);
	check_world();
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		assert_null(buddy_alloc(&world, order));
	assert_int_equal(buddy_alloc_bulk(&world, 5, pages, 0), 0);
	assert_null(buddy_alloc_range(&world, 0, pfn(0), pfn(64)));
}

static void every_order_is_given_back_into_one_block(void)
{
	for (unsigned garbage = 0; garbage < GARBAGE_KINDS; garbage++) {
		create_world(0, 2048, garbage);
		give(0, 2048);
		for (unsigned order = 0; order <= 11; order++) {
			struct page *page = take(order);
			check_world();
			put(number_of(page), order);
			check_world();
			assert_int_equal(world.free[11].count, 1);
		}
		assert_null(take(12));
	}
}

static void the_lower_half_is_kept_and_the_smallest_block_taken(void)
{
	create_world(0, 64, 0);
	give(0, 64);
	assert_int_equal(number_of(take(0)), 0);
	assert_int_equal(number_of(take(3)), 8); /* free: 1, 2, 4, 8, 16, 32 */
	assert_int_equal(number_of(take(0)), 1);
	assert_int_equal(number_of(take(0)), 2); /* from the block of order 1 at 2, the smallest left */
	assert_int_equal(number_of(take(4)), 16);
	check_world();
}

static void exhausting_then_freeing_in_random_order_restores_one_block(void)
{
	struct rng rng;
	rng_seed(&rng, test_seed());

	for (unsigned garbage = 0; garbage < GARBAGE_KINDS; garbage++) {
		create_world(0, 1024, garbage);
		give(0, 1024);
		size_t taken = 0;
		while (take(0))
			taken++;
		assert_int_equal(taken, 1024);
		check_world();
		free_all_in_random_order(&rng);
		assert_int_equal(world.free[10].count, 1);
	}
}

static void frames_given_in_any_pieces_merge_into_the_same_blocks(void)
{
	struct rng rng;
	rng_seed(&rng, test_seed());

	for (unsigned round = 0; round < 200; round++) {
		/* The pieces between up to 8 cuts, given in a random rotation. */
		uint32_t cut[10] = {5}, count = 1;
		test_step(round);
		create_world(5, 700, round % GARBAGE_KINDS);
		while (cut[count - 1] < 700) {
			uint32_t next = cut[count - 1] + 1 + (uint32_t)rng_below(&rng, 200);
			cut[count] = next > 700 || count == 8 ? 700 : next;
			count++;
		}
		uint32_t first = (uint32_t)rng_below(&rng, count - 1);
		for (uint32_t i = 0; i < count - 1; i++) {
			uint32_t piece = (first + i) % (count - 1);
			give(cut[piece], cut[piece + 1]);
			check_world();
		}
	}
}

static void buddies_of_two_allocators_never_merge(void)
{
	struct buddy other;

	create_world(0, 64, 0);
	buddy_init(&world, &array, pfn(0), pfn(24));
	buddy_init(&other, &array, pfn(24), pfn(64));
	buddy_model_init(&model, 0, 24);
	give(0, 24); /* 16 + 8; the buddy of the 8 is the other's */
	buddy_add(&other, pfn(24), pfn(64));
	assert_sound(buddy_check(&world));
	assert_sound(buddy_check(&other));
	assert_int_equal(world.free[3].count, 1);
	assert_int_equal(other.free[3].count, 1);

	struct page *page = buddy_alloc(&world, 3);
	assert_int_equal(number_of(page), 16);
	assert_int_equal(buddy_free(&other, pfn(16), 3), BUDDY_OUTSIDE);
	assert_int_equal(buddy_free(&world, pfn(16), 3), BUDDY_OK);
	assert_int_equal(world.free[3].count, 1);
	assert_int_equal(world.free[4].count, 1);
}

static void a_run_ends_where_another_allocators_frames_begin(void)
{
	enum buddy_misuse misuse;
	struct buddy other;

	create_world(0, 64, 0);
	buddy_init(&world, &array, pfn(0), pfn(24));
	buddy_init(&other, &array, pfn(24), pfn(64));
	buddy_add(&world, pfn(0), pfn(24));
	buddy_add(&other, pfn(24), pfn(64));
	assert_int_equal(buddy_alloc_bulk(&world, 24, pages, 0), 24);
	assert_int_equal(buddy_alloc_bulk(&other, 40, pages, 0), 40);

	struct page *downward[] = {&entries[25], &entries[24], &entries[23], &entries[22]};
	assert_int_equal(buddy_free_bulk(&other, 4, downward, &misuse), 2);
	assert_int_equal(misuse, BUDDY_OUTSIDE);
	assert_int_equal(buddy_alloc_bulk(&other, 2, pages, 0), 2); /* held again */
	struct page *upward[] = {&entries[22], &entries[23], &entries[24], &entries[25]};
	assert_int_equal(buddy_free_bulk(&world, 4, upward, &misuse), 2);
	assert_int_equal(misuse, BUDDY_OUTSIDE);
	assert_sound(buddy_check(&world));
	assert_sound(buddy_check(&other));
}

/* Two worlds with odd borders and holes; each is small enough to try everything. */
static const struct small_world {
	uint32_t start, end, hole, hole_end;
} small_worlds[] = {{0, 8, 8, 8}, {3, 13, 7, 8}, {4, 12, 4, 5}};

static struct snapshot {
	struct buddy buddy;
	struct page entries[16];
	struct buddy_model model;
} snapshots[8];

static uint64_t states_seen;

static void save_world(unsigned depth)
{
	snapshots[depth].buddy = world;
	snapshots[depth].model = model;
	memcpy(snapshots[depth].entries, entries, sizeof(snapshots[depth].entries));
}

static void restore_world(unsigned depth)
{
	world = snapshots[depth].buddy;
	model = snapshots[depth].model;
	memcpy(entries, snapshots[depth].entries, sizeof(snapshots[depth].entries));
}

/* Call number `call` of all that make sense here; false if there are no more. */
static bool one_call(unsigned call)
{
	if (call < 4) {
		(void)(take(call) != NULL);
		return true;
	}
	call -= 4;
	if (call < 2) {
		size_t count = call ? 5 : 2, got = buddy_alloc_bulk(&world, count, pages, 0);
		assert_int_equal(got, min_u64(count, buddy_model_free_frames(&model)));
		for (size_t i = 0; i < got; i++)
			assert_true(buddy_model_hold(&model, number_of(pages[i]), 0));
		return true;
	}
	call -= 2;
	for (uint32_t n = world.start; n < world.end; n++) {
		if (model.state[n] != FRAME_HEAD)
			continue;
		unsigned order = model.order[n];
		if (call == 0) {
			put(n, order);
			return true;
		}
		if (call < 1U << order) {
			trim(n, call);
			return true;
		}
		call -= 1U << order;
	}
	return false;
}

static void try_everything(unsigned depth, unsigned depth_max)
{
	check_world();
	for (uint32_t n = world.start; n < world.end; n++) {
		if (buddy_model_judge(&model, n, 0) != BUDDY_OK)
			assert_judged_right(n, 0);
	}
	states_seen++;
	if (depth == depth_max)
		return;
	save_world(depth);
	for (unsigned call = 0; one_call(call); call++) {
		try_everything(depth + 1, depth_max);
		restore_world(depth);
	}
}

static void every_sequence_of_calls_up_to_a_length_agrees_with_the_model(void)
{
	states_seen = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(small_worlds); i++) {
		const struct small_world *w = &small_worlds[i];
		test_step(i);
		create_world(w->start, w->end, 2);
		give(w->start, w->hole);
		give(w->hole_end, w->end);
		try_everything(0, test_is_hosted() ? 5 : 4);
	}
	test_note("%lu states", (unsigned long)states_seen);
}

static void any_order_size(struct rng *rng, unsigned *order)
{
	*order = (unsigned)lowest_bit(rng_next(rng) | 1U << 8); /* halved likelihood per order, up to 8 */
}

/* What buddy_free() would have answered to one frame after the other, up to the first mistake. */
static void put_many(size_t count)
{
	enum buddy_misuse expected = BUDDY_OK, misuse;
	size_t right = 0;

	for (; right < count; right++) {
		uint64_t n = (uint64_t)(pages[right] - entries);
		expected = buddy_model_judge(&model, n, 0);
		if (expected == BUDDY_FREE && !page_entry_written(&array, n))
			expected = BUDDY_NEVER;
		if (expected != BUDDY_OK)
			break;
		buddy_model_free(&model, (uint32_t)n, 0);
	}
	size_t done = 0, freed;
	do {
		freed = buddy_free_bulk(&world, count - done, pages + done, &misuse);
		done += freed;
		assert_true(freed >= min_u64(count - done, BUDDY_ROUND) || misuse);
	} while (freed && !misuse);
	assert_int_equal(done, right);
	assert_int_equal(misuse == BUDDY_NEVER ? BUDDY_FREE : misuse,
	                 expected == BUDDY_NEVER ? BUDDY_FREE
	                                         : expected); /* it may have been cut meanwhile */
}

/* Single frames from n on, upward or downward, some left out, now and then one too many. */
static void put_some(struct rng *rng, uint32_t n)
{
	bool downward = rng_below(rng, 2), careless = rng_below(rng, 8) == 0;
	size_t count = 0, limit = rng_below(rng, 70);

	while (count < limit && n >= world.start && n < world.end) {
		bool single = model.state[n] == FRAME_HEAD && !model.order[n];
		if ((single && rng_below(rng, 16)) || (careless && !rng_below(rng, 16)))
			pages[count++] = &entries[n];
		n += downward ? -1U : 1U;
	}
	if (count && careless) {
		pages[count] = pages[rng_below(rng, count)];
		count++;
	}
	put_many(count);
}

/* Held blocks chained in the order of pages[]. */
static void put_chained(size_t count)
{
	enum buddy_misuse misuse;
	uint32_t head = count ? number_of(pages[0]) : PFN_NONE;
	size_t done = 0;

	for (size_t i = 0; i < count; i++) {
		pages[i]->next = i + 1 < count ? number_of(pages[i + 1]) : PFN_NONE;
		buddy_model_free(&model, number_of(pages[i]), pages[i]->order);
	}
	while (done < count) {
		size_t freed = buddy_free_chain(&world, &head, count - done, &misuse);
		assert_int_equal(misuse, BUDDY_OK);
		assert_true(freed >= min_u64(count - done, BUDDY_ROUND));
		done += freed;
	}
	assert_int_equal(head, PFN_NONE);
}

/* The same from n on. */
static void put_some_chained(struct rng *rng, uint32_t n)
{
	bool downward = rng_below(rng, 2);
	size_t count = 0, limit = rng_below(rng, 70);

	while (count < limit && n >= world.start && n < world.end) {
		if (model.state[n] == FRAME_HEAD && rng_below(rng, model.order[n] ? 4 : 16))
			pages[count++] = &entries[n];
		n += downward ? -1U : 1U;
	}
	put_chained(count);
}

static size_t take_cached(unsigned order, size_t count)
{
	size_t got = buddy_alloc_cached(&world, order, count, pages);

	for (size_t i = 0; i < got; i++) {
		assert_int_equal(pages[i]->type_order, page_type_order(PAGE_CACHED, order));
		page_set_type(pages[i], PAGE_HELD); /* as the model and the verifier know it */
		assert_true(buddy_model_hold(&model, number_of(pages[i]), order));
	}
	assert_true(got == count || 2 * got > count ||
	            !buddy_model_can_alloc(&model, order, world.start, world.end));
	return got;
}

static void put_cached(unsigned order, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		page_set_type(pages[i], PAGE_CACHED);
		buddy_model_free(&model, number_of(pages[i]), order);
	}
	assert_null(buddy_free_cached(&world, order, count, pages));
}

/* Held blocks of one order from n on, as if from a CPU's list. */
static void put_some_cached(struct rng *rng, uint32_t n, unsigned order)
{
	bool downward = rng_below(rng, 2);
	size_t count = 0, limit = rng_below(rng, 70);

	while (count < limit && n >= world.start && n < world.end) {
		if (model.state[n] == FRAME_HEAD && model.order[n] == order && rng_below(rng, 16))
			pages[count++] = &entries[n];
		n += downward ? -1U : 1U;
	}
	put_cached(order, count);
}

static void one_random_call(struct rng *rng)
{
	uint32_t n = world.start + (uint32_t)rng_below(rng, world.end - world.start);
	unsigned order;
	any_order_size(rng, &order);

	switch (rng_below(rng, 12)) {
	case 0:
	case 1:
		(void)(take(order) != NULL);
		break;
	case 2: {
		uint32_t high = n + (uint32_t)rng_below(rng, world.end - n + 1);
		bool possible = buddy_model_can_alloc(&model, order, n, high);
		struct page *page = buddy_alloc_range(&world, order, pfn(n), pfn(high));
		assert_int_equal(page != NULL, possible);
		if (page) {
			assert_true(number_of(page) >= n && number_of(page) + (1U << order) <= high);
			assert_true(buddy_model_hold(&model, number_of(page), order));
		}
		break;
	}
	case 3: {
		size_t count = rng_below(rng, 40), got = buddy_alloc_bulk(&world, count, pages, 7);
		assert_int_equal(got, min_u64(count, world.nr_free + got));
		for (size_t i = 0; i < got; i++) {
			assert_int_equal(pages[i]->caller, 7);
			assert_true(buddy_model_hold(&model, number_of(pages[i]), 0));
		}
		break;
	}
	case 4:
		assert_judged_right(n, order);
		assert_judged_right(n, 0);
		break;
	case 5:
		put_some(rng, n);
		break;
	case 6:
		put_some_chained(rng, n);
		break;
	case 7:
		(void)take_cached(order & 3, rng_below(rng, 20));
		break;
	case 8:
		put_some_cached(rng, n, order & 3);
		break;
	default: /* the next held block from n on: trimmed at times, freed mostly */
		while (n < world.end && model.state[n] != FRAME_HEAD)
			n++;
		if (n == world.end)
			break;
		if (rng_below(rng, 4) == 0)
			trim(n, 1 + (uint32_t)rng_below(rng, 1U << model.order[n]));
		else
			put(n, model.order[n]);
	}
}

/* [start, end) with a hole, thousands of calls, everything checked every `stride` steps and at the end. */
static void run_random_calls(const struct small_world *w, unsigned steps, unsigned stride)
{
	struct rng rng;
	rng_seed(&rng, test_seed());

	create_world(w->start, w->end, 2);
	give(w->start, w->hole);
	give(w->hole_end, w->end);
	for (unsigned step = 0; step < steps; step++) {
		test_step(step);
		one_random_call(&rng);
		if (step % stride == 0)
			check_world();
	}
	free_all_in_random_order(&rng);
	assert_int_equal(world.nr_free, world.nr_managed);
}

static void random_calls_in_64_frames_agree_with_the_model(void)
{
	static const struct small_world w = {0, 64, 64, 64};
	run_random_calls(&w, test_is_hosted() ? 50000 : 5000, 1);
}

static void random_calls_between_odd_borders_and_holes_agree_with_the_model(void)
{
	static const struct small_world w = {13, 999, 500, 531};
	run_random_calls(&w, test_is_hosted() ? 20000 : 2000, test_is_hosted() ? 1 : 8);
}

static void random_calls_over_four_groups_agree_with_the_model(void)
{
	static const struct small_world w = {0, 2048, 1024, 1031};
	run_random_calls(&w, test_is_hosted() ? 20000 : 2000, test_is_hosted() ? 1 : 16);
}

static void trimming_keeps_exactly_the_frames_asked_for(void)
{
	for (uint32_t count = 1; count <= 64; count++) {
		create_world(0, 128, 2);
		give(0, 128);
		struct page *page = take(6);
		page->caller = 0xc0ffee;
		trim(number_of(page), count);
		check_world();
		assert_int_equal(world.nr_free, 128 - count);
		for (uint32_t n = 0; n < count; n += 1U << entries[n].order) /* as the pieces say */
			assert_int_equal(entries[n].caller, 0xc0ffee);
	}
}

static void trimming_a_block_larger_than_a_group_writes_what_it_cuts(void)
{
	static const uint32_t counts[] = {1, 511, 512, 513, 1023, 1024, 1025, 1536, 2047, 2048};

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		create_world(0, 2048, 2);
		give(0, 2048);
		trim(number_of(take(11)), counts[i]);
		check_world();
	}
}

static void a_range_is_served_if_and_only_if_it_holds_an_aligned_free_run(void)
{
	for (uint32_t low = 0; low <= 24; low++) {
		for (uint32_t high = low; high <= 26; high++) {
			for (unsigned order = 0; order <= 4; order++) {
				create_world(2, 22, 2);
				give(2, 11);
				give(12, 22);
				bool possible = buddy_model_can_alloc(&model, order, low, high);
				struct page *page = buddy_alloc_range(&world, order, pfn(low), pfn(high));
				assert_int_equal(page != NULL, possible);
				if (page)
					assert_true(number_of(page) >= low &&
					            number_of(page) + (1U << order) <= high &&
					            buddy_model_hold(&model, number_of(page), order));
				check_world();
			}
		}
	}
}

static void bulk_gives_all_there_is_small_blocks_first(void)
{
	for (uint32_t count = 1; count <= 70; count++) {
		create_world(0, 64, 2);
		give(0, 64);
		struct page *page = take(0); /* leaves one block each of 1, 2, 4, 8, 16, 32 */
		size_t got = buddy_alloc_bulk(&world, count, pages, 42);
		assert_int_equal(got, min_u64(count, 63));
		for (size_t i = 0; i < got; i++) {
			assert_int_equal(pages[i]->caller, 42);
			assert_true(buddy_model_hold(&model, number_of(pages[i]), 0));
		}
		check_world();
		if (count <= 31)
			assert_int_equal(world.free[5].count, 1); /* the largest was spared */
		put(number_of(page), 0);
		check_world();
	}
}

static void a_list_is_filled_from_small_blocks_first_and_its_runs_come_back_whole(void)
{
	for (unsigned order = 0; order <= 3; order++) {
		for (uint32_t count = 1; count << order <= 70; count++) {
			create_world(0, 64, 2);
			give(0, 64);
			struct page *page = take(order); /* leaves one block each of this order to 5 */
			size_t got = take_cached(order, count);
			check_world();
			if (count << order <= 32U - (1U << order))
				assert_int_equal(world.free[5].count, 1); /* the largest was spared */
			for (size_t i = 0; count % 2 && i < got / 2; i++) {
				struct page *swapped = pages[i];
				pages[i] = pages[got - 1 - i];
				pages[got - 1 - i] = swapped;
			}
			put_cached(order, got);
			check_world();
			put(number_of(page), order);
			check_world();
		}
	}
}

static void a_larger_block_is_not_cut_for_the_smaller_part_of_a_list(void)
{
	create_world(0, 64, 0);
	give(0, 64);
	struct page *page = take(0);
	assert_int_equal(take_cached(0, 8), 7); /* 1, 2, and 4; 8 is spared */
	assert_int_equal(world.free[3].count, 1);
	assert_int_equal(take_cached(0, 8), 8); /* and is the next list */
	assert_int_equal(world.free[3].count, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(number_of(pages[i]), 8 + i);
	assert_int_equal(take_cached(0, 1), 1); /* a list of some is better than none */
	assert_int_equal(world.free[4].count, 0);
	put(number_of(page), 0);
	check_world();
}

static void who_held_a_block_last_is_remembered_while_a_list_keeps_it(void)
{
	create_world(0, 64, 0);
	give(0, 64);
	struct page *page = take(0);
	page->caller = 42;
	put(number_of(page), 0);
	assert_int_equal(buddy_alloc_cached(&world, 0, 1, pages), 1);
	assert_int_equal(pages[0]->caller, 42);
}

static void what_is_not_cached_as_it_should_be_is_left_alone_by_a_drain(void)
{
	create_world(0, 64, 0);
	give(0, 64);
	assert_int_equal(take_cached(0, 8), 8);
	for (unsigned i = 0; i < 8; i++)
		page_set_type(pages[i], i == 3 ? PAGE_HELD : PAGE_CACHED);
	pages[6]->order = 1;
	pages[8] = pages[1]; /* twice in the list */
	assert_ptr_equal(buddy_free_cached(&world, 0, 9, pages), pages[1]);
	assert_ptr_equal(buddy_free_cached(&world, 0, 8, pages), pages[7]);
	assert_int_equal(world.nr_free, 62);
	for (unsigned i = 0; i < 8; i++) {
		if (i != 3 && i != 6)
			buddy_model_free(&model, number_of(pages[i]), 0);
	}
	page_set_head(pages[6], PAGE_HELD, 0);
	check_world();
}

static void a_chain_comes_back_up_to_the_first_mistake(void)
{
	enum buddy_misuse misuse;
	uint32_t head;

	create_world(0, 2048, 2);
	give(0, 2048);
	for (unsigned i = 0; i < 600; i++)
		pages[i] = take(0);
	check_world();
	put_chained(600); /* across the border of a group */
	check_world();
	for (unsigned i = 0; i < 70; i++)
		pages[69 - i] = take(i % 5 == 4 ? 2 : 0);
	put_chained(70);
	check_world();
	for (unsigned i = 0; i < 4; i++)
		pages[i] = take(9); /* larger than a group: across groups */
	put_chained(4);
	check_world();

	for (unsigned i = 0; i < 70; i++)
		pages[i] = take(0);
	for (unsigned i = 0; i < 69; i++)
		pages[i]->next = number_of(pages[i + 1]);
	page_set_type(pages[40], PAGE_SLAB);
	head = number_of(pages[0]);
	assert_int_equal(buddy_free_chain(&world, &head, 70, &misuse), 40);
	assert_int_equal(misuse, BUDDY_WRONG_TYPE);
	assert_int_equal(head, number_of(pages[40]));
	for (unsigned i = 0; i < 40; i++)
		buddy_model_free(&model, number_of(pages[i]), 0);
	page_set_type(pages[40], PAGE_HELD);
	check_world();
}

static void bulk_from_blocks_never_cut_writes_their_groups(void)
{
	for (uint32_t count = 500; count <= 2048; count += 129) {
		create_world(0, 2048, 2);
		give(0, 2048);
		assert_int_equal(buddy_alloc_bulk(&world, count, pages, 42), count);
		for (size_t i = 0; i < count; i++)
			assert_true(buddy_model_hold(&model, number_of(pages[i]), 0));
		check_world();
		for (uint32_t n = 0; n < 2048; n++)
			assert_judged_right(n, 1);
	}
}

static void every_mistake_is_told_apart_and_changes_nothing(void)
{
	create_world(512, 1536, 2);
	give(512, 1024);
	give(1024, 1030);
	give(1040, 1536);
	struct page *block = take(3);
	struct page *slab = take(2);
	uint32_t n = number_of(block);

	assert_int_equal(buddy_free(&world, pfn(511), 0), BUDDY_OUTSIDE);
	assert_int_equal(buddy_free(&world, pfn(1536), 0), BUDDY_OUTSIDE);
	assert_int_equal(buddy_free(&world, pfn(UINT64_MAX), 0), BUDDY_OUTSIDE);
	assert_int_equal(buddy_free(&world, pfn((1UL << 32) + n), 3), BUDDY_OUTSIDE);
	assert_int_equal(buddy_free(&world, pfn(n), MAX_PAGE_ORDER + 1), BUDDY_MISALIGNED);
	assert_int_equal(buddy_free(&world, pfn(n), UINT32_MAX), BUDDY_MISALIGNED);
	assert_int_equal(buddy_free(&world, pfn(n), 256 + 3),
	                 BUDDY_MISALIGNED); /* an order's low byte is no order */
	assert_int_equal(buddy_free(&world, pfn(n + 1), 3), BUDDY_MISALIGNED);
	assert_int_equal(buddy_free(&world, pfn(n + 1), 0), BUDDY_INSIDE);
	assert_int_equal(buddy_free(&world, pfn(n + 4), 2), BUDDY_INSIDE);
	assert_int_equal(buddy_free(&world, pfn(n), 2), BUDDY_WRONG_ORDER);
	assert_int_equal(buddy_free(&world, pfn(1035), 0), BUDDY_RESERVED);
	assert_int_equal(buddy_free(&world, pfn(513), 0),
	                 BUDDY_NEVER); /* though the garbage there looks held */
	assert_int_equal(buddy_free(&world, pfn(512), 9), BUDDY_FREE);

	slab->type = PAGE_SLAB;
	assert_int_equal(buddy_free(&world, pfn(number_of(slab)), 2), BUDDY_WRONG_TYPE);
	slab->type = PAGE_HELD;
	check_world();

	put(n, 3);
	assert_int_equal(buddy_free(&world, pfn(n), 3), BUDDY_FREE);
	put(number_of(slab), 2);
	assert_int_equal(buddy_free(&world, pfn(number_of(slab)), 2), BUDDY_FREE);
	check_world();
}

static void what_is_no_frame_ends_a_bulk_free(void)
{
	enum buddy_misuse misuse;

	create_world(0, 64, 0);
	give(0, 64);
	for (unsigned i = 0; i < 64; i++)
		pages[i] = take(0);
	struct page *const ends[] = {&entries[64], NULL, (struct page *)((uintptr_t)&entries[3] + 8),
	                             (struct page *)UINTPTR_MAX,
	                             (struct page *)((uintptr_t)entries - sizeof(struct page))};
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct page *list[] = {&entries[2 * i], &entries[2 * i + 1], ends[i], &entries[50]};
		assert_int_equal(buddy_free_bulk(&world, ARRAY_SIZE(list), list, &misuse), 2);
		assert_int_equal(misuse, BUDDY_OUTSIDE);
		buddy_model_free(&model, (uint32_t)(2 * i), 0);
		buddy_model_free(&model, (uint32_t)(2 * i + 1), 0);
		check_world();
	}
	assert_int_equal(buddy_free_bulk(&world, 0, NULL, &misuse), 0);
	assert_int_equal(misuse, BUDDY_OK);
	for (unsigned i = 0; i < 50; i++)
		pages[i] = &entries[63 - i]; /* downward, as a list of frames that were taken upward */
	put_many(50);
	check_world();
}

static void no_entry_is_trusted_before_it_was_written(void)
{
	for (unsigned garbage = 0; garbage < GARBAGE_KINDS; garbage++) {
		create_world(0, 2048, garbage);
		give(0, 2048);
		for (uint32_t n = 1; n < 2048; n++) {
			if (page_entry_written(&array, n))
				continue;
			assert_int_equal(buddy_free(&world, pfn(n), 0), BUDDY_NEVER);
			assert_ptr_equal(page_find_block_in(&array, n), &entries[0]);
		}
		check_world();

		/* The same where no block is around. */
		create_world(0, 2048, garbage);
		give(0, 512);
		give(1024, 2048);
		for (uint32_t n = 512; n < 1024; n++) {
			assert_null(page_find_block_in(&array, n));
			assert_int_equal(buddy_free(&world, pfn(n), 0), BUDDY_RESERVED);
		}
		check_world();
	}
}

static void the_block_around_any_frame_is_found(void)
{
	struct rng rng;
	rng_seed(&rng, test_seed());

	create_world(0, 2048, 2);
	give(0, 700);
	give(800, 2048);
	for (unsigned i = 0; i < 100; i++) {
		unsigned order;
		any_order_size(&rng, &order);
		(void)(take(order) != NULL);
	}
	check_world();
	for (uint32_t n = 0; n < 2048; n++) {
		const struct page *block = page_find_block_in(&array, n);
		assert_int_equal(block == NULL, model.state[n] == FRAME_HOLE);
		if (!block)
			continue;
		uint32_t head = number_of(block);
		assert_true(head <= n && n < head + (1U << block->order));
		assert_int_equal(block->type == PAGE_FREE, model.state[n] == FRAME_FREE);
		assert_int_equal(model.state[head] == FRAME_HEAD, model.state[n] != FRAME_FREE);
	}
}

static void writing_a_group_keeps_what_was_written(void)
{
	create_world(0, 1024, 2);
	entries[0].private = 11;
	page_entry_make_written(&array, 512);
	entries[512].private = 22;
	page_entry_make_written(&array, 512 + 7);
	entries[512 + 9].private = 33;
	page_entry_make_written(&array, 512 + 8);
	page_entry_make_written(&array, 1);
	assert_int_equal(entries[0].private, 11);
	assert_int_equal(entries[512].private, 22);
	assert_int_equal(entries[512 + 9].private, 33);
	assert_int_equal(entries[512 + 8].type, PAGE_NONE);
	assert_int_equal(entries[1023].type, PAGE_NONE);
}

static size_t groups_in(enum group_state state)
{
	size_t groups = 0;
	for (size_t group = 0; group < ARRAY_SIZE(written); group++)
		groups += written[group] == state;
	return groups;
}

static void a_groups_byte_tells_which_of_its_entries_may_be_read(void)
{
	create_world(0, 1300,
	             2); /* the third group is cut short, the others of the section lie past the end */
	assert_int_equal(page_group_state(&array, 0), GROUP_HEAD_WRITTEN);
	assert_int_equal(groups_in(GROUP_UNWRITTEN), ARRAY_SIZE(written) - 1);
	assert_true(page_entry_written(&array, 0) && !page_entry_written(&array, 1));
	assert_false(page_entry_written(&array, 512));

	page_entry_make_written(&array, 512);
	assert_int_equal(groups_in(GROUP_HEAD_WRITTEN), ARRAY_SIZE(written));
	assert_true(page_entry_written(&array, 512) && !page_entry_written(&array, 513));

	page_entry_make_written(&array, 1299);
	assert_int_equal(page_group_state(&array, 1299), GROUP_WRITTEN);
	assert_int_equal(groups_in(GROUP_HEAD_WRITTEN), ARRAY_SIZE(written) - 1);
	for (uint32_t n = 1024; n < 1300; n++)
		assert_true(page_entry_written(&array, n) && entries[n].type == PAGE_NONE);

	page_entry_make_written(&array, 1);
	assert_int_equal(page_group_state(&array, 0), GROUP_WRITTEN);
	assert_int_equal(page_group_state(&array, 512), GROUP_HEAD_WRITTEN);
	check_world();
}

static void frames_that_are_held_can_carry_any_owner(void)
{
	create_world(0, 64, 0);
	give(0, 64);
	struct page *page = take(2), *neighbour = take(2);
	page->private = SIZE_MAX;
	neighbour->owner = &model;
	check_world();
	put(number_of(page), 2);
	put(number_of(neighbour), 2);
	check_world();
}

static void every_page_type_has_a_name(void)
{
	for (unsigned type = 0; type < PAGE_TYPES; type++)
		assert_true(page_type_name(type) && strcmp(page_type_name(type), "corrupt") != 0);
	assert_string_equal(page_type_name(PAGE_TYPES), "corrupt");
}

static void a_dump_has_a_line_per_order(void)
{
	static char text[1024];
	struct buffer_printer out;

	create_world(0, 64, 0);
	give(0, 64);
	put(number_of(take(0)), 0);
	buffer_printer_init(&out, text, sizeof(text));
	buddy_dump(&world, &out.printer);
	assert_matches(
	        text,
	        "pfn [0x0, 0x40): 64 of 64 frames free\n  order  0: 0\n*  order  6: 1\n*  order 18: 0\n");
}

/* A world of 64 frames with frame 0 held: one free block each of order 0 to 5. */
static void create_broken_world(void)
{
	create_world(0, 64, 0);
	give(0, 64);
	assert_int_equal(number_of(take(0)), 0);
	check_world();
}

#define assert_broken(pattern)                            \
	do {                                              \
		const char *words_ = buddy_check(&world); \
		assert_non_null(words_);                  \
		assert_matches(words_, pattern);          \
	} while (0)

static void the_verifier_names_each_broken_invariant(void)
{
	create_broken_world();
	world.free[3].head = 9;
	entries[9] = entries[8];
	assert_broken("I1: the block of order 3 at pfn 0x9 is misaligned or leaves the span [0x0, 0x40)");

	create_broken_world();
	world.end = 40;
	assert_broken("I1: the block of order 5 at pfn 0x20 is misaligned or leaves the span [0x0, 0x28)");

	create_broken_world();
	entries[36].type_order = page_type_order(PAGE_HELD, 2);
	assert_broken("I1: pfn 0x24 is a head (held) inside the free block of order 5 at pfn 0x20");

	create_broken_world();
	entries[0].order = PAGE_ORDERS;
	assert_broken("I1: the block at pfn 0x0 has order 19");

	create_broken_world();
	entries[4].type = PAGE_HELD;
	assert_broken("I2: pfn 0x4 on list 2 says held, order 2");

	create_broken_world();
	entries[4].prev = 7;
	assert_broken("I2: pfn 0x4 on list 2 links back to 0x7 instead of 0xffffffff");

	create_broken_world();
	entries[4].next = 4;
	assert_broken("I2: list 2 is longer than its count, 1");

	create_broken_world();
	world.free[2].count = 2;
	assert_broken("I2: list 2 has 1 blocks, its count says 2");

	create_broken_world();
	world.nonempty &= ~(1U << 4);
	assert_broken("I3: list 4 has 1 blocks, its bit is 0");

	create_broken_world();
	world.nonempty |= 1U << 9;
	assert_broken("I3: list 9 has 0 blocks, its bit is 1");

	create_broken_world();
	entries[0].type_order = page_type_order(PAGE_FREE, 0);
	assert_broken("I4: the buddies of order 0 at pfn 0x1 and 0x0 are both free");

	create_broken_world();
	world.nr_free++;
	assert_broken("I5: 63 frames are on the lists, nr_free says 64");

	create_broken_world();
	entries[0].type = PAGE_NONE;
	assert_broken("I6: 63 frames free and 0 held make no 64 managed");

	create_broken_world();
	world.free[5] = world.free[6]; /* the list forgets a block that its entry still claims */
	world.nonempty &= ~(1U << 5);
	world.nr_free -= 32;
	assert_broken("I6: the span has 1 free blocks of order 5, the list has 0");

	create_broken_world();
	written[0] = GROUP_HEAD_WRITTEN;
	assert_broken("I7: the entries around the block of order 0 at pfn 0x1 were never written");
}

/*
 * Three sections, the middle one a hole without an array behind it. The array is 12 MiB; only a few entries
 * of it are ever touched, which is the point.
 */
enum { LARGE_FRAMES = 3 * SECTION_FRAMES };
static const uint64_t outer_sections[] = {5};
static uint8_t large_written[LARGE_FRAMES / GROUP_FRAMES];
static struct page *large;
static struct buddy large_world;

static size_t entries_touched(uint64_t start, uint64_t end)
{
	size_t touched = 0;
	for (uint64_t n = start; n < end; n++)
		touched += large[n].private != 0x5a5a5a5a5a5a5a5a;
	return touched;
}

static void create_large_world(void)
{
	size_t bytes = LARGE_FRAMES * sizeof(struct page);

	large = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_NOWARN);
	if (!large)
		test_skip("no 12 MiB of memory in one piece");
	memset(large, 0x5a, bytes);
	struct page_array large_array = {large, large_written, LARGE_FRAMES};
	page_array_init(&large_array, outer_sections);
	buddy_init(&large_world, &large_array, pfn(0), pfn(LARGE_FRAMES));
	buddy_add(&large_world, pfn(0), pfn(SECTION_FRAMES));
	buddy_add(&large_world, pfn(2 * SECTION_FRAMES), pfn(LARGE_FRAMES));
}

static void destroy_large_world(void)
{
	free_pages_exact(large, LARGE_FRAMES * sizeof(struct page));
}

static void a_gibibyte_block_costs_one_entry_until_it_is_cut(void)
{
	create_large_world();
	assert_int_equal(entries_touched(0, LARGE_FRAMES), 2);
	assert_sound(buddy_check(&large_world));

	struct page *whole = buddy_alloc(&large_world, MAX_PAGE_ORDER);
	assert_int_equal(entries_touched(0, LARGE_FRAMES), 2);
	struct page *group = buddy_alloc(&large_world, GROUP_ORDER);
	assert_int_equal(entries_touched(0, LARGE_FRAMES), 2 + 511);
	struct page *frame = buddy_alloc(&large_world, 0);
	assert_int_equal(entries_touched(0, LARGE_FRAMES), 2 + 511 + 511);
	assert_int_equal(entries_touched(SECTION_FRAMES, 2 * SECTION_FRAMES), 0);
	assert_sound(buddy_check(&large_world));

	/* The hole is not looked into, whatever it seems to say. */
	assert_true(page_section_backed(&large_world.array, 2 * SECTION_FRAMES));
	assert_false(page_section_backed(&large_world.array, SECTION_FRAMES + 1));
	large[SECTION_FRAMES] = (struct page){.type = PAGE_HELD};
	large[SECTION_FRAMES + 1] = large[SECTION_FRAMES];
	assert_int_equal(buddy_free(&large_world, pfn(SECTION_FRAMES + 1), 0), BUDDY_OUTSIDE);
	assert_int_equal(buddy_free(&large_world, pfn(SECTION_FRAMES), 0), BUDDY_OUTSIDE);
	assert_int_equal(buddy_free(&large_world, pfn((uint64_t)(whole - large)), MAX_PAGE_ORDER), BUDDY_OK);
	assert_int_equal(buddy_free(&large_world, pfn((uint64_t)(group - large)), GROUP_ORDER), BUDDY_OK);
	assert_int_equal(buddy_free(&large_world, pfn((uint64_t)(frame - large)), 0), BUDDY_OK);
	assert_sound(buddy_check(&large_world));
	assert_int_equal(large_world.free[MAX_PAGE_ORDER].count, 2);
	destroy_large_world();
}

static void gibibytes_taken_in_blocks_of_all_orders_come_back_whole(void)
{
	struct rng rng;
	size_t taken = 0;

	rng_seed(&rng, test_seed());
	create_large_world();
	for (;;) {
		unsigned order = (unsigned)rng_below(&rng, GROUP_ORDER + 5);
		struct page *page = buddy_alloc(&large_world, order);
		if (page)
			pages[taken++] = page;
		if (taken == 1000 || (!page && order == 0))
			break;
		assert_sound(taken % 16 ? NULL : buddy_check(&large_world));
	}
	assert_at_least(taken, 100);
	assert_sound(buddy_check(&large_world));
	while (taken) {
		size_t pick = rng_below(&rng, taken);
		struct page *page = pages[pick];
		assert_int_equal(buddy_free(&large_world, pfn((uint64_t)(page - large)), page->order),
		                 BUDDY_OK);
		pages[pick] = pages[--taken];
		assert_sound(taken % 16 ? NULL : buddy_check(&large_world));
	}
	assert_int_equal(large_world.free[MAX_PAGE_ORDER].count, 2);
	destroy_large_world();
}

static const struct test_case cases[] = {
        TEST_CASE(an_empty_span_gives_nothing),
        TEST_CASE(every_order_is_given_back_into_one_block),
        TEST_CASE(the_lower_half_is_kept_and_the_smallest_block_taken),
        TEST_CASE(exhausting_then_freeing_in_random_order_restores_one_block),
        TEST_CASE(frames_given_in_any_pieces_merge_into_the_same_blocks),
        TEST_CASE(buddies_of_two_allocators_never_merge),
        TEST_CASE(a_run_ends_where_another_allocators_frames_begin),
        TEST_CASE(every_sequence_of_calls_up_to_a_length_agrees_with_the_model),
        TEST_CASE(random_calls_in_64_frames_agree_with_the_model),
        TEST_CASE(random_calls_between_odd_borders_and_holes_agree_with_the_model),
        TEST_CASE(random_calls_over_four_groups_agree_with_the_model),
        TEST_CASE(trimming_keeps_exactly_the_frames_asked_for),
        TEST_CASE(trimming_a_block_larger_than_a_group_writes_what_it_cuts),
        TEST_CASE(a_range_is_served_if_and_only_if_it_holds_an_aligned_free_run),
        TEST_CASE(bulk_gives_all_there_is_small_blocks_first),
        TEST_CASE(a_list_is_filled_from_small_blocks_first_and_its_runs_come_back_whole),
        TEST_CASE(a_larger_block_is_not_cut_for_the_smaller_part_of_a_list),
        TEST_CASE(who_held_a_block_last_is_remembered_while_a_list_keeps_it),
        TEST_CASE(what_is_not_cached_as_it_should_be_is_left_alone_by_a_drain),
        TEST_CASE(a_chain_comes_back_up_to_the_first_mistake),
        TEST_CASE(bulk_from_blocks_never_cut_writes_their_groups),
        TEST_CASE(every_mistake_is_told_apart_and_changes_nothing),
        TEST_CASE(what_is_no_frame_ends_a_bulk_free),
        TEST_CASE(no_entry_is_trusted_before_it_was_written),
        TEST_CASE(the_block_around_any_frame_is_found),
        TEST_CASE(writing_a_group_keeps_what_was_written),
        TEST_CASE(a_groups_byte_tells_which_of_its_entries_may_be_read),
        TEST_CASE(frames_that_are_held_can_carry_any_owner),
        TEST_CASE(every_page_type_has_a_name),
        TEST_CASE(a_dump_has_a_line_per_order),
        TEST_CASE(the_verifier_names_each_broken_invariant),
        TEST_CASE(a_gibibyte_block_costs_one_entry_until_it_is_cut),
        TEST_CASE(gibibytes_taken_in_blocks_of_all_orders_come_back_whole),
};
const struct test_suite buddy_suite = TEST_SUITE("buddy", cases);
