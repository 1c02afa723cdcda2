/*
 * What the files of the vmalloc layer and its views share: vm_area.c, vmalloc.c, vmap.c, vmap_range.c, quarantine.c, ioremap.c,
 * vm_map_ram.c and vmalloc_check.c. Each tells what its part means.
 */
#ifndef MM_VMALLOC_INTERNAL_H
#define MM_VMALLOC_INTERNAL_H

#include <arch/pte.h>
#include <arch/spinlock.h>
#include <arch/irq.h>
#include <lib/panic.h>
#include <lib/rng.h>
#include <mm/page_alloc.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>

/* Area flags beside those of <mm/vmalloc.h>. */
enum {
	VM_DYING = 1 << 30, /* given back, and about to leave: the address finds it, nobody may free it */
	VM_LAZY = 1 << 29,  /* cleared, not yet flushed on every CPU: its frames wait in it */
	VM_SPARE = 1 << 28, /* flushed, empty, kept by a CPU for its next area of this size */
	VM_QUARANTINED = 1 << 19, /* flushed, empty, not to be used again yet */
	/* Of a VM_GONE one: what it was mapped by may be empty tables, to be swept before it is a hole. */
	VM_UNSWEPT = 1 << 18,
	VM_GONE = VM_LAZY | VM_SPARE | VM_QUARANTINED,
	VM_DEVICE = 1 << 27,   /* made by ioremap(): in the registry, */
	VM_TYPE_SHIFT = 24,    /* with this enum memory_type in bits 26..24 */
	VM_AT_END = 1 << 20,   /* what was asked for ends with the last data page */
	VM_DEFERRED = 1 << 23, /* given back in an interrupt: dying, and nothing more has happened yet */
	/* Made by vm_map_ram(): for one mapping; for many, as a block that no call gives back. */
	VM_RAM = 1 << 22,
	VM_RAM_BLOCK = 1 << 21,
};
_Static_assert(MEMORY_TYPES <= 1 << (27 - VM_TYPE_SHIFT), "a memory type fits below VM_DEVICE");

struct vmalloc_state {
	struct spinlock lock;
	struct va_space space;    /* (lock); the window's bounds are constant */
	size_t nr_deferred;       /* atomic: areas that are VM_DEFERRED */
	struct kmem_cache *nodes; /* constant: holes and areas */
	uint32_t gap_pages;       /* (lock): at most so many before a new area, */
	struct rng gap_rng;       /* (lock): drawn from here */
};
extern struct vmalloc_state vmalloc_state;

/* Read and written by CPUs that hold no lock. */
static inline uint32_t area_flags(const struct vmap_area *area)
{
	return __atomic_load_n(&area->flags, __ATOMIC_ACQUIRE);
}

static inline void area_set_flags(struct vmap_area *area, uint32_t flags)
{
	__atomic_store_n(&area->flags, flags, __ATOMIC_RELEASE);
}

/* ---- vm_area.c: from a request to an area, and from an address to one ---- */

/*
 * What an allocation of metadata inherits of the caller's flags: neither the zone nor the contents, never a warning. Nor the
 * panic of __GFP_NOFAIL: that is refuse()'s, who knows what it is all for, once everything is undone.
 */
#define META_GFP(gfp) ((gfp_may_fail(gfp) & (__GFP_RECLAIM | __GFP_HIGH | GFP_EFFORT)) | __GFP_NOWARN)

/* For what can be done without: nobody gives anything for it, and nobody hears of its refusal. */
#define AT_HAND_GFP(gfp) (((gfp) & ~(__GFP_RECLAIM | __GFP_HIGH | GFP_EFFORT)) | __GFP_NOWARN)

static inline gfp_t gfp_may_fail(gfp_t gfp)
{
	return gfp & __GFP_NOFAIL ? (gfp ^ __GFP_NOFAIL) | __GFP_RETRY_MAYFAIL : gfp;
}

/* What is wanted, and by whom: the arguments of every allocating call, in one form. */
struct request {
	const char *call; /* for reports */
	const void *caller;
	size_t size;   /* bytes; without the guard */
	size_t offset; /* of these in front of what was asked for, to the start of a page */
	size_t align;
	size_t large_align; /* where large leaves could be used; 0: nowhere. Not if there is no room for it */
	struct vrange within;
	gfp_t gfp;
	uint32_t flags; /* VM_* */
	pgprot_t prot;
	uint64_t phys_addr;
};

/* A large leaf of an area that owns its frames, and the block behind it. */
enum { LARGE_LEVEL = 2, LARGE_ORDER = PT_INDEX_BITS, LARGE_PAGES = 1 << LARGE_ORDER };
#define LARGE_SIZE PMD_SIZE

