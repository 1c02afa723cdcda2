#include "failing_source.h"
#include <arch/tlb.h>
#include <lib/string.h>
#include <mm/page_alloc.h>

uint64_t flush_count(void)
{
	struct tlb_stats stats = tlb_stats();
	return stats.single + stats.full;
}

static bool failing_take(struct page_source *source, paddr_t *frame)
{
	struct failing_source *self = container_of(source, struct failing_source, source);
	if (self->refuse_in && --self->refuse_in == 0) {
		self->refused = true;
		return false;
	}
	struct page *page = alloc_page(GFP_ATOMIC | __GFP_NOWARN);
	if (!page)
		return false;
	memset(page_address(page), 0xa5, PAGE_SIZE); /* contents are undefined: make them nasty */
	self->held++;
	*frame = page_to_paddr(page);
	return true;
}

static void failing_give(struct page_source *source, paddr_t frame)
{
	struct failing_source *self = container_of(source, struct failing_source, source);
	if (self->watching && flush_count() == self->flushes_seen)
		self->given_unflushed++;
	self->held--;
	__free_page(pfn_to_page(paddr_to_pfn(frame)));
}

void failing_source_init(struct failing_source *source)
{
	*source = (struct failing_source){.source = {failing_take, failing_give}};
}

void failing_source_arm(struct failing_source *source, unsigned nth)
{
	source->refuse_in = nth;
	source->refused = false;
}

bool failing_source_disarm(struct failing_source *source)
{
	source->refuse_in = 0;
	return source->refused;
}

void failing_source_watch_order(struct failing_source *source)
{
	source->watching = true;
	source->flushes_seen = flush_count();
	source->given_unflushed = 0;
}
