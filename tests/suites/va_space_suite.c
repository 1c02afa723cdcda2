/*
 * Virtual ranges, on private windows: against a byte map at random and exhaustively, then each promise by itself, then
 * the verifier against every kind of damage it names.
 */
#include <arch/page.h>
#include <mm/va_space.h>
#include <expect_broken.h>
#include <test/test.h>
#include "va_model.h"

enum { POOL = 1200 };

/* Anywhere page-aligned will do: nothing is dereferenced. */
#define BASE 0xffffc00000000000UL

static struct vmap_area pool[POOL];
static struct vmap_area *spare[POOL];
static size_t nr_spare;
static struct va_space space;
static struct va_model model;

static struct vmap_area *node_take(void)
{
	assert_true(nr_spare > 0);
	return spare[--nr_spare];
}

static size_t node_give(struct vmap_area *node)
{
	if (!node)
		return 0;
	spare[nr_spare++] = node;
	return 1;
}

static void set_up_window(struct vrange window)
{
	nr_spare = 0;
	for (size_t i = 0; i < POOL; i++)
		node_give(&pool[i]);
	va_space_init(&space, window, node_take());
}

static struct vrange pages_of_window(size_t first, size_t count)
{
	return vrange_sized(vaddr(space.start + first * PAGE_SIZE), count * PAGE_SIZE);
}

static void set_up_pages(size_t pages)
{
	set_up_window(vrange_sized(vaddr(BASE), pages * PAGE_SIZE));
}

static struct vrange whole(void)
{
	return vrange(space.start, space.end);
}

static void assert_space(void)
{
	assert_sound(va_space_check(&space));
	assert_int_equal(nr_spare + space.nr_holes + space.nr_busy, POOL);
}

/* Allocates with two donated nodes; *used says how many were needed. Sizes in bytes. */
static struct vmap_area *take_counting(size_t size, size_t align, struct vrange within, size_t *used)
{
	struct vmap_area *nodes[VA_CARVE_NODES_MAX] = {node_take(), node_take()};
	struct vmap_area *area = va_space_alloc(&space, size, align, within, nodes);
	*used = 2 - node_give(nodes[1]) - node_give(nodes[0]);
	return area;
}

static struct vmap_area *take(size_t size, size_t align, struct vrange within)
{
	size_t used;
	return take_counting(size, align, within, &used);
}

/* Returns how many nodes came back. */
static size_t give(struct vmap_area *area)
{
	struct vmap_area *released[VA_MERGE_NODES_MAX];
	va_space_free(&space, area, released);
	return node_give(released[0]) + node_give(released[1]);
}

/* The area [first, first + count) of the window, in pages. */
static struct vmap_area *take_pages(size_t first, size_t count)
{
	struct vmap_area *area = take(count * PAGE_SIZE, PAGE_SIZE, pages_of_window(first, count));
	assert_non_null(area);
	assert_int_equal(area->va_start, space.start + first * PAGE_SIZE);
	return area;
}

static size_t page_index(const struct vmap_area *area)
{
	return (area->va_start - space.start) / PAGE_SIZE;
}

static size_t size_of(const struct vmap_area *area)
{
	return area->va_end - area->va_start;
}

/* --- against the byte map --- */

static struct vmap_area *live[VA_MODEL_PAGES];
static size_t nr_live;

static void assert_like_model(void)
{
	assert_space();
	assert_int_equal(space.nr_holes, va_model_holes(&model));
	assert_int_equal(va_space_largest_hole(&space), va_model_largest_hole(&model));
}

static bool take_both_at(size_t size, struct va_place place, struct vrange within)
{
	uintptr_t expected = 0;
	bool fits = va_model_alloc_at(&model, size, place, within, &expected);
	struct vmap_area *nodes[VA_CARVE_NODES_MAX] = {node_take(), node_take()};
	struct vmap_area *area = va_space_alloc_at(&space, size, &place, within, nodes);
	node_give(nodes[1]);
	node_give(nodes[0]);
	assert_int_equal(area != NULL, fits);
	if (!fits)
		return false;
	assert_int_equal(area->va_start, expected);
	assert_int_equal(size_of(area), size);
	live[nr_live++] = area;
	return true;
}