/* Of the blocks behind small leaves: the largest order that CPUs keep lists of (page_alloc_internal.h). */
enum { VM_BLOCK_ORDER = 3 };

/* From 2 MiB on it is to have large leaves, where it can. */
static inline void request_allow_large(struct request *want)
{
	if (want->size < LARGE_SIZE)
		return;
	want->flags |= VM_ALLOW_HUGE_VMAP;
	want->large_align = LARGE_SIZE;
}

/* A request for `size` bytes anywhere in the window, from a context that may have it; panics in any other. */
static ALWAYS_INLINE struct request request_anywhere(const char *call, const void *caller, size_t size,
                                                     uint32_t flags, pgprot_t prot)
{
	bool large = flags == VM_ALLOC && prot.raw == PAGE_KERNEL.raw && size >= LARGE_SIZE;

	if (unlikely(in_interrupt()))
		panic("%s: in interrupt context, from %pS", call, caller);
	return (struct request){
	        .call = call,
	        .caller = caller,
	        .size = size,
	        .align = PAGE_SIZE,
	        .large_align = large ? LARGE_SIZE : 0,
	        .within = vmalloc_window,
	        .gfp = GFP_KERNEL,
	        .flags = large ? flags | VM_ALLOW_HUGE_VMAP : flags,
	        .prot = prot,
	};
}

/* What a caller may say of guards. */
enum { VM_GUARDS = VM_NO_GUARD | VM_GUARD_BEFORE };

/* Why the arguments that every call has cannot be served, or NULL. */
const char *request_fault(const struct request *want) MUST_USE;

/* The warning; NULL. Panics if the request must not fail. pre: nothing is left of it */
void *refuse(const struct request *want, const char *reason);

/* A busy area without mappings, or NULL after a warning. pre: request_fault() had nothing to say */
struct vmap_area *area_reserve(const struct request *want) MUST_USE;

/* The same, of what this CPU keeps; NULL if that is nothing, and no more was judged of the request than its size. */
struct vmap_area *area_take_kept(const struct request *want) MUST_USE;

/* Undoes area_reserve(). pre: nothing is mapped in it, and every CPU knows */
void area_cancel(struct vmap_area *area);

/*
 * The area is what it will be until it is freed; where it begins. Whoever finds it filled also finds its contents.
 */
void *area_publish(struct vmap_area *area);

/*
 * Tables are taken with the page table's lock held, where nothing can be reclaimed: that happens out here, as often as
 * <mm/gfp.h> says. True if another attempt may succeed. *attempts begins at 0.
 */
bool may_try_again(const struct request *want, unsigned *attempts) MUST_USE;

/*
 * The area that owns the frame behind a leaf of level 1, or NULL: without search and lock. pre: interrupts are masked since
 * it was read and until the area is done with, or nobody gives it back. Masked, a CPU holds off every flush: the walk's
 * tables stay tables, and an area that owns a mapped frame stays an area.
 */
struct vmap_area *area_of_leaf(pte_t leaf);

/* The same for the leaf, of whatever size, that maps `address`, if one does. */
struct vmap_area *area_of_frame(uintptr_t address);

/* The area of `class` whose owner was given `address`, marked as leaving. Anything else is the caller's mistake. */
struct vmap_area *area_take(const char *call, uint32_t class, uintptr_t address, const void *caller);

/*
 * The address was not one to give back to `call`: panics. `area` is a copy of what holds it, or NULL: of a mapping in a block,
 * if there is one, as if it were an area.
 */
NORETURN void report_release(const char *call, uintptr_t address, const struct vmap_area *area,
                             const void *caller);

/* Dying areas become holes, in one round of the lock. pre: nothing is mapped in them, and all CPUs know; count <= 32 */
enum { RELEASE_BATCH = 32 };
void vmap_areas_release(struct vmap_area *const *areas, size_t count);

/* ---- vmalloc.c: what areas own ---- */

static inline void frame_own(struct vmap_area *area, struct page *page)
{
	page->owner = area;
	page_set_type(page, PAGE_VMALLOC); /* last: whoever finds it believes the owner */
}

/* Held by whoever calls, as before frame_own(). */
void frames_disown(struct page *const *pages, size_t count);

/* The leaves that `pages` cuts have been split: so are the blocks behind them. Cannot fail. Takes a zone's lock. */
void area_split_blocks(struct vmap_area *area, struct vrange pages);

/* A dying area loses its mappings; its range and frames go to this CPU's lists. Frames given back. Not in interrupts. */
size_t vmap_area_dissolve(struct vmap_area *area, const void *caller);

/* Gives back the area of `class` whose owner was given `address`; anything else is the caller's mistake. */
void release(const char *call, uint32_t class, uintptr_t address, const void *caller);

