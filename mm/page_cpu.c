/*
 * Each CPU's own lists of small free blocks, in front of the zones.
 *
 * Blocks of order 0 to 3 come from and go to a list of the CPU that asks, one per zone and order:
 *
 *	CPU 0   [ · · · · ↕ ]      CPU 1   [ · · ↕ ]          alloc and free: one push or pop, no lock
 *	              ║ a batch          ║                     refill, drain: one lock round for a batch
 *	       ═══════╩══════════════════╩═══════
 *	         zone's lock │ zone's buddy
 *
 * A list is a struct cpu_stack (<arch/cpu_stack.h>): push and pop are restartable sequences, so that an interrupt
 * handler may allocate and free at any instruction, and nothing is paid for it. Refilling and draining, and all that
 * reaches for another CPU's list, run on the CPU whose list it is with interrupts masked. Blocks freed by another CPU
 * than they came from go home by a drain, a batch at a time.
 *
 * A batch is a block of the buddy's at best: a refill takes the smallest free blocks that serve and puts what they hold
 * side by side, so it is handed out frame after frame, downward. What comes back in that order, or upward, is a *run* again,
 * and goes home as the blocks that it makes up, with one merge for each of those instead of one for each frame.
 *
 * Z5  A block in a CPU's list is PAGE_CACHED, of that list's zone and order, and in no other list. The buddy takes
 *     it for held, so it does not merge; it is free in every other respect. What a CPU keeps it may use, reserve or
 *     not.
 *
 * Wrong frees are noticed before a block enters a list, by its entry alone. Two CPUs that free one block within the
 * same few instructions both find it held; then its second allocation, or the drain of a list, finds it so, and says so.
 */
#include <arch/cpu_stack.h>
#include <arch/smp.h>
#include <lib/panic.h>
#include <lib/string.h>
#include "page_alloc_internal.h"

/* The booting CPU's lists. */
static struct page_cpu boot_lists;

void page_cpu_init(void)
{
	memset(&boot_lists, 0, sizeof(boot_lists)); /* no capacity yet: everything goes the long way */
	this_cpu()->pages = &boot_lists;
}

/* Room for two batches of each zone's blocks, of each order, but for the one that makes it drain. */
void page_cpu_size(struct page_cpu *lists)
{
	for (unsigned z = 0; z < NR_ZONES; z++) {
		for (unsigned order = 0; order < CPU_LIST_ORDERS; order++) {
			uint32_t blocks = page_cpu_batch(&zones[z], order);
			page_cpu_list(lists, z, order)->capacity = blocks ? 2 * blocks - 1 : 0;
		}
	}
}

bool page_cpu_create(struct cpu *cpu)
{
	struct page_cpu *lists = alloc_pages_exact(sizeof(*lists), GFP_KERNEL | __GFP_ZERO);

	if (!lists)
		return false;
	page_cpu_size(lists);
	cpu->pages = lists;
	return true;
}

void page_cpu_destroy(struct cpu *cpu)
{
	free_pages_exact(cpu->pages, sizeof(*cpu->pages));
	cpu->pages = NULL;
}

struct page *page_cpu_report(const struct page *page)
{
	panic("alloc_pages: pfn 0x%lx in the list of CPU %u is %s, order %u: freed twice at once, or its entry was written over; last held by %pS",
	      page_to_pfn(page).raw, this_cpu()->id, page_type_name(page->type), page->order,
	      (void *)page_caller(page));
}

/* A batch out of the buddy, if it has one to spare. Interrupts masked. pre: the list is empty */
static void refill(struct zone *zone, unsigned order, struct cpu_stack *list)
{
	struct buddy *buddy = &zone->buddy;

	spin_lock(&zone->lock);
	size_t spare = buddy->nr_free > zone->reserve ? (buddy->nr_free - zone->reserve) >> order : 0;
	size_t wanted = min_u64(page_cpu_batch(zone, order), spare);
	size_t got = buddy_alloc_cached(buddy, order, wanted, (struct page **)list->items);
	spin_unlock(&zone->lock);
	__atomic_store_n(&list->count, (uint32_t)got, __ATOMIC_RELAXED);
	cpu_count(COUNT_PAGE_REFILLS, 1);
}

/*
 * The list's oldest `count` blocks go to the buddy; what was freed last stays. What is not as Z5 says stays away from the
 * buddy, and is reported. Interrupts masked.
 */
