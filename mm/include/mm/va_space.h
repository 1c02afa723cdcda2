/*
 * Virtual ranges: which addresses of a window are free and which are busy. An instance, no lock, no allocation inside:
 * nodes are donated by the caller before it locks. va_space.c opens with the theory.
 */
#ifndef MM_VA_SPACE_H
#define MM_VA_SPACE_H

#include <lib/addr.h>
#include <lib/list.h>
#include <lib/rbtree.h>

struct printer;

/*
 * One range, free or busy: 64 bytes. Linux splits this into vmap_area and vm_struct; here the node of a busy area is
 * the node of the hole it leaves, so that freeing needs no memory.
 */
struct vmap_area {
	struct rb_node rb;
	uintptr_t va_start, va_end; /* page-aligned, half-open */
	union {
		struct {                         /* free */
			size_t subtree_max_size; /* largest hole in the subtree below and including this node */
			struct list_head list;   /* holes by address */
		};
		struct {                       /* busy: the owner's; va_space does not look at them */
			size_t requested_size; /* bytes the caller asked for; the rest of the last page is slack */
			union {
				uint64_t phys_addr;      /* VM_IOREMAP: where it maps to */
				struct {                 /* freed, not yet flushed */
					uint32_t frames; /* a page_list's head */
					uint32_t
					        freed_by; /* low half of the code address that gave it back */
				};
			};
			uint32_t caller; /* low half of the code address that asked */
			uint32_t flags;  /* VM_* of <mm/vmalloc.h> */
		};
	};
};
_Static_assert(sizeof(struct vmap_area) == 64, "one cache line per area: the metadata of a one-page area");

/* An inside fit needs a node for the area and one for the second remainder. */
enum { VA_CARVE_NODES_MAX = 2, VA_MERGE_NODES_MAX = 2 };

struct va_space {
	struct rb_root free, busy;
	struct list_head holes; /* the free ranges, by address */
	uintptr_t start, end;   /* the window */
	size_t nr_holes, nr_busy;
	size_t free_bytes, busy_bytes;
};

/* A window that is one hole, described by the donated node. pre: page-aligned, start < end */
void va_space_init(struct va_space *space, struct vrange window, struct vmap_area *node);

/*
 * The lowest range of `size` bytes (a multiple of the page size, > 0) whose start is a multiple of `align` (a power of
 * two, at least a page) and that lies in `within`. NULL if and only if there is none. Donated nodes that were used are
 * set to NULL in nodes[]; the rest stays the caller's. nodes[1] is used only by a fit inside a hole; with `align` a page
 * and `within` beginning at or below the window's start there is none such, and nodes[1] may be NULL.
 *
 * O(log n) at page alignment; else O((k + 1) log n), k being the number of multiples of `align` below the answer beside
 * which a hole lies that is at least `size`, but less than `size + align` large.
 */
struct vmap_area *va_space_alloc(struct va_space *space, size_t size, size_t align, struct vrange within,
                                 struct vmap_area *nodes[VA_CARVE_NODES_MAX]) MUST_USE;

/* How an area is to lie. Multiples of the page size. */
struct va_place {
	size_t align; /* what the address `lead` bytes into the area is a multiple of */
	size_t lead;  /* < the area's size */
	size_t gap; /* so many bytes before the area are free, and stay so; they need not lie in the range asked for */
};

/* The same for an area that is to lie like this: the lowest such. With a lead or a gap it may need both nodes. */
struct vmap_area *va_space_alloc_at(struct va_space *space, size_t size, const struct va_place *place,
                                    struct vrange within,
                                    struct vmap_area *nodes[VA_CARVE_NODES_MAX]) MUST_USE;

/*
 * A busy area becomes free and merges with the holes on both sides. Nodes no longer needed go to released[] (NULL where
 * none): the caller frees them after unlocking. Cannot fail.
 */
void va_space_free(struct va_space *space, struct vmap_area *area,
                   struct vmap_area *released[VA_MERGE_NODES_MAX]);

/* The busy area that holds `address`, or NULL. O(log n). */
struct vmap_area *va_space_find(const struct va_space *space, uintptr_t address);

/* The busy area with the highest start at or below `address`, or NULL: for "n bytes past the end of". O(log n). */
struct vmap_area *va_space_find_below(const struct va_space *space, uintptr_t address);
/* The busy area with the lowest start above `address`, or NULL. O(log n). */
struct vmap_area *va_space_find_above(const struct va_space *space, uintptr_t address);

/* Busy areas by address: NULL to begin, NULL at the end. O(1) amortised. */
struct vmap_area *va_space_next_busy(const struct va_space *space, const struct vmap_area *area);

/* Size of the largest hole: the root's augmentation. */
size_t va_space_largest_hole(const struct va_space *space);

/* Verifier: NULL, or the broken invariant (va_space.c's numbers). O(n). */
const char *va_space_check(const struct va_space *space) MUST_USE;

#endif
