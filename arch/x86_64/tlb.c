/*
 * Flushing the translation caches of this CPU, the only one that runs. Intel SDM vol. 3A, section 4.10.4.
 *
 * invlpg drops the translation that covers an address, of whatever page size, and every paging-structure cache; a change
 * of CR4.PGE drops all, global ones too. Where there are no global pages, reloading CR3 does the same.
 */
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/page.h>
#include <arch/tlb.h>

static struct tlb_stats stats; /* atomic */

void tlb_flush_range_here(struct vrange range)
{
	tlb_flush_range(range);
}

void tlb_flush_range(struct vrange range)
{
	size_t pages = vrange_size(range) >> PAGE_SHIFT;

	if (pages > TLB_FLUSH_SINGLE_MAX) {
		tlb_flush_all();
		return;
	}
	for (vaddr_t va = range.start; va.raw < range.end.raw; va = vaddr_add(va, PAGE_SIZE))
		invlpg(va);
	__atomic_fetch_add(&stats.single, pages, __ATOMIC_RELAXED);
}

void tlb_flush_all(void)
{
	irqflags_t flags = irq_save(); /* a handler's own change of CR4 must not come between */
	uint64_t cr4 = read_cr4();

	if (cr4 & CR4_PGE) {
		write_cr4(cr4 & ~(uint64_t)CR4_PGE);
		write_cr4(cr4);
	} else {
		write_cr3(read_cr3());
	}
	irq_restore(flags);
	__atomic_fetch_add(&stats.full, 1, __ATOMIC_RELAXED);
}

struct tlb_stats tlb_stats(void)
{
	return (struct tlb_stats){
	        .single = __atomic_load_n(&stats.single, __ATOMIC_RELAXED),
	        .full = __atomic_load_n(&stats.full, __ATOMIC_RELAXED),
	};
}
