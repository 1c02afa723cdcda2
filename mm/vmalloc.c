/*
 * Virtually contiguous memory.
 *
 * Promise: any number of pages at consecutive addresses, wherever their frames lie, with an unmapped page behind the last.
 * All or nothing: what cannot be completed leaves no range, no frame, no table and no node behind.
 *
 *	va_start                      va_start + requested_size      va_end
 *	   [ data page | data page | data page  · · slack · · | guard page ]
 *
 * With VM_GUARD_BEFORE, a guard page lies at va_start as well. VM_AT_END is the other way round within the data pages:
 *
 *	   [ guard page | · · slack · ·  data page | data page | data page | guard page ]
 *	                               area_address()                      area_data_end()
 *
 * The area's descriptor is a node of struct va_space: one 64-byte object, found from any address of the area in
 * O(log n). There is no page array. The page table says which frame is behind an address, and each frame that an area
 * owns says which area that is:
 *
 * V1  The virtual ranges are sound (va_space.c's S1 to S6).
 * V2  An area is its requested size, rounded up to pages, a guard page unless VM_NO_GUARD, and one before if
 *     VM_GUARD_BEFORE; VM_AT_END has both, and frames of its own. It has exactly one class: its own frames (VM_ALLOC,
 *     VM_MAP_PUT_PAGES), the caller's frames (VM_MAP; VM_RAM and VM_RAM_BLOCK, vm_map_ram.c), or a device's (VM_IOREMAP;
 *     ioremap.c).
 * V3  No guard page is mapped.
 * V4  Nothing is mapped in a hole.
 * V5  Every data page of an area that owns its frames is mapped to one of them. They are blocks of type PAGE_VMALLOC, owned
 *     by the area: one of 2 MiB behind a 2 MiB leaf (VM_ALLOW_HUGE_VMAP only), or one of up to 8 frames behind as many
 *     4 KiB leaves that follow each other, the head first.
 * V6  COUNT_AREA_PAGES is the number of these frames, and of the blocks of vm_map_ram.c, each of which owns one.
 *
 * V7  What was given back and is not a hole yet (VM_LAZY, VM_SPARE, VM_QUARANTINED) has nothing mapped and is kept by one
 *     CPU (vmap_range.c) or in quarantine (quarantine.c). COUNT_GONE_AREAS and COUNT_GONE_BYTES count it.
 * V8  What was given back in an interrupt and is still as it was (VM_DEFERRED) is kept by one CPU as well; nr_deferred counts
 *     it.
 *
 * V2 and V5 hold when nothing is under way: an area is VM_UNINITIALIZED until it is filled and VM_DYING from the moment
 * it is given back; V8 is the only state of this kind that outlasts a call.
 *
 * Allocation: a range that this CPU keeps, or else nodes and a new range (one round of the lock): the lowest that fits, or
 * a random number of free pages above that (vmalloc_set_gaps()). Then frames and mappings in batches, so that neither stack
 * nor heap grows with the size. Failure unmaps what there is and gives the range back.
 *
 * Frames come in the largest blocks that CPUs keep lists of, and leave in them: taken, owned, found again and freed once for 8
 * pages, of which each costs no more than its entry. What cannot be had so is single frames, for which memory is reclaimed.
 *
 * Large areas of PAGE_KERNEL memory begin at a multiple of 2 MiB and are filled with blocks of that size, each of which
 * costs hardly more than a page does. What cannot be had so is made of smaller blocks. When a permission changes in a part
 * of a block, the page table splits the leaf, and the block follows it (area_split_blocks()).
 *
 * Freeing: mark the area, so that a second vfree() of the same address is caught even while the first one runs; make its
 * entries absent; leave it, with its frames, to this CPU's list of ranges to be flushed (vmap_range.c). Neither a range
 * nor a frame is free while some CPU's memory of the address may still lead there. What maps frames of others is flushed
 * at once, as nobody knows what they do with them next. What set_memory.c has restricted in the direct map is made writable
 * there again before anything else is done with the frames. In an interrupt handler the marked area is left to a later
 * call. None of this needs memory: the area's node becomes the hole's.
 *
 * vfree() finds the area without a search: the frame behind the address knows it. Only an address that leads to no area's
 * first frame is looked up under the lock, to be told what it is.
 *
 * Locks: vmalloc_state.lock around the ranges, and while a block is split. Otherwise frames, tables and nodes come and go
 * with it not held. Flags change by atomic operations, so that who takes an area needs no lock. Mistakes are reported with
 * none held.
 *
 * Cost: a constant for a range that was kept, else O(log n) in areas and holes; beyond that a constant per block, and an
 * entry per page.
 *
 * The ranges are vm_area.c's, mappings of frames that are not the area's vmap.c's; here is what areas own.
 */
