/*
 * General-purpose allocation: a size picks a cache, a large size takes exactly its pages.
 *
 *	size         1..8  ..16  ..32  ..64  ..96  ..128  ..192  ..256  ..512  ..1k  ..2k  ..4k  ..8k   above
 *	cache           0     1     2     3     4      5      6      7      8     9    10    11    12   pages
 *
 * What came from where is never asked of the caller: a freed pointer leads to its frame's entry, which says
 * PAGE_SLAB (the slab knows the cache) or PAGE_KMALLOC (the entry knows the size).
 *
 * K1  A large request is an exact allocation (page_alloc.c, Z4) whose first entry says PAGE_KMALLOC.
 * K2  kmalloc_large_bytes() is the sum of their pages, in bytes.
 *
 * Caches have no zones: a request for DMA memory is served in whole pages whatever its size. A power of two
 * is aligned to itself because a slab's slots begin at its base and a block of pages is aligned to its size.
 *
 * No lock of its own; cost is the cache's or the page allocator's.
 */
#include <mm/kmalloc.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/page_alloc.h>
#include "slab_internal.h"

struct kmem_cache *kmalloc_caches[KMALLOC_CACHES];
static size_t large_bytes; /* atomic */

static const struct {
	uint16_t size;
	const char *name;
} classes[KMALLOC_CACHES] = {
        {8, "kmalloc-8"},     {16, "kmalloc-16"},   {32, "kmalloc-32"},   {64, "kmalloc-64"},
        {96, "kmalloc-96"},   {128, "kmalloc-128"}, {192, "kmalloc-192"}, {256, "kmalloc-256"},
        {512, "kmalloc-512"}, {1024, "kmalloc-1k"}, {2048, "kmalloc-2k"}, {4096, "kmalloc-4k"},
        {8192, "kmalloc-8k"},
};

void kmalloc_init(void)
{
	for (unsigned i = 0; i < KMALLOC_CACHES; i++)
		kmalloc_caches[i] = kmem_cache_create(classes[i].name, classes[i].size, 0, SLAB_PANIC, NULL);
	large_bytes = 0;
}

/* ---- Large requests ------------------------------------------------------------------------------------ */

static size_t large_size(const struct page *head)
{
	return head->private << PAGE_SHIFT;
}

static void *alloc_large(size_t size, gfp_t gfp, uintptr_t caller)
{
	void *memory = alloc_pages_exact(size, gfp);

	if (!memory)
		return NULL;
	struct page *head = virt_to_page(memory);
	head->caller = (uint32_t)caller;
	page_set_type(head, PAGE_KMALLOC);
	__atomic_fetch_add(&large_bytes, large_size(head), __ATOMIC_RELAXED);
	return memory;
}

/* False if another CPU was faster: freed twice at once. */
static bool free_large(struct page *head)
{
	uint8_t type = PAGE_KMALLOC;

	if (!__atomic_compare_exchange_n(&head->type, &type, PAGE_EXACT, false, __ATOMIC_ACQ_REL,
	                                 __ATOMIC_RELAXED))
		return false;
	size_t size = large_size(head);
	__atomic_fetch_sub(&large_bytes, size, __ATOMIC_RELAXED);
	free_pages_exact(page_address(head), size);
	return true;
}

size_t kmalloc_large_bytes(void)
{
	return __atomic_load_n(&large_bytes, __ATOMIC_RELAXED);
}

/* ---- Allocation ---------------------------------------------------------------------------------------- */

static void *refuse_too_large(size_t size, gfp_t gfp, uintptr_t caller)
{
	if (gfp & __GFP_NOFAIL)
		panic("kmalloc: %zu bytes can never be had, but must not fail, asked by %pS", size,
		      (void *)caller);
	if (!(gfp & __GFP_NOWARN))
		warn("kmalloc: %zu bytes are more than the %lu that one request can have, asked by %pS", size,
		     KMALLOC_MAX_SIZE, (void *)caller);
	return NULL;
}

