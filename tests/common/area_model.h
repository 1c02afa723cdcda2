/*
 * What vmalloc promises of addresses: an area lies where nothing else does, and one that is asked for in a part of the window
 * lies as low as it can. A list of ranges by address, searched from its beginning.
 *
 * An area that was given back is, for a while, nobody's business: it may still be kept from everybody, or serve the next
 * request of its size, or be a hole. The model calls that `lingering`, until it is told that all has been purged, or sees
 * something lie there. So a lowest place has two bounds: it is not above the lowest of those that are surely free, and not
 * on anything that is surely taken. With nothing lingering they are one.
 */
#ifndef TESTS_AREA_MODEL_H
#define TESTS_AREA_MODEL_H

#include <lib/addr.h>

struct area_range {
	uintptr_t start, end; /* guard page included */
	uint32_t tag;         /* the caller's */
	bool lingering;
};

struct area_model {
	struct area_range *ranges; /* by address, disjoint */
	size_t count, capacity;
};

void area_model_init(struct area_model *model, struct area_range *ranges, size_t capacity);

/* The lowest range of `span` bytes in `within`, at a multiple of `align`, where surely nothing lies. False if there is none. */
bool area_model_lowest(const struct area_model *model, size_t span, size_t align, struct vrange within,
                       uintptr_t *start) MUST_USE;

/* Somebody was given this range. NULL, or in words what it collides with; then it was not entered. */
const char *area_model_take(struct area_model *model, struct vrange range, uint32_t tag) MUST_USE;

/* The live area that begins at `start`, or NULL. Good until the model changes. */
const struct area_range *area_model_find(const struct area_model *model, uintptr_t start);

/* It was given back. pre: area_model_find() finds it */
void area_model_give(struct area_model *model, uintptr_t start);

/* Everything that was given back is free. */
void area_model_purge(struct area_model *model);

#endif