static bool take_both(size_t size, size_t align, struct vrange within)
{
	return take_both_at(size, (struct va_place){.align = align}, within);
}

static void give_both(size_t which)
{
	struct vmap_area *area = live[which];
	live[which] = live[--nr_live];
	va_model_free(&model, area->va_start, size_of(area));
	give(area);
}

/* Where the byte map says an area begins at or below, or above, a page; compared with the three lookups. */
static void assert_lookups(uintptr_t address)
{
	const struct vmap_area *below = NULL, *above = NULL;
	for (size_t i = 0; i < nr_live; i++) {
		if (live[i]->va_start <= address && (!below || live[i]->va_start > below->va_start))
			below = live[i];
		if (live[i]->va_start > address && (!above || live[i]->va_start < above->va_start))
			above = live[i];
	}
	assert_ptr_equal(va_space_find_below(&space, address), below);
	assert_ptr_equal(va_space_find_above(&space, address), above);
	assert_ptr_equal(va_space_find(&space, address), below && address < below->va_end ? below : NULL);
}

static void random_operations_in(struct vrange window, unsigned max_align_shift, uint64_t seed)
{
	struct rng rng;
	rng_seed(&rng, seed);
	set_up_window(window);
	va_model_init(&model, window);
	nr_live = 0;

	uint64_t steps = test_is_hosted() ? 20000 : 2000;
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		/* Long stretches of mostly taking and mostly giving back, so that the window is full and empty in turn. */
		bool taking = rng_below(&rng, 8) < (step / 200 % 2 ? 3 : 6);
		if (taking && nr_live < VA_MODEL_PAGES) {
			size_t size = (1 + rng_below(&rng, rng_below(&rng, 10) ? 8 : 100)) * PAGE_SIZE;
			size_t align = PAGE_SIZE
			               << (rng_below(&rng, 2) ? 0 : rng_below(&rng, max_align_shift + 1));
			struct vrange within = whole();
			if (rng_below(&rng, 2)) {
				within.start.raw += rng_below(&rng, model.pages) * PAGE_SIZE;
				within.end.raw -= rng_below(&rng, model.pages) * PAGE_SIZE;
			}
			struct va_place place = {.align = align};
			if (rng_below(&rng, 3) == 0) {
				place.lead = rng_below(&rng, size / PAGE_SIZE) * PAGE_SIZE;
				place.gap = rng_below(&rng, 6) * PAGE_SIZE;
			}
			if (!take_both_at(size, place, within) && within.start.raw < within.end.raw)
				take_both(PAGE_SIZE, PAGE_SIZE, within);
		} else if (nr_live) {
			give_both(rng_below(&rng, nr_live));
		}
		assert_like_model();
		assert_lookups(window.start.raw + rng_below(&rng, vrange_size(window)));
	}
	while (nr_live)
		give_both(rng_below(&rng, nr_live));
	assert_like_model();
	assert_int_equal(space.nr_holes, 1);
}

static void random_operations_agree_with_a_byte_map(void)
{
	random_operations_in(vrange_sized(vaddr(BASE), VA_MODEL_PAGES * PAGE_SIZE), 7, test_seed());
}

static void random_operations_agree_across_the_middle_of_all_addresses(void)
{
	random_operations_in(vrange_sized(vaddr((1UL << 63) - 37 * PAGE_SIZE), 199 * PAGE_SIZE), 51,
	                     test_seed() + 1);
}

static void random_operations_agree_at_the_last_page_of_all_addresses(void)
{
	random_operations_in(vrange(-201 * PAGE_SIZE, -1 * PAGE_SIZE), 51, test_seed() + 2);
}