/* ---- vmap.c: what areas show ---- */

/*
 * Fill an area that is there with frames of others, and with the device at want->phys_addr: all of it, or none and false.
 * Reclaim for tables if the request may. pages[] is mapped by runs if want->large_align says so.
 */
bool area_map_pages(const struct vmap_area *area, struct page *const *pages, size_t count,
                    const struct request *want) MUST_USE;
bool area_map_device(const struct vmap_area *area, const struct request *want) MUST_USE;

/* Undoes either; every CPU knows afterwards. Cannot fail. pre: no leaf reaches out of the area */
void area_unmap(const struct vmap_area *area);

/* A few frames at `at`, with interrupts masked, or false; reclaims for tables if the request may. */
bool map_frames(vaddr_t at, struct page *const *pages, size_t count, const struct request *want) MUST_USE;

/* The same for blocks, of which the last may reach over the range's end. */
bool map_blocks(struct vrange at, struct page *const *blocks, const struct request *want) MUST_USE;

/* Mapped or cleared with interrupts masked at a time: 4,096 pages, or one larger leaf. */
#define AREA_PART (16UL << 20)

/* Where the part of [at, end) ends that begins with a leaf of `leaf` bytes. No leaf reaches out of it. */
static inline uintptr_t area_part_end(uintptr_t at, uintptr_t end, size_t leaf)
{
	size_t part = max_u64(AREA_PART, leaf);
	return end - at <= AREA_PART ? end : min_u64(align_down(at, part) + part, end);
}

/* ---- ioremap.c: the registry of device mappings ---- */

/* Where an area for `size` > 0 bytes of a device begins: a multiple of this. */
size_t device_align(size_t size);

/* A VM_DEVICE area leaves the registry. pre: nothing maps it any more, and every CPU knows */
void device_forget(const struct vmap_area *area);

/* D1 to D5, and that so many VM_DEVICE areas are there. */
const char *device_check(size_t areas) MUST_USE;

/* Where its device's address would be: views may look there. */
static inline void area_set_frames(struct vmap_area *area, uint32_t frames, const void *freed_by)
{
	__atomic_store_n(&area->frames, frames, __ATOMIC_RELAXED);
	__atomic_store_n(&area->freed_by, (uint32_t)(uintptr_t)freed_by, __ATOMIC_RELAXED);
}

/* ---- vmap_range.c: ranges between two lives ---- */

/* Needs kmalloc. */
void vmap_ranges_init(void);

/* A range of `pages` and a guard page that this CPU keeps, flags VM_SPARE no more; NULL if it has none. */
struct vmap_area *vmap_range_take(size_t pages);

/* The same if the one that would be taken begins at a multiple of `align`: in a loop, it is what was freed before. */
struct vmap_area *vmap_range_take_aligned(size_t pages, size_t align);

/*
 * A dying area whose leaves pagetable_clear() made absent, its frames in `frames`: freed at some later flush. Frames given
 * back, if this was the one.
 */
size_t vmap_range_give(struct vmap_area *area, const struct page_list *frames, const void *caller);

/*
 * A dying area that owns frames, given back in an interrupt handler: dissolved by the next call of this CPU that takes a
 * new range or gives one back outside of one, or by whoever runs short.
 */
void vmap_range_defer(struct vmap_area *area, const void *caller);

/* Dissolves what this CPU has deferred. Not in interrupts. Frames given back, beside those that became lazy. */
size_t vmap_ranges_undefer(void);

/* A dying area that nothing maps and every CPU has forgotten. */
void vmap_range_give_flushed(struct vmap_area *area, const void *caller);

/*
 * All CPUs' lazy ranges are flushed and their frames freed, all kept ranges and unused blocks become holes. Frames given
 * back.
 */
size_t vmap_ranges_purge(void);

/* What is in quarantine becomes holes. False if nothing was. */
bool vmap_quarantine_empty(void);

/* V7 and what vmap_range.c adds to it. */
const char *vmap_ranges_check(void) MUST_USE;

/* ---- vm_map_ram.c: blocks of mappings that do not last ---- */

/*
 * If `area` is a block and `address` is in a mapping in it, or in a mapping's guard page: a copy of what would be this
 * mapping's area, with VM_LAZY if it was unmapped. Never panics; takes no lock.
 */
bool ram_block_find(const struct vmap_area *area, uintptr_t address, struct vmap_area *found) MUST_USE;

/* Every CPU forgets what was unmapped; blocks that hold nothing else go. Frames given back. Not in interrupts. */
size_t ram_blocks_purge(void);

/* W1 to W3 for a VM_RAM_BLOCK area; W4. */
const char *ram_block_check(const struct vmap_area *area) MUST_USE;
const char *ram_current_check(void) MUST_USE;

