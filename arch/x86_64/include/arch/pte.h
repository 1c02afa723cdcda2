/*
 * The page-table entry: format only, no walk, no policy. Shared by both machines, so that hosted tests build and read
 * the tables the processor would. Intel SDM vol. 3A, tables 4-15 to 4-20.
 *
 * A table is 512 entries in one frame. Level 1 entries map 4 KiB pages; entries of level 2 and 3 either point to a
 * table of the level below or, with PTE_LARGE, map 2 MiB and 1 GiB; the root is of level 4, or of level 5 where the
 * processor walks five (LA57).
 */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#include <arch/page.h>

typedef struct {
	uint64_t raw;
} pte_t;

/* Protection and cache bits of a leaf, in the entry's own format (a 4 KiB leaf's; PAT moves in large ones). */
typedef struct {
	uint64_t raw;
} pgprot_t;

enum {
	PT_ENTRIES = 512,
	PT_INDEX_BITS = 9,
	PT_LEVELS_MIN = 4,
	PT_LEVELS_MAX = 5,
	PT_LEAF_LEVELS = 3, /* leaves stand at levels 1..3 */
};

#define PTE_PRESENT    (1ULL << 0)
#define PTE_WRITE      (1ULL << 1)
#define PTE_USER       (1ULL << 2)
#define PTE_WRITE_THRU (1ULL << 3)
#define PTE_NO_CACHE   (1ULL << 4)
#define PTE_ACCESSED   (1ULL << 5)
#define PTE_DIRTY      (1ULL << 6)
#define PTE_LARGE      (1ULL << 7) /* levels 2 and 3 */
#define PTE_PAT        (1ULL << 7) /* level 1; bit 12 in large leaves */
#define PTE_GLOBAL     (1ULL << 8)
#define PTE_NO_EXEC    (1ULL << 63)
#define PTE_MARK       (1ULL << 9)  /* ignored by the processor; a verifier's, zero between checks */
#define PTE_SPLIT      (1ULL << 10) /* likewise; of a table: it was one leaf, and may become it again */
#define PTE_HIDDEN     (1ULL << 11) /* of a leaf that is not present: kept, but out of everybody's reach */
#define PTE_ADDRESS    0x000ffffffffff000ULL /* bits 51..12 */

/* These three number an entry of the PAT. */
#define PTE_CACHE (PTE_WRITE_THRU | PTE_NO_CACHE | PTE_PAT)

/* What a protection may hold. */
#define PGPROT_BITS                                                                                     \
	(PTE_PRESENT | PTE_WRITE | PTE_WRITE_THRU | PTE_NO_CACHE | PTE_ACCESSED | PTE_DIRTY | PTE_PAT | \
	 PTE_GLOBAL | PTE_NO_EXEC)

/*
 * An entry that points to a table carries, in bits 61..52 which the processor ignores there, how many entries of that
 * table are in use: 0..512. Whether a table has become empty is then known without looking at it, for tables from
 * memblock as for those that have a struct page.
 */
#define PTE_USED_SHIFT 52
#define PTE_USED_ONE   (1ULL << PTE_USED_SHIFT)
#define PTE_USED       (0x3ffULL << PTE_USED_SHIFT)

/*
 * Kernel leaf protections under Linux's names. All are global: there is one kernel address space. Accessed and dirty
 * are set from the start, so that the processor never has to write the tables.
 */
#define PAGE_KERNEL_BITS    (PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL)
#define PAGE_KERNEL         ((pgprot_t){PAGE_KERNEL_BITS | PTE_WRITE | PTE_NO_EXEC})
#define PAGE_KERNEL_RO      ((pgprot_t){PAGE_KERNEL_BITS | PTE_NO_EXEC})
#define PAGE_KERNEL_ROX     ((pgprot_t){PAGE_KERNEL_BITS})
#define PAGE_KERNEL_EXEC    ((pgprot_t){PAGE_KERNEL_BITS | PTE_WRITE}) /* W and X: refused by pagetable_map() */
#define PAGE_KERNEL_NOCACHE pgprot_as(PAGE_KERNEL, MEMORY_UC)

/*
 * How the processor may cache a leaf's memory, as the PAT encodes it: Intel SDM vol. 3A, tables 12-10 and 12-12. UC- is UC
 * that gives way to a WC of the firmware's MTRRs.
 */
enum memory_type {
	MEMORY_UC = 0,
	MEMORY_WC = 1,
	MEMORY_WT = 4,
	MEMORY_WP = 5,
	MEMORY_WB = 6,
	MEMORY_UC_MINUS = 7,
	MEMORY_TYPES,
};

/*
 * The PAT of every CPU, in Linux's arrangement: entries 0, 2 and 3 are as at power-on. So a CPU without a PAT, to which
 * the bit PTE_PAT is reserved and entry 1 is WT, still has WB, UC- and UC.
 */
#define PAT_ENTRY(n, type) ((uint64_t)(type) << 8 * (n))
#define PAT_VALUE                                                                            \
	(PAT_ENTRY(0, MEMORY_WB) | PAT_ENTRY(1, MEMORY_WC) | PAT_ENTRY(2, MEMORY_UC_MINUS) | \
	 PAT_ENTRY(3, MEMORY_UC) | PAT_ENTRY(4, MEMORY_WB) | PAT_ENTRY(5, MEMORY_WP) |       \
	 PAT_ENTRY(6, MEMORY_UC_MINUS) | PAT_ENTRY(7, MEMORY_WT))

/* What entry n (0..7) of the PAT says. */
static inline enum memory_type pat_entry_type(unsigned n)
{
	return (enum memory_type)(PAT_VALUE >> 8 * n & 7);
}

