#include "ptcheck_model.h"
#include <lib/align.h>
#include <lib/panic.h>
#include <lib/string.h>

bool model_init(struct model *model)
{
	model->memory = alloc_pages(GFP_KERNEL, MODEL_ORDER);
	model->at = model->memory ? page_address(model->memory) : NULL;
	model->count = 0;
	return model->memory;
}

void model_destroy(struct model *model)
{
	if (model->memory)
		__free_pages(model->memory, MODEL_ORDER);
}

uint64_t leaf_size(unsigned level)
{
	return level > 1 ? 512 * leaf_size(level - 1) : PAGE_SIZE;
}

uint64_t piece_leaves(const struct piece *piece)
{
	return (piece->end - piece->start) / leaf_size(piece->level);
}

size_t model_find(const struct model *model, uint64_t address)
{
	size_t low = 0, high = model->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (model->at[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void model_insert(struct model *model, size_t i, struct piece piece)
{
	ASSERT(model->count < model_capacity);
	memmove(&model->at[i + 1], &model->at[i], (model->count - i) * sizeof(piece));
	model->at[i] = piece;
	model->count++;
}

void model_add(struct model *model, struct piece piece)
{
	size_t i = model_find(model, piece.start);

	ASSERT(i == model->count || model->at[i].start >= piece.end);
	model_insert(model, i, piece);
}

/* at[i] ends at `edge`, within it, and at[i + 1] goes on. */
static void model_part(struct model *model, size_t i, uint64_t edge)
{
	struct piece rest = model->at[i];

	rest.pa += edge - rest.start;
	rest.start = edge;
	model->at[i].end = edge;
	model_insert(model, i + 1, rest);
}

static void model_cut(struct model *model, uint64_t edge)
{
	for (;;) {
		size_t i = model_find(model, edge);
		if (i == model->count || model->at[i].start >= edge)
			return;
		uint64_t size = leaf_size(model->at[i].level), leaf = align_down(edge, size);
		if (leaf == edge) {
			model_part(model, i, edge);
			return;
		}
		if (leaf > model->at[i].start)
			model_part(model, i++, leaf);
		if (leaf + size < model->at[i].end)
			model_part(model, i, leaf + size);
		model->at[i].level--;
	}
}

size_t model_isolate(struct model *model, struct vrange range)
{
	model_cut(model, range.start.raw);
	model_cut(model, range.end.raw);
	return model_find(model, range.start.raw);
}

void model_remove(struct model *model, struct vrange range)
{
	size_t first = model_isolate(model, range), last = first;

	while (last < model->count && model->at[last].start < range.end.raw)
		last++;
	memmove(&model->at[first], &model->at[last], (model->count - last) * sizeof(struct piece));
	model->count -= last - first;
}

void model_change(struct model *model, struct vrange range, struct access_change change)
{
	for (size_t i = model_isolate(model, range); i < model->count && model->at[i].start < range.end.raw;
	     i++)
		model->at[i].access = (uint8_t)((model->at[i].access & ~change.clear) | change.set);
}

bool model_is_free(const struct model *model, struct vrange range)
{
	size_t i = model_find(model, range.start.raw);
	return i == model->count || model->at[i].start >= range.end.raw;
}

bool model_any(const struct model *model, struct vrange range, enum access access)
{
	for (size_t i = model_find(model, range.start.raw);
	     i < model->count && model->at[i].start < range.end.raw; i++)
		if (model->at[i].access & access)
			return true;
	return false;
}

/* The largest leaf of at most `max_level` that fits at the beginning. */
static unsigned first_level(const struct piece *rest, unsigned max_level)
{
	unsigned level = max_level;

	while (level > 1 && (!is_aligned(rest->start | rest->pa, leaf_size(level)) ||
	                     rest->end - rest->start < leaf_size(level)))
		level--;
	return level;
}

size_t model_map(struct model *model, struct piece rest, unsigned max_level)
{
	struct piece run = {0};
	size_t leaves = 0;

	for (; rest.start < rest.end; leaves++) {
		struct piece leaf = rest;
		leaf.level = (uint8_t)first_level(&rest, max_level);
		leaf.end = rest.start + leaf_size(leaf.level);
		rest.start = leaf.end;
		rest.pa += leaf.end - leaf.start;
		if (run.level == leaf.level) {
			run.end = leaf.end;
			continue;
		}
		if (model && run.level)
			model_add(model, run);
		run = leaf;
	}
	if (model && run.level)
		model_add(model, run);
	return leaves;
}

static bool continues(const struct piece *next, const struct piece *piece)
{
	return next->start == piece->end && next->pa == piece->pa + (piece->end - piece->start) &&
	       next->serial == piece->serial && next->access == piece->access && next->type == piece->type &&
	       next->level == piece->level;
}

void model_tell(const struct model *model, void (*tell_piece)(const struct piece *piece))
{
	for (size_t i = 0; i < model->count;) {
		struct piece joined = model->at[i++];
		for (; i < model->count && continues(&model->at[i], &joined); i++)
			joined.end = model->at[i].end;
		tell_piece(&joined);
	}
}
