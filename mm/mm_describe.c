/*
 * The whole, in words: what lies at an address, and the views that people know from /proc. Nothing here allocates; the
 * fault report's part takes no lock and reads only what is known to be mapped.
 */
#include <mm/mm.h>
#include <lib/printer.h>
#include <mm/pagetable.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include "mm_internal.h"

static void describe_directmap(vaddr_t address, struct printer *out)
{
	const void *pointer = (const void *)address.raw;
	pfn_t frame = paddr_to_pfn(directmap_to_paddr(pointer));

	if (!page_is_backed(frame)) {
		print(out, "direct map of physical 0x%lx, where there is no RAM",
		      directmap_to_paddr(pointer).raw);
		return;
	}
	if (slab_describe(pointer, out))
		return;
	const struct page *block = page_find_block(frame);
	if (!block) {
		print(out, "direct map, reserved frame 0x%lx", frame.raw);
		return;
	}
	print(out, "direct map, frame 0x%lx in the block of order %u at frame 0x%lx (%s)", frame.raw,
	      block->order, page_to_pfn(block).raw, page_type_name(block->type));
	if (block->type >= PAGE_HELD)
		print(out, " from %pS", (void *)page_caller(block));
}

static void describe_image(vaddr_t address, struct printer *out)
{
	const struct mm_segment *below = NULL;

	for (size_t i = 0; i < mm_state.nr_image; i++) {
		const struct mm_segment *segment = &mm_state.image[i];
		if (vrange_contains(segment->va, address)) {
			print(out, "kernel image, %s, %s", segment->name,
			      segment->prot.raw & PTE_WRITE     ? "writable, not executable"
			      : segment->prot.raw & PTE_NO_EXEC ? "read-only, not executable"
			                                        : "read-only, executable");
			return;
		}
		if (segment->va.end.raw <= address.raw && (!below || segment->va.end.raw > below->va.end.raw))
			below = segment;
	}
	if (below)
		print(out, "unmapped, 0x%lx bytes past image segment %s", address.raw - below->va.end.raw,
		      below->name);
	else
		print(out, "unmapped, before the kernel image");
}

void mm_describe_address(vaddr_t address, struct printer *out)
{
	struct vrange frames = vrange(FRAMES_BASE, FRAMES_BASE + page_array_end().raw * sizeof(struct page));

	if (address.raw < PAGE_SIZE)
		print(out, "NULL page, offset 0x%lx", address.raw);
	else if (!vaddr_is_canonical(address, kernel_pagetable.levels))
		print(out, "non-canonical address");
	else if (is_directmap_address(address))
		describe_directmap(address, out);
	else if (vrange_contains(frames, address))
		print(out, "frame array, entry of frame 0x%lx",
		      (address.raw - FRAMES_BASE) / sizeof(struct page));
	else if (vmalloc_describe(address, out))
		return;
	else if (address.raw >= KIMAGE_BASE)
		describe_image(address, out);
	else
		print(out, "unmapped, outside every window of the kernel");
}

struct slab_totals {
	size_t pages;
};

static void add_slab_pages(const struct slab_stats *stats, void *context)
{
	struct slab_totals *totals = context;

	totals->pages += stats->pages;
}

static void meminfo_line(struct printer *out, const char *name, uint64_t bytes)
{
	print(out, "%-16s%12lu kB\n", name, bytes >> 10);
}

void meminfo_dump(struct printer *out)
{
	const struct memblock *mb = &mm_state.memblock;
	struct vmalloc_stats areas = vmalloc_stats();
	struct slab_totals slabs = {0};

	slab_for_each_cache(add_slab_pages, &slabs);
	meminfo_line(out, "MemTotal:", memblock_ram_bytes(mb));
	meminfo_line(out, "MemManaged:", nr_managed_pages() << PAGE_SHIFT);
	meminfo_line(out, "MemFree:", nr_free_pages() << PAGE_SHIFT);
	meminfo_line(out, "Reserved:", memblock_reserved_bytes(mb));
	meminfo_line(out, "FrameArray:", mb->allocated[MEMBLOCK_FRAMES]);
	meminfo_line(out, "PageTables:", kernel_pagetable.nr_tables << PAGE_SHIFT);
	meminfo_line(out, "Slab:", slabs.pages << PAGE_SHIFT);
	meminfo_line(out, "VmallocTotal:", areas.total_bytes);
	meminfo_line(out, "VmallocUsed:", areas.used_bytes);
	meminfo_line(out, "VmallocChunk:", areas.largest_hole);
}

void memory_map_dump(struct printer *out)
{
	memblock_dump(&mm_state.memblock, out);
	for (size_t i = 0; i < mm_state.nr_reserved; i++) {
		const struct mm_reservation *r = &mm_state.reserved[i];
		print(out, "in use    0x%012lx-0x%012lx %10lu kB %s\n", r->range.start.raw, r->range.end.raw,
		      (prange_size(r->range) + 1023) >> 10, r->what);
	}
}

static void layout_line(struct printer *out, uint64_t start, uint64_t end, const char *what)
{
	print(out, "0x%016lx-0x%016lx %14lu kB %s\n", start, end, (end - start) >> 10, what);
}

void layout_dump(struct printer *out)
{
	const struct memblock_ranges *ram = &mm_state.memblock.ram;
	uint64_t ram_end = ram->count ? ram->at[ram->count - 1].end.raw : 0;

	layout_line(out, DIRECTMAP_BASE, DIRECTMAP_BASE + ram_end, "direct map of RAM");
	layout_line(out, FRAMES_BASE, FRAMES_BASE + page_array_end().raw * sizeof(struct page),
	            "frame array");
	layout_line(out, mm_state.vmalloc.start.raw, mm_state.vmalloc.end.raw, "vmalloc window");
	for (size_t i = 0; i < mm_state.nr_image; i++)
		layout_line(out, mm_state.image[i].va.start.raw, mm_state.image[i].va.end.raw,
		            mm_state.image[i].name);
}
