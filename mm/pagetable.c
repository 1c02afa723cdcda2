/*
 * Page tables: a walk over levels, writing the entries of <arch/pte.h>.
 *
 * A table is one frame of 512 entries. The root is of level pt->levels, 4 or 5; an entry of level k is free, a leaf
 * (k = 1..3), or points to a table of level k - 1. A leaf is present, or hidden: no processor sees it, but it keeps its
 * place and frame.
 *
 *	level 4        3           2           1
 *	root ──► [ · | ● | 1G ] ──► [ ● | 2M ] ──► [ 4K | 4K | · | … ]
 *	              used: n          used: n
 *
 * The entry that points to a table counts that table's entries in use in bits the processor ignores (PTE_USED), so
 * nobody ever scans a table to learn that it is empty. What always holds when the lock is free:
 *
 * T1  No entry has a bit set that its format does not know; a free entry is zero. Nothing is open to user mode.
 * T2  No leaf is writable and executable.
 * T3  Each table is pointed to by exactly one entry.
 * T4  Below the root each table is counted right, and none is empty unless a range in it was cleared and is not yet
 *     swept.
 * T5  nr_tables is the number of tables that the root reaches, itself included.
 * T6  Leaves stand at levels 1 to 3, and map memory aligned to their size.
 *
 * And while it is held by others, or by nobody:
 *
 * T7  A last-level table is counted for the entries in use and for those about to be: whoever writes some counts them
 *     before, in the entry that he has seen point to the table, or, if he holds the lock, afterwards; whoever clears some
 *     counts them off afterwards. A table is cut off, with the lock held, by the exchange of an entry whose count is 0, so
 *     nobody is in it, and from then on nobody comes in.
 *
 * Hence a range that lies in one last-level table, which is most of what vmalloc does, is mapped without the lock, and cleared
 * if its first page is mapped, by CPUs that never meet if their ranges do not. With interrupts masked they hold off the flush
 * after which a table that they walk would be given back.
 *
 * T4 makes undoing simple. Mapping writes as it goes; when a table cannot be had, the range is cleared up to that place
 * exactly as unmapping clears it. Before, all of the range was absent, so every table that is empty afterwards is one
 * that this call added, or one that waits for its sweep, which then finds it gone. Splitting, the other thing that needs
 * tables, is in pagetable_protect.c, with everything that it is done for.
 *
 * Unmapping is clearing, flushing and giving back at once. It comes in two halves for whoever unmaps often and wants to
 * flush seldom: pagetable_clear() makes leaves absent, pagetable_sweep() later flushes for many of them and cuts off the
 * tables that they left empty. In between the range must not be mapped again, nor its frames be used for anything. Where
 * the range is to be mapped again soon, pagetable_flush() leaves the tables to it.
 *
 * A table that becomes empty is cut off, which drops it with all it holds, and waits on a chain through its own first
 * word until every CPU has flushed. The flush happens under the lock: as long as some CPU may remember the way to the
 * old table, nobody may hang a new one in its place. A shootdown must therefore be answered by CPUs that wait here with
 * interrupts masked.
 *
 * Lock: pt->lock for every change of what is above the last level or of more than one table there, and of protections and
 * sizes. Lookup and dump take none: entries are single aligned words.
 *
 * Cost: one descent per table met, then a tight loop over its entries: a few instructions per page. Holes cost one step
 * per absent entry of the highest level that has one, so an empty half of the address space is 256 steps. Unmapping a
 * whole last-level table without collecting its frames does not look at its entries at all.
 */
#include <arch/flush_site.h>
#include <arch/tlb.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include <lib/string.h>
#include <mm/lock_rank.h>
#include "pagetable_internal.h"

/* Until mm_init() knows how many levels there are, no address is called non-canonical that may not be. */
struct pagetable kernel_pagetable = {.levels = PT_LEVELS_MAX};

/* Ends a chain of tables. Not present, as every link is: a CPU that still knows the way finds nothing here. */
#define CHAIN_END (~(PTE_PRESENT | PTE_HIDDEN))

/* ---- The caller's mistakes, before any lock ---- */

void pagetable_refuse_range(const char *call, const struct pagetable *pt, struct vrange range)
{
	uint64_t start = range.start.raw, end = range.end.raw;
	bool sound = is_aligned(start | end, PAGE_SIZE) && start <= end;
	if (start < end) {
		bool one_half = !((start ^ (end - 1)) >> 63);
		sound = sound && one_half && vaddr_is_canonical(range.start, pt->levels) &&
		        vaddr_is_canonical(vaddr(end - 1), pt->levels);
	}
	if (unlikely(!sound))
		panic("%s: [0x%lx, 0x%lx) is not a page-aligned range of one canonical half", call, start,
		      end);
}