enum { SMALL_WINDOW = 9 };
static uint64_t sequences;

/* The live area that begins at a page, as an index into live[]; nr_live if there is none. */
static size_t live_at(size_t page)
{
	size_t i = 0;
	while (i < nr_live && page_index(live[i]) != page)
		i++;
	return i;
}

/* Every continuation of the present state, `depth` operations long, each undone afterwards. */
static void try_every_operation(unsigned depth)
{
	assert_like_model();
	test_step(sequences++);
	if (!depth)
		return;
	for (size_t pages = 1; pages <= 4; pages++) {
		for (size_t align = 1; align <= 4; align *= 2) {
			if (!take_both(pages * PAGE_SIZE, align * PAGE_SIZE, whole()))
				continue;
			size_t first = page_index(live[nr_live - 1]);
			try_every_operation(depth - 1);
			give_both(live_at(first));
		}
	}
	for (size_t first = 0; first < SMALL_WINDOW; first++) {
		size_t which = live_at(first);
		if (which == nr_live)
			continue;
		size_t size = size_of(live[which]);
		give_both(which);
		try_every_operation(depth - 1);
		assert_true(take_both(size, PAGE_SIZE, pages_of_window(first, size / PAGE_SIZE)));
	}
}

static void every_short_sequence_in_a_window_of_nine_pages_agrees_with_a_byte_map(void)
{
	set_up_pages(SMALL_WINDOW);
	va_model_init(&model, whole());
	nr_live = 0;
	sequences = 0;
	try_every_operation(test_is_hosted() ? 5 : 4);
	assert_int_equal(nr_live, 0);
	assert_at_least(sequences, 1000);
}

/* Every set of busy pages, every size, alignment and sub-range: the whole of alloc's contract in one small window. */
static void every_pattern_of_holes_gives_the_lowest_fit_in_every_sub_range(void)
{
	enum { PAGES = 6 };
	for (unsigned pattern = 0; pattern < 1U << PAGES; pattern++) {
		test_step(pattern);
		set_up_pages(PAGES);
		va_model_init(&model, whole());
		nr_live = 0;
		for (size_t page = 0; page < PAGES; page++)
			if (pattern >> page & 1)
				assert_true(take_both(PAGE_SIZE, PAGE_SIZE, pages_of_window(page, 1)));
		for (size_t first = 0; first <= PAGES; first++)
			for (size_t end = 0; end <= PAGES; end++)
				for (size_t size = 1; size <= PAGES; size++)
					for (size_t align = 1; align <= 4; align *= 2) {
						struct vrange within = vrange(BASE + first * PAGE_SIZE,
						                              BASE + end * PAGE_SIZE);
						if (take_both(size * PAGE_SIZE, align * PAGE_SIZE, within))
							give_both(nr_live - 1);
					}
		assert_like_model();
	}
}

/* --- promises, one by one --- */

static void a_hole_of_exactly_the_size_serves_an_aligned_request(void)
{
	/* [01]busy [23]hole [45..15]busy: a search for size + align - 1 bytes would miss pages 2 and 3. */
	set_up_pages(16);
	take_pages(0, 2);
	take_pages(4, 12);
	struct vmap_area *area = take(2 * PAGE_SIZE, 2 * PAGE_SIZE, whole());
	assert_non_null(area);
	assert_int_equal(page_index(area), 2);
	assert_int_equal(space.nr_holes, 0);
	assert_space();
}

static void a_badly_placed_hole_is_passed_over_for_a_later_one(void)
{
	/* Holes [1..4] and [9..12], four pages each: aligned to four pages, only nothing; with [9..15], pages 12 to 15. */
	set_up_pages(16);
	take_pages(0, 1);
	take_pages(5, 4);
	struct vmap_area *last = take_pages(13, 3);
	assert_null(take(4 * PAGE_SIZE, 4 * PAGE_SIZE, whole()));
	give(last);
	struct vmap_area *area = take(4 * PAGE_SIZE, 4 * PAGE_SIZE, whole());
	assert_non_null(area);
	assert_int_equal(page_index(area), 12);
	assert_space();
}

