/*
 * Areas that show what is not theirs: frames of the caller's, a device's memory (ioremap.c), or nothing yet.
 *
 * Frames that follow each other are mapped by the largest leaves that place and length allow; all others one by one. Either
 * way 16 MiB at a time, or one larger leaf: in between, interrupts are served. What cannot be mapped wholly is unmapped
 * again. Unmapping flushes at once, as nobody knows what the frames' owners do with them next.
 */
#include <lib/panic.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include "mm_internal.h"
#include "vmalloc_internal.h"

/* ---- Mapping ----------------------------------------------------------------------------------------------------- */

/* The size of the leaf that maps `at` to `pa` where `size` bytes follow each other. */
static size_t leaf_size(uintptr_t at, uint64_t pa, size_t size)
{
	unsigned level = mm_state.max_level;

	while (level > 1 && (size < pt_level_size(level) || !is_aligned(at | pa, pt_level_size(level))))
		level--;
	return pt_level_size(level);
}

/* `size` bytes that follow each other, with the largest leaves. On failure some of them are mapped. */
static bool map_run(uintptr_t at, uint64_t pa, size_t size, const struct request *want)
{
	unsigned attempts = 0;

	while (size) {
		size_t part = area_part_end(at, at + size, leaf_size(at, pa, size)) - at;
		if (likely(pagetable_map(&kernel_pagetable, vrange(at, at + part), paddr(pa), want->prot,
		                         mm_state.max_level))) {
			at += part;
			pa += part;
			size -= part;
		} else if (!may_try_again(want, &attempts)) {
			return false;
		}
	}
	return true;
}

static bool map_runs(uintptr_t at, struct page *const *pages, size_t count, const struct request *want)
{
	bool mapped = true;

	while (count && mapped) {
		size_t run = 1;
		while (run < count && pages[run] == pages[0] + run)
			run++;
		mapped = map_run(at, page_to_paddr(pages[0]).raw, run << PAGE_SHIFT, want);
		at += run << PAGE_SHIFT;
		pages += run;
		count -= run;
	}
	return mapped;
}

static bool map_scattered(uintptr_t at, struct page *const *pages, size_t count, const struct request *want)
{
	bool mapped = true;

	while (count && mapped) {
		size_t part = min_u64(count, AREA_PART >> PAGE_SHIFT);
		mapped = map_frames(vaddr(at), pages, part, want);
		at += part << PAGE_SHIFT;
		pages += part;
		count -= part;
	}
	return mapped;
}

void area_unmap(const struct vmap_area *area)
{
	uintptr_t end = area_data_end(area), stop;

	for (uintptr_t at = area_data_start(area); at < end; at = stop) {
		struct translation leaf;
		bool found = end - at > AREA_PART && pagetable_find(&kernel_pagetable, vaddr(at), &leaf);
		/* Where nothing is, mostly nothing follows. */
		stop = area_part_end(at, end, found ? pt_level_size(leaf.level) : PGD_SIZE);
		bool unmapped = pagetable_unmap(&kernel_pagetable, vrange(at, stop), NULL);
		ASSERT(unmapped); /* whole leaves */
	}
}

bool area_map_pages(const struct vmap_area *area, struct page *const *pages, size_t count,
                    const struct request *want)
{
	uintptr_t at = area_data_start(area);
	bool mapped =
	        want->large_align ? map_runs(at, pages, count, want) : map_scattered(at, pages, count, want);

	if (unlikely(!mapped))
		area_unmap(area);
	return mapped;
}

bool area_map_device(const struct vmap_area *area, const struct request *want)
{
	uintptr_t at = area_data_start(area);
	bool mapped = map_run(at, want->phys_addr, area_data_end(area) - at, want);

	if (unlikely(!mapped))
		area_unmap(area);
	return mapped;
}

bool map_frames(vaddr_t at, struct page *const *pages, size_t count, const struct request *want)
{
	unsigned attempts = 0;

	while (unlikely(!pagetable_map_pages(&kernel_pagetable, at, pages, count, want->prot)))
		if (!may_try_again(want, &attempts))
			return false;
	return true;
}

bool map_blocks(struct vrange at, struct page *const *blocks, const struct request *want)
{
	unsigned attempts = 0;

	while (unlikely(!pagetable_map_blocks(&kernel_pagetable, at, blocks, want->prot)))
		if (!may_try_again(want, &attempts))
			return false;
	return true;
}

/* ---- vmap -------------------------------------------------------------------------------------------------------- */

/* A held single frame. The entries inside a block may be garbage. */
static bool is_held_single(const struct page *page)
{
	return page_is_written(page_to_pfn(page)) && page_is_head(page, PAGE_HELD, 0);
}

