#include "scene.h"
#include <arch/smp.h>
#include <lib/panic.h>
#include <mm/page_alloc.h>
#include <mm/vmalloc.h>
#include <hoard.h>
#include <test/test.h>
#include "../../mm/page_alloc_internal.h"
#include "../../mm/slab_internal.h"

/* ---- The stock ---- */

enum { STOCK_MAX = 256 };

static struct {
	struct kmem_cache *cache;
	void *objects[STOCK_MAX];
	size_t nr_objects;
	unsigned order;
	struct page *pages[STOCK_MAX];
	size_t nr_pages;
} stock;

static void take_object(void)
{
	assert_at_most(stock.nr_objects, STOCK_MAX - 1);
	void *object = kmem_cache_alloc(stock.cache, GFP_KERNEL);
	assert_non_null(object);
	stock.objects[stock.nr_objects++] = object;
}

static void give_object(void)
{
	assert_at_least(stock.nr_objects, 1);
	kmem_cache_free(stock.cache, stock.objects[--stock.nr_objects]);
}

static void open_stock(struct kmem_cache *cache)
{
	while (stock.nr_objects)
		give_object();
	stock.cache = cache;
}

static void take_page(void)
{
	assert_at_most(stock.nr_pages, STOCK_MAX - 1);
	struct page *page = alloc_pages(GFP_KERNEL, stock.order);
	assert_non_null(page);
	stock.pages[stock.nr_pages++] = page;
}

static void give_page(void)
{
	assert_at_least(stock.nr_pages, 1);
	__free_pages(stock.pages[--stock.nr_pages], stock.order);
}

static void close_page_stock(void)
{
	while (stock.nr_pages)
		give_page();
}

static void open_page_stock(unsigned order)
{
	if (stock.order != order)
		close_page_stock();
	stock.order = order;
	if (stock.nr_pages > STOCK_MAX / 2) { /* calls brought more to the list than they took from it */
		close_page_stock();
		drain_all_pages();
	}
}

/* ---- Pages ---- */

static struct cpu_stack *own_list(unsigned order)
{
	unsigned zone = NR_ZONES - 1;

	while (!zones[zone].buddy.nr_managed)
		zone--;
	return page_cpu_list(this_cpu()->pages, zone, order);
}

bool scene_has_list(unsigned order)
{
	return own_list(order)->capacity >= 4;
}

void scene_list(unsigned order, enum level level)
{
	struct cpu_stack *list = own_list(order);
	uint32_t wanted = list->capacity * level / LIST_FULL;

	if (!scene_has_list(order))
		return;
	if (level == LIST_EMPTY) {
		drain_all_pages();
		return;
	}
	if (list->count == wanted)
		return;
	open_page_stock(order);
	while (list->count > wanted)
		take_page();
	while (list->count + stock.nr_pages < wanted + 1)
		take_page(); /* more in the stock, and the list is refilled now and then */
	while (list->count < wanted)
		give_page();
	assert_int_equal(list->count, wanted);
}

/* ---- Magazines ---- */

static struct cpu_slab *own_slab(struct kmem_cache *cache)
{
	return &cache->cpu[this_cpu()->id];
}

static size_t rounds_in(const struct cpu_magazine *magazine)
{
	return magazine->used / sizeof(struct cpu_pair);
}

size_t scene_rounds(const struct kmem_cache *cache)
{
	return cache->magazine_size / sizeof(struct cpu_pair);
}

void scene_magazine_half(struct kmem_cache *cache)
{
	const struct cpu_slab *own = own_slab(cache);
	size_t rounds = scene_rounds(cache), low = rounds / 4, wanted = rounds / 2;

	if (stock.cache != cache)
		open_stock(cache);
	if (rounds_in(own->loaded) >= low && rounds_in(own->loaded) <= rounds - low && own->loaded->size)
		return;
	open_stock(cache);
	for (size_t i = 0; i < rounds; i++)
		take_object();
	while (rounds_in(own->loaded) > wanted)
		take_object();
	while (rounds_in(own->loaded) < wanted)
		give_object();
}

static bool has_free_objects(struct kmem_cache *cache)
{
	return cache->nr_active != cache->nr_objects || own_slab(cache)->loaded->used ||
	       own_slab(cache)->previous->used;
}

void scene_magazines(struct kmem_cache *cache, const struct magazines *wanted)
{
	const struct cpu_slab *own = own_slab(cache);

	open_stock(cache);
	kmem_cache_shrink(cache);
	take_object();
	while (stock.nr_objects < wanted->frees || has_free_objects(cache))
		take_object();
	for (size_t i = 0; i < wanted->frees; i++)
		give_object();
	for (size_t i = 0; i < wanted->takes; i++)
		take_object();
	for (size_t i = 0; i < wanted->again; i++)
		give_object();
	assert_int_equal(rounds_in(own->loaded), wanted->loaded);
	assert_int_equal(rounds_in(own->previous), wanted->previous);
	assert_int_equal(cache->depot.nr_full, wanted->full);
}

enum { SLABS_ONLY = 98, FREE_ENOUGH = 50 /* for a handler that takes and holds what it can */ };

