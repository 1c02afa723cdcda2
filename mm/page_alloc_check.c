/* Verifier and view of the zones: page_alloc.c's invariants, and /proc/buddyinfo. */
#include <mm/page_alloc.h>

#include <lib/check.h>
#include <lib/printer.h>

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
