/*
 * Words about pointers: what a pointer is, and what is wrong with one that came back. Nothing here allocates
 * or takes a lock, so that fault reports may ask. Reports end the machine; slab.c and kmalloc.c call them
 * with no lock held.
 *
 * In the debug build each slot knows who allocated or freed it last, and the reports name that code.
 */
#include <mm/slab.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include "slab_internal.h"

/* Where a pointer into a slab points. */
struct place {
	unsigned slot;
	size_t past; /* bytes beyond the start of the slot */
	bool tail;   /* in the waste behind the last slot */
	bool live;
};

static struct place locate(const struct slab *slab, const void *pointer)
{
	size_t offset = (size_t)((const char *)pointer - slab->base);
	unsigned slot = slab_slot_at(slab, offset);
	struct place place = {.slot = slot, .past = offset - (size_t)slot * slab->slot_size};

	place.tail = slot >= slab->slots;
	place.live = !place.tail && slab->state[slot] != SLOT_FREE;
	return place;
}

/* What a frame holds that is no slab; `block` is what it lies in, or NULL. */
static const char *name_frame(pfn_t frame, const struct page *block)
{
	if (!block)
		return page_is_backed(frame) ? "reserved memory" : "no RAM";
	switch (block->type) {
	case PAGE_FREE:
	case PAGE_CACHED:
		return "a free page";
	case PAGE_HELD:
		return "a page of alloc_pages()";
	case PAGE_EXACT:
		return "a page of alloc_pages_exact()";
	case PAGE_TABLE:
		return "a page table";
	case PAGE_VMALLOC:
		return "a page behind a vmalloc area";
	default:
		return page_type_name(block->type);
	}
}

/* What an address outside the direct map is. */
static const char *name_address(const void *pointer)
{
	uintptr_t address = (uintptr_t)pointer;

	if (address < PAGE_SIZE)
		return "in the NULL page";
	if (!vaddr_is_canonical(vaddr(address), kernel_pagetable.levels))
		return "not a canonical address";
	if (address >= KIMAGE_BASE)
		return "in the kernel image";
	return "outside the direct map";
}

static NORETURN void report_large(const char *call, const void *pointer, const struct page *large)
{
	size_t past = (uintptr_t)pointer - (uintptr_t)page_address(large),
	       size = large->private << PAGE_SHIFT;

	if (!past)
		panic("%s: %p is a large kmalloc of %zu bytes, use kfree(); allocated by %pS", call, pointer,
		      size, (void *)page_caller(large));
	panic("%s: %p is %zu bytes inside the large kmalloc of %zu bytes at %p, allocated by %pS", call,
	      pointer, past, size, page_address(large), (void *)page_caller(large));
}

void slab_report_foreign(const char *call, const void *pointer)
{
	uintptr_t address = (uintptr_t)pointer;

	if (is_vmalloc_addr(pointer))
		panic("%s: %p is a vmalloc address, use vfree()", call, pointer);
	if (!is_directmap_address(vaddr(address)))
		panic("%s: %p is not an allocated object (%s)", call, pointer, name_address(pointer));

	pfn_t frame = paddr_to_pfn(directmap_to_paddr(pointer));
	const struct page *block = page_find_block(frame);
	if (block && block->type == PAGE_TAIL)
		block = pfn_to_page(pfn(block->private));
	if (block && block->type == PAGE_KMALLOC)
		report_large(call, pointer, block);
	const char *what = name_frame(frame, block);
	if (block && block->type >= PAGE_HELD)
		panic("%s: %p is not an allocated object (%s), allocated by %pS", call, pointer, what,
		      (void *)page_caller(block));
	panic("%s: %p is not an allocated object (%s)", call, pointer, what);
}

static NORETURN void report_interior(const char *call, const struct slab *slab, const void *pointer)
{
	struct place place = locate(slab, pointer);
	const char *state = place.live ? "live" : "free";

	if (place.tail)
		panic("%s: %p is behind the last object of a slab of cache %s", call, pointer,
		      slab->cache->name);
	if (IS_DEBUG)
		panic("%s: %p is %zu bytes inside %s object %u of cache %s at %p, %s by %pS", call, pointer,
		      place.past, state, place.slot, slab->cache->name, slab_object(slab, place.slot),
		      place.live ? "allocated" : "freed", slab_caller(slab, place.slot));
	panic("%s: %p is %zu bytes inside %s object %u of cache %s at %p", call, pointer, place.past, state,
	      place.slot, slab->cache->name, slab_object(slab, place.slot));
}

