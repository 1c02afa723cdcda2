/* memblock against its naive model, at its capacity, and broken on purpose. */
#include <lib/panic.h>
#include <mm/memblock.h>
#include <test/test.h>
#include "interval_model.h"

static struct memblock mb;
static struct interval_model model;

static void set_up(void)
{
	memblock_init(&mb);
	interval_model_init(&model);
}

static void add(uint64_t start, uint64_t end)
{
	memblock_add(&mb, prange(start, end));
}

static void take(uint64_t start, uint64_t end)
{
	memblock_remove(&mb, prange(start, end));
}

static void reserve(uint64_t start, uint64_t end)
{
	memblock_reserve(&mb, prange(start, end));
}

/* The set is exactly the `count` ranges whose bounds `bounds` lists. */
static void expect_set(const struct memblock_ranges *set, const uint64_t *bounds, size_t count)
{
	assert_sound(memblock_check(&mb));
	assert_int_equal(set->count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(set->at[i].start.raw, bounds[2 * i]);
		assert_int_equal(set->at[i].end.raw, bounds[2 * i + 1]);
	}
}
#define expect_ranges(set, ...) \
	expect_set(set, (const uint64_t[]){__VA_ARGS__}, ARRAY_SIZE(((const uint64_t[]){__VA_ARGS__})) / 2)

static void nothing_is_ram_until_it_is_added(void)
{
	paddr_t cursor = paddr(0), start;
	struct prange hole;

	assert_sound(memblock_check(&mb));
	assert_false(memblock_next_free(&mb, &cursor, &hole));
	assert_false(memblock_alloc(&mb, PAGE_SIZE, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_RESERVED, &start));
	assert_int_equal(memblock_ram_bytes(&mb), 0);
}

static void ram_is_rounded_inward(void)
{
	add(0x1001, 0x3fff);
	expect_ranges(&mb.ram, 0x2000, 0x3000);
	add(0x5001, 0x5fff); /* holds no page */
	add(0x7fff, 0x8001);
	add(UINT64_MAX - 1, UINT64_MAX);
	expect_ranges(&mb.ram, 0x2000, 0x3000);
}

static void what_takes_away_is_rounded_outward(void)
{
	add(0x0, 0x10000);
	take(0x3fff, 0x4001);
	expect_ranges(&mb.ram, 0x0, 0x3000, 0x5000, 0x10000);
	reserve(0x8fff, 0x9001);
	expect_ranges(&mb.reserved, 0x8000, 0xa000);
	take(0x7001, 0x7001); /* empty: not even its page */
	reserve(0x7001, 0x7001);
	expect_ranges(&mb.ram, 0x0, 0x3000, 0x5000, 0x10000);
	expect_ranges(&mb.reserved, 0x8000, 0xa000);
}

static void overlapping_and_touching_ranges_become_one(void)
{
	add(0x5000, 0x6000);
	add(0x1000, 0x2000);
	add(0x3000, 0x4000);
	expect_ranges(&mb.ram, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000);
	add(0x2000, 0x3000);
	expect_ranges(&mb.ram, 0x1000, 0x4000, 0x5000, 0x6000);
	add(0x0, 0x8000);
	expect_ranges(&mb.ram, 0x0, 0x8000);
	add(0x2000, 0x3000);
	expect_ranges(&mb.ram, 0x0, 0x8000);
}

static void removing_trims_splits_and_swallows(void)
{
	add(0x1000, 0x4000);
	add(0x6000, 0x9000);
	add(0xb000, 0xe000);
	take(0x2000, 0x3000);
	expect_ranges(&mb.ram, 0x1000, 0x2000, 0x3000, 0x4000, 0x6000, 0x9000, 0xb000, 0xe000);
	take(0x3000, 0xc000);
	expect_ranges(&mb.ram, 0x1000, 0x2000, 0xc000, 0xe000);
	take(0x0, 0x1000);
	take(0x2000, 0xc000);
	expect_ranges(&mb.ram, 0x1000, 0x2000, 0xc000, 0xe000);
	take(0x0, UINT64_MAX);
	assert_int_equal(mb.ram.count, 0);
	assert_int_equal(mb.lost, 0);
}

