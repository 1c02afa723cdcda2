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
#include <lib/printer.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/page_alloc.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <test/vmalloc_workload.h>

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

/* ---- The workloads of Linux's vmalloc test ---- */

static ALWAYS_INLINE void *serve(struct vmalloc_request want, bool written)
{
	char *area = workload_vmalloc(want);

	if (written && area)
		*area = 1;
	return area;
}

static ALWAYS_INLINE void take_back(void *area)
{
	vfree(area);
}

static const struct workload_server server = {serve, take_back};

static ALWAYS_INLINE void rounds(const struct vmalloc_workload *workload, unsigned n)
{
	uint32_t random = 1;

	while (n--)
		workload_round(workload, &random, &server);
}

/* One function for each, so that each is the code that a caller would have written. */
#define WORKLOAD(what)                       \
	static void what(unsigned n)         \
	{                                    \
		rounds(&what##_workload, n); \
	}
WORKLOAD(fix_size)
WORKLOAD(full_fit)
WORKLOAD(long_busy_list)
WORKLOAD(random_size)
WORKLOAD(fix_align)
WORKLOAD(fix_align_dirty)
WORKLOAD(random_size_align)
WORKLOAD(random_size_align_dirty)

static const struct {
	const struct vmalloc_workload *workload;
	void (*run)(unsigned n);
} workloads[] = {
        {&fix_size_workload, fix_size},
        {&full_fit_workload, full_fit},
        {&long_busy_list_workload, long_busy_list},
        {&random_size_workload, random_size},
        {&fix_align_workload, fix_align},
        {&fix_align_dirty_workload, fix_align_dirty},
        {&random_size_align_workload, random_size_align},
        {&random_size_align_dirty_workload, random_size_align_dirty},
};

static unsigned align_shift; /* of the next run */

static void align_shift_once(unsigned n)
{
	held[0] = n ? workload_vmalloc(align_shift_request(align_shift)) : NULL;
}

/* ---- Running them ---- */

static uint64_t measure(void (*run)(unsigned n), unsigned n)
{
	uint64_t start = rdtsc();
	run(n);
	return rdtsc() - start;
}

static void report(const char *name, uint64_t total, unsigned n)
{
	uint64_t hundredths = total * 100 / n;

	kprintf("BENCH {\"name\":\"%s\",\"%s\":%lu.%02lu,\"n\":%u}\n", name, bench_unit(), hundredths / 100,
	        hundredths % 100, n);
}

/* What stays is taken, and what was freed purged, before the counter is read; and again before the second run. */
static void report_workload(const char *name, const struct vmalloc_workload *workload,
                            void (*run)(unsigned n), uint64_t overhead)
{
	size_t areas = workload->staying * (workload->spaced ? 2UL : 1), bytes = (areas + 1) * sizeof(void *);
	void **staying = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO);

	if (!staying || !workload_settle(workload, workload->staying, staying, &server)) {
		kprintf("bench: %s is left out: too little memory for the %u areas that stay\n", name,
		        workload->staying);
	} else {
		vm_unmap_aliases();
		run(workload->rounds);
		vm_unmap_aliases();
		report(name, measure(run, workload->rounds) - overhead, workload->rounds);
	}
	for (size_t i = 0; staying && i < workload->staying; i++)
		vfree(staying[i]);
	if (staying)
		free_pages_exact(staying, bytes);
}

static void report_workloads(const char *glob, uint64_t overhead)
{
	char name[48];

	for (size_t i = 0; i < ARRAY_SIZE(workloads); i++) {
		format_buffer(name, sizeof(name), "vmalloc.%s", workloads[i].workload->name);
		if (glob_match(glob, name))
			report_workload(name, workloads[i].workload, workloads[i].run, overhead);
	}
}

/* Each once, with nothing left of those before; giving back is not counted. */
static void report_align_shifts(const char *glob, uint64_t overhead)
{
	uint64_t total = 0;
	char name[48];

	for (align_shift = 0; align_shift < ALIGN_SHIFTS; align_shift++) {
		for (unsigned run = 0; run < 2; run++) {
			vm_unmap_aliases();
			total = measure(align_shift_once, 1) - overhead;
			vfree(held[0]);
		}
		format_buffer(name, sizeof(name), "vmalloc.align_shift.%u%s", align_shift,
		              held[0] ? "" : ".refused");
		if (glob_match(glob, name))
			report(name, total, 1);
	}
	vm_unmap_aliases();
}

void bench_run(const char *glob)
{
	uint64_t overhead = measure(empty, 0);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct bench_row *row = &rows[i];
		if (!glob_match(glob, row->name))
			continue;
		row->run(row->n); /* first touches: new slabs, tables, never-written entries */
		report(row->name, measure(row->run, row->n) - overhead, row->n);
	}
	report_workloads(glob, overhead);
	report_align_shifts(glob, overhead);
}
