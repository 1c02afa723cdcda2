/*
 * What struct va_space should do, said as simply as possible: one byte per page, searched from the bottom. The oracle of
 * the virtual-range tests.
 */
#ifndef VA_MODEL_H
#define VA_MODEL_H

#include <lib/addr.h>
#include <mm/va_space.h>

enum { VA_MODEL_PAGES = 256 };

struct va_model {
	uintptr_t start;
	size_t pages;
	bool busy[VA_MODEL_PAGES];
};

void va_model_init(struct va_model *model, struct vrange window);

/* The lowest fit becomes busy; false if there is none. */
bool va_model_alloc(struct va_model *model, size_t size, size_t align, struct vrange within,
                    uintptr_t *start);
/* The same with a lead and a gap; see struct va_place. */
bool va_model_alloc_at(struct va_model *model, size_t size, struct va_place place, struct vrange within,
                       uintptr_t *start);
void va_model_free(struct va_model *model, uintptr_t start, size_t size);

size_t va_model_holes(const struct va_model *model);
size_t va_model_largest_hole(const struct va_model *model); /* bytes */

#endif
