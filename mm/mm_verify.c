/*
 * The whole, checked against itself.
 *
 * M1  Conservation: RAM = free + held + reserved + frame array + page tables, to the page; and every frame the page
 *     allocator manages lies in exactly one block, free or held.
 * M2  What is held for a purpose is what that purpose counts: page tables, frames of vmalloc areas, large kmallocs.
 * M3  Every translation of the kernel's address space is one of: a direct-map address to its own frame of RAM, the image
 *     to where it was loaded, the frame array to RAM reserved for it, a vmalloc address inside a busy area.
 * M4  No writable translation leads to a frame of read-only image; none is writable and executable.
 * M5  No vmalloc address leads to a free frame.
 * M6  Exact allocations are whole (page_alloc.c, Z4).
 * M7  What the direct map hides or keeps from being written is the image's read-only part, or held by whoever asked for
 *     it through set_memory.h: by an area, which then is VM_FLUSH_RESET_PERMS, or as a block of pages.
 * M8  The direct map and the frame array are write-back, whatever devices are mapped as.
 *
 * Each structure's own verifier runs first, so that what is read here may be trusted.
 */
#include <mm/mm.h>
#include <lib/check.h>
#include <lib/printer.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/pagetable_check.h>
#include <mm/slab.h>
#include <mm/va_space.h>
#include <mm/vmalloc.h>
#include "mm_internal.h"

/* Frames by type over everything memblock handed to the page allocator. */
struct frame_census {
	size_t by_type[PAGE_TYPES];
	size_t total;
};

/* M6 for the exact allocation that begins at n, which reaches to *end. */
static const char *check_exact(const struct page *head, uint64_t n, uint64_t *end)
{
	size_t count = head->private;

	CHECK(count && count <= 1UL << MAX_PAGE_ORDER, "M6: the exact allocation at pfn 0x%lx has %zu pages",
	      n, count);
	*end = n + count;
	for (uint64_t at = n; at < *end; at += 1UL << log2_floor(*end - at)) {
		const struct page *block = page_find_block(pfn(at));
		bool part = block == pfn_to_page(pfn(at)) && block->order == log2_floor(*end - at) &&
		            (at == n || (block->type == PAGE_TAIL && block->private == n));
		CHECK(part, "M6: the exact allocation at pfn 0x%lx of %zu pages is torn at pfn 0x%lx", n,
		      count, at);
	}
	return NULL;
}

/* Counts what begins at *n, a block or an exact allocation, and goes past it. */
static const char *count_held_or_free(struct frame_census *census, uint64_t *n)
{
	const struct page *head = pfn_to_page(pfn(*n));
	CHECK(page_find_block(pfn(*n)) == head, "M1: pfn 0x%lx is managed but begins no block", *n);
	CHECK(head->type < PAGE_TYPES, "M1: pfn 0x%lx has unknown type %u", *n, head->type);
	CHECK(head->type != PAGE_TAIL, "M6: pfn 0x%lx is the tail of no exact allocation", *n);

	uint64_t end = *n + (1UL << head->order);
	const char *broken = NULL;
	if (head->type == PAGE_EXACT || head->type == PAGE_KMALLOC)
		broken = check_exact(head, *n, &end);
	census->by_type[head->type] += end - *n;
	census->total += end - *n;
	*n = end;
	return broken;
}

static const char *count_frames(struct frame_census *census)
{
	paddr_t cursor = paddr(0);
	struct prange range;

	memset(census, 0, sizeof(*census));
	while (memblock_next_free(&mm_state.memblock, &cursor, &range)) {
		uint64_t n = paddr_to_pfn(range.start).raw, end = paddr_to_pfn(range.end).raw;
		while (n < end) {
			const char *broken = count_held_or_free(census, &n);
			if (broken)
				return broken;
		}
		CHECK(n == end, "M1: the block before pfn 0x%lx reaches past managed memory", n);
	}
	return NULL;
}

