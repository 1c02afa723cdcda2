/*
 * The page table, of 4 or 5 levels: a walk over <arch/pte.h>'s format, in the kernel and on the host alike. pagetable.c
 * opens with the theory. Each operation masks interrupts, and takes the table's lock if it meets more than one last-level
 * table; any context.
 *
 * Ranges are page-aligned, do not wrap, and lie in one canonical half; an empty range is a no-op.
 *
 * All or nothing: an operation that needs table pages and cannot have them returns false; no translation has changed
 * and no table is kept. Mistakes of the caller panic with no lock held and nothing changed:
 *
 *	pagetable_map: 0x… is already mapped to 0x…
 *	pagetable_map: 0x…: writable and executable
 *	pagetable_map: 0x…: protection 0x… is not one         (not present, or bits that no kernel leaf has)
 *	pagetable_map: [0x…, 0x…) is not a page-aligned range of one canonical half
 *	pagetable_map: 0x… is not a page-aligned physical address that fits 52 bits
 *
 * and the same with pagetable_map_pages, pagetable_map_blocks, pagetable_unmap and pagetable_protect in front, where they
 * apply.
 *
 * Order when something goes away: entries are cleared, then every CPU flushes (tlb_flush_range), and only then are
 * frames and emptied tables given back.
 */
#ifndef MM_PAGETABLE_H
#define MM_PAGETABLE_H

#include <arch/pte.h>
#include <arch/spinlock.h>
#include <mm/page_alloc.h>
#include <mm/page_source.h>

struct printer;

struct pagetable {
	struct spinlock lock;
	struct page_source *source; /* (lock) where tables come from and go to */
	paddr_t root;               /* the table of the highest level; constant */
	unsigned levels;            /* which that is: 4 or 5; constant */
	size_t nr_tables;           /* (lock) tables owned, the root among them */
	uint8_t apart[64];          /* what each vfree() changes is not in a line that walks read: */
	size_t nr_unswept; /* atomic: pages cleared and not yet swept; they may have left tables empty */
};

/* The kernel's only address space: what CR3 points to once mm_init() has switched. */
extern struct pagetable kernel_pagetable;

/*
 * An empty address space of 48 (`levels` = 4) or 57 (5) bits; false if there is no frame for the root. Panics:
 * "pagetable_init: no processor walks N levels".
 */
bool pagetable_init(struct pagetable *pt, struct page_source *source, unsigned levels) MUST_USE;

/* Gives back every table. Nothing may be using them; mapped frames are not touched. */
void pagetable_destroy(struct pagetable *pt);

/*
 * [va, va + size) → [pa, pa + size), each part with the largest leaf that alignment, size and `max_level` (1: 4 KiB,
 * 2: 2 MiB, 3: 1 GiB) allow. No flush is needed: nothing was present.
 */
bool pagetable_map(struct pagetable *pt, struct vrange va, paddr_t pa, pgprot_t prot,
                   unsigned max_level) MUST_USE;

/* count pages at `va`, frame by frame. */
bool pagetable_map_pages(struct pagetable *pt, vaddr_t va, struct page *const *pages, size_t count,
                         pgprot_t prot) MUST_USE;

/* [va.start, va.end) → the blocks of which `blocks` are the heads, each from its first frame on, up to where va ends. */
bool pagetable_map_blocks(struct pagetable *pt, struct vrange va, struct page *const *blocks,
                          pgprot_t prot) MUST_USE;

/*
 * Clears whatever is mapped in `range` (holes are fine), flushes, then frees emptied tables. If `frames` is not NULL, the
 * leaves' frames are added to it, as PAGE_HELD: those that are heads of blocks, behind which the block's other frames must
 * be mapped in their order, as pagetable_map_blocks() does. The caller frees them, which is safe as soon as this returns. A
 * large leaf that lies only partly in the range is split first: the only way to fail.
 */
bool pagetable_unmap(struct pagetable *pt, struct vrange range, struct page_list *frames) MUST_USE;

