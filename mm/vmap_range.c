/*
 * Ranges between two lives: what vfree() leaves behind until every CPU has forgotten it, and what each CPU keeps for its
 * next small area.
 *
 *	vfree ──► lazy ──── one flush for many ────► spare ──► vmalloc of the same size on the same CPU, no lock
 *	          entries absent,       │            its range and tables
 *	          frames wait           └──────────► a hole of the window; frames are free
 *	vfree in an interrupt ──► deferred ──► as above, at this CPU's next call outside of one
 *
 * With a quarantine (quarantine.c), what was flushed spends some time there before it becomes a spare or a hole.
 *
 * A flush interrupts every CPU and waits for all of them; a range costs two rounds of the window's lock. Both are paid once
 * for a list of ranges, not once for each.
 *
 * L1  An area in a CPU's lazy list is VM_LAZY, its entries are absent, its frames are held blocks chained from
 *     area->frames: of up to 8 frames, and of 2 MiB if it is VM_ALLOW_HUGE_VMAP. The list has nr_lazy areas, LAZY_AREAS at
 *     most, of nr_pages pages in all.
 * L2  An area in a stack of spares is VM_SPARE, has as many data pages as the stack is for, largest_spare at most, and a
 *     guard page; every CPU has flushed since it was mapped. While it is VM_UNSWEPT, tables may be empty but for its sake:
 *     they are swept before it is a hole.
 * L3  Every VM_LAZY or VM_SPARE area is in exactly one list; every VM_QUARANTINED one in the quarantine.
 * L4  A VM_DEFERRED area is VM_DYING besides, otherwise as it was while in use, and in exactly one CPU's chain of deferred
 *     areas. The chain is of frames: each area's first one, whose owner is the area, which holds the next one's number.
 * L5  What a CPU has taken out of a list and not yet made a hole, a spare or a lazy area again is under way there: the
 *     CPU's under_way is not 0. Nobody waits for another CPU's while something is under way here.
 *
 * The debug build marks each frame that waits in a lazy range (page->unflushed). The mark goes with the flush, and so does
 * VM_LAZY. The page allocator does not take back a frame that has the mark, nor does a lazy range become an area or a hole:
 * both are asserted.
 *
 * A handler may neither clear a large area, which takes its time, nor wait for other CPUs: it only puts the area into the
 * chain. Until a call or someone in need of memory takes it out again, it stays mapped.
 *
 * Locking: a CPU's lists are its own. They change with interrupts masked; another CPU that wants them asks (cpu_call), if
 * their lengths, which anybody may read, say that there is something to be had. The flush itself runs unmasked and without
 * a lock of ours. Who wants all that was given back looks into the lists, then waits for what others have under way.
 */
#include <arch/cpu_stack.h>
#include <arch/smp.h>
#include <lib/check.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/pagetable.h>
#include "vmalloc_internal.h"

enum {
	LAZY_AREAS = 64,
	LAZY_PAGES = 1024, /* 4 MiB that wait on each CPU, for a flush that reclaim can have at once */
	/* Ranges of 1 to 16 data pages are kept, 64 of each size, and of 17 to 128, 16 of each: */
	SPARE_SMALL = 16,
	SPARE_SIZES = 128,
	SPARE_BYTES = 520, /* the stack of one small size, */
	SPARE_BYTES_LARGE = 136,
	SPARE_DEPTH = (SPARE_BYTES - sizeof(struct cpu_stack)) / sizeof(void *),
	SPARE_DEPTH_LARGE = (SPARE_BYTES_LARGE - sizeof(struct cpu_stack)) / sizeof(void *),
};

/* Batches are on the stack: pointers and ranges, well below the frame limit. */
_Static_assert(LAZY_AREAS % RELEASE_BATCH == 0, "a full list is whole batches");

struct cpu_ranges {
	struct vmap_area *lazy[LAZY_AREAS];
	uint32_t nr_lazy;       /* atomic */
	uint32_t deferred;      /* atomic: first frame of the latest; PFN_NONE: none */
	size_t nr_pages;        /* of the lazy areas */
	uint32_t under_way;     /* atomic: L5, begun and not yet ended; they nest */
	uint32_t nr_ended;      /* atomic: how often it has come to 0 */
	uint32_t largest_spare; /* atomic: pages of the largest kept since there were none; 0: none are */
	/* Each a struct cpu_stack of areas. */
	char spares[SPARE_SMALL][SPARE_BYTES] ALIGNED(8);
	char large_spares[SPARE_SIZES - SPARE_SMALL][SPARE_BYTES_LARGE] ALIGNED(8);
};

