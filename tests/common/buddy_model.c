/* The byte map behind the buddy's tests. */
#include "buddy_model.h"

#include <lib/align.h>
#include <lib/check.h>
#include <lib/panic.h>
#include <lib/string.h>

void buddy_model_init(struct buddy_model *model, uint32_t start, uint32_t end)
{
	ASSERT(start <= end && end <= BUDDY_MODEL_FRAMES);
	memset(model, FRAME_HOLE, sizeof(*model));
	model->start = start;
	model->end = end;
}

static void fill(struct buddy_model *model, uint32_t start, uint32_t end, enum frame_state state)
{
	for (uint32_t n = start; n < end; n++)
		model->state[n] = (uint8_t)state;
}

static bool all_free(const struct buddy_model *model, uint64_t start, uint64_t end)
{
	if (start < model->start || end > model->end)
		return false;
	for (uint64_t n = start; n < end; n++) {
		if (model->state[n] != FRAME_FREE)
			return false;
	}
	return true;
}

void buddy_model_add(struct buddy_model *model, uint32_t start, uint32_t end)
{
	fill(model, start, end, FRAME_FREE);
}

bool buddy_model_can_alloc(const struct buddy_model *model, unsigned order, uint32_t low, uint32_t high)
{
	uint64_t size = 1UL << order;
	for (uint64_t n = align_up(low, size); n + size <= high; n += size) {
		if (all_free(model, n, n + size))
			return true;
	}
	return false;
}

static void mark_held(struct buddy_model *model, uint32_t n, unsigned order)
{
	fill(model, n, n + (1U << order), FRAME_INSIDE);
	model->state[n] = FRAME_HEAD;
	model->order[n] = (uint8_t)order;
}

bool buddy_model_hold(struct buddy_model *model, uint32_t n, unsigned order)
{
	if (!is_aligned(n, 1UL << order) || !all_free(model, n, n + (1UL << order)))
		return false;
	mark_held(model, n, order);
	return true;
}

void buddy_model_free(struct buddy_model *model, uint32_t n, unsigned order)
{
	fill(model, n, n + (1U << order), FRAME_FREE);
}

void buddy_model_trim(struct buddy_model *model, uint32_t n, uint32_t count)
{
	fill(model, n, n + (1U << model->order[n]), FRAME_FREE);
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		if (!(count >> order & 1))
			continue;
		mark_held(model, n, (unsigned)order);
		n += 1U << order;
	}
}

enum buddy_misuse buddy_model_judge(const struct buddy_model *model, uint64_t n, unsigned order)
{
	if (n < model->start || n >= model->end)
		return BUDDY_OUTSIDE;
	if (order > MAX_PAGE_ORDER || n % (1UL << order))
		return BUDDY_MISALIGNED;
	switch (model->state[n]) {
	case FRAME_HOLE:
		return BUDDY_RESERVED;
	case FRAME_FREE:
		return BUDDY_FREE;
	case FRAME_INSIDE:
		return BUDDY_INSIDE;
	default:
		return model->order[n] == order ? BUDDY_OK : BUDDY_WRONG_ORDER;
	}
}

size_t buddy_model_free_frames(const struct buddy_model *model)
{
	size_t sum = 0;
	for (uint32_t n = model->start; n < model->end; n++)
		sum += model->state[n] == FRAME_FREE;
	return sum;
}

/* The largest aligned free run that begins at n, where n is free and no larger run holds it. */
static unsigned run_order(const struct buddy_model *model, uint64_t n)
{
	unsigned order = 0;
	while (order < MAX_PAGE_ORDER && n % (2UL << order) == 0 &&
	       all_free(model, n + (1UL << order), n + (2UL << order)))
		order++;
	return order;
}

const char *buddy_model_compare(const struct buddy_model *model, const struct buddy *buddy)
{
	uint32_t blocks[PAGE_ORDERS] = {0};

	for (uint64_t n = model->start; n < model->end;) {
		unsigned state = model->state[n], order = 0;
		if (state == FRAME_FREE || state == FRAME_HEAD) {
			unsigned type = state == FRAME_FREE ? PAGE_FREE : PAGE_HELD;
			order = state == FRAME_FREE ? run_order(model, n) : model->order[n];
			CHECK(page_entry_written(&buddy->array, n), "model: pfn 0x%lx was never written", n);
			CHECK(buddy->array.frames[n].type == type && buddy->array.frames[n].order == order,
			      "model: pfn 0x%lx is %s of order %u, should be %s of order %u", n,
			      page_type_name(buddy->array.frames[n].type), buddy->array.frames[n].order,
			      page_type_name(type), order);
			blocks[order] += state == FRAME_FREE;
		}
		n += 1UL << order;
	}
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		CHECK(blocks[order] == buddy->free[order].count,
		      "model: %u free blocks of order %u, should be %u", buddy->free[order].count, order,
		      blocks[order]);
	CHECK(buddy_model_free_frames(model) == buddy->nr_free, "model: %zu frames free, should be %zu",
	      buddy->nr_free, buddy_model_free_frames(model));
	return NULL;
}
