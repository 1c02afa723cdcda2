/*
 * Objects of any size: kmalloc() and kfree() on the hosted machine, beside malloc() and free() of whichever library the
 * process was started with. Each object's first word is written, as whoever allocates one would.
 *
 *	pair     an object taken and given back, again and again
 *	batch    1,024 objects taken, then given back: last first, first first, or in random order
 *	churn    `live` objects; one of them, at random, is given back and another taken
 *	ring     one CPU takes objects and hands them over; another reads and gives them back
 *
 * Threads are CPUs (<host/cpus.h>), for all contenders.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>
#include <host/cpus.h>
#include <lib/panic.h>
#include <mm/kmalloc.h>
#include <mm/page_alloc.h>
#include "host_bench.h"
#include "host_boot.h"

static struct {
	void *(*alloc)(size_t size);
	void (*free)(void *object);
} heap;

/* ---- Sizes ---- */

enum { TURN = 1024, LIVE_MAX = 100000, SIZE_CLASSES = 9 };

static uint16_t sizes[TURN];
static uint32_t sequence[TURN];
static void *objects[LIVE_MAX];

/*
 * Mixed: 8 to 4,096 bytes. Of two powers of two the smaller, and up to twice that: small ones are the most frequent, half
 * are below 54 bytes, and the mean is about 224.
 */
static void fill_sizes(bool mixed)
{
	struct rng rng;

	rng_seed(&rng, 1);
	for (unsigned i = 0; i < TURN; i++) {
		uint64_t one = rng_below(&rng, SIZE_CLASSES), other = rng_below(&rng, SIZE_CLASSES);
		uint64_t base = 8UL << (one < other ? one : other);
		sizes[i] = mixed ? (uint16_t)(base + rng_below(&rng, base + 1)) : 64;
	}
}

static ALWAYS_INLINE void *take(unsigned i)
{
	uint64_t *object = heap.alloc(sizes[i % TURN]);

	if (unlikely(!object))
		panic("memory ended");
	*(volatile uint64_t *)object = i;
	return object;
}

/* ---- One CPU ---- */

static uint64_t pair_turn(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < TURN; i++)
		heap.free(take(i));
	return 0;
}

static struct measured run_pairs(const struct host_row *row, uint64_t least_ns)
{
	fill_sizes(row->mixed);
	return repeat(least_ns, TURN, pair_turn, NULL);
}

static uint64_t batch_turn(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < TURN; i++)
		objects[i] = take(i);
	for (unsigned i = 0; i < TURN; i++)
		heap.free(objects[sequence[i]]);
	return 0;
}

static struct measured run_batch(const struct host_row *row, uint64_t least_ns)
{
	fill_sizes(row->mixed);
	fill_sequence(sequence, TURN, row->order);
	return repeat(least_ns, TURN, batch_turn, NULL);
}

static uint64_t churn_turn(void *context)
{
	struct churn *churn = context;

	for (unsigned i = 0; i < TURN; i++) {
		void **object = &objects[pick(&churn->random, churn->live)];
		heap.free(*object);
		*object = take(i);
	}
	return 0;
}

static struct measured run_churn(const struct host_row *row, uint64_t least_ns)
{
	struct churn churn = {row->live, 1};

	fill_sizes(row->mixed);
	for (unsigned i = 0; i < row->live; i++)
		objects[i] = take(i);
	for (unsigned turn = 0; turn < 2 * row->live / TURN; turn++)
		churn_turn(&churn);
	struct measured measured = repeat(least_ns, TURN, churn_turn, &churn);
	for (unsigned i = 0; i < row->live; i++)
		heap.free(objects[i]);
	return measured;
}

/* ---- Two CPUs ---- */

enum {
	RING = TURN / 2, /* so that no turn is the taking alone */
	HANDOVER = 64,   /* objects that become visible at once */
	LAPS_MIN = 256,
	LAPS_MAX = 1 << 15,
	PATIENCE = 20,    /* times the time asked for, until there are LAPS_MIN */
	SPINS_MAX = 1000, /* some 50 microseconds */
};

static struct ring {
	ALIGNED(64) size_t produced; /* atomic; each side writes a line of its own */
	bool ended;                  /* atomic */
	ALIGNED(64) size_t consumed; /* atomic */
	ALIGNED(64) void *objects[RING];
} ring;

/* What each turn took, for whoever produces. */
static struct {
	uint64_t least_ns, ns[LAPS_MAX];
	unsigned count;
} laps;

/* The other one is mostly at work on another processor: giving ours away at once would wait for whoever gets it. */
static void wait_a_turn(unsigned turn)
{
	if (turn % SPINS_MAX == SPINS_MAX - 1)
		host_cpu_idle();
	else
		__builtin_ia32_pause();
}

static void wait_until_consumed(size_t count)
{
	for (unsigned turn = 0; __atomic_load_n(&ring.consumed, __ATOMIC_ACQUIRE) < count; turn++)
		wait_a_turn(turn);
}

