/*
 * How an allocation may behave, under Linux's names with Linux's meaning where there is one to have: no NUMA,
 * no swapping, no file systems. Octavo's reclaim is the shrinkers (<mm/page_alloc.h>): empty slabs and other
 * caches.
 */
#ifndef MM_GFP_H
#define MM_GFP_H

#include <stdint.h>

typedef uint32_t gfp_t;

/* The zone to take from, or any below it. None: NORMAL. */
#define __GFP_DMA     (1U << 0) /* below 16 MiB */
#define __GFP_DMA32   (1U << 1) /* below 4 GiB */
#define __GFP_HIGHMEM (1U << 2) /* accepted: all memory is in the direct map on x86-64 */

#define __GFP_RECLAIM (1U << 3) /* may run shrinkers; not in interrupts, nor with a lock held */
#define __GFP_HIGH    (1U << 4) /* may dip into the zones' reserves */
#define __GFP_ZERO    (1U << 5) /* contents are zero */
#define __GFP_NOWARN  (1U << 6) /* no warning when refused */
#define __GFP_NOFAIL  (1U << 7) /* never NULL; panics when nothing is left that could ever be freed */

#define GFP_NOWAIT 0U
#define GFP_ATOMIC (__GFP_HIGH)
#define GFP_KERNEL (__GFP_RECLAIM)
#define GFP_DMA    (__GFP_DMA)
#define GFP_DMA32  (__GFP_DMA32)
#define GFP_ALL    ((1U << 8) - 1) /* every bit that means something; others are the caller's mistake */

#endif
