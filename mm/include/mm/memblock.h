/*
 * Memory before there is an allocator: what is RAM, and what of it is in use. An instance; no lock (one CPU, boot).
 * Starts from nothing usable: RAM is what was added and not removed since. So add first, then remove, then reserve. Two
 * sorted arrays of disjoint ranges.
 *
 * Every range is rounded to pages in the safe direction: RAM inward, everything that takes away outward. When an array
 * is full, RAM is given up rather than handed out wrongly, and counted in `lost`. So is RAM above MEMBLOCK_LIMIT, once
 * for each call that names it. A range that wraps (end < start) is no RAM when added, and reaches to the top when taken
 * away. Once retired, every call that changes anything panics with "CALL: memblock is retired".
 */
#ifndef MM_MEMBLOCK_H
#define MM_MEMBLOCK_H

#include <arch/page.h>

struct printer;

enum { MEMBLOCK_RANGES_MAX = 4160 }; /* a firmware map of 4,096 separate ranges and what we cut out of it */

/*
 * Frame numbers have 32 bits, and the last of them means "none": RAM ends a little below 16 TiB. By 1 MiB,
 * so that the frame array, which is whole pages of entries, ends there too.
 */
#define MEMBLOCK_LIMIT ((1UL << 44) - (1UL << 20))

/* Who uses a reserved range: the terms of the conservation law. */
enum memblock_use { MEMBLOCK_RESERVED, MEMBLOCK_FRAMES, MEMBLOCK_TABLES, MEMBLOCK_USES };

struct memblock_ranges {
	size_t count;
	struct prange at[MEMBLOCK_RANGES_MAX];
};

struct memblock {
	struct memblock_ranges ram;
	struct memblock_ranges reserved;   /* may reach outside RAM */
	uint64_t allocated[MEMBLOCK_USES]; /* bytes handed out by memblock_alloc(), by use */
	uint64_t lost;                     /* bytes of RAM given up: array full, or above the limit */
	bool retired;
};

void memblock_init(struct memblock *mb);

/* `range` is RAM, rounded inward. Overlaps and order do not matter. Empty ranges are fine. */
void memblock_add(struct memblock *mb, struct prange range);

/* `range` is not RAM after all, rounded outward: firmware's word "reserved" wins over "available". */
void memblock_remove(struct memblock *mb, struct prange range);

/* `range` is in use, rounded outward; need not be RAM. */
void memblock_reserve(struct memblock *mb, struct prange range);

/*
 * `size` bytes of unreserved RAM below `limit`, aligned to `align` (a power of two, at least PAGE_SIZE), highest
 * first, reserved for `use`. False if there is none, or size is 0. size is rounded up to pages.
 * Panics: "memblock_alloc: alignment 0x… is not a power of two of at least a page".
 */
bool memblock_alloc(struct memblock *mb, uint64_t size, uint64_t align, paddr_t limit, enum memblock_use use,
                    paddr_t *start) MUST_USE;

/* Walks the RAM that nobody uses, ascending: start with *cursor = 0; false at the end. */
bool memblock_next_free(const struct memblock *mb, paddr_t *cursor, struct prange *range) MUST_USE;

/* Bytes of RAM; and of RAM that is reserved. */
uint64_t memblock_ram_bytes(const struct memblock *mb);
uint64_t memblock_reserved_bytes(const struct memblock *mb);

/* The buddy has taken over: every later change panics. Reading stays allowed. */
void memblock_retire(struct memblock *mb);

/* Verifier: page-aligned, none empty, sorted and apart, below the limit, in the array, allocations still reserved. */
const char *memblock_check(const struct memblock *mb) MUST_USE;
void memblock_dump(const struct memblock *mb, struct printer *out);

#endif