#include <lib/panic.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include "mm_internal.h"
#include "page_alloc_internal.h"
#include "pagetable_internal.h"
#include "vmalloc_internal.h"

_Static_assert((int)VM_BLOCK_ORDER == (int)CPU_LIST_ORDERS - 1, "a block comes from a CPU's list");

/* Blocks fetched and mapped at a time: 512 bytes of stack, and at most 512 pages. */
enum { FILL_BATCH = 64 };

/* ---- Frames and mappings ------------------------------------------------------------------------------------------ */

void frames_disown(struct page *const *pages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		page_set_type(pages[i], PAGE_HELD);
		pages[i]->owner = NULL;
	}
}

/* As many of `count` new single frames as there are. */
static size_t frames_take(struct page **pages, size_t count, const struct request *want)
{
	gfp_t gfp = gfp_may_fail(want->gfp) | __GFP_NOWARN;
	size_t got;

	if (count == 1) /* the last one of most areas of an odd number */
		got = (pages[0] = alloc_pages(gfp, 0)) != NULL;
	else
		got = alloc_pages_bulk(gfp, count, pages);
	if (unlikely(got < count && (want->gfp & __GFP_NOFAIL)))
		got += alloc_pages_bulk(gfp | __GFP_HIGH, count - got, pages + got);
	return got;
}

/*
 * Blocks of `left` pages at most; how many pages, and *nr blocks. A block costs what a frame does, and is to be had as long
 * as there is one at hand: *limit is the order to begin with. What is too small for a block, or for what there is none, is
 * single frames: they are the caller's to take.
 */
static ALWAYS_INLINE size_t blocks_take(struct page **blocks, size_t *nr, size_t left, unsigned *limit,
                                        const struct request *want)
{
	gfp_t gfp = AT_HAND_GFP(want->gfp);
	size_t pages = 0;

	for (*nr = 0; left - pages > 1 && *limit && *nr < FILL_BATCH;) {
		unsigned order = (unsigned)min_u64(*limit, log2_floor(left - pages));
		struct page *block = alloc_pages(gfp, order);
		if (unlikely(!block)) {
			*limit = order - 1;
			continue;
		}
		blocks[(*nr)++] = block;
		pages += 1UL << order;
	}
	return pages;
}

static void blocks_give(struct page *const *blocks, size_t nr)
{
	struct page_list list = PAGE_LIST_INIT;

	for (size_t i = 0; i < nr; i++)
		page_list_add(&list, blocks[i]);
	free_page_list(&list);
}

/* *left pages or less, from new blocks, at `at`: *left is how many. NULL, or what there was none of. */
static ALWAYS_INLINE const char *fill_batch(struct vmap_area *area, vaddr_t at, size_t *left, unsigned *limit,
                                            const struct request *want)
{
	struct page *blocks[FILL_BATCH];
	size_t nr, pages = blocks_take(blocks, &nr, *left, limit, want);
	size_t singles = min_u64(*left - pages, FILL_BATCH - nr);
	size_t got = singles ? frames_take(blocks + nr, singles, want) : 0;

	nr += got;
	pages += got;
	if (unlikely(got < singles)) {
		blocks_give(blocks, nr);
		return "no frames";
	}
	for (size_t i = 0; i < nr; i++)
		frame_own(area, blocks[i]);
	if (unlikely(!map_blocks(vrange_sized(at, pages << PAGE_SHIFT), blocks, want))) {
		frames_disown(blocks, nr);
		blocks_give(blocks, nr);
		return "no page-table page";
	}
	*left = pages;
	return NULL;
}

