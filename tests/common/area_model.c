#include "area_model.h"
#include <arch/page.h>
#include <lib/align.h>
#include <lib/check.h>
#include <lib/panic.h>
#include <lib/string.h>

void area_model_init(struct area_model *model, struct area_range *ranges, size_t capacity)
{
	*model = (struct area_model){.ranges = ranges, .capacity = capacity};
}

/* The first range that ends above `at`: so many lie below. */
static size_t nr_below(const struct area_model *model, uintptr_t at)
{
	size_t low = 0, high = model->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (model->ranges[middle].end <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool area_model_lowest(const struct area_model *model, size_t span, size_t align, struct vrange within,
                       uintptr_t *start)
{
	uint64_t at, end;

	if (!align_up_checked(within.start.raw, align, &at))
		return false;
	for (size_t i = 0; i < model->count; i++) {
		const struct area_range *range = &model->ranges[i];
		if (range->end <= at)
			continue;
		if (range->start >= at && range->start - at >= span)
			break;
		if (!align_up_checked(range->end, align, &at))
			return false;
	}
	*start = at;
	return !__builtin_add_overflow(at, span, &end) && end <= within.end.raw;
}

static void drop(struct area_model *model, size_t i)
{
	memmove(&model->ranges[i], &model->ranges[i + 1], (model->count - i - 1) * sizeof(*model->ranges));
	model->count--;
}

const char *area_model_take(struct area_model *model, struct vrange range, uint32_t tag)
{
	size_t i = nr_below(model, range.start.raw);

	while (i < model->count && model->ranges[i].start < range.end.raw) {
		CHECK(model->ranges[i].lingering, "0x%lx-0x%lx overlaps 0x%lx-0x%lx, which is in use",
		      range.start.raw, range.end.raw, model->ranges[i].start, model->ranges[i].end);
		drop(model, i);
	}
	ASSERT(model->count < model->capacity);
	memmove(&model->ranges[i + 1], &model->ranges[i], (model->count - i) * sizeof(*model->ranges));
	model->ranges[i] = (struct area_range){.start = range.start.raw, .end = range.end.raw, .tag = tag};
	model->count++;
	return NULL;
}

static size_t index_of(const struct area_model *model, uintptr_t start)
{
	size_t i = nr_below(model, start);
	return i < model->count && model->ranges[i].start == start && !model->ranges[i].lingering ? i
	                                                                                          : SIZE_MAX;
}

const struct area_range *area_model_find(const struct area_model *model, uintptr_t start)
{
	size_t i = index_of(model, start);
	return i == SIZE_MAX ? NULL : &model->ranges[i];
}

void area_model_give(struct area_model *model, uintptr_t start)
{
	size_t i = index_of(model, start);
	ASSERT(i != SIZE_MAX);
	model->ranges[i].lingering = true;
}

void area_model_purge(struct area_model *model)
{
	size_t kept = 0;

	for (size_t i = 0; i < model->count; i++)
		if (!model->ranges[i].lingering)
			model->ranges[kept++] = model->ranges[i];
	model->count = kept;
}
