/*
 * Verifier of struct va_space: counts everything again, trusting only that pointers in the trees lead to areas. The
 * numbers are va_space.c's.
 */
#include <arch/page.h>
#include <lib/check.h>
#include <mm/va_space.h>

static const struct vmap_area *area_of(const struct rb_node *node)
{
	return node ? container_of(node, struct vmap_area, rb) : NULL;
}

static bool lower(const struct rb_node *a, const struct rb_node *b)
{
	return area_of(a)->va_start < area_of(b)->va_start;
}

static bool max_is_right(const struct rb_node *node)
{
	const struct vmap_area *hole = area_of(node), *left = area_of(node->left),
	                       *right = area_of(node->right);
	size_t max = hole->va_end - hole->va_start;
	if (left && left->subtree_max_size > max)
		max = left->subtree_max_size;
	if (right && right->subtree_max_size > max)
		max = right->subtree_max_size;
	return hole->subtree_max_size == max;
}

/* S4, S5, and that both trees are red-black trees. */
static const char *trees_check(const struct va_space *space)
{
	const struct rb_node *where = NULL;
	const char *broken = rb_check(&space->busy, lower, NULL, &where);
	CHECK(!broken, "busy tree: %s at 0x%016lx", broken, where ? area_of(where)->va_start : 0);
	broken = rb_check(&space->free, lower, NULL, &where);
	CHECK(!broken, "hole tree: %s at 0x%016lx", broken, where ? area_of(where)->va_start : 0);
	broken = rb_check(&space->free, lower, max_is_right, &where);
	CHECK(!broken, "S5: the hole at 0x%016lx does not know the largest hole of its subtree",
	      where ? area_of(where)->va_start : 0);

	const struct list_head *at = &space->holes;
	for (const struct rb_node *node = rb_first(&space->free); node; node = rb_next(node)) {
		CHECK(at->next == &area_of(node)->list,
		      "S4: the list does not have the hole at 0x%016lx where the tree has it",
		      area_of(node)->va_start);
		CHECK(at->next->prev == at, "S4: the list's backward link at the hole 0x%016lx is wrong",
		      area_of(node)->va_start);
		at = at->next;
	}
	CHECK(at->next == &space->holes && space->holes.prev == at,
	      "S4: the list has holes that the tree has not");
	return NULL;
}

static const char *range_check(const struct vmap_area *area)
{
	CHECK(area->va_start < area->va_end, "S2: the range at 0x%016lx is empty", area->va_start);
	CHECK(is_aligned(area->va_start | area->va_end, PAGE_SIZE),
	      "S2: the range 0x%016lx-0x%016lx is not whole pages", area->va_start, area->va_end);
	return NULL;
}

const char *va_space_check(const struct va_space *space)
{
	const char *broken = trees_check(space);
	if (broken)
		return broken;

	const struct vmap_area *hole = area_of(rb_first(&space->free)),
	                       *busy = area_of(rb_first(&space->busy));
	size_t holes = 0, areas = 0, free_bytes = 0, busy_bytes = 0;
	bool after_hole = false;

	/* Invariant: [space->start, at) is tiled; `hole` and `busy` are the first of their kind not yet counted. */
	for (uintptr_t at = space->start; at != space->end || hole || busy;) {
		bool is_hole = hole && (!busy || hole->va_start < busy->va_start);
		const struct vmap_area *area = is_hole ? hole : busy;
		CHECK(area, "S1: nothing covers 0x%016lx-0x%016lx", at, space->end);
		broken = range_check(area);
		if (broken)
			return broken;
		CHECK(area->va_start >= at, "S1: two ranges cover 0x%016lx", area->va_start);
		CHECK(area->va_start == at, "S1: nothing covers 0x%016lx-0x%016lx", at, area->va_start);
		CHECK(area->va_end <= space->end, "S1: the range 0x%016lx-0x%016lx leaves the window",
		      area->va_start, area->va_end);
		CHECK(!is_hole || !after_hole, "S3: two holes touch at 0x%016lx", at);
		after_hole = is_hole;
		at = area->va_end;
		if (is_hole) {
			holes++;
			free_bytes += area->va_end - area->va_start;
			hole = area_of(rb_next(&hole->rb));
		} else {
			areas++;
			busy_bytes += area->va_end - area->va_start;
			busy = area_of(rb_next(&busy->rb));
		}
	}
	CHECK(space->nr_holes == holes, "S6: %zu holes, counted as %zu", holes, space->nr_holes);
	CHECK(space->nr_busy == areas, "S6: %zu busy areas, counted as %zu", areas, space->nr_busy);
	CHECK(space->free_bytes == free_bytes, "S6: %zu free bytes, counted as %zu", free_bytes,
	      space->free_bytes);
	CHECK(space->busy_bytes == busy_bytes, "S6: %zu busy bytes, counted as %zu", busy_bytes,
	      space->busy_bytes);
	return NULL;
}
