/*
 * Virtually contiguous memory.
 *
 * Promise: any number of single frames behind consecutive addresses, with an unmapped page behind the last. All or
 * nothing: what cannot be completed leaves no range, no frame, no table and no node behind.
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
 * V5  Every data page of an area that owns its frames is mapped to one of them, and every leaf to one block: of type
 *     PAGE_VMALLOC, owned by the area, a single frame behind a 4 KiB leaf, one of 2 MiB behind a 2 MiB leaf
 *     (VM_ALLOW_HUGE_VMAP only).
 * V6  nr_pages is the number of these frames, and of the blocks of vm_map_ram.c, each of which owns one.
 *
 * V7  What was given back and is not a hole yet (VM_LAZY, VM_SPARE, VM_QUARANTINED) has nothing mapped and is kept by one
 *     CPU (vmap_range.c) or in quarantine (quarantine.c). nr_gone and gone_bytes count it.
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
 * Large areas of PAGE_KERNEL memory begin at a multiple of 2 MiB and are filled with blocks of that size, each of which
 * costs hardly more than a page does. What cannot be had so is made of pages. When a permission changes in a part of a
 * block, the page table splits the leaf, and the block follows it (area_split_blocks()).
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
 * Locks: vmalloc_state.lock around the ranges, and while a block is split. Otherwise frames, tables and nodes come and go with it not held. Flags change
 * by atomic operations, so that who takes an area needs no lock. Mistakes are reported with none held.
 *
 * Cost: O(log n) in areas and holes for the range, beyond that a constant per page.
 */
#include <arch/irq.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include <mm/fault_inject.h>
#include <mm/kmalloc.h>
#include <mm/lock_rank.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/vmap_notifier.h>
#include "mm_internal.h"
#include "vmalloc_internal.h"

struct vmalloc_state vmalloc_state = {.lock = SPINLOCK_INIT("vmalloc", RANK_VMALLOC)};

/* Frames fetched and mapped at a time: 512 bytes of stack, and a lock round for each 64 pages. */
enum { FILL_BATCH = 64, RECLAIM_ATTEMPTS = 16 };

/* A large leaf of an area that owns its frames, and the block behind it. */
enum { LARGE_LEVEL = 2, LARGE_ORDER = PT_INDEX_BITS, LARGE_PAGES = 1 << LARGE_ORDER };
#define LARGE_SIZE PMD_SIZE

/* Mapped or cleared with interrupts masked at a time: 4,096 pages, or one larger leaf. */
#define PART (16UL << 20)

struct vrange vmalloc_window;

/* What a caller may say of guards. */
enum { VM_GUARDS = VM_NO_GUARD | VM_GUARD_BEFORE };

static struct vrange window(void)
{
	return vmalloc_window;
}

static void allow_large(struct request *want)
{
	if (want->size < LARGE_SIZE)
		return;
	want->flags |= VM_ALLOW_HUGE_VMAP;
	want->large_align = LARGE_SIZE;
}

struct request request_anywhere(const char *call, const void *caller, size_t size, uint32_t flags,
                                pgprot_t prot)
{
	if (unlikely(in_interrupt()))
		panic("%s: in interrupt context, from %pS", call, caller);
	struct request want = {
	        .call = call,
	        .caller = caller,
	        .size = size,
	        .align = PAGE_SIZE,
	        .within = window(),
	        .gfp = GFP_KERNEL,
	        .flags = flags,
	        .prot = prot,
	};
	if (flags == VM_ALLOC && prot.raw == PAGE_KERNEL.raw)
		allow_large(&want);
	return want;
}

void *refuse(const struct request *want, const char *reason)
{
	size_t size = want->size - want->offset;

	if (unlikely(want->gfp & __GFP_NOFAIL))
		panic("%s: %zu bytes, gfp 0x%x, from %pS: %s, and it must not fail", want->call, size,
		      want->gfp, want->caller, reason);
	if (!(want->gfp & __GFP_NOWARN))
		warn("%s: %zu bytes, gfp 0x%x, from %pS: %s", want->call, size, want->gfp, want->caller,
		     reason);
	return NULL;
}