static void the_lowest_fit_is_taken_though_a_later_hole_fits_better(void)
{
	set_up_pages(64);
	struct vmap_area *large = take_pages(4, 10), *exact = take_pages(20, 3);
	take_pages(0, 4);
	take_pages(14, 6);
	take_pages(23, 41);
	give(exact);
	give(large);
	assert_int_equal(page_index(take(3 * PAGE_SIZE, PAGE_SIZE, whole())), 4);
	assert_space();
}

static void a_sub_range_clips_the_holes_at_both_its_ends(void)
{
	set_up_pages(32);
	struct vmap_area *area = take(4 * PAGE_SIZE, PAGE_SIZE, pages_of_window(10, 4));
	assert_int_equal(page_index(area), 10);
	assert_null(take(4 * PAGE_SIZE, PAGE_SIZE, pages_of_window(11, 6)));
	assert_int_equal(page_index(take(4 * PAGE_SIZE, PAGE_SIZE, pages_of_window(11, 7))), 14);
	assert_null(take(4 * PAGE_SIZE, 4 * PAGE_SIZE, pages_of_window(1, 7 - 1)));
	assert_int_equal(page_index(take(4 * PAGE_SIZE, 4 * PAGE_SIZE, pages_of_window(1, 7))), 4);
	assert_space();
}

static void a_sub_range_outside_the_window_or_of_no_size_gives_nothing(void)
{
	set_up_pages(8);
	assert_null(take(PAGE_SIZE, PAGE_SIZE, vrange(0, BASE)));
	assert_null(take(PAGE_SIZE, PAGE_SIZE, vrange(space.end, space.end + 8 * PAGE_SIZE)));
	assert_null(take(PAGE_SIZE, PAGE_SIZE, vrange(BASE, BASE)));
	assert_null(take(PAGE_SIZE, PAGE_SIZE, vrange(BASE + 2 * PAGE_SIZE, BASE)));
	assert_int_equal(page_index(take(PAGE_SIZE, PAGE_SIZE, vrange(0, UINT64_MAX))), 0);
	assert_space();
}

static void sizes_and_alignments_beyond_all_addresses_give_nothing(void)
{
	set_up_window(vrange(-64 * PAGE_SIZE, -1 * PAGE_SIZE));
	assert_null(take(-1 * PAGE_SIZE, PAGE_SIZE, whole()));
	assert_null(take(64 * PAGE_SIZE, PAGE_SIZE, whole()));
	assert_null(take(PAGE_SIZE, 1UL << 63, whole()));
	assert_null(take(PAGE_SIZE, 1UL << 63, vrange(0, UINT64_MAX)));
	assert_null(take(1UL << 63, PAGE_SIZE, vrange(0, UINT64_MAX)));
	assert_int_equal(page_index(take(63 * PAGE_SIZE, PAGE_SIZE, whole())), 0);
	assert_null(take(PAGE_SIZE, PAGE_SIZE, whole()));
	assert_space();
}

static void an_alignment_of_half_of_all_addresses_finds_the_one_that_has_it(void)
{
	set_up_window(vrange((1UL << 63) - 3 * PAGE_SIZE, (1UL << 63) + 3 * PAGE_SIZE));
	assert_null(take(4 * PAGE_SIZE, 1UL << 63, whole()));
	struct vmap_area *area = take(3 * PAGE_SIZE, 1UL << 63, whole());
	assert_non_null(area);
	assert_int_equal(area->va_start, 1UL << 63);
	assert_null(take(PAGE_SIZE, 1UL << 63, whole()));
	assert_space();
}

static void an_exact_fit_uses_no_donated_node(void)
{
	size_t used;
	set_up_pages(8);
	assert_non_null(take_counting(8 * PAGE_SIZE, PAGE_SIZE, whole(), &used));
	assert_int_equal(used, 0);
	assert_int_equal(space.nr_holes, 0);
	assert_space();
}

