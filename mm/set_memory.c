/*
 * Permissions of pages that are in use.
 *
 * A frame behind a vmalloc area has two addresses: the area's, and its own in the direct map. A page that is read-only at
 * the one and writable at the other is not read-only, so both change together:
 *
 *	             area    direct map
 *	ro, rw       W       W
 *	x            NX      W goes: what can be executed is written nowhere
 *	nx           NX      -
 *	np, p        P       P
 *
 * What "not present" leaves in the page table is a hidden leaf: it keeps the frame, which the area has written down nowhere
 * else, and all other permissions.
 *
 * R1  No page is writable and executable. The direct map is never executable.
 * R2  A page that one of these calls made executable is writable at neither of its two addresses. (Whoever shows the frame
 *     at a third one, with vmap(), answers for that.)
 * R3  An area of which a frame is restricted in the direct map is VM_FLUSH_RESET_PERMS, so that vfree() resets it.
 * R4  A call that fails has changed nothing and keeps no table.
 *
 * The direct map consists of leaves of up to 1 GiB; to restrict one frame, the leaf is split (pagetable_change()), down to
 * 4 KiB. So is a 2 MiB leaf of the area of which only a part changes, and the block behind it with it (area_split_blocks()).
 * That alone needs memory. Tables of which all leaves are the default again are merged at once.
 *
 * vfree() undoes all that with pagetable_withdraw(): area and restricted aliases are hidden, every CPU flushes, then the
 * aliases become writable. Their frames are neither poisoned nor zeroed nor given to anybody before that; and while some CPU
 * might still execute the area, nothing can write to it. It needs no memory: what differs from the default was split.
 *
 * Lock: the area is looked up under the vmalloc lock, the entries change under the page table's. The caller keeps area or
 * pages alive, and does not free them meanwhile.
 *
 * Cost: a few descents per page, and one flush on every CPU: of the pages, if only the given addresses change, else of
 * everything, as the frames lie anywhere. One more when leaves were split, as a processor must not remember two sizes of
 * leaf for an address when they begin to differ; and one when tables are merged, before they are used again. None if nothing
 * changed that was present.
 */
#include <mm/set_memory.h>
#include <arch/directmap.h>
#include <lib/panic.h>
#include <mm/pagetable.h>
#include "vmalloc_internal.h"

/* The area's part of the checks; returns the area. */
static struct vmap_area *require_area(const char *call, struct vrange pages)
{
	struct vmap_area *area = find_vm_area(vaddr_pointer(pages.start));

	if (unlikely(!area || area_flags(area) & (VM_UNINITIALIZED | VM_DYING)))
		panic("%s: 0x%lx is in no area", call, pages.start.raw);
	if (unlikely(!area_owns_frames(area)))
		panic("%s: 0x%lx is in a %s area, whose frames are not its own", call, pages.start.raw,
		      area_kind(area));
	if (unlikely(pages.start.raw < area_data_start(area) || pages.end.raw > area_data_end(area)))
		panic("%s: [0x%lx, 0x%lx) reaches out of the area 0x%lx-0x%lx", call, pages.start.raw,
		      pages.end.raw, area->va_start, area->va_end);
	return area;
}

static void require_blocks(const char *call, struct vrange pages)
{
	uint64_t end = paddr_to_pfn(paddr(pages.end.raw - DIRECTMAP_BASE)).raw;

	for (uint64_t n = paddr_to_pfn(directmap_to_paddr(vaddr_pointer(pages.start))).raw; n < end;) {
		const struct page *block = page_find_block(pfn(n));
		if (unlikely(!block || !page_is_callers(block)))
			panic("%s: 0x%lx shows a frame that is %s, not one from alloc_pages()", call,
			      DIRECTMAP_BASE + (n << PAGE_SHIFT),
			      page_type_name(block ? block->type : PAGE_NONE));
		n = page_to_pfn(block).raw + (1UL << block->order);
	}
}

static struct vrange require_pages(const char *call, unsigned long addr, int numpages)
{
	uint64_t bytes = (uint64_t)(unsigned)numpages << PAGE_SHIFT;

	if (unlikely(!is_aligned(addr, PAGE_SIZE)))
		panic("%s: 0x%lx is no page's address", call, addr);
	if (unlikely(numpages < 0 || addr + bytes < addr))
		panic("%s: %d pages at 0x%lx", call, numpages, addr);
	return vrange(addr, addr + bytes);
}

static bool change(unsigned long addr, int numpages, struct pagetable_change change)
{
	struct vrange pages = require_pages(change.call, addr, numpages);

	if (!numpages)
		return true;
	if (is_vmalloc_addr((void *)addr)) {
		struct vmap_area *area = require_area(change.call, pages);
		if (!pagetable_change(&kernel_pagetable, pages, &change))
			return false;
		area_split_blocks(area, pages);
		__atomic_fetch_or(&area->flags, VM_FLUSH_RESET_PERMS, __ATOMIC_ACQ_REL);
		return true;
	}
	if (unlikely(!is_directmap_address(pages.start)))
		panic("%s: 0x%lx is neither in the vmalloc window nor in the direct map", change.call, addr);
	if (unlikely(change.leaves.clear & PTE_NO_EXEC))
		panic("%s: 0x%lx is in the direct map, which is never executable", change.call, addr);
	require_blocks(change.call, pages);
	change.alias = (struct pgprot_change){0}; /* it is its own */
	return pagetable_change(&kernel_pagetable, pages, &change);
}

static const struct pgprot_change no_write = {.clear = PTE_WRITE}, write = {.set = PTE_WRITE},
                                  exec = {.clear = PTE_NO_EXEC}, no_exec = {.set = PTE_NO_EXEC},
                                  hide = {.clear = PTE_PRESENT, .set = PTE_HIDDEN},
                                  show = {.clear = PTE_HIDDEN, .set = PTE_PRESENT};

bool set_memory_ro(unsigned long addr, int numpages)
{
	return change(addr, numpages, (struct pagetable_change){"set_memory_ro", no_write, no_write});
}

bool set_memory_rw(unsigned long addr, int numpages)
{
	return change(addr, numpages, (struct pagetable_change){"set_memory_rw", write, write});
}

bool set_memory_x(unsigned long addr, int numpages)
{
	return change(addr, numpages, (struct pagetable_change){"set_memory_x", exec, no_write});
}

bool set_memory_nx(unsigned long addr, int numpages)
{
	return change(addr, numpages, (struct pagetable_change){.call = "set_memory_nx", .leaves = no_exec});
}

bool set_memory_np(unsigned long addr, int numpages)
{
	return change(addr, numpages, (struct pagetable_change){"set_memory_np", hide, hide});
}

bool set_memory_p(unsigned long addr, int numpages)
{
	return change(addr, numpages, (struct pagetable_change){"set_memory_p", show, show});
}
