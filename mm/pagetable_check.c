/*
 * The second walker. It shares the entry format with pagetable.c and not one line of its walk: plain recursion over
 * physical tables from a root, every entry looked at. What it finds is what a processor would find.
 *
 * T1  No entry has a bit set that its format does not know; a free entry is zero, a hidden leaf not present. Nothing is
 *     open to user mode, and every table lies where the direct map could reach it.
 * T2  No leaf is writable and executable.
 * T3  Each table is pointed to by exactly one entry.
 * T4  The entry that points to a table counts its entries in use. Below the root no table is empty, unless ranges were
 *     cleared that are not swept yet.
 * T5  nr_tables is the number of tables that the root reaches, itself included.
 * T6  Leaves stand at levels 1 to 3, and map memory aligned to their size.
 *
 * Seeing a table twice needs memory of what was seen, and a verifier allocates nothing. The memory is the tables' own: a
 * bit that processors ignore, in each table's first entry, is set on the way and taken back on a second way that follows
 * the marks. So every table is entered once whatever it holds, and cycles end.
 *
 * Lock: none; nothing else may be changing the tables. Cost: linear in their entries.
 */
#include <mm/pagetable_check.h>
#include <arch/directmap.h>
#include <lib/check.h>

#define TABLE_BITS (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_SPLIT | PTE_ADDRESS | PTE_USED)
#define LEAF_BITS  (PGPROT_BITS | PTE_HIDDEN | PTE_ADDRESS)

/* What the processor calls the address that entry `index` below `base` translates: from the root's upper half, ones lead. */
static vaddr_t entry_address(uint64_t base, unsigned index, unsigned level, unsigned levels)
{
	bool upper = level == levels && index >= PT_ENTRIES / 2;
	uint64_t ones = upper ? ~(PT_ENTRIES * pt_level_size(level) - 1) : 0;
	return vaddr(ones | (base + index * pt_level_size(level)));
}

static bool table_is_reachable(paddr_t table)
{
	return table.raw < DIRECTMAP_SIZE;
}

/* ---- Visiting mappings ---- */

struct walk {
	bool (*visit)(const struct mapping *mapping, void *context);
	void *context;
	unsigned levels;
	struct mapping run; /* not yet reported; empty if its range is */
	bool stopped;
};

static void walk_report(struct walk *walk)
{
	if (!walk->stopped && vrange_size(walk->run.va))
		walk->stopped = !walk->visit(&walk->run, walk->context);
	walk->run.va = vrange(0, 0);
}

static void walk_leaf(struct walk *walk, vaddr_t va, pte_t e, unsigned level)
{
	struct mapping *run = &walk->run;
	paddr_t pa = pte_leaf_paddr(e, level);
	pgprot_t prot = pte_leaf_prot(e, level);
	bool continues = vrange_size(run->va) && run->va.end.raw == va.raw && run->level == level &&
	                 run->prot.raw == prot.raw && run->pa.raw + vrange_size(run->va) == pa.raw;
	if (!continues) {
		walk_report(walk);
		*run = (struct mapping){.va = {va, va}, .pa = pa, .prot = prot, .level = level};
	}
	run->va.end = vaddr_add(va, pt_level_size(level));
}

static void walk_table(struct walk *walk, paddr_t table, unsigned level, uint64_t base)
{
	const pte_t *entries = paddr_to_directmap(table);
	for (unsigned i = 0; i < PT_ENTRIES && !walk->stopped; i++) {
		vaddr_t va = entry_address(base, i, level, walk->levels);
		if (!pte_in_use(entries[i]))
			continue;
		if (pte_is_leaf(entries[i], level))
			walk_leaf(walk, va, entries[i], level);
		else
			walk_table(walk, pte_table_paddr(entries[i]), level - 1, va.raw);
	}
}

void address_space_walk(paddr_t root, unsigned levels,
                        bool (*visit)(const struct mapping *mapping, void *context), void *context)
{
	struct walk walk = {.visit = visit, .context = context, .levels = levels};
	walk_table(&walk, root, levels, 0);
	walk_report(&walk);
}

/* ---- Structure ---- */

