/*
 * Flushing the translation caches of every CPU that runs. Intel SDM vol. 3A, sections 4.10.4 and 4.10.5.
 *
 * invlpg drops the translation that covers an address, of whatever page size, and every paging-structure cache; a change
 * of CR4.PGE drops all, global ones too. Where there are no global pages, reloading CR3 does the same. Both concern the
 * running CPU only; the others are asked to do it themselves (a shootdown):
 *
 *	box of the asking CPU     range            unanswered: CPUs that have not flushed yet
 *	box of a CPU asked        askers: whose range it must flush
 *
 * F1  A box's range is written by its CPU only, and only while unanswered is 0: interrupts are masked until then.
 * F2  Bit t of a's unanswered falls after t has flushed a's range.
 * F3  Whoever sets the first bit of `askers` sends the interrupt: t takes all bits at once.
 * F4  A CPU that waits here, or anywhere with interrupts masked for another CPU (cpu_relax(), cpu_serve()), answers
 *     meanwhile: whoever flushes may hold the very lock that others spin for.
 * F5  Flushing here comes first and serialises: the changed entry is visible before anybody is asked, and before it is
 *     looked up who is online (B2 in bringup.c).
 *
 * With one CPU online a flush costs what it cost without the others, and a comparison.
 */
#include <arch/cpu.h>
#include <arch/flush_site.h>
#include <arch/irq.h>
#include <arch/page.h>
#include <arch/tlb.h>
#include "x86_internal.h"

static struct box {
	cpuset_t askers ALIGNED(64);
	struct vrange range ALIGNED(64);
	cpuset_t unanswered;
} boxes[CPUS_MAX];

/* What asks for everything: no range of pages is larger. */
#define EVERYTHING vrange(0, UINT64_MAX)

/* ---- This CPU ---- */

void tlb_flush_all_here(void)
{
	irqflags_t flags = irq_save(); /* a handler's own change of CR4 must not come between */
	uint64_t cr4 = read_cr4();

	if (!flush_site(FLUSH_LOCAL_FULL)) {
		/* left out on purpose */
	} else if (cr4 & CR4_PGE) {
		write_cr4(cr4 & ~(uint64_t)CR4_PGE);
		write_cr4(cr4);
	} else {
		write_cr3(read_cr3());
	}
	irq_restore(flags);
	cpu_count(COUNT_FLUSH_FULL, 1);
}

static ALWAYS_INLINE void flush_pages_here(struct vrange range)
{
	for (vaddr_t va = range.start; va.raw < range.end.raw && flush_site(FLUSH_LOCAL_SINGLE);
	     va = vaddr_add(va, PAGE_SIZE))
		invlpg(va);
	cpu_count(COUNT_FLUSH_SINGLE, vrange_size(range) >> PAGE_SHIFT);
}

void tlb_flush_range_here(struct vrange range)
{
	if (vrange_size(range) >> PAGE_SHIFT > TLB_FLUSH_SINGLE_MAX)
		tlb_flush_all_here();
	else
		flush_pages_here(range);
}

/* ---- The others ---- */

void tlb_answer(void)
{
	unsigned me = this_cpu()->id, asker;

	if (likely(!__atomic_load_n(&boxes[me].askers, __ATOMIC_RELAXED)))
		return;
	/* Masked: a handler might wait for a lock whose holder waits for this answer. */
	irqflags_t flags = irq_save();
	for_each_cpu (asker, __atomic_exchange_n(&boxes[me].askers, 0, __ATOMIC_ACQ_REL)) {
		tlb_flush_range_here(boxes[asker].range);
		__atomic_fetch_and(&boxes[asker].unanswered, ~cpu_bit(me), __ATOMIC_RELEASE);
	}
	irq_restore(flags);
}

static void ask(unsigned me, cpuset_t targets, struct vrange range)
{
	unsigned target;

	boxes[me].range = range;
	__atomic_store_n(&boxes[me].unanswered, targets, __ATOMIC_RELAXED);
	for_each_cpu (target, targets) {
		if (!__atomic_fetch_or(&boxes[target].askers, cpu_bit(me), __ATOMIC_ACQ_REL))
			apic_send(target, VECTOR_FLUSH);
	}
}

static void await_answers(unsigned me)
{
	while (__atomic_load_n(&boxes[me].unanswered, __ATOMIC_ACQUIRE))
		cpu_relax();
}

static void flush_others(struct vrange range)
{
	bool single = vrange_size(range) >> PAGE_SHIFT <= TLB_FLUSH_SINGLE_MAX;
	if (single ? !flush_site(FLUSH_REMOTE_SINGLE) : !flush_site(FLUSH_REMOTE_FULL))
		return;
	irqflags_t flags = irq_save();
	unsigned me = this_cpu()->id;
	cpuset_t others = cpus_online() & ~cpu_bit(me);

	if (others && range.start.raw != range.end.raw) {
		cpu_count(COUNT_SHOOTDOWNS, 1);
		ask(me, others, range);
		await_answers(me);
	}
	irq_restore(flags);
}

/* Only the boot CPU is ever alone. */
static inline bool is_alone(void)
{
	return __atomic_load_n(&online, __ATOMIC_RELAXED) == 1;
}

void tlb_flush_range(struct vrange range)
{
	tlb_flush_range_here(range);
	if (!is_alone())
		flush_others(range);
}

void tlb_flush_all(void)
{
	tlb_flush_all_here();
	if (!is_alone())
		flush_others(EVERYTHING);
}

struct tlb_stats tlb_stats(void)
{
	const uint64_t *counters = this_cpu()->counters;

	return (struct tlb_stats){
	        .single = __atomic_load_n(&counters[COUNT_FLUSH_SINGLE], __ATOMIC_RELAXED),
	        .full = __atomic_load_n(&counters[COUNT_FLUSH_FULL], __ATOMIC_RELAXED),
	};
}
