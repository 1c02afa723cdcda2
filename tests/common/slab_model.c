#include <slab_model.h>
#include <lib/check.h>

static uint8_t pattern(uint64_t tag, size_t i)
{
	return (uint8_t)(tag + i * 7 + (i >> 8));
}

void slab_model_init(struct slab_model *model)
{
	model->count = 0;
}

const char *slab_model_add(struct slab_model *model, void *start, size_t size, unsigned kind, uint64_t tag)
{
	uint8_t *first = start;

	for (size_t i = 0; i < model->count; i++) {
		const struct slab_model_object *other = &model->live[i];
		CHECK(first + size <= other->start || other->start + other->size <= first,
		      "model: %p of %zu bytes overlaps the live %p of %zu", start, size, (void *)other->start,
		      other->size);
	}
	for (size_t i = 0; i < size; i++)
		first[i] = pattern(tag, i);
	model->live[model->count++] = (struct slab_model_object){first, size, tag, kind};
	return NULL;
}

const char *slab_model_remove(struct slab_model *model, size_t index)
{
	struct slab_model_object object = model->live[index];

	model->live[index] = model->live[--model->count];
	for (size_t i = 0; i < object.size; i++)
		CHECK(object.start[i] == pattern(object.tag, i),
		      "model: byte %zu of %p changed while it was live", i, (void *)object.start);
	return NULL;
}