static void a_fit_at_the_left_edge_uses_one_node_and_needs_no_second(void)
{
	struct vmap_area *nodes[VA_CARVE_NODES_MAX] = {NULL, NULL};
	set_up_pages(8);
	struct vmap_area *donated = nodes[0] = node_take();
	struct vmap_area *area = va_space_alloc(&space, 3 * PAGE_SIZE, PAGE_SIZE, whole(), nodes);
	assert_ptr_equal(area, donated);
	assert_null(nodes[0]);
	assert_int_equal(page_index(area), 0);
	assert_int_equal(space.nr_holes, 1);
	assert_space();
}

static void a_fit_at_the_right_edge_uses_one_node(void)
{
	size_t used;
	set_up_pages(8);
	assert_non_null(take_counting(3 * PAGE_SIZE, PAGE_SIZE, pages_of_window(5, 3), &used));
	assert_int_equal(used, 1);
	assert_int_equal(space.nr_holes, 1);
	assert_space();
}

static void a_fit_inside_uses_two_nodes_and_leaves_two_holes(void)
{
	size_t used;
	set_up_pages(8);
	assert_non_null(take_counting(3 * PAGE_SIZE, PAGE_SIZE, pages_of_window(2, 3), &used));
	assert_int_equal(used, 2);
	assert_int_equal(space.nr_holes, 2);
	assert_int_equal(va_space_largest_hole(&space), 3 * PAGE_SIZE);
	assert_space();
}

static void a_lead_is_before_what_is_aligned_and_a_gap_before_both(void)
{
	size_t gap = 2 * PAGE_SIZE;
	struct vmap_area *nodes[VA_CARVE_NODES_MAX];
	set_up_pages(16);
	take_pages(0, 1);
	nodes[0] = node_take();
	nodes[1] = node_take();
	struct va_place place = {.align = 4 * PAGE_SIZE, .lead = PAGE_SIZE, .gap = gap};
	struct vmap_area *area = va_space_alloc_at(&space, 3 * PAGE_SIZE, &place, whole(), nodes);
	/*  [ busy | gap, gap | lead, aligned, aligned | … ]: page 4 is the first that is a multiple of 4 behind all three */
	assert_non_null(area);
	assert_int_equal(page_index(area), 3);
	assert_true(!nodes[0] && !nodes[1]);
	assert_space();
	/* The gap is free: who asks for less comes to lie in it. */
	assert_int_equal(page_index(take(PAGE_SIZE, PAGE_SIZE, whole())), 1);
	assert_space();
}

static void a_gap_that_does_not_fit_refuses(void)
{
	struct va_place place = {.align = PAGE_SIZE, .gap = 6 * PAGE_SIZE};
	struct vmap_area *nodes[VA_CARVE_NODES_MAX] = {NULL, NULL};
	set_up_pages(8);
	assert_null(va_space_alloc_at(&space, 3 * PAGE_SIZE, &place, whole(), nodes));
	nodes[0] = node_take();
	assert_int_equal(page_index(va_space_alloc_at(&space, 2 * PAGE_SIZE, &place, whole(), nodes)), 6);
	assert_space();
}

static void a_refused_request_uses_no_node_and_changes_nothing(void)
{
	size_t used;
	set_up_pages(8);
	take_pages(3, 1);
	struct va_space before = space;
	assert_null(take_counting(5 * PAGE_SIZE, PAGE_SIZE, whole(), &used));
	assert_int_equal(used, 0);
	assert_int_equal(memcmp(&before, &space, sizeof(space)), 0);
	assert_space();
}

static void freeing_between_busy_neighbours_releases_no_node(void)
{
	set_up_pages(3);
	take_pages(0, 1);
	struct vmap_area *middle = take_pages(1, 1);
	take_pages(2, 1);
	assert_int_equal(give(middle), 0);
	assert_int_equal(space.nr_holes, 1);
	assert_space();
}

