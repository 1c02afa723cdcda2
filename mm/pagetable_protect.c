/*
 * Page tables: what changes of a leaf but its place: protections, and sizes on the way to them. pagetable.c opens with the
 * theory of tables.
 *
 * A change that concerns only a part of a large leaf splits it, which needs tables. In a range it concerns at most one leaf
 * per edge and level: those tables are reserved first, and then nothing can fail.
 *
 * A change that concerns the direct map too splits there one leaf per frame at worst, of which many may be the same: it
 * splits as it goes. When a table cannot be had, what it split is still alike throughout and is merged; so is, later, what
 * has become alike again. A table cut off by merging is walked by others until they flush, unlike an emptied one, and so is
 * chained through its frame's entry and not through itself.
 */
#include <arch/flush_site.h>
#include <arch/tlb.h>
#include <lib/panic.h>
#include "pagetable_internal.h"

/* Both edges of a range, each of which may cut one leaf of every size but the smallest. */
enum { SPLIT_TABLES_MAX = 2 * (PT_LEAF_LEVELS - 1) };

/* ---- Splitting ---- */

struct table_reserve {
	paddr_t tables[SPLIT_TABLES_MAX];
	unsigned count;
};

static bool reserve_fill(struct pagetable *pt, struct table_reserve *reserve, unsigned count)
{
	for (reserve->count = 0; reserve->count < count; reserve->count++) {
		if (pagetable_take_table(pt, &reserve->tables[reserve->count]))
			continue;
		while (reserve->count)
			pagetable_give_table(pt, reserve->tables[--reserve->count]);
		return false;
	}
	return true;
}

/* The level of the leaf that maps `va`; 1 if none does: nothing to split either way. */
static unsigned leaf_level(const struct pagetable *pt, uint64_t va)
{
	struct translation t;
	return pagetable_find(pt, vaddr(va), &t) ? t.level : 1;
}

static bool cuts_leaf(uint64_t edge, unsigned level, unsigned found_level)
{
	return level <= found_level && !is_aligned(edge, pt_level_size(level));
}

/* Tables it takes to make both edges fall between leaves; a split that serves both counts once. */
static unsigned tables_to_split(const struct pagetable *pt, uint64_t start, uint64_t end)
{
	unsigned at_start = leaf_level(pt, start), at_end = leaf_level(pt, end), count = 0;
	for (unsigned level = 2; level <= PT_LEAF_LEVELS; level++) {
		bool first = cuts_leaf(start, level, at_start), second = cuts_leaf(end, level, at_end);
		bool same = first && second && (start ^ end) < pt_level_size(level);
		count += (unsigned)first + (unsigned)second - (unsigned)same;
	}
	return count;
}

/*
 * Replaces the large leaf `e` by a table of 512 smaller ones that translate the same. Both translations may be cached
 * until the caller flushes (flush_split()), which must come before it makes them differ: Intel SDM vol. 3A, 4.10.2.3.
 */
static void split_leaf(pte_t *e, unsigned level, paddr_t table)
{
	pte_t *below = table_pointer(table);
	paddr_t pa = pte_leaf_paddr(*e, level);
	pgprot_t prot = pte_leaf_prot(*e, level);
	uint64_t size = pt_level_size(level);
	for (unsigned i = 0; i < PT_ENTRIES; i++, pa.raw += size / PT_ENTRIES)
		below[i] = pte_leaf(pa, prot, level - 1);
	pte_set(e, (pte_table(table).raw | PTE_SPLIT) + PT_ENTRIES * PTE_USED_ONE);
}

/* A leaf is more pages than are flushed singly. */
static void flush_split(void)
{
	if (flush_site(FLUSH_SPLIT))
		tlb_flush_all();
}

/* Splits until `edge` falls between leaves. pre: the reserve holds what tables_to_split() counted */
static void split_at(struct pagetable *pt, struct table_reserve *reserve, uint64_t edge)
{
	pte_t *table = table_pointer(pt->root);
	for (unsigned level = pt->levels; !is_aligned(edge, pt_level_size(level)); level--) {
		pte_t *e = &table[pt_index(vaddr(edge), level)];
		pte_t seen = pte_get(e);
		if (!pte_in_use(seen))
			return;
		if (pte_is_leaf(seen, level))
			split_leaf(e, level, reserve->tables[--reserve->count]);
		table = table_below(pte_get(e));
	}
}

