#include <scarcity.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <test/test.h>
#include "../../mm/vmalloc_internal.h"

struct hoard taken_frames;

void take_all_frames(void)
{
	do
		hoard_take(&taken_frames, GFP_ATOMIC, 0);
	while (reclaim_pages());
	assert_int_equal(nr_free_pages(), 0);
}

void give_frames(void)
{
	hoard_release(&taken_frames);
}

static struct vmap_area *fillers[64];
static size_t nr_fillers;

void take_all_space(void)
{
	size_t hole;

	vm_unmap_aliases();
	while ((hole = vmalloc_stats().largest_hole) >= 2 * PAGE_SIZE) {
		assert_at_most(nr_fillers + 1, ARRAY_SIZE(fillers));
		fillers[nr_fillers] = get_vm_area(hole, VM_MAP | VM_NO_GUARD);
		assert_non_null(fillers[nr_fillers]);
		nr_fillers++;
	}
}

void give_space(void)
{
	while (nr_fillers)
		free_vm_area(fillers[--nr_fillers]);
}

/* Every descriptor, chained through their first words. */
static void **descriptors;

void take_all_descriptors(gfp_t gfp)
{
	void **node;

	while ((node = kmem_cache_alloc(vmalloc_state.nodes, gfp | __GFP_NOWARN))) {
		*node = descriptors;
		descriptors = node;
	}
}

void give_descriptors(void)
{
	while (descriptors) {
		void **node = descriptors;
		descriptors = *node;
		kmem_cache_free(vmalloc_state.nodes, node);
	}
}

/* The live source, which has none until it rains. */
static struct page_source *live_source;
static size_t times_taken;
static bool (*rains)(void);

static bool take_if_it_rains(struct page_source *source, paddr_t *frame)
{
	struct page *pair = rains ? alloc_pages(GFP_ATOMIC | __GFP_NOWARN, 1) : NULL;

	(void)source;
	if (pair)
		__free_pages(pair, 1); /* to be drained: each attempt has hopes of another */
	times_taken++;
	return rains && rains() && live_source->take(live_source, frame);
}

static void give_to_live_source(struct page_source *source, paddr_t frame)
{
	(void)source;
	live_source->give(live_source, frame);
}

static struct page_source dry_source = {take_if_it_rains, give_to_live_source};

void take_all_tables(bool (*until)(void))
{
	times_taken = 0;
	rains = until;
	live_source = kernel_pagetable.source;
	kernel_pagetable.source = &dry_source;
}

void give_tables(void)
{
	if (live_source)
		kernel_pagetable.source = live_source;
	live_source = NULL;
}

size_t tables_asked_for(void)
{
	return times_taken;
}

void give_everything_back(void)
{
	give_tables();
	give_descriptors();
	give_space();
	give_frames();
}