/* ---- quarantine.c, for vmap_range.c ---- */

struct quarantine {
	struct vmap_area *oldest, *newest; /* (vmalloc_state.lock) */
	size_t nr, bytes;                  /* (vmalloc_state.lock) */
	size_t limit;                      /* written with the lock held; 0: there is no quarantine */
};
extern struct quarantine quarantine;

static inline bool quarantine_is_on(void)
{
	return __atomic_load_n(&quarantine.limit, __ATOMIC_RELAXED);
}

/*
 * Dying areas that nothing maps and every CPU has forgotten come in. Those that are too large are left in front of areas[]:
 * so many. bytes > limit afterwards: to be followed by quarantine_expire() until it finds none.
 */
size_t quarantine_take(struct vmap_area **areas, size_t count) MUST_USE;

/* The oldest, while there are more than `limit` bytes or more than the quarantine's own; RELEASE_BATCH at most. How many. */
size_t quarantine_expire(struct vmap_area **areas, size_t limit) MUST_USE;

void quarantine_set_limit(size_t bytes);

/* Q1 to Q3. */
const char *quarantine_check(void) MUST_USE;

/* ---- vmalloc_check.c, for the views ---- */

/*
 * Bounds, flags, caller and device address of the first area that ends above `address`; false if there is none. Takes the
 * vmalloc lock for one lookup, which keeps the area where it is; a CPU that owns it may change the rest meanwhile.
 */
bool vmap_area_copy(uintptr_t address, struct vmap_area *copy) MUST_USE;

/* ---- An area ---- */

/*
 * The kinds by what frees them: VM_ALLOC vfree(), VM_MAP vunmap(), VM_IOREMAP iounmap(), VM_RAM vm_unmap_ram(),
 * VM_RAM_BLOCK no call.
 */
static inline uint32_t area_class(const struct vmap_area *area)
{
	uint32_t flags = area_flags(area);
	return flags & (VM_ALLOC | VM_MAP_PUT_PAGES) ? VM_ALLOC
	                                             : flags & (VM_MAP | VM_IOREMAP | VM_RAM | VM_RAM_BLOCK);
}

static inline bool area_owns_frames(const struct vmap_area *area)
{
	return area_class(area) == VM_ALLOC;
}

static inline const char *area_kind(const struct vmap_area *area)
{
	return area->flags & VM_IOREMAP                ? "ioremap"
	       : area->flags & VM_MAP                  ? "vmap"
	       : area->flags & (VM_RAM | VM_RAM_BLOCK) ? "vm_map_ram"
	                                               : "vmalloc";
}

/* Of a VM_DEVICE area. */
static inline enum memory_type area_memory_type(const struct vmap_area *area)
{
	return (enum memory_type)(area_flags(area) >> VM_TYPE_SHIFT & 7);
}

/* One past the last byte that may be mapped: the guard page, if there is one, begins here. */
static inline uintptr_t area_data_end(const struct vmap_area *area)
{
	return area->va_end - (area->flags & VM_NO_GUARD ? 0 : PAGE_SIZE);
}

/* The first byte that may be mapped: behind the guard page, if there is one before. */
static inline uintptr_t area_data_start(const struct vmap_area *area)
{
	return area->va_start + (area->flags & VM_GUARD_BEFORE ? PAGE_SIZE : 0);
}

static inline size_t area_data_pages(const struct vmap_area *area)
{
	return (area_data_end(area) - area_data_start(area)) >> PAGE_SHIFT;
}

/* V7: one range more, and one less, that was given back and is no hole. */
static ALWAYS_INLINE void count_gone(const struct vmap_area *area)
{
	cpu_count(COUNT_GONE_AREAS, 1);
	cpu_count(COUNT_GONE_BYTES, area->va_end - area->va_start);
}

static ALWAYS_INLINE void uncount_gone(const struct vmap_area *area)
{
	cpu_count(COUNT_GONE_AREAS, -1UL);
	cpu_count(COUNT_GONE_BYTES, area->va_start - area->va_end);
}

/* What its owner was given, and gives back. */
static inline uintptr_t area_address(const struct vmap_area *area)
{
	return area->flags & VM_AT_END ? area_data_end(area) - area->requested_size : area_data_start(area);
}

/* For %pS. Code lies in the top 2 GiB, so the low half tells all. */
static inline const void *code_address(uint32_t low_half)
{
	return (const void *)(intptr_t)(int32_t)low_half;
}

static inline const void *area_caller(const struct vmap_area *area)
{
	return code_address(area->caller);
}

/* Of a VM_GONE or VM_DEFERRED area. */
static inline const void *area_freed_by(const struct vmap_area *area)
{
	return code_address(area->freed_by);
}

#endif
