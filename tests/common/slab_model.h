/*
 * A naive model of an object allocator: an unsorted array of what is live. Each object is filled with a
 * pattern of its own when it is added and must still hold it when it is removed, so an allocator that hands
 * out memory twice, hands out too little or writes into live objects is caught here, whatever it believes
 * itself.
 */
#ifndef TESTS_SLAB_MODEL_H
#define TESTS_SLAB_MODEL_H

#include <lib/compiler.h>

enum { SLAB_MODEL_MAX = 384 };

struct slab_model {
	struct slab_model_object {
		uint8_t *start;
		size_t size;
		uint64_t tag;
		unsigned kind; /* the test's own */
	} live[SLAB_MODEL_MAX];
	size_t count;
};

void slab_model_init(struct slab_model *model);

/* NULL, or why the allocator must not have returned this. pre: there is room */
const char *slab_model_add(struct slab_model *model, void *start, size_t size, unsigned kind, uint64_t tag);

/* Forgets object `index`; NULL, or how its contents changed. */
const char *slab_model_remove(struct slab_model *model, size_t index);

#endif
