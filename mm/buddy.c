/*
 * Buddy allocator (Knowlton 1965; Knuth, TAOCP 1, 2.5).
 *
 * Manages the frames of one span as blocks of 2^k frames, each aligned to its own size; allocates by halving,
 * frees by joining halves. There is a block for a request if and only if some aligned run of that size is
 * free.
 *
 *	order 2   [       A       ]
 *	order 1   [   B   |   C   ]      C is B's buddy: their frame numbers differ in bit 1, their order.
 *
 * A block is known by its head, the entry of its first frame. Free heads of one order form a doubly linked
 * list through their entries, as 32-bit frame numbers; `nonempty` has a bit per order, so that the smallest
 * sufficient order is one bit scan away.
 *
 * I1  A block is aligned to its size and lies inside the span. Its head alone says what it is: no other entry
 *     inside a free block claims to be a head (P4 of <mm/page.h>).
 * I2  List k holds free blocks of order k, linked both ways, `count` of them.
 * I3  Bit k of `nonempty` is set if and only if list k is not empty.
 * I4  Two free buddies never coexist: what is freed merges before it is linked.
 * I5  nr_free is the number of frames on the lists.
 * I6  Every frame given to us is in exactly one block: frames in free blocks, all of them on the lists, and
 *     frames in held blocks add up to nr_managed.
 * I7  For a block smaller than its section, the section's group heads are written; for one smaller than its
 *     group, the group. So the entry of a block's buddy is written and may be read: both lie in one section,
 *     at one level.
 *
 * I7 is what lets the array be garbage where no block was ever cut. It is established before the first cut of
 * a block and before a block is seeded, in cut_is_written() and buddy_add(), nowhere else.
 *
 * No lock: the owner serialises. Alloc and free take at most MAX_PAGE_ORDER steps, each touching at most four
 * entries; the first cut of a 1 GiB or a 2 MiB block writes 511 entries once (page.c).
 */
#include <mm/buddy.h>

#include <lib/bits.h>
#include <lib/panic.h>

void buddy_init(struct buddy *buddy, const struct page_array *array, pfn_t start, pfn_t end)
{
	ASSERT(start.raw <= end.raw && end.raw <= array->end && array->end <= PFN_NONE);
	*buddy = (struct buddy){.array = *array, .start = (uint32_t)start.raw, .end = (uint32_t)end.raw};
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		buddy->free[order].head = PFN_NONE;
}

/* next and prev of a block that is alone on its list. */
#define LINKS_NONE ((uint64_t)PFN_NONE << 32 | PFN_NONE)

/* The block becomes free and the first of its list. */
static ALWAYS_INLINE void link_free(struct buddy *buddy, uint32_t n, unsigned order)
{
	struct page *page = &buddy->array.frames[n];
	uint32_t next = buddy->free[order].head;

	page->next = next;
	page->prev = PFN_NONE;
	page_set_head(page, PAGE_FREE, order);
	if (next != PFN_NONE)
		buddy->array.frames[next].prev = n;
	buddy->free[order].head = n;
	buddy->free[order].count++;
	buddy->nonempty |= 1U << order;
}

/* Off its list; the entry still says PAGE_FREE. */
static ALWAYS_INLINE void unlink_free(struct buddy *buddy, uint32_t n, unsigned order)
{
	struct page *const frames = buddy->array.frames;
	uint32_t next = frames[n].next, prev = frames[n].prev;

	if (next != PFN_NONE)
		frames[next].prev = prev;
	if (prev != PFN_NONE)
		frames[prev].next = next;
	else
		buddy->free[order].head = next;
	if (--buddy->free[order].count == 0)
		buddy->nonempty &= ~(1U << order);
}

/* The first of a list, off it. pre: there is one */
static ALWAYS_INLINE uint32_t pop_free(struct buddy *buddy, unsigned order)
{
	uint32_t n = buddy->free[order].head, next = buddy->array.frames[n].next;

	buddy->free[order].head = next;
	if (next != PFN_NONE)
		buddy->array.frames[next].prev = PFN_NONE;
	if (--buddy->free[order].count == 0)
		buddy->nonempty &= ~(1U << order);
	return n;
}

