/* The registry of device mappings, for ioremap.c, which tells what it means, and for tests that break it. */
#ifndef MM_IOREMAP_INTERNAL_H
#define MM_IOREMAP_INTERNAL_H

#include <arch/pte.h>
#include <lib/addr.h>
#include <lib/rbtree.h>

struct device_mapping {
	struct rb_node rb;
	struct prange range;  /* whole pages */
	uint64_t subtree_end; /* the highest range.end in the subtree below and including this node */
	uintptr_t va;         /* its area's start */
	uint32_t caller;      /* its area's: low half of the code address that asked */
	enum memory_type type;
};
_Static_assert(sizeof(struct device_mapping) == 64, "one cache line per mapping, and a kmalloc class");
extern struct rb_root device_trees[MEMORY_TYPES];

#endif
