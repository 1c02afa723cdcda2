/*
 * Virtual ranges.
 *
 * Promise: the lowest address that fits, for any size, any power-of-two alignment and any sub-range, exactly when one
 * exists; a range that comes back merges with both neighbours at once; no operation allocates.
 *
 *	window  [ busy | hole | busy | busy |    hole    | busy | hole ]
 *
 * Busy areas stand in a red-black tree by address. Holes stand in one of their own, in which each node also knows the
 * largest hole of its subtree, and in a list by address, which finds a hole's neighbours in one step.
 *
 * S1  Holes and busy areas tile the window: every address of it lies in exactly one of them.
 * S2  No range is empty; both ends are page-aligned.
 * S3  No two holes touch: freeing merges before it links.
 * S4  The hole tree and the hole list hold the same nodes, both by address.
 * S5  Every hole's subtree_max_size is the largest hole of its subtree.
 * S6  nr_holes, nr_busy, free_bytes and busy_bytes are what a count gives.
 *
 * Searching. A hole that is too small for `size` never decides anything, and S5 leads past all of them: the first hole
 * of at least `size` bytes that ends late enough is one descent, at worst one climb and a second descent away. At page
 * alignment that hole fits or nothing does. At a larger alignment it may be long enough but badly placed; then the
 * aligned address that it could not hold is the new lower bound, and the search starts over from there. So at most one
 * hole is tried per multiple of the alignment, however many holes lie between two of them.
 *
 * Carving. Where in the hole the area lies says what happens to the hole's node and which donated nodes are used:
 *
 *	exact   [ AREA ]                 the hole's node becomes the area     none
 *	left    [ AREA | hole ]          the hole shrinks                     nodes[0]: the area
 *	right   [ hole | AREA ]          the hole shrinks                     nodes[0]: the area
 *	inside  [ hole' | AREA | hole ]  the hole becomes the right remainder  nodes[0]: the area, nodes[1]: hole'
 *
 * Freeing. The area's node becomes the hole's, or is released to the caller when a neighbour grows instead:
 *
 *	[ busy | AREA | busy ]   releases none
 *	[ hole | AREA | busy ]   releases the area's node: the hole grows to the right
 *	[ busy | AREA | hole ]   releases the area's node: the hole grows to the left
 *	[ hole' | AREA | hole ]  releases the area's node and hole': the right hole swallows both
 *
 * Left to itself, the topmost hole thus keeps its node for good: the one node that outlives all areas stays where it was
 * allocated, and no slab or frame is kept by an accident of order.
 *
 * No lock: the owner of struct va_space serialises.
 */
#include <arch/page.h>
#include <lib/panic.h>
#include <mm/va_space.h>

static inline struct vmap_area *area_of(const struct rb_node *node)
{
	return container_of(node, struct vmap_area, rb);
}

static inline size_t area_size(const struct vmap_area *area)
{
	return area->va_end - area->va_start;
}

static inline size_t subtree_max(const struct rb_node *node)
{
	return node ? area_of(node)->subtree_max_size : 0;
}

/* S5 for one node, given that it holds for its children. */
static bool hole_augment(struct rb_node *node)
{
	struct vmap_area *hole = area_of(node);
	size_t max = max_u64(area_size(hole), max_u64(subtree_max(node->left), subtree_max(node->right)));
	bool changed = hole->subtree_max_size != max;
	hole->subtree_max_size = max;
	return changed;
}

static void hole_link(struct va_space *space, struct vmap_area *hole, struct rb_node *parent,
                      struct rb_node **link, struct list_head *before)
{
	rb_insert(&space->free, &hole->rb, parent, link, hole_augment);
	list_add(&hole->list, before);
	space->nr_holes++;
}

static void hole_unlink(struct va_space *space, struct vmap_area *hole)
{
	rb_erase(&space->free, &hole->rb, hole_augment);
	list_del(&hole->list);
	space->nr_holes--;
}

static void busy_link(struct va_space *space, struct vmap_area *area)
{
	struct rb_node **link = &space->busy.node, *parent = NULL;
	while (*link) {
		parent = *link;
		link = area->va_start < area_of(parent)->va_start ? &parent->left : &parent->right;
	}
	rb_insert(&space->busy, &area->rb, parent, link, NULL);
	space->nr_busy++;
	space->busy_bytes += area_size(area);
	space->free_bytes -= area_size(area);
}

