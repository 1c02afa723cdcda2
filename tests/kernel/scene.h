/*
 * Where a call finds this CPU's lists, magazines and ranges, so that it takes one way through the allocators and no other;
 * and which way it took.
 *
 * A scene is set by public calls alone: objects, pages and areas are taken into a stock or given back from it until what
 * stands in front of the slabs, of the buddies and of the window is as wanted. The stock holds what must not be free; what
 * the scene before left in it is given back first.
 */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <mm/slab.h>

/* ---- This CPU's pages, in the zone that requests begin with ---- */

enum level { LIST_EMPTY, LIST_HALF, LIST_FULL };
void scene_list(unsigned order, enum level level);

/* False on a machine whose zone is too small for a list of this order: all its blocks go the long way. */
bool scene_has_list(unsigned order);

/* ---- This CPU's magazines of `cache` ---- */

/* Neither the next few allocations nor the next few frees go beyond the loaded one. pre: others hold none of its rounds */
void scene_magazine_half(struct kmem_cache *cache);

/*
 * From no magazines and no free object at all: `frees` objects are freed, `takes` of them allocated again, and `again`
 * freed. With R rounds to a magazine, frees first fill the loaded one, then both, then the depot. Then checks that what
 * is loaded, what is previous, and how many full magazines the depot has is what it says there.
 */
struct magazines {
	size_t frees, takes, again;
	size_t loaded, previous, full;
};
void scene_magazines(struct kmem_cache *cache, const struct magazines *wanted);
size_t scene_rounds(const struct kmem_cache *cache);

/* Slabs have free objects; the CPU has no magazines, or two empty ones. */
void scene_slabs_only(struct kmem_cache *cache, bool attached);

/* ---- Ranges of the window ---- */

/* Every range that was freed is a hole again; and this CPU keeps one of three pages. */
void scene_ranges_none(void);
void scene_ranges_spare(void);

/* As many are freed and not flushed as go without a flush: one short of the number of areas, or of pages. */
void scene_ranges_many(void);
void scene_ranges_large(void);

/* ---- All memory ---- */

/* Nothing free is kept by anyone in front of the buddies. */
void scene_reclaimed(void);

/* No page is free, nor memory for a magazine; slabs of `cache` have free objects. Until scene_end(). */
void scene_starved(struct kmem_cache *cache);

/* Gives back what the scene needed. Also right in a tear_down. */
void scene_end(void);

/* ---- The way of a call ---- */

/* What a call may do beyond popping and pushing. Counters first. */
enum {
	PAGE_REFILL = 1 << 0,
	PAGE_DRAIN = 1 << 1,
	DEPOT_EXCHANGE = 1 << 2,
	SLAB_REFILL = 1 << 3, /* magazines from slabs, */
	SLAB_DRAIN = 1 << 4,  /* and back */
	RANGE_HIT = 1 << 5,
	RANGE_PURGE = 1 << 6,
	ATTACHED = 1 << 7, /* magazines where there were none */
	SWAPPED = 1 << 8,  /* the loaded one for the previous */
	SLAB_MADE = 1 << 9,
	SLAB_GONE = 1 << 10,
};

/* Between these, by this CPU alone; `cache` may be NULL. */
void way_begin(const struct kmem_cache *cache);
unsigned way_end(void);

/* In words. */
void way_print(unsigned way, struct printer *out);

#endif
