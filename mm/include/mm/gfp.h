/*
 * How an allocation may behave, under Linux's names with Linux's meaning where there is one to have: no NUMA,
 * no swapping, no file systems. Octavo's reclaim is the shrinkers (<mm/page_alloc.h>): empty slabs and other
 * caches.
 */
#ifndef MM_GFP_H
#define MM_GFP_H

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t gfp_t;

/* The zone to take from, or any below it. None: NORMAL. */
#define __GFP_DMA     (1U << 0) /* below 16 MiB */
#define __GFP_DMA32   (1U << 1) /* below 4 GiB */
#define __GFP_HIGHMEM (1U << 2) /* accepted: all memory is in the direct map on x86-64 */

#define __GFP_RECLAIM \
	(1U << 3) /* may take back what is kept elsewhere; not in interrupts, nor with a lock held */
#define __GFP_HIGH   (1U << 4) /* may dip into the zones' reserves */
#define __GFP_ZERO   (1U << 5) /* contents are zero */
#define __GFP_NOWARN (1U << 6) /* no warning when refused */
#define __GFP_NOFAIL (1U << 7)

/*
 * How hard a request that may reclaim tries before it is refused; one of the three at most. What it finds missing is asked
 * for in rounds:
 *
 *	                      CPUs' lists,      shrinkers; notifiers    rounds          then
 *	                      freed ranges      of virtual space
 *	no __GFP_RECLAIM      this CPU's        -                       1               NULL
 *	__GFP_NORETRY         every CPU's       -                       1               NULL
 *	GFP_KERNEL            every CPU's       yes                     1; 16 for what  NULL
 *	                                                                an area needs
 *	__GFP_RETRY_MAYFAIL   every CPU's       yes                     while they give NULL
 *	                                                                anything; <= 256
 *	__GFP_NOFAIL          every CPU's       yes                     while they give panic
 *	                                                                anything
 *
 * Ranges of addresses that were freed, that is; the frames behind them are a shrinker's to give. "What an area needs"
 * are page tables and virtual space (<mm/vmalloc.h>). __GFP_NOFAIL dips into the zones' reserves as soon as a round has
 * not helped; when it panics, nothing is left that could be given back. __GFP_NORETRY is for those who have another way
 * to go on: nobody's cache is dropped for them.
 */
#define __GFP_NORETRY       (1U << 8)
#define __GFP_RETRY_MAYFAIL (1U << 9)
#define GFP_EFFORT          (__GFP_NORETRY | __GFP_RETRY_MAYFAIL | __GFP_NOFAIL)

#define GFP_NOWAIT 0U
#define GFP_ATOMIC (__GFP_HIGH)
#define GFP_KERNEL (__GFP_RECLAIM)
#define GFP_DMA    (__GFP_DMA)
#define GFP_DMA32  (__GFP_DMA32)
#define GFP_ALL    ((1U << 10) - 1) /* every bit that means something; others are the caller's mistake */

/*
 * What contradicts itself in the flags, in words: two of GFP_EFFORT, or one of the two that insist on reclaim without
 * __GFP_RECLAIM. NULL: nothing. It is the caller's mistake, treated like a bit that means nothing.
 */
const char *gfp_contradiction(gfp_t gfp);

/* Of a request that may fail: what is given back may always go to others. */
enum { GFP_ROUNDS_MAX = 256 };

/* Do the flags demand a further round after so many that gave something, but not to us? */
static inline bool gfp_persists(gfp_t gfp, unsigned rounds)
{
	return (gfp & __GFP_NOFAIL) || ((gfp & __GFP_RETRY_MAYFAIL) && rounds < GFP_ROUNDS_MAX);
}

#endif