static void busy_unlink(struct va_space *space, struct vmap_area *area)
{
	rb_erase(&space->busy, &area->rb, NULL);
	space->nr_busy--;
	space->busy_bytes -= area_size(area);
	space->free_bytes += area_size(area);
}

void va_space_init(struct va_space *space, struct vrange window, struct vmap_area *node)
{
	ASSERT(window.start.raw < window.end.raw);
	ASSERT(is_aligned(window.start.raw | window.end.raw, PAGE_SIZE));
	*space = (struct va_space){
	        .start = window.start.raw,
	        .end = window.end.raw,
	        .free_bytes = vrange_size(window),
	};
	list_init(&space->holes);
	node->va_start = space->start;
	node->va_end = space->end;
	hole_link(space, node, NULL, &space->free.node, &space->holes);
}

/* The lowest hole of at least `size` bytes below and including `node`. pre: subtree_max(node) >= size */
static struct vmap_area *lowest_large(const struct rb_node *node, size_t size)
{
	/* Invariant: the subtree of `node` has such a hole, and no lower one exists outside it. */
	for (;;) {
		if (subtree_max(node->left) >= size)
			node = node->left;
		else if (area_size(area_of(node)) >= size)
			return area_of(node);
		else
			node = node->right;
	}
}

/* The next hole of at least `size` bytes after `node`, or NULL: climbs until a larger address has one, then descends. */
static struct vmap_area *next_large(const struct rb_node *node, size_t size)
{
	/* Invariant: the left subtree of `node`, and `node` itself, are behind us. */
	for (;;) {
		if (subtree_max(node->right) >= size)
			return lowest_large(node->right, size);
		const struct rb_node *child;
		do {
			child = node;
			node = rb_parent(child);
			if (!node)
				return NULL;
		} while (child == node->right);
		if (area_size(area_of(node)) >= size)
			return area_of(node);
	}
}

/* The lowest hole that has `size` bytes and ends at or after `start` + `size`, or NULL. pre: the sum does not wrap */
static struct vmap_area *first_large(const struct va_space *space, size_t size, uintptr_t start)
{
	if (subtree_max(space->free.node) < size)
		return NULL;
	if (start <= space->start)
		return lowest_large(space->free.node, size);

	struct vmap_area *bound = NULL; /* the lowest hole seen that ends late enough */
	const struct rb_node *node = space->free.node;
	while (node) {
		struct vmap_area *hole = area_of(node);
		if (hole->va_end < start + size) {
			node = node->right;
		} else {
			bound = hole;
			node = node->left;
		}
	}
	if (!bound || area_size(bound) >= size)
		return bound;
	return next_large(&bound->rb, size);
}

static struct vmap_area *donated(struct vmap_area **node)
{
	struct vmap_area *taken = *node;
	ASSERT(taken);
	*node = NULL;
	return taken;
}

/* The lower remainder of a hole that has just been cut: the tree's and the list's predecessor of `hole`. */
static void hole_link_before(struct va_space *space, struct vmap_area *hole, struct vmap_area *remainder)
{
	struct rb_node *parent = &hole->rb, **link = &hole->rb.left;
	while (*link) {
		parent = *link;
		link = &parent->right;
	}
	hole_link(space, remainder, parent, link, hole->list.prev);
}

/* Makes [start, start + size) of `hole` a busy area. See the picture at the top. */
static struct vmap_area *carve(struct va_space *space, struct vmap_area *hole, uintptr_t start, size_t size,
                               struct vmap_area *nodes[VA_CARVE_NODES_MAX])
{
	struct vmap_area *area;
	uintptr_t end = start + size, hole_start = hole->va_start;

	if (hole_start == start && hole->va_end == end) {
		area = hole;
		hole_unlink(space, hole);
	} else {
		area = donated(&nodes[0]);
		area->va_start = start;
		area->va_end = end;
		if (hole->va_end == end)
			hole->va_end = start;
		else
			hole->va_start = end;
		rb_augment_propagate(&hole->rb, hole_augment);
		if (hole->va_start == end && hole_start != start) {
			struct vmap_area *remainder = donated(&nodes[1]);
			remainder->va_start = hole_start;
			remainder->va_end = start;
			hole_link_before(space, hole, remainder);
		}
	}
	busy_link(space, area);
	return area;
}