static void freeing_above_a_hole_releases_one_node(void)
{
	set_up_pages(4);
	struct vmap_area *area = take_pages(1, 2);
	take_pages(3, 1);
	assert_int_equal(give(area), 1);
	assert_int_equal(space.nr_holes, 1);
	assert_int_equal(va_space_largest_hole(&space), 3 * PAGE_SIZE);
	assert_space();
}

static void freeing_below_a_hole_releases_one_node(void)
{
	set_up_pages(4);
	take_pages(0, 1);
	struct vmap_area *area = take_pages(1, 2);
	assert_int_equal(give(area), 1);
	assert_int_equal(space.nr_holes, 1);
	assert_int_equal(va_space_largest_hole(&space), 3 * PAGE_SIZE);
	assert_space();
}

static void freeing_between_two_holes_releases_two_nodes(void)
{
	set_up_pages(6);
	struct vmap_area *area = take_pages(2, 2);
	assert_int_equal(give(area), 2);
	assert_int_equal(space.nr_holes, 1);
	assert_int_equal(va_space_largest_hole(&space), 6 * PAGE_SIZE);
	assert_space();
}

static void a_window_filled_with_small_areas_and_freed_at_random_is_one_hole_again(void)
{
	enum { AREAS = 1024 };
	static struct vmap_area *areas[AREAS];
	struct rng rng;

	rng_seed(&rng, test_seed());
	set_up_pages(AREAS);
	for (size_t i = 0; i < AREAS; i++) {
		areas[i] = take(PAGE_SIZE, PAGE_SIZE, whole());
		assert_non_null(areas[i]);
		assert_int_equal(page_index(areas[i]), i);
	}
	assert_null(take(PAGE_SIZE, PAGE_SIZE, whole()));
	assert_space();
	for (size_t left = AREAS; left; left--) {
		test_step(AREAS - left);
		size_t which = rng_below(&rng, left);
		give(areas[which]);
		areas[which] = areas[left - 1];
		if (test_is_hosted() || left % 16 == 0)
			assert_space();
	}
	assert_space();
	struct vmap_area *all = take(AREAS * PAGE_SIZE, PAGE_SIZE, whole());
	assert_non_null(all);
	assert_int_equal(all->va_start, space.start);
	give(all);
	assert_space();
}

static void busy_areas_are_walked_in_the_order_of_their_addresses(void)
{
	set_up_pages(16);
	assert_null(va_space_next_busy(&space, NULL));
	struct vmap_area *c = take_pages(12, 2), *a = take_pages(1, 1), *b = take_pages(5, 3);
	assert_ptr_equal(va_space_next_busy(&space, NULL), a);
	assert_ptr_equal(va_space_next_busy(&space, a), b);
	assert_ptr_equal(va_space_next_busy(&space, b), c);
	assert_null(va_space_next_busy(&space, c));
}

/* --- the verifier --- */

/* [hole 2 | busy 2 | hole 2 | busy 2 | hole 8], sound; each case damages one thing. */
static struct vmap_area *first_busy, *second_busy, *first_hole, *middle_hole, *last_hole;

static void set_up_to_break(void)
{
	set_up_pages(16);
	first_busy = take_pages(2, 2);
	second_busy = take_pages(6, 2);
	first_hole = list_first_entry(&space.holes, struct vmap_area, list);
	middle_hole = list_first_entry(&first_hole->list, struct vmap_area, list);
	last_hole = list_first_entry(&middle_hole->list, struct vmap_area, list);
	assert_space();
}

/* Both must be given their old value before the next damage. */
#define expect_broken(pattern, damage, repair)                                     \
	do {                                                                       \
		expect_broken_by(va_space_check(&space), pattern, damage, repair); \
		assert_space();                                                    \
	} while (0)