static struct cpu_ranges *ranges; /* one per possible CPU */

static struct cpu_ranges *own_ranges(void)
{
	return &ranges[this_cpu()->id];
}

static struct cpu_stack *spares_of(struct cpu_ranges *own, size_t pages)
{
	if (unlikely(pages > SPARE_SMALL))
		return (struct cpu_stack *)(void *)own->large_spares[pages - SPARE_SMALL - 1];
	return (struct cpu_stack *)(void *)own->spares[pages - 1];
}

static struct vrange data_range(const struct vmap_area *area)
{
	return vrange(area_data_start(area), area_data_end(area));
}

static ALWAYS_INLINE struct vmap_area *range_taken(struct vmap_area *area)
{
	DEBUG_ASSERT((area_flags(area) & VM_GONE) == VM_SPARE); /* L2 */
	if (likely(area_flags(area) & VM_UNSWEPT))
		pagetable_reuse(&kernel_pagetable, area_data_pages(area));
	uncount_gone(area);
	cpu_count(COUNT_RANGE_HITS, 1);
	return area;
}

struct vmap_area *vmap_range_take(size_t pages)
{
	if (pages - 1 >= SPARE_SIZES)
		return NULL;
	struct vmap_area *area = cpu_stack_pop(spares_of(own_ranges(), pages));
	return likely(area) ? range_taken(area) : NULL;
}

struct vmap_area *vmap_range_take_aligned(size_t pages, size_t align)
{
	if (align <= PAGE_SIZE)
		return vmap_range_take(pages);
	if (pages - 1 >= SPARE_SIZES)
		return NULL;
	/* Masked: while it is in no list, nobody looks for it. */
	irqflags_t flags = irq_save();
	struct cpu_stack *spares = spares_of(own_ranges(), pages);
	struct vmap_area *area = cpu_stack_pop(spares);
	if (area && !is_aligned(area->va_start, align)) {
		bool kept = cpu_stack_push(spares, area);
		ASSERT(kept);
		area = NULL;
	}
	irq_restore(flags);
	return area ? range_taken(area) : NULL;
}

/* Kept by this CPU as it is, if it is of a size to be kept and there is room. */
static bool keep(struct vmap_area *area)
{
	size_t pages = area_data_pages(area);

	if (pages > SPARE_SIZES || area_flags(area) & (VM_NO_GUARD | VM_GUARD_BEFORE))
		return false;
	struct cpu_ranges *own = own_ranges();
	area_set_flags(area, area_flags(area) | VM_SPARE);
	if (!cpu_stack_push(spares_of(own, pages), area))
		return false;
	if (pages > own->largest_spare) /* behind it: a handler that finds none meanwhile says so */
		__atomic_store_n(&own->largest_spare, (uint32_t)pages, __ATOMIC_RELAXED);
	return true;
}

/* ---- Under way (L5) ---------------------------------------------------------------------------------------------- */

/* Before something is taken out of a list, be it another CPU's. */
static void under_way_begin(void)
{
	struct cpu_ranges *own = own_ranges();
	__atomic_store_n(&own->under_way, own->under_way + 1, __ATOMIC_RELEASE);
}

static void under_way_end(void)
{
	struct cpu_ranges *own = own_ranges();

	if (own->under_way == 1)
		__atomic_store_n(&own->nr_ended, own->nr_ended + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&own->under_way, own->under_way - 1, __ATOMIC_RELEASE);
}

static ALWAYS_INLINE uint32_t nr_ended_on(unsigned id)
{
	return __atomic_load_n(&ranges[id].nr_ended, __ATOMIC_ACQUIRE);
}

/* Until what other CPUs have under way now is done, if so asked. How often, altogether, something has ended there. */
static ALWAYS_INLINE uint32_t ended_elsewhere(bool wait)
{
	unsigned own = this_cpu()->id, possible = cpus_possible();
	uint32_t sum = 0;

	for (unsigned id = 0; id < possible; id++) {
		if (id == own)
			continue;
		uint32_t ended = nr_ended_on(id);
		while (wait && __atomic_load_n(&ranges[id].under_way, __ATOMIC_ACQUIRE) &&
		       nr_ended_on(id) == ended)
			cpu_serve();    /* it may be waiting for this CPU to flush */
		sum += nr_ended_on(id); /* again: it rises before there is nothing under way */
	}
	return sum;
}