void pagetable_refuse_prot(const char *call, vaddr_t va, pgprot_t prot)
{
	if (unlikely(!(prot.raw & PTE_PRESENT) || (prot.raw & ~PGPROT_BITS)))
		panic("%s: 0x%lx: protection 0x%lx is not one", call, va.raw, prot.raw);
	if (unlikely(pgprot_is_write_exec(prot)))
		panic("%s: 0x%lx: writable and executable", call, va.raw);
}

/* ---- Tables ---- */

bool pagetable_take_table(struct pagetable *pt, paddr_t *table)
{
	if (!pt->source->take(pt->source, table))
		return false;
	pt->nr_tables++;
	return true;
}

void pagetable_give_table(struct pagetable *pt, paddr_t table)
{
	pt->nr_tables--;
	pt->source->give(pt->source, table);
}

/* Hangs an empty table into the free entry `e`. */
static bool table_add(struct pagetable *pt, pte_t *e)
{
	paddr_t table;
	if (!pagetable_take_table(pt, &table))
		return false;
	memset(table_pointer(table), 0, PAGE_SIZE);
	pte_set(e, pte_table(table).raw);
	return true;
}

bool pagetable_init(struct pagetable *pt, struct page_source *source, unsigned levels)
{
	if (unlikely(levels < PT_LEVELS_MIN || levels > PT_LEVELS_MAX))
		panic("pagetable_init: no processor walks %u levels", levels);
	*pt = (struct pagetable){.source = source, .levels = levels};
	spin_lock_init(&pt->lock, "pagetable", RANK_PAGETABLE);
	if (!pagetable_take_table(pt, &pt->root))
		return false;
	memset(table_pointer(pt->root), 0, PAGE_SIZE);
	return true;
}

static void destroy_level(struct pagetable *pt, paddr_t table, unsigned level)
{
	const pte_t *entries = table_pointer(table);
	for (unsigned i = 0; level > 1 && i < PT_ENTRIES; i++)
		if (pte_in_use(entries[i]) && !pte_is_leaf(entries[i], level))
			destroy_level(pt, pte_table_paddr(entries[i]), level - 1);
	pagetable_give_table(pt, table);
}

void pagetable_destroy(struct pagetable *pt)
{
	irqflags_t flags = spin_lock_irqsave(&pt->lock);
	destroy_level(pt, pt->root, pt->levels);
	spin_unlock_irqrestore(&pt->lock, flags);
}

/* ---- Finding ---- */

bool pagetable_find(const struct pagetable *pt, vaddr_t va, struct translation *found)
{
	struct leaf leaf;

	if (!find_leaf(pt, va.raw, &leaf))
		return false;
	*found = leaf_translation(&leaf, va.raw);
	return true;
}

/* ---- Counting (T7) ---- */

