/*
 * The page allocator: one buddy per zone behind one lock each, and the policy around them.
 *
 * A request names the highest zone it can live with. It takes from there downward, never upward, as each
 * zone's memory serves every use of the zones above it. A zone keeps the last `reserve` frames for
 * __GFP_HIGH, who cannot wait. What none of the zones gives is asked of the shrinkers, if the flags allow,
 * and tried again; only then is it refused.
 *
 *	take downward ──► shrinkers, all CPUs' lists, take again (__GFP_NOFAIL: the reserve too) ──► NULL, or its panic
 *	                  (in rounds, as the flags say: gfp.h)  └──► refuse: NULL and one warning
 *
 * Blocks of order 0 to 3 come from and go to lists of the CPU that asks (page_cpu.c); the zones are met a batch at a time.
 *
 * Z1  Every zone's buddy is sound (buddy.c, I1 to I7).
 * Z2  The zones' spans are disjoint, ascending, and cut at ZONE_DMA_END and ZONE_DMA32_END: a frame's number
 *     tells its zone.
 * Z3  A zone's reserve is at most 1/256 of what it manages.
 * Z4  An exact allocation is what buddy_trim() leaves of a block: one per bit of the number of pages, largest
 *     first. The first is PAGE_EXACT (PAGE_KMALLOC while kmalloc() has it) and knows the number, the others are
 *     PAGE_TAIL and know the first. So no part can be freed by itself, nor the whole as something else.
 *
 * Locking: one zone lock at a time, for a bounded number of blocks (the batches below); only
 * alloc_pages_range() walks free lists under it. Nothing is cleared, reclaimed, warned about or reported while
 * it is held.
 *
 * Mistakes. All name the call; those of the free functions continue "pfn 0x… order …: " and then, exactly:
 *
 *	no frame of RAM
 *	order too large
 *	not aligned to the order
 *	never allocated, in the free block of order … at pfn 0x…
 *	reserved, not the allocator's
 *	already free, in the free block of order … at pfn 0x…, last held by …
 *	already free, in the block of order … at pfn 0x… that a CPU keeps, last held by …
 *	inside the block of order … at pfn 0x…, … by …                     (a tail; "held", "slab", … by whom)
 *	held with order … by …
 *	belongs to …, order …, by …                                       (another layer's; "exact")
 *	is no exact allocation, held by …                                 (free_pages_exact)
 *	… pages, but the exact allocation by … has …                      (free_pages_exact)
 */
#include <mm/page_alloc.h>

#include <arch/cpu_stack.h>
#include <arch/mutex.h>
#include <arch/smp.h>
#include <lib/bits.h>
#include <lib/check.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include <lib/string.h>
#include <mm/fault_inject.h>
#include <mm/lock_rank.h>
#include "page_alloc_internal.h"

enum {
	RESERVE_FRACTION = 256, /* of a zone */
	RESERVE_MAX = 1024,     /* 4 MiB: handlers take single frames, and few before someone reclaims */

	/* Single frames per lock round: interrupts wait for some 5,000 instructions at most. */
	ALLOC_BATCH = GROUP_FRAMES,
	FREE_BATCH = GROUP_FRAMES / 2,
	BULK_BY_ONE = 4, /* so few frames come and go through the CPU's list */

	BATCH_FRACTION = 1024, /* of a zone: what a CPU's list moves at a time */
};

struct zone zones[NR_ZONES] = {
        [ZONE_DMA] = {.name = "DMA", .lock = SPINLOCK_INIT("zone DMA", RANK_ZONE)},
        [ZONE_DMA32] = {.name = "DMA32", .lock = SPINLOCK_INIT("zone DMA32", RANK_ZONE)},
        [ZONE_NORMAL] = {.name = "Normal", .lock = SPINLOCK_INIT("zone Normal", RANK_ZONE)},
};

/* Registered while booting, never removed: walked without a lock. */
static struct list_head shrinkers = LIST_HEAD_INIT(shrinkers);

static const uint64_t zone_end[NR_ZONES] = {
        [ZONE_DMA] = ZONE_DMA_END >> PAGE_SHIFT,
        [ZONE_DMA32] = ZONE_DMA32_END >> PAGE_SHIFT,
        [ZONE_NORMAL] = PFN_NONE,
};

struct top_zone top_zone;

/* Z2 */
static inline unsigned zone_index(pfn_t frame)
{
	return (unsigned)(frame.raw >= zone_end[ZONE_DMA]) + (unsigned)(frame.raw >= zone_end[ZONE_DMA32]);
}

static inline struct zone *zone_of(pfn_t frame)
{
	return &zones[zone_index(frame)];
}

