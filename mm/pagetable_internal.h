/* What pagetable.c and pagetable_protect.c share. pagetable.c tells what it means. */
#ifndef MM_PAGETABLE_INTERNAL_H
#define MM_PAGETABLE_INTERNAL_H

#include <mm/pagetable.h>

static inline pte_t *table_pointer(paddr_t table)
{
	return paddr_to_directmap(table);
}

static inline pte_t *table_below(pte_t e)
{
	return table_pointer(pte_table_paddr(e));
}

/* One store: lookups and the processor's walks see the old entry or the new one, and what was written before it. */
static inline void pte_set(pte_t *e, uint64_t raw)
{
	__atomic_store_n(&e->raw, raw, __ATOMIC_RELEASE);
}

/* The last byte of [va, last] that the `level` entry of `va` translates. Inclusive ends: none of this can wrap. */
static inline uint64_t part_end(uint64_t va, unsigned level, uint64_t last)
{
	return min_u64(last, va | (pt_level_size(level) - 1));
}

/* ---- pagetable.c ---- */

/* The caller's mistakes panic, before any lock. Here is what nearly always tells that there is none. */
void pagetable_refuse_range(const char *call, const struct pagetable *pt, struct vrange range);
void pagetable_refuse_prot(const char *call, vaddr_t va, pgprot_t prot);

/* In the last 128 TiB, which all tables translate, anything that does not wrap is canonical and in one half. */
static ALWAYS_INLINE void pagetable_require_range(const char *call, const struct pagetable *pt,
                                                  struct vrange range)
{
	uint64_t start = range.start.raw, end = range.end.raw;

	if (unlikely(start >= end || start < -(1UL << 47) || ((start | end) & (PAGE_SIZE - 1))))
		pagetable_refuse_range(call, pt, range);
}

static ALWAYS_INLINE void pagetable_require_prot(const char *call, vaddr_t va, pgprot_t prot)
{
	if (unlikely(prot.raw != PAGE_KERNEL.raw))
		pagetable_refuse_prot(call, va, prot);
}

/* One table more, with garbage in it, or less. (lock) */
bool pagetable_take_table(struct pagetable *pt, paddr_t *table) MUST_USE;
void pagetable_give_table(struct pagetable *pt, paddr_t table);

struct leaf {
	pte_t *slot;
	pte_t entry; /* what was read there */
	unsigned level;
};

/* What it leads to is seen as it was when it was hung in there. */
static inline pte_t pte_get(const pte_t *e)
{
	return (pte_t){__atomic_load_n(&e->raw, __ATOMIC_ACQUIRE)};
}

/* Does it point to a table? One subtraction asks for both bits: without the lower one it borrows. */
static inline bool pte_is_table(pte_t e)
{
	return !((e.raw - PTE_PRESENT) & (PTE_PRESENT | PTE_LARGE));
}

/* The table of level 4 on the way to `va`, from where all descend in the same steps; false if there is none. */
static ALWAYS_INLINE bool descend_to_level_4(const struct pagetable *pt, uint64_t va, pte_t **table)
{
	*table = table_pointer(pt->root);
	if (likely(pt->levels == 4))
		return true;
	pte_t e = pte_get(&(*table)[pt_index(vaddr(va), 5)]);
	*table = table_below(e);
	return pte_in_use(e);
}

/*
 * The leaf that `va` belongs to, hidden or not; false if there is none, and then its entry is not in use. The compiler writes
 * the steps out, each with its level as a constant.
 */
static ALWAYS_INLINE bool find_leaf(const struct pagetable *pt, uint64_t va, struct leaf *leaf)
{
	pte_t *table;

	if (unlikely(!descend_to_level_4(pt, va, &table))) {
		*leaf = (struct leaf){0};
		return false;
	}
#pragma GCC unroll 3
	for (unsigned level = 4; level > 1; level--) {
		pte_t *slot = &table[pt_index(vaddr(va), level)];
		pte_t e = pte_get(slot);
		if (unlikely(!pte_is_table(e))) {
			*leaf = (struct leaf){slot, e, level};
			return pte_in_use(e);
		}
		table = table_below(e);
	}
	pte_t *slot = &table[pt_index(vaddr(va), 1)];
	*leaf = (struct leaf){slot, pte_get(slot), 1};
	return pte_in_use(leaf->entry);
}

/*
 * The entry that points to the last-level table in which all of [va, last] lies; NULL if they lie in several tables, or it is
 * not there. *seen is what it held, and need not any more. Most of what vmalloc does is a few pages in a table that is there:
 * one straight descent.
 */
static ALWAYS_INLINE pte_t *last_table_entry(const struct pagetable *pt, uint64_t va, uint64_t last,
                                             pte_t *seen)
{
	pte_t *table, *e = NULL;

	if ((va ^ last) >= PMD_SIZE || unlikely(!descend_to_level_4(pt, va, &table)))
		return NULL;
#pragma GCC unroll 3
	for (unsigned level = 4; level > 1; level--) {
		e = &table[pt_index(vaddr(va), level)];
		*seen = pte_get(e);
		if (unlikely(!pte_is_table(*seen)))
			return NULL;
		table = table_below(*seen);
	}
	if (!e)
		__builtin_unreachable();
	return e;
}

/*
 * pagetable_clear() of a range that lies in the last-level table to which `e` points, as it was found with interrupts masked,
 * which they still are. pre: something in the range is mapped, else the table may go meanwhile (T7)
 */
void pagetable_clear_in_table(struct pagetable *pt, pte_t *e, struct vrange range, struct page_list *frames);

static inline struct translation leaf_translation(const struct leaf *leaf, uint64_t va)
{
	uint64_t offset = va & (pt_level_size(leaf->level) - 1);

	return (struct translation){
	        .pa = paddr_add(pte_leaf_paddr(leaf->entry, leaf->level), offset),
	        .prot = pte_leaf_prot(leaf->entry, leaf->level),
	        .level = leaf->level,
	};
}

/* ---- pagetable_protect.c ---- */

/*
 * Makes the range consist of whole leaves, all or nothing: the one part of unmapping and protecting that can fail. What it
 * split is flushed. (lock)
 */
bool pagetable_split_edges(struct pagetable *pt, struct vrange range) MUST_USE;

#endif
