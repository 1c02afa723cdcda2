/* alloc_pages() and its kin. A row's size is the order. */
#include "bench.h"
#include <mm/page_alloc.h>

static ALWAYS_INLINE void *take(const struct bench_row *row)
{
	return alloc_pages(GFP_KERNEL, row->size);
}

static ALWAYS_INLINE void give(const struct bench_row *row, void *page)
{
	__free_pages(page, row->size);
}

/* The order known to the compiler, as with alloc_page(). */
static ALWAYS_INLINE void *take_one(const struct bench_row *row)
{
	(void)row;
	return alloc_page(GFP_KERNEL);
}

static ALWAYS_INLINE void give_one(const struct bench_row *row, void *page)
{
	(void)row;
	__free_page(page);
}

static size_t mib(const struct bench_row *row, unsigned live)
{
	return ((size_t)live << row->size) >> (20 - PAGE_SHIFT);
}

static void one_pairs(const struct bench_row *row)
{
	bench_pairs(row, take_one, give_one, NULL);
}

/* A block of 1 GiB needs memory that is aligned to it. */
static void pairs(const struct bench_row *row)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, row->size);

	if (!page)
		return bench_left_out(row->name, "there is no such block");
	__free_pages(page, row->size);
	bench_pairs(row, take, give, NULL);
}

static void batch(const struct bench_row *row)
{
	if (bench_has_memory(row, mib(row, row->n)))
		bench_batch(row, take, give, FIFO, 2);
}

/* So many that what CPUs keep does not matter: once. */
static void one_batch(const struct bench_row *row)
{
	if (bench_has_memory(row, mib(row, row->n)))
		bench_batch(row, take_one, give_one, FIFO, 1);
}

static void one_batch_random(const struct bench_row *row)
{
	if (bench_has_memory(row, mib(row, row->n)))
		bench_batch(row, take_one, give_one, RANDOM, 1);
}

enum { BULK = 512 };

/* Taken by one call, given back by another or by many. */
static ALWAYS_INLINE void bulk_given_back(const struct bench_row *row,
                                          void (*give_back)(size_t count, struct page **pages))
{
	struct page **pages = (struct page **)bench.objects;

	for (unsigned i = 0; i < row->n; i++) {
		uint32_t start = bench_ticks();
		size_t got = alloc_pages_bulk(GFP_KERNEL, BULK, pages);
		bench.taking[i] = bench_ticks() - start - bench.empty;
		start = bench_ticks();
		give_back(got, pages);
		bench.giving[i] = bench_ticks() - start - bench.empty;
		if (got < BULK)
			return bench_left_out(row->name, "memory ended");
	}
	bench_report_halves(row, row->n, BULK, MEDIAN);
}

static ALWAYS_INLINE void give_one_by_one(size_t count, struct page **pages)
{
	for (size_t i = 0; i < count; i++)
		__free_page(pages[i]);
}

static void bulk(const struct bench_row *row)
{
	bulk_given_back(row, give_one_by_one);
}

/* And given back by one call, which Linux does not have. */
static void bulk_both(const struct bench_row *row)
{
	bulk_given_back(row, free_pages_bulk);
}

#define PAIR(k, times)                                                               \
	{                                                                            \
		.name = "page.order" #k ".pair", .n = times, .size = k, .run = pairs \
	}
#define BATCHED(k, count)                                                             \
	{                                                                             \
		.name = "page.order" #k ".batch", .n = count, .size = k, .run = batch \
	}

static const struct bench_row rows[] = {
        {.name = "page.order0.pair", .n = 1000, .run = one_pairs},
        PAIR(1, 1000),
        PAIR(2, 1000),
        PAIR(3, 1000),
        PAIR(4, 1000),
        PAIR(5, 1000),
        PAIR(6, 1000),
        PAIR(7, 1000),
        PAIR(8, 1000),
        PAIR(9, 200),
        PAIR(10, 200),
        PAIR(11, 200),
        PAIR(12, 200),
        PAIR(13, 200),
        PAIR(14, 200),
        PAIR(15, 200),
        PAIR(16, 200),
        PAIR(17, 200),
        PAIR(18, 200),
        {.name = "page.order0.batch", .n = 65536, .run = one_batch},
        {.name = "page.order0.batch.random", .n = 65536, .run = one_batch_random},
        BATCHED(3, 512),
        BATCHED(5, 64),
        BATCHED(9, 64),
        BATCHED(10, 64),
        {.name = "page.bulk", .n = 200, .run = bulk},
        {.name = "page.bulk.both", .n = 200, .run = bulk_both},
};

BENCH_SUBJECT(page_subject, rows);
