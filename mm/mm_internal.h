/* What mm_init() settled on, for the verifier and the views of the whole (mm_verify.c, mm_describe.c). */
#ifndef MM_MM_INTERNAL_H
#define MM_MM_INTERNAL_H

#include <mm/memblock.h>
#include <mm/mm.h>

enum { MM_SEGMENTS_MAX = 16, MM_RESERVATIONS_MAX = 32 };

struct mm_state {
	struct memblock memblock;
	struct mm_segment image[MM_SEGMENTS_MAX];
	size_t nr_image;
	struct mm_reservation reserved[MM_RESERVATIONS_MAX];
	size_t nr_reserved;
	struct vrange vmalloc;
	unsigned max_level; /* of a device's leaves, as of the direct map's */
	unsigned physical_bits;
	bool pat;
	size_t boot_tables; /* of kernel_pagetable's tables, those that memblock gave */
};
extern struct mm_state mm_state;

#endif
