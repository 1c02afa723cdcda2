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

/* The caller's mistakes panic, before any lock. */
void pagetable_require_range(const char *call, const struct pagetable *pt, struct vrange range);
void pagetable_require_prot(const char *call, vaddr_t va, pgprot_t prot);

/* One table more, with garbage in it, or less. (lock) */
bool pagetable_take_table(struct pagetable *pt, paddr_t *table) MUST_USE;
void pagetable_give_table(struct pagetable *pt, paddr_t table);

struct leaf {
	pte_t *slot;
	pte_t entry; /* what was read there */
	unsigned level;
};

/* The leaf that `va` belongs to, hidden or not; false if there is none. */
static inline bool find_leaf(const struct pagetable *pt, uint64_t va, struct leaf *leaf)
{
	pte_t *table = table_pointer(pt->root);
	for (leaf->level = pt->levels;; leaf->level--) {
		leaf->slot = &table[pt_index(vaddr(va), leaf->level)];
		leaf->entry = (pte_t){__atomic_load_n(&leaf->slot->raw, __ATOMIC_RELAXED)};
		if (!pte_in_use(leaf->entry))
			return false;
		if (pte_is_leaf(leaf->entry, leaf->level))
			return true;
		table = table_below(leaf->entry);
	}
}

/* ---- pagetable_protect.c ---- */

/*
 * Makes the range consist of whole leaves, all or nothing: the one part of unmapping and protecting that can fail. What it
 * split is flushed. (lock)
 */
bool pagetable_split_edges(struct pagetable *pt, struct vrange range) MUST_USE;

#endif
