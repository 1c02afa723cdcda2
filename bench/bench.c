/*
 * Costs of the public calls in guest instructions. Under `-icount shift=0` QEMU advances the time stamp counter by one per
 * instruction, so the figures repeat to the digit; "bench.calibration" shows it on a loop of known length. On hardware
 * they are cycles and vary.
 *
 * Each operation is one row: it runs `n` times between two readings of the counter, the cost of an empty row is taken
 * off, and the quotient is printed. Nothing here calls anything that an ordinary caller could not.
 */
#include <kernel/bench.h>
#include <arch/cpu.h>
#include <kernel/console.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/page_alloc.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>

struct bench_row {
	const char *name;
	unsigned n;
	void (*run)(unsigned n);
};

enum { BATCH = 1000 };

static void *held[BATCH];

/* Two instructions a round: what the calibration row must show. */
static void calibration(unsigned n)
{
	__asm__ volatile("1: decl %0; jnz 1b" : "+r"(n));
}

const char *bench_unit(void)
{
	enum { ROUNDS = 10000, SLACK = 64 /* reading the counter, the call */ };
	uint64_t start = rdtsc();
	calibration(ROUNDS);
	uint64_t counted = rdtsc() - start;
	return counted >= 2 * ROUNDS && counted < 2 * ROUNDS + SLACK ? "insns" : "cycles";
}

static void empty(unsigned n)
{
	(void)n;
}

static void page_pair(unsigned n)
{
	while (n--)
		__free_page(alloc_page(GFP_KERNEL));
}

static void page_batch(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		held[i] = alloc_page(GFP_KERNEL);
	for (unsigned i = 0; i < n; i++)
		__free_page(held[i]);
}

static void page_bulk(unsigned n)
{
	size_t got = alloc_pages_bulk(GFP_KERNEL, n, (struct page **)held);
	free_pages_bulk(got, (struct page **)held);
}

static void kmalloc_64_pair(unsigned n)
{
	while (n--)
		kfree(kmalloc(64, GFP_KERNEL));
}

static void kmalloc_64_batch(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		held[i] = kmalloc(64, GFP_KERNEL);
	for (unsigned i = 0; i < n; i++)
		kfree(held[i]);
}

static void vmalloc_pairs(unsigned n, unsigned pages)
{
	while (n--)
		vfree(vmalloc(pages * PAGE_SIZE));
}

static void vmalloc_1_pair(unsigned n)
{
	vmalloc_pairs(n, 1);
}

static void vmalloc_16_pair(unsigned n)
{
	vmalloc_pairs(n, 16);
}

static void vmalloc_512_pair(unsigned n)
{
	vmalloc_pairs(n, 512);
}

/* What the frames are does not matter: one, over and over. */
static void ram_pairs(unsigned n, unsigned pages)
{
	for (unsigned i = 0; i < pages; i++)
		held[i] = i ? held[0] : alloc_page(GFP_KERNEL);
	while (n--)
		vm_unmap_ram(vm_map_ram((struct page **)held, pages, NUMA_NO_NODE), pages);
	__free_page(held[0]);
}

static void ram_1_pair(unsigned n)
{
	ram_pairs(n, 1);
}

static void ram_16_pair(unsigned n)
{
	ram_pairs(n, 16);
}

static const struct bench_row rows[] = {
        {"bench.calibration", 1000000, calibration}, {"page.order0.pair", 10000, page_pair},
        {"page.order0.batch", BATCH, page_batch},    {"page.bulk", 512, page_bulk},
        {"kmalloc.64.pair", 10000, kmalloc_64_pair}, {"kmalloc.64.batch", BATCH, kmalloc_64_batch},
        {"vmalloc.1.pair", 10000, vmalloc_1_pair},   {"vmalloc.16.pair", 1000, vmalloc_16_pair},
        {"vmalloc.512.pair", 100, vmalloc_512_pair}, {"vm_map_ram.1.pair", 10000, ram_1_pair},
        {"vm_map_ram.16.pair", 1000, ram_16_pair},
};

static uint64_t measure(void (*run)(unsigned n), unsigned n)
{
	uint64_t start = rdtsc();
	run(n);
	return rdtsc() - start;
}

void bench_run(const char *glob)
{
	const char *unit = bench_unit();
	uint64_t overhead = measure(empty, 0);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct bench_row *row = &rows[i];
		if (!glob_match(glob, row->name))
			continue;
		row->run(row->n); /* first touches: new slabs, tables, never-written entries */
		uint64_t total = measure(row->run, row->n) - overhead;
		uint64_t hundredths = total * 100 / row->n;
		kprintf("BENCH {\"name\":\"%s\",\"%s\":%lu.%02lu,\"n\":%u}\n", row->name, unit,
		        hundredths / 100, hundredths % 100, row->n);
	}
}