/* Makes the range consist of whole leaves, all or nothing: the one part of unmap and protect that can fail. */
bool pagetable_split_edges(struct pagetable *pt, struct vrange range)
{
	struct table_reserve reserve;
	unsigned needed = tables_to_split(pt, range.start.raw, range.end.raw);
	if (likely(needed == 0))
		return true;
	if (!reserve_fill(pt, &reserve, needed))
		return false;
	split_at(pt, &reserve, range.start.raw);
	split_at(pt, &reserve, range.end.raw);
	DEBUG_ASSERT(reserve.count == 0);
	flush_split();
	return true;
}

/* ---- Protection ---- */

static pgprot_t prot_after(pgprot_t prot, struct pgprot_change change)
{
	return (pgprot_t){(prot.raw & ~change.clear) | change.set};
}

/* Returns whether some CPU may remember what it was. */
static bool change_leaf(pte_t *slot, unsigned level, struct pgprot_change change)
{
	pte_t was = *slot;
	pte_t leaf =
	        pte_leaf(pte_leaf_paddr(was, level), prot_after(pte_leaf_prot(was, level), change), level);
	if (leaf.raw == was.raw)
		return false;
	pte_set(slot, leaf.raw);
	return pte_present(was);
}

/* The same for all leaves in [va, last], which lies within `table`. */
static bool change_level(pte_t *table, unsigned level, uint64_t va, uint64_t last,
                         struct pgprot_change change)
{
	bool stale = false;
	for (;; va++) {
		pte_t *e = &table[pt_index(vaddr(va), level)];
		uint64_t end = part_end(va, level, last);
		pte_t seen = pte_get(e);
		if (pte_in_use(seen) && !pte_is_leaf(seen, level))
			stale |= change_level(table_below(seen), level - 1, va, end, change);
		else if (pte_in_use(seen))
			stale |= change_leaf(e, level, change);
		if (end == last)
			return stale;
		va = end;
	}
}

static bool change_range(struct pagetable *pt, struct vrange range, struct pgprot_change change)
{
	return change_level(table_pointer(pt->root), pt->levels, range.start.raw, range.end.raw - 1, change);
}

bool pagetable_protect(struct pagetable *pt, struct vrange range, pgprot_t prot)
{
	struct pgprot_change change = {.clear = PGPROT_BITS | PTE_HIDDEN, .set = prot.raw};

	pagetable_require_range("pagetable_protect", pt, range);
	pagetable_require_prot("pagetable_protect", range.start, prot);
	if (range.start.raw == range.end.raw)
		return true;
	irqflags_t flags = spin_lock_irqsave(&pt->lock);
	bool split = pagetable_split_edges(pt, range);
	if (split && change_range(pt, range, change) && flush_site(FLUSH_PROTECT))
		tlb_flush_range(range);
	spin_unlock_irqrestore(&pt->lock, flags);
	return split;
}

/* ---- Protection, in the direct map too ---- */

static const struct pgprot_change hide = {.clear = PTE_PRESENT, .set = PTE_HIDDEN};
static const struct pgprot_change make_default = {
        .clear = PGPROT_BITS | PTE_HIDDEN,
        .set = PAGE_KERNEL_BITS | PTE_WRITE | PTE_NO_EXEC,
};

static bool changes_nothing(struct pgprot_change change)
{
	return !(change.clear | change.set);
}

/* Where the direct map shows what `va` is mapped to; false if nothing is. */
static bool alias_of(const struct pagetable *pt, uint64_t va, uint64_t *alias)
{
	struct translation found;
	if (!pagetable_find(pt, vaddr(va), &found))
		return false;
	*alias = vaddr_of(paddr_to_directmap(found.pa)).raw;
	return true;
}