void page_alloc_init(pfn_t end)
{
	uint64_t start = 0;
	for (unsigned z = 0; z < NR_ZONES; z++) {
		uint64_t stop = max_u64(start, min_u64(end.raw, zone_end[z]));
		buddy_init(&zones[z].buddy, &page_array, pfn(start), pfn(stop));
		zones[z].reserve = 0;
		zones[z].batch = 0;
		start = stop;
	}
	top_zone = (struct top_zone){.zone = &zones[ZONE_NORMAL], .index = ZONE_NORMAL};
	page_cpu_init();
}

void page_alloc_add(struct prange range)
{
	ASSERT(is_aligned(range.start.raw | range.end.raw, PAGE_SIZE));
	uint64_t start = paddr_to_pfn(range.start).raw, end = paddr_to_pfn(range.end).raw;

	while (start < end) {
		struct zone *zone = zone_of(pfn(start));
		uint64_t stop = min_u64(end, zone_end[zone - zones]);
		irqflags_t flags = spin_lock_irqsave(&zone->lock);
		buddy_add(&zone->buddy, pfn(start), pfn(stop));
		spin_unlock_irqrestore(&zone->lock, flags);
		start = stop;
	}
}

void page_alloc_ready(void)
{
	for (unsigned z = 0; z < NR_ZONES; z++) {
		struct zone *zone = &zones[z];
		zone->reserve = min_u64(zone->buddy.nr_managed / RESERVE_FRACTION, RESERVE_MAX);
		size_t batch =
		        min_u64(zone->buddy.nr_managed / BATCH_FRACTION, BATCH_MAX << (CPU_LIST_ORDERS - 1));
		zone->batch = batch ? 1U << log2_floor(2 * batch - 1) : 0; /* rounded up to a power of two */
		if (zone->buddy.nr_managed)
			top_zone.index = z;
	}
	top_zone.zone = &zones[top_zone.index];
	uint64_t start = top_zone.zone->buddy.start;
	top_zone.first = pfn_to_page(pfn(start));
	top_zone.frames = page_array.end - start;
	top_zone.written = page_array.written + (start >> GROUP_ORDER);
	ASSERT(is_aligned(start, GROUP_FRAMES));
	page_cpu_size(this_cpu()->pages);
}

/* What was asked, by whom: one of these per public call. */
struct request {
	const char *call;
	uintptr_t caller;
	gfp_t gfp;
	unsigned order;
	size_t count;               /* frames of the block that are kept, from its start */
	const struct prange *range; /* NULL: anywhere */
};

/* The flags in words, for a warning. */
static const char *describe_flags(gfp_t gfp, char *text, size_t capacity)
{
	static const char *const names[] = {"DMA",  "DMA32",  "HIGHMEM", "RECLAIM", "HIGH",
	                                    "ZERO", "NOWARN", "NOFAIL",  "NORETRY", "RETRY_MAYFAIL"};
	_Static_assert(GFP_ALL >> ARRAY_SIZE(names) == 0, "every flag has a name");
	struct buffer_printer words;

	buffer_printer_init(&words, text, capacity);
	for (unsigned bit = 0; bit < ARRAY_SIZE(names); bit++) {
		if (gfp >> bit & 1)
			print(&words.printer, "%s__GFP_%s", words.length ? "|" : "", names[bit]);
	}
	return gfp ? text : "GFP_NOWAIT";
}

const char *gfp_contradiction(gfp_t gfp)
{
	bool insists = gfp & (__GFP_RETRY_MAYFAIL | __GFP_NOFAIL);

	if ((gfp & __GFP_NORETRY) && insists)
		return gfp & __GFP_NOFAIL ? "__GFP_NORETRY with __GFP_NOFAIL"
		                          : "__GFP_NORETRY with __GFP_RETRY_MAYFAIL";
	if ((gfp & __GFP_RETRY_MAYFAIL) && (gfp & __GFP_NOFAIL))
		return "__GFP_RETRY_MAYFAIL with __GFP_NOFAIL";
	if (insists && !(gfp & __GFP_RECLAIM))
		return gfp & __GFP_NOFAIL ? "__GFP_NOFAIL without __GFP_RECLAIM"
		                          : "__GFP_RETRY_MAYFAIL without __GFP_RECLAIM";
	return NULL;
}

static NOINLINE void warn_refused(const struct request *want)
{
	char flags[160];
	if (want->gfp & __GFP_NOWARN)
		return;
	warn("%s: order %u refused, flags 0x%x (%s), from %pS; frames left: DMA %zu, DMA32 %zu, Normal %zu",
	     want->call, want->order, want->gfp, describe_flags(want->gfp, flags, sizeof(flags)),
	     (void *)want->caller, zone_free_pages(&zones[ZONE_DMA]), zone_free_pages(&zones[ZONE_DMA32]),
	     zone_free_pages(&zones[ZONE_NORMAL]));
}

