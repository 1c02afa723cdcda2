/*
 * Object caches: kmem_cache_*, with Linux's names and contracts. slab.c opens with the theory (after Bonwick,
 * "The slab allocator", USENIX 1994).
 *
 * Alloc and free may be called in any context the gfp flags allow (see <mm/gfp.h>); create, destroy and
 * shrink not in interrupts, nor with a lock held. Mostly no lock is taken: each CPU has magazines of objects of its own.
 * page_alloc is entered with no cache lock held.
 *
 * Mistakes (double free, a pointer that is no object's start, another cache's object, memory of another
 * layer) panic with call, address, cache, slab slot, and who allocated it where known.
 */
#ifndef MM_SLAB_H
#define MM_SLAB_H

#include <arch/spinlock.h>
#include <lib/list.h>
#include <mm/gfp.h>
#include <mm/page.h>

struct printer;
struct kmem_cache;

enum {
	SLAB_HWCACHE_ALIGN = 1 << 0, /* objects start on 64-byte lines */
	SLAB_PANIC = 1 << 1,         /* creation cannot fail; for caches the kernel cannot live without */
	/* CPUs keep none of the objects: each goes straight to its slab (as illumos' KMC_NOMAGAZINE). */
	SLAB_NOMAGAZINE = 1 << 2,
};

enum { CACHE_NAME_MAX = 32 };

/* The first caches; needs the page allocator. Registers the shrinker that returns empty slabs. */
void slab_init(void);

/*
 * A cache of objects of `size` bytes (1 .. 32768) at alignment `align` (0: 8; a power of two up to
 * PAGE_SIZE). `ctor` (may be NULL) runs once per object when its slab is made, and the object must be given
 * back constructed. NULL if there is no memory; a bad size, alignment or name panics. The name is copied. Not in interrupts,
 * no lock held; as for the next, and for shrinking, visiting and dumping.
 */
struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align, unsigned flags,
                                     void (*ctor)(void *object)) MUST_USE;

/* pre: no objects live. Live ones are the caller's mistake: panics with their number and first addresses. NULL: no-op */
void kmem_cache_destroy(struct kmem_cache *cache);

void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp) MUST_USE;
void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp) MUST_USE; /* pre: the cache has no ctor */
void kmem_cache_free(struct kmem_cache *cache, void *object);          /* NULL: no-op */

/* Fills objects[0..count) or nothing: returns count or 0. */
size_t kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t count, void **objects) MUST_USE;
/* What comes before a mistake is freed. */
void kmem_cache_free_bulk(struct kmem_cache *cache, size_t count, void **objects);

/* Empties all CPUs' magazines, and returns every empty slab to the page allocator; frames given back. */
size_t kmem_cache_shrink(struct kmem_cache *cache);

/*
 * Is this the start of a live object of this cache? For pointers from places that others may have written: takes no lock,
 * never panics. That it stays live is the caller's matter.
 */
bool kmem_cache_owns(const struct kmem_cache *cache, const void *object);

const char *kmem_cache_name(const struct kmem_cache *cache);
size_t kmem_cache_size(const struct kmem_cache *cache);

/*
 * What the pointer is, in part of a line ("live object 3 of cache kmalloc-64, 5 bytes past its start at …");
 * false, and nothing printed, if it is no slab memory. Takes no lock and never panics.
 */
bool slab_describe(const void *pointer, struct printer *out);

struct slab_stats {
	char name[CACHE_NAME_MAX];
	size_t object_size, slot_size;
	/* As preferred; where memory is in pieces, slabs are smaller. */
	size_t objects_per_slab, pages_per_slab;
	size_t active_objects, total_objects, slabs, empty_slabs, pages;
	size_t cached_objects;                   /* free ones in magazines */
	size_t magazine_rounds, depot_magazines; /* how many fit one; full ones that belong to no CPU */
};

/* Calls `visit` for each cache, oldest first, with no lock held and without allocating. */
void slab_for_each_cache(void (*visit)(const struct slab_stats *stats, void *context), void *context);

/* Verifier of every cache and slab; dump in /proc/slabinfo's format (version 2.1). */
const char *slab_check(void) MUST_USE;
void slabinfo_dump(struct printer *out);

#endif
