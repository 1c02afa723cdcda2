/* Mappings of frames that are there already, walks of them, and areas of 1 GiB. A row's size is in pages. */
#include "bench.h"
#include <mm/page_alloc.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>

static struct page **pages(void)
{
	return (struct page **)bench.objects;
}

static void pages_free(size_t count)
{
	for (size_t i = 0; i < count; i++)
		__free_page(pages()[i]);
}

/* Taken one by one. */
static bool pages_set_up(const struct bench_stage *stage)
{
	for (size_t i = 0; i < stage->count; i++) {
		pages()[i] = alloc_page(GFP_KERNEL);
		if (!pages()[i]) {
			pages_free(i);
			return false;
		}
	}
	return true;
}

/* In an order in which hardly two neighbours are neighbours in memory. */
static bool scattered_set_up(const struct bench_stage *stage)
{
	if (!pages_set_up(stage))
		return false;
	bench_sequence((unsigned)stage->count, RANDOM);
	for (size_t i = 0; i < stage->count; i++) {
		struct page *moved = pages()[i];
		pages()[i] = pages()[bench.sequence[i]];
		pages()[bench.sequence[i]] = moved;
	}
	return true;
}

static void take_down(const struct bench_stage *stage)
{
	pages_free(stage->count);
}

static const struct bench_stage pages_512 = {
        .mib = 2, .count = 512, .set_up = pages_set_up, .take_down = take_down};
static const struct bench_stage scattered_512 = {
        .mib = 2, .count = 512, .set_up = scattered_set_up, .take_down = take_down};

static ALWAYS_INLINE void *take(const struct bench_row *row)
{
	return vmap(pages(), row->size, VM_MAP, PAGE_KERNEL);
}

static ALWAYS_INLINE void give(const struct bench_row *row, void *area)
{
	(void)row;
	vunmap(area);
}

static void pairs(const struct bench_row *row)
{
	bench_pairs(row, take, give, vm_unmap_aliases);
}

/* Amortised, a byte written to each mapping. */
static void ram_pairs(const struct bench_row *row)
{
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < row->n; i++) {
		char *mapping = vm_map_ram(pages(), row->size, NUMA_NO_NODE);
		if (!mapping)
			return bench_left_out(row->name, "memory ended");
		*(volatile char *)mapping = 1;
		vm_unmap_ram(mapping, row->size);
	}
	vm_unmap_aliases();
	bench_report_loop(row, rdtsc() - start - bench.empty, row->n);
}

/* ---- Walks ---- */

static void walk_area(const struct bench_row *row, char *area)
{
	if (!area)
		return bench_left_out(row->name, "memory ended");
	for (unsigned i = 0; i < row->n; i++) {
		uint32_t start = bench_ticks();
		const struct page *page = vmalloc_to_page(area + (size_t)i * PAGE_SIZE);
		bench.taking[i] = bench_ticks() - start - bench.empty;
		if (!page)
			return bench_left_out(row->name, "a page was not found");
	}
	bench_report_single(row, row->n);
}

/* 512 pages are a block of 2 MiB; below that, the leaves are of a page. */
static void walk(const struct bench_row *row)
{
	void *area = vmalloc((size_t)row->size * PAGE_SIZE);

	walk_area(row, area);
	vfree(area);
}

/* ---- 1 GiB: a page at a time is what counts ---- */

enum { GIB_PAGES = 1 << (30 - PAGE_SHIFT), ROUNDS = 3 };
_Static_assert((int)BENCH_OBJECTS >= (int)GIB_PAGES, "as many pages as a row maps");

static const struct bench_stage pages_1_gib = {
        .mib = 1024, .count = GIB_PAGES, .set_up = pages_set_up, .take_down = take_down};

/* In a loop of `rounds`, of which the last counts: tables are there by then. */
static ALWAYS_INLINE void big(const struct bench_row *row, bench_take allocate, bench_give release,
                              unsigned rounds)
{
	uint64_t taking = 0, giving = 0;

	while (rounds--) {
		uint64_t start = rdtsc();
		void *area = allocate(row);
		taking = rdtsc() - start - bench.empty;
		if (!area)
			return bench_left_out(row->name, "memory ended");
		start = rdtsc();
		release(row, area);
		giving = rdtsc() - start - bench.empty;
		vm_unmap_aliases();
	}
	bench_report_loops(row, taking, giving, row->size);
}

static ALWAYS_INLINE void *take_memory(const struct bench_row *row)
{
	return vmalloc((size_t)row->size * PAGE_SIZE);
}

static ALWAYS_INLINE void give_memory(const struct bench_row *row, void *area)
{
	(void)row;
	vfree(area);
}

static ALWAYS_INLINE void *take_huge(const struct bench_row *row)
{
	return vmalloc_huge((size_t)row->size * PAGE_SIZE, GFP_KERNEL);
}

static void big_vmap(const struct bench_row *row)
{
	big(row, take, give, ROUNDS);
}

static void big_vmalloc(const struct bench_row *row)
{
	if (bench_has_memory(row, 1100))
		big(row, take_memory, give_memory, ROUNDS);
}

static void big_vmalloc_huge(const struct bench_row *row)
{
	if (bench_has_memory(row, 1100))
		big(row, take_huge, give_memory, ROUNDS);
}

static const struct bench_row rows[] = {
        {.name = "vmap.1.pair", .n = 400, .size = 1, .run = pairs, .stage = &pages_512},
        {.name = "vmap.16.pair", .n = 400, .size = 16, .run = pairs, .stage = &pages_512},
        {.name = "vmap.512.pair", .n = 15, .size = 512, .run = pairs, .stage = &pages_512},
        {.name = "vm_map_ram.1.pair", .n = 20000, .size = 1, .run = ram_pairs, .stage = &pages_512},
        {.name = "vm_map_ram.16.pair", .n = 20000, .size = 16, .run = ram_pairs, .stage = &pages_512},
        {.name = "vmap.16.pair.scattered", .n = 400, .size = 16, .run = pairs, .stage = &scattered_512},
        {.name = "vmap.512.pair.scattered", .n = 15, .size = 512, .run = pairs, .stage = &scattered_512},
        {.name = "walk.4k", .n = 511, .size = 511, .run = walk},
        {.name = "walk.2m", .n = 512, .size = 1024, .run = walk},
        {.name = "big.vmalloc", .n = 1, .size = GIB_PAGES, .run = big_vmalloc},
        {.name = "big.vmalloc_huge", .n = 1, .size = GIB_PAGES, .run = big_vmalloc_huge},
        {.name = "big.vmap", .n = 1, .size = GIB_PAGES, .run = big_vmap, .stage = &pages_1_gib},
};

BENCH_SUBJECT(vmap_subject, rows);
