/*
 * Device memory in the vmalloc window, under Linux's names. ioremap.c opens with the theory.
 *
 * `phys` is the device's physical address in bytes, of any alignment, `size` the bytes wanted of it, > 0. The result leads
 * to the byte `phys`, readable, writable, not executable, with an unmapped page behind the last; it lies at a multiple
 * of the size, rounded up to a power of two of at most 1 GiB, plus the offset of `phys` in its page. Leaves are the
 * largest, up to 1 GiB, for which `phys`, size and CPU allow.
 *
 *	ioremap         UC-   registers; a WC of the firmware's MTRRs wins
 *	ioremap_uc      UC    registers, whatever the MTRRs say
 *	ioremap_wc      WC    frame buffers: stores are gathered, loads not cached
 *	ioremap_wt      WT    stores go through, loads are cached
 *	ioremap_cache   WB    memory that behaves as such: firmware's tables, say
 *
 * On a CPU without PAT, WC and WT are UC-. Nobody writes back caches: who gives up a WB mapping for another type has the
 * caches written back between the two.
 *
 * NULL after one warning, with nothing changed, for want of memory in the words of <mm/vmalloc.h>, and for
 *
 *	ioremap: 16 bytes, gfp 0x8, from main+0x21: zero size
 *	ioremap: …: no such physical address            (beyond 52 bits)
 *	ioremap: …: ordinary RAM                        (some byte of the pages concerned is)
 *	ioremap_wc: …: WC, but 0x…-0x… is mapped UC- from apic_start+0x10
 *
 * the last if some page concerned is mapped with another type; with the same type, as often as you like. Not in
 * interrupts (panic), no lock held: it may reclaim.
 */
#ifndef MM_IOREMAP_H
#define MM_IOREMAP_H

#include <lib/compiler.h>

void *ioremap(uint64_t phys, size_t size) MUST_USE;
void *ioremap_uc(uint64_t phys, size_t size) MUST_USE;
void *ioremap_wc(uint64_t phys, size_t size) MUST_USE;
void *ioremap_wt(uint64_t phys, size_t size) MUST_USE;
void *ioremap_cache(uint64_t phys, size_t size) MUST_USE;

/*
 * Ends what one of them returned, or any address in its first page. NULL: no-op. Every CPU has forgotten the mapping when
 * this returns, and its memory may be mapped with another type. Mistakes panic as for vfree(). Not in interrupts.
 */
void iounmap(const void *address);

#endif