/* Flags that cannot be meant are the caller's mistake, whether or not there is memory. */
static inline void check_flags(const struct request *want)
{
	if (unlikely(want->gfp & ~GFP_ALL))
		panic("%s: unknown flags 0x%x, from %pS", want->call, want->gfp & ~GFP_ALL,
		      (void *)want->caller);
	if (unlikely((want->gfp & __GFP_RECLAIM) && in_interrupt()))
		panic("%s: GFP_KERNEL in interrupt context, from %pS", want->call, (void *)want->caller);
	if (unlikely((want->gfp & GFP_EFFORT) && gfp_contradiction(want->gfp)))
		panic("%s: %s, from %pS", want->call, gfp_contradiction(want->gfp), (void *)want->caller);
	/* Found out always, not only on the day that a shrinker needs the same lock. */
	DEBUG_ASSERT(!(want->gfp & __GFP_RECLAIM) || this_cpu()->held_locks == 0);
}

static inline unsigned highest_zone(gfp_t gfp)
{
	if (likely(!(gfp & (__GFP_DMA | __GFP_DMA32))))
		return top_zone.index;
	return gfp & __GFP_DMA ? ZONE_DMA : ZONE_DMA32;
}

/* Z5 ends: a block from a list (page_cpu.c) becomes the caller's. */
static ALWAYS_INLINE struct page *issue(struct page *page, unsigned order, uintptr_t caller)
{
	if (unlikely(!page_is_head(page, PAGE_CACHED, order)))
		return page_cpu_report(page);
	page_set_type(page, PAGE_HELD);
	page->caller = (uint32_t)caller;
	return page;
}

/* From the zone's lists, wholly inside the range that was asked for, if one was. */
static inline struct page *take_block(struct buddy *buddy, const struct request *want)
{
	if (likely(!want->range))
		return buddy_alloc(buddy, want->order);
	paddr_t start = want->range->start;
	uint64_t low = paddr_to_pfn(start).raw + !is_aligned(start.raw, PAGE_SIZE);
	return buddy_alloc_range(buddy, want->order, pfn(low), paddr_to_pfn(want->range->end));
}

static struct page *zone_take(struct zone *zone, const struct request *want, size_t reserve)
{
	struct buddy *buddy = &zone->buddy;
	struct page *page = NULL;

	irqflags_t flags = spin_lock_irqsave(&zone->lock);
	if (buddy->nr_free >= want->count + reserve)
		page = take_block(buddy, want);
	if (page) {
		page->caller = (uint32_t)want->caller;
		if (want->count != 1UL << want->order)
			buddy_trim(buddy, page, want->count);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return page;
}

/* From this CPU's list, refilled if it is empty. */
static inline struct page *list_take(unsigned z, unsigned order, uintptr_t caller)
{
	struct cpu_stack *list = page_cpu_list(this_cpu_read(pages), z, order);
	struct page *page = cpu_stack_pop(list);

	if (unlikely(!page))
		page = page_cpu_take(&zones[z], order, list);
	return page ? issue(page, order, caller) : NULL;
}

static inline bool is_listed(const struct request *want)
{
	return want->order < CPU_LIST_ORDERS && want->count == 1UL << want->order && !want->range;
}

static struct page *take(const struct request *want, bool use_reserve)
{
	for (int z = (int)highest_zone(want->gfp); z >= 0; z--) {
		struct zone *zone = &zones[z];
		if (!zone->buddy.nr_managed)
			continue;
		struct page *page =
		        is_listed(want) ? list_take((unsigned)z, want->order, want->caller) : NULL;
		if (!page)
			page = zone_take(zone, want, use_reserve ? 0 : zone->reserve);
		if (page)
			return page;
	}
	return NULL;
}

/*
 * No zone has it: everything that may still help, in the order of how much it costs. `round` is 0 unless an earlier part of
 * the same request came here already.
 */
static NOINLINE struct page *take_hard(const struct request *want, unsigned round)
{
	struct page *page;
	size_t freed;

	do {
		freed = reclaim_for(want->gfp, round++);
		page = take(want, want->gfp & (__GFP_HIGH | __GFP_NOFAIL));
	} while (!page && freed && gfp_persists(want->gfp, round));
	if (!page && want->gfp & __GFP_NOFAIL)
		panic("%s: order %u with __GFP_NOFAIL from %pS: out of memory", want->call, want->order,
		      (void *)want->caller);
	if (!page)
		warn_refused(want);
	return page;
}

static NOINLINE struct page *refuse_order(const struct request *want)
{
	if (want->gfp & __GFP_NOFAIL)
		panic("%s: order %u with __GFP_NOFAIL from %pS: the largest is %d", want->call, want->order,
		      (void *)want->caller, MAX_PAGE_ORDER);
	if (!(want->gfp & __GFP_NOWARN))
		warn("%s: order %u refused, from %pS; the largest is %d", want->call, want->order,
		     (void *)want->caller, MAX_PAGE_ORDER);
	return NULL;
}

static struct page *allocate(const struct request *want)
{
	check_flags(want);
	if (unlikely(want->order > MAX_PAGE_ORDER))
		return refuse_order(want);
	if (fault_injected(want->gfp))
		return NULL;