/* ---- Flushing -------------------------------------------------------------------------------------------------- */

/* Every CPU has forgotten the areas: their frames become free. */
static size_t free_frames(struct vmap_area *const *areas, size_t count, bool swept)
{
	struct page_list all = PAGE_LIST_INIT;
	size_t freed = 0;

	for (size_t i = 0; i < count; i++) {
		struct page *page = NULL;
		area_set_flags(areas[i],
		               (area_flags(areas[i]) & ~(uint32_t)VM_LAZY) | (swept ? 0 : VM_UNSWEPT));
		for (uint32_t n = areas[i]->frames; n != PFN_NONE; n = page->next) {
			page = pfn_to_page(pfn(n));
			page->unflushed = false;
			freed += 1UL << page->order;
			all.count++;
		}
		if (page) { /* the chain's last */
			page->next = all.head;
			all.head = areas[i]->frames;
		}
	}
	free_page_list(&all);
	return freed;
}

/* They become holes, and the tables go that they alone have kept; how many. */
static size_t release_swept(struct vmap_area *const *areas, size_t count)
{
	struct vrange unswept[RELEASE_BATCH];
	size_t nr = 0;

	for (size_t i = 0; i < count; i++) {
		uncount_gone(areas[i]);
		if (area_flags(areas[i]) & VM_UNSWEPT)
			unswept[nr++] = data_range(areas[i]);
	}
	size_t tables = pagetable_sweep(&kernel_pagetable, unswept, nr, true);
	vmap_areas_release(areas, count);
	return tables;
}

/*
 * Areas that are in no list any more and that every CPU has forgotten become holes, or spares of this CPU, which keep their
 * tables. Tables that went.
 */
static size_t retire(struct vmap_area *const *areas, size_t count, bool may_keep)
{
	struct vmap_area *released[RELEASE_BATCH];
	size_t nr = 0, tables = 0;

	for (size_t i = 0; i < count; i++) {
		if (may_keep && keep(areas[i]))
			continue;
		released[nr++] = areas[i];
		if (nr == RELEASE_BATCH) {
			tables += release_swept(released, nr);
			nr = 0;
		}
	}
	return nr ? tables + release_swept(released, nr) : tables;
}

/* What has been in quarantine for longest leaves it, until no more than `limit` bytes stay. How many ranges did. */
static size_t expire(size_t limit, bool may_keep)
{
	struct vmap_area *expired[RELEASE_BATCH];
	size_t count = 0;

	under_way_begin();
	for (size_t nr; (nr = quarantine_expire(expired, limit)); count += nr)
		retire(expired, nr, may_keep);
	under_way_end();
	return count;
}

/*
 * Retires them, if there is no quarantine; else they wait there, and those are retired for which they leave no room. Tables
 * that went.
 */
static size_t settle(struct vmap_area **areas, size_t count, bool may_keep)
{
	if (unlikely(quarantine_is_on())) {
		count = quarantine_take(areas, count);
		cpu_count(COUNT_RANGE_DELAYS, expire(SIZE_MAX, may_keep));
	}
	return retire(areas, count, may_keep);
}

bool vmap_quarantine_empty(void)
{
	return expire(0, false);
}

void vmalloc_set_quarantine(size_t bytes)
{
	quarantine_set_limit(bytes);
	expire(bytes, false);
}

/* One flush for all of them. They are in no list. Frames freed. */
static size_t flush(struct vmap_area **areas, size_t count, bool may_keep)
{
	struct vrange freed_ranges[LAZY_AREAS];

	if (!count)
		return 0;
	size_t nr = 0;
	do
		freed_ranges[nr] = data_range(areas[nr]);
	while (++nr < count);
	cpu_count(COUNT_RANGE_PURGES, 1);
	if (may_keep && !quarantine_is_on()) { /* asked once: in quarantine nothing waits for its sweep */
		pagetable_flush(freed_ranges, count);
		size_t freed = free_frames(areas, count, false);
		return freed + retire(areas, count, true);
	}
	size_t freed = pagetable_sweep(&kernel_pagetable, freed_ranges, count, false);
	freed += free_frames(areas, count, true);
	return freed + settle(areas, count, may_keep);
}