static const char *check_conservation(const struct frame_census *census)
{
	const struct memblock *mb = &mm_state.memblock;
	size_t ram = memblock_ram_bytes(mb) >> PAGE_SHIFT,
	       reserved = memblock_reserved_bytes(mb) >> PAGE_SHIFT;
	size_t boot_tables_given = (mb->allocated[MEMBLOCK_TABLES] >> PAGE_SHIFT) - mm_state.boot_tables;

	CHECK(ram == census->total + reserved, "M1: RAM is %zu pages, but %zu are managed and %zu reserved",
	      ram, census->total, reserved);
	CHECK(nr_managed_pages() == census->total + boot_tables_given,
	      "M1: the page allocator manages %zu frames, its blocks hold %zu", nr_managed_pages(),
	      census->total);
	size_t free = census->by_type[PAGE_FREE] + census->by_type[PAGE_CACHED];
	CHECK(nr_free_pages() >= free && nr_free_pages() - free <= boot_tables_given,
	      "M1: %zu frames are counted free, but blocks of %zu are", nr_free_pages(), free);
	return NULL;
}

static const char *check_owners(const struct frame_census *census)
{
	size_t tables = kernel_pagetable.nr_tables - mm_state.boot_tables;
	struct vmalloc_stats areas = vmalloc_stats();

	CHECK(census->by_type[PAGE_TABLE] == tables,
	      "M2: %zu frames are page tables, but the kernel's walk needs %zu", census->by_type[PAGE_TABLE],
	      tables);
	CHECK(census->by_type[PAGE_VMALLOC] == areas.nr_pages,
	      "M2: %zu frames are held by vmalloc, its areas count %zu", census->by_type[PAGE_VMALLOC],
	      areas.nr_pages);
	size_t large = kmalloc_large_bytes() >> PAGE_SHIFT;
	CHECK(census->by_type[PAGE_KMALLOC] == large,
	      "M2: %zu frames are held by large kmallocs, counted as %zu", census->by_type[PAGE_KMALLOC],
	      large);
	return NULL;
}

/* Is [start, start + size) RAM throughout? The mapping may span several touching ranges of the walk, not of memblock. */
static bool is_ram(paddr_t start, uint64_t size)
{
	const struct memblock_ranges *ram = &mm_state.memblock.ram;

	for (size_t i = 0; i < ram->count; i++) {
		if (start.raw >= ram->at[i].start.raw && start.raw + size <= ram->at[i].end.raw)
			return true;
	}
	return false;
}

static const struct mm_segment *image_segment(struct vrange va)
{
	for (size_t i = 0; i < mm_state.nr_image; i++) {
		const struct mm_segment *segment = &mm_state.image[i];
		if (va.start.raw >= segment->va.start.raw && va.end.raw <= segment->va.end.raw)
			return segment;
	}
	return NULL;
}

static const char *check_image_mapping(const struct mapping *m)
{
	uint64_t start = m->va.start.raw;

	/* A run of leaves may cross touching segments of one protection: check page by page. */
	for (uint64_t offset = 0; offset < vrange_size(m->va); offset += PAGE_SIZE) {
		struct vrange page = vrange(start + offset, start + offset + PAGE_SIZE);
		const struct mm_segment *segment = image_segment(page);
		CHECK(segment, "M3: 0x%lx is mapped but belongs to no image segment", page.start.raw);
		CHECK(m->pa.raw + offset == segment->pa.raw + (page.start.raw - segment->va.start.raw) &&
		              m->prot.raw == segment->prot.raw,
		      "M3: image segment %s is mapped wrongly at 0x%lx", segment->name, page.start.raw);
	}
	return NULL;
}

