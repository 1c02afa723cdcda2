/* kmalloc() and object caches. A row's size is in bytes. */
#include "bench.h"
#include <mm/kmalloc.h>
#include <mm/slab.h>

/* Sizes known to the compiler: kmalloc() then picks the cache at build time. */
static ALWAYS_INLINE void *take_64(const struct bench_row *row)
{
	(void)row;
	return kmalloc(64, GFP_KERNEL);
}

static ALWAYS_INLINE void *take_4096(const struct bench_row *row)
{
	(void)row;
	return kmalloc(4096, GFP_KERNEL);
}

static ALWAYS_INLINE void *take_any(const struct bench_row *row)
{
	return kmalloc(row->size, GFP_KERNEL);
}

static ALWAYS_INLINE void give(const struct bench_row *row, void *object)
{
	(void)row;
	kfree(object);
}

static void pairs_64(const struct bench_row *row)
{
	bench_pairs(row, take_64, give, NULL);
}

static void pairs_any(const struct bench_row *row)
{
	bench_pairs(row, take_any, give, NULL);
}

static void batch_64(const struct bench_row *row)
{
	bench_batch(row, take_64, give, FIFO, 2);
}

static void batch_64_random(const struct bench_row *row)
{
	bench_batch(row, take_64, give, RANDOM, 2);
}

static void batch_4096(const struct bench_row *row)
{
	bench_batch(row, take_4096, give, FIFO, 2);
}

/* ---- A cache of one's own: a stage ---- */

static struct kmem_cache *cache;

static bool cache_set_up(const struct bench_stage *stage)
{
	return (cache = kmem_cache_create("bench", stage->count, 0, 0, NULL));
}

static void cache_take_down(const struct bench_stage *stage)
{
	(void)stage;
	kmem_cache_destroy(cache);
}

static const struct bench_stage cache_of_64 = {
        .count = 64, .set_up = cache_set_up, .take_down = cache_take_down};

static ALWAYS_INLINE void *take_object(const struct bench_row *row)
{
	(void)row;
	return kmem_cache_alloc(cache, GFP_KERNEL);
}

static ALWAYS_INLINE void give_object(const struct bench_row *row, void *object)
{
	(void)row;
	kmem_cache_free(cache, object);
}

static void object_pairs(const struct bench_row *row)
{
	bench_pairs(row, take_object, give_object, NULL);
}

static void object_batch(const struct bench_row *row)
{
	bench_batch(row, take_object, give_object, FIFO, 2);
}

static void object_batch_random(const struct bench_row *row)
{
	bench_batch(row, take_object, give_object, RANDOM, 1);
}

enum { BULK = 64 };

static void object_bulk(const struct bench_row *row)
{
	for (unsigned i = 0; i < row->n; i++) {
		uint32_t start = bench_ticks();
		size_t got = kmem_cache_alloc_bulk(cache, GFP_KERNEL, BULK, bench.objects);
		bench.taking[i] = bench_ticks() - start - bench.empty;
		if (!got)
			return bench_left_out(row->name, "memory ended");
		start = bench_ticks();
		kmem_cache_free_bulk(cache, BULK, bench.objects);
		bench.giving[i] = bench_ticks() - start - bench.empty;
	}
	bench_report_halves(row, row->n, BULK, MEDIAN);
}

static const struct bench_row rows[] = {
        {.name = "kmalloc.64.pair", .n = 1000, .run = pairs_64},
        {.name = "kmalloc.64.pair.variable", .n = 1000, .size = 64, .run = pairs_any},
        {.name = "kmalloc.64.batch", .n = 1000, .run = batch_64},
        {.name = "kmalloc.64.batch.random", .n = 1000, .run = batch_64_random},
        {.name = "kmalloc.4096.batch", .n = 1000, .run = batch_4096},
        {.name = "kmalloc.65536.pair", .n = 1000, .size = 65536, .run = pairs_any},
        {.name = "cache.64.pair", .n = 1000, .run = object_pairs, .stage = &cache_of_64},
        {.name = "cache.64.batch", .n = 1000, .run = object_batch, .stage = &cache_of_64},
        {.name = "cache.64.batch.random", .n = 100000, .run = object_batch_random, .stage = &cache_of_64},
        {.name = "cache.64.bulk", .n = 500, .run = object_bulk, .stage = &cache_of_64},
};

BENCH_SUBJECT(slab_subject, rows);
