/*
 * Buddy allocator over one span of frames; an instance, with no lock and no global. buddy.c opens with the
 * theory. The caller serialises; private instances over a private array serve tests.
 */
#ifndef MM_BUDDY_H
#define MM_BUDDY_H

#include <mm/page.h>

struct printer;

struct buddy {
	struct page_array array; /* not owned */
	uint32_t start, end;     /* the span, in pfns: no block crosses it */
	uint32_t nonempty;       /* bit k set if and only if free[k].count > 0 */
	size_t nr_free;          /* atomic: frames in free blocks */
	size_t nr_managed;       /* frames ever given by buddy_add() */
	struct {
		uint32_t head; /* pfn; PFN_NONE if empty */
		uint32_t count;
	} free[PAGE_ORDERS];
};

/*
 * An empty allocator: nothing is free until buddy_add(). Costs nothing per frame. pre: P1 holds for `array`
 * (page_array_init), end <= array->end
 */
void buddy_init(struct buddy *buddy, const struct page_array *array, pfn_t start, pfn_t end);

/*
 * Makes [start, end) free: each largest aligned block once, merging with what is free beside it. The frames
 * must be in the span and not already the allocator's. O(blocks).
 */
void buddy_add(struct buddy *buddy, pfn_t start, pfn_t end);

/*
 * A block of 2^order frames, PAGE_HELD, or NULL. Takes the smallest order with a free block (one bit scan)
 * and splits; the lower half is kept. Work: one list operation per split. pre: order <= MAX_PAGE_ORDER
 */
struct page *buddy_alloc(struct buddy *buddy, unsigned order) MUST_USE;

/*
 * As buddy_alloc(), and the block lies wholly in [low, high). Walks the free lists: O(free blocks) at worst.
 */
struct page *buddy_alloc_range(struct buddy *buddy, unsigned order, pfn_t low, pfn_t high) MUST_USE;

/*
 * Up to `count` single frames into pages[], each with this `caller`; returns how many. Free blocks are taken whole, smallest
 * first, and none is cut as long as smaller ones serve: a few instructions a frame.
 */
size_t buddy_alloc_bulk(struct buddy *buddy, size_t count, struct page **pages, uint32_t caller);

/*
 * The same for a CPU's list: blocks of 2^order frames, PAGE_CACHED, that remember who held them last. More than half of
 * `count` is enough where the rest would have to be cut from a larger block. pre: order <= GROUP_ORDER, count < 2^31
 */
size_t buddy_alloc_cached(struct buddy *buddy, unsigned order, size_t count, struct page **pages);

/*
 * Cuts a held block into held blocks: the first `count` frames stay held as maximal aligned blocks, the rest
 * is freed. Afterwards each piece is freed by its own order. All pieces keep the head's caller. pre: page is
 * a PAGE_HELD head, 0 < count <= 1 << order
 */
void buddy_trim(struct buddy *buddy, struct page *page, size_t count);

/*
 * A held block becomes held blocks of 2^order frames, with the head's caller. Work: an entry for each. pre: page is a
 * PAGE_HELD head, of this order or a higher one
 */
void buddy_split(struct buddy *buddy, struct page *page, unsigned order);

/* Why a free was refused. */
enum buddy_misuse {
	BUDDY_OK = 0,
	BUDDY_OUTSIDE,     /* not a frame of this allocator */
	BUDDY_MISALIGNED,  /* not aligned to the order, or order too large */
	BUDDY_NEVER,       /* in a free block that was never split: never allocated */
	BUDDY_RESERVED,    /* in the span, but never given: in no block */
	BUDDY_FREE,        /* in a free block: freed twice */
	BUDDY_CACHED,      /* free in some CPU's list: freed twice */
	BUDDY_INSIDE,      /* no head: inside a held block */
	BUDDY_WRONG_ORDER, /* held, but with another order */
	BUDDY_WRONG_TYPE,  /* held by another layer (slab, vmalloc, page table) */
};

/*
 * Gives back a block and merges it with free buddies as far as it goes. Any frame and order may be asked for:
 * a mistake is returned and nothing changes. The caller reports it when it has let go of its lock.
 */
enum buddy_misuse buddy_free(struct buddy *buddy, pfn_t frame, unsigned order) MUST_USE;

/*
 * The same for single frames, up to the first that is a mistake, or until BUDDY_ROUND runs came back: returns how many frames
 * did. A run is what follows each other, upward or downward; it comes back as the blocks that it makes up, at a few
 * instructions a frame. What lies outside of the frame array is BUDDY_OUTSIDE, too.
 */
enum { BUDDY_ROUND = 32 };
size_t buddy_free_bulk(struct buddy *buddy, size_t count, struct page *const *pages,
                       enum buddy_misuse *misuse) MUST_USE;

/*
 * The same for blocks that are chained through their entries (struct page_list), each of the order that its entry says: how
 * many blocks. *head is then what is left of the chain. pre: the chain leads to entries that are written
 */
size_t buddy_free_chain(struct buddy *buddy, uint32_t *head, size_t count,
                        enum buddy_misuse *misuse) MUST_USE;

/*
 * All `count` blocks of a CPU's list, in runs. One that is not PAGE_CACHED with this order is left alone; returns the last of
 * those, or NULL.
 */
const struct page *buddy_free_cached(struct buddy *buddy, unsigned order, size_t count,
                                     struct page *const *pages) MUST_USE;

/* What buddy_free() would answer; changes nothing. */
enum buddy_misuse buddy_judge_free(const struct buddy *buddy, pfn_t frame, unsigned order) MUST_USE;

/* Verifier: NULL, or the broken invariant (buddy.c's numbers) in words. O(blocks), from block heads only. */
const char *buddy_check(const struct buddy *buddy) MUST_USE;

/* One line per order. */
void buddy_dump(const struct buddy *buddy, struct printer *out);

#endif