static const char *check_vmalloc_mapping(const struct mapping *m)
{
	uint64_t start = m->va.start.raw;

	for (uint64_t offset = 0; offset < vrange_size(m->va); offset += PAGE_SIZE) {
		vaddr_t va = vaddr_add(vaddr(start), offset);
		pfn_t frame = paddr_to_pfn(paddr_add(m->pa, offset));
		CHECK(find_vm_area((void *)va.raw), "M3: vmalloc address 0x%lx is mapped but in no area",
		      va.raw);
		const struct page *block = page_is_backed(frame) ? page_find_block(frame) : NULL;
		CHECK(!block || (block->type != PAGE_FREE && block->type != PAGE_CACHED),
		      "M5: vmalloc address 0x%lx leads to the free frame 0x%lx", va.raw, frame.raw);
	}
	return NULL;
}

/* M4's second half; the first is the page-table verifier's. */
static const char *check_no_writable_alias(const struct mapping *m)
{
	if (!(m->prot.raw & PTE_WRITE))
		return NULL;
	for (size_t i = 0; i < mm_state.nr_image; i++) {
		const struct mm_segment *segment = &mm_state.image[i];
		uint64_t start = segment->pa.raw, end = start + vrange_size(segment->va);
		bool overlaps = m->pa.raw < end && start < m->pa.raw + vrange_size(m->va);
		CHECK((segment->prot.raw & PTE_WRITE) || !overlaps,
		      "M4: 0x%lx is a writable alias of read-only segment %s", m->va.start.raw,
		      segment->name);
	}
	return NULL;
}

static bool is_read_only_image(paddr_t pa)
{
	for (size_t i = 0; i < mm_state.nr_image; i++) {
		const struct mm_segment *segment = &mm_state.image[i];
		if (!(segment->prot.raw & PTE_WRITE) && pa.raw - segment->pa.raw < vrange_size(segment->va))
			return true;
	}
	return false;
}

/* M7 */
static const char *check_restricted(const struct mapping *m)
{
	for (uint64_t offset = 0; offset < vrange_size(m->va); offset += PAGE_SIZE) {
		paddr_t pa = paddr_add(m->pa, offset);
		if (is_read_only_image(pa))
			continue;
		const struct page *block = page_find_block(paddr_to_pfn(pa));
		CHECK(block, "M7: the direct map is %s at 0x%lx, which nobody holds", pgprot_access(m->prot),
		      m->va.start.raw + offset);
		const struct vmap_area *area = block->type == PAGE_VMALLOC ? block->owner : NULL;
		CHECK(area ? area->flags & VM_FLUSH_RESET_PERMS : page_is_callers(block),
		      "M7: the direct map is %s at 0x%lx, a frame that is %s%s", pgprot_access(m->prot),
		      m->va.start.raw + offset, page_type_name(block->type),
		      area ? " and would stay so" : "");
	}
	return NULL;
}

static const char *check_mapping(const struct mapping *m)
{
	uint64_t start = m->va.start.raw, size = vrange_size(m->va);
	struct vrange frames = vrange(FRAMES_BASE, FRAMES_BASE + page_array_end().raw * sizeof(struct page));

	const char *broken = check_no_writable_alias(m);
	if (broken)
		return broken;
	bool ours = is_directmap_address(m->va.start) || vrange_contains(frames, m->va.start);
	CHECK(!ours || pgprot_type(m->prot) == MEMORY_WB, "M8: the RAM at 0x%lx is mapped %s", start,
	      pgprot_memory_type(m->prot));
	if (is_directmap_address(m->va.start)) {
		CHECK(m->pa.raw == start - DIRECTMAP_BASE, "M3: direct map leads from 0x%lx to 0x%lx", start,
		      m->pa.raw);
		CHECK(is_ram(m->pa, size), "M3: the direct map at 0x%lx covers more than RAM", start);
		CHECK(m->prot.raw & PTE_NO_EXEC, "M4: the direct map is executable at 0x%lx", start);
		return m->prot.raw == PAGE_KERNEL.raw ? NULL : check_restricted(m);
	}
	if (vrange_contains(frames, m->va.start)) {
		CHECK(is_ram(m->pa, size) && m->va.end.raw <= frames.end.raw,
		      "M3: the frame array at 0x%lx is no RAM", start);
		return NULL;
	}
	if (vrange_contains(mm_state.vmalloc, m->va.start))
		return check_vmalloc_mapping(m);
	return check_image_mapping(m);
}