static void the_verifier_sees_S1_addresses_that_nothing_or_two_ranges_cover(void)
{
	set_up_to_break();
	expect_broken("S1: nothing covers 0xffffc00000002000-0xffffc00000003000",
	              first_busy->va_start += PAGE_SIZE, first_busy->va_start -= PAGE_SIZE);
	expect_broken("S1: nothing covers 0xffffc00000010000-0xffffc00000011000", space.end += PAGE_SIZE,
	              space.end -= PAGE_SIZE);
	expect_broken("S1: two ranges cover 0xffffc00000004000", first_busy->va_end += PAGE_SIZE,
	              first_busy->va_end -= PAGE_SIZE);
	expect_broken("S1: the range 0xffffc00000008000-0xffffc00000010000 leaves the window",
	              space.end -= PAGE_SIZE, space.end += PAGE_SIZE);
}

static void the_verifier_sees_S2_ranges_that_are_empty_or_not_whole_pages(void)
{
	set_up_to_break();
	expect_broken("S2: the range at 0xffffc00000002000 is empty", first_busy->va_end -= 2 * PAGE_SIZE,
	              first_busy->va_end += 2 * PAGE_SIZE);
	expect_broken("S2: the range 0xffffc00000002000-0xffffc00000003fff is not whole pages",
	              first_busy->va_end -= 1, first_busy->va_end += 1);
}

static void the_verifier_sees_S3_holes_that_were_not_merged(void)
{
	set_up_to_break();
	/* The area between two holes disappears, and the upper hole grows down to the lower one. */
	rb_erase(&space.busy, &first_busy->rb, NULL);
	middle_hole->va_start = first_hole->va_end;
	middle_hole->subtree_max_size +=
	        size_of(first_busy) * (middle_hole->subtree_max_size == 2 * PAGE_SIZE);
	const char *words = va_space_check(&space);
	assert_non_null(words);
	assert_string_equal(words, "S3: two holes touch at 0xffffc00000002000");
}

static void the_verifier_sees_S4_lists_that_are_not_the_tree(void)
{
	set_up_to_break();
	expect_broken("S4: the list does not have the hole at 0xffffc00000004000 where the tree has it",
	              list_del(&middle_hole->list), list_add(&middle_hole->list, &first_hole->list));
	expect_broken("S4: the list's backward link at the hole 0xffffc00000004000 is wrong",
	              middle_hole->list.prev = &last_hole->list, middle_hole->list.prev = &first_hole->list);
	struct vmap_area *stray = node_take();
	expect_broken("S4: the list has holes that the tree has not",
	              list_add_tail(&stray->list, &space.holes), (list_del(&stray->list), node_give(stray)));
}

static void the_verifier_sees_S5_a_node_that_does_not_know_its_largest_hole(void)
{
	set_up_to_break();
	assert_ptr_equal(space.free.node, &middle_hole->rb);
	expect_broken("S5: the hole at 0xffffc00000004000 does not know the largest hole of its subtree",
	              middle_hole->subtree_max_size -= PAGE_SIZE, middle_hole->subtree_max_size += PAGE_SIZE);
}

static void the_verifier_sees_S6_counts_that_are_wrong(void)
{
	set_up_to_break();
	expect_broken("S6: 3 holes, counted as 4", space.nr_holes++; nr_spare--, space.nr_holes--;
	              nr_spare++);
	expect_broken("S6: 2 busy areas, counted as 3", space.nr_busy++; nr_spare--, space.nr_busy--;
	              nr_spare++);
	expect_broken("S6: 49152 free bytes, counted as 49153", space.free_bytes++, space.free_bytes--);
	expect_broken("S6: 16384 busy bytes, counted as 16383", space.busy_bytes--, space.busy_bytes++);
}

static void the_verifier_passes_on_what_is_wrong_with_a_tree(void)
{
	set_up_to_break();
	struct rb_node *root = space.busy.node;
	expect_broken("busy tree: I* at 0xffffc0000000*", root->parent_colour ^= 1, root->parent_colour ^= 1);
	root = space.free.node;
	expect_broken("hole tree: I* at 0xffffc0000000*", root->parent_colour ^= 1, root->parent_colour ^= 1);
}

