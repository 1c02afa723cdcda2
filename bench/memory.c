/* Memory behind memory: what describes frames and areas. In bytes, not in instructions. */
#include "bench.h"
#include <mm/page.h>
#include <mm/page_alloc.h>
#include <mm/vmalloc.h>

static void frame(const struct bench_row *row)
{
	bench_report_value(row, "bytes", sizeof(struct page) * 100);
}

static void descriptor(const struct bench_row *row)
{
	bench_report_value(row, "bytes", sizeof(struct vmap_area) * 100);
}

/* What n areas of one page take from the page allocator beyond their pages: descriptors, slabs, page tables. */
static void area(const struct bench_row *row)
{
	unsigned taken = 0;

	if (!bench_has_memory(row, row->n * 4200UL >> 20))
		return;
	size_t before = nr_free_pages();
	while (taken < row->n && (bench.objects[taken] = vmalloc(PAGE_SIZE)))
		taken++;
	size_t used = before - nr_free_pages();
	for (unsigned i = 0; i < taken; i++)
		vfree(bench.objects[i]);
	vm_unmap_aliases();
	if (!taken || taken < row->n)
		return bench_left_out(row->name, "memory ended");
	bench_report_value(row, "bytes", (used - taken) * PAGE_SIZE * 100 / taken);
}

static const struct bench_row rows[] = {
        {.name = "memory.frame", .n = 1, .run = frame},
        {.name = "memory.area.descriptor", .n = 1, .run = descriptor},
        {.name = "memory.area", .n = 100000, .run = area},
};

BENCH_SUBJECT(memory_subject, rows);
