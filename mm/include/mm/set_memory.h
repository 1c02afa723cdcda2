/*
 * What may be done with pages of kernel memory, under Linux's names. set_memory.c opens with the theory.
 *
 * Each call concerns `numpages` pages from `addr` on, page-aligned, 0 being none of them: either in one area that owns its
 * frames (vmalloc and its relatives, vmap() with VM_MAP_PUT_PAGES), guard page not included; or in the direct map, where
 * they show blocks from alloc_pages() or alloc_pages_exact(). What an area's pages lose or regain, their frames lose or
 * regain in the direct map as well, before the call returns; on every CPU, with one flush for all.
 *
 * True; or false if a large leaf, of the area or of the direct map, had to be split and there was no frame for the
 * table: then nothing has changed. There is no errno here; Linux's calls return 0 and -ENOMEM. No reclaim, no warning:
 * whoever may wait can call reclaim_pages() and try again. Any context, no lock of mm held; interrupts are masked for a
 * time linear in `numpages`.
 *
 * vfree() resets the direct map. Whoever restricts pages in the direct map itself undoes it before freeing them.
 *
 * Mistakes panic, with nothing changed:
 *
 *	set_memory_ro: 0x… is no page's address
 *	set_memory_ro: -1 pages at 0x…
 *	set_memory_ro: 0x… is neither in the vmalloc window nor in the direct map    (image and frame array stay as they are)
 *	set_memory_ro: 0x… is in no area
 *	set_memory_ro: 0x… is in a vmap area, whose frames are not its own
 *	set_memory_ro: [0x…, 0x…) reaches out of the area 0x…-0x…
 *	set_memory_ro: 0x… shows a frame that is slab, not one from alloc_pages()
 *	set_memory_x: 0x… would be writable and executable                           (set_memory_rw too)
 *	set_memory_x: 0x… is in the direct map, which is never executable
 */
#ifndef MM_SET_MEMORY_H
#define MM_SET_MEMORY_H

#include <lib/compiler.h>

/* Not writable; writable again. */
bool set_memory_ro(unsigned long addr, int numpages) MUST_USE;
bool set_memory_rw(unsigned long addr, int numpages) MUST_USE;

/*
 * Executable, if not writable; not executable again. While it may be executed, no address writes to it: the first of the
 * two makes the direct map read-only there, where it remains until set_memory_rw().
 */
bool set_memory_x(unsigned long addr, int numpages) MUST_USE;
bool set_memory_nx(unsigned long addr, int numpages) MUST_USE;

/* Not present: any access faults, contents and other permissions are kept. Present again. */
bool set_memory_np(unsigned long addr, int numpages) MUST_USE;
bool set_memory_p(unsigned long addr, int numpages) MUST_USE;

#endif
