/* vmalloc() and vfree() in a window that is empty otherwise. A row's size is in pages. */
#include "areas.h"

/* Amortised: what freeing puts off is paid within, the last flush included. */
static void pairs(const struct bench_row *row)
{
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < row->n; i++)
		vfree(vmalloc((size_t)row->size * PAGE_SIZE));
	vm_unmap_aliases();
	bench_report_loop(row, rdtsc() - start - bench.empty, row->n);
}

void area_pairs_purged(const struct bench_row *row)
{
	vfree(vmalloc((size_t)row->size * PAGE_SIZE)); /* page tables */
	vm_unmap_aliases();
	bench_pairs(row, area_take, area_give, vm_unmap_aliases);
}

static ALWAYS_INLINE void *take_huge(const struct bench_row *row)
{
	return vmalloc_huge((size_t)row->size * PAGE_SIZE, GFP_KERNEL);
}

static void huge_pairs_purged(const struct bench_row *row)
{
	bench_pairs(row, take_huge, area_give, vm_unmap_aliases);
}

static void pairs_and_purge(const struct bench_row *row)
{
	for (unsigned i = 0; i < row->n; i++) {
		uint32_t start = bench_ticks();
		vfree(vmalloc((size_t)row->size * PAGE_SIZE));
		vm_unmap_aliases();
		bench.taking[i] = bench_ticks() - start - bench.empty;
	}
	bench_report_single(row, row->n);
}

#define AMORTISED(pages, times)                                                            \
	{                                                                                  \
		.name = "vmalloc." #pages ".pair", .n = times, .size = pages, .run = pairs \
	}

static const struct bench_row rows[] = {
        AMORTISED(1, 100000),
        AMORTISED(4, 10000),
        AMORTISED(16, 10000),
        AMORTISED(64, 10000),
        AMORTISED(512, 2000),
        AMORTISED(4096, 500),
        {.name = "vmalloc.1.purged", .n = 1000, .size = 1, .run = area_pairs_purged},
        {.name = "vmalloc_huge.512.purged", .n = 20, .size = 512, .run = huge_pairs_purged},
        {.name = "vmalloc.1.and_purge", .n = 500, .size = 1, .run = pairs_and_purge},
};

BENCH_SUBJECT(vmalloc_subject, rows);