/* Of each seven objects five are free: where a slab has seven, no slab is empty. */
void scene_slabs_only(struct kmem_cache *cache, bool attached)
{
	const struct cpu_slab *own = own_slab(cache);
	size_t kept = 0;

	open_stock(cache);
	kmem_cache_shrink(cache);
	for (unsigned i = 0; i < SLABS_ONLY; i++)
		take_object();
	for (size_t i = 0; i < SLABS_ONLY; i++) {
		if (i % 7 < 2)
			stock.objects[kept++] = stock.objects[i];
		else
			kmem_cache_free(cache, stock.objects[i]);
	}
	stock.nr_objects = kept;
	kmem_cache_shrink(cache);
	while (attached && (!own->loaded->size || own->loaded->used || own->previous->used))
		take_object();
	assert_int_equal(own->loaded->size != 0, attached);
	assert_at_least(cache->nr_objects, cache->nr_active + FREE_ENOUGH);
}

/* ---- Ranges ---- */

enum { AREAS_LAZY = 64, PAGES_LAZY = 1024, SPARE_PAGES = 3 };

void scene_ranges_none(void)
{
	vm_unmap_aliases();
}

void scene_ranges_spare(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 0), *pages[SPARE_PAGES] = {page, page, page};

	vm_unmap_aliases();
	assert_non_null(page);
	vunmap(vmap(pages, SPARE_PAGES, VM_MAP, PAGE_KERNEL)); /* is flushed at once */
	__free_pages(page, 0);
}

void scene_ranges_many(void)
{
	vm_unmap_aliases();
	for (unsigned i = 1; i < AREAS_LAZY; i++)
		vfree(vmalloc(PAGE_SIZE));
}

void scene_ranges_large(void)
{
	vm_unmap_aliases();
	vfree(vmalloc((PAGES_LAZY - 1) * PAGE_SIZE));
}

/* ---- All memory ---- */

void scene_reclaimed(void)
{
	open_stock(NULL);
	close_page_stock();
	reclaim_pages();
}

static struct hoard hoard;

/* The first is set with memory, later ones without: then the cache has the objects and the slabs that it needs. */
void scene_starved(struct kmem_cache *cache)
{
	if (!hoard.first)
		scene_slabs_only(cache, false);
	else
		kmem_cache_shrink(cache);
	reclaim_pages();
	hoard_take(&hoard, GFP_ATOMIC, 0);
	assert_int_equal(own_slab(cache)->loaded->size, 0);
	assert_int_equal(magazine_cache_of(cache)->nr_slabs, 0);
	assert_at_least(cache->nr_objects, cache->nr_active + 8);
}

void scene_end(void)
{
	hoard_release(&hoard);
	open_stock(NULL);
	close_page_stock();
}

/* ---- The way of a call ---- */

static const struct {
	const char *name;
	enum cpu_counter counter; /* if it has one */
} steps[] = {
        {"page refill", COUNT_PAGE_REFILLS},
        {"page drain", COUNT_PAGE_DRAINS},
        {"depot exchange", COUNT_DEPOT_EXCHANGES},
        {"slab refill", COUNT_SLAB_REFILLS},
        {"slab drain", COUNT_SLAB_DRAINS},
        {"range hit", COUNT_RANGE_HITS},
        {"range purge", COUNT_RANGE_PURGES},
        {"attached", CPU_COUNTERS},
        {"swapped", CPU_COUNTERS},
        {"slab made", CPU_COUNTERS},
        {"slab gone", CPU_COUNTERS},
};

static struct {
	const struct kmem_cache *cache;
	uint64_t counters[ARRAY_SIZE(steps)];
	struct cpu_slab own;
	size_t slabs;
} before;

void way_begin(const struct kmem_cache *cache)
{
	before.cache = cache;
	for (size_t i = 0; i < ARRAY_SIZE(steps) && steps[i].counter < CPU_COUNTERS; i++)
		before.counters[i] = counter_sum(steps[i].counter);
	if (cache) {
		before.own = cache->cpu[this_cpu()->id];
		before.slabs = cache->nr_slabs;
	}
}

unsigned way_end(void)
{
	const struct kmem_cache *cache = before.cache;
	unsigned way = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(steps) && steps[i].counter < CPU_COUNTERS; i++)
		way |= (unsigned)(counter_sum(steps[i].counter) != before.counters[i]) << i;
	if (!cache)
		return way;
	const struct cpu_slab *own = &cache->cpu[this_cpu()->id];
	if (!before.own.loaded->size && own->loaded->size)
		way |= ATTACHED;
	if (own->loaded != own->previous && own->loaded == before.own.previous &&
	    own->previous == before.own.loaded)
		way |= SWAPPED;
	if (cache->nr_slabs != before.slabs)
		way |= cache->nr_slabs > before.slabs ? SLAB_MADE : SLAB_GONE;
	return way;
}

void way_print(unsigned way, struct printer *out)
{
	const char *comma = "";

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (way >> i & 1) {
			print(out, "%s%s", comma, steps[i].name);
			comma = ", ";
		}
	}
	if (!way)
		print(out, "nothing beyond this CPU's own");
}
