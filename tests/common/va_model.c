#include "va_model.h"
#include <arch/page.h>
#include <lib/panic.h>

void va_model_init(struct va_model *model, struct vrange window)
{
	*model = (struct va_model){.start = window.start.raw, .pages = vrange_size(window) / PAGE_SIZE};
	ASSERT(model->pages <= VA_MODEL_PAGES);
}

static bool fits(const struct va_model *model, size_t first, size_t count, struct va_place place,
                 struct vrange within)
{
	uintptr_t start = model->start + first * PAGE_SIZE;
	size_t gap = place.gap / PAGE_SIZE;
	if ((start + place.lead) % place.align || start < within.start.raw ||
	    start + count * PAGE_SIZE > within.end.raw || gap > first)
		return false;
	for (size_t i = first - gap; i < first + count; i++)
		if (model->busy[i])
			return false;
	return true;
}

static void mark(struct va_model *model, size_t first, size_t count, bool busy)
{
	for (size_t i = first; i < first + count; i++) {
		ASSERT(model->busy[i] != busy);
		model->busy[i] = busy;
	}
}

bool va_model_alloc_at(struct va_model *model, size_t size, struct va_place place, struct vrange within,
                       uintptr_t *start)
{
	size_t count = size / PAGE_SIZE;
	for (size_t first = 0; first + count <= model->pages; first++) {
		if (!fits(model, first, count, place, within))
			continue;
		mark(model, first, count, true);
		*start = model->start + first * PAGE_SIZE;
		return true;
	}
	return false;
}

bool va_model_alloc(struct va_model *model, size_t size, size_t align, struct vrange within, uintptr_t *start)
{
	return va_model_alloc_at(model, size, (struct va_place){.align = align}, within, start);
}

void va_model_free(struct va_model *model, uintptr_t start, size_t size)
{
	mark(model, (start - model->start) / PAGE_SIZE, size / PAGE_SIZE, false);
}

size_t va_model_holes(const struct va_model *model)
{
	size_t holes = 0;
	for (size_t i = 0; i < model->pages; i++)
		holes += !model->busy[i] && (i == 0 || model->busy[i - 1]);
	return holes;
}

size_t va_model_largest_hole(const struct va_model *model)
{
	size_t run = 0, largest = 0;
	for (size_t i = 0; i < model->pages; i++) {
		run = model->busy[i] ? 0 : run + 1;
		largest = run > largest ? run : largest;
	}
	return largest * PAGE_SIZE;
}
