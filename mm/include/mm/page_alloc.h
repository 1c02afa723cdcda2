/*
 * The page allocator: zones of RAM, each a struct buddy behind a lock, and each CPU's own lists of small free
 * blocks in front of them, under Linux's names and contracts.
 *
 * Any context unless the flags say __GFP_RECLAIM (GFP_KERNEL does), which in interrupt context is reported as
 * the caller's mistake. Sizes are in orders: 2^order frames, order 0 to 18. Takes one zone lock at a time, and for
 * orders up to 3 mostly none. Before a request that may reclaim is refused, all CPUs are asked for what they keep (but
 * what another CPU is just giving back may be in nobody's hands for that moment); one that may not reclaim has no hold on
 * what other CPUs keep.
 *
 * Mistakes (double free, free of a frame that is reserved, was never allocated, lies inside a block, belongs
 * to another layer, or has another order) panic with the call, the address, what was expected, and who
 * allocated it.
 */
#ifndef MM_PAGE_ALLOC_H
#define MM_PAGE_ALLOC_H

#include <arch/spinlock.h>
#include <lib/list.h>
#include <mm/buddy.h>
#include <mm/gfp.h>

enum zone_type { ZONE_DMA, ZONE_DMA32, ZONE_NORMAL, NR_ZONES };

/* [ZONE_DMA] ends at 16 MiB (ISA bus masters), [ZONE_DMA32] at 4 GiB (32-bit bus masters). */
#define ZONE_DMA_END   (16UL << 20)
#define ZONE_DMA32_END (4UL << 30)

struct zone {
	const char *name; /* "DMA", "DMA32", "Normal" */
	struct spinlock lock;
	struct buddy buddy; /* (lock) */
	size_t reserve;     /* frames that only __GFP_HIGH may take; constant after init */
	uint32_t batch; /* frames that a CPU's list moves at a time, 64 blocks at most; constant after init */
};
extern struct zone zones[NR_ZONES];

/* One entry per zone over the live frame array; nothing is free yet. */
void page_alloc_init(pfn_t end);

/* Makes [range) free memory; split over zones. Page-aligned RAM that nobody uses. */
void page_alloc_add(struct prange range);

/* All RAM has been added: sets the reserves, and the sizes of this CPU's lists. */
void page_alloc_ready(void);

/*
 * Gives a CPU that is about to come online its lists of free pages (cpu->pages): false if there is no memory for them.
 * And takes them back from one that never did.
 */
struct cpu;
bool page_cpu_create(struct cpu *cpu) MUST_USE;
void page_cpu_destroy(struct cpu *cpu);

/*
 * 2^order contiguous frames, aligned to their size, or NULL (or panic with __GFP_NOFAIL). A refusal is warned
 * about, with order, flags and what is left, unless __GFP_NOWARN. Zones fall back downward, never upward.
 */
struct page *alloc_pages(gfp_t gfp, unsigned order) MUST_USE;
void __free_pages(struct page *page, unsigned order);

/* The same with order 0, which is what most ask for. */
struct page *alloc_page(gfp_t gfp) MUST_USE;
void __free_page(struct page *page);

/* The same by direct-map address; 0 means none, and free_pages(0, …) does nothing. */
unsigned long __get_free_pages(gfp_t gfp, unsigned order) MUST_USE;
unsigned long get_zeroed_page(gfp_t gfp) MUST_USE;
void free_pages(unsigned long address, unsigned order);

/*
 * A held block of 2^order frames becomes 2^order single frames, each freed by itself. Takes the zone's lock; any context.
 * Mistakes are those of __free_pages().
 */
void split_page(struct page *page, unsigned order);

/*
 * Exactly pages_for(size) contiguous frames: 5 pages hold 5, not 8. Freed as a whole, with the same number of
 * pages; another number, or a part by another call, is a mistake that is noticed. page->private is not the
 * caller's.
 */
void *alloc_pages_exact(size_t size, gfp_t gfp) MUST_USE;
void free_pages_exact(void *address, size_t size);

/*
 * Fills pages[0..count) with single frames and returns how many it got; the rest is untouched. All freed one
 * by one or in bulk.
 */
size_t alloc_pages_bulk(gfp_t gfp, size_t count, struct page **pages);
void free_pages_bulk(size_t count, struct page **pages);

/* As alloc_pages(), and the block lies in `range`. O(free blocks). */
struct page *alloc_pages_range(gfp_t gfp, unsigned order, struct prange range) MUST_USE;

/*
 * Held blocks, mostly single frames, chained through their entries, so that any number can wait for a flush without memory.
 * page_list_add() takes the block's link; free_page_list() frees them all as PAGE_HELD of the order that their entry says.
 */
struct page_list {
	uint32_t head; /* PFN_NONE: empty */
	size_t count;  /* blocks */
};
#define PAGE_LIST_INIT           \
	{                        \
		.head = PFN_NONE \
	}

/* The link is written over an owner that others may still ask for. */
static inline void page_list_add(struct page_list *list, struct page *page)
{
	__atomic_store_n(&page->next, list->head, __ATOMIC_RELEASE);
	list->head = (uint32_t)page_to_pfn(page).raw;
	list->count++;
}

/* NULL when empty. */
static inline struct page *page_list_take(struct page_list *list)
{
	if (list->head == PFN_NONE)
		return NULL;
	struct page *page = pfn_to_page(pfn(list->head));
	list->head = page->next;
	list->count--;
	return page;
}

void free_page_list(struct page_list *list);

/*
 * What can give memory back when an allocation would be refused. `shrink` frees what it can without waiting
 * and returns the number of frames. It is called on one CPU at a time, the latest registered first, with no spinlock held; it
 * may free, and what it allocates is refused rather than reclaimed.
 */
struct shrinker {
	const char *name;
	size_t (*shrink)(void);
	struct list_head link;
};
void register_shrinker(struct shrinker *shrinker);

/*
 * Runs all shrinkers once and empties every CPU's lists into the buddies; frames that became free, or of use to requests
 * that could not use them. Waits while another CPU reclaims. Not in interrupts, no lock held.
 */
size_t reclaim_pages(void);

/*
 * What a request with `gfp` that found nothing may do about it, for the `round`-th time from 0 (<mm/gfp.h>): frames that
 * this brought within reach; 0 ends the rounds. The caller looks again after each. Contexts as the flags say.
 */
size_t reclaim_for(gfp_t gfp, unsigned round);

/*
 * Around a call of those who give something else back than memory: one CPU at a time does either, and whoever asks for
 * memory or virtual space in between is refused, not reclaimed for. False, and nothing to end, if this CPU is in between
 * already. Contexts as for reclaim_pages().
 */
bool reclaim_begin(void) MUST_USE;
void reclaim_end(void);

/* Empties every CPU's lists into the buddies. Contexts as for reclaim_pages(). */
void drain_all_pages(void);

/* Frames free now, CPUs' lists included, and ever managed; of one zone, and over all zones. */
size_t zone_free_pages(const struct zone *zone);
size_t nr_free_pages(void);
size_t nr_managed_pages(void);

/* Verifier of every zone. Dump in /proc/buddyinfo's format. */
const char *page_alloc_check(void) MUST_USE;
void buddyinfo_dump(struct printer *out);

#endif