struct vmap_area *va_space_alloc_at(struct va_space *space, size_t size, const struct va_place *place,
                                    struct vrange within, struct vmap_area *nodes[VA_CARVE_NODES_MAX])
{
	DEBUG_ASSERT(size && is_aligned(size | place->lead | place->gap, PAGE_SIZE));
	DEBUG_ASSERT(is_power_of_two(place->align) && place->align >= PAGE_SIZE);

	if (within.start.raw >= within.end.raw || vrange_size(within) < size)
		return NULL;
	uint64_t start = within.start.raw;
	uint64_t last = within.end.raw - size; /* the highest start that ends in time */
	struct vmap_area *hole;

	/* Invariant: nothing fits below `start`, and start <= last. Each round but the last moves `start` upward. */
	do {
		hole = first_large(space, size + place->gap, start - min_u64(start, place->gap));
		if (!hole || !align_up_checked(max_u64(hole->va_start + place->gap, start) + place->lead,
		                               place->align, &start))
			return NULL;
		start -= place->lead;
		if (start > last)
			return NULL;
	} while (start > hole->va_end - size);

	return carve(space, hole, start, size, nodes);
}

struct vmap_area *va_space_alloc(struct va_space *space, size_t size, size_t align, struct vrange within,
                                 struct vmap_area *nodes[VA_CARVE_NODES_MAX])
{
	return va_space_alloc_at(space, size, &(struct va_place){.align = align}, within, nodes);
}

void va_space_free(struct va_space *space, struct vmap_area *area,
                   struct vmap_area *released[VA_MERGE_NODES_MAX])
{
	released[0] = released[1] = NULL;
	busy_unlink(space, area);

	/* Where the hole belongs in tree and list. Overlap would be our own corruption, not the caller's mistake. */
	struct rb_node **link = &space->free.node, *parent = NULL;
	struct list_head *before = &space->holes;
	while (*link) {
		struct vmap_area *hole = area_of(*link);
		parent = *link;
		if (area->va_end <= hole->va_start) {
			link = &parent->left;
			before = hole->list.prev;
		} else {
			ASSERT(hole->va_end <= area->va_start);
			link = &parent->right;
			before = &hole->list;
		}
	}

	struct vmap_area *left = list_entry(before, struct vmap_area, list);
	struct vmap_area *right = list_entry(before->next, struct vmap_area, list);
	bool joins_left = before != &space->holes && left->va_end == area->va_start;
	bool joins_right = before->next != &space->holes && right->va_start == area->va_end;

	if (joins_right) {
		right->va_start = area->va_start;
		released[0] = area;
		if (joins_left) {
			hole_unlink(space, left);
			right->va_start = left->va_start;
			released[1] = left;
		}
		rb_augment_propagate(&right->rb, hole_augment);
	} else if (joins_left) {
		left->va_end = area->va_end;
		released[0] = area;
		rb_augment_propagate(&left->rb, hole_augment);
	} else {
		hole_link(space, area, parent, link, before);
	}
}

struct vmap_area *va_space_find(const struct va_space *space, uintptr_t address)
{
	const struct rb_node *node = space->busy.node;
	while (node) {
		struct vmap_area *area = area_of(node);
		if (address < area->va_start)
			node = node->left;
		else if (address >= area->va_end)
			node = node->right;
		else
			return area;
	}
	return NULL;
}

struct vmap_area *va_space_find_below(const struct va_space *space, uintptr_t address)
{
	struct vmap_area *below = NULL;
	const struct rb_node *node = space->busy.node;
	while (node) {
		if (address < area_of(node)->va_start) {
			node = node->left;
		} else {
			below = area_of(node);
			node = node->right;
		}
	}
	return below;
}

struct vmap_area *va_space_find_above(const struct va_space *space, uintptr_t address)
{
	struct vmap_area *above = NULL;
	const struct rb_node *node = space->busy.node;
	while (node) {
		if (address < area_of(node)->va_start) {
			above = area_of(node);
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return above;
}

struct vmap_area *va_space_next_busy(const struct va_space *space, const struct vmap_area *area)
{
	struct rb_node *node = area ? rb_next(&area->rb) : rb_first(&space->busy);
	return node ? area_of(node) : NULL;
}

size_t va_space_largest_hole(const struct va_space *space)
{
	return subtree_max(space->free.node);
}