/* A block and a leaf at `at`, if both can be had without effort. */
static bool fill_large(struct vmap_area *area, vaddr_t at, const struct request *want)
{
	struct page *block = alloc_pages(AT_HAND_GFP(want->gfp), LARGE_ORDER);

	if (unlikely(!block))
		return false;
	frame_own(area, block);
	if (likely(pagetable_map(&kernel_pagetable, vrange_sized(at, LARGE_SIZE), page_to_paddr(block),
	                         want->prot, LARGE_LEVEL)))
		return true;
	frames_disown(&block, 1);
	__free_pages(block, LARGE_ORDER);
	return false;
}

static const char *area_fill(struct vmap_area *area, const struct request *want)
{
	vaddr_t at = vaddr(area_data_start(area));
	size_t left = area_data_pages(area), count;
	unsigned limit = VM_BLOCK_ORDER;
	bool large =
	        want->large_align; /* until there is no block: then there is none for the next one either */

	/* Invariant: every data page below `at` is filled. */
	for (; left; at = vaddr_add(at, count << PAGE_SHIFT), left -= count) {
		count = LARGE_PAGES;
		if (unlikely(large) && left >= count && is_aligned(at.raw, LARGE_SIZE) &&
		    (large = fill_large(area, at, want)))
			continue;
		count = left;
		const char *lacking = fill_batch(area, at, &count, &limit, want);
		if (unlikely(lacking))
			return lacking;
	}
	return NULL;
}

/*
 * Everything in the area goes; its range and frames later. Cannot fail. In parts, between which interrupts are served.
 */
size_t vmap_area_dissolve(struct vmap_area *area, const void *caller)
{
	struct page_list frames = PAGE_LIST_INIT;
	uintptr_t end = area_data_end(area), stop;

	if (!area_owns_frames(area)) {
		area_unmap(area);
		if (area_flags(area) & VM_DEVICE)
			device_forget(area);
		vmap_range_give_flushed(area, caller);
		return 0;
	}
	for (uintptr_t at = area_data_start(area); at < end; at = stop) {
		stop = area_part_end(at, end, LARGE_SIZE);
		if (unlikely(area_flags(area) & VM_FLUSH_RESET_PERMS))
			pagetable_withdraw(&kernel_pagetable, vrange(at, stop));
		pagetable_clear(&kernel_pagetable, vrange(at, stop), &frames);
	}
	cpu_count(COUNT_AREA_PAGES, -area_data_pages(area));
	return vmap_range_give(area, &frames, caller);
}

/* A block whose leaf has been split becomes as many frames. pre: no leaf reaches over `edge` */
static void split_block_at(struct vmap_area *area, uintptr_t edge)
{
	uintptr_t start = align_down(edge, LARGE_SIZE);
	struct translation first;

	if (start == edge || start < area_data_start(area) || start + LARGE_SIZE > area_data_end(area))
		return;
	bool found = pagetable_find(&kernel_pagetable, vaddr(start), &first);
	ASSERT(found);
	struct page *block = pfn_to_page(paddr_to_pfn(first.pa));
	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock); /* others may change other pages of it */
	if (block->order == LARGE_ORDER) {
		page_set_type(block, PAGE_HELD);
		split_page(block, LARGE_ORDER);
		for (struct page *page = block; page < block + LARGE_PAGES; page++)
			frame_own(area, page);
	}
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
}

void area_split_blocks(struct vmap_area *area, struct vrange pages)
{
	if (!(area_flags(area) & VM_ALLOW_HUGE_VMAP))
		return;
	split_block_at(area, pages.start.raw);
	split_block_at(area, pages.end.raw);
}

/* ---- vmalloc ------------------------------------------------------------------------------------------------------ */