static bool visit_mapping(const struct mapping *m, void *context)
{
	const char **broken = context;

	*broken = check_mapping(m);
	return !*broken;
}

const char *mm_verify(void)
{
	static struct frame_census census;
	const char *broken;

	if ((broken = page_alloc_check()) || (broken = slab_check()) ||
	    (broken = pagetable_check(&kernel_pagetable)) || (broken = vmalloc_check()))
		return broken;
	if ((broken = count_frames(&census)) || (broken = check_conservation(&census)) ||
	    (broken = check_owners(&census)))
		return broken;
	address_space_walk(kernel_pagetable.root, kernel_pagetable.levels, visit_mapping, &broken);
	return broken;
}

static void record_cache(const struct slab_stats *stats, void *context)
{
	struct mm_fingerprint *fingerprint = context;

	if (fingerprint->caches < FINGERPRINT_CACHES)
		fingerprint->objects[fingerprint->caches] = stats->active_objects;
	fingerprint->caches++;
}

void mm_fingerprint(struct mm_fingerprint *fingerprint)
{
	memset(fingerprint, 0, sizeof(*fingerprint));
	reclaim_pages();
	for (unsigned z = 0; z < NR_ZONES; z++) {
		irqflags_t flags = spin_lock_irqsave(&zones[z].lock);
		for (unsigned order = 0; order < PAGE_ORDERS; order++)
			fingerprint->free_blocks[z][order] = zones[z].buddy.free[order].count;
		spin_unlock_irqrestore(&zones[z].lock, flags);
	}
	slab_for_each_cache(record_cache, fingerprint);
	struct vmalloc_stats areas = vmalloc_stats();
	fingerprint->areas = areas.areas;
	fingerprint->area_bytes = areas.used_bytes;
	fingerprint->area_pages = areas.nr_pages;
	fingerprint->large_bytes = kmalloc_large_bytes();
	fingerprint->tables = kernel_pagetable.nr_tables;
}

static bool same(size_t before, size_t after, struct printer *out, const char *what)
{
	if (before == after)
		return true;
	print(out, "%s: %zu before, %zu after\n", what, before, after);
	return false;
}

bool mm_fingerprint_equal(const struct mm_fingerprint *before, const struct mm_fingerprint *after,
                          struct printer *out)
{
	bool equal = true;
	char what[64];

	for (unsigned z = 0; z < NR_ZONES; z++) {
		for (unsigned order = 0; order < PAGE_ORDERS; order++) {
			format_buffer(what, sizeof(what), "free blocks of order %u in zone %s", order,
			              zones[z].name);
			equal &= same(before->free_blocks[z][order], after->free_blocks[z][order], out, what);
		}
	}
	equal &= same(before->caches, after->caches, out, "object caches");
	for (size_t c = 0; c < before->caches && c < after->caches && c < FINGERPRINT_CACHES; c++) {
		format_buffer(what, sizeof(what), "live objects of cache %zu (see slabinfo)", c);
		equal &= same(before->objects[c], after->objects[c], out, what);
	}
	equal &= same(before->areas, after->areas, out, "virtual areas");
	equal &= same(before->area_bytes, after->area_bytes, out, "bytes of virtual areas");
	equal &= same(before->area_pages, after->area_pages, out, "frames behind virtual areas");
	equal &= same(before->large_bytes, after->large_bytes, out, "bytes of large kmallocs");
	equal &= same(before->tables, after->tables, out, "page tables");
	return equal;
}
