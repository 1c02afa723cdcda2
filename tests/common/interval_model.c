/* See the header: every function here is meant to be too simple to be wrong. */
#include "interval_model.h"
#include <lib/check.h>
#include <lib/panic.h>
#include <mm/memblock.h>

void interval_model_init(struct interval_model *model)
{
	model->count = 0;
}

void interval_model_claim(struct interval_model *model, enum interval_kind kind, uint64_t start,
                          uint64_t length)
{
	uint64_t room = UINT64_MAX - start; /* bytes after `start` itself */

	if (!length)
		return;
	if (length - 1 >= room && kind == INTERVAL_RAM)
		return;
	ASSERT(model->count < INTERVAL_CLAIMS_MAX);
	model->claims[model->count++] =
	        (struct interval_claim){kind, start, start + min_u64(length - 1, room)};
}

struct interval_page interval_model_page(const struct interval_model *model, uint64_t page)
{
	struct interval_page state = {false, false};
	uint64_t last = page + PAGE_SIZE - 1;

	for (size_t i = 0; i < model->count; i++) {
		const struct interval_claim *claim = &model->claims[i];
		bool holds = claim->start <= page && claim->last >= last;
		bool touches = claim->start <= last && claim->last >= page;
		if (claim->kind == INTERVAL_RAM && holds && last < MEMBLOCK_LIMIT)
			state.ram = true;
		if (claim->kind == INTERVAL_TAKEN && touches)
			state.ram = false;
		if (claim->kind == INTERVAL_USED && touches)
			state.used = true;
	}
	return state;
}

static MUST_USE bool page_is_free(const struct interval_model *model, uint64_t page)
{
	struct interval_page state = interval_model_page(model, page);

	return state.ram && !state.used;
}

bool interval_model_find(const struct interval_model *model, uint64_t low, uint64_t high, uint64_t pages,
                         uint64_t align, uint64_t *start)
{
	uint64_t run = 0; /* free pages from `page` upward */

	for (uint64_t page = high; page > low;) {
		page -= PAGE_SIZE;
		run = page_is_free(model, page) ? run + 1 : 0;
		if (run >= pages && page % align == 0) {
			*start = page;
			return true;
		}
	}
	return false;
}

const char *interval_model_compare(const struct interval_model *model, const struct memblock *mb,
                                   uint64_t low, uint64_t high)
{
	paddr_t cursor = paddr(low);
	struct prange hole = prange(0, 0);
	bool more = memblock_next_free(mb, &cursor, &hole);

	for (uint64_t page = low; page < high; page += PAGE_SIZE) {
		struct interval_page state = interval_model_page(model, page);
		while (more && hole.end.raw <= page)
			more = memblock_next_free(mb, &cursor, &hole);
		bool is_free = more && prange_contains(hole, paddr(page));
		CHECK(is_free == (state.ram && !state.used), "page 0x%llx is %s, the model says %s%s",
		      (unsigned long long)page, is_free ? "free" : "not free", state.ram ? "RAM" : "not RAM",
		      state.used ? ", in use" : "");
	}
	return NULL;
}
