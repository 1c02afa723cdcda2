/*
 * What page_alloc.c, page_cpu.c and their verifier share: each CPU's lists of free blocks. page_cpu.c tells what they mean.
 */
#ifndef MM_PAGE_ALLOC_INTERNAL_H
#define MM_PAGE_ALLOC_INTERNAL_H

#include <arch/cpu_stack.h>
#include <arch/percpu.h>
#include <mm/page_alloc.h>

enum {
	CPU_LIST_ORDERS = 4, /* blocks of order 0 to 3: up to 32 KiB, what slabs and stacks are made of */
	CPU_LIST_BYTES = 1024,
	CPU_LIST_MAX = (CPU_LIST_BYTES - sizeof(struct cpu_stack)) / sizeof(void *),
	BATCH_MAX = 64, /* blocks */
};
_Static_assert(2 * BATCH_MAX - 1 <= CPU_LIST_MAX, "a CPU's list has room for two batches");

/*
 * The first zone that has memory at all, from the top: where a request without zone flags begins, and where most of what comes
 * back belongs. Constant after init.
 */
struct top_zone {
	struct page *first;     /* the entry of its first frame; its last is the array's */
	uint64_t frames;        /* in its span; 0 until it is known */
	const uint8_t *written; /* its groups' states (<mm/page.h>, P2) */
	struct zone *zone;
	unsigned index;
};
extern struct top_zone top_zone;

/*
 * Behind cpu->pages: a struct cpu_stack of struct page pointers per zone and order, each in CPU_LIST_BYTES. The top zone's come
 * first, those of the zones below follow downward.
 */
struct page_cpu {
	char lists[NR_ZONES][CPU_LIST_ORDERS][CPU_LIST_BYTES] ALIGNED(64);
};

static ALWAYS_INLINE struct cpu_stack *page_cpu_top_list(struct page_cpu *lists, unsigned order)
{
	return (struct cpu_stack *)(void *)lists->lists[0][order];
}

static inline struct cpu_stack *page_cpu_list(struct page_cpu *lists, unsigned zone, unsigned order)
{
	return (struct cpu_stack *)(void *)lists->lists[(top_zone.index + NR_ZONES - zone) % NR_ZONES][order];
}

/* Frames of `zone` in a CPU's lists. */
static inline size_t page_cpu_frames(struct page_cpu *lists, unsigned zone)
{
	size_t frames = 0;
	for (unsigned order = 0; order < CPU_LIST_ORDERS; order++) {
		const struct cpu_stack *list = page_cpu_list(lists, zone, order);
		frames += (size_t)__atomic_load_n(&list->count, __ATOMIC_RELAXED) << order;
	}
	return frames;
}

/* Blocks of `order` that go between a CPU's list and the buddy at a time. */
static inline uint32_t page_cpu_batch(const struct zone *zone, unsigned order)
{
	return (uint32_t)min_u64(zone->batch >> order, BATCH_MAX);
}

/* The booting CPU has lists, without room: page_cpu_size() gives them room for two batches of each zone. */
void page_cpu_init(void);
void page_cpu_size(struct page_cpu *lists);

/* The long ways of this CPU's list: pops, out of a batch of the zone's if it is empty; NULL if the zone has none to spare. */
struct page *page_cpu_take(struct zone *zone, unsigned order, struct cpu_stack *list);
/* Pushes, when it is full after half of it went home. pre: PAGE_CACHED. False if there is no list: the zone is too small. */
bool page_cpu_put(struct zone *zone, unsigned order, struct cpu_stack *list, struct page *page);

/* This CPU's lists go home. All CPUs' do; frames that this CPU could not have used before, or not in larger blocks. */
void page_cpu_drain_own(void);
size_t page_cpu_drain_all(void);

/* What a list of this CPU holds is not PAGE_CACHED. Does not return; its type lets a call of it be the last of a function. */
struct page *page_cpu_report(const struct page *page);

#endif