const char *request_fault(const struct request *want)
{
	if (unlikely(pgprot_is_write_exec(want->prot)))
		panic("%s: protection 0x%lx is writable and executable, from %pS", want->call, want->prot.raw,
		      want->caller);
	if (want->size == 0)
		return "zero size";
	if (!(want->prot.raw & PTE_PRESENT) || (want->prot.raw & ~PGPROT_BITS))
		return "bad protection";
	if (want->gfp & ~GFP_ALL)
		return "bad gfp flags";
	if (unlikely(want->gfp & GFP_EFFORT) && gfp_contradiction(want->gfp))
		return gfp_contradiction(want->gfp);
	if (!is_power_of_two(want->align))
		return "bad alignment";
	if (want->within.start.raw >= want->within.end.raw || want->within.start.raw < window().start.raw ||
	    want->within.end.raw > window().end.raw)
		return "range outside the vmalloc window";
	return NULL;
}

/* ---- Ranges ------------------------------------------------------------------------------------------------------- */

static void nodes_give(struct vmap_area *nodes[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (nodes[i])
			kmem_cache_free(vmalloc_state.nodes, nodes[i]);
}

static size_t best_align(const struct request *want)
{
	return max_u64(want->align, want->large_align);
}

static struct vmap_area *node_take(const struct request *want)
{
	struct vmap_area *node = kmem_cache_alloc(vmalloc_state.nodes, META_GFP(want->gfp));

	if (unlikely(!node && (want->gfp & __GFP_NOFAIL)))
		node = kmem_cache_alloc(vmalloc_state.nodes, META_GFP(want->gfp) | __GFP_HIGH);
	return node;
}

/* Any place in the window will do. */
static bool is_anywhere(const struct request *want)
{
	return want->within.start.raw == window().start.raw && want->within.end.raw == window().end.raw;
}

/* The donation for one carving. The second node only if the fit may lie inside a hole. */
static bool nodes_take(struct vmap_area *nodes[VA_CARVE_NODES_MAX], const struct request *want)
{
	bool inside = best_align(want) > PAGE_SIZE || want->within.start.raw > window().start.raw ||
	              __atomic_load_n(&vmalloc_state.gap_pages, __ATOMIC_RELAXED);

	nodes[0] = node_take(want);
	nodes[1] = NULL;
	if (!nodes[0] || !inside)
		return nodes[0];
	nodes[1] = node_take(want);
	if (!nodes[1])
		nodes_give(nodes, 1);
	return nodes[1];
}

/* The range is reserved: what it is for. Whoever looks it up meanwhile finds it VM_UNINITIALIZED. */
static void area_begin(struct vmap_area *area, const struct request *want)
{
	area->requested_size = want->size;
	__atomic_store_n(&area->phys_addr, want->phys_addr, __ATOMIC_RELAXED); /* views look, */
	__atomic_store_n(&area->caller, (uint32_t)(uintptr_t)want->caller, __ATOMIC_RELAXED); /* here too */
	area_set_flags(area, want->flags | VM_UNINITIALIZED);
}

/* Before its first data page. */
static size_t area_lead(const struct request *want)
{
	return want->flags & VM_GUARD_BEFORE ? PAGE_SIZE : 0;
}

/* Bytes of the window. pre: size <= the window's */
static size_t area_span(const struct request *want)
{
	return area_lead(want) + align_up(want->size, PAGE_SIZE) +
	       (want->flags & VM_NO_GUARD ? 0 : PAGE_SIZE);
}

/* What is to stay free before an area that has `nodes`. Needs the lock. */
static size_t draw_gap(const struct request *want, struct vmap_area *const nodes[VA_CARVE_NODES_MAX])
{
	if (likely(!vmalloc_state.gap_pages) || !nodes[1] || !is_anywhere(want))
		return 0;
	return rng_below(&vmalloc_state.gap_rng, vmalloc_state.gap_pages + 1UL) << PAGE_SHIFT;
}

/*
 * Out of the window's holes; NULL if none fits. Donated nodes are used up as they are needed. The window's last page is
 * given to nobody: it is the guard behind an area that has none, and keeps the topmost hole's node where it was allocated
 * when all else is busy (va_space.c).
 */
static struct vmap_area *area_carve(const struct request *want, struct vmap_area *nodes[VA_CARVE_NODES_MAX])
{
	struct va_space *space = &vmalloc_state.space;
	struct vrange within =
	        vrange(want->within.start.raw, min_u64(want->within.end.raw, space->end - PAGE_SIZE));

	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	struct va_place place = {
	        .align = best_align(want), .lead = area_lead(want), .gap = draw_gap(want, nodes)};
	struct vmap_area *area = va_space_alloc_at(space, area_span(want), &place, within, nodes);
	if (unlikely(!area && (place.gap || want->large_align > want->align))) {
		place.align = want->align;
		place.gap = 0;
		area = va_space_alloc_at(space, area_span(want), &place, within, nodes);
	}
	if (area)
		area_begin(area, want);
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return area;
}

/* After so many rounds in which something was given back, but did not help. */
static bool may_go_on(const struct request *want, unsigned rounds)
{
	return (want->gfp & __GFP_RECLAIM) && (rounds < RECLAIM_ATTEMPTS || gfp_persists(want->gfp, rounds));
}

/* There was no such hole: what CPUs keep may be what is missing, then what others give up. */
static struct vmap_area *area_carve_hard(const struct request *want,
                                         struct vmap_area *nodes[VA_CARVE_NODES_MAX])
{
	struct vmap_area *area = NULL;
	unsigned rounds = 0;

	if (want->gfp & __GFP_RECLAIM) {
		do {
			vmap_ranges_purge(); /* what notifiers free waits for this as well */
			area = area_carve(want, nodes);
		} while (!area && !(want->gfp & __GFP_NORETRY) && may_go_on(want, rounds++) && vmap_notify());
	}
	return area;
}

/* A kept range would do: there is nothing special about where it lies or ends. */
static bool is_ordinary(const struct request *want)
{
	return best_align(want) <= PAGE_SIZE && !(want->flags & (VM_NO_GUARD | VM_GUARD_BEFORE)) &&
	       is_anywhere(want);
}

struct vmap_area *area_reserve(const struct request *want)
{
	struct vmap_area *nodes[VA_CARVE_NODES_MAX], *area = NULL;

	if (want->size > vrange_size(want->within) || area_span(want) > vrange_size(want->within) ||
	    fault_injected(want->gfp))
		return refuse(want, "no virtual space");
	if (is_ordinary(want))
		area = vmap_range_take(pages_for(want->size));
	if (area) {
		area_begin(area, want);
	} else {
		vmap_ranges_undefer();
		if (!nodes_take(nodes, want))
			return refuse(want, "no area descriptor");
		area = area_carve(want, nodes);
		if (unlikely(!area && vmap_quarantine_empty()))
			area = area_carve(want, nodes);
		if (unlikely(!area))
			area = area_carve_hard(want, nodes);
		nodes_give(nodes, VA_CARVE_NODES_MAX);
	}
	if (unlikely(!area))
		return refuse(want, "no virtual space");
	if (area_owns_frames(area))
		count_add(&vmalloc_state.nr_pages, area_data_pages(area));
	return area;
}

void vmap_areas_release(struct vmap_area *const *areas, size_t count)
{
	struct vmap_area *released[RELEASE_BATCH * VA_MERGE_NODES_MAX];

	ASSERT(count <= RELEASE_BATCH);
	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	for (size_t i = 0; i < count; i++) {
		DEBUG_ASSERT(!(area_flags(areas[i]) & VM_LAZY)); /* some CPU may still know the way */
		va_space_free(&vmalloc_state.space, areas[i], released + i * VA_MERGE_NODES_MAX);
	}
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	nodes_give(released, count * VA_MERGE_NODES_MAX);
}

void area_cancel(struct vmap_area *area)
{
	if (area_owns_frames(area))
		count_sub(&vmalloc_state.nr_pages, area_data_pages(area));
	vmap_areas_release(&area, 1);
}

void *area_publish(struct vmap_area *area)
{
	area_set_flags(area, area_flags(area) & ~(uint32_t)VM_UNINITIALIZED);
	return (void *)area_address(area);
}

/* ---- Frames and mappings ------------------------------------------------------------------------------------------ */

static void frame_own(struct vmap_area *area, struct page *page)
{
	page_set_type(page, PAGE_VMALLOC);
	page->owner = area;
}

/* A held single frame. The entries inside a block may be garbage. */
static bool is_held_single(const struct page *page)
{
	return page_entry_written(pfn_to_page(pfn(0)), page_to_pfn(page).raw) &&
	       page_is_head(page, PAGE_HELD, 0);
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

static void frames_disown(struct page *const *pages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		page_set_type(pages[i], PAGE_HELD);
		pages[i]->owner = NULL;
	}
}

/* The same for a list: it has taken the owners' place already. */
static void frames_disown_list(const struct page_list *list)
{
	for (uint32_t frame = list->head; frame != PFN_NONE;) {
		struct page *page = pfn_to_page(pfn(frame));
		page_set_type(page, PAGE_HELD);
		frame = page->next;
	}
}

bool may_try_again(const struct request *want, unsigned *attempts)
{
	unsigned rounds = (*attempts)++;

	return may_go_on(want, rounds) && reclaim_for(want->gfp, rounds);
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

/* Where the part of [at, end) ends that begins with a leaf of `leaf` bytes. No leaf reaches out of it. */
static uintptr_t part_end(uintptr_t at, uintptr_t end, size_t leaf)
{
	size_t part = max_u64(PART, leaf);
	return end - at <= PART ? end : min_u64(align_down(at, part) + part, end);
}

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
		size_t part = part_end(at, at + size, leaf_size(at, pa, size)) - at;
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
		size_t part = min_u64(count, PART >> PAGE_SHIFT);
		mapped = map_frames(vaddr(at), pages, part, want);
		at += part << PAGE_SHIFT;
		pages += part;
		count -= part;
	}
	return mapped;
}