static void produce(void)
{
	uint64_t start = wall_ns(), now = start;
	size_t n = 0;

	laps.count = 0;
	do {
		for (unsigned i = 0; i < TURN; i += HANDOVER, n += HANDOVER) {
			wait_until_consumed(n < RING - HANDOVER ? 0 : n - (RING - HANDOVER));
			for (unsigned k = 0; k < HANDOVER; k++)
				ring.objects[(n + k) % RING] = take(i + k);
			__atomic_store_n(&ring.produced, n + HANDOVER, __ATOMIC_RELEASE);
		}
		uint64_t before = now;
		now = wall_ns();
		laps.ns[laps.count++] = now - before;
	} while (laps.count < LAPS_MAX &&
	         now - start < (laps.count < LAPS_MIN ? PATIENCE : 1) * laps.least_ns);
	__atomic_store_n(&ring.ended, true, __ATOMIC_RELEASE);
	wait_until_consumed(n);
}

static void consume(void)
{
	size_t n = 0, produced;

	for (unsigned turn = 0;; turn++) {
		bool ended = __atomic_load_n(&ring.ended, __ATOMIC_ACQUIRE);
		produced = __atomic_load_n(&ring.produced, __ATOMIC_ACQUIRE);
		if (n == produced && ended)
			return;
		if (n == produced)
			wait_a_turn(turn);
		for (; n < produced; n++) {
			void *object = ring.objects[n % RING];
			(void)*(volatile uint64_t *)object;
			heap.free(object);
			if ((n + 1) % HANDOVER == 0)
				__atomic_store_n(&ring.consumed, n + 1, __ATOMIC_RELEASE);
		}
	}
}

/* The calling thread stays on the n-th of the processors it may use: two that share one would wait for each other. */
static void stay_on(const cpu_set_t *allowed, unsigned n)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, allowed) && n-- == 0)
			CPU_SET(cpu, &one);
	}
	sched_setaffinity(0, sizeof(one), &one); /* fails if there is no n-th: then they share */
}

static void ring_side(void *allowed)
{
	stay_on(allowed, this_cpu()->id);
	if (this_cpu()->id == 0)
		produce();
	else
		consume();
}

static int ascending(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
	return (a > b) - (a < b);
}

/*
 * By the wall clock, as each CPU waits for the other. The median of the turns: in some of them one or the other did not
 * run, because the machine had something else to do.
 */
static struct measured run_ring(const struct host_row *row, uint64_t least_ns)
{
	cpu_set_t allowed;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	fill_sizes(row->mixed);
	for (unsigned timed = 0; timed < 2; timed++) {
		ring.produced = ring.consumed = 0;
		ring.ended = false;
		laps.least_ns = timed ? least_ns : 0;
		host_cpus_run(2, ring_side, &allowed);
	}
	sched_setaffinity(0, sizeof(allowed), &allowed);
	qsort(laps.ns, laps.count, sizeof(*laps.ns), ascending);
	return (struct measured){.ns = laps.ns[laps.count / 2], .operations = TURN};
}

/* ---- Contenders ---- */

static void *octavo_alloc(size_t size)
{
	return kmalloc(size, GFP_KERNEL);
}

static void octavo_free(void *object)
{
	kfree(object);
}

static void set_up_octavo(void)
{
	const char *refused = host_boot(4);

	if (refused)
		panic("mm_init refuses the hosted machine: %s", refused);
	if (!page_cpu_create(&host_cpus[1]))
		panic("no memory for a second CPU");
	heap.alloc = octavo_alloc;
	heap.free = octavo_free;
}

/* By dlsym(): in a program that is not position-independent, &malloc would be a jump to malloc. */
static void set_up_malloc(void)
{
	heap.alloc = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
	heap.free = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
	if (!heap.alloc || !heap.free)
		panic("no malloc");
}

static const char *whose_malloc(void)
{
	Dl_info info;

	return dladdr((void *)heap.alloc, &info) ? info.dli_fname : "unknown";
}

/* No allocator: what the rows cost by themselves. Object after object of a few, each of one cache line. */
static struct {
	ALIGNED(64) char line[64];
} dummies[TURN];

static void *dummy_alloc(size_t size)
{
	static unsigned next;

	(void)size;
	return &dummies[next++ % TURN];
}

static void dummy_free(void *object)
{
	(void)object;
}

static void set_up_dummies(void)
{
	heap.alloc = dummy_alloc;
	heap.free = dummy_free;
}

static const struct host_row rows[] = {
        {.name = "pair.64", .run = run_pairs},
        {.name = "pair.mixed", .run = run_pairs, .mixed = true},
        {.name = "lifo.64", .run = run_batch, .order = LIFO},
        {.name = "fifo.64", .run = run_batch, .order = FIFO},
        {.name = "random.64", .run = run_batch, .order = RANDOM},
        {.name = "lifo.mixed", .run = run_batch, .order = LIFO, .mixed = true},
        {.name = "fifo.mixed", .run = run_batch, .order = FIFO, .mixed = true},
        {.name = "random.mixed", .run = run_batch, .order = RANDOM, .mixed = true},
        {.name = "churn.10000", .run = run_churn, .live = 10000, .mixed = true},
        {.name = "churn.100000", .run = run_churn, .live = LIVE_MAX, .mixed = true},
        {.name = "ring.64", .run = run_ring},
        {.name = "ring.mixed", .run = run_ring, .mixed = true},
};

const struct contender heap_contenders[] = {
        CONTENDER("kmalloc", rows, set_up_octavo, NULL),
        CONTENDER("malloc", rows, set_up_malloc, whose_malloc),
        CONTENDER("nothing", rows, set_up_dummies, NULL),
};
