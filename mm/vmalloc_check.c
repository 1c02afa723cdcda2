/*
 * The areas seen from outside: the verifier of vmalloc.c's invariants, words for an address, /proc/vmallocinfo, counts.
 * Nothing here allocates.
 */
#include <lib/check.h>
#include <lib/printer.h>
#include <mm/pagetable_check.h>
#include "vmalloc_internal.h"

/* ---- Verifier ----------------------------------------------------------------------------------------------------- */

/* One walk over all mappings and all areas, both ascending. */
struct check {
	size_t gone, gone_bytes; /* V7 */
	size_t deferred;
	size_t devices; /* VM_DEVICE areas */
	const struct vmap_area
	        *area; /* the first that does not end at or below what was seen; NULL: none left */
	size_t mapped; /* data pages of `area` seen mapped */
	uint64_t frame,
	        block_end; /* the frame that the next leaf must show; the same: a block must begin there */
	size_t owned;      /* frames owned by the areas before it */
	const char *broken;
};

/* V2 */
static const char *area_check(const struct vmap_area *area)
{
	size_t guards = (area->va_end - area_data_end(area)) + (area_data_start(area) - area->va_start);
	size_t span = align_up(area->requested_size, PAGE_SIZE) + guards;
	uint32_t class = area_class(area);

	CHECK(area->requested_size && area->va_end - area->va_start == span,
	      "V2: the area 0x%lx-0x%lx is not what its %zu bytes need", area->va_start, area->va_end,
	      area->requested_size);
	CHECK((class == VM_ALLOC || class == VM_MAP || class == VM_IOREMAP || class == VM_RAM ||
	       class == VM_RAM_BLOCK) &&
	              (!(area->flags & VM_AT_END) || (class == VM_ALLOC && guards == 2 * PAGE_SIZE)),
	      "V2: the area 0x%lx-0x%lx has flags 0x%x", area->va_start, area->va_end, area->flags);
	CHECK(!(area->flags & (VM_UNINITIALIZED | VM_DYING)) || (area->flags & (VM_GONE | VM_DEFERRED)),
	      "V2: the area 0x%lx-0x%lx is only half there, flags 0x%x", area->va_start, area->va_end,
	      area->flags);
	return NULL;
}

/* V5 for one leaf: the first of a block, or what comes next in one. */
static const char *leaf_check(struct check *check, vaddr_t va, paddr_t pa, unsigned level)
{
	const struct vmap_area *area = check->area;
	pfn_t frame = paddr_to_pfn(pa);
	unsigned large = PT_INDEX_BITS * (level - 1);

	CHECK(level == 1 || (level == 2 && area->flags & VM_ALLOW_HUGE_VMAP),
	      "V5: 0x%lx is mapped by a leaf of level %u", va.raw, level);
	CHECK(page_is_backed(frame), "V5: 0x%lx is mapped to 0x%lx, which is no RAM", va.raw, pa.raw);
	if (check->frame == check->block_end) {
		const struct page *page = pfn_to_page(frame);
		CHECK(page->type == PAGE_VMALLOC &&
		              (level == 1 ? page->order <= VM_BLOCK_ORDER : page->order == large),
		      "V5: 0x%lx is mapped to the frame 0x%lx, of type %s, order %u", va.raw, frame.raw,
		      page_type_name(page->type), page->order);
		CHECK(page->owner == area, "V5: 0x%lx is mapped to the frame 0x%lx of another area", va.raw,
		      frame.raw);
		check->frame = frame.raw;
		check->block_end = frame.raw + (1UL << page->order);
	}
	CHECK(frame.raw == check->frame,
	      "V5: 0x%lx is mapped to the frame 0x%lx, and the block before it goes on with 0x%lx", va.raw,
	      frame.raw, check->frame);
	check->frame += 1UL << large;
	return NULL;
}

/* Nothing more can be mapped in check->area: V5 for the whole of it. Goes on to the next. */
static const char *area_leave(struct check *check)
{
	const struct vmap_area *area = check->area;

	if (area->flags & VM_GONE) {
		CHECK(!check->mapped, "V7: 0x%lx-0x%lx was given back, but %zu pages are mapped in it",
		      area->va_start, area->va_end, check->mapped);
		check->gone++;
		check->gone_bytes += area->va_end - area->va_start;
	} else if (area_owns_frames(area)) {
		CHECK(check->mapped == area_data_pages(area),
		      "V5: the area 0x%lx-0x%lx has %zu of its %zu pages mapped", area->va_start,
		      area->va_end, check->mapped, area_data_pages(area));
		check->owned += check->mapped;
	} else if (area->flags & VM_DEVICE) {
		check->devices++;
	} else if (area->flags & VM_RAM_BLOCK) {
		const char *broken = ram_block_check(area);
		if (broken)
			return broken;
		check->owned++;
	}
	check->deferred += area->flags & VM_DEFERRED ? 1 : 0;
	check->mapped = 0;
	check->area = va_space_next_busy(&vmalloc_state.space, area);
	return check->area ? area_check(check->area) : NULL;
}