/* Frames of the caller's become the area's. Returns how many did: the next one, if there is one, is no held single. */
static size_t frames_adopt(struct vmap_area *area, struct page *const *pages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (unlikely(!is_held_single(pages[i])))
			return i;
		frame_own(area, pages[i]);
	}
	return count;
}

/* pages[n] was to become the area's and cannot: undo, then report. */
static NORETURN void report_adoption(struct vmap_area *area, struct page *const *pages, size_t n,
                                     const void *caller)
{
	bool twice = pages[n]->type == PAGE_VMALLOC && pages[n]->owner == area;

	frames_disown(pages, n);
	area_cancel(area);
	panic("vmap: frame 0x%lx, %s, cannot be given away as a single frame, from %pS",
	      page_to_pfn(pages[n]).raw, twice ? "listed twice" : page_type_name(pages[n]->type), caller);
}

/*
 * The largest leaf that may begin with the first of the frames: its first and last frame say so. map_runs() asks all of
 * them.
 */
static unsigned run_level(struct page *const *pages, size_t count)
{
	unsigned level = mm_state.max_level;

	for (; level > 1; level--) {
		size_t leaf = pt_level_size(level) >> PAGE_SHIFT;
		if (count >= leaf && is_aligned(page_to_pfn(pages[0]).raw, leaf) &&
		    pages[leaf - 1] == pages[0] + (leaf - 1))
			break;
	}
	return level;
}

void *vmap(struct page *const *pages, unsigned count, unsigned long flags, pgprot_t prot)
{
	const void *caller = (void *)CALLER_ADDRESS;
	bool give_away = flags & VM_MAP_PUT_PAGES;
	struct request want =
	        request_anywhere("vmap", caller, (size_t)count << PAGE_SHIFT, (uint32_t)flags, prot);
	const char *fault = request_fault(&want);

	if (!fault && (flags & ~(unsigned long)(VM_MAP_PUT_PAGES | VM_GUARDS)) != VM_MAP)
		fault = "bad area flags";
	if (!fault && count > nr_managed_pages())
		fault = "more than all RAM";
	if (unlikely(fault))
		return refuse(&want, fault);

	unsigned level = give_away ? 1 : run_level(pages, count);
	if (level > 1)
		want.large_align = pt_level_size(level);
	struct vmap_area *area = area_reserve(&want);
	if (unlikely(!area))
		return NULL;
	size_t adopted = give_away ? frames_adopt(area, pages, count) : count;
	if (unlikely(adopted < count))
		report_adoption(area, pages, adopted, caller);
	if (unlikely(!area_map_pages(area, pages, count, &want))) {
		if (give_away)
			frames_disown(pages, count);
		area_cancel(area);
		return refuse(&want, "no page-table page");
	}
	return area_publish(area);
}

void vunmap(const void *address)
{
	if (address)
		release("vunmap", VM_MAP, (uintptr_t)address, (void *)CALLER_ADDRESS);
}

/* ---- Areas for others to fill ------------------------------------------------------------------------------------ */

/* VM_MAP or VM_IOREMAP, one of them, and perhaps other guards. */
static bool is_plain_area(unsigned long flags)
{
	flags &= ~(unsigned long)VM_GUARDS;
	return flags == VM_MAP || flags == VM_IOREMAP;
}

struct vmap_area *get_vm_area(size_t size, unsigned long flags)
{
	struct request want =
	        request_anywhere("get_vm_area", (void *)CALLER_ADDRESS, size, (uint32_t)flags, PAGE_KERNEL);
	const char *fault = request_fault(&want);

	if (unlikely(fault || !is_plain_area(flags)))
		return refuse(&want, fault ? fault : "bad area flags");
	if (flags & VM_IOREMAP)
		want.align = device_align(size);
	struct vmap_area *area = area_reserve(&want);
	if (likely(area)) {
		area_unmap(area); /* as area_cancel(): it may never be mapped */
		area_publish(area);
	}
	return area;
}

void free_vm_area(struct vmap_area *area)
{
	const void *caller = (void *)CALLER_ADDRESS;

	if (unlikely(find_vm_area((void *)area->va_start) != area))
		panic("free_vm_area: %p is no area, from %pS", (void *)area, caller);
	if (unlikely(area_class(area) != VM_MAP && area_class(area) != VM_IOREMAP))
		report_release("free_vm_area", area_address(area), area, caller);
	release("free_vm_area", area_class(area), area_address(area), caller);
}

void *vm_area_address(const struct vmap_area *area)
{
	return (void *)area_address(area);
}