/* The area is there: all of it is filled, or nothing is left of it. */
static ALWAYS_INLINE void *complete(struct vmap_area *area, const struct request *want)
{
	const char *lacking = area_fill(area, want);

	if (likely(!lacking))
		return area_publish(area);
	vmap_area_dissolve(area, want->caller);
	return refuse(want, lacking);
}

static void *allocate(const struct request *want)
{
	const char *fault = request_fault(want);
	if (unlikely(fault))
		return refuse(want, fault);
	if (unlikely(want->size > nr_managed_pages() << PAGE_SHIFT))
		return refuse(want, "more than all RAM");

	struct vmap_area *area = area_reserve(want);
	return likely(area) ? complete(area, want) : NULL;
}

void *vmalloc(size_t size)
{
	struct request want =
	        request_anywhere("vmalloc", (void *)CALLER_ADDRESS, size, VM_ALLOC, PAGE_KERNEL);
	struct vmap_area *area =
	        area_take_kept(&want); /* most requests are small, and what follows from them is known */

	return likely(area) ? complete(area, &want) : allocate(&want);
}

void *vzalloc(size_t size)
{
	struct request want =
	        request_anywhere("vmalloc", (void *)CALLER_ADDRESS, size, VM_ALLOC, PAGE_KERNEL);
	want.gfp |= __GFP_ZERO;
	return allocate(&want);
}

void *__vmalloc(size_t size, gfp_t gfp, pgprot_t prot)
{
	struct request want = request_anywhere("vmalloc", (void *)CALLER_ADDRESS, size, VM_ALLOC, prot);
	want.gfp = gfp;
	return allocate(&want);
}

void *vmalloc_guarded(size_t size, size_t align)
{
	struct request want = request_anywhere("vmalloc_guarded", (void *)CALLER_ADDRESS, size,
	                                       VM_ALLOC | VM_GUARD_BEFORE | VM_AT_END, PAGE_KERNEL);

	align = max_u64(align, 1);
	if (unlikely(!is_power_of_two(align) || align > PAGE_SIZE))
		return refuse(&want, "bad alignment");
	if (likely(size <= SIZE_MAX - align)) /* else it is too much as it is */
		want.size = align_up(size, align);
	return allocate(&want);
}

void *vmalloc_huge(size_t size, gfp_t gfp)
{
	struct request want =
	        request_anywhere("vmalloc_huge", (void *)CALLER_ADDRESS, size, VM_ALLOC, PAGE_KERNEL);
	want.gfp = gfp;
	return allocate(&want);
}

void *__vmalloc_node_range(size_t size, size_t align, unsigned long start, unsigned long end, gfp_t gfp,
                           pgprot_t prot, unsigned long vm_flags, int node, const void *caller)
{
	struct request want = request_anywhere("vmalloc", caller, size, VM_ALLOC, prot);

	want.gfp = gfp;
	want.within = vrange(start, end);
	want.flags |= vm_flags & VM_GUARDS;
	if (vm_flags & VM_ALLOW_HUGE_VMAP)
		request_allow_large(&want);
	if (align)
		want.align = is_power_of_two(align) ? max_u64(align, PAGE_SIZE) : align;
	if (unlikely(vm_flags & ~(unsigned long)(VM_ALLOC | VM_GUARDS | VM_ALLOW_HUGE_VMAP)))
		return refuse(&want, "bad area flags");
	if (unlikely(node != NUMA_NO_NODE && node != 0))
		return refuse(&want, "no such node");
	return allocate(&want);
}

/* ---- Giving back -------------------------------------------------------------------------------------------------- */

void release(const char *call, uint32_t class, uintptr_t address, const void *caller)
{
	if (unlikely(in_interrupt())) {
		if (class != VM_ALLOC)
			panic("%s: in interrupt context, from %pS", call, caller);
		vmap_range_defer(area_take(call, class, address, caller), caller);
		return;
	}
	vmap_ranges_undefer();
	vmap_area_dissolve(area_take(call, class, address, caller), caller);
}

/*
 * The way of most areas, of which nothing is special and which lie in one last-level table: the walk that leads to the first
 * frame, and so to the area, is the one by which its entries are cleared. False, with nothing done, for any other, and for
 * what is none.
 */
