/*
 * Areas of the vmalloc window as ranges: from what somebody wants to an area that is there to be filled, and from an address
 * that somebody gives back to the area that leaves. vmalloc.c tells what an area is, and what holds of all of them.
 *
 * Nodes for a new range are taken before the lock, and given back after it if they were not needed. A range comes, in this
 * order: from what this CPU keeps (vmap_range.c); from the window's holes; from them again when what others keep was given
 * back, and when those who can do without were asked (vmap_notifier.c).
 */
#include <arch/irq.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include <mm/fault_inject.h>
#include <mm/lock_rank.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/vmap_notifier.h>
#include "mm_internal.h"
#include "pagetable_internal.h"
#include "vmalloc_internal.h"

struct vmalloc_state vmalloc_state = {.lock = SPINLOCK_INIT("vmalloc", RANK_VMALLOC)};

struct vrange vmalloc_window;

enum { RECLAIM_ATTEMPTS = 16 };

/* ---- Requests ----------------------------------------------------------------------------------------------------- */

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
	if (want->within.start.raw >= want->within.end.raw ||
	    want->within.start.raw < vmalloc_window.start.raw ||
	    want->within.end.raw > vmalloc_window.end.raw)
		return "range outside the vmalloc window";
	return NULL;
}

/* ---- Ranges ------------------------------------------------------------------------------------------------------ */

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
	return want->within.start.raw == vmalloc_window.start.raw &&
	       want->within.end.raw == vmalloc_window.end.raw;
}

/* The donation for one carving. The second node only if the fit may lie inside a hole. */
static bool nodes_take(struct vmap_area *nodes[VA_CARVE_NODES_MAX], const struct request *want)
{
	bool inside = best_align(want) > PAGE_SIZE || want->within.start.raw > vmalloc_window.start.raw ||
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

/* A kept range would do: there is nothing special about where it lies, perhaps its alignment excepted, or how it ends. */
static bool is_ordinary(const struct request *want)
{
	return !(want->flags & (VM_NO_GUARD | VM_GUARD_BEFORE)) && is_anywhere(want);
}

struct vmap_area *area_reserve(const struct request *want)
{
	struct vmap_area *nodes[VA_CARVE_NODES_MAX], *area = NULL;

	if (want->size > vrange_size(want->within) || area_span(want) > vrange_size(want->within) ||
	    fault_injected(want->gfp))
		return refuse(want, "no virtual space");
	if (is_ordinary(want))
		area = vmap_range_take_aligned(pages_for(want->size), best_align(want));
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
		cpu_count(COUNT_AREA_PAGES, area_data_pages(area));
	return area;
}

struct vmap_area *area_take_kept(const struct request *want)
{
	if (IS_DEBUG && fault_inject_armed) /* a question that area_reserve() asks */
		return NULL;
	struct vmap_area *area = vmap_range_take(pages_for(want->size));
	if (likely(area)) {
		area_begin(area, want);
		cpu_count(COUNT_AREA_PAGES, area_data_pages(area));
	}
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
	area_unmap(area); /* a range that was kept may have come with tables that are empty */
	if (area_owns_frames(area))
		cpu_count(COUNT_AREA_PAGES, -area_data_pages(area));
	vmap_areas_release(&area, 1);
}

void *area_publish(struct vmap_area *area)
{
	area_set_flags(area, area_flags(area) & ~(uint32_t)VM_UNINITIALIZED);
	return (void *)area_address(area);
}

bool may_try_again(const struct request *want, unsigned *attempts)
{
	unsigned rounds = (*attempts)++;

	return may_go_on(want, rounds) && reclaim_for(want->gfp, rounds);
}

/* ---- Finding, and taking back ------------------------------------------------------------------------------------ */

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
NORETURN void report_release(const char *call, uintptr_t address, const struct vmap_area *area,
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

struct vmap_area *area_of_leaf(pte_t leaf)
{
	pfn_t frame = paddr_to_pfn(pte_leaf_paddr(leaf, 1));

	if (!pte_present(leaf) || !page_is_written(frame))
		return NULL;
	const struct page *page = pfn_to_page(frame);
	if (page_get_type(page) != PAGE_VMALLOC)
		return NULL;
	struct vmap_area *owner = __atomic_load_n(&page->owner, __ATOMIC_ACQUIRE);
	/* The frame may be given back on another CPU: then it has another type before its link is written over the owner. */
	return page_get_type(page) == PAGE_VMALLOC ? owner : NULL;
}

struct vmap_area *area_of_frame(uintptr_t address)
{
	struct leaf leaf;

	if (!is_vmalloc_addr((const void *)address) || !find_leaf(&kernel_pagetable, address, &leaf))
		return NULL;
	if (unlikely(leaf.level > 1)) /* as if it were one of its first page */
		leaf.entry.raw = pte_leaf_paddr(leaf.entry, leaf.level).raw | (leaf.entry.raw & PTE_PRESENT);
	return area_of_leaf(leaf.entry);
}

struct vmap_area *find_vm_area(const void *address)
{
	irqflags_t flags = irq_save();
	struct vmap_area *area = area_of_frame((uintptr_t)address);
	irq_restore(flags);
	if (likely(area))
		return area;

	flags = spin_lock_irqsave(&vmalloc_state.lock);
	area = va_space_find(&vmalloc_state.space, (uintptr_t)address);
	if (area && area_flags(area) & VM_GONE)
		area = NULL;
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return area;
}

/* The area of `class` whose owner was given `address`, marked as leaving. Anything else is the caller's mistake. */
struct vmap_area *area_take(const char *call, uint32_t class, uintptr_t address, const void *caller)
{
	struct vmap_area copy;

	irqflags_t flags = irq_save();
	struct vmap_area *area = class == VM_ALLOC ? area_of_frame(address) : NULL;
	bool found = area && area_address(area) == address && area_class(area) == VM_ALLOC &&
	             area_mark_dying(area);
	irq_restore(flags);
	if (likely(found))
		return area;

	flags = spin_lock_irqsave(&vmalloc_state.lock);
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

/* ---- Start ------------------------------------------------------------------------------------------------------- */

void vmalloc_set_gaps(unsigned pages, uint64_t seed)
{
	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	__atomic_store_n(&vmalloc_state.gap_pages, (uint32_t)min_u64(pages, VMALLOC_GAPS_MAX),
	                 __ATOMIC_RELAXED);
	rng_seed(&vmalloc_state.gap_rng, seed);
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
}

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
