/*
 * What must be mapped, as it was asked for: a list of pieces, each a virtual range with its physical start, access, memory
 * type and level of leaves. It is told each request and whether it was met, and never reads a page table.
 *
 * M1  Pieces are sorted, not empty, and do not overlap.
 * M2  A piece consists of whole leaves of its level.
 *
 * Cutting a piece within a leaf cuts the leaf into 512 smaller ones, again and again, as splitting does.
 */
#ifndef TESTS_PTCHECK_MODEL_H
#define TESTS_PTCHECK_MODEL_H

#include <lib/addr.h>
#include <mm/page_alloc.h>

enum access { WRITE = 1, EXEC = 2, HIDDEN = 4 };

struct piece {
	uint64_t start, end, pa;
	uint32_t serial;
	uint8_t access;
	uint8_t type;  /* enum memory_type */
	uint8_t level; /* 0: not promised */
};

struct model {
	struct page *memory;
	struct piece *at;
	size_t count;
};

enum { MODEL_ORDER = 6 }; /* 256 KiB of pieces */
static const size_t model_capacity = (PAGE_SIZE << MODEL_ORDER) / sizeof(struct piece);

/* False: no memory. Then, too, it may be destroyed. */
bool model_init(struct model *model) MUST_USE;
void model_destroy(struct model *model);

/* Of a 512th of which the next larger consists. */
uint64_t leaf_size(unsigned level);
uint64_t piece_leaves(const struct piece *piece);

/* The first piece that ends above `address`. */
size_t model_find(const struct model *model, uint64_t address);
bool model_is_free(const struct model *model, struct vrange range);

/* Some page in `range` may be accessed so. */
bool model_any(const struct model *model, struct vrange range, enum access access);

/* pre: its range is free */
void model_add(struct model *model, struct piece piece);

/* Mapped with the largest leaves possible, up to `max_level`: added to `model`, unless it is NULL. How many there are. */
size_t model_map(struct model *model, struct piece rest, unsigned max_level);

/* Whole pieces make up `range` afterwards: from the one returned to the first that begins at its end or above. */
size_t model_isolate(struct model *model, struct vrange range);
void model_remove(struct model *model, struct vrange range);

struct access_change {
	uint8_t clear, set;
};
void model_change(struct model *model, struct vrange range, struct access_change change);

/* Each piece, joined with those that continue it. */
void model_tell(const struct model *model, void (*tell_piece)(const struct piece *piece));

#endif
