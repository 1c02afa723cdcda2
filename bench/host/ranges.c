/*
 * Ranges of addresses, the lowest that fits: struct va_space, beside two ways to keep the same areas.
 *
 *	list    areas by address; the gaps between them are looked at from the lowest on
 *	tree    a red-black tree of areas by address, nothing known of subtrees; looked at in the same order
 *
 * All three answer the same, which the sum of answers shows. `live` areas of 1 to 16 pages; one of them, at random, is
 * given back and another taken. They begin as many such steps have left them, which struct va_space alone has done:
 * the others would take minutes for it.
 */
#include <stdlib.h>
#include <arch/page.h>
#include <lib/list.h>
#include <lib/panic.h>
#include <lib/rbtree.h>
#include <mm/va_space.h>
#include "host_bench.h"

enum { LIVE_MAX = 100000, AREA_PAGES_MAX = 16, TURN = 32, STEPS_BEFORE = 4 /* per area */ };

#define WINDOW_START 0xffffc00000000000UL
#define WINDOW_END   0xffffe00000000000UL

static const struct vrange window = {{WINDOW_START}, {WINDOW_END}};

/* A contender's area begins with whatever it needs; `start` tells the answer. */
static struct {
	void (*clear)(void);
	void *(*take)(size_t size);                   /* the lowest fit */
	void *(*place)(uintptr_t start, size_t size); /* above all others: untimed */
	void (*give)(void *area);
	uintptr_t (*start)(const void *area);
} ranges;

/* ---- struct va_space ---- */

static struct vmap_area areas[2 * LIVE_MAX + 8], *spare_areas[ARRAY_SIZE(areas)];
static size_t nr_spare_areas;
static struct va_space space;

static void put_spare(struct vmap_area *area)
{
	if (area)
		spare_areas[nr_spare_areas++] = area;
}

static void space_clear(void)
{
	nr_spare_areas = 0;
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		put_spare(&areas[i]);
	va_space_init(&space, window, spare_areas[--nr_spare_areas]);
}

static void *space_take_within(size_t size, struct vrange within)
{
	struct vmap_area *nodes[VA_CARVE_NODES_MAX];

	for (unsigned i = 0; i < VA_CARVE_NODES_MAX; i++)
		nodes[i] = spare_areas[--nr_spare_areas];
	struct vmap_area *area = va_space_alloc(&space, size, PAGE_SIZE, within, nodes);
	for (unsigned i = VA_CARVE_NODES_MAX; i-- > 0;)
		put_spare(nodes[i]);
	return area;
}

static void *space_take(size_t size)
{
	return space_take_within(size, window);
}

static void *space_place(uintptr_t start, size_t size)
{
	return space_take_within(size, vrange_sized(vaddr(start), size));
}

static void space_give(void *area)
{
	struct vmap_area *released[VA_MERGE_NODES_MAX];

	va_space_free(&space, area, released);
	for (unsigned i = 0; i < VA_MERGE_NODES_MAX; i++)
		put_spare(released[i]);
}

static uintptr_t space_start(const void *area)
{
	return ((const struct vmap_area *)area)->va_start;
}

/* ---- What the simpler two share ---- */

static struct plain_area {
	union {
		struct list_head link;
		struct rb_node rb;
	};
	uintptr_t start, end;
} plain_areas[LIVE_MAX + 1], *spare_plain[ARRAY_SIZE(plain_areas)];
static size_t nr_spare_plain;

static void plain_clear(void)
{
	nr_spare_plain = ARRAY_SIZE(plain_areas);
	for (size_t i = 0; i < ARRAY_SIZE(plain_areas); i++)
		spare_plain[i] = &plain_areas[i];
}

static struct plain_area *plain_create(uintptr_t start, size_t size)
{
	struct plain_area *area = spare_plain[--nr_spare_plain];

	area->start = start;
	area->end = start + size;
	return area;
}

static uintptr_t plain_start(const void *area)
{
	return ((const struct plain_area *)area)->start;
}

/* ---- A list ---- */

static struct list_head areas_by_address;

static void list_clear(void)
{
	plain_clear();
	list_init(&areas_by_address);
}

static void *list_take(size_t size)
{
	uintptr_t start = WINDOW_START;
	struct plain_area *next;

	list_for_each_entry (next, &areas_by_address, link) {
		if (next->start - start >= size)
			break;
		start = next->end;
	}
	/* `next` has the gap below it; at the list's end its link is the head. */
	struct plain_area *area = plain_create(start, size);
	list_add_tail(&area->link, &next->link);
	return area;
}

static void *list_place(uintptr_t start, size_t size)
{
	struct plain_area *area = plain_create(start, size);

	list_add_tail(&area->link, &areas_by_address);
	return area;
}

