/*
 * General-purpose allocation over size-class caches: kmalloc-8, 16, 32, 64, 96, 128, 192, 256, 512, 1k, 2k,
 * 4k, 8k. Larger requests take exactly the pages they need. Linux's names and contracts:
 *
 *   - size 0 gives ZERO_SIZE_PTR, which may be freed but not touched; kfree(NULL) does nothing
 *   - powers of two are aligned to their size; everything else at least to 8 bytes
 *   - a size that cannot be had at all gives NULL and a warning, never a crash
 *
 * Context as the gfp flags say. Mistakes panic as in <mm/slab.h>; kfree() of a vmalloc address is one of
 * them. kfree() also takes objects of kmem_cache_alloc(), as Linux's does.
 */
#ifndef MM_KMALLOC_H
#define MM_KMALLOC_H

#include <mm/gfp.h>
#include <mm/slab.h>

#define ZERO_SIZE_PTR ((void *)16)

static inline bool is_zero_or_null(const void *pointer)
{
	return (uintptr_t)pointer <= (uintptr_t)ZERO_SIZE_PTR;
}

enum { KMALLOC_CACHES = 13, KMALLOC_MAX_CACHE_SIZE = 8192 };

/* Caches have no zones: a request with one of these takes whole pages, whatever its size. */
#define KMALLOC_ZONE_FLAGS (__GFP_DMA | __GFP_DMA32)

/* The largest size kmalloc() can serve: one block of the highest order. */
#define KMALLOC_MAX_SIZE (PAGE_SIZE << MAX_PAGE_ORDER)

extern struct kmem_cache *kmalloc_caches[KMALLOC_CACHES];

void kmalloc_init(void);

/* Which cache serves `size`; folds to a constant for a constant size. pre: 0 < size <= KMALLOC_MAX_CACHE_SIZE */
static ALWAYS_INLINE size_t kmalloc_index(size_t size)
{
	static const uint8_t up_to_192[] = {0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, /* a step is 8 bytes */
	                                    5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6};

	/* 256 → 7, 512 → 8, …, 8192 → 12 */
	return size <= 192 ? up_to_192[(size - 1) / 8] : highest_bit(size - 1);
}

void *kmalloc_any(size_t size, gfp_t gfp) MUST_USE; /* out of line: for all that is not constant and small */

static ALWAYS_INLINE MUST_USE void *kmalloc(size_t size, gfp_t gfp)
{
	if (__builtin_constant_p(size) && size && size <= KMALLOC_MAX_CACHE_SIZE &&
	    !(gfp & KMALLOC_ZONE_FLAGS))
		return kmem_cache_alloc(kmalloc_caches[kmalloc_index(size)], gfp);
	return kmalloc_any(size, gfp);
}

static ALWAYS_INLINE MUST_USE void *kzalloc(size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp | __GFP_ZERO);
}

/* NULL if count * size overflows. */
static ALWAYS_INLINE MUST_USE void *kmalloc_array(size_t count, size_t size, gfp_t gfp)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	return kmalloc(bytes, gfp);
}

static ALWAYS_INLINE MUST_USE void *kcalloc(size_t count, size_t size, gfp_t gfp)
{
	return kmalloc_array(count, size, gfp | __GFP_ZERO);
}

/*
 * Resizes, keeping the first min(old usable size, new size) bytes; moves only when the usable size (ksize) is
 * too small. NULL: `pointer` is untouched. size 0 frees and gives ZERO_SIZE_PTR; a NULL pointer allocates.
 * With __GFP_ZERO, bytes beyond the old usable size are zero.
 */
void *krealloc(const void *pointer, size_t size, gfp_t gfp) MUST_USE;

void kfree(const void *pointer);
void kfree_sensitive(const void *pointer); /* contents are wiped first */

/* Bytes that may be used at `pointer`: at least what was asked for. 0 for NULL and ZERO_SIZE_PTR. */
size_t ksize(const void *pointer);

/* Bytes in whole pages that large requests hold now: a term of the fingerprint. */
size_t kmalloc_large_bytes(void);

#endif