/* One writer at a time; read by whoever only wants to know. */
static inline void count_free(struct buddy *buddy, size_t more)
{
	__atomic_store_n(&buddy->nr_free, buddy->nr_free + more, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE struct page *hold(struct buddy *buddy, uint32_t n, unsigned order)
{
	struct page *page = &buddy->array.frames[n];
	page_set_head(page, PAGE_HELD, order);
	return page;
}

/*
 * I7, before a cut that leaves a head at `upper`, the smallest of the cut's upper halves. One question is
 * enough: every other head of the same cut is either in upper's group or the first of a group.
 */
static ALWAYS_INLINE void cut_is_written(struct buddy *buddy, uint32_t upper)
{
	if (unlikely(!page_entry_written(&buddy->array, upper)))
		page_entry_make_written(&buddy->array, upper);
}

/*
 * The block of order `from` at n is on no list: frees all of it but the block of order `to` at `target`.
 *
 *	n                               order 3      target = n + 2, to = 1
 *	[       |   .   |       |       ]
 *	                [  free order 2 ]            the half without the target is free,
 *	[ free 1][target]                            the other is cut again
 */
static ALWAYS_INLINE void cut_down(struct buddy *buddy, uint32_t n, unsigned from, uint32_t target,
                                   unsigned to)
{
	if (from == to)
		return;
	cut_is_written(buddy, target | 1U << to);
	while (from > to) {
		uint32_t half = 1U << --from;
		link_free(buddy, n | (~target & half), from);
		n |= target & half;
	}
}

static ALWAYS_INLINE unsigned smallest_sufficient(const struct buddy *buddy, unsigned order)
{
	return order + lowest_bit(buddy->nonempty >> order);
}

/*
 * The first 2^keep frames of a free block of order `from`, on no list. Blocks of 2^order frames are to be made of them,
 * order <= keep <= from, and no list between `order` and `from` has a block: what is cut off is alone on its lists. pre: there
 * is a block
 */
static ALWAYS_INLINE uint32_t take_smallest(struct buddy *buddy, unsigned order, unsigned from, unsigned keep)
{
	uint32_t n = pop_free(buddy, from);

	if (from >= GROUP_ORDER && from > order) /* else it was, with its group: I7 */
		cut_is_written(buddy, n | 1U << order);
	if (from <= keep)
		return n;
	buddy->nonempty |= (1U << from) - (1U << keep);
	do {
		uint32_t upper = n | 1U << --from;
		struct page *page = &buddy->array.frames[upper];
		page->private = LINKS_NONE;
		page_set_head(page, PAGE_FREE, from);
		buddy->free[from].head = upper;
		buddy->free[from].count = 1;
	} while (from > keep);
	return n;
}

struct page *buddy_alloc(struct buddy *buddy, unsigned order)
{
	if (unlikely(!(buddy->nonempty >> order)))
		return NULL;
	uint32_t n = take_smallest(buddy, order, smallest_sufficient(buddy, order), order);
	count_free(buddy, -(1UL << order));
	return hold(buddy, n, order);
}

struct page *buddy_alloc_range(struct buddy *buddy, unsigned order, pfn_t low, pfn_t high)
{
	uint64_t size = 1UL << order, end = min_u64(high.raw, buddy->end);
	if (low.raw >= end)
		return NULL;

	for (unsigned from = order; from < PAGE_ORDERS; from++) {
		for (uint32_t n = buddy->free[from].head; n != PFN_NONE; n = buddy->array.frames[n].next) {
			uint64_t target = align_up(max_u64(n, low.raw), size);
			if (target + size > min_u64(n + (1UL << from), end))
				continue;
			unlink_free(buddy, n, from);
			count_free(buddy, -size);
			cut_down(buddy, n, from, (uint32_t)target, order);
			return hold(buddy, (uint32_t)target, order);
		}
	}
	return NULL;
}

/*
 * A run of blocks of 2^order frames: as many of the `count` that are asked for as the smallest free block has, and no more
 * than one group of them, as it may have to be written.
 */
static ALWAYS_INLINE struct page *take_run(struct buddy *buddy, unsigned order, size_t count, size_t *blocks)
{
	unsigned from = smallest_sufficient(buddy, order), keep = from;

	if (from > GROUP_ORDER || !(count >> (from - order)))
		keep = (unsigned)min_u64(order + log2_floor(count), GROUP_ORDER);
	*blocks = 1UL << (keep - order);
	return &buddy->array.frames[take_smallest(buddy, order, from, keep)];
}

/* `frames` single ones from `page` on, a power of two, become their holder's. `stride` at a time: no more than there are. */
static ALWAYS_INLINE void issue_frames(struct page *page, size_t frames, struct page **pages, uint64_t word,
                                       unsigned stride)
{
	for (struct page *end = page + frames; page != end; page += stride, pages += stride) {
#pragma GCC unroll 16
		for (unsigned i = 0; i < stride; i++) {
			__atomic_store_n(&page[i].word, word, __ATOMIC_RELAXED);
			pages[i] = &page[i];
		}
	}
}

size_t buddy_alloc_bulk(struct buddy *buddy, size_t count, struct page **pages, uint32_t caller)
{
	uint64_t word = page_word(PAGE_HELD, 0, caller);
	size_t got = 0, frames;

	while (got < count && buddy->nonempty) {
		struct page *page = take_run(buddy, 0, count - got, &frames);
		if (frames >= 16)
			issue_frames(page, frames, pages + got, word, 16);
		else if (frames >= 4)
			issue_frames(page, frames, pages + got, word, 4);
		else
			issue_frames(page, frames, pages + got, word, 1);
		got += frames;
	}
	count_free(buddy, -got);
	return got;
}

size_t buddy_alloc_cached(struct buddy *buddy, unsigned order, size_t count, struct page **pages)
{
	size_t got = 0, blocks;

	while (got < count && buddy->nonempty >> order) {
		/* Nothing is cut for the smaller part: the next batch may then be one block. */
		if (got > count / 2 && !(buddy->nonempty >> order & ((2U << log2_floor(count - got)) - 1)))
			break;
		struct page *page = take_run(buddy, order, count - got, &blocks);
		for (size_t i = 0; i < blocks; i++, page += 1UL << order) {
			page_set_head(page, PAGE_CACHED, order);
			pages[got++] = page;
		}
	}
	count_free(buddy, -(got << order));
	return got;
}

void buddy_trim(struct buddy *buddy, struct page *page, size_t count)
{
	uint32_t n = (uint32_t)(page - buddy->array.frames), end = n + (1U << page->order);
	uint32_t caller = page->caller;
	uint32_t cut = n + (uint32_t)count;
	if (cut == end)
		return;
	cut_is_written(buddy, cut);

	/*
	 *	[        4        |    2   | 1 | f |        free       ]   count = 7 of 16
	 *
	 * Kept: one block per bit of count, largest first. Freed: the ascending rest; no piece of it has a
	 * free buddy, since that buddy holds frames which are kept.
	 */
	while (n < cut) {
		unsigned order = log2_floor(cut - n);
		hold(buddy, n, order)->caller = caller;
		n += 1U << order;
	}
	count_free(buddy, end - cut);
	while (n < end) {
		unsigned order = lowest_bit(n);
		link_free(buddy, n, order);
		n += 1U << order;
	}
}

void buddy_split(struct buddy *buddy, struct page *page, unsigned order)
{
	uint32_t n = (uint32_t)(page - buddy->array.frames), end = n + (1U << page->order);
	uint32_t caller = page->caller;

	for (; n < end; n += 1U << order) {
		cut_is_written(buddy, n);
		hold(buddy, n, order)->caller = caller;
	}
}

/*
 * Links a block that is on no list, joined with its free buddy for as long as there is one.
 *
 * Invariant: [n, n + 2^order) is ours, aligned, and on no list. The buddy's entry may be read: in the span,
 * thus in the array; in the same section, thus backed; written by I7. A buddy outside the span is another
 * allocator's.
 */
static ALWAYS_INLINE void merge_and_link(struct buddy *buddy, uint32_t n, unsigned order)
{
	struct page *const frames = buddy->array.frames;
	const uint32_t start = buddy->start, span = buddy->end - start;

	for (; order < MAX_PAGE_ORDER; order++) {
		uint32_t other = n ^ 1U << order;
		if (other - start >= span || !page_is_head(&frames[other], PAGE_FREE, order))
			break;
		unlink_free(buddy, other, order);
		page_set_head(&frames[n | other], PAGE_NONE, 0); /* P4: the upper head is absorbed */
		n &= other;
	}
	link_free(buddy, n, order);
}

/* Of the largest aligned block that begins at n and reaches no further than `end`. */
static inline unsigned largest_order(uint32_t n, uint32_t end)
{
	unsigned order = (unsigned)min_u64(log2_floor(end - n), MAX_PAGE_ORDER);

	return n && lowest_bit(n) < order ? lowest_bit(n) : order;
}

void buddy_add(struct buddy *buddy, pfn_t start, pfn_t end)
{
	ASSERT(start.raw <= end.raw && start.raw >= buddy->start && end.raw <= buddy->end);

	uint32_t n = (uint32_t)start.raw, stop = (uint32_t)end.raw;
	buddy->nr_managed += stop - n;
	count_free(buddy, stop - n);
	while (n < stop) {
		bool whole = is_aligned(n, SECTION_FRAMES) && stop - n >= SECTION_FRAMES;
		unsigned order = likely(whole) ? MAX_PAGE_ORDER : largest_order(n, stop);
		if (order < MAX_PAGE_ORDER)
			cut_is_written(buddy, n | 1U << order);
		ASSERT(buddy->array.frames[n].type == PAGE_NONE); /* given twice */
		merge_and_link(buddy, n, order);
		n += 1U << order;
	}
}

/* Why [frame, order] is no held block of ours: from written entries only. */
static NOINLINE enum buddy_misuse classify(const struct buddy *buddy, uint64_t n, unsigned order)
{
	if (n < buddy->start || n >= buddy->end || !page_section_backed(&buddy->array, n))
		return BUDDY_OUTSIDE;
	if (order > MAX_PAGE_ORDER || !is_aligned(n, 1UL << order))
		return BUDDY_MISALIGNED;

	const struct page *block = page_find_block_in(&buddy->array, n);
	if (!block)
		return BUDDY_RESERVED;
	if (block->type == PAGE_FREE)
		return page_entry_written(&buddy->array, n) ? BUDDY_FREE : BUDDY_NEVER;
	if (block->type == PAGE_CACHED)
		return BUDDY_CACHED;
	if (block != &buddy->array.frames[n])
		return BUDDY_INSIDE;
	return block->type == PAGE_HELD ? BUDDY_WRONG_ORDER : BUDDY_WRONG_TYPE;
}

/*
 * The one question on the way of a free. A head that is held with this order was checked when it was handed
 * out, so that alignment, span and upper limit of the order need no question of their own.
 */
static ALWAYS_INLINE bool is_held_block(const struct buddy *buddy, uint64_t n, unsigned order)
{
	return n - buddy->start < buddy->end - buddy->start && page_entry_written(&buddy->array, n) &&
	       order < PAGE_ORDERS && page_is_head(&buddy->array.frames[n], PAGE_HELD, order);
}

enum buddy_misuse buddy_judge_free(const struct buddy *buddy, pfn_t frame, unsigned order)
{
	return is_held_block(buddy, frame.raw, order) ? BUDDY_OK : classify(buddy, frame.raw, order);
}

enum buddy_misuse buddy_free(struct buddy *buddy, pfn_t frame, unsigned order)
{
	if (unlikely(!is_held_block(buddy, frame.raw, order)))
		return classify(buddy, frame.raw, order);
	count_free(buddy, 1UL << order);
	merge_and_link(buddy, (uint32_t)frame.raw, order);
	return BUDDY_OK;
}

/* What is [n, end) and on no list, as the fewest aligned blocks. */
static ALWAYS_INLINE void free_frames(struct buddy *buddy, uint32_t n, uint32_t end)
{
	count_free(buddy, end - n);
	while (n < end) {
		unsigned order = largest_order(n, end);
		merge_and_link(buddy, n, order);
		n += 1U << order;
	}
}

/*
 * How many blocks of 2^order frames there may be at most from n on in one direction: in our span, and as far as one block
 * tells that the next one's entry is written. Those of a group are all written if one inside it is; so are the first entries
 * of a section's groups.
 */
static ALWAYS_INLINE size_t run_limit(const struct buddy *buddy, uint32_t n, unsigned order, bool downward)
{
	uint32_t reach = order < GROUP_ORDER ? GROUP_FRAMES : SECTION_FRAMES, first = n & ~(reach - 1);

	if (downward)
		return ((n - (buddy->start > first ? buddy->start : first)) >> order) + 1;
	return (min_u64(buddy->end, (uint64_t)first + reach) - n) >> order;
}

/* A run's first `blocks` from n on, their entries PAGE_NONE already (P4: most of them are absorbed). */
static ALWAYS_INLINE void free_run(struct buddy *buddy, uint32_t n, unsigned order, size_t blocks,
                                   bool downward)
{
	uint32_t frames = (uint32_t)blocks << order;
	uint32_t low = downward ? n + (1U << order) - frames : n;

	free_frames(buddy, low, low + frames);
}

/* The run that pages[0] begins, of blocks that are `type`: how many were given back. pre: pages[0] is such a block */
static ALWAYS_INLINE size_t free_first_run(struct buddy *buddy, enum page_type type, unsigned order,
                                           size_t count, struct page *const *pages)
{
	struct page *page = pages[0];
	uint32_t n = (uint32_t)(page - buddy->array.frames);
	bool downward = count > 1 && pages[1] < page;
	ptrdiff_t step = downward ? -(1L << order) : 1L << order;

	if (count == 1 || pages[1] != page + step) {
		count_free(buddy, 1UL << order);
		merge_and_link(buddy, n, order);
		return 1;
	}
	size_t limit = min_u64(count, run_limit(buddy, n, order, downward)), run = 1;

	page_set_head(page, PAGE_NONE, 0);
	for (; run < limit; run++) {
		page += step;
		if (pages[run] != page || !page_is_head(page, type, order))
			break;
		page_set_head(page, PAGE_NONE, 0);
	}
	free_run(buddy, n, order, run, downward);
	return run;
}

size_t buddy_free_bulk(struct buddy *buddy, size_t count, struct page *const *pages,
                       enum buddy_misuse *misuse)
{
	size_t done = 0;

	*misuse = BUDDY_OK;
	for (unsigned run = 0; run < BUDDY_ROUND && done < count; run++) {
		uint64_t offset = (uint64_t)pages[done] - (uint64_t)buddy->array.frames;
		uint64_t n = offset / sizeof(struct page);
		bool is_entry = offset % sizeof(struct page) == 0;
		if (unlikely(!is_entry || !is_held_block(buddy, n, 0))) {
			*misuse = is_entry ? classify(buddy, n, 0) : BUDDY_OUTSIDE;
			return done;
		}
		done += free_first_run(buddy, PAGE_HELD, 0, count - done, pages + done);
	}
	return done;
}

const struct page *buddy_free_cached(struct buddy *buddy, unsigned order, size_t count,
                                     struct page *const *pages)
{
	const struct page *wrong = NULL;

	for (size_t i = 0; i < count;) {
		if (likely(page_is_head(pages[i], PAGE_CACHED, order)))
			i += free_first_run(buddy, PAGE_CACHED, order, count - i, pages + i);
		else
			wrong = pages[i++];
	}
	return wrong;
}

/* The same of a chain. */
static ALWAYS_INLINE size_t free_chained_run(struct buddy *buddy, unsigned order, size_t count,
                                             uint32_t *head)
{
	struct page *const frames = buddy->array.frames;
	uint32_t n = *head, next = frames[n].next, at = n;
	bool downward = next < n;
	uint32_t step = downward ? -(1U << order) : 1U << order;
	size_t limit = min_u64(count, run_limit(buddy, n, order, downward)), run = 0;

	do {
		next = frames[at].next;
		page_set_head(&frames[at], PAGE_NONE, 0);
		at += step;
		run++;
	} while (run < limit && next == at && page_is_head(&frames[at], PAGE_HELD, order));
	*head = next;
	free_run(buddy, n, order, run, downward);
	return run;
}

size_t buddy_free_chain(struct buddy *buddy, uint32_t *head, size_t count, enum buddy_misuse *misuse)
{
	size_t done = 0;

	*misuse = BUDDY_OK;
	for (unsigned run = 0; run < BUDDY_ROUND && done < count; run++) {
		unsigned order = buddy->array.frames[*head].order;
		if (unlikely(!is_held_block(buddy, *head, order))) {
			*misuse = classify(buddy, *head, order);
			return done;
		}
		done += free_chained_run(buddy, order, count - done, head);
	}
	return done;
}
