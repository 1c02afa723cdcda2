/*
 * The vmalloc window while many areas of one page live in it, and when every second of them has gone: holes of a page, each
 * with its guard page. A row's size is in pages.
 */
#include "areas.h"

enum { KEPT_MAX = 1000 };

/* The areas that live are bench.objects[0 .. stage->count). */
static void areas_free(size_t first, size_t end, size_t step)
{
	for (size_t i = first; i < end; i += step) {
		vfree(bench.objects[i]);
		bench.objects[i] = NULL;
	}
	vm_unmap_aliases();
}

static bool live_set_up(const struct bench_stage *stage)
{
	for (size_t i = 0; i < stage->count; i++) {
		bench.objects[i] = vmalloc(PAGE_SIZE);
		if (!bench.objects[i]) {
			areas_free(0, i, 1);
			return false;
		}
	}
	return true;
}

static bool holes_set_up(const struct bench_stage *stage)
{
	if (!live_set_up(stage))
		return false;
	areas_free(0, stage->count, 2);
	return true;
}

static void take_down(const struct bench_stage *stage)
{
	areas_free(0, stage->count, 1);
}

/* A page, its share of the page tables, its descriptor. */
#define AREAS_MIB(areas) ((areas)*4200UL >> 20)

static const struct bench_stage live_0 = {.set_up = live_set_up, .take_down = take_down};
static const struct bench_stage live_1000 = {
        .mib = AREAS_MIB(1000), .count = 1000, .set_up = live_set_up, .take_down = take_down};
static const struct bench_stage live_10000 = {
        .mib = AREAS_MIB(10000), .count = 10000, .set_up = live_set_up, .take_down = take_down};
static const struct bench_stage live_100000 = {
        .mib = AREAS_MIB(100000), .count = 100000, .set_up = live_set_up, .take_down = take_down};
static const struct bench_stage live_1000000 = {
        .mib = AREAS_MIB(1000000), .count = 1000000, .set_up = live_set_up, .take_down = take_down};
static const struct bench_stage holes_50000 = {
        .mib = AREAS_MIB(100000), .count = 100000, .set_up = holes_set_up, .take_down = take_down};
_Static_assert(BENCH_OBJECTS >= 1000000, "as many areas as rows keep");

/* Kept until all are there. */
static void kept(const struct bench_row *row)
{
	static void *areas[KEPT_MAX];

	for (unsigned i = 0; i < row->n; i++)
		areas[i] = bench_timed_take(row, i, area_take);
	for (unsigned i = 0; i < row->n; i++)
		bench_timed_give(row, i, area_give, areas[i]);
	bench_report_halves(row, row->n, 1, MEDIAN);
}

static void find(const struct bench_row *row)
{
	uint32_t random = 1;

	for (unsigned i = 0; i < row->n; i++) {
		const void *address = bench.objects[xorshift32(&random) % row->stage->count];
		uint32_t start = bench_ticks();
		const struct vmap_area *area = find_vm_area(address);
		bench.taking[i] = bench_ticks() - start - bench.empty;
		if (!area)
			return bench_left_out(row->name, "an area was not found");
	}
	bench_report_single(row, row->n);
}

#define PAIR(areas)                                                                                 \
	{                                                                                           \
		.name = "arena.live" #areas ".pair", .n = 500, .size = 1, .run = area_pairs_purged, \
		.stage = &live_##areas                                                              \
	}
#define FIND(areas)                                                                                 \
	{                                                                                           \
		.name = "arena.live" #areas ".find", .n = 1000, .run = find, .stage = &live_##areas \
	}

static const struct bench_row rows[] = {
        PAIR(0),
        PAIR(1000),
        FIND(1000),
        PAIR(10000),
        FIND(10000),
        PAIR(100000),
        FIND(100000),
        PAIR(1000000),
        FIND(1000000),
        {.name = "arena.holes50000.kept1", .n = 500, .size = 1, .run = kept, .stage = &holes_50000},
        {.name = "arena.holes50000.kept2", .n = 1000, .size = 2, .run = kept, .stage = &holes_50000},
};

BENCH_SUBJECT(arena_subject, rows);
