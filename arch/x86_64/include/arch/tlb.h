/*
 * Translation caches. Whoever clears or tightens a page-table entry calls this before the frame behind it, or the
 * table that held it, may be used for anything else. Entries that were absent need no flush to become present.
 * Implemented by x86_64/tlb.c (invlpg, CR4.PGE, shootdowns) and by the modelled TLB of the host.
 */
#ifndef ARCH_TLB_H
#define ARCH_TLB_H

#include <lib/addr.h>

/*
 * Every CPU forgets its translations of [start, end), of whatever page size, and all paging-structure caches for it.
 * Returns when all have: waits for them with interrupts masked, answering theirs meanwhile.
 *
 * pre: page-aligned. Any context but an NMI, any lock held. Above TLB_FLUSH_SINGLE_MAX pages one full flush replaces
 * many single ones.
 */
void tlb_flush_range(struct vrange range);

/*
 * Only the calling CPU forgets: no more than a courtesy, so that a stray access faults here at once. Whatever is to be
 * reused needs tlb_flush_range().
 */
void tlb_flush_range_here(struct vrange range);

/* Every CPU forgets every translation, global ones too. */
void tlb_flush_all(void);

/* Of the calling CPU: what it flushed for itself and for others. */
struct tlb_stats {
	uint64_t single; /* invlpg executed */
	uint64_t full;
};
struct tlb_stats tlb_stats(void);

/* invlpg costs some hundred cycles and a refill; Linux's default ceiling (tlb_single_page_flush_ceiling) is 33. */
enum { TLB_FLUSH_SINGLE_MAX = 33 };

#endif
