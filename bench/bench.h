/*
 * How the cost of a public call is measured, and told. A subject (page.c, slab.c, …) declares rows; bench.c runs those whose
 * name is wanted, in the order they are declared in, and what a row finds is one `BENCH {json}` line.
 *
 * Three shapes, the same in which Linux is measured (bench/linux/README.md defines every workload):
 *
 *	pair    one object taken and given back, n times; each call timed alone
 *	batch   n objects taken, then all given back; each call timed alone
 *	loop    timed as a whole, with everything that its calls put off until then
 *
 * A call timed alone is   ticks | call | ticks,   less what the same costs with nothing in between: the call instruction,
 * its arguments and the store of its result are in it. The functions that take and give are inlined between the two
 * readings: what is counted is what a caller would have written.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <arch/cpu.h>
#include <lib/compiler.h>
#include <lib/rng.h>

struct bench_stage;

struct bench_row {
	const char *name;
	unsigned n;    /* operations timed */
	unsigned size; /* of each, in the row's own unit: an order, pages, bytes */
	void (*run)(const struct bench_row *row);
	const struct bench_stage *stage; /* what must be there before; NULL: nothing */
};

/* A state of memory that rows which follow one another share. Untimed. */
struct bench_stage {
	size_t mib;   /* of free memory that it takes; */
	size_t count; /* the rest is its own */
	bool (*set_up)(
	        const struct bench_stage *stage); /* false, and nothing left behind: too little memory */
	void (*take_down)(const struct bench_stage *stage);
};

struct bench_subject {
	const struct bench_row *rows;
	size_t count;
};
#define BENCH_SUBJECT(subject, table) const struct bench_subject subject = {table, ARRAY_SIZE(table)}

extern const struct bench_subject page_subject, slab_subject, vmalloc_subject, arena_subject, vmap_subject,
        scenario_subject, memory_subject;

enum {
	BENCH_SAMPLES = 1 << 17, /* of one row */
	BENCH_OBJECTS = 1 << 20, /* live at a time */
};

/* Room for figures and pointers, in single blocks: measuring uses no vmalloc. */
struct bench_state {
	uint32_t empty; /* ticks of an empty sample */
	uint32_t *taking, *giving;
	uint32_t *sequence; /* in which a batch is given back */
	void **objects;
};
extern struct bench_state bench;

static ALWAYS_INLINE uint32_t bench_ticks(void)
{
	return (uint32_t)rdtsc();
}

enum bench_order { FIFO, RANDOM };

/* Fills bench.sequence with 0 .. n-1. RANDOM: Fisher-Yates from the last down, random numbers from 1. */
void bench_sequence(unsigned n, enum bench_order order);

/* Freed areas are flushed and free, and no CPU keeps pages: what a row begins with. */
void bench_settle(void);

/* Is there that much free memory? If not, the row is left out, and the log says so. */
bool bench_has_memory(const struct bench_row *row, size_t mib) MUST_USE;
void bench_left_out(const char *name, const char *why);

enum bench_statistic { MEDIAN, MEAN };

/* What the first n samples of bench.taking and bench.giving say, per `each` of a sample's operations. Sorts them. */
void bench_report_halves(const struct bench_row *row, unsigned n, unsigned each,
                         enum bench_statistic statistic);
/* The median of bench.taking alone. */
void bench_report_single(const struct bench_row *row, unsigned n);
/* Two loops, or one (given 0), of n operations each; ticks less an empty reading. */
void bench_report_loop(const struct bench_row *row, uint64_t total, unsigned n);
void bench_report_loops(const struct bench_row *row, uint64_t taking, uint64_t giving, unsigned n);
/* A quantity that is not counted in ticks. */
void bench_report_value(const struct bench_row *row, const char *unit, uint64_t hundredths);

typedef void *(*bench_take)(const struct bench_row *row);
typedef void (*bench_give)(const struct bench_row *row, void *object);

static ALWAYS_INLINE void *bench_timed_take(const struct bench_row *row, unsigned i, bench_take take)
{
	uint32_t start = bench_ticks();
	void *object = take(row);
	bench.taking[i] = bench_ticks() - start - bench.empty;
	return object;
}

static ALWAYS_INLINE void bench_timed_give(const struct bench_row *row, unsigned i, bench_give give,
                                           void *object)
{
	uint32_t start = bench_ticks();
	give(row, object);
	bench.giving[i] = bench_ticks() - start - bench.empty;
}

/* `between`: untimed, after each pair; may be NULL. */
static ALWAYS_INLINE void bench_pairs(const struct bench_row *row, bench_take take, bench_give give,
                                      void (*between)(void))
{
	for (unsigned i = 0; i < row->n; i++) {
		void *object = bench_timed_take(row, i, take);
		if (!object)
			return bench_left_out(row->name, "memory ended");
		bench_timed_give(row, i, give, object);
		if (between)
			between();
	}
	bench_report_halves(row, row->n, 1, MEDIAN);
}

/* One round of a batch: false if memory ended, with everything given back. */
static ALWAYS_INLINE bool bench_batch_round(const struct bench_row *row, bench_take take, bench_give give,
                                            enum bench_order order)
{
	unsigned taken = 0;

	while (taken < row->n && (bench.objects[taken] = bench_timed_take(row, taken, take)))
		taken++;
	bench_sequence(taken, order);
	for (unsigned i = 0; i < taken; i++)
		bench_timed_give(row, i, give, bench.objects[bench.sequence[i]]);
	return taken == row->n;
}

/* The last of `rounds` counts. */
static ALWAYS_INLINE void bench_batch(const struct bench_row *row, bench_take take, bench_give give,
                                      enum bench_order order, unsigned rounds)
{
	while (rounds--) {
		if (!bench_batch_round(row, take, give, order))
			return bench_left_out(row->name, "memory ended");
	}
	bench_report_halves(row, row->n, 1, MEAN);
}

#endif