static void list_give(void *given)
{
	struct plain_area *area = given;

	list_del(&area->link);
	spare_plain[nr_spare_plain++] = area;
}

/* ---- A tree ---- */

static struct rb_root tree;
static struct rb_node *highest; /* while places are filled */

static struct plain_area *in_tree(struct rb_node *node)
{
	return container_of(node, struct plain_area, rb);
}

static void tree_clear(void)
{
	plain_clear();
	tree = (struct rb_root){NULL};
	highest = NULL;
}

/* Directly after `before` (NULL: as the first). */
static void tree_insert_after(struct plain_area *area, struct rb_node *before)
{
	struct rb_node *parent = before, **link = before ? &before->right : &tree.node;

	while (*link) {
		parent = *link;
		link = &parent->left;
	}
	rb_insert(&tree, &area->rb, parent, link, NULL);
}

static void *tree_take(size_t size)
{
	uintptr_t start = WINDOW_START;
	struct rb_node *before = NULL;

	for (struct rb_node *node = rb_first(&tree); node; node = rb_next(node)) {
		if (in_tree(node)->start - start >= size)
			break;
		start = in_tree(node)->end;
		before = node;
	}
	struct plain_area *area = plain_create(start, size);
	tree_insert_after(area, before);
	return area;
}

static void *tree_place(uintptr_t start, size_t size)
{
	struct plain_area *area = plain_create(start, size);

	tree_insert_after(area, highest);
	highest = &area->rb;
	return area;
}

static void tree_give(void *given)
{
	struct plain_area *area = given;

	rb_erase(&tree, &area->rb, NULL);
	spare_plain[nr_spare_plain++] = area;
}

/* ---- Rows ---- */

static void *live[LIVE_MAX];

static size_t some_size(struct churn *churn)
{
	return (1 + pick(&churn->random, AREA_PAGES_MAX)) * PAGE_SIZE;
}

static int by_start(const void *one, const void *other)
{
	uintptr_t a = space_start(*(void *const *)one), b = space_start(*(void *const *)other);
	return (a > b) - (a < b);
}

/* Where `live` areas lie after many steps; in ascending order. */
static struct vrange places[LIVE_MAX];

static void find_places(struct churn *churn)
{
	space_clear();
	for (unsigned i = 0; i < churn->live; i++)
		live[i] = space_take(some_size(churn));
	for (unsigned step = 0; step < STEPS_BEFORE * churn->live; step++) {
		void **area = &live[pick(&churn->random, churn->live)];
		space_give(*area);
		*area = space_take(some_size(churn));
	}
	qsort(live, churn->live, sizeof(*live), by_start);
	for (unsigned i = 0; i < churn->live; i++) {
		const struct vmap_area *area = live[i];
		places[i] = vrange(area->va_start, area->va_end);
	}
}

static uint64_t churn_turn(void *context)
{
	struct churn *churn = context;
	uint64_t answers = 0;

	for (unsigned i = 0; i < TURN; i++) {
		void **area = &live[pick(&churn->random, churn->live)];
		ranges.give(*area);
		*area = ranges.take(some_size(churn));
		answers += ranges.start(*area) - WINDOW_START;
	}
	return answers;
}

static struct measured run_churn(const struct host_row *row, uint64_t least_ns)
{
	struct churn churn = {row->live, 1};

	find_places(&churn);
	ranges.clear();
	for (unsigned i = 0; i < row->live; i++)
		live[i] = ranges.place(places[i].start.raw, vrange_size(places[i]));
	return repeat(least_ns, TURN, churn_turn, &churn);
}

static void set_up_space(void)
{
	ranges.clear = space_clear;
	ranges.take = space_take;
	ranges.place = space_place;
	ranges.give = space_give;
	ranges.start = space_start;
}

static void set_up_list(void)
{
	ranges.clear = list_clear;
	ranges.take = list_take;
	ranges.place = list_place;
	ranges.give = list_give;
	ranges.start = plain_start;
}

static void set_up_tree(void)
{
	ranges.clear = tree_clear;
	ranges.take = tree_take;
	ranges.place = tree_place;
	ranges.give = tree_give;
	ranges.start = plain_start;
}

static const struct host_row rows[] = {
        {.name = "live10", .run = run_churn, .live = 10},
        {.name = "live1000", .run = run_churn, .live = 1000},
        {.name = "live100000", .run = run_churn, .live = LIVE_MAX},
};

const struct contender range_contenders[] = {
        CONTENDER("va_space", rows, set_up_space, NULL),
        CONTENDER("list", rows, set_up_list, NULL),
        CONTENDER("tree", rows, set_up_tree, NULL),
};