static NOINLINE void *alloc_any(size_t size, gfp_t gfp, uintptr_t caller)
{
	if (!size)
		return ZERO_SIZE_PTR;
	if (size > KMALLOC_MAX_SIZE)
		return refuse_too_large(size, gfp, caller);
	if (size > KMALLOC_MAX_CACHE_SIZE || gfp & KMALLOC_ZONE_FLAGS)
		return alloc_large(size, gfp, caller);
	return slab_alloc(kmalloc_caches[kmalloc_index(size)], gfp, caller);
}

void *kmalloc_any(size_t size, gfp_t gfp)
{
	struct cpu_pair round;

	if (likely(size - 1 < KMALLOC_MAX_CACHE_SIZE && slab_is_plain(gfp) &&
	           slab_pop(kmalloc_caches[kmalloc_index(size)], &round)))
		return slab_issue(round);
	return alloc_any(size, gfp, CALLER_ADDRESS);
}

/* ---- The way back -------------------------------------------------------------------------------------- */

/* Panics unless the frame entry, slab_page_of(pointer), is PAGE_SLAB, or PAGE_KMALLOC and the pointer its first byte. */
static void judge(const struct page *page, const void *pointer, const char *call)
{
	if (page && page->type == PAGE_SLAB)
		return;
	if (!page || page->type != PAGE_KMALLOC || !is_aligned((uintptr_t)pointer, PAGE_SIZE))
		slab_report_foreign(call, pointer);
}

static size_t usable_size(const void *pointer, const char *call)
{
	struct page *page = slab_page_of(pointer);

	judge(page, pointer, call);
	if (page->type == PAGE_KMALLOC)
		return large_size(page);
	return kmem_cache_size(slab_live_object_cache(page, pointer, call));
}

/* pre: `page` is slab_page_of(pointer) */
static NOINLINE void free_decoded(const void *pointer, struct page *page, const char *call, uintptr_t caller)
{
	if (is_zero_or_null(pointer))
		return;
	judge(page, pointer, call);
	if (page->type == PAGE_SLAB)
		slab_free(page, (void *)pointer, call, caller);
	else if (unlikely(!free_large(page)))
		slab_report_foreign(call, pointer);
}

static void free_any(const void *pointer, const char *call, uintptr_t caller)
{
	free_decoded(pointer, slab_page_of(pointer), call, caller);
}

void kfree(const void *pointer)
{
	struct page *page = slab_page_of(pointer);
	struct slab *slab;
	struct cpu_pair round;

	if (likely(page && page->type == PAGE_SLAB) &&
	    likely(slab_retire(slab = page->owner, (void *)pointer, &round, CALLER_ADDRESS)))
		slab_push(slab->cache, round);
	else
		free_decoded(pointer, page, "kfree", CALLER_ADDRESS);
}

void kfree_sensitive(const void *pointer)
{
	if (is_zero_or_null(pointer))
		return;
	memset((void *)pointer, 0, usable_size(pointer, "kfree_sensitive"));
	__asm__ volatile(""
	                 :
	                 : "r"(pointer)
	                 : "memory"); /* the wipe has a reader: it may not be optimised away */
	free_any(pointer, "kfree_sensitive", CALLER_ADDRESS);
}

size_t ksize(const void *pointer)
{
	return is_zero_or_null(pointer) ? 0 : usable_size(pointer, "ksize");
}

void *krealloc(const void *pointer, size_t size, gfp_t gfp)
{
	if (is_zero_or_null(pointer))
		return alloc_any(size, gfp, CALLER_ADDRESS);
	if (!size) {
		free_any(pointer, "krealloc", CALLER_ADDRESS);
		return ZERO_SIZE_PTR;
	}
	size_t usable = usable_size(pointer, "krealloc");
	if (size <= usable)
		return (void *)pointer;
	void *moved = alloc_any(size, gfp, CALLER_ADDRESS);
	if (!moved)
		return NULL;
	memcpy(moved, pointer, usable);
	free_any(pointer, "krealloc", CALLER_ADDRESS);
	return moved;
}