/* A CPU's lazy areas, all of them, out of its list. Interrupts masked, on that CPU. */
static size_t detach_lazy(struct vmap_area **areas)
{
	struct cpu_ranges *own = own_ranges();
	size_t count = own->nr_lazy;

	for (size_t i = 0; i < count; i++)
		areas[i] = own->lazy[i];
	own->nr_pages = 0;
	__atomic_store_n(&own->nr_lazy, 0, __ATOMIC_RELEASE);
	return count;
}

/* ---- Giving back ------------------------------------------------------------------------------------------------ */

size_t vmap_range_give(struct vmap_area *area, const struct page_list *frames, const void *caller)
{
	struct vmap_area *full[LAZY_AREAS];
	size_t nr_full = 0;

	area_set_frames(area, frames->head, caller);
	area_set_flags(area, area_flags(area) | VM_LAZY);
	count_gone(area);

	irqflags_t flags = irq_save();
	struct cpu_ranges *own = own_ranges();
	own->lazy[own->nr_lazy] = area;
	own->nr_pages += area_data_pages(area);
	__atomic_store_n(&own->nr_lazy, own->nr_lazy + 1, __ATOMIC_RELAXED);
	bool is_full = own->nr_lazy == LAZY_AREAS || own->nr_pages >= LAZY_PAGES;
	if (is_full) {
		under_way_begin();
		nr_full = detach_lazy(full);
	}
	irq_restore(flags);
	if (likely(!is_full))
		return 0;
	size_t freed = flush(full, nr_full, true);
	under_way_end();
	return freed;
}

/* Of an area that owns frames; set_memory_np() may have hidden it. */
static uint32_t first_frame(const struct vmap_area *area)
{
	struct translation first;
	bool found = pagetable_find(&kernel_pagetable, vaddr(area_data_start(area)), &first);
	ASSERT(found);
	return (uint32_t)paddr_to_pfn(first.pa).raw;
}

void vmap_range_defer(struct vmap_area *area, const void *caller)
{
	uint32_t frame = first_frame(area);
	struct cpu_ranges *own = own_ranges();

	area_set_flags(area, area_flags(area) | VM_DEFERRED);
	__atomic_fetch_add(&vmalloc_state.nr_deferred, 1, __ATOMIC_RELAXED);
	irqflags_t flags = irq_save();
	area_set_frames(area, own->deferred, caller);
	__atomic_store_n(&own->deferred, frame, __ATOMIC_RELAXED);
	irq_restore(flags);
}

static struct vmap_area *deferred_area(uint32_t frame)
{
	return pfn_to_page(pfn(frame))->owner;
}

/* A CPU's chain of deferred areas, off its list. On that CPU. */
static uint32_t detach_deferred(void)
{
	irqflags_t flags = irq_save();
	uint32_t chain = own_ranges()->deferred;
	__atomic_store_n(&own_ranges()->deferred, PFN_NONE, __ATOMIC_RELEASE);
	irq_restore(flags);
	return chain;
}

static size_t dissolve_chain(uint32_t chain)
{
	size_t freed = 0;

	while (chain != PFN_NONE) {
		struct vmap_area *area = deferred_area(chain);
		chain = area->frames;
		area_set_flags(area, area_flags(area) & ~(uint32_t)VM_DEFERRED);
		__atomic_fetch_sub(&vmalloc_state.nr_deferred, 1, __ATOMIC_RELAXED);
		freed += vmap_area_dissolve(area, area_freed_by(area));
	}
	return freed;
}

size_t vmap_ranges_undefer(void)
{
	if (likely(__atomic_load_n(&own_ranges()->deferred, __ATOMIC_RELAXED) == PFN_NONE))
		return 0;
	under_way_begin();
	size_t freed = dissolve_chain(detach_deferred());
	under_way_end();
	return freed;
}

void vmap_range_give_flushed(struct vmap_area *area, const void *caller)
{
	area_set_frames(area, PFN_NONE, caller);
	count_gone(area);
	settle(&area, 1, true);
}

/* ---- Purging ---------------------------------------------------------------------------------------------------- */

/* What cpu_call() brings back from one CPU: as many as fit. */
struct haul {
	struct vmap_area *areas[LAZY_AREAS];
	size_t count;
};

static void haul_deferred(void *chain)
{
	*(uint32_t *)chain = detach_deferred();
}