static void a_range_that_wraps_is_no_ram_and_takes_all_above_it(void)
{
	add(0x3000, 0x1000);
	assert_int_equal(mb.ram.count, 0);
	add(0x0, 0x10000);
	take(0x8000, 0x1000);
	expect_ranges(&mb.ram, 0x0, 0x8000);
	reserve(0x7000, 0x6000);
	expect_ranges(&mb.reserved, 0x7000, MEMBLOCK_LIMIT);
}

static void ram_above_the_limit_is_lost_and_counted(void)
{
	add(MEMBLOCK_LIMIT - 0x2000, MEMBLOCK_LIMIT + 0x3000);
	expect_ranges(&mb.ram, MEMBLOCK_LIMIT - 0x2000, MEMBLOCK_LIMIT);
	assert_int_equal(mb.lost, 0x3000);
	add(MEMBLOCK_LIMIT + 0x10000, MEMBLOCK_LIMIT + 0x11000);
	assert_int_equal(mb.lost, 0x4000);
	take(MEMBLOCK_LIMIT + 1, UINT64_MAX);
	reserve(UINT64_MAX - 1, UINT64_MAX);
	expect_ranges(&mb.ram, MEMBLOCK_LIMIT - 0x2000, MEMBLOCK_LIMIT);
	assert_int_equal(mb.reserved.count, 0);
}

