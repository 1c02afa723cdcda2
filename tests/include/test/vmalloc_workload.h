/*
 * What Linux's vmalloc test asks for, said once: the suite compares each answer with a model, the benchmark counts what the
 * answers cost. Inline, so that what is counted is what a caller would have written.
 *
 *	fix_size            1 page
 *	full_fit            1 page, beside 8,192 that stay, each with room for one behind it
 *	long_busy_list      100 pages and 1 page, above 15,000 that stay
 *	random_size         1 to 100 pages
 *	fix_align           5 pages at a multiple of 32 KiB
 *	random_size_align   1 to 10 pages at a multiple of 1 byte to 4 MiB
 *	align_shift         1 page at a multiple of 1 << shift, for every shift once
 *
 * A round makes its requests one after the other and gives back what it got in the same order. What stays (`staying`, one
 * page each) is there before the first round; `spaced`: as much again was taken in between, given back and purged.
 */
#ifndef TEST_VMALLOC_WORKLOAD_H
#define TEST_VMALLOC_WORKLOAD_H

#include <arch/machine.h>
#include <arch/page.h>
#include <lib/rng.h>
#include <mm/vmalloc.h>

struct vmalloc_request {
	size_t size;
	size_t align; /* 0: whatever vmalloc() does; else what __vmalloc_node_range() is asked for */
	gfp_t gfp;
};

enum { WORKLOAD_REQUESTS_MAX = 2 };

struct vmalloc_workload {
	const char *name;
	unsigned rounds; /* in full */
	unsigned staying;
	bool spaced;
	bool dirty;        /* nothing is zeroed, whatever the request says */
	bool written;      /* a byte is written to what a round got */
	unsigned requests; /* of a round */
	struct vmalloc_request (*request)(uint32_t *random, unsigned nth);
};

static ALWAYS_INLINE struct vmalloc_request pages_request(size_t pages)
{
	return (struct vmalloc_request){.size = pages << PAGE_SHIFT, .gfp = GFP_KERNEL};
}

static ALWAYS_INLINE struct vmalloc_request fix_size_request(uint32_t *random, unsigned nth)
{
	(void)random, (void)nth;
	return pages_request(1);
}

static ALWAYS_INLINE struct vmalloc_request long_busy_list_request(uint32_t *random, unsigned nth)
{
	(void)random;
	return pages_request(nth == 0 ? 100 : 1);
}

static ALWAYS_INLINE struct vmalloc_request random_size_request(uint32_t *random, unsigned nth)
{
	(void)nth;
	return pages_request(xorshift32(random) % 100 + 1);
}

static ALWAYS_INLINE struct vmalloc_request fix_align_request(uint32_t *random, unsigned nth)
{
	(void)random, (void)nth;
	return (struct vmalloc_request){5 * PAGE_SIZE, 32 << 10, GFP_KERNEL | __GFP_ZERO};
}

static ALWAYS_INLINE struct vmalloc_request random_size_align_request(uint32_t *random, unsigned nth)
{
	size_t align = 1UL << xorshift32(random) % 23;

	(void)nth;
	return (struct vmalloc_request){(xorshift32(random) % 10 + 1) << PAGE_SHIFT, align,
	                                GFP_KERNEL | __GFP_ZERO};
}

enum { ALIGN_SHIFTS = 64 };

/* Some shifts cannot be served. */
static ALWAYS_INLINE struct vmalloc_request align_shift_request(unsigned shift)
{
	return (struct vmalloc_request){PAGE_SIZE, 1UL << shift, GFP_KERNEL | __GFP_NOWARN};
}

static const struct vmalloc_workload fix_size_workload = {
        .name = "fix_size",
        .rounds = 100000,
        .written = true,
        .requests = 1,
        .request = fix_size_request,
};
static const struct vmalloc_workload full_fit_workload = {
        .name = "full_fit",
        .rounds = 20000,
        .staying = 8192,
        .spaced = true,
        .written = true,
        .requests = 1,
        .request = fix_size_request,
};
static const struct vmalloc_workload long_busy_list_workload = {
        .name = "long_busy_list",
        .rounds = 10000,
        .staying = 15000,
        .written = true,
        .requests = 2,
        .request = long_busy_list_request,
};
static const struct vmalloc_workload random_size_workload = {
        .name = "random_size",
        .rounds = 20000,
        .written = true,
        .requests = 1,
        .request = random_size_request,
};
static const struct vmalloc_workload fix_align_workload = {
        .name = "fix_align",
        .rounds = 20000,
        .requests = 1,
        .request = fix_align_request,
};
static const struct vmalloc_workload random_size_align_workload = {
        .name = "random_size_align",
        .rounds = 20000,
        .requests = 1,
        .request = random_size_align_request,
};
/* The two with an alignment are measured with zeroing and without. */
static const struct vmalloc_workload fix_align_dirty_workload = {
        .name = "fix_align.dirty",
        .rounds = 20000,
        .dirty = true,
        .requests = 1,
        .request = fix_align_request,
};
static const struct vmalloc_workload random_size_align_dirty_workload = {
        .name = "random_size_align.dirty",
        .rounds = 20000,
        .dirty = true,
        .requests = 1,
        .request = random_size_align_request,
};

/* The request as a caller would make it, who does not mind where in the window. */
static ALWAYS_INLINE void *workload_vmalloc(struct vmalloc_request want)
{
	if (!want.align)
		return vmalloc(want.size);
	return __vmalloc_node_range(want.size, want.align, VMALLOC_START, VMALLOC_END, want.gfp, PAGE_KERNEL,
	                            0, NUMA_NO_NODE, (const void *)CALLER_ADDRESS);
}

/* Who serves the requests. What take() returns is give()'s, NULL too. */
struct workload_server {
	void *(*take)(struct vmalloc_request want, bool written);
	void (*give)(void *area);
};

static ALWAYS_INLINE void workload_round(const struct vmalloc_workload *workload, uint32_t *random,
                                         const struct workload_server *server)
{
	void *areas[WORKLOAD_REQUESTS_MAX];

	for (unsigned i = 0; i < workload->requests; i++) {
		struct vmalloc_request want = workload->request(random, i);
		if (workload->dirty)
			want.gfp &= ~__GFP_ZERO;
		areas[i] = server->take(want, workload->written);
	}
	for (unsigned i = 0; i < workload->requests; i++)
		server->give(areas[i]);
}

/*
 * `count` areas that stay, in areas[]; there is room for twice as many if they are spaced. False if memory ended: then some
 * are NULL. The caller purges.
 */
static inline bool workload_settle(const struct vmalloc_workload *workload, size_t count, void **areas,
                                   const struct workload_server *server)
{
	bool complete = true;

	for (size_t i = 0; i < count; i++) {
		areas[i] = server->take(pages_request(1), true);
		if (workload->spaced)
			areas[count + i] = server->take(pages_request(1), true);
		complete &= areas[i] && (!workload->spaced || areas[count + i]);
	}
	for (size_t i = count; workload->spaced && i < 2 * count; i++)
		server->give(areas[i]);
	return complete;
}

#endif