static void haul_lazy(void *context)
{
	struct haul *haul = context;
	haul->count = detach_lazy(haul->areas);
}

static void haul_spares(void *context)
{
	struct cpu_ranges *own = own_ranges();
	struct haul *haul = context;

	haul->count = 0;
	for (size_t pages = own->largest_spare; pages && haul->count < LAZY_AREAS; pages--) {
		struct cpu_stack *stack = spares_of(own, pages);
		while (haul->count < LAZY_AREAS && stack->count)
			haul->areas[haul->count++] = cpu_stack_pop(stack);
		__atomic_store_n(&own->largest_spare, (uint32_t)(stack->count ? pages : pages - 1),
		                 __ATOMIC_RELAXED);
	}
}

static bool has_spares(unsigned id)
{
	return __atomic_load_n(&ranges[id].largest_spare, __ATOMIC_ACQUIRE);
}

/* One CPU's deferred areas become lazy, here. */
static size_t dissolve_deferred_of(unsigned id)
{
	uint32_t chain;

	if (__atomic_load_n(&ranges[id].deferred, __ATOMIC_ACQUIRE) == PFN_NONE)
		return 0;
	cpu_call(1ULL << id, haul_deferred, &chain);
	return dissolve_chain(chain);
}

static size_t flush_lazy_of(unsigned id)
{
	struct haul haul;

	if (!__atomic_load_n(&ranges[id].nr_lazy, __ATOMIC_ACQUIRE))
		return 0;
	cpu_call(1ULL << id, haul_lazy, &haul);
	return flush(haul.areas, haul.count, false);
}

static size_t retire_spares_of(unsigned id)
{
	struct haul haul;
	size_t tables = 0;

	if (!has_spares(id))
		return 0;
	do {
		cpu_call(1ULL << id, haul_spares, &haul);
		tables += retire(haul.areas, haul.count, false);
	} while (haul.count == LAZY_AREAS); /* else it had no more */
	return tables;
}

/* Frames given back. */
static size_t undefer_all(void)
{
	unsigned id;
	size_t freed = 0;

	under_way_begin();
	for_each_cpu (id, cpus_online())
		freed += dissolve_deferred_of(id);
	under_way_end();
	return freed;
}

static size_t empty_lists(void)
{
	unsigned id;

	under_way_begin();
	size_t freed = ram_blocks_purge();
	for_each_cpu (id, cpus_online()) {
		freed += flush_lazy_of(id);
		freed += retire_spares_of(id);
	}
	under_way_end();
	return freed;
}

/*
 * All CPUs' lazy ranges are flushed, all spare ones become holes. Frames given back; what others gave back meanwhile counts
 * as one. Where others were at it while we looked, they may have kept spares, which a second round finds.
 */
static size_t flush_all(void)
{
	uint32_t begun = ended_elsewhere(false);
	size_t freed = undefer_all();
	uint32_t looked = ended_elsewhere(true);

	freed += empty_lists();
	uint32_t ended = ended_elsewhere(true);
	if (ended != looked)
		freed += empty_lists();
	return freed + (ended != begun);
}

size_t vmap_ranges_purge(void)
{
	size_t freed = flush_all();
	uint32_t looked = ended_elsewhere(false);

	vmap_quarantine_empty();
	if (unlikely(ended_elsewhere(true) != looked)) /* who emptied it with us may have kept spares */
		freed += empty_lists();
	return freed;
}

void vm_unmap_aliases(void)
{
	if (in_interrupt())
		panic("vm_unmap_aliases: in interrupt context");
	(void)flush_all();
}

static struct shrinker range_shrinker = {.name = "vmalloc", .shrink = vmap_ranges_purge};

void vmap_ranges_init(void)
{
	ranges = kcalloc(cpus_possible(), sizeof(*ranges), GFP_KERNEL | __GFP_NOFAIL);
	for (unsigned id = 0; id < cpus_possible(); id++) {
		ranges[id].deferred = PFN_NONE;
		for (size_t pages = 1; pages <= SPARE_SIZES; pages++)
			spares_of(&ranges[id], pages)->capacity =
			        pages <= SPARE_SMALL ? SPARE_DEPTH : SPARE_DEPTH_LARGE;
	}
	register_shrinker(&range_shrinker);
}

/* ---- Verifier --------------------------------------------------------------------------------------------------- */