static ALWAYS_INLINE bool release_in_table(uintptr_t address, const void *caller)
{
	struct page_list frames = PAGE_LIST_INIT;
	struct vmap_area *area = NULL;
	uint32_t plain = VM_ALLOC;
	uintptr_t end = 0;

	irqflags_t flags = irq_save();
	pte_t seen, *e = last_table_entry(&kernel_pagetable, address, address, &seen);
	if (likely(e))
		area = area_of_leaf(pte_get(&table_below(seen)[pt_index(vaddr(address), 1)]));
	if (likely(area))
		end = area->va_end - PAGE_SIZE;
	bool found = area && area->va_start == address && (address ^ (end - 1)) < PMD_SIZE &&
	             __atomic_compare_exchange_n(&area->flags, &plain, VM_ALLOC | VM_DYING, false,
	                                         __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	if (likely(found))
		pagetable_clear_in_table(&kernel_pagetable, e, vrange(address, end), &frames);
	irq_restore(flags);
	if (unlikely(!found))
		return false;
	cpu_count(COUNT_AREA_PAGES, -((end - address) >> PAGE_SHIFT));
	vmap_range_give(area, &frames, caller);
	vmap_ranges_undefer();
	return true;
}

void vfree(const void *address)
{
	const void *caller = (void *)CALLER_ADDRESS;

	if (!address)
		return;
	if (unlikely(in_interrupt() || !is_vmalloc_addr(address) ||
	             !release_in_table((uintptr_t)address, caller)))
		release("vfree", VM_ALLOC, (uintptr_t)address, caller);
}

/* ---- Questions ---------------------------------------------------------------------------------------------------- */

bool is_vmalloc_addr(const void *address)
{
	return vrange_contains(vmalloc_window, vaddr_of(address));
}

/* The frame that is mapped at `address`; false if there is none. */
static ALWAYS_INLINE bool find_frame(const void *address, pfn_t *frame)
{
	struct leaf leaf;

	if (unlikely(!is_vmalloc_addr(address)))
		return false;
	(void)find_leaf(&kernel_pagetable, (uintptr_t)address, &leaf);
	if (unlikely(!pte_present(leaf.entry)))
		return false;
	*frame = likely(leaf.level == 1) ? paddr_to_pfn(pte_leaf_paddr(leaf.entry, 1))
	                                 : paddr_to_pfn(leaf_translation(&leaf, (uintptr_t)address).pa);
	return true;
}

struct page *vmalloc_to_page(const void *address)
{
	pfn_t frame;

	return find_frame(address, &frame) && page_is_backed(frame) ? pfn_to_page(frame) : NULL;
}

unsigned long vmalloc_to_pfn(const void *address)
{
	pfn_t frame;

	return find_frame(address, &frame) ? frame.raw : 0;
}

/* ---- kvmalloc ----------------------------------------------------------------------------------------------------- */

void *kvmalloc(size_t size, gfp_t gfp)
{
	/* Up to a page there is nothing that vmalloc could do better; in an interrupt it can do nothing at all. */
	if (size <= PAGE_SIZE || in_interrupt())
		return kmalloc(size, gfp);
	struct request want =
	        request_anywhere("kvmalloc", (void *)CALLER_ADDRESS, size, VM_ALLOC, PAGE_KERNEL);
	want.gfp = gfp;
	const char *fault = request_fault(&want);
	if (unlikely(fault))
		return refuse(&want, fault);
	/*
	 * One block if there is one at hand: nobody is made to give memory back for it while single frames would do. As in
	 * Linux, who says __GFP_RETRY_MAYFAIL wants a block that much.
	 */
	void *memory = kmalloc(size, gfp & __GFP_RETRY_MAYFAIL ? gfp | __GFP_NOWARN : AT_HAND_GFP(gfp));
	return memory ? memory : allocate(&want);
}

void kvfree(const void *address)
{
	if (is_vmalloc_addr(address))
		vfree(address);
	else
		kfree(address);
}