/* Checks the part of `m` from `at` on that lies in one area, leaf by leaf if the frames are its own. */
static const char *part_check(struct check *check, const struct mapping *m, uintptr_t at, uintptr_t *end)
{
	const struct vmap_area *area = check->area;

	CHECK(area && at >= area->va_start, "V4: 0x%lx is mapped, but in no area", at);
	CHECK(at >= area_data_start(area) && at < area_data_end(area),
	      "V3: the guard page 0x%lx of the area 0x%lx-0x%lx is mapped", at, area->va_start, area->va_end);
	*end = min_u64(m->va.end.raw, area_data_end(area));
	check->mapped += (*end - at) >> PAGE_SHIFT;
	for (uintptr_t va = at; !(area->flags & VM_GONE) && area_owns_frames(area) && va < *end;
	     va += pt_level_size(m->level)) {
		const char *broken =
		        leaf_check(check, vaddr(va), paddr_add(m->pa, va - m->va.start.raw), m->level);
		if (broken)
			return broken;
	}
	return NULL;
}

static bool mapping_check(const struct mapping *m, void *context)
{
	struct check *check = context;
	struct vrange window = vrange(vmalloc_state.space.start, vmalloc_state.space.end);

	for (uintptr_t at = m->va.start.raw;
	     vrange_overlaps(m->va, window) && at < m->va.end.raw && !check->broken;) {
		if (check->area && check->area->va_end <= at)
			check->broken = area_leave(check);
		else
			check->broken = part_check(check, m, at, &at);
	}
	return !check->broken;
}

const char *vmalloc_check(void)
{
	const struct va_space *space = &vmalloc_state.space;
	const char *broken = va_space_check(space);

	if (broken)
		return broken; /* V1, in va_space.c's words */
	struct check check = {.area = va_space_next_busy(space, NULL)};
	if (check.area)
		check.broken = area_check(check.area);
	if (!check.broken)
		address_space_walk(kernel_pagetable.root, kernel_pagetable.levels, mapping_check, &check);
	while (check.area && !check.broken)
		check.broken = area_leave(&check);
	if (check.broken)
		return check.broken;
	size_t gone = counter_sum(COUNT_GONE_AREAS), gone_bytes = counter_sum(COUNT_GONE_BYTES);
	CHECK(gone == check.gone && gone_bytes == check.gone_bytes,
	      "V7: %zu ranges of %zu bytes were given back and are kept, counted as %zu of %zu", check.gone,
	      check.gone_bytes, gone, gone_bytes);
	CHECK(vmalloc_state.nr_deferred == check.deferred,
	      "V8: %zu areas were given back in interrupts, counted as %zu", check.deferred,
	      vmalloc_state.nr_deferred);
	if ((broken = vmap_ranges_check()) || (broken = device_check(check.devices)) ||
	    (broken = ram_current_check()))
		return broken;
	size_t owned = counter_sum(COUNT_AREA_PAGES);
	CHECK(owned == check.owned, "V6: areas own %zu frames, counted as %zu", check.owned, owned);
	return NULL;
}

/* ---- Words -------------------------------------------------------------------------------------------------------- */

static void print_area(struct printer *out, const struct vmap_area *area)
{
	print(out, "the %s area 0x%016lx-0x%016lx (%zu bytes requested", area_kind(area), area->va_start,
	      area->va_end, area->requested_size);
	if (area_address(area) != area->va_start)
		print(out, ", at 0x%016lx", area_address(area));
	print(out, ", allocated by %pS", area_caller(area));
	if (area->flags & (VM_GONE | VM_DEFERRED))
		print(out, ", freed by %pS", area_freed_by(area));
	print(out, ")");
}

/* "1 byte past the end of the …": distances count from the nearest byte that is the area's. */
static void print_distance(struct printer *out, size_t bytes, const char *side, const struct vmap_area *area)
{
	print(out, "%zu byte%s %s of ", bytes, bytes == 1 ? "" : "s", side);
	print_area(out, area);
}

/* From the last byte that was asked for to one behind it. */
static size_t past_end(const struct vmap_area *area, uintptr_t at)
{
	return at - (area_address(area) + area->requested_size) + 1;
}

/* Of what lies in an area before that which was asked for. The area below may have no guard page of its own. */
static void print_front(struct printer *out, uintptr_t at, const struct vmap_area *area)
{
	const struct vmap_area *below = va_space_find_below(&vmalloc_state.space, area->va_start - 1);

	print_distance(out, area_address(area) - at, "before the start", area);
	print(out,
	      at < area_data_start(area) ? ": the guard page before it" : ": the slack of its first page");
	if (at >= area_data_start(area) || !below || below->va_end != area->va_start)
		return;
	print(out, "; ");
	print_distance(out, past_end(below, at), "past the end", below);
}

