/* Verifier and view of the zones: page_alloc.c's invariants, and /proc/buddyinfo. */
#include <mm/page_alloc.h>

#include <arch/smp.h>
#include <lib/check.h>
#include <lib/printer.h>
#include "page_alloc_internal.h"

static const char *check_zone(struct zone *zone)
{
	irqflags_t flags = spin_lock_irqsave(&zone->lock);
	const char *broken = buddy_check(&zone->buddy);
	spin_unlock_irqrestore(&zone->lock, flags);
	if (!broken)
		return NULL;

	/* The words lie in the buffer that check_failed() is about to fill. */
	char words[160];
	format_buffer(words, sizeof(words), "%s", broken);
	return check_failed("Z1: zone %s: %s", zone->name, words);
}

/*
 * Z5 for one list. That no block is in two of them shows in mm_verify(): as many frames are PAGE_CACHED as the lists
 * count.
 */
static const char *check_list(unsigned id, const struct zone *zone, unsigned order,
                              const struct cpu_stack *list)
{
	CHECK(list->count <= list->capacity && list->capacity <= CPU_LIST_MAX,
	      "Z5: CPU %u: the list of zone %s, order %u, has %u blocks and room for %u", id, zone->name,
	      order, list->count, list->capacity);
	for (uint32_t i = 0; i < list->count; i++) {
		const struct page *page = list->items[i];
		uint64_t n = page_to_pfn(page).raw;
		CHECK(n >= zone->buddy.start && n < zone->buddy.end,
		      "Z5: CPU %u: pfn 0x%lx is in a list of zone %s", id, n, zone->name);
		CHECK(page->type_order == page_type_order(PAGE_CACHED, order),
		      "Z5: CPU %u: pfn 0x%lx in the list of order %u is %s, order %u", id, n, order,
		      page_type_name(page->type), page->order);
	}
	return NULL;
}

static const char *check_lists(unsigned id, struct page_cpu *lists)
{
	const char *broken = NULL;

	for (unsigned z = 0; z < NR_ZONES && !broken; z++) {
		for (unsigned order = 0; order < CPU_LIST_ORDERS && !broken; order++)
			broken = check_list(id, &zones[z], order, page_cpu_list(lists, z, order));
	}
	return broken;
}

const char *page_alloc_check(void)
{
	static const uint64_t limit[NR_ZONES] = {ZONE_DMA_END, ZONE_DMA32_END, UINT64_MAX};
	uint32_t last_end = 0;

	for (unsigned z = 0; z < NR_ZONES; z++) {
		struct zone *zone = &zones[z];
		const struct buddy *buddy = &zone->buddy;

		CHECK(buddy->start == last_end && buddy->end >= buddy->start &&
		              buddy->end <= limit[z] >> PAGE_SHIFT,
		      "Z2: zone %s spans pfn [0x%x, 0x%x)", zone->name, buddy->start, buddy->end);
		last_end = buddy->end;
		CHECK(zone->reserve <= buddy->nr_managed / 256, "Z3: zone %s reserves %zu of %zu frames",
		      zone->name, zone->reserve, buddy->nr_managed);
		const char *broken = check_zone(zone);
		if (broken)
			return broken;
	}
	for (unsigned id = 0; id < cpus_possible(); id++) {
		const struct cpu *cpu = cpu_by_id(id);
		const char *broken = cpu && cpu->pages ? check_lists(id, cpu->pages) : NULL;
		if (broken)
			return broken;
	}
	return NULL;
}

void buddyinfo_dump(struct printer *out)
{
	for (unsigned z = 0; z < NR_ZONES; z++) {
		print(out, "Node 0, zone %8s ", zones[z].name);
		for (unsigned order = 0; order < PAGE_ORDERS; order++)
			print(out, "%6u ", zones[z].buddy.free[order].count);
		print(out, "\n");
	}
}
