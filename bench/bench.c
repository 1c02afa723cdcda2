/*
 * Costs of the public calls in guest instructions. Under `-icount shift=0` QEMU advances the time stamp counter by one per
 * instruction, so the figures repeat to the digit; "bench.calibration" shows it on a loop of known length. On hardware
 * they are cycles and vary.
 *
 * Nothing here calls anything that an ordinary caller could not, and no part of the kernel knows that it is measured.
 */
#include "bench.h"
#include <kernel/bench.h>
#include <kernel/console.h>
#include <lib/bits.h>
#include <lib/string.h>
#include <mm/page_alloc.h>
#include <mm/vmalloc.h>

struct bench_state bench;

static const struct bench_subject *const subjects[] = {
        &page_subject, &slab_subject,     &vmalloc_subject, &arena_subject,
        &vmap_subject, &scenario_subject, &memory_subject,
};

/* ---- Calibration ---- */

/* Two instructions a round: what the calibration row must show. */
static void calibration(unsigned n)
{
	__asm__ volatile("1: decl %0; jnz 1b" : "+r"(n));
}

static uint64_t measure(void (*run)(unsigned n), unsigned n)
{
	uint64_t start = rdtsc();
	run(n);
	return rdtsc() - start;
}

static void empty(unsigned n)
{
	(void)n;
}

const char *bench_unit(void)
{
	enum { ROUNDS = 10000, SLACK = 64 /* reading the counter, the call */ };
	uint64_t counted = measure(calibration, ROUNDS);
	return counted >= 2 * ROUNDS && counted < 2 * ROUNDS + SLACK ? "insns" : "cycles";
}

static void calibration_run(const struct bench_row *row)
{
	uint64_t overhead = measure(empty, 0);
	bench_report_loop(row, measure(calibration, row->n) - overhead, row->n);
}

static const struct bench_row calibration_row = {
        .name = "bench.calibration", .n = 1000000, .run = calibration_run};

static uint32_t empty_sample(void)
{
	uint32_t least = UINT32_MAX;

	for (unsigned i = 0; i < 1000; i++) {
		uint32_t start = bench_ticks();
		least = (uint32_t)min_u64(least, bench_ticks() - start);
	}
	return least;
}

/* ---- What rows need ---- */

static void *block_take(size_t bytes)
{
	return (void *)__get_free_pages(GFP_KERNEL | __GFP_NOWARN, log2_ceil(bytes >> PAGE_SHIFT));
}

static void block_give(void *block, size_t bytes)
{
	free_pages((unsigned long)block, log2_ceil(bytes >> PAGE_SHIFT));
}

static bool state_create(void)
{
	bench.empty = empty_sample();
	bench.taking = block_take(BENCH_SAMPLES * sizeof(*bench.taking));
	bench.giving = block_take(BENCH_SAMPLES * sizeof(*bench.giving));
	bench.sequence = block_take(BENCH_SAMPLES * sizeof(*bench.sequence));
	bench.objects = block_take(BENCH_OBJECTS * sizeof(*bench.objects));
	return bench.taking && bench.giving && bench.sequence && bench.objects;
}

static void state_destroy(void)
{
	block_give(bench.taking, BENCH_SAMPLES * sizeof(*bench.taking));
	block_give(bench.giving, BENCH_SAMPLES * sizeof(*bench.giving));
	block_give(bench.sequence, BENCH_SAMPLES * sizeof(*bench.sequence));
	block_give(bench.objects, BENCH_OBJECTS * sizeof(*bench.objects));
}

void bench_sequence(unsigned n, enum bench_order order)
{
	uint32_t random = 1;

	for (unsigned i = 0; i < n; i++)
		bench.sequence[i] = i;
	for (unsigned i = n; order == RANDOM && i-- > 1;) {
		unsigned j = xorshift32(&random) % (i + 1);
		uint32_t moved = bench.sequence[i];
		bench.sequence[i] = bench.sequence[j];
		bench.sequence[j] = moved;
	}
}

void bench_settle(void)
{
	vm_unmap_aliases();
	drain_all_pages();
}

void bench_left_out(const char *name, const char *why)
{
	kprintf("bench: %s is left out: %s\n", name, why);
}

