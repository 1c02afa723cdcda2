/*
 * The second, independent walker: derives the whole address space from a root, sharing nothing with pagetable.c but the
 * entry format, and checks what must hold for it. Used by mm_verify() after every test. Takes no lock: nothing else may
 * be changing the tables.
 */
#ifndef MM_PAGETABLE_CHECK_H
#define MM_PAGETABLE_CHECK_H

#include <mm/pagetable.h>

/* A maximal run of leaves, present or hidden, with contiguous virtual and physical addresses, one protection and one level. */
struct mapping {
	struct vrange va;
	paddr_t pa;
	pgprot_t prot;
	unsigned level;
};

/*
 * Calls `visit` for each mapping below a root of so many levels, ascending; stops early if it returns false. O(entries of
 * all tables).
 */
void address_space_walk(paddr_t root, unsigned levels,
                        bool (*visit)(const struct mapping *mapping, void *context), void *context);

/*
 * Structure of any address space: invariants T1 to T6 of pagetable_check.c. Linear in the tables; terminates on any
 * contents, cycles included.
 */
const char *pagetable_check(const struct pagetable *pt) MUST_USE;

#endif
