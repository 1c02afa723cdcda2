/*
 * The modelled processor's view of memory: translation by walking the tables from the live root, and a TLB per
 * CPU that remembers every translation until it is told to forget it. A forgotten flush therefore shows, always,
 * as an access that reaches the wrong frame, or in host_tlb_check(). Shares nothing with mm/pagetable.c but
 * the entry format.
 */
#ifndef HOST_SOFT_MMU_H
#define HOST_SOFT_MMU_H

#include <arch/pte.h>
#include <arch/trap.h>
#include <lib/addr.h>

enum host_access { HOST_READ, HOST_WRITE, HOST_FETCH };

/*
 * TRAP_PAGE_FAULT with the error code of the processor, or TRAP_GENERAL_PROTECTION for a non-canonical
 * address.
 */
struct host_fault {
	unsigned vector, error;
};

/* Where the access would go; false, and the fault (if not NULL) it would raise. Remembers the translation. */
bool host_mmu_translate(vaddr_t va, enum host_access access, paddr_t *pa, struct host_fault *fault) MUST_USE;

/* A byte, through the calling CPU's TLB. False if the access faults. */
bool host_mmu_read(vaddr_t va, uint8_t *value, struct host_fault *fault) MUST_USE;
bool host_mmu_write(vaddr_t va, uint8_t value, struct host_fault *fault) MUST_USE;

/* What the tables say now, TLB aside. */
struct host_leaf {
	struct vrange va; /* the whole leaf */
	paddr_t pa;       /* of its first byte */
	bool write, execute;
	enum memory_type type; /* by the PAT that every CPU is to have */
};
bool host_mmu_walk(vaddr_t va, struct host_leaf *leaf, struct host_fault *fault) MUST_USE;

/* Loads the root of 4- or 5-level tables and forgets everything. Root 0: no tables are live. */
void host_mmu_load_root(paddr_t root, unsigned levels);
bool host_mmu_is_live(void);

/* The calling CPU goes off: its TLB is empty when it comes back. */
void host_tlb_power_off(void);

/* For tests: flushes forget the other CPUs' TLBs. */
void host_tlb_skip_remote(bool skip);

/* Translations remembered by any CPU: of addresses in `range`; of frames in `range`. */
size_t host_tlb_cached(struct vrange range);
size_t host_tlb_leading_to(struct prange range);

/*
 * Verifier: NULL if the tables still say what each CPU's remembered translations say, else which flush was
 * forgotten, and by whom.
 */
const char *host_tlb_check(void) MUST_USE;

#endif