bool vmalloc_describe(vaddr_t address, struct printer *out)
{
	const struct va_space *space = &vmalloc_state.space;
	uintptr_t at = address.raw;

	if (at < space->start || at >= space->end)
		return false;
	const struct vmap_area *below = va_space_find_below(space, at),
	                       *above = va_space_find_above(space, at);
	struct vmap_area mapping, next;
	if (below && below->flags & VM_RAM_BLOCK && at < below->va_end) {
		if (!ram_block_find(below, at, &mapping)) {
			print(out, "mapped by nobody, in a block of ");
			print_area(out, below);
			return true;
		}
		above = ram_block_find(below, mapping.va_end, &next) ? &next : NULL;
		below = &mapping;
	}
	if (below && at < area_address(below)) {
		print_front(out, at, below);
		return true;
	}
	if (below && at - area_address(below) < below->requested_size) {
		print(out, "byte %zu of ", at - area_address(below));
		print_area(out, below);
		return true;
	}
	if (below) {
		bool slack = at < area_data_end(below), guard = !slack && at < below->va_end;
		print_distance(out, past_end(below, at), "past the end", below);
		print(out, slack   ? ": the slack of its last page"
		           : guard ? ": its guard page"
		                   : ": in no area");
		/* A guard page is as well the page before the next area, if that begins right behind it. */
		if (!above || slack || (guard && above->va_start != below->va_end))
			return true;
		print(out, "; ");
	} else {
		print(out, above ? "in no area of the vmalloc window; "
		                 : "in no area of the vmalloc window: there is none");
	}
	if (above)
		print_distance(out, area_address(above) - at, "before the start", above);
	return true;
}

static bool is_device(const struct vmap_area *area)
{
	return (area_flags(area) & (VM_IOREMAP | VM_DYING | VM_UNINITIALIZED | VM_GONE)) == VM_IOREMAP;
}

/* 0 if it is being given back meanwhile, as something else may be there already. */
static uint64_t device_address(const struct vmap_area *area)
{
	if (!is_device(area))
		return 0;
	uint64_t address = __atomic_load_n(&area->phys_addr, __ATOMIC_ACQUIRE);
	return is_device(area) ? address : 0;
}

bool vmap_area_copy(uintptr_t address, struct vmap_area *copy)
{
	const struct va_space *space = &vmalloc_state.space;

	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	const struct vmap_area *area = va_space_find(space, address);
	if (!area)
		area = va_space_find_above(space, address);
	if (area) {
		uint32_t now = area_flags(area);
		*copy = (struct vmap_area){
		        .va_start = area->va_start,
		        .va_end = area->va_end,
		        .phys_addr = device_address(area),
		        .caller = __atomic_load_n(&area->caller, __ATOMIC_RELAXED),
		        .flags = now,
		};
	}
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return area;
}

/* Linux's lines. Areas that come or go meanwhile may or may not be shown; the lock is not held while printing. */
void vmallocinfo_dump(struct printer *out)
{
	struct vmap_area area = {.va_end = vmalloc_state.space.start};

	while (vmap_area_copy(area.va_end, &area)) {
		print(out, "0x%016lx-0x%016lx %7lu %pS", area.va_start, area.va_end,
		      area.va_end - area.va_start, area_caller(&area));
		if (area.flags & VM_GONE) {
			print(out, area.flags & VM_LAZY    ? " freed, to be flushed\n"
			           : area.flags & VM_SPARE ? " freed, kept by a CPU\n"
			                                   : " freed, in quarantine\n");
			continue;
		}
		if (area_owns_frames(&area))
			print(out, " pages=%zu", area_data_pages(&area));
		if (area.phys_addr)
			print(out, " phys=0x%016lx", area.phys_addr);
		print(out, " %s%s\n", area_kind(&area), area.flags & VM_GUARD_BEFORE ? " guarded" : "");
	}
}

/* Of which an area can be made: not of the window's last page. */
static size_t largest_hole(const struct va_space *space)
{
	const struct vmap_area *top = list_entry(space->holes.prev, struct vmap_area, list);
	size_t largest = va_space_largest_hole(space);

	return top->va_end - top->va_start == largest ? largest - PAGE_SIZE : largest;
}

struct vmalloc_stats vmalloc_stats(void)
{
	const struct va_space *space = &vmalloc_state.space;

	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	size_t gone = counter_sum(COUNT_GONE_AREAS);
	size_t gone_bytes = counter_sum(COUNT_GONE_BYTES);
	struct vmalloc_stats stats = {
	        .areas = space->nr_busy - gone,
	        .total_bytes = space->end - space->start,
	        .used_bytes = space->busy_bytes - gone_bytes,
	        .kept_bytes = gone_bytes,
	        .quarantine_bytes = quarantine.bytes,
	        .largest_hole = largest_hole(space),
	        .nr_pages = counter_sum(COUNT_AREA_PAGES),
	};
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return stats;
}
