/* The place of the vmalloc window: every multiple of 2 MiB in the region that leaves room for it, each equally likely. */
#include <arch/machine.h>
#include <arch/page.h>
#include <lib/panic.h>
#include <mm/vmalloc_window.h>

#define REGION_SIZE (VMALLOC_REGION_END - VMALLOC_REGION_START)

_Static_assert(VMALLOC_WINDOW_ALIGN == PMD_SIZE, "a lowest table is the window's throughout or not at all");
_Static_assert(VMALLOC_REGION_START % VMALLOC_WINDOW_ALIGN == 0 &&
                       VMALLOC_REGION_END % VMALLOC_WINDOW_ALIGN == 0 &&
                       VMALLOC_FIXED_BASE % VMALLOC_WINDOW_ALIGN == 0 &&
                       VMALLOC_FIXED_BASE >= VMALLOC_REGION_START &&
                       VMALLOC_FIXED_BASE + VMALLOC_SIZE <= VMALLOC_REGION_END,
               "the window may begin at its fixed base");
_Static_assert((REGION_SIZE - VMALLOC_SIZE) / VMALLOC_WINDOW_ALIGN == 1UL << 24,
               "as <arch/machine.h> says: 24 bits by default");

const char *vmalloc_window_fault(uint64_t size, bool placed, uint64_t base)
{
	if (size < VMALLOC_WINDOW_ALIGN)
		return "less than 2 MiB";
	if (size % VMALLOC_WINDOW_ALIGN)
		return "not a multiple of 2 MiB";
	if (size > REGION_SIZE)
		return "more than the whole region, 64 TiB";
	if (placed && base % VMALLOC_WINDOW_ALIGN)
		return "the address is not a multiple of 2 MiB";
	if (placed && (base < VMALLOC_REGION_START || base > VMALLOC_REGION_END - size))
		return "outside the region 0xffffb00000000000-0xfffff00000000000";
	return NULL;
}

uint64_t vmalloc_window_places(uint64_t size)
{
	ASSERT(!vmalloc_window_fault(size, false, 0));
	return (REGION_SIZE - size) / VMALLOC_WINDOW_ALIGN + 1;
}

struct vrange vmalloc_window_at(uint64_t size, uint64_t number)
{
	uint64_t place = number % vmalloc_window_places(size);

	return vrange_sized(vaddr(VMALLOC_REGION_START + place * VMALLOC_WINDOW_ALIGN), size);
}

struct vrange vmalloc_window_fixed(uint64_t size)
{
	ASSERT(!vmalloc_window_fault(size, false, 0));
	return vrange_sized(vaddr(min_u64(VMALLOC_FIXED_BASE, VMALLOC_REGION_END - size)), size);
}
