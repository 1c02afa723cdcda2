#include <ram_relay.h>
#include <lib/printer.h>
#include <lib/rng.h>
#include <lib/string.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <vm_access.h>

enum { PLACES = 24, PAGES_MAX = 6, PURGE_EVERY = 150 };

struct parcel {
	char *mapping; /* NULL: none */
	unsigned count, maker;
	uint8_t tag;
	struct page *frames[PAGES_MAX];
};

static struct parcel parcels[RELAY_CPUS_MAX + PLACES];
static struct parcel *places[PLACES]; /* atomic */
static uint64_t seed, handed_over;    /* handed_over: atomic */
static bool failed;                   /* atomic: `failure` has its writer */
static char failure[200];

static void PRINTF_LIKE(1, 2) note_failure(const char *fmt, ...)
{
	va_list args;

	if (__atomic_exchange_n(&failed, true, __ATOMIC_RELAXED))
		return;
	va_start(args, fmt);
	vformat_buffer(failure, sizeof(failure), fmt, args);
	va_end(args);
}

static void parcel_fill(struct parcel *parcel, unsigned cpu, struct rng *rng)
{
	parcel->count = 1 + (unsigned)rng_below(rng, PAGES_MAX);
	parcel->tag = (uint8_t)rng_next(rng);
	parcel->maker = cpu;
	size_t got = alloc_pages_bulk(GFP_KERNEL, parcel->count, parcel->frames);
	parcel->mapping =
	        got == parcel->count ? vm_map_ram(parcel->frames, parcel->count, NUMA_NO_NODE) : NULL;
	if (!parcel->mapping) {
		note_failure("CPU %u: nothing could be mapped", cpu);
		free_pages_bulk(got, parcel->frames);
		return;
	}
	for (unsigned n = 0; n < parcel->count; n++)
		vm_poke(parcel->mapping + n * PAGE_SIZE + parcel->tag, (uint8_t)(parcel->tag + n));
}

static void parcel_end(struct parcel *parcel, unsigned cpu)
{
	for (unsigned n = 0; n < parcel->count; n++) {
		uint8_t in_frame = ((const uint8_t *)page_address(parcel->frames[n]))[parcel->tag],
		        seen = vm_peek(parcel->mapping + n * PAGE_SIZE + parcel->tag);
		if (in_frame != (uint8_t)(parcel->tag + n) || seen != in_frame)
			note_failure("CPU %u: page %u of %p shows 0x%x, its frame holds 0x%x, not 0x%x", cpu,
			             n, (void *)parcel->mapping, seen, in_frame, (uint8_t)(parcel->tag + n));
	}
	if (is_mapped(vaddr_of(parcel->mapping + parcel->count * PAGE_SIZE)))
		note_failure("CPU %u: the guard of %p is mapped", cpu, (void *)parcel->mapping);
	if (parcel->maker != cpu)
		__atomic_fetch_add(&handed_over, 1, __ATOMIC_RELAXED);
	vm_unmap_ram(parcel->mapping, parcel->count);
	free_pages_bulk(parcel->count, parcel->frames);
	parcel->mapping = NULL;
}

void ram_relay_begin(uint64_t with_seed)
{
	memset(parcels, 0, sizeof(parcels));
	for (unsigned n = 0; n < PLACES; n++)
		places[n] = &parcels[RELAY_CPUS_MAX + n];
	seed = with_seed;
	handed_over = 0;
	failed = false;
}

void ram_relay_run(unsigned cpu, unsigned rounds)
{
	struct parcel *parcel = &parcels[cpu];
	struct rng rng;

	rng_seed(&rng, seed + cpu * 0x100000001UL);
	while (rounds-- && !__atomic_load_n(&failed, __ATOMIC_RELAXED)) {
		parcel_fill(parcel, cpu, &rng);
		parcel = __atomic_exchange_n(&places[rng_below(&rng, PLACES)], parcel, __ATOMIC_ACQ_REL);
		if (parcel->mapping)
			parcel_end(parcel, cpu);
		if (rng_below(&rng, PURGE_EVERY) == 0)
			vm_unmap_aliases();
	}
}

const char *ram_relay_end(void)
{
	for (struct parcel *parcel = parcels; parcel < parcels + RELAY_CPUS_MAX + PLACES; parcel++)
		if (parcel->mapping)
			parcel_end(parcel, 0);
	return failed ? failure : NULL;
}

uint64_t ram_relay_handed_over(void)
{
	return __atomic_load_n(&handed_over, __ATOMIC_RELAXED);
}
