/*
 * The workloads of Linux's vmalloc test, as <test/vmalloc_workload.h> says once for these rows and for the suite that checks
 * every address. One round counts as one operation; the last flush is paid. A row's size is a shift, of align_shift.
 */
#include "bench.h"
#include <lib/string.h>
#include <mm/vmalloc.h>
#include <test/vmalloc_workload.h>

static ALWAYS_INLINE void *serve(struct vmalloc_request want, bool written)
{
	char *area = workload_vmalloc(want);

	if (written && area)
		*area = 1;
	return area;
}

static ALWAYS_INLINE void take_back(void *area)
{
	vfree(area);
}

static const struct workload_server server = {serve, take_back};

/* ---- What stays: a stage ---- */

struct staying {
	struct bench_stage stage;
	const struct vmalloc_workload *workload;
};

/* The areas that stay are bench.objects[0 .. staying). */
static void take_down(const struct bench_stage *stage)
{
	for (size_t i = 0; i < stage->count; i++)
		vfree(bench.objects[i]);
	vm_unmap_aliases();
}

static bool set_up(const struct bench_stage *stage)
{
	const struct vmalloc_workload *workload = container_of(stage, const struct staying, stage)->workload;

	if (workload_settle(workload, stage->count, bench.objects, &server))
		return true;
	take_down(stage);
	return false;
}

/* ---- Rounds ---- */

static ALWAYS_INLINE void rounds(const struct bench_row *row, const struct vmalloc_workload *workload)
{
	uint32_t random = 1;
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < row->n; i++)
		workload_round(workload, &random, &server);
	vm_unmap_aliases();
	bench_report_loop(row, rdtsc() - start - bench.empty, row->n);
}

/* One function for each, so that each is the code that a caller would have written. */
#define WORKLOAD(what, areas)                              \
	static void what(const struct bench_row *row)      \
	{                                                  \
		rounds(row, &what##_workload);             \
	}                                                  \
	static const struct staying what##_staying = {     \
	        .stage = {.mib = (areas)*2 * 4200UL >> 20, \
	                  .count = areas,                  \
	                  .set_up = set_up,                \
	                  .take_down = take_down},         \
	        .workload = &what##_workload,              \
	}
WORKLOAD(fix_size, 0);
WORKLOAD(full_fit, 8192);
WORKLOAD(long_busy_list, 15000);
WORKLOAD(random_size, 0);
WORKLOAD(fix_align, 0);
WORKLOAD(fix_align_dirty, 0);
WORKLOAD(random_size_align, 0);
WORKLOAD(random_size_align_dirty, 0);

/* One page at a multiple of 1 << size: where there is no such place, what the refusal costs. The second counts. */
static void align_shift(const struct bench_row *row)
{
	for (unsigned i = 0; i < 2; i++) {
		vm_unmap_aliases();
		uint32_t start = bench_ticks();
		void *area = workload_vmalloc(align_shift_request(row->size));
		bench.taking[0] = bench_ticks() - start - bench.empty;
		vfree(area);
	}
	bench_report_single(row, 1);
}

#define ROW(text, times, what)                                                                   \
	{                                                                                        \
		.name = "vmalloc." text, .n = times, .run = what, .stage = &what##_staying.stage \
	}
#define SHIFT(shift)                                                                             \
	{                                                                                        \
		.name = "vmalloc.align_shift." #shift, .n = 1, .size = shift, .run = align_shift \
	}
#define SHIFTS(tens)                                                                                    \
	SHIFT(tens##0), SHIFT(tens##1), SHIFT(tens##2), SHIFT(tens##3), SHIFT(tens##4), SHIFT(tens##5), \
	        SHIFT(tens##6), SHIFT(tens##7), SHIFT(tens##8), SHIFT(tens##9)

static const struct bench_row rows[] = {
        ROW("fix_size", 100000, fix_size),
        ROW("full_fit", 20000, full_fit),
        ROW("long_busy_list", 10000, long_busy_list),
        ROW("random_size", 20000, random_size),
        ROW("fix_align", 20000, fix_align),
        ROW("fix_align.dirty", 20000, fix_align_dirty),
        ROW("random_size_align", 20000, random_size_align),
        ROW("random_size_align.dirty", 20000, random_size_align_dirty),
        SHIFT(0),
        SHIFT(1),
        SHIFT(2),
        SHIFT(3),
        SHIFT(4),
        SHIFT(5),
        SHIFT(6),
        SHIFT(7),
        SHIFT(8),
        SHIFT(9),
        SHIFTS(1),
        SHIFTS(2),
        SHIFTS(3),
        SHIFTS(4),
        SHIFTS(5),
        SHIFT(60),
        SHIFT(61),
        SHIFT(62),
        SHIFT(63),
};

BENCH_SUBJECT(scenario_subject, rows);