/* Frames that are not the area's: flushed at once. No leaf reaches out of it. */
static void area_unmap(const struct vmap_area *area)
{
	uintptr_t end = area_data_end(area), stop;

	for (uintptr_t at = area_data_start(area); at < end; at = stop) {
		struct translation leaf;
		bool found = end - at > PART && pagetable_find(&kernel_pagetable, vaddr(at), &leaf);
		stop = part_end(at, end, found ? pt_level_size(leaf.level) : PAGE_SIZE);
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

/* As many of `count` new frames as there are. */
static size_t frames_take(struct page **pages, size_t count, const struct request *want)
{
	gfp_t gfp = gfp_may_fail(want->gfp) | __GFP_NOWARN;
	size_t got = alloc_pages_bulk(gfp, count, pages);

	if (unlikely(got < count && (want->gfp & __GFP_NOFAIL)))
		got += alloc_pages_bulk(gfp | __GFP_HIGH, count - got, pages + got);
	return got;
}

/* `count` new frames at `at`; NULL, or what there was none of. */
static const char *fill_batch(struct vmap_area *area, vaddr_t at, size_t count, const struct request *want)
{
	struct page *pages[FILL_BATCH];
	size_t got = frames_take(pages, count, want);

	if (unlikely(got < count)) {
		free_pages_bulk(got, pages);
		return "no frames";
	}
	for (size_t i = 0; i < count; i++)
		frame_own(area, pages[i]);
	if (unlikely(!map_frames(at, pages, count, want))) {
		frames_disown(pages, count);
		free_pages_bulk(count, pages);
		return "no page-table page";
	}
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
	size_t left = area_data_pages(area);
	const char *lacking = NULL;
	bool large =
	        want->large_align; /* until there is no block: then there is none for the next one either */

	/* Invariant: every data page below `at` is filled. */
	while (left && !lacking) {
		size_t count = LARGE_PAGES;
		bool may_be_large = large && left >= count && is_aligned(at.raw, LARGE_SIZE);
		if (may_be_large)
			large = fill_large(area, at, want);
		if (!may_be_large || !large) {
			count = min_u64(left, FILL_BATCH);
			lacking = fill_batch(area, at, count, want);
		}
		at = vaddr_add(at, count << PAGE_SHIFT);
		left -= count;
	}
	return lacking;
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
		stop = part_end(at, end, LARGE_SIZE);
		if (unlikely(area_flags(area) & VM_FLUSH_RESET_PERMS))
			pagetable_withdraw(&kernel_pagetable, vrange(at, stop));
		pagetable_clear(&kernel_pagetable, vrange(at, stop), &frames);
	}
	frames_disown_list(&frames);
	count_sub(&vmalloc_state.nr_pages, area_data_pages(area));
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

static void *allocate(const struct request *want)
{
	const char *fault = request_fault(want);
	if (unlikely(fault))
		return refuse(want, fault);
	if (unlikely(want->size > nr_managed_pages() << PAGE_SHIFT))
		return refuse(want, "more than all RAM");

	struct vmap_area *area = area_reserve(want);
	if (unlikely(!area))
		return NULL;
	const char *lacking = area_fill(area, want);
	if (unlikely(lacking)) {
		vmap_area_dissolve(area, want->caller);
		return refuse(want, lacking);
	}
	return area_publish(area);
}

void *vmalloc(size_t size)
{
	struct request want =
	        request_anywhere("vmalloc", (void *)CALLER_ADDRESS, size, VM_ALLOC, PAGE_KERNEL);
	return allocate(&want);
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
		allow_large(&want);
	if (align)
		want.align = is_power_of_two(align) ? max_u64(align, PAGE_SIZE) : align;
	if (unlikely(vm_flags & ~(unsigned long)(VM_ALLOC | VM_GUARDS | VM_ALLOW_HUGE_VMAP)))
		return refuse(&want, "bad area flags");
	if (unlikely(node != NUMA_NO_NODE && node != 0))
		return refuse(&want, "no such node");
	return allocate(&want);
}

/* ---- Giving back -------------------------------------------------------------------------------------------------- */

static const char *class_freed_by(uint32_t class)
{
	return class == VM_ALLOC ? "vfree"
	       : class == VM_MAP ? "vunmap"
	       : class == VM_RAM ? "vm_unmap_ram"
	                         : "iounmap";
}

/*
 * The address was not one to give back to `call`. `area` is a copy of what holds it, or NULL: of a mapping in a block, if
 * there is one, as if it were an area.
 */
static NORETURN void report_release(const char *call, uintptr_t address, const struct vmap_area *area,
                                    const void *caller)
{
	if (!is_vmalloc_addr((const void *)address)) {
		char text[160];
		struct buffer_printer what;
		buffer_printer_init(&what, text, sizeof(text));
		mm_describe_address(vaddr(address), &what.printer);
		panic("%s: 0x%lx is no vmalloc address, from %pS: %s", call, address, caller, text);
	}
	if (!area)
		panic("%s: 0x%lx is in no area: freed twice, or never allocated; from %pS", call, address,
		      caller);
	if (area->flags & (VM_GONE | VM_DEFERRED))
		panic("%s: 0x%lx was freed before, by %pS; it was in the %s area 0x%lx-0x%lx allocated by %pS, from %pS",
		      call, address, area_freed_by(area), area_kind(area), area->va_start, area->va_end,
		      area_caller(area), caller);
	if (area->flags & VM_DYING)
		panic("%s: 0x%lx is being freed already, from %pS", call, address, caller);
	if (area->flags & VM_RAM_BLOCK)
		panic("%s: 0x%lx is in a block of vm_map_ram(), where nothing is mapped, from %pS", call,
		      address, caller);
	if (address > area_address(area))
		panic("%s: 0x%lx is %zu bytes inside the %s area 0x%lx-0x%lx allocated by %pS, from %pS",
		      call, address, address - area_address(area), area_kind(area), area->va_start,
		      area->va_end, area_caller(area), caller);
	if (address < area_address(area))
		panic("%s: 0x%lx is %zu bytes before what lies at 0x%lx in the %s area 0x%lx-0x%lx allocated by %pS, from %pS",
		      call, address, area_address(area) - address, area_address(area), area_kind(area),
		      area->va_start, area->va_end, area_caller(area), caller);
	panic("%s: 0x%lx is a %s area allocated by %pS, to be freed by %s(), from %pS", call, address,
	      area_kind(area), area_caller(area), class_freed_by(area_class(area)), caller);
}

/* Marks a filled area as leaving; false if it is not there to be freed, or somebody else was faster. */
static bool area_mark_dying(struct vmap_area *area)
{
	uint32_t flags = area_flags(area);

	return !(flags & (VM_DYING | VM_UNINITIALIZED | VM_GONE)) &&
	       __atomic_compare_exchange_n(&area->flags, &flags, flags | VM_DYING, false, __ATOMIC_ACQ_REL,
	                                   __ATOMIC_RELAXED);
}

/*
 * The area whose frame is mapped at `address`, or NULL: without search and lock. Interrupts are masked meanwhile, which
 * holds off every flush and thereby the reuse of tables that the walk may be in, should the address be a wrong one.
 */
struct vmap_area *area_of_frame(uintptr_t address)
{
	irqflags_t flags = irq_save();
	const struct page *page = vmalloc_to_page((const void *)address);
	bool owned = page && page_entry_written(pfn_to_page(pfn(0)), page_to_pfn(page).raw) &&
	             page->type == PAGE_VMALLOC;
	struct vmap_area *area = owned ? page->owner : NULL;
	irq_restore(flags);
	return area && kmem_cache_owns(vmalloc_state.nodes, area) ? area : NULL;
}

/* The area of `class` whose owner was given `address`, marked as leaving. Anything else is the caller's mistake. */
struct vmap_area *area_take(const char *call, uint32_t class, uintptr_t address, const void *caller)
{
	struct vmap_area copy;

	struct vmap_area *area = class == VM_ALLOC ? area_of_frame(address) : NULL;
	if (likely(area && area_address(area) == address && area_class(area) == VM_ALLOC &&
	           area_mark_dying(area)))
		return area;

	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	area = va_space_find(&vmalloc_state.space, address);
	if (area && area_flags(area) & VM_UNINITIALIZED)
		area = NULL; /* nobody was given it yet */
	bool right =
	        area && area_address(area) == address && area_class(area) == class && area_mark_dying(area);
	if (area && !right && !ram_block_find(area, address, &copy))
		copy = *area;
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);

	if (unlikely(!right))
		report_release(call, address, area ? &copy : NULL, caller);
	return area;
}

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

void vfree(const void *address)
{
	if (address)
		release("vfree", VM_ALLOC, (uintptr_t)address, (void *)CALLER_ADDRESS);
}

void vunmap(const void *address)
{
	if (address)
		release("vunmap", VM_MAP, (uintptr_t)address, (void *)CALLER_ADDRESS);
}

/* ---- Ranges for others, and frames of others ---------------------------------------------------------------------- */

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
	if (likely(area))
		area_publish(area);
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

struct vmap_area *find_vm_area(const void *address)
{
	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	struct vmap_area *area = va_space_find(&vmalloc_state.space, (uintptr_t)address);
	if (area && area_flags(area) & VM_GONE)
		area = NULL;
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return area;
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

/* ---- Questions ---------------------------------------------------------------------------------------------------- */

bool is_vmalloc_addr(const void *address)
{
	return vrange_contains(window(), vaddr_of(address));
}

struct page *vmalloc_to_page(const void *address)
{
	struct translation translation;

	if (!is_vmalloc_addr(address) ||
	    !pagetable_lookup(&kernel_pagetable, vaddr_of(address), &translation))
		return NULL;
	pfn_t frame = paddr_to_pfn(translation.pa);
	return page_is_backed(frame) ? pfn_to_page(frame) : NULL;
}

unsigned long vmalloc_to_pfn(const void *address)
{
	struct translation translation;

	if (!is_vmalloc_addr(address) ||
	    !pagetable_lookup(&kernel_pagetable, vaddr_of(address), &translation))
		return 0;
	return paddr_to_pfn(translation.pa).raw;
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

void vmalloc_set_gaps(unsigned pages, uint64_t seed)
{
	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	__atomic_store_n(&vmalloc_state.gap_pages, (uint32_t)min_u64(pages, VMALLOC_GAPS_MAX),
	                 __ATOMIC_RELAXED);
	rng_seed(&vmalloc_state.gap_rng, seed);
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
}

/* ---- Start -------------------------------------------------------------------------------------------------------- */

void vmalloc_init(struct vrange window)
{
	struct vmap_area *hole;

	vmalloc_state.nodes = kmem_cache_create("vmap_area", sizeof(struct vmap_area), 0,
	                                        SLAB_HWCACHE_ALIGN | SLAB_PANIC, NULL);
	hole = kmem_cache_alloc(vmalloc_state.nodes, GFP_KERNEL);
	ASSERT(hole);
	va_space_init(&vmalloc_state.space, window, hole);
	vmalloc_window = window;
	vmap_ranges_init();
}
