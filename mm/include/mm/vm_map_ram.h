/*
 * Mappings that do not last, under Linux's names: for I/O that wants scattered frames at consecutive addresses, and soon
 * no more. vm_map_ram.c opens with the theory.
 *
 * Cheaper than vmap(): up to 64 pages it is the table's entries and little else, and unmapping does not flush. So what
 * vm_unmap_ram() took away may be remembered by other CPUs for a while. Nobody may use the address any more; whoever must
 * know that nobody can, a stray pointer included, calls vm_unmap_aliases() before the frames go elsewhere. Mappings that
 * are to last belong to vmap(): one of them keeps the 2 MiB of addresses, and the page, of all that were made around it.
 *
 * NULL after one warning, in the words of <mm/vmalloc.h>, with nothing changed: "zero size", "more than all RAM", "no such
 * node"; "no virtual space", "no area descriptor", "no frames", "no page-table page".
 *
 * Mistakes panic with nothing changed, in <mm/vmalloc.h>'s words too; and
 *
 *	vm_unmap_ram: 0x… has 3 pages, not 4, mapped by …
 *	vfree: 0x… is a vm_map_ram area allocated by …, to be freed by vm_unmap_ram()
 *	vfree: 0x… is in a block of vm_map_ram(), where nothing is mapped            (any freeing call)
 *
 * A mapping that was unmapped is remembered by those reports, and by fault reports, until its block is given back.
 */
#ifndef MM_VM_MAP_RAM_H
#define MM_VM_MAP_RAM_H

#include <mm/page.h>

/*
 * `count` frames, in that order, at consecutive addresses, writable, not executable, with an unmapped page behind the
 * last. The array and the frames stay the caller's. `node` is NUMA_NO_NODE or 0. May reclaim: not in interrupts, no lock
 * held.
 */
void *vm_map_ram(struct page *const *pages, unsigned int count, int node) MUST_USE;

/*
 * Ends what vm_map_ram() returned, with the same count; on whichever CPU. Cannot fail. This CPU has forgotten it on return.
 * Not in interrupts, no lock held.
 */
void vm_unmap_ram(const void *mem, unsigned int count);

#endif