/* Makes `va`'s leaf a 4 KiB one, unless it has none. On failure some splits on the way may be done. */
static bool split_to_page(struct pagetable *pt, uint64_t va, bool *split)
{
	struct leaf leaf;
	while (find_leaf(pt, va, &leaf) && leaf.level > 1) {
		paddr_t table;
		if (!pagetable_take_table(pt, &table))
			return false;
		split_leaf(leaf.slot, leaf.level, table);
		*split = true;
	}
	return true;
}

static bool would_change(const struct leaf *leaf, struct pgprot_change change)
{
	pgprot_t prot = pte_leaf_prot(leaf->entry, leaf->level);
	return prot_after(prot, change).raw != prot.raw;
}

/* Where the change would be one. */
static bool split_aliases(struct pagetable *pt, struct vrange range, struct pgprot_change change, bool *split)
{
	struct leaf leaf;
	for (uint64_t va = range.start.raw, alias; va < range.end.raw; va += PAGE_SIZE)
		if (alias_of(pt, va, &alias) && find_leaf(pt, alias, &leaf) && would_change(&leaf, change) &&
		    !split_to_page(pt, alias, split))
			return false;
	return true;
}

/* pre: split_aliases() with the same change */
static bool change_aliases(struct pagetable *pt, struct vrange range, struct pgprot_change change)
{
	bool stale = false;
	struct leaf leaf;
	for (uint64_t va = range.start.raw, alias; va < range.end.raw; va += PAGE_SIZE)
		if (alias_of(pt, va, &alias) && find_leaf(pt, alias, &leaf))
			stale |= change_leaf(leaf.slot, leaf.level, change);
	return stale;
}

/*
 * If the table that `slot` points to was split off a leaf, and all of it is PAGE_KERNEL, it becomes that leaf again. Its frame
 * has an entry: tables from before the frame array was there hold what the image keeps read-only for good.
 */
static bool merge_table(pte_t *slot, unsigned level, struct page_list *merged)
{
	pte_t e = pte_get(slot);
	const pte_t *below = table_below(e);
	paddr_t pa = pte_leaf_paddr(below[0], level - 1);
	if (!(e.raw & PTE_SPLIT))
		return false;
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		if (below[i].raw !=
		    pte_leaf(paddr_add(pa, i * pt_level_size(level - 1)), PAGE_KERNEL, level - 1).raw)
			return false;
	pte_set(slot, pte_leaf(pa, PAGE_KERNEL, level).raw);
	page_list_add(merged, pfn_to_page(paddr_to_pfn(pte_table_paddr(e))));
	return true;
}

/* Merges what can be on the way to `va`, from below. */
static void merge_at(struct pagetable *pt, uint64_t va, struct page_list *merged)
{
	pte_t *slots[PT_LEVELS_MAX + 1], *table = table_pointer(pt->root);
	unsigned level = pt->levels;
	for (;; level--) {
		slots[level] = &table[pt_index(vaddr(va), level)];
		pte_t seen = pte_get(slots[level]);
		if (!pte_in_use(seen) || pte_is_leaf(seen, level))
			break;
		table = table_below(seen);
	}
	while (++level <= PT_LEAF_LEVELS && merge_table(slots[level], level, merged))
		;
}

static void merge_range(struct pagetable *pt, struct vrange range, struct page_list *merged)
{
	for (uint64_t va = range.start.raw; va < range.end.raw; va = align_down(va, PMD_SIZE) + PMD_SIZE)
		merge_at(pt, va, merged);
}

/* Aliases that follow each other are mostly in one table, which is looked at once. */
static void merge_aliases(struct pagetable *pt, struct vrange range, struct page_list *merged)
{
	uint64_t next = 0, alias;
	bool any = false;

	for (uint64_t va = range.start.raw; va < range.end.raw; va += PAGE_SIZE) {
		if (!alias_of(pt, va, &alias))
			continue;
		if (any && (alias ^ next) >= PMD_SIZE)
			merge_at(pt, next, merged);
		next = alias;
		any = true;
	}
	if (any)
		merge_at(pt, next, merged);
}

