/*
 * The memory subsystem as a whole: bringing it up, verifying it, comparing it with itself. This is not an umbrella: each
 * part has its own header.
 */
#ifndef MM_MM_H
#define MM_MM_H

#include <arch/pte.h>
#include <lib/addr.h>
#include <mm/page_alloc.h>

struct printer;
struct memblock;

/* A part of the kernel image with one protection. Page-aligned. */
struct mm_segment {
	const char *name;
	struct vrange va;
	paddr_t pa;
	pgprot_t prot;
};

/* A physical range in use, and by whom. */
struct mm_reservation {
	const char *what;
	struct prange range;
};

/* Everything mm_init() needs to know about the machine: plain data, no boot protocol, no linker symbols. */
struct mm_boot_map {
	const struct prange *available; /* what firmware calls RAM: any order, overlaps, odd bounds */
	size_t nr_available;
	const struct prange *unavailable; /* what it calls anything else: wins over available */
	size_t nr_unavailable;
	const struct mm_reservation *reserved; /* image, boot information, modules */
	size_t nr_reserved;
	const struct mm_segment *image;
	size_t nr_image;
	paddr_t early_limit;    /* before the final tables only memory below this is reachable */
	unsigned levels;        /* of page tables that the CPUs walk: 4 or 5 */
	unsigned max_level;     /* largest leaf the CPU has: 2 or 3 */
	unsigned physical_bits; /* of its physical addresses: at most 52 */
	bool pat; /* every CPU's PAT is <arch/pte.h>'s; else devices get UC- instead of WC and WT */
	struct vrange vmalloc; /* the window */
	/* The final tables are complete: make the machine use them. */
	void (*activate)(paddr_t root);
	/* A stage has ended, for progress. May be NULL. */
	void (*progress)(const char *stage);
};

/*
 * Brings up memblock, page tables, frame array, page allocator, slab, kmalloc, vmalloc, in this order, each checked at
 * its end in the debug build. NULL, or the reason why this machine cannot be served ("no usable RAM below 4 GiB", …).
 * Once, on the booting CPU, interrupts off.
 */
const char *mm_init(const struct mm_boot_map *map) MUST_USE;

/* The memory map that mm_init() settled on; read-only afterwards. */
const struct memblock *mm_memblock(void);

/* Every invariant of the live system, or the first broken one in words. Nothing else may be running. */
const char *mm_verify(void) MUST_USE;

/* What must be equal before and after every test, failed allocation and error path. Reclaims first. */
enum { FINGERPRINT_CACHES = 64 };
struct mm_fingerprint {
	size_t free_blocks[NR_ZONES][PAGE_ORDERS];
	size_t caches, objects[FINGERPRINT_CACHES];
	size_t areas, area_bytes, area_pages;
	size_t large_bytes;
	size_t tables;
};
void mm_fingerprint(struct mm_fingerprint *fingerprint);

/* True if equal; else prints each difference. */
bool mm_fingerprint_equal(const struct mm_fingerprint *before, const struct mm_fingerprint *after,
                          struct printer *out);

/* What lies at an address, in one line: NULL page, non-canonical, direct map (free page, slab object, …), vmalloc area
 * or guard, image segment. For fault reports: takes no lock, never faults, never panics. */
void mm_describe_address(vaddr_t address, struct printer *out);

/* The views people know. All allocate nothing. Not in interrupts, no lock held. */
void meminfo_dump(struct printer *out);
void memory_map_dump(struct printer *out);
void layout_dump(struct printer *out);

#endif