static void drain(struct zone *zone, unsigned order, struct cpu_stack *list, uint32_t count)
{
	spin_lock(&zone->lock);
	const struct page *wrong =
	        buddy_free_cached(&zone->buddy, order, count, (struct page *const *)list->items);
	spin_unlock(&zone->lock);
	__atomic_store_n(&list->count, list->count - count, __ATOMIC_RELAXED);
	memmove(list->items, list->items + count, list->count * sizeof(*list->items));
	cpu_count(COUNT_PAGE_DRAINS, 1);
	if (unlikely(wrong))
		page_cpu_report(wrong);
}

/* All lists of this CPU; *blocks grows by the frames of what a request for single frames could not have had. */
static void drain_this_cpu(void *larger)
{
	irqflags_t flags = irq_save();
	for (unsigned z = 0; z < NR_ZONES; z++) {
		for (unsigned order = 0; order < CPU_LIST_ORDERS; order++) {
			struct cpu_stack *list = page_cpu_list(this_cpu()->pages, z, order);
			if (!list->count)
				continue;
			if (order)
				__atomic_fetch_add((size_t *)larger, (size_t)list->count << order,
				                   __ATOMIC_RELAXED);
			drain(&zones[z], order, list, list->count);
		}
	}
	irq_restore(flags);
}

static void drain_other_cpu(void *drained)
{
	size_t singles = 0;

	for (unsigned z = 0; z < NR_ZONES; z++)
		singles += page_cpu_list(this_cpu()->pages, z, 0)->count;
	__atomic_fetch_add((size_t *)drained, singles, __ATOMIC_RELAXED);
	drain_this_cpu(drained);
}

/* Online CPUs that keep anything: the others need not be interrupted. */
static cpuset_t cpus_with_frames(void)
{
	cpuset_t set = 0;
	unsigned id;

	for_each_cpu (id, cpus_online()) {
		size_t frames = 0;
		for (unsigned z = 0; z < NR_ZONES; z++)
			frames += page_cpu_frames(cpu_by_id(id)->pages, z);
		set |= (cpuset_t)(frames != 0) << id;
	}
	return set;
}

/* Frames that requests of this CPU could not have had before, or not in larger blocks. */
size_t page_cpu_drain_all(void)
{
	size_t drained = 0;

	cpu_call(cpus_with_frames() & ~(1ULL << this_cpu()->id), drain_other_cpu, &drained);
	drain_this_cpu(&drained);
	return drained;
}

void page_cpu_drain_own(void)
{
	size_t larger = 0;
	drain_this_cpu(&larger);
}

void drain_all_pages(void)
{
	(void)page_cpu_drain_all();
}

struct page *page_cpu_take(struct zone *zone, unsigned order, struct cpu_stack *list)
{
	irqflags_t flags = irq_save();

	if (!list->count)
		refill(zone, order, list);
	struct page *page = cpu_stack_pop(list);
	irq_restore(flags);
	return page;
}

/*
 * How many of a full list's oldest blocks go home: a batch, or less, so that no run is cut but where the buddy would cut it.
 *
 *	[ · · · | 63 62 61 … 2 1 0 | 127 126 125 … ]      oldest first; 64 would end with 3 2, so 3 go now, and 64 next time
 */
static uint32_t ripe(const struct zone *zone, unsigned order, const struct cpu_stack *list)
{
	uint32_t batch = page_cpu_batch(zone, order);

	if (batch >= list->count)
		return batch;
	const struct page *last = list->items[batch - 1], *next = list->items[batch];
	ptrdiff_t step = next - last, size = 1L << order;
	if (step != size && step != -size)
		return batch;

	/* The buddy's block of a batch that `last` is in: so many of its blocks has the run brought up to here, if all. */
	uint32_t place = (uint32_t)(page_to_pfn(last).raw & ((batch << order) - 1)) >> order;
	uint32_t brought = step > 0 ? place + 1 : batch - place;
	if (brought < batch && list->items[batch - brought] == last - (brought - 1) * step)
		return batch - brought;
	return batch;
}

bool page_cpu_put(struct zone *zone, unsigned order, struct cpu_stack *list, struct page *page)
{
	irqflags_t flags = irq_save();

	if (list->count == list->capacity && list->count)
		drain(zone, order, list, ripe(zone, order, list));
	bool put = cpu_stack_push(list, page);
	irq_restore(flags);
	return put;
}

/* Exact while nobody else allocates or frees. */
size_t zone_free_pages(const struct zone *zone)
{
	size_t sum = __atomic_load_n(&zone->buddy.nr_free, __ATOMIC_RELAXED);

	for (unsigned id = 0; id < cpus_possible(); id++) {
		const struct cpu *cpu = cpu_by_id(id);
		if (cpu && cpu->pages)
			sum += page_cpu_frames(cpu->pages, (unsigned)(zone - zones));
	}
	return sum;
}