static inline enum memory_type pgprot_type(pgprot_t prot)
{
	return pat_entry_type((prot.raw & PTE_WRITE_THRU ? 1 : 0) | (prot.raw & PTE_NO_CACHE ? 2 : 0) |
	                      (prot.raw & PTE_PAT ? 4 : 0));
}

/* `prot` with another type, by the first entry that says so. pre: the PAT has it; it has every one of the enum's */
static inline pgprot_t pgprot_as(pgprot_t prot, enum memory_type type)
{
	unsigned n = 0;

	while (pat_entry_type(n) != type)
		n++;
	return (pgprot_t){(prot.raw & ~PTE_CACHE) | (n & 1 ? PTE_WRITE_THRU : 0) |
	                  (n & 2 ? PTE_NO_CACHE : 0) | (n & 4 ? PTE_PAT : 0)};
}

/* Linux's names: WC, UC-, WT. */
static inline pgprot_t pgprot_writecombine(pgprot_t prot)
{
	return pgprot_as(prot, MEMORY_WC);
}

static inline pgprot_t pgprot_noncached(pgprot_t prot)
{
	return pgprot_as(prot, MEMORY_UC_MINUS);
}

static inline pgprot_t pgprot_writethrough(pgprot_t prot)
{
	return pgprot_as(prot, MEMORY_WT);
}

/* Bytes that one entry of `level` (1..5) spans. */
static inline uint64_t pt_level_size(unsigned level)
{
	if (level - 1 >= PT_LEVELS_MAX)
		__builtin_unreachable();
	return 1ULL << (PAGE_SHIFT + PT_INDEX_BITS * (level - 1));
}

/* Bits of an address that tables of so many levels translate: 48 or 57. */
static inline unsigned pt_address_bits(unsigned levels)
{
	return PAGE_SHIFT + PT_INDEX_BITS * levels;
}

/* A processor that walks so many levels accepts the address: the bits that it does not translate repeat the highest it does. */
static inline bool vaddr_is_canonical(vaddr_t va, unsigned levels)
{
	int64_t top = (int64_t)va.raw >> (pt_address_bits(levels) - 1);
	return top == 0 || top == -1;
}

/* Which entry of a `level` table translates `va`. */
static inline unsigned pt_index(vaddr_t va, unsigned level)
{
	return va.raw >> (PAGE_SHIFT + PT_INDEX_BITS * (level - 1)) & (PT_ENTRIES - 1);
}

static inline bool pte_present(pte_t e)
{
	return e.raw & PTE_PRESENT;
}

/* Not free: a table, a leaf, or a leaf that is hidden. The processor sees what is present. */
static inline bool pte_in_use(pte_t e)
{
	return e.raw & (PTE_PRESENT | PTE_HIDDEN);
}

/* Maps memory (as opposed to pointing to a table). pre: in use, and `level` is the table's it stands in */
static inline bool pte_is_leaf(pte_t e, unsigned level)
{
	return level == 1 || (e.raw & PTE_LARGE);
}

/* Tables are entered with every permission: the leaf decides. PTE_USED is 0. */
static inline pte_t pte_table(paddr_t table)
{
	return (pte_t){table.raw | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED};
}

/* pre: pa aligned to the level's size; level 1..3. Moves PAT to where large leaves keep it. */
static inline pte_t pte_leaf(paddr_t pa, pgprot_t prot, unsigned level)
{
	if (level == 1)
		return (pte_t){pa.raw | prot.raw};
	uint64_t pat = prot.raw & PTE_PAT ? 1ULL << 12 : 0;
	return (pte_t){pa.raw | (prot.raw & ~PTE_PAT) | pat | PTE_LARGE};
}

/* Start of the memory that a leaf of `level` maps. */
static inline paddr_t pte_leaf_paddr(pte_t e, unsigned level)
{
	return paddr(e.raw & PTE_ADDRESS & ~(pt_level_size(level) - 1));
}

static inline pgprot_t pte_leaf_prot(pte_t e, unsigned level)
{
	uint64_t bits = e.raw & ~PTE_ADDRESS;
	if (level == 1)
		return (pgprot_t){bits};
	return (pgprot_t){(bits & ~PTE_LARGE) | (e.raw & 1ULL << 12 ? PTE_PAT : 0)};
}

static inline paddr_t pte_table_paddr(pte_t e)
{
	return paddr(e.raw & PTE_ADDRESS);
}

/* Entries in use of the table that `e` points to. */
static inline unsigned pte_used(pte_t e)
{
	return (unsigned)((e.raw & PTE_USED) >> PTE_USED_SHIFT);
}

static inline bool pgprot_is_write_exec(pgprot_t prot)
{
	return (prot.raw & (PTE_WRITE | PTE_NO_EXEC)) == PTE_WRITE;
}

/* "r--", "rw-", "r-x", "rwx"; "---" if hidden. */
static inline const char *pgprot_access(pgprot_t prot)
{
	if (!(prot.raw & PTE_PRESENT))
		return "---";
	if (prot.raw & PTE_NO_EXEC)
		return prot.raw & PTE_WRITE ? "rw-" : "r--";
	return prot.raw & PTE_WRITE ? "rwx" : "r-x";
}

static inline const char *memory_type_name(enum memory_type type)
{
	static const char *const names[MEMORY_TYPES] = {
	        [MEMORY_UC] = "UC", [MEMORY_WC] = "WC", [MEMORY_WT] = "WT",
	        [MEMORY_WP] = "WP", [MEMORY_WB] = "WB", [MEMORY_UC_MINUS] = "UC-",
	};
	return names[type];
}

/* What the PAT makes of the cache bits. */
static inline const char *pgprot_memory_type(pgprot_t prot)
{
	return memory_type_name(pgprot_type(prot));
}

#endif