/* `count` entries of the table below `e`, as it was seen, are about to be written: it stays. False if it is gone. */
static inline bool table_claim(pte_t *e, pte_t seen, uint64_t count)
{
	do {
		if (unlikely(!pte_is_table(seen)))
			return false;
	} while (!__atomic_compare_exchange_n(&e->raw, &seen.raw, seen.raw + count * PTE_USED_ONE, true,
	                                      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return true;
}

/* `count` entries of the table below `e` have been written, and cleared; what `e` is then. */
static inline void table_count(pte_t *e, uint64_t count)
{
	__atomic_fetch_add(&e->raw, count * PTE_USED_ONE, __ATOMIC_RELAXED);
}

static inline pte_t table_release(pte_t *e, uint64_t count)
{
	return (pte_t){__atomic_sub_fetch(&e->raw, count * PTE_USED_ONE, __ATOMIC_RELEASE)};
}

/* ---- Clearing ---- */

enum clearing_mode {
	CLEAR_UNMAP,  /* leaves, and the tables that they leave empty */
	CLEAR_LEAVES, /* leaves only */
	CLEAR_TABLES, /* empty tables only; no leaf is left */
};

struct clearing {
	enum clearing_mode mode;
	struct page_list *frames; /* collects the frame with which each leaf begins; may be NULL */
	uint64_t dropped;         /* chain of tables that were cut off, or CHAIN_END */
	bool cleared;             /* some entry was in use */
};

/* What the leaf `e` mapped waits until every CPU has flushed. */
static inline void collect_frame(struct page_list *frames, pte_t e, unsigned level)
{
	struct page *page = pfn_to_page(paddr_to_pfn(pte_leaf_paddr(e, level)));
	if (IS_DEBUG)
		page->unflushed = true;
	page_set_type(page, PAGE_HELD); /* before the link takes the owner's place */
	page_list_add(frames, page);
}

/* Eight at a time: a loop's own steps would cost as much as the stores. */
static ALWAYS_INLINE void clear_entries(pte_t *slot, size_t count)
{
	for (; count >= 8; count -= 8, slot += 8) {
#pragma GCC unroll 8
		for (unsigned i = 0; i < 8; i++)
			pte_set(&slot[i], 0);
	}
	while (count--)
		pte_set(slot++, 0);
}

static bool block_is_mapped(const pte_t *slot, size_t pages)
{
	for (size_t i = 1; i < pages; i++)
		if (pte_leaf_paddr(slot[i], 1).raw != pte_leaf_paddr(slot[0], 1).raw + (i << PAGE_SHIFT))
			return false;
	return true;
}

/*
 * Leaves of level 1 go with the blocks that they show, each from its head on. Of a block that began in another table the
 * rest is here, behind frames that are no heads. Returns how many entries were in use.
 */
static uint64_t clear_blocks(struct page_list *frames, pte_t *slot, size_t count)
{
	uint64_t in_use = 0;

	for (const pte_t *end = slot + count; slot < end;) {
		pte_t e = *slot;
		size_t pages = 1;
		if (pte_in_use(e)) {
			const struct page *page = pfn_to_page(paddr_to_pfn(pte_leaf_paddr(e, 1)));
			bool is_head = page_get_type(page) != PAGE_NONE;
			if (is_head)
				pages = min_u64(1UL << page->order, (uint64_t)(end - slot));
			DEBUG_ASSERT(block_is_mapped(slot, pages));
			clear_entries(slot, pages);
			if (is_head)
				collect_frame(frames, e, 1);
			in_use += pages;
		}
		slot += pages;
	}
	return in_use;
}

/* The level 1 part of clear_level(): returns how many entries were in use. */
static uint64_t clear_pages(struct page_list *frames, pte_t *slot, size_t count)
{
	if (frames)
		return clear_blocks(frames, slot, count);
	uint64_t in_use = 0;
	for (; count >= 4; count -= 4, slot += 4) {
#pragma GCC unroll 4
		for (unsigned i = 0; i < 4; i++) {
			in_use += slot[i].raw != 0; /* T1 */
			pte_set(&slot[i], 0);
		}
	}
	for (; count; count--, slot++) {
		in_use += slot->raw != 0;
		pte_set(slot, 0);
	}
	return in_use;
}

/* Cut off, unless entries of it have come into use (T7). */
static bool clear_drop_table(struct clearing *clearing, pte_t *e, pte_t seen)
{
	paddr_t table = pte_table_paddr(seen);
	if (!__atomic_compare_exchange_n(&e->raw, &seen.raw, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	pte_set(table_pointer(table), clearing->dropped);
	clearing->dropped = table.raw;
	return true;
}

static uint64_t clear_level(struct clearing *clearing, pte_t *table, unsigned level, uint64_t va,
                            uint64_t last);

/* Clears [va, last] of what the entry `e`, which is in use, translates. Returns 1 if the entry itself went, else 0. (lock) */
static uint64_t clear_entry(struct clearing *clearing, pte_t *e, unsigned level, uint64_t va, uint64_t last)
{
	bool whole = last - va == pt_level_size(level) - 1;
	pte_t seen = pte_get(e);
	if (pte_is_leaf(seen, level)) {
		if (clearing->mode == CLEAR_TABLES)
			return 0;    /* of a neighbour, beside a table in its range */
		DEBUG_ASSERT(whole); /* cut leaves were split, and undoing clears only what was mapped */
		clearing->cleared = true;
		if (clearing->frames)
			collect_frame(clearing->frames, seen, level);
		pte_set(e, 0);
		return 1;
	}
	/* A last-level table that goes as a whole goes unread, unless its frames are wanted. */
	if (!(whole && level == 2 && !clearing->frames && clearing->mode == CLEAR_UNMAP)) {
		seen = table_release(e, clear_level(clearing, table_below(seen), level - 1, va, last));
		if (pte_used(seen) || clearing->mode == CLEAR_LEAVES)
			return 0;
	}
	if (!clear_drop_table(clearing, e, seen))
		return 0;
	clearing->cleared = true;
	return 1;
}

/* Clears [va, last], which lies within `table`. Returns how many of the table's entries became free. */
static uint64_t clear_level(struct clearing *clearing, pte_t *table, unsigned level, uint64_t va,
                            uint64_t last)
{
	if (level == 1 && clearing->mode == CLEAR_TABLES)
		return 0;
	if (level == 1) {
		uint64_t pages = clear_pages(clearing->frames, &table[pt_index(vaddr(va), 1)],
		                             ((last - va) >> PAGE_SHIFT) + 1);
		clearing->cleared |= pages > 0;
		return pages;
	}
	uint64_t gone = 0;
	for (;; va++) {
		pte_t *e = &table[pt_index(vaddr(va), level)];
		uint64_t end = part_end(va, level, last);
		if (pte_in_use(pte_get(e)))
			gone += clear_entry(clearing, e, level, va, end);
		if (end == last)
			return gone;
		va = end;
	}
}

/* (lock) */
static void clear_walk(struct pagetable *pt, struct clearing *clearing, struct vrange range)
{
	clear_level(clearing, table_pointer(pt->root), pt->levels, range.start.raw, range.end.raw - 1);
}

/*
 * The entry that points to the one last-level table in which all of the range lies, if its first page is mapped there: so the
 * table stays until it is cleared (T7). In one that has nothing of the range, others may find the last entry gone and cut it
 * off, and link it into their chain, at any time. Interrupts masked.
 */
static ALWAYS_INLINE pte_t *table_entry_of_mapped(const struct pagetable *pt, struct vrange range)
{
	pte_t seen, *e = last_table_entry(pt, range.start.raw, range.end.raw - 1, &seen);

	return likely(e) && pte_in_use(pte_get(&table_below(seen)[pt_index(range.start, 1)])) ? e : NULL;
}

/*
 * The leaves of such a range, without the lock. Returns how many went. *left: how many entries of that table are still in use.
 * Interrupts masked.
 */
static ALWAYS_INLINE uint64_t clear_in_table(pte_t *e, struct vrange range, struct page_list *frames,
                                             unsigned *left)
{
	pte_t *slot = &table_below(pte_get(e))[pt_index(range.start, 1)];
	uint64_t gone = clear_pages(frames, slot, vrange_size(range) >> PAGE_SHIFT);

	*left = pte_used(table_release(e, gone));
	return gone;
}

/* What was cut off goes; how many tables. pre: every CPU has flushed */
static size_t give_dropped(struct pagetable *pt, struct clearing *clearing)
{
	size_t count = 0;

	for (; clearing->dropped != CHAIN_END; count++) {
		paddr_t table = paddr(clearing->dropped);
		clearing->dropped = table_pointer(table)->raw;
		pagetable_give_table(pt, table);
	}
	return count;
}

static void note_flushed(const struct page_list *frames)
{
	for (uint32_t n = frames->head; n != PFN_NONE; n = pfn_to_page(pfn(n))->next)
		pfn_to_page(pfn(n))->unflushed = false;
}

static inline void flush_unmapped(struct vrange range)
{
	if (flush_site(FLUSH_UNMAP))
		tlb_flush_range(range);
}

/* The order that matters: clear, flush, only then give back. (lock) */
static void unmap_walk(struct pagetable *pt, struct vrange range, struct clearing *clearing)
{
	clear_walk(pt, clearing, range);
	if (clearing->cleared)
		flush_unmapped(range);
	if (IS_DEBUG && clearing->frames)
		note_flushed(clearing->frames);
	give_dropped(pt, clearing);
}

/* What a mapping that fails has done goes again. (lock) */
static void undo_locked(struct pagetable *pt, struct vrange range)
{
	struct clearing clearing = {.mode = CLEAR_UNMAP, .dropped = CHAIN_END};

	if (range.start.raw != range.end.raw)
		unmap_walk(pt, range, &clearing);
}

/* ---- Mapping ---- */

enum map_result { MAP_DONE, MAP_CONFLICT, MAP_NO_TABLE };

enum map_source {
	MAP_CONTIGUOUS, /* what begins at job->pa */
	MAP_PAGES,      /* a frame for each of job->pages */
	MAP_BLOCKS,     /* for each of job->pages the block of which it is the head */
};

struct map_job {
	struct pagetable *pt;
	uint64_t va; /* everything below is mapped */
	uint64_t pa; /* MAP_CONTIGUOUS: what va maps to; else 0 */
	struct page *const *pages;
	size_t into; /* MAP_BLOCKS: pages of the first block that are mapped */
	pgprot_t prot;
	unsigned max_level;
	enum map_source source;
};

/* How many leaves of `level` fit between job->va and `last`, from the first byte on; `last` is in the same table. */
static size_t map_leaves_fit(const struct map_job *job, unsigned level, uint64_t last)
{
	if (level > job->max_level || !is_aligned(job->va | job->pa, pt_level_size(level)))
		return 0;
	return (last + 1 - job->va) / pt_level_size(level);
}

/* Writes `count` leaves, raw and so on by `step`, up to the first slot that is taken. Returns how many. */
static ALWAYS_INLINE size_t write_leaves(pte_t *slot, uint64_t raw, uint64_t step, size_t count)
{
	size_t done = 0;

	for (; count - done >= 8; done += 8) { /* for clear_entries()'s reason */
#pragma GCC unroll 8
		for (unsigned i = 0; i < 8; i++, raw += step) {
			if (unlikely(pte_in_use(slot[done + i])))
				return done + i;
			pte_set(&slot[done + i], raw);
		}
	}
	for (; done < count && likely(!pte_in_use(slot[done])); done++, raw += step)
		pte_set(&slot[done], raw);
	return done;
}

static ALWAYS_INLINE size_t map_contiguous(struct map_job *job, pte_t *first, unsigned level, size_t count)
{
	uint64_t size = pt_level_size(level);
	size_t done = write_leaves(first, pte_leaf(paddr(job->pa), job->prot, level).raw, size, count);

	job->pa += done * size;
	return done;
}

/*
 * Likewise for a frame each. An entry of the frame array lies 16 bytes behind the one before, a frame 4 KiB: shifted by the
 * difference, a struct page's address is its frame's but for a constant, and so is the leaf.
 */
static ALWAYS_INLINE size_t write_pages(pte_t *slot, struct page *const *pages, uint64_t prot, size_t count)
{
	enum { SHIFT = PAGE_SHIFT - PAGE_ENTRY_SHIFT };
	uint64_t leaf_of_0 = prot - (FRAMES_BASE << SHIFT);
	size_t done = 0;

	for (; count - done >= 4; done += 4) {
#pragma GCC unroll 4
		for (unsigned i = 0; i < 4; i++) {
			if (unlikely(pte_in_use(slot[done + i])))
				return done + i;
			pte_set(&slot[done + i], ((uintptr_t)pages[done + i] << SHIFT) + leaf_of_0);
		}
	}
	for (; done < count && likely(!pte_in_use(slot[done])); done++)
		pte_set(&slot[done], ((uintptr_t)pages[done] << SHIFT) + leaf_of_0);
	return done;
}

static ALWAYS_INLINE size_t map_pages(struct map_job *job, pte_t *first, size_t count)
{
	size_t done = write_pages(first, job->pages, job->prot.raw, count);

	job->pages += done;
	return done;
}

static ALWAYS_INLINE size_t map_blocks(struct map_job *job, pte_t *first, size_t count)
{
	struct page *const *blocks = job->pages;
	size_t into = job->into, done = 0, written, run;

	do {
		size_t left = (1UL << (*blocks)->order) - into;
		run = min_u64(left, count - done);
		written = write_leaves(first + done, page_to_paddr(*blocks + into).raw | job->prot.raw,
		                       PAGE_SIZE, run);
		done += written;
		into += written;
		if (likely(written == left)) {
			blocks++;
			into = 0;
		}
	} while (done < count && written == run);
	job->pages = blocks;
	job->into = into;
	return done;
}

/* Writes `count` leaves that follow each other in a table, up to the first slot that is taken. Returns how many. */
static ALWAYS_INLINE size_t map_leaves(struct map_job *job, pte_t *first, unsigned level, size_t count)
{
	size_t done = job->source == MAP_CONTIGUOUS ? map_contiguous(job, first, level, count)
	              : job->source == MAP_PAGES    ? map_pages(job, first, count)
	                                            : map_blocks(job, first, count);
	job->va += done * pt_level_size(level);
	return done;
}

/* For the long way, where one copy does for all sources. */
static NOINLINE size_t map_leaves_of(struct map_job *job, pte_t *first, unsigned level, size_t count)
{
	return map_leaves(job, first, level, count);
}

static enum map_result map_level(struct map_job *job, pte_t *table, unsigned level, uint64_t last,
                                 uint64_t *added);

/* Maps [job->va, last] below the entry `e` of `level`, which translates it; *added grows by one if `e` was free. */
static enum map_result map_below(struct map_job *job, pte_t *e, unsigned level, uint64_t last,
                                 uint64_t *added)
{
	pte_t seen = pte_get(e);
	if (!pte_in_use(seen)) {
		if (!table_add(job->pt, e))
			return MAP_NO_TABLE;
		++*added;
	} else if (pte_is_leaf(seen, level)) {
		return MAP_CONFLICT;
	}
	/* Counted even on failure: undoing relies on T4's counts. */
	uint64_t added_below = 0;
	enum map_result result = map_level(job, table_below(pte_get(e)), level - 1, last, &added_below);
	table_count(e, added_below);
	return result;
}

/*
 * Maps [job->va, last], which lies within `table`: a run of leaves as long as they fit and the slots are free, one entry
 * of what does not fit a leaf, and again. Adds to *added the entries that were free. Unless done, job->va is the page
 * that could not be mapped.
 */
static enum map_result map_level(struct map_job *job, pte_t *table, unsigned level, uint64_t last,
                                 uint64_t *added)
{
	while (job->va <= last) {
		pte_t *e = &table[pt_index(vaddr(job->va), level)];
		size_t fit = map_leaves_fit(job, level, last);
		size_t done = fit ? map_leaves_of(job, e, level, fit) : 0;
		*added += done;
		if (done)
			continue;
		enum map_result result = map_below(job, e, level, part_end(job->va, level, last), added);
		if (result != MAP_DONE)
			return result;
	}
	return MAP_DONE;
}

/* Maps [job->va, last] if it lies in one last-level table that is there, without the lock. Interrupts masked. */
static ALWAYS_INLINE bool map_in_table(struct map_job *job, uint64_t last, enum map_result *result)
{
	pte_t seen, *e = last_table_entry(job->pt, job->va, last, &seen);
	size_t count = ((last - job->va) >> PAGE_SHIFT) + 1;

	*result = MAP_NO_TABLE;
	if (unlikely(!e || !table_claim(e, seen, count)))
		return false;
	size_t done = map_leaves(job, &table_below(pte_get(e))[pt_index(vaddr(job->va), 1)], 1, count);
	*result = MAP_DONE;
	if (unlikely(done != count)) {
		table_release(e, count - done);
		*result = MAP_CONFLICT;
	}
	return true;
}

/* The rest of a job that map_in_table() began or left. What is mapped of it, on failure, goes again. */
static NOINLINE enum map_result map_locked(struct map_job *job, struct vrange va, enum map_result result)
{
	struct pagetable *pt = job->pt;
	uint64_t unused = 0; /* nobody counts the root's entries: it stays */

	spin_lock(&pt->lock);
	if (result == MAP_NO_TABLE)
		result = map_level(job, table_pointer(pt->root), pt->levels, va.end.raw - 1, &unused);
	/* The tables on the way to a mapped page were there before; on the way to a missing one an empty one may have been added. */
	if (result == MAP_CONFLICT)
		undo_locked(pt, vrange(va.start.raw, job->va));
	else if (result == MAP_NO_TABLE)
		undo_locked(pt, vrange(va.start.raw, job->va + PAGE_SIZE));
	spin_unlock(&pt->lock);
	return result;
}

static NORETURN void report_conflict(const char *call, const struct map_job *job)
{
	struct translation existing = {0};

	ASSERT(pagetable_find(job->pt, vaddr(job->va), &existing));
	panic("%s: 0x%lx is already mapped to 0x%lx", call, job->va, existing.pa.raw);
}

static ALWAYS_INLINE bool map_range(const char *call, struct map_job job, struct vrange va)
{
	enum map_result result;

	if (va.start.raw == va.end.raw)
		return true;
	irqflags_t flags = irq_save();
	if (likely(map_in_table(&job, va.end.raw - 1, &result) && result == MAP_DONE)) {
		irq_restore(flags);
		return true;
	}
	struct map_job rest = job; /* so that `job` has no address, and lives in registers */
	result = map_locked(&rest, va, result);
	irq_restore(flags);
	if (unlikely(result == MAP_CONFLICT))
		report_conflict(call, &rest);
	return result == MAP_DONE;
}

bool pagetable_map(struct pagetable *pt, struct vrange va, paddr_t pa, pgprot_t prot, unsigned max_level)
{
	pagetable_require_range("pagetable_map", pt, va);
	pagetable_require_prot("pagetable_map", va.start, prot);
	if (unlikely((pa.raw & ~PTE_ADDRESS) || pa.raw + vrange_size(va) > PTE_ADDRESS + PAGE_SIZE))
		panic("pagetable_map: 0x%lx is not a page-aligned physical address that fits 52 bits",
		      pa.raw);
	DEBUG_ASSERT(max_level >= 1 && max_level <= PT_LEAF_LEVELS);
	struct map_job job = {
	        .pt = pt, .va = va.start.raw, .pa = pa.raw, .prot = prot, .max_level = max_level};
	return map_range("pagetable_map", job, va);
}

bool pagetable_map_pages(struct pagetable *pt, vaddr_t va, struct page *const *pages, size_t count,
                         pgprot_t prot)
{
	struct vrange range = vrange_sized(va, count << PAGE_SHIFT);
	pagetable_require_range("pagetable_map_pages", pt, range);
	pagetable_require_prot("pagetable_map_pages", va, prot);
	struct map_job job = {
	        .pt = pt, .va = va.raw, .pages = pages, .prot = prot, .max_level = 1, .source = MAP_PAGES};
	return map_range("pagetable_map_pages", job, range);
}

bool pagetable_map_blocks(struct pagetable *pt, struct vrange va, struct page *const *blocks, pgprot_t prot)
{
	pagetable_require_range("pagetable_map_blocks", pt, va);
	pagetable_require_prot("pagetable_map_blocks", va.start, prot);
	struct map_job job = {.pt = pt,
	                      .va = va.start.raw,
	                      .pages = blocks,
	                      .prot = prot,
	                      .max_level = 1,
	                      .source = MAP_BLOCKS};
	return map_range("pagetable_map_blocks", job, va);
}

/* ---- Unmapping ---- */

static bool unmap_locked(struct pagetable *pt, struct vrange range, struct page_list *frames)
{
	struct clearing clearing = {.mode = CLEAR_UNMAP, .frames = frames, .dropped = CHAIN_END};

	spin_lock(&pt->lock);
	bool split = pagetable_split_edges(pt, range);
	if (split)
		unmap_walk(pt, range, &clearing);
	spin_unlock(&pt->lock);
	return split;
}

/* The range's leaves are cleared, its table was found empty: unless others use it by now it goes. One flush for both. */
static void flush_and_drop(struct pagetable *pt, struct vrange range, bool cleared)
{
	struct clearing clearing = {.mode = CLEAR_TABLES, .dropped = CHAIN_END, .cleared = cleared};

	spin_lock(&pt->lock);
	unmap_walk(pt, range, &clearing);
	spin_unlock(&pt->lock);
}

bool pagetable_unmap(struct pagetable *pt, struct vrange range, struct page_list *frames)
{
	bool done = true;
	unsigned left;

	pagetable_require_range("pagetable_unmap", pt, range);
	if (range.start.raw == range.end.raw)
		return true;
	irqflags_t flags = irq_save();
	pte_t *e = table_entry_of_mapped(pt, range);
	if (likely(e && vrange_size(range) < PMD_SIZE)) {
		bool cleared = clear_in_table(e, range, frames, &left);
		if (unlikely(!left))
			flush_and_drop(pt, range, cleared);
		else if (cleared)
			flush_unmapped(range);
		if (IS_DEBUG && frames)
			note_flushed(frames);
	} else {
		done = unmap_locked(pt, range, frames);
	}
	irq_restore(flags);
	return done;
}

void pagetable_clear_in_table(struct pagetable *pt, pte_t *e, struct vrange range, struct page_list *frames)
{
	unsigned left;

	__atomic_fetch_add(&pt->nr_unswept, vrange_size(range) >> PAGE_SHIFT, __ATOMIC_RELAXED);
	clear_in_table(e, range, frames, &left);
	tlb_flush_range_here(range);
}

static void clear_leaves_locked(struct pagetable *pt, struct vrange range, struct page_list *frames)
{
	struct clearing clearing = {.mode = CLEAR_LEAVES, .frames = frames, .dropped = CHAIN_END};

	__atomic_fetch_add(&pt->nr_unswept, vrange_size(range) >> PAGE_SHIFT, __ATOMIC_RELAXED);
	spin_lock(&pt->lock);
	clear_walk(pt, &clearing, range);
	spin_unlock(&pt->lock);
	tlb_flush_range_here(range);
}

void pagetable_clear(struct pagetable *pt, struct vrange range, struct page_list *frames)
{
	pagetable_require_range("pagetable_clear", pt, range);
	if (range.start.raw == range.end.raw)
		return;
	irqflags_t flags = irq_save();
	pte_t *e = table_entry_of_mapped(pt, range);
	if (likely(e))
		pagetable_clear_in_table(pt, e, range, frames);
	else
		clear_leaves_locked(pt, range, frames);
	irq_restore(flags);
}

/* Of the one range, or of everything. */
void pagetable_flush(const struct vrange *ranges, size_t count)
{
	if (!count || !flush_site(FLUSH_SWEEP))
		return;
	if (count == 1)
		tlb_flush_range(ranges[0]);
	else
		tlb_flush_all();
}

/* Is all of the range in the last-level table of the address `seen`, if there is anything? */
static ALWAYS_INLINE bool is_in_table_of(struct vrange range, uint64_t seen)
{
	uint64_t start = range.start.raw, last = range.end.raw - 1;

	return ((start ^ seen) | (last ^ seen)) < PMD_SIZE || start > last;
}

/* May some range have left a table empty? Ranges that follow each other are mostly in one. Interrupts masked. */
static bool left_empty_tables(const struct pagetable *pt, const struct vrange *ranges, size_t count)
{
	uint64_t in_use = ~ranges[0].start.raw; /* an address in the latest table that was found in use */

	for (size_t i = 0; i < count; i++) {
		uint64_t start = ranges[i].start.raw;
		pte_t seen;
		if (is_in_table_of(ranges[i], in_use))
			continue;
		if (!last_table_entry(pt, start, ranges[i].end.raw - 1, &seen) || !pte_used(seen))
			return true;
		in_use = start;
	}
	return false;
}

/* The flush, if tables go, is under the lock (above). How many went. */
static size_t sweep_tables(struct pagetable *pt, const struct vrange *ranges, size_t count)
{
	struct clearing clearing = {.mode = CLEAR_TABLES, .dropped = CHAIN_END};
	uint64_t seen = ~ranges[0].start.raw; /* an address in the latest table, which went if it was empty */

	spin_lock(&pt->lock);
	for (size_t i = 0; i < count; i++) {
		if (is_in_table_of(ranges[i], seen))
			continue;
		clear_walk(pt, &clearing, ranges[i]);
		seen = ranges[i].end.raw - 1;
	}
	if (clearing.dropped != CHAIN_END)
		pagetable_flush(ranges, count);
	size_t gone = give_dropped(pt, &clearing);
	spin_unlock(&pt->lock);
	return gone;
}

size_t pagetable_sweep(struct pagetable *pt, const struct vrange *ranges, size_t count, bool flushed)
{
	size_t pages = 0, gone = 0;

	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++)
		pages += vrange_size(ranges[i]) >> PAGE_SHIFT;
	irqflags_t flags = irq_save();
	if (left_empty_tables(pt, ranges, count))
		gone = sweep_tables(pt, ranges, count);
	irq_restore(flags);
	if (!gone && !flushed)
		pagetable_flush(ranges, count); /* nothing to hold others off for */
	__atomic_fetch_sub(&pt->nr_unswept, pages, __ATOMIC_RELAXED);
	return gone;
}

/* ---- Reading ---- */

bool pagetable_lookup(const struct pagetable *pt, vaddr_t va, struct translation *translation)
{
	return vaddr_is_canonical(va, pt->levels) && pagetable_find(pt, va, translation) &&
	       translation->prot.raw & PTE_PRESENT;
}

static void dump_leaf(pte_t e, unsigned level, struct printer *out)
{
	static const char *const sizes[] = {"", "4 KiB", "2 MiB", "1 GiB"};
	pgprot_t prot = pte_leaf_prot(e, level);
	print(out, "%s page at 0x%lx %s %s%s\n", level <= PT_LEAF_LEVELS ? sizes[level] : "impossible",
	      pte_leaf_paddr(e, level).raw, pgprot_access(prot), pgprot_memory_type(prot),
	      prot.raw & PTE_GLOBAL ? " global" : "");
}

/* The entries on the way to `va`, from the root down, and how many there are. Masked: no table on it goes meanwhile. */
static unsigned copy_walk(const struct pagetable *pt, vaddr_t va, pte_t entries[PT_LEVELS_MAX])
{
	paddr_t table = pt->root;
	unsigned count = 0;
	irqflags_t flags = irq_save();

	while (table.raw < DIRECTMAP_SIZE) {
		unsigned level = pt->levels - count;
		pte_t e = {__atomic_load_n(&table_pointer(table)[pt_index(va, level)].raw, __ATOMIC_RELAXED)};
		entries[count++] = e;
		if (!pte_in_use(e) || pte_is_leaf(e, level))
			break;
		table = pte_table_paddr(e);
	}
	irq_restore(flags);
	return count;
}

void pagetable_dump_walk(const struct pagetable *pt, vaddr_t va, struct printer *out)
{
	pte_t entries[PT_LEVELS_MAX];
	unsigned count = copy_walk(pt, va, entries);
	paddr_t table = pt->root;

	for (unsigned i = 0; i < count; i++) {
		unsigned level = pt->levels - i;
		print(out, "  level %u table at 0x%lx, entry %u: 0x%016lx ", level, table.raw,
		      pt_index(va, level), entries[i].raw);
		if (!pte_in_use(entries[i])) {
			print(out, "not present\n");
			return;
		}
		if (pte_is_leaf(entries[i], level)) {
			dump_leaf(entries[i], level, out);
			return;
		}
		print(out, "table, %u used\n", pte_used(entries[i]));
		table = pte_table_paddr(entries[i]);
	}
	print(out, "  level %u table at 0x%lx: not in the direct map\n", pt->levels - count, table.raw);
}