static NORETURN void report_free(const char *call, const struct slab *slab, unsigned slot)
{
	if (IS_DEBUG)
		panic("%s: object %u of cache %s at %p is already free, freed by %pS", call, slot,
		      slab->cache->name, slab_object(slab, slot), slab_caller(slab, slot));
	panic("%s: object %u of cache %s at %p is already free", call, slot, slab->cache->name,
	      slab_object(slab, slot));
}

/* What slab_find() does not find. */
void slab_report_refused(const char *call, const struct slab *slab, const void *pointer)
{
	struct place place = locate(slab, pointer);

	if (place.past || place.tail)
		report_interior(call, slab, pointer);
	report_free(call, slab, place.slot);
}

void slab_report_issued_twice(struct cpu_pair round)
{
	const struct slab *slab = round_slab(round);

	panic("kmem_cache_alloc: free object %u of cache %s at %p is live: freed twice at once, or its descriptor was written over",
	      round_slot(slab, round), slab->cache->name, round.first);
}

void *slab_issue_refused(struct cpu_pair round)
{
	slab_report_issued_twice(round);
}

void slab_report_returned_twice(struct cpu_pair round)
{
	const struct slab *slab = round_slab(round);

	panic("slab: object %u of cache %s at %p comes out of a magazine, but is %s: freed twice at once, or its descriptor was written over",
	      round_slot(slab, round), slab->cache->name, round.first,
	      *(const uint8_t *)round.second == SLOT_FREE ? "in its slab" : "live");
}

void slab_report_internal(const char *call, const struct slab *slab, const void *pointer)
{
	panic("%s: %p is the slab layer's own, of cache %s", call, pointer, slab->cache->name);
}

void slab_report_other_cache(const char *call, const struct slab *slab, const void *pointer,
                             const struct kmem_cache *expected)
{
	struct place place = locate(slab, pointer);

	panic("%s: %p is in slot %u of cache %s, not of cache %s", call, pointer, place.slot,
	      slab->cache->name, expected->name);
}

void slab_report_damage(const struct slab *slab, unsigned slot, size_t byte)
{
	const uint8_t *object = slab_object(slab, slot);

	panic("slab: object %u of cache %s at %p was written after it was freed at byte %zu (0x%02x), freed by %pS",
	      slot, slab->cache->name, (const void *)object, byte, object[byte], slab_caller(slab, slot));
}

void slab_judge_request(const struct kmem_cache *cache, gfp_t gfp, uintptr_t caller)
{
	if (gfp & (__GFP_DMA | __GFP_DMA32 | ~GFP_ALL))
		panic("kmem_cache_alloc: flags 0x%x mean nothing to cache %s, asked by %pS",
		      gfp & (__GFP_DMA | __GFP_DMA32 | ~GFP_ALL), cache->name, (void *)caller);
	if (gfp & __GFP_ZERO && cache->ctor)
		panic("kmem_cache_alloc: zeroing would undo the constructor of cache %s, asked by %pS",
		      cache->name, (void *)caller);
	if (gfp_contradiction(gfp))
		panic("kmem_cache_alloc: %s, cache %s, asked by %pS", gfp_contradiction(gfp), cache->name,
		      (void *)caller);
	if ((gfp & __GFP_RECLAIM) && in_interrupt())
		panic("kmem_cache_alloc: GFP_KERNEL in interrupt context, cache %s, asked by %pS",
		      cache->name, (void *)caller);
}

void slab_report_live(const struct kmem_cache *cache, size_t count, void *const *first, size_t nr_first)
{
	char addresses[128];
	size_t length = 0;

	for (size_t i = 0; i < nr_first; i++)
		length += format_buffer(addresses + length, sizeof(addresses) - length, " %p", first[i]);
	panic("kmem_cache_destroy: cache %s has %zu live objects:%s%s", cache->name, count, addresses,
	      count > nr_first ? " …" : "");
}

bool slab_describe(const void *pointer, struct printer *out)
{
	const struct slab *slab = slab_of(pointer);

	if (!slab)
		return false;
	struct place place = locate(slab, pointer);
	if (place.tail) {
		print(out, "unused end of a slab of cache %s", slab->cache->name);
		return true;
	}
	if (place.slot < slab->cache->first_slot) {
		print(out, "descriptor in a slab of cache %s", slab->cache->name);
		return true;
	}
	print(out, "%s object %u of cache %s", place.live ? "live" : "free", place.slot, slab->cache->name);
	if (place.past)
		print(out, ", %zu bytes past its start at %p", place.past, slab_object(slab, place.slot));
	if (IS_DEBUG && slab_callers(slab)[place.slot])
		print(out, ", %s by %pS", place.live ? "allocated" : "freed", slab_caller(slab, place.slot));
	return true;
}