static const char *check_lazy(unsigned id, const struct vmap_area *area, size_t *pages)
{
	size_t frames = 0;

	CHECK((area_flags(area) & VM_GONE) == VM_LAZY,
	      "L1: CPU %u: the area 0x%lx-0x%lx is not lazy, flags 0x%x", id, area->va_start, area->va_end,
	      area->flags);
	for (uint32_t n = area->frames; n != PFN_NONE && frames <= area_data_pages(area);) {
		const struct page *page = pfn_to_page(pfn(n));
		CHECK(page->type == PAGE_HELD &&
		              (page->order <= VM_BLOCK_ORDER || area_flags(area) & VM_ALLOW_HUGE_VMAP),
		      "L1: CPU %u: frame 0x%x waits in 0x%lx-0x%lx, but is %s", id, n, area->va_start,
		      area->va_end, page_type_name(page->type));
		CHECK(!IS_DEBUG || page->unflushed, "L1: CPU %u: frame 0x%x in 0x%lx-0x%lx has lost its mark",
		      id, n, area->va_start, area->va_end);
		frames += 1UL << page->order;
		n = page->next;
	}
	CHECK(frames <= area_data_pages(area),
	      "L1: CPU %u: more frames wait in 0x%lx-0x%lx than it has pages", id, area->va_start,
	      area->va_end);
	*pages += area_data_pages(area);
	return NULL;
}

/* L4 for one CPU, and how many */
static const char *check_deferred(unsigned id, size_t *count)
{
	for (uint32_t frame = ranges[id].deferred; frame != PFN_NONE; frame = deferred_area(frame)->frames) {
		const struct page *page = pfn_to_page(pfn(frame));
		CHECK(page->type == PAGE_VMALLOC && kmem_cache_owns(vmalloc_state.nodes, page->owner),
		      "L4: CPU %u: frame 0x%x in the chain of deferred areas is %s, of no area", id, frame,
		      page_type_name(page->type));
		const struct vmap_area *area = page->owner;
		CHECK((area_flags(area) & (VM_DEFERRED | VM_DYING | VM_GONE)) == (VM_DEFERRED | VM_DYING) &&
		              first_frame(area) == frame,
		      "L4: CPU %u: 0x%lx-0x%lx, flags 0x%x, is no deferred area that begins with frame 0x%x",
		      id, area->va_start, area->va_end, area->flags, frame);
		CHECK(++*count <= vmalloc_state.space.nr_busy,
		      "L4: CPU %u: the chain of deferred areas has no end", id);
	}
	return NULL;
}

const char *vmap_ranges_check(void)
{
	size_t kept = 0, deferred = 0;

	for (unsigned id = 0; id < cpus_possible(); id++) {
		struct cpu_ranges *own = &ranges[id];
		const char *wrong = check_deferred(id, &deferred);
		size_t pages = 0;
		if (wrong)
			return wrong;
		for (uint32_t i = 0; i < own->nr_lazy; i++, kept++) {
			const char *broken = check_lazy(id, own->lazy[i], &pages);
			if (broken)
				return broken;
		}
		CHECK(pages == own->nr_pages, "L1: CPU %u: %zu pages are lazy, counted as %zu", id, pages,
		      own->nr_pages);
		for (size_t size = 1; size <= SPARE_SIZES; size++) {
			const struct cpu_stack *stack = spares_of(own, size);
			for (uint32_t i = 0; i < stack->count; i++, kept++) {
				const struct vmap_area *area = stack->items[i];
				CHECK((area_flags(area) & VM_GONE) == VM_SPARE &&
				              area_data_pages(area) == size && size <= own->largest_spare &&
				              !(area_flags(area) & (VM_NO_GUARD | VM_GUARD_BEFORE)),
				      "L2: CPU %u: 0x%lx-0x%lx, flags 0x%x, is no spare range of %zu pages",
				      id, area->va_start, area->va_end, area->flags, size);
			}
		}
	}
	CHECK(deferred == vmalloc_state.nr_deferred, "L4: the CPUs have deferred %zu areas, counted as %zu",
	      deferred, vmalloc_state.nr_deferred);
	size_t gone = counter_sum(COUNT_GONE_AREAS);
	CHECK(kept + quarantine.nr == gone, "L3: the CPUs keep %zu ranges, counted as %zu", kept,
	      gone - quarantine.nr);
	return quarantine_check();
}
