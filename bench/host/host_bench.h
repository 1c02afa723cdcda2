/*
 * The hosted comparison: nanoseconds on the processor that is there, of Octavo's allocators and of others of their kind.
 *
 *	heap.c      kmalloc() beside the process's malloc(), whichever is preloaded
 *	frames.c    struct buddy beside a list of single frames and a bitmap
 *	ranges.c    struct va_space beside a list and a tree without augmentation
 *
 * Each contender runs in a process of its own, and all of a family are called through the same pointers. A row is repeated
 * in turns of a fixed number of operations until enough time has passed; the first turn is not timed. Whatever is random
 * comes from fixed seeds, so every contender is asked the same. tools/bench_host.py asks one after the other.
 */
#ifndef HOST_BENCH_H
#define HOST_BENCH_H

#include <lib/compiler.h>
#include <lib/rng.h>

enum order { LIFO, FIFO, RANDOM };

struct measured {
	uint64_t ns, operations;
	uint64_t
	        answers; /* a sum of what was answered in the first turn, where contenders must agree; else 0 */
};

struct host_row {
	const char *name;
	struct measured (*run)(const struct host_row *row, uint64_t least_ns);
	unsigned live; /* objects, blocks or areas held meanwhile */
	enum order order;
	bool mixed; /* sizes, or orders: several of them; else one */
};

struct contender {
	const char *name;
	const struct host_row *rows;
	size_t nr_rows;
	void (*set_up)(void);
	const char *(*describe)(void); /* whose code runs; NULL: Octavo's or this folder's */
};

#define CONTENDER(name, rows, ...)                        \
	{                                                 \
		name, rows, ARRAY_SIZE(rows), __VA_ARGS__ \
	}

extern const struct contender heap_contenders[3], frame_contenders[3], range_contenders[3];

/* Nanoseconds of this thread's own processor time, and of the wall clock. */
uint64_t own_ns(void);
uint64_t wall_ns(void);

/*
 * Repeats turns of `operations` each. By the thread's own time: who else uses the machine shows as little as it can. The
 * clock that is cheap to read says when to look at the other.
 */
static ALWAYS_INLINE struct measured repeat(uint64_t least_ns, unsigned operations, uint64_t (*turn)(void *),
                                            void *context)
{
	struct measured measured = {.answers = turn(context)};
	uint64_t wall = wall_ns(), own = own_ns();

	do {
		turn(context);
		measured.operations += operations;
	} while (wall_ns() - wall < least_ns || own_ns() - own < least_ns);
	measured.ns = own_ns() - own;
	return measured;
}

/* In which 0 .. n - 1 are given back; random: Fisher-Yates. */
void fill_sequence(uint32_t *sequence, unsigned n, enum order order);

/* [0, bound), without a division. */
static ALWAYS_INLINE uint32_t pick(uint32_t *random, uint32_t bound)
{
	return (uint32_t)((uint64_t)xorshift32(random) * bound >> 32);
}

/* What a row that replaces one of `live` things at random goes by. */
struct churn {
	unsigned live;
	uint32_t random;
};

#endif
