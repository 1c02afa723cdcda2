/*
 * What each CPU counts about itself: contention is counted, not timed. A counter belongs to its CPU, which adds to it
 * without a lock (<arch/percpu.h>); sums over all CPUs are read in <arch/smp.h>.
 */
#ifndef LIB_COUNTERS_H
#define LIB_COUNTERS_H

enum cpu_counter {
	COUNT_LOCKS,           /* spinlocks taken; debug build */
	COUNT_LOCKS_CONTENDED, /* of these, those that had to wait */
	COUNT_IPIS,            /* inter-processor interrupts sent, one per target */
	COUNT_FLUSH_SINGLE,    /* translations flushed one by one, on this CPU */
	COUNT_FLUSH_FULL,      /* full flushes, on this CPU */
	COUNT_SHOOTDOWNS,      /* flushes that other CPUs were asked for */
	COUNT_PAGE_REFILLS,    /* page lists filled from a zone */
	COUNT_PAGE_DRAINS,     /* page lists emptied into a zone */
	COUNT_DEPOT_EXCHANGES, /* magazines swapped with a depot */
	COUNT_SLAB_REFILLS,    /* magazines filled from slabs */
	COUNT_SLAB_DRAINS,     /* magazines emptied into slabs */
	COUNT_RANGE_HITS,      /* vmalloc ranges served from this CPU's own */
	COUNT_RANGE_PURGES,    /* flushes that made freed ranges usable again */
	COUNT_RANGE_DELAYS,    /* ranges that came out of the quarantine in their turn */
	/* What is there now: only the sums mean something, since what comes on one CPU may go on another. */
	COUNT_AREA_PAGES, /* frames that areas own, those still being filled included */
	COUNT_GONE_AREAS, /* areas that are VM_LAZY, VM_SPARE or VM_QUARANTINED (mm/vmalloc_internal.h), */
	COUNT_GONE_BYTES, /* and the window's bytes that they keep */
	CPU_COUNTERS,
};

#endif
