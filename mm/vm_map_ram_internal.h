/* A block of vm_map_ram.c, which tells what it means; for tests that look at it or break it. */
#ifndef MM_VM_MAP_RAM_INTERNAL_H
#define MM_VM_MAP_RAM_INTERNAL_H

#include <arch/percpu.h>
#include <arch/pte.h>
#include <mm/va_space.h>

enum {
	RAM_BLOCK_PAGES = PT_ENTRIES, /* one table of the lowest level */
	RAM_FIRST_PAGE = 2,           /* behind the block's own page and its guard */
	RAM_MAPPING_PAGES = 64,       /* more get an area of their own */
};
#define RAM_BLOCK_SIZE PMD_SIZE

/* Read by CPUs that hold no lock. All but unmapped_by is constant once `pages` is set. */
struct ram_mapping {
	uint32_t mapped_by;   /* low half of the code address that asked */
	uint32_t unmapped_by; /* atomic: the same of the one that gave it back; 0: in use */
	uint16_t first;       /* page of the block */
	uint16_t pages;       /* 0: no mapping here. Written last */
};

/* The block's own page, as the direct map shows it. */
struct ram_block {
	struct vmap_area *area; /* constant */
	uint32_t next;  /* pages below belong to mappings and guards; changed by the CPU that maps here */
	uint32_t users; /* atomic: mappings in use, and the CPU that maps here */
	struct ram_mapping mappings[RAM_BLOCK_PAGES / 2]; /* by first / 2: no two begin side by side */
};
_Static_assert(sizeof(struct ram_block) <= PAGE_SIZE, "a block's records fit its own page");

/* In which block each CPU maps; NULL: in none. Changed on that CPU only, interrupts masked. */
extern struct ram_block *ram_current[CPUS_MAX];

#endif
