/*
 * Quarantine: ranges that were given back, that every CPU has forgotten, and that nobody gets yet.
 *
 * Whoever still has a pointer into a freed area is caught while nothing is mapped there. A range that becomes the next area
 * at once hides such a mistake; here it waits until others that were freed after it, of `limit` bytes together, have pushed
 * it out. Only addresses wait: frames and tables went with the flush.
 *
 *	flushed ──► newest [ · | · | · | … | · | · ] oldest ──► a spare range of this CPU, or a hole     while bytes > limit
 *	                └── next ◄──── next ────┘
 *
 * Q1  An area in the queue is VM_QUARANTINED and dying, nothing is mapped in it, and every CPU has flushed since it was.
 * Q2  `nr` areas are in the queue, of `bytes` bytes, guards included; when a call ends, bytes <= limit.
 * Q3  Each leads to the one that was given back next; the newest to none.
 *
 * A node has no room for another pointer, but what its frames were is over. So the next node's frame number stands in
 * `frames`, and its place in that frame, one of 64, in six bits of the flags.
 *
 * A range larger than the limit does not stay, nor does it push out others. All of them go when somebody would be refused
 * virtual space, or memory, as each keeps a node. vm_unmap_aliases() leaves them: nobody reaches anything through them.
 * Blocks of vm_map_ram(), which nobody was given as such, pass it by.
 *
 * Locking: the queue by vmalloc_state.lock, the limit besides read without. Off, it costs that one load per flush.
 *
 * Cost: one round of the lock for a list that comes in, one for each batch that goes out.
 */
#include <arch/directmap.h>
#include <lib/check.h>
#include "vmalloc_internal.h"

enum { SLOT_SHIFT = 13, SLOT_SIZE = sizeof(struct vmap_area), SLOT_MASK = PAGE_SIZE / SLOT_SIZE - 1 };
_Static_assert(SLOT_MASK == 63 && !(((uint32_t)SLOT_MASK << SLOT_SHIFT) &
                                    (VM_GUARD_BEFORE | VM_AT_END | VM_GONE | VM_DEFERRED | VM_DYING)),
               "a node's place in its frame fits between the flags");

struct quarantine quarantine;

static struct vmap_area *next_of(const struct vmap_area *area)
{
	if (area->frames == PFN_NONE)
		return NULL;
	char *frame = paddr_to_directmap(pfn_to_paddr(pfn(area->frames)));
	return (struct vmap_area *)(void *)(frame + (area_flags(area) >> SLOT_SHIFT & SLOT_MASK) * SLOT_SIZE);
}

static void set_next(struct vmap_area *area, const struct vmap_area *next)
{
	uint32_t slot = (uint32_t)((uintptr_t)next % PAGE_SIZE / SLOT_SIZE);
	uint32_t flags = area_flags(area) & ~((uint32_t)SLOT_MASK << SLOT_SHIFT);

	area_set_flags(area, flags | slot << SLOT_SHIFT);
	__atomic_store_n(&area->frames,
	                 next ? (uint32_t)paddr_to_pfn(directmap_to_paddr(next)).raw : PFN_NONE,
	                 __ATOMIC_RELAXED);
}

static size_t size_of(const struct vmap_area *area)
{
	return area->va_end - area->va_start;
}

static void push(struct vmap_area *area)
{
	set_next(area, NULL);
	area_set_flags(area, area_flags(area) | VM_QUARANTINED);
	if (quarantine.newest)
		set_next(quarantine.newest, area);
	else
		quarantine.oldest = area;
	quarantine.newest = area;
	quarantine.bytes += size_of(area);
	quarantine.nr++;
}

static struct vmap_area *pop(void)
{
	struct vmap_area *area = quarantine.oldest;

	quarantine.oldest = next_of(area);
	if (!quarantine.oldest)
		quarantine.newest = NULL;
	quarantine.bytes -= size_of(area);
	quarantine.nr--;
	set_next(area, NULL);
	area_set_flags(area, area_flags(area) & ~(uint32_t)VM_QUARANTINED);
	return area;
}

size_t quarantine_take(struct vmap_area **areas, size_t count)
{
	size_t too_large = 0;

	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	for (size_t i = 0; i < count; i++) {
		if (size_of(areas[i]) <= quarantine.limit)
			push(areas[i]);
		else
			areas[too_large++] = areas[i];
	}
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return too_large;
}

size_t quarantine_expire(struct vmap_area **areas, size_t limit)
{
	size_t count = 0;

	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	limit = min_u64(limit, quarantine.limit);
	while (count < RELEASE_BATCH && quarantine.bytes > limit)
		areas[count++] = pop();
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return count;
}

void quarantine_set_limit(size_t bytes)
{
	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	__atomic_store_n(&quarantine.limit, bytes, __ATOMIC_RELAXED);
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
}

const char *quarantine_check(void)
{
	size_t nr = 0, bytes = 0;
	const struct vmap_area *last = NULL;

	for (const struct vmap_area *area = quarantine.oldest; area; area = next_of(area)) {
		CHECK(kmem_cache_owns(vmalloc_state.nodes, area),
		      "Q3: the queue leads to %p, which is no area", (const void *)area);
		CHECK((area_flags(area) & (VM_GONE | VM_DYING)) == (VM_QUARANTINED | VM_DYING),
		      "Q1: 0x%lx-0x%lx is in quarantine, flags 0x%x", area->va_start, area->va_end,
		      area->flags);
		CHECK(++nr <= quarantine.nr,
		      "Q2: more than the %zu areas that were counted are in quarantine", quarantine.nr);
		bytes += size_of(area);
		last = area;
	}
	CHECK(last == quarantine.newest, "Q3: the queue does not end with its newest area");
	CHECK(nr == quarantine.nr && bytes == quarantine.bytes,
	      "Q2: %zu areas of %zu bytes are in quarantine, counted as %zu of %zu", nr, bytes, quarantine.nr,
	      quarantine.bytes);
	CHECK(bytes <= quarantine.limit, "Q2: %zu bytes are in quarantine, which is one of %zu", bytes,
	      quarantine.limit);
	return NULL;
}