/*
 * The first half of unmapping: makes the leaves in `range` absent, collecting frames as above. Only this
 * CPU forgets them. Until pagetable_sweep() has returned for the range, another may still reach what was mapped: the range
 * stays unmapped, the frames unused. Cannot fail. pre: no leaf reaches out of the range
 */
void pagetable_clear(struct pagetable *pt, struct vrange range, struct page_list *frames);

/*
 * The second half, for `count` ranges, each cleared at once or in parts: one flush on every CPU, and the tables that they
 * left empty go. How many of them did. With `flushed`, pagetable_flush() has been there: another flush only if a table goes.
 */
size_t pagetable_sweep(struct pagetable *pt, const struct vrange *ranges, size_t count, bool flushed);

/*
 * In place of the second half, where a range is to be mapped again soon: one flush, and its tables stay. It is mapped again
 * after pagetable_reuse(), or else swept.
 */
void pagetable_flush(const struct vrange *ranges, size_t count);

static inline void pagetable_reuse(struct pagetable *pt, size_t pages)
{
	__atomic_fetch_sub(&pt->nr_unswept, pages, __ATOMIC_RELAXED);
}

/* Gives everything mapped in `range`, hidden or not, the protection `prot`; splits large leaves at the edges; flushes. */
bool pagetable_protect(struct pagetable *pt, struct vrange range, pgprot_t prot) MUST_USE;

/* What becomes of a leaf's protection: the bits in `clear` go, those in `set` come. Both 0: it stays. */
struct pgprot_change {
	uint64_t clear, set;
};

struct pagetable_change {
	const char *call;            /* whose panics it would be */
	struct pgprot_change leaves; /* of the range's leaves */
	struct pgprot_change alias;  /* of the pages at which the direct map shows the same frames */
};

/*
 * Changes the leaves in `range`, and unless change->alias stays nothing, the direct map's pages for their frames, with one
 * flush for all of them, or none if nothing changed that was present. Large leaves of which only a part is concerned are
 * split, which takes tables, the only way to fail, and one flush beforehand; what a split made becomes one leaf again as
 * soon as it is PAGE_KERNEL throughout. Panics, with nothing changed: "CALL: 0x… would be writable and executable".
 *
 * A leaf whose PTE_PRESENT gives way to PTE_HIDDEN keeps its frame and the rest of its protection out of every CPU's reach.
 * It still counts as mapped, but not for pagetable_lookup().
 */
bool pagetable_change(struct pagetable *pt, struct vrange range,
                      const struct pagetable_change *change) MUST_USE;

/*
 * Hides the leaves in `range`, and makes the direct map's pages for their frames PAGE_KERNEL, in this order: when a frame
 * becomes writable there, every CPU has forgotten what led to it here. Cannot fail. pre: no leaf reaches
 * out of the range; aliases were changed by pagetable_change() of this range only
 */
void pagetable_withdraw(struct pagetable *pt, struct vrange range);

struct translation {
	paddr_t pa; /* of the address itself, offset included */
	pgprot_t prot;
	unsigned level; /* 1: 4 KiB, 2: 2 MiB, 3: 1 GiB */
};

/*
 * What `va` translates to; false if nothing. Lock-free: the caller keeps the mapping alive, and in the direct map, where
 * tables may be merged meanwhile, has interrupts masked, which holds off the flush before they are used again.
 */
bool pagetable_lookup(const struct pagetable *pt, vaddr_t va, struct translation *translation) MUST_USE;

/* The same for leaves that are hidden as well, whose protection says so. pre: `va` is canonical */
bool pagetable_find(const struct pagetable *pt, vaddr_t va, struct translation *translation) MUST_USE;

/* Prints the entries met on the way to `va`, one a line, without taking the lock: for fault reports. */
void pagetable_dump_walk(const struct pagetable *pt, vaddr_t va, struct printer *out);

#endif