bool bench_has_memory(const struct bench_row *row, size_t mib)
{
	if (nr_free_pages() >> (20 - PAGE_SHIFT) >= mib)
		return true;
	kprintf("bench: %s is left out: it takes %zu MiB of free memory\n", row->name, mib);
	return false;
}

/* ---- What rows tell ---- */

/* Shell sort with Knuth's gaps: short, in place, no worst case to fear at these lengths. */
static void sort(uint32_t *samples, unsigned n)
{
	unsigned gap = 1;

	while (gap < n / 3)
		gap = 3 * gap + 1;
	for (; gap; gap /= 3) {
		for (unsigned i = gap; i < n; i++) {
			uint32_t moved = samples[i];
			unsigned j = i;
			for (; j >= gap && samples[j - gap] > moved; j -= gap)
				samples[j] = samples[j - gap];
			samples[j] = moved;
		}
	}
}

static uint64_t hundredths(uint32_t *samples, unsigned n, enum bench_statistic statistic)
{
	uint64_t sum = 0;

	if (statistic == MEDIAN) {
		sort(samples, n);
		return samples[n / 2] * 100UL;
	}
	for (unsigned i = 0; i < n; i++)
		sum += samples[i];
	return n ? sum * 100 / n : 0;
}

static void print_figure(const char *unit, uint64_t hundredths)
{
	kprintf(",\"%s\":%lu.%02lu", unit, hundredths / 100, hundredths % 100);
}

static void print_begin(const struct bench_row *row)
{
	kprintf("BENCH {\"name\":\"%s\"", row->name);
}

static void print_end(unsigned n)
{
	kprintf(",\"n\":%u}\n", n);
}

static void print_halves(const struct bench_row *row, uint64_t taking, uint64_t giving, unsigned n)
{
	print_begin(row);
	print_figure(bench_unit(), taking + giving);
	print_figure("alloc", taking);
	print_figure("free", giving);
	print_end(n);
}

void bench_report_halves(const struct bench_row *row, unsigned n, unsigned each,
                         enum bench_statistic statistic)
{
	uint64_t taking = hundredths(bench.taking, n, statistic) / each;
	print_halves(row, taking, hundredths(bench.giving, n, statistic) / each, n * each);
}

void bench_report_single(const struct bench_row *row, unsigned n)
{
	print_begin(row);
	print_figure(bench_unit(), hundredths(bench.taking, n, MEDIAN));
	print_end(n);
}

void bench_report_loop(const struct bench_row *row, uint64_t total, unsigned n)
{
	print_begin(row);
	print_figure(bench_unit(), total * 100 / n);
	print_end(n);
}

void bench_report_loops(const struct bench_row *row, uint64_t taking, uint64_t giving, unsigned n)
{
	print_halves(row, taking * 100 / n, giving * 100 / n, n);
}

void bench_report_value(const struct bench_row *row, const char *unit, uint64_t hundredths)
{
	print_begin(row);
	print_figure(unit, hundredths);
	print_end(row->n);
}

/* ---- Running them ---- */

/* The stage that is set up; NULL: none. */
static const struct bench_stage *on_stage;

static void stage_leave(void)
{
	if (on_stage)
		on_stage->take_down(on_stage);
	on_stage = NULL;
}

static bool stage_enter(const struct bench_row *row)
{
	if (row->stage == on_stage)
		return true;
	stage_leave();
	bench_settle();
	if (!bench_has_memory(row, row->stage ? row->stage->mib : 0))
		return false;
	if (row->stage && !row->stage->set_up(row->stage)) {
		bench_left_out(row->name, "memory ended");
		return false;
	}
	on_stage = row->stage;
	return true;
}

static void run_subject(const struct bench_subject *subject, const char *glob)
{
	for (size_t i = 0; i < subject->count; i++) {
		const struct bench_row *row = &subject->rows[i];
		if (!glob_match(glob, row->name) || !stage_enter(row))
			continue;
		bench_settle();
		row->run(row);
	}
	stage_leave();
}

void bench_run(const char *glob)
{
	if (glob_match(glob, calibration_row.name))
		calibration_run(&calibration_row);
	if (state_create()) {
		for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
			run_subject(subjects[i], glob);
	} else {
		kprintf("bench: too little memory to note figures in\n");
	}
	state_destroy();
}
