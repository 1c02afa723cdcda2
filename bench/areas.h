/* Areas from vmalloc(), of row->size pages: taken and freed in an empty window (vmalloc.c) and in a full one (arena.c). */
#ifndef BENCH_AREAS_H
#define BENCH_AREAS_H

#include "bench.h"
#include <mm/vmalloc.h>

static ALWAYS_INLINE void *area_take(const struct bench_row *row)
{
	return vmalloc((size_t)row->size * PAGE_SIZE);
}

static ALWAYS_INLINE void area_give(const struct bench_row *row, void *area)
{
	(void)row;
	vfree(area);
}

/* Pairs of which each meets the same window: what was freed is flushed, untimed, after each. */
void area_pairs_purged(const struct bench_row *row);

#endif