static void allocation_takes_the_highest_fit_below_the_limit(void)
{
	paddr_t start;

	add(0x10000, 0x20000);
	add(0x40000, 0x48000);
	assert_true(memblock_alloc(&mb, 1, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
	assert_int_equal(start.raw, 0x47000);
	assert_true(memblock_alloc(&mb, 0x2000, 0x4000, paddr(UINT64_MAX), MEMBLOCK_FRAMES, &start));
	assert_int_equal(start.raw, 0x44000);
	assert_true(memblock_alloc(&mb, PAGE_SIZE, PAGE_SIZE, paddr(0x15fff), MEMBLOCK_FRAMES, &start));
	assert_int_equal(start.raw, 0x14000);
	assert_true(memblock_alloc(&mb, 0x8000, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_RESERVED, &start));
	assert_int_equal(start.raw, 0x18000);
	assert_false(memblock_alloc(&mb, 0x8000, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_RESERVED, &start));
	assert_int_equal(mb.allocated[MEMBLOCK_TABLES], 0x1000);
	assert_int_equal(mb.allocated[MEMBLOCK_FRAMES], 0x3000);
	assert_int_equal(mb.allocated[MEMBLOCK_RESERVED], 0x8000);
	assert_int_equal(memblock_reserved_bytes(&mb), 0xc000);
	assert_sound(memblock_check(&mb));
}

static void impossible_sizes_are_refused_without_a_trace(void)
{
	paddr_t start = paddr(42);

	add(0x0, 0x10000);
	assert_false(memblock_alloc(&mb, 0, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
	assert_false(memblock_alloc(&mb, UINT64_MAX, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
	assert_false(memblock_alloc(&mb, 0x11000, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
	assert_false(memblock_alloc(&mb, PAGE_SIZE, PAGE_SIZE, paddr(0xfff), MEMBLOCK_TABLES, &start));
	assert_int_equal(start.raw, 42);
	assert_int_equal(mb.reserved.count + mb.allocated[MEMBLOCK_TABLES], 0);
	expect_panic(
	        "memblock_alloc: alignment 0x800 is not a power of two of at least a page",
	        (void)!memblock_alloc(&mb, PAGE_SIZE, 0x800, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
	expect_panic(
	        "memblock_alloc: alignment 0x3000 is not a power of two of at least a page",
	        (void)!memblock_alloc(&mb, PAGE_SIZE, 0x3000, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
}

static void a_retired_memblock_may_be_read_but_not_changed(void)
{
	paddr_t start;

	add(0x0, 0x10000);
	memblock_retire(&mb);
	expect_panic("memblock_add: memblock is retired", add(0x0, 0x1000));
	expect_panic("memblock_remove: memblock is retired", take(0x0, 0x1000));
	expect_panic("memblock_reserve: memblock is retired", reserve(0x0, 0x1000));
	expect_panic("memblock_alloc: memblock is retired",
	             (void)!memblock_alloc(&mb, 1, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
	expect_panic("memblock_retire: memblock is retired", memblock_retire(&mb));
	assert_int_equal(memblock_ram_bytes(&mb), 0x10000);
	assert_int_equal(memblock_reserved_bytes(&mb), 0);
}

/* ---- capacity ---- */

enum { STRIDE = 0x10000, PIECE = 0x5000 };

/* Every place taken: piece i is [i * STRIDE, i * STRIDE + PIECE). Last first: the worst order. */
static void fill(void (*note)(uint64_t start, uint64_t end))
{
	for (uint64_t i = MEMBLOCK_RANGES_MAX; i-- > 0;)
		note(i * STRIDE, i * STRIDE + PIECE);
	assert_sound(memblock_check(&mb));
}

static void ram_that_finds_no_room_is_lost_and_counted(void)
{
	const uint64_t beyond = (uint64_t)MEMBLOCK_RANGES_MAX * STRIDE;

	fill(add);
	assert_int_equal(mb.ram.count, MEMBLOCK_RANGES_MAX);
	assert_int_equal(mb.lost, 0);
	add(beyond, beyond + 0x3000);
	assert_int_equal(mb.lost, 0x3000);
	assert_int_equal(memblock_ram_bytes(&mb), (uint64_t)MEMBLOCK_RANGES_MAX * PIECE);
	add(PIECE, PIECE + 0x1000); /* grows a range: needs no room */
	assert_int_equal(memblock_ram_bytes(&mb), (uint64_t)MEMBLOCK_RANGES_MAX * PIECE + 0x1000);
	assert_int_equal(mb.lost, 0x3000);
	assert_sound(memblock_check(&mb));
}

static void a_split_without_room_gives_up_the_smaller_part(void)
{
	fill(add);
	take(0x1000, 0x2000); /* leaves 0x1000 on the left, 0x3000 on the right */
	assert_int_equal(mb.ram.at[0].start.raw, 0x2000);
	assert_int_equal(mb.ram.at[0].end.raw, 0x5000);
	assert_int_equal(mb.lost, 0x1000);
	take(STRIDE + 0x3000, STRIDE + 0x4000); /* the other way round */
	assert_int_equal(mb.ram.at[1].start.raw, STRIDE);
	assert_int_equal(mb.ram.at[1].end.raw, STRIDE + 0x3000);
	assert_int_equal(mb.lost, 0x2000);
	assert_int_equal(mb.ram.count, MEMBLOCK_RANGES_MAX);
	assert_sound(memblock_check(&mb));
}

static void what_cannot_be_noted_as_reserved_stops_being_ram(void)
{
	const uint64_t high = (uint64_t)MEMBLOCK_RANGES_MAX * STRIDE;
	paddr_t start;

	add(high, high + 0x8000);
	fill(reserve);
	reserve(high + 0x2000, high + 0x3001);
	expect_ranges(&mb.ram, high, high + 0x2000, high + 0x4000, high + 0x8000);
	assert_int_equal(mb.lost, 0x2000);
	/* An allocation that would need one more range fails; one that grows a range does not. */
	assert_false(memblock_alloc(&mb, PAGE_SIZE, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_TABLES, &start));
	add(PIECE, PIECE + 0x1000);
	assert_true(memblock_alloc(&mb, PAGE_SIZE, PAGE_SIZE, paddr(high), MEMBLOCK_TABLES, &start));
	assert_int_equal(start.raw, PIECE);
	assert_sound(memblock_check(&mb));
}

/* ---- against the model ---- */

enum { WINDOW_PAGES = 160, WINDOW = WINDOW_PAGES * 4096, CLAIMS_PER_ROUND = 48 };

/* A range in or around the window, half of its bounds on pages or a byte beside them. */
static void random_range(struct rng *rng, uint64_t base, uint64_t *start, uint64_t *length)
{
	*start = base + rng_below(rng, WINDOW);
	*length = rng_below(rng, rng_below(rng, 4) ? 8 * PAGE_SIZE : WINDOW);
	if (rng_below(rng, 2))
		*start = align_down(*start, PAGE_SIZE) + rng_below(rng, 3) - (*start >= PAGE_SIZE);
	if (rng_below(rng, 2))
		*length = align_down(*length, PAGE_SIZE) + rng_below(rng, 3);
}

static void random_change(struct rng *rng, uint64_t base)
{
	uint64_t start, length;

	random_range(rng, base, &start, &length);
	switch (rng_below(rng, 4)) {
	case 0:
	case 1:
		add(start, start + length);
		interval_model_claim(&model, INTERVAL_RAM, start, length);
		break;
	case 2:
		take(start, start + length);
		interval_model_claim(&model, INTERVAL_TAKEN, start, length);
		break;
	default:
		reserve(start, start + length);
		interval_model_claim(&model, INTERVAL_USED, start, length);
		break;
	}
}

static void random_allocation(struct rng *rng, uint64_t base)
{
	uint64_t pages = 1 + rng_below(rng, 6), align = PAGE_SIZE << rng_below(rng, 4);
	uint64_t limit = rng_below(rng, 2) ? UINT64_MAX : base + rng_below(rng, 2 * WINDOW);
	uint64_t expected, high = min_u64(align_down(limit, PAGE_SIZE), base + 2 * WINDOW);
	paddr_t start;
	bool possible =
	        interval_model_find(&model, base - min_u64(base, WINDOW), high, pages, align, &expected);
	bool done = memblock_alloc(&mb, pages * PAGE_SIZE - rng_below(rng, PAGE_SIZE), align, paddr(limit),
	                           MEMBLOCK_FRAMES, &start);

	assert_int_equal(done, possible);
	if (!done)
		return;
	assert_int_equal(start.raw, expected);
	interval_model_claim(&model, INTERVAL_USED, start.raw, pages * PAGE_SIZE);
}

static void random_walk(uint64_t base, uint64_t steps)
{
	struct rng rng;

	rng_seed(&rng, test_seed() ^ base);
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		if (step % CLAIMS_PER_ROUND == 0)
			set_up();
		if (rng_below(&rng, 4))
			random_change(&rng, base);
		else
			random_allocation(&rng, base);
		assert_sound(memblock_check(&mb));
		assert_sound(interval_model_compare(&model, &mb, base >= PAGE_SIZE ? base - PAGE_SIZE : 0,
		                                    base + 2 * WINDOW));
	}
}

static void any_sequence_agrees_with_the_model_at_address_zero(void)
{
	random_walk(0, test_is_hosted() ? 6000 : 400);
}

static void any_sequence_agrees_with_the_model_around_4_gib(void)
{
	random_walk((4UL << 30) - WINDOW / 2, test_is_hosted() ? 6000 : 400);
}

static void any_sequence_agrees_with_the_model_at_the_limit(void)
{
	random_walk(MEMBLOCK_LIMIT - WINDOW / 2, test_is_hosted() ? 6000 : 400);
}

/* Reserved and free RAM are the whole: counted page by page. */
static void free_and_reserved_bytes_add_up_to_ram(void)
{
	struct rng rng;
	uint64_t ram = 0, reserved = 0;

	rng_seed(&rng, test_seed());
	for (int i = 0; i < CLAIMS_PER_ROUND; i++)
		random_change(&rng, 0);
	for (uint64_t page = 0; page < 2 * WINDOW; page += PAGE_SIZE) {
		struct interval_page state = interval_model_page(&model, page);
		ram += state.ram ? PAGE_SIZE : 0;
		reserved += state.ram && state.used ? PAGE_SIZE : 0;
	}
	assert_int_equal(memblock_ram_bytes(&mb), ram);
	assert_int_equal(memblock_reserved_bytes(&mb), reserved);
}

/* ---- the verifier, and the dump ---- */

static void the_verifier_names_each_broken_invariant(void)
{
	add(0x1000, 0x3000);
	add(0x5000, 0x7000);
	struct prange saved = mb.ram.at[1];

	mb.ram.at[1].end = paddr(0x7001);
	assert_matches(memblock_check(&mb), "I1: memblock ram[1] [0x5000, 0x7001) is not whole pages");
	mb.ram.at[1] = prange(0x5000, 0x5000);
	assert_matches(memblock_check(&mb), "I2: memblock ram[1] [0x5000, 0x5000) is empty");
	mb.ram.at[1] = prange(0x3000, 0x5000);
	assert_matches(memblock_check(&mb),
	               "I3: memblock ram[1] starts at 0x3000, not after the end of its predecessor, 0x3000");
	mb.ram.at[1] = prange(0x5000, MEMBLOCK_LIMIT + PAGE_SIZE);
	assert_matches(memblock_check(&mb), "I4: memblock ram[1] ends at 0x*000, above the limit");
	mb.ram.at[1] = saved;
	mb.reserved.count = MEMBLOCK_RANGES_MAX + 1;
	assert_string_equal(memblock_check(&mb), "I5: memblock reserved: 4161 ranges, room for 4160");
	mb.reserved.count = 0;
	mb.allocated[MEMBLOCK_TABLES] = 0x1000;
	assert_string_equal(memblock_check(&mb),
	                    "I6: memblock handed out 0x1000 bytes, but only 0x0 are reserved");
	mb.allocated[MEMBLOCK_TABLES] = 0;
	assert_sound(memblock_check(&mb));
}

static void the_dump_tells_ram_and_what_is_reserved(void)
{
	static char text[512];
	struct buffer_printer buffer;

	add(0x100000, 0x200000);
	reserve(0x100000, 0x101000);
	buffer_printer_init(&buffer, text, sizeof(text));
	memblock_dump(&mb, &buffer.printer);
	assert_string_equal(text, "memblock: 1024 KiB of RAM, 4 KiB of it reserved, 0 KiB lost\n"
	                          "  ram      [0x000000100000, 0x000000200000)         1024 KiB\n"
	                          "  reserved [0x000000100000, 0x000000101000)            4 KiB\n");
}

static const struct test_case cases[] = {
        TEST_CASE(nothing_is_ram_until_it_is_added),
        TEST_CASE(ram_is_rounded_inward),
        TEST_CASE(what_takes_away_is_rounded_outward),
        TEST_CASE(overlapping_and_touching_ranges_become_one),
        TEST_CASE(removing_trims_splits_and_swallows),
        TEST_CASE(a_range_that_wraps_is_no_ram_and_takes_all_above_it),
        TEST_CASE(ram_above_the_limit_is_lost_and_counted),
        TEST_CASE(allocation_takes_the_highest_fit_below_the_limit),
        TEST_CASE(impossible_sizes_are_refused_without_a_trace),
        TEST_CASE(a_retired_memblock_may_be_read_but_not_changed),
        TEST_CASE(ram_that_finds_no_room_is_lost_and_counted),
        TEST_CASE(a_split_without_room_gives_up_the_smaller_part),
        TEST_CASE(what_cannot_be_noted_as_reserved_stops_being_ram),
        TEST_CASE(any_sequence_agrees_with_the_model_at_address_zero),
        TEST_CASE(any_sequence_agrees_with_the_model_around_4_gib),
        TEST_CASE(any_sequence_agrees_with_the_model_at_the_limit),
        TEST_CASE(free_and_reserved_bytes_add_up_to_ram),
        TEST_CASE(the_verifier_names_each_broken_invariant),
        TEST_CASE(the_dump_tells_ram_and_what_is_reserved),
};

extern const struct test_suite memblock_suite;
const struct test_suite memblock_suite = TEST_SUITE("memblock", cases, .set_up = set_up);