static void merge(struct pagetable *pt, struct vrange range, bool aliases)
{
	struct page_list merged = PAGE_LIST_INIT;

	if (aliases)
		merge_aliases(pt, range, &merged);
	else
		merge_range(pt, range, &merged);
	if (!merged.count)
		return;
	flush_split();
	for (struct page *table; (table = page_list_take(&merged));)
		pagetable_give_table(pt, page_to_paddr(table));
}

static bool change_locked(struct pagetable *pt, struct vrange range, const struct pagetable_change *change)
{
	bool aliases = !changes_nothing(change->alias), split = false;

	if ((aliases && !split_aliases(pt, range, change->alias, &split)) ||
	    !pagetable_split_edges(pt, range)) {
		if (aliases)
			merge(pt, range, true); /* undoes the splits: nothing has changed in them */
		return false;
	}
	if (split)
		flush_split();
	bool stale = change_range(pt, range, change->leaves);
	bool aliases_stale = aliases && change_aliases(pt, range, change->alias);
	if ((stale || aliases_stale) && flush_site(FLUSH_PROTECT)) {
		if (aliases_stale)
			tlb_flush_all(); /* they lie anywhere */
		else
			tlb_flush_range(range);
	}
	if ((change->leaves.set | change->alias.set) & (PTE_WRITE | PTE_PRESENT)) /* towards the default */
		merge(pt, range, aliases);
	return true;
}

/* The first address in `range` that the change would make writable and executable, or the range's end. */
static uint64_t find_write_exec(const struct pagetable *pt, struct vrange range, struct pgprot_change change)
{
	uint64_t va = range.start.raw;
	while (va < range.end.raw) {
		struct leaf leaf;
		bool found = find_leaf(pt, va, &leaf);
		if (found && pgprot_is_write_exec(prot_after(pte_leaf_prot(leaf.entry, leaf.level), change)))
			return va;
		uint64_t step = found ? pt_level_size(leaf.level) : PAGE_SIZE;
		va = align_down(va, step) + step;
	}
	return range.end.raw;
}

bool pagetable_change(struct pagetable *pt, struct vrange range, const struct pagetable_change *change)
{
	pagetable_require_range(change->call, pt, range);
	if (range.start.raw == range.end.raw)
		return true;
	irqflags_t flags = spin_lock_irqsave(&pt->lock);
	uint64_t refused = find_write_exec(pt, range, change->leaves);
	bool changed = refused == range.end.raw && change_locked(pt, range, change);
	spin_unlock_irqrestore(&pt->lock, flags);

	if (unlikely(refused != range.end.raw))
		panic("%s: 0x%lx would be writable and executable", change->call, refused);
	return changed;
}

/* Aliases that differ from the default are 4 KiB leaves: only PAGE_KERNEL is ever merged. */
static bool hide_changed_aliases(struct pagetable *pt, struct vrange range)
{
	bool stale = false;
	struct leaf leaf;
	for (uint64_t va = range.start.raw, alias; va < range.end.raw; va += PAGE_SIZE)
		if (alias_of(pt, va, &alias) && find_leaf(pt, alias, &leaf) &&
		    pte_leaf_prot(leaf.entry, leaf.level).raw != PAGE_KERNEL.raw) {
			DEBUG_ASSERT(leaf.level == 1);
			stale |= change_leaf(leaf.slot, leaf.level, hide);
		}
	return stale;
}

/* What is hidden may be shown without a flush: nobody remembers it. */
void pagetable_withdraw(struct pagetable *pt, struct vrange range)
{
	pagetable_require_range("pagetable_withdraw", pt, range);
	if (range.start.raw == range.end.raw)
		return;
	irqflags_t flags = spin_lock_irqsave(&pt->lock);
	bool stale = change_range(pt, range, hide);
	stale |= hide_changed_aliases(pt, range);
	if (stale && flush_site(FLUSH_PROTECT))
		tlb_flush_all();
	bool shown_stale = change_aliases(pt, range, make_default);
	DEBUG_ASSERT(!shown_stale);
	merge(pt, range, true);
	spin_unlock_irqrestore(&pt->lock, flags);
}