	struct page *page = take(want, want->gfp & __GFP_HIGH);
	if (unlikely(!page))
		page = take_hard(want, 0);
	if (page && want->gfp & __GFP_ZERO)
		memset(page_address(page), 0, want->count << PAGE_SHIFT);
	return page;
}

/* The request for a whole block. An order too large to shift by is refused before `count` is looked at. */
static inline struct request block_request(const char *call, uintptr_t caller, gfp_t gfp, unsigned order)
{
	return (struct request){
	        .call = call, .caller = caller, .gfp = gfp, .order = order, .count = 1UL << (order & 63)};
}

static NOINLINE struct page *alloc_pages_slow(gfp_t gfp, unsigned order, uintptr_t caller)
{
	struct request want = block_request("alloc_pages", caller, gfp, order);
	return allocate(&want);
}

/* Nothing about the flags needs a second look: any zone, no clearing. */
static ALWAYS_INLINE bool is_plain(gfp_t gfp)
{
	enum { PLAIN = __GFP_RECLAIM | __GFP_HIGH | __GFP_NOWARN | __GFP_HIGHMEM };

	if (IS_DEBUG && (fault_inject_armed || ((gfp & __GFP_RECLAIM) && this_cpu()->held_locks)))
		return false;
	if (likely(gfp == GFP_KERNEL))
		return !in_interrupt();
	return !(gfp & ~(gfp_t)PLAIN) && (!(gfp & __GFP_RECLAIM) || !in_interrupt());
}

/* This CPU's list is empty, or there is none. */
static NOINLINE struct page *alloc_pages_refilled(gfp_t gfp, unsigned order, uintptr_t caller)
{
	struct page *page =
	        page_cpu_take(top_zone.zone, order, page_cpu_top_list(this_cpu_read(pages), order));

	return likely(page) ? issue(page, order, caller) : alloc_pages_slow(gfp, order, caller);
}

/* Larger than any list has: from the top zone at once, if it has more than its reserve. */
static NOINLINE struct page *alloc_pages_large(gfp_t gfp, unsigned order, uintptr_t caller)
{
	struct zone *zone = top_zone.zone;
	struct page *page = NULL;

	if (unlikely(order > MAX_PAGE_ORDER))
		return alloc_pages_slow(gfp, order, caller);
	irqflags_t flags = spin_lock_irqsave(&zone->lock);
	if (zone->buddy.nr_free >= (1UL << order) + zone->reserve)
		page = buddy_alloc(&zone->buddy, order);
	if (page)
		page->caller = (uint32_t)caller;
	spin_unlock_irqrestore(&zone->lock, flags);
	return likely(page) ? page : alloc_pages_slow(gfp, order, caller);
}

/* No call comes back here: the fast way saves no register. */
static ALWAYS_INLINE struct page *alloc_block(gfp_t gfp, unsigned order, uintptr_t caller)
{
	if (unlikely(!is_plain(gfp)))
		return alloc_pages_slow(gfp, order, caller);
	if (unlikely(order >= CPU_LIST_ORDERS))
		return alloc_pages_large(gfp, order, caller);
	struct page *page = cpu_stack_pop(page_cpu_top_list(this_cpu_read(pages), order));
	if (unlikely(!page))
		return alloc_pages_refilled(gfp, order, caller);
	return issue(page, order, caller);
}

struct page *alloc_pages(gfp_t gfp, unsigned order)
{
	return alloc_block(gfp, order, CALLER_ADDRESS);
}

struct page *alloc_page(gfp_t gfp)
{
	return alloc_block(gfp, 0, CALLER_ADDRESS);
}

unsigned long __get_free_pages(gfp_t gfp, unsigned order)
{
	struct request want = block_request("__get_free_pages", CALLER_ADDRESS, gfp, order);
	struct page *page = allocate(&want);
	return page ? (unsigned long)page_address(page) : 0;
}

unsigned long get_zeroed_page(gfp_t gfp)
{
	struct request want = block_request("get_zeroed_page", CALLER_ADDRESS, gfp | __GFP_ZERO, 0);
	struct page *page = allocate(&want);
	return page ? (unsigned long)page_address(page) : 0;
}

struct page *alloc_pages_range(gfp_t gfp, unsigned order, struct prange range)
{
	struct request want = block_request("alloc_pages_range", CALLER_ADDRESS, gfp, order);
	want.range = &range;
	return allocate(&want);
}

/* Z4, for what has just been cut to measure. It is ours alone: no lock. */
static void bind_exact(struct page *head, size_t count)
{
	struct page *end = head + count;

	for (struct page *page = head; page < end; page += 1UL << page->order) {
		page_set_type(page, PAGE_TAIL);
		page->private = page_to_pfn(head).raw;
	}
	page_set_type(head, PAGE_EXACT);
	head->private = count;
}

void *alloc_pages_exact(size_t size, gfp_t gfp)
{
	/* Bounded first, so that rounding up cannot wrap; the order of SIZE_MAX pages is refused below. */
	size_t count = size <= PAGE_SIZE << MAX_PAGE_ORDER ? pages_for(size) : SIZE_MAX;
	struct request want = {
	        .call = "alloc_pages_exact", .caller = CALLER_ADDRESS, .gfp = gfp, .count = count};

	if (!count) {
		check_flags(&want);
		if (!(gfp & __GFP_NOWARN))
			warn("alloc_pages_exact: size 0 refused, from %pS", (void *)want.caller);
		return NULL;
	}
	want.order = log2_ceil(count);
	struct page *page = allocate(&want);
	if (!page)
		return NULL;
	bind_exact(page, count);
	return page_address(page);
}

/* What `zone` can give of `count` single frames without touching `reserve`. */
static size_t zone_take_bulk(struct zone *zone, size_t reserve, size_t count, struct page **pages,
                             uint32_t caller)
{
	size_t got = 0, given;

	do {
		irqflags_t flags = spin_lock_irqsave(&zone->lock);
		size_t spare = zone->buddy.nr_free > reserve ? zone->buddy.nr_free - reserve : 0;
		size_t asked = min_u64(min_u64(count - got, spare), ALLOC_BATCH);
		given = buddy_alloc_bulk(&zone->buddy, asked, pages + got, caller);
		spin_unlock_irqrestore(&zone->lock, flags);
		got += given;
	} while (given && got < count);
	return got;
}

static size_t take_bulk(const struct request *want, size_t count, struct page **pages)
{
	bool use_reserve = want->gfp & __GFP_HIGH;
	size_t got = 0;

	for (int z = (int)highest_zone(want->gfp); z >= 0 && got < count; z--) {
		size_t reserve = use_reserve ? 0 : zones[z].reserve;
		bool by_one = count - got <= BULK_BY_ONE;
		struct page *page;
		if (!by_one)
			got += zone_take_bulk(&zones[z], reserve, count - got, pages + got,
			                      (uint32_t)want->caller);
		while (got < count && (page = list_take((unsigned)z, want->order, want->caller)))
			pages[got++] = page;
		if (by_one && unlikely(got < count))
			got += zone_take_bulk(&zones[z], reserve, count - got, pages + got,
			                      (uint32_t)want->caller);
	}
	return got;
}

size_t alloc_pages_bulk(gfp_t gfp, size_t count, struct page **pages)
{
	struct request want = block_request("alloc_pages_bulk", CALLER_ADDRESS, gfp, 0);

	check_flags(&want);
	if (fault_injected(gfp))
		return 0;
	size_t got = take_bulk(&want, count, pages);
	/* One by one the hard way, and again in bulk if that gave anything. */
	for (unsigned nth = 0; unlikely(got < count); nth++) {
		struct page *page = take_hard(&want, gfp & __GFP_NORETRY ? nth : 0);
		if (!page)
			break;
		pages[got++] = page;
		got += take_bulk(&want, count - got, pages + got);
	}
	if (gfp & __GFP_ZERO) {
		for (size_t i = 0; i < got; i++)
			memset(page_address(pages[i]), 0, PAGE_SIZE);
	}
	return got;
}

/* A refused free, as it was seen under the lock. */
struct mistake {
	enum buddy_misuse misuse;
	pfn_t frame;
	unsigned order;
	size_t count;           /* free_pages_exact(): the pages it was told; else 0 */
	uintptr_t last_caller;  /* who held this very frame before; 0: nobody */
	pfn_t block;            /* the head of the block around it, */
	struct page block_page; /* and its entry; all zero if there is none */
};

static NOINLINE struct mistake describe_mistake(enum buddy_misuse misuse, pfn_t frame, unsigned order)
{
	struct mistake mistake = {.misuse = misuse, .frame = frame, .order = order};
	const struct page *block = page_find_block(frame);

	if (block) {
		mistake.block = page_to_pfn(block);
		mistake.block_page = *block;
		if (page_is_written(frame))
			mistake.last_caller = page_caller(pfn_to_page(frame));
	}
	return mistake;
}

static NORETURN void report_mistake(const char *call, const struct mistake *m)
{
	const struct page *block = &m->block_page;
	const char *type = page_type_name(block->type);
	void *holder = (void *)page_caller(block);
	unsigned long frame = m->frame.raw, head = m->block.raw;

	if (m->count && block->type == PAGE_EXACT && frame == head)
		panic("%s: pfn 0x%lx order %u: %zu pages, but the exact allocation by %pS has %zu", call,
		      frame, m->order, m->count, holder, block->private);
	switch (m->misuse) {
	case BUDDY_MISALIGNED:
		panic("%s: pfn 0x%lx order %u: %s", call, frame, m->order,
		      m->order > MAX_PAGE_ORDER ? "order too large" : "not aligned to the order");
	case BUDDY_NEVER:
		panic("%s: pfn 0x%lx order %u: never allocated, in the free block of order %u at pfn 0x%lx",
		      call, frame, m->order, block->order, head);
	case BUDDY_RESERVED:
		panic("%s: pfn 0x%lx order %u: reserved, not the allocator's", call, frame, m->order);
	case BUDDY_FREE:
		panic("%s: pfn 0x%lx order %u: already free, in the free block of order %u at pfn 0x%lx, last held by %pS",
		      call, frame, m->order, block->order, head, (void *)m->last_caller);
	case BUDDY_CACHED:
		panic("%s: pfn 0x%lx order %u: already free, in the block of order %u at pfn 0x%lx that a CPU keeps, last held by %pS",
		      call, frame, m->order, block->order, head, (void *)m->last_caller);
	case BUDDY_INSIDE:
		panic("%s: pfn 0x%lx order %u: inside the block of order %u at pfn 0x%lx, %s by %pS", call,
		      frame, m->order, block->order, head, type, holder);
	case BUDDY_WRONG_ORDER:
		panic("%s: pfn 0x%lx order %u: held with order %u by %pS", call, frame, m->order,
		      block->order, holder);
	case BUDDY_WRONG_TYPE:
		panic("%s: pfn 0x%lx order %u: belongs to %s, order %u, by %pS", call, frame, m->order, type,
		      block->order, holder);
	case BUDDY_OK: /* a block like any other, which only free_pages_exact() refuses */
		panic("%s: pfn 0x%lx order %u: is no exact allocation, held by %pS", call, frame, m->order,
		      holder);
	case BUDDY_OUTSIDE:
		break;
	}
	panic("%s: pfn 0x%lx order %u: no frame of RAM", call, frame, m->order);
}

static inline pfn_t checked_pfn(const char *call, const struct page *page)
{
	if (unlikely(!is_aligned((uintptr_t)page, sizeof(*page))))
		panic("%s: 0x%lx is no struct page", call, (unsigned long)page);
	return page_to_pfn(page);
}

/* With the zone's lock held since a free of the frame was refused, and no longer when the words are said. */
static NOINLINE NORETURN void refuse_free(struct zone *zone, irqflags_t flags, enum buddy_misuse misuse,
                                          pfn_t frame, unsigned order, const char *call)
{
	struct mistake mistake = describe_mistake(misuse, frame, order);

	spin_unlock_irqrestore(&zone->lock, flags);
	report_mistake(call, &mistake);
}

static ALWAYS_INLINE void release_in(struct zone *zone, struct page *page, unsigned order, const char *call)
{
	pfn_t frame = page_to_pfn(page);

	irqflags_t flags = spin_lock_irqsave(&zone->lock);
	enum buddy_misuse misuse = buddy_free(&zone->buddy, frame, order);
	if (unlikely(misuse))
		refuse_free(zone, flags, misuse, frame, order, call);
	DEBUG_ASSERT(!page->unflushed); /* vmap_range.c: some CPU may still reach it */
	spin_unlock_irqrestore(&zone->lock, flags);
}

static NOINLINE void release_slow(struct page *page, unsigned order, const char *call)
{
	release_in(zone_of(checked_pfn(call, page)), page, order, call);
}

/* The entry is one of the top zone's; the block is larger than any list has, or wrong. */
static NOINLINE void release_large(struct page *page, unsigned order, const char *call)
{
	release_in(top_zone.zone, page, order, call);
}

/* This CPU's list is full, or the zone too small for lists. */
static NOINLINE void release_to_zone(struct page *page, unsigned order, const char *call,
                                     struct cpu_stack *list)
{
	if (!page_cpu_put(zone_of(page_to_pfn(page)), order, list, page)) {
		page_set_type(page, PAGE_HELD);
		release_slow(page, order, call);
	}
}

/* How many entries `page` is past `first`; for what points into none, more than any array has. */
static inline uint64_t wild_index(const struct page *page, const struct page *first)
{
	uint64_t offset = (uintptr_t)page - (uintptr_t)first;
	return offset >> PAGE_ENTRY_SHIFT |
	       offset << (64 - PAGE_ENTRY_SHIFT); /* low bits become the highest */
}

/*
 * The one question of a free: is this the head of a held block of this order? As it was checked when it was handed out,
 * alignment and span need no question of their own. pre: the page's group is written
 */
static ALWAYS_INLINE void release_checked(struct page *page, unsigned order, struct cpu_stack *list,
                                          const char *call)
{
	if (unlikely(!page_is_head(page, PAGE_HELD, order))) {
		release_slow(page, order, call);
		return;
	}
	DEBUG_ASSERT(!page->unflushed); /* vmap_range.c: some CPU may still reach it */
	page_set_type(page, PAGE_CACHED);
	if (unlikely(!cpu_stack_push(list, page)))
		release_to_zone(page, order, call, list);
}

/* The entry is none of the top zone's. What is wrong is judged under the zone's lock. */
static NOINLINE void release_below(struct page *page, unsigned order, const char *call)
{
	pfn_t frame = pfn(wild_index(page, pfn_to_page(pfn(0))));

	if (order < CPU_LIST_ORDERS && frame.raw < page_array.end &&
	    page_group_is_written(page_array.written, frame.raw))
		release_checked(page, order, page_cpu_list(this_cpu_read(pages), zone_index(frame), order),
		                call);
	else
		release_slow(page, order, call);
}

/* As alloc_block(), it saves no register. */
static ALWAYS_INLINE void release(struct page *page, unsigned order, const char *call)
{
	uint64_t n = wild_index(page, top_zone.first);

	if (unlikely(n >= top_zone.frames))
		release_below(page, order, call);
	else if (unlikely(order >= CPU_LIST_ORDERS || !page_group_is_written(top_zone.written, n)))
		release_large(page, order, call);
	else
		release_checked(page, order, page_cpu_top_list(this_cpu_read(pages), order), call);
}

void __free_pages(struct page *page, unsigned order)
{
	release(page, order, "__free_pages");
}

void __free_page(struct page *page)
{
	release(page, 0, "__free_pages");
}

/* A block of 2^from frames becomes blocks of 2^to, in one round of the lock. */
static void split_block(struct page *page, unsigned from, unsigned to)
{
	pfn_t frame = checked_pfn("split_page", page);
	struct zone *zone = zone_of(frame);

	irqflags_t flags = spin_lock_irqsave(&zone->lock);
	enum buddy_misuse misuse = buddy_judge_free(&zone->buddy, frame, from);
	if (unlikely(misuse))
		refuse_free(zone, flags, misuse, frame, from, "split_page");
	buddy_split(&zone->buddy, page, to);
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* In two steps, so that a round of the lock writes 512 heads, and what they demand beside them. */
void split_page(struct page *page, unsigned order)
{
	unsigned step = order > GROUP_ORDER ? GROUP_ORDER : 0;

	split_block(page, order, step);
	for (struct page *block = page; step && block < page + (1UL << order); block += GROUP_FRAMES)
		split_block(block, step, 0);
}

/* The first frame at a direct-map address that an allocation returned. */
static pfn_t checked_address(const char *call, unsigned long address)
{
	if (!is_directmap_address(vaddr(address)))
		panic("%s: 0x%lx is no direct-map address", call, address);
	if (!is_aligned(address, PAGE_SIZE))
		panic("%s: 0x%lx is not the start of a page", call, address);
	return paddr_to_pfn(directmap_to_paddr((void *)address));
}

void free_pages(unsigned long address, unsigned order)
{
	if (address)
		release(pfn_to_page(checked_address("free_pages", address)), order, "free_pages");
}

static bool is_exact(pfn_t frame, size_t count)
{
	if (!page_is_written(frame))
		return false;
	const struct page *page = pfn_to_page(frame);
	return page->type == PAGE_EXACT && page->private == count;
}

/* Z4 backwards. False if some block was not what Z4 says. */
static bool free_exact_locked(struct buddy *buddy, pfn_t start, size_t count)
{
	bool sound = true;

	for (uint64_t n = start.raw, end = n + count; n < end;) {
		unsigned order = log2_floor(end - n);
		page_set_type(pfn_to_page(pfn(n)), PAGE_HELD);
		sound &= buddy_free(buddy, pfn(n), order) == BUDDY_OK;
		n += 1UL << order;
	}
	return sound;
}

void free_pages_exact(void *address, size_t size)
{
	pfn_t start = checked_address("free_pages_exact", (unsigned long)address);
	if (size == 0 || size > PAGE_SIZE << MAX_PAGE_ORDER)
		panic("free_pages_exact: 0x%lx: size %zu is none that was ever given", (unsigned long)address,
		      size);

	struct zone *zone = zone_of(start);
	size_t count = pages_for(size);
	irqflags_t flags = spin_lock_irqsave(&zone->lock);
	if (unlikely(!is_exact(start, count))) {
		unsigned order = log2_floor(count);
		struct mistake mistake =
		        describe_mistake(buddy_judge_free(&zone->buddy, start, order), start, order);
		spin_unlock_irqrestore(&zone->lock, flags);
		mistake.count = count;
		report_mistake("free_pages_exact", &mistake);
	}
	bool sound = free_exact_locked(&zone->buddy, start, count);
	spin_unlock_irqrestore(&zone->lock, flags);
	ASSERT(sound); /* Z4 */
}

/* How many frames this CPU's list of the highest zone can still take. */
static inline size_t list_room(void)
{
	const struct cpu_stack *list = page_cpu_top_list(this_cpu_read(pages), 0);
	return list->capacity - list->count;
}

/*
 * Single frames: as many as this CPU's list has room for, to be taken from there again, and the others in lock rounds per
 * batch in one zone. What comes before a mistake is freed.
 */
static void release_bulk(const char *call, size_t count, struct page *const *pages)
{
	size_t i = 0, by_one = count <= BULK_BY_ONE ? count : min_u64(count, list_room());

	while (i < by_one)
		release(pages[i++], 0, call);
	while (i < count) {
		struct zone *zone = zone_of(checked_pfn(call, pages[i]));
		struct mistake mistake = {.misuse = BUDDY_OK};
		enum buddy_misuse misuse;

		irqflags_t flags = spin_lock_irqsave(&zone->lock);
		size_t freed =
		        buddy_free_bulk(&zone->buddy, min_u64(count - i, FREE_BATCH), pages + i, &misuse);
		for (size_t n = 0; IS_DEBUG && n < freed; n++)
			DEBUG_ASSERT(!pages[i + n]->unflushed);
		i += freed;
		if (unlikely(misuse && !(misuse == BUDDY_OUTSIDE && freed))) /* else perhaps another zone's */
			mistake = describe_mistake(misuse, page_to_pfn(pages[i]), 0);
		spin_unlock_irqrestore(&zone->lock, flags);
		if (unlikely(mistake.misuse))
			report_mistake(call, &mistake);
	}
}

void free_pages_bulk(size_t count, struct page **pages)
{
	release_bulk("free_pages_bulk", count, pages);
}

/* vmap_range.c: some CPU may still reach it */
static void check_flushed(uint32_t n, size_t count)
{
	for (; count; count--, n = pfn_to_page(pfn(n))->next)
		DEBUG_ASSERT(!pfn_to_page(pfn(n))->unflushed);
}

/* From the front of the list, in one lock round of its first block's zone. */
static void release_chain(struct page_list *list)
{
	struct zone *zone = zone_of(pfn(list->head));
	struct mistake mistake = {.misuse = BUDDY_OK};
	enum buddy_misuse misuse;

	size_t count = min_u64(list->count, FREE_BATCH);
	if (IS_DEBUG)
		check_flushed(list->head, count);
	irqflags_t flags = spin_lock_irqsave(&zone->lock);
	size_t freed = buddy_free_chain(&zone->buddy, &list->head, count, &misuse);
	list->count -= freed;
	if (unlikely(misuse && !(misuse == BUDDY_OUTSIDE && freed))) /* else perhaps another zone's */
		mistake = describe_mistake(misuse, pfn(list->head), pfn_to_page(pfn(list->head))->order);
	spin_unlock_irqrestore(&zone->lock, flags);
	if (unlikely(mistake.misuse))
		report_mistake("free_page_list", &mistake);
}

void free_page_list(struct page_list *list)
{
	size_t by_one = list->count <= BULK_BY_ONE ? list->count : min_u64(list->count, list_room());

	while (by_one && pfn_to_page(pfn(list->head))->order < CPU_LIST_ORDERS) {
		struct page *page = page_list_take(list);
		release(page, page->order, "free_page_list");
		by_one--;
	}
	while (list->count)
		release_chain(list);
}

void register_shrinker(struct shrinker *shrinker)
{
	list_add(&shrinker->link, &shrinkers); /* what stands on others gives back before them */
}

/* One CPU reclaims at a time: those that run out together would all interrupt each other. */
static struct mutex reclaim_mutex = MUTEX_INIT("reclaim");

bool reclaim_begin(void)
{
	if (mutex_is_held(&reclaim_mutex)) /* who gives back asks for memory */
		return false;
	mutex_lock(&reclaim_mutex);
	return true;
}

void reclaim_end(void)
{
	mutex_unlock(&reclaim_mutex);
}

size_t reclaim_pages(void)
{
	struct shrinker *shrinker;
	size_t freed = 0;

	if (in_interrupt())
		panic("reclaim_pages: in interrupt context");
	if (!reclaim_begin())
		return 0;
	list_for_each_entry (shrinker, &shrinkers, link)
		freed += shrinker->shrink();
	freed += page_cpu_drain_all();
	reclaim_end();
	return freed;
}

size_t reclaim_for(gfp_t gfp, unsigned round)
{
	if (!(gfp & __GFP_RECLAIM)) {
		page_cpu_drain_own(); /* all that may be had without waiting for others */
		return 0;
	}
	if (gfp & __GFP_NORETRY)
		return round ? 0 : page_cpu_drain_all();
	return reclaim_pages();
}

size_t nr_free_pages(void)
{
	size_t sum = 0;
	for (unsigned z = 0; z < NR_ZONES; z++)
		sum += zone_free_pages(&zones[z]);
	return sum;
}

size_t nr_managed_pages(void)
{
	size_t sum = 0;
	for (unsigned z = 0; z < NR_ZONES; z++)
		sum += zones[z].buddy.nr_managed;
	return sum;
}
