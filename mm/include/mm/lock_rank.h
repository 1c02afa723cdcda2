/*
 * Lock order of the memory subsystem, outermost first: holding a lock, a CPU may take only locks further
 * down. Debug spinlocks assert it. No callback runs upward (reclaim, warn, panic report) with one of these
 * held.
 */
#ifndef MM_LOCK_RANK_H
#define MM_LOCK_RANK_H

enum lock_rank {
	RANK_VMALLOC = 10,   /* the virtual areas */
	RANK_DEVICES = 15,   /* the registry of device mappings; asks nobody */
	RANK_PAGETABLE = 20, /* a walk may ask the page source for a table */
	RANK_DEPOT = 35,     /* one cache's magazines that belong to no CPU */
	RANK_CACHE = 40,     /* one cache's slabs */
	RANK_ZONE = 50,      /* one zone's buddy; asks nobody */
	RANK_CONSOLE = 90,
};

#endif
