/* The CPUs' counters, added up and in words. Compiled for the machine and for the host. */
#include <arch/smp.h>
#include <lib/printer.h>

static const char *const names[CPU_COUNTERS] = {
        [COUNT_LOCKS] = "locks taken",
        [COUNT_LOCKS_CONTENDED] = "locks waited for",
        [COUNT_IPIS] = "IPIs sent",
        [COUNT_FLUSH_SINGLE] = "single flushes",
        [COUNT_FLUSH_FULL] = "full flushes",
        [COUNT_SHOOTDOWNS] = "shootdowns",
        [COUNT_PAGE_REFILLS] = "page list refills",
        [COUNT_PAGE_DRAINS] = "page list drains",
        [COUNT_DEPOT_EXCHANGES] = "depot exchanges",
        [COUNT_SLAB_REFILLS] = "magazine refills",
        [COUNT_SLAB_DRAINS] = "magazine drains",
        [COUNT_RANGE_HITS] = "cached vmalloc ranges",
        [COUNT_RANGE_PURGES] = "vmalloc purges",
        [COUNT_RANGE_DELAYS] = "vmalloc quarantined",
        [COUNT_AREA_PAGES] = "now: vmalloc frames",
        [COUNT_GONE_AREAS] = "now: vmalloc kept",
        [COUNT_GONE_BYTES] = "now: bytes of these",
};

uint64_t counter_sum(enum cpu_counter counter)
{
	uint64_t sum = 0;

	for (unsigned id = 0; id < cpus_possible(); id++) {
		const struct cpu *cpu = cpu_by_id(id);
		if (cpu)
			sum += __atomic_load_n(&cpu->counters[counter], __ATOMIC_RELAXED);
	}
	return sum;
}

void counters_dump(struct printer *out)
{
	for (unsigned counter = 0; counter < CPU_COUNTERS; counter++)
		print(out, "%-22s %12lu\n", names[counter], (unsigned long)counter_sum(counter));
}
