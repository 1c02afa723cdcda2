/*
 * Where the vmalloc window lies in its region, before there is one: arithmetic only. Whoever boots decides, draws a number
 * if the place is to be one that nobody foretells, and hands the window to mm_init().
 *
 *	VMALLOC_REGION_START                                        VMALLOC_REGION_END
 *	   |-- any multiple of 2 MiB --[ window ]----- unmapped ---------|   and unmapped space around the region
 */
#ifndef MM_VMALLOC_WINDOW_H
#define MM_VMALLOC_WINDOW_H

#include <lib/addr.h>

/* Its bounds are multiples of what one lowest page table maps, and it is no smaller: 2 MiB. */
#define VMALLOC_WINDOW_ALIGN (2UL << 20)

/*
 * Why there can be no window of `size` bytes, or none of them at `base` if `placed`: words for a complaint, or NULL. The
 * calls below rely on it.
 */
const char *vmalloc_window_fault(uint64_t size, bool placed, uint64_t base) MUST_USE;

/* At how many addresses a window of `size` bytes may begin; 1 to 2^25. */
uint64_t vmalloc_window_places(uint64_t size);

/* The window at place `number` of them, taken modulo; the same number, the same window. */
struct vrange vmalloc_window_at(uint64_t size, uint64_t number);

/* The window at the fixed base, or as high as it fits below that. */
struct vrange vmalloc_window_fixed(uint64_t size);

#endif