static const char *check_leaf(vaddr_t va, uint64_t raw, unsigned level)
{
	CHECK(level <= PT_LEAF_LEVELS, "T6: 0x%lx: level %u entry 0x%lx is a leaf", va.raw, level, raw);
	uint64_t unknown = raw & ~LEAF_BITS;
	CHECK(!unknown, "T1: 0x%lx: level %u leaf 0x%lx has unknown bits 0x%lx", va.raw, level, raw, unknown);
	CHECK(!(raw & PTE_PRESENT) || !(raw & PTE_HIDDEN),
	      "T1: 0x%lx: level %u leaf 0x%lx is present and hidden", va.raw, level, raw);
	/* Below the size, a large leaf has only its PAT bit. */
	uint64_t low_address = raw & PTE_ADDRESS & (pt_level_size(level) - 1) & ~(1ULL << 12);
	CHECK(!low_address, "T6: 0x%lx: level %u leaf 0x%lx is not aligned to its size", va.raw, level, raw);
	CHECK((raw & (PTE_WRITE | PTE_NO_EXEC)) != PTE_WRITE,
	      "T2: 0x%lx: level %u leaf is writable and executable", va.raw, level);
	return NULL;
}

/* What one check counts, and what it lets pass; of how many levels the tables are. */
struct tally {
	unsigned levels;
	size_t nr_tables;
	bool may_be_empty;
};

static const char *check_table(paddr_t table, unsigned level, uint64_t base, struct tally *tally,
                               unsigned *present);

static const char *check_table_entry(vaddr_t va, uint64_t raw, unsigned level, struct tally *tally)
{
	pte_t e = {raw};
	unsigned present = 0;
	uint64_t unknown = raw & ~TABLE_BITS;
	CHECK(!unknown, "T1: 0x%lx: level %u table entry 0x%lx has unknown bits 0x%lx", va.raw, level, raw,
	      unknown);
	CHECK(table_is_reachable(pte_table_paddr(e)),
	      "T1: 0x%lx: level %u entry 0x%lx points outside the direct map", va.raw, level, raw);
	const char *broken = check_table(pte_table_paddr(e), level - 1, va.raw, tally, &present);
	if (broken)
		return broken;
	CHECK(present || tally->may_be_empty, "T4: 0x%lx: the level %u table is empty", va.raw, level - 1);
	CHECK(present == pte_used(e), "T4: 0x%lx: the level %u table has %u entries, counted as %u", va.raw,
	      level - 1, present, pte_used(e));
	return NULL;
}

/* Marks and checks one table and what is below; counts its entries and all tables. */
static const char *check_table(paddr_t table, unsigned level, uint64_t base, struct tally *tally,
                               unsigned *present)
{
	pte_t *entries = paddr_to_directmap(table);
	CHECK(!(entries[0].raw & PTE_MARK), "T3: 0x%lx: the table at 0x%lx is reached a second time", base,
	      table.raw);
	entries[0].raw |= PTE_MARK;
	tally->nr_tables++;
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		vaddr_t va = entry_address(base, i, level, tally->levels);
		uint64_t raw = i == 0 ? entries[i].raw & ~PTE_MARK : entries[i].raw;
		const char *broken = NULL;
		if (!(raw & (PTE_PRESENT | PTE_HIDDEN))) {
			CHECK(!raw, "T1: 0x%lx: absent level %u entry holds 0x%lx", va.raw, level, raw);
			continue;
		}
		++*present;
		if (level == 1 || (raw & PTE_LARGE))
			broken = check_leaf(va, raw, level);
		else
			broken = check_table_entry(va, raw, level, tally);
		if (broken)
			return broken;
	}
	return NULL;
}

/* Every mark was set on a way of marked tables from the root, so they are all found again. */
static void unmark_table(paddr_t table, unsigned level)
{
	pte_t *entries = paddr_to_directmap(table);
	if (!(entries[0].raw & PTE_MARK))
		return;
	entries[0].raw &= ~PTE_MARK;
	for (unsigned i = 0; level > 1 && i < PT_ENTRIES; i++)
		if (pte_present(entries[i]) && !pte_is_leaf(entries[i], level) &&
		    table_is_reachable(pte_table_paddr(entries[i])))
			unmark_table(pte_table_paddr(entries[i]), level - 1);
}

const char *pagetable_check(const struct pagetable *pt)
{
	struct tally tally = {.levels = pt->levels, .may_be_empty = pt->nr_unswept > 0};
	unsigned root_entries = 0;
	CHECK(table_is_reachable(pt->root) && is_aligned(pt->root.raw, PAGE_SIZE),
	      "T1: no root can be at 0x%lx", pt->root.raw);
	const char *broken = check_table(pt->root, pt->levels, 0, &tally, &root_entries);
	unmark_table(pt->root, pt->levels);
	if (broken)
		return broken;
	CHECK(tally.nr_tables == pt->nr_tables, "T5: the root reaches %zu tables, nr_tables is %zu",
	      tally.nr_tables, pt->nr_tables);
	return NULL;
}