static void the_topmost_hole_keeps_its_node(void)
{
	set_up_pages(64);
	const struct vmap_area *top = list_entry(space.holes.prev, struct vmap_area, list);
	struct vmap_area *areas[4];

	/* [ 0 | 1 | hole | 2 | hole | 3 | top ], each cut out of the top */
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		areas[i] = take_pages(i + i / 2, 1);
	give(areas[1]); /* swallowed by the hole above it */
	give(areas[0]);
	give(areas[3]); /* between two holes */
	give(areas[2]);
	assert_space();
	assert_int_equal(space.nr_holes, 1);
	assert_ptr_equal(list_entry(space.holes.prev, struct vmap_area, list), top);
}

static const struct test_case cases[] = {
        TEST_CASE(the_topmost_hole_keeps_its_node),
        TEST_CASE(random_operations_agree_with_a_byte_map),
        TEST_CASE(random_operations_agree_across_the_middle_of_all_addresses),
        TEST_CASE(random_operations_agree_at_the_last_page_of_all_addresses),
        TEST_CASE(every_short_sequence_in_a_window_of_nine_pages_agrees_with_a_byte_map),
        TEST_CASE(every_pattern_of_holes_gives_the_lowest_fit_in_every_sub_range),
        TEST_CASE(a_hole_of_exactly_the_size_serves_an_aligned_request),
        TEST_CASE(a_badly_placed_hole_is_passed_over_for_a_later_one),
        TEST_CASE(the_lowest_fit_is_taken_though_a_later_hole_fits_better),
        TEST_CASE(a_sub_range_clips_the_holes_at_both_its_ends),
        TEST_CASE(a_sub_range_outside_the_window_or_of_no_size_gives_nothing),
        TEST_CASE(sizes_and_alignments_beyond_all_addresses_give_nothing),
        TEST_CASE(an_alignment_of_half_of_all_addresses_finds_the_one_that_has_it),
        TEST_CASE(an_exact_fit_uses_no_donated_node),
        TEST_CASE(a_fit_at_the_left_edge_uses_one_node_and_needs_no_second),
        TEST_CASE(a_fit_at_the_right_edge_uses_one_node),
        TEST_CASE(a_fit_inside_uses_two_nodes_and_leaves_two_holes),
        TEST_CASE(a_lead_is_before_what_is_aligned_and_a_gap_before_both),
        TEST_CASE(a_gap_that_does_not_fit_refuses),
        TEST_CASE(a_refused_request_uses_no_node_and_changes_nothing),
        TEST_CASE(freeing_between_busy_neighbours_releases_no_node),
        TEST_CASE(freeing_above_a_hole_releases_one_node),
        TEST_CASE(freeing_below_a_hole_releases_one_node),
        TEST_CASE(freeing_between_two_holes_releases_two_nodes),
        TEST_CASE(a_window_filled_with_small_areas_and_freed_at_random_is_one_hole_again),
        TEST_CASE(busy_areas_are_walked_in_the_order_of_their_addresses),
        TEST_CASE(the_verifier_sees_S1_addresses_that_nothing_or_two_ranges_cover),
        TEST_CASE(the_verifier_sees_S2_ranges_that_are_empty_or_not_whole_pages),
        TEST_CASE(the_verifier_sees_S3_holes_that_were_not_merged),
        TEST_CASE(the_verifier_sees_S4_lists_that_are_not_the_tree),
        TEST_CASE(the_verifier_sees_S5_a_node_that_does_not_know_its_largest_hole),
        TEST_CASE(the_verifier_sees_S6_counts_that_are_wrong),
        TEST_CASE(the_verifier_passes_on_what_is_wrong_with_a_tree),
};

extern const struct test_suite va_space_suite;
const struct test_suite va_space_suite = TEST_SUITE("va_space", cases);
