/* One area for each hole, and exactly as large: the lowest hole first, which is then the lowest that is large enough. */
#include <arch/page.h>
#include <mm/page_alloc.h>
#include <mm/vmalloc.h>
#include <test/holes.h>

enum { FILLERS_MAX = 64 };

static struct vmap_area *fillers[FILLERS_MAX];
static unsigned nr_fillers;

/* The first address from `at` on that is in an area, or `end`. */
static uintptr_t end_of_hole(uintptr_t at, uintptr_t end)
{
	while (at < end && !find_vm_area((const void *)at))
		at += PAGE_SIZE;
	return at;
}

void holes_fill(void)
{
	reclaim_pages(); /* no range is kept that would do */
	const struct vrange used = vmalloc_used_range();

	for (uintptr_t at = used.start.raw; at < used.end.raw && nr_fillers < FILLERS_MAX;) {
		const struct vmap_area *area = find_vm_area((const void *)at);
		if (area) {
			at = area->va_end;
			continue;
		}
		uintptr_t end = end_of_hole(at, used.end.raw);
		struct vmap_area *filler = get_vm_area(end - at, VM_MAP | VM_NO_GUARD);
		if (filler)
			fillers[nr_fillers++] = filler;
		at = end;
	}
}

void holes_give(void)
{
	while (nr_fillers)
		free_vm_area(fillers[--nr_fillers]);
	reclaim_pages();
}
