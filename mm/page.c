/*
 * The frame array's own upkeep: who may read which entry, and the two moments when entries come into being.
 *
 * RAM behind the array holds garbage at boot, and most of it is never read. Three levels say how far it can
 * be trusted (<mm/page.h>, P1 to P3): a section's first entry, the first entries of its groups, all entries
 * of a group.
 *
 *	section  [S........|g........|g........| ... |g........]    1 GiB, 512 groups
 *	          ^ P1      ^ P2: once the 1 GiB block has been cut
 *	                     [geeeeeeee]                               2 MiB, 512 entries
 *	                       ^ P3: once the 2 MiB block has been cut
 *
 * So the first cut of a 1 GiB block costs 511 entries 8 KiB apart, the first cut of a 2 MiB block 511 side by
 * side, and every later cut nothing. A block that is as large as its level needs no entry but its head's.
 *
 * The section's flags are shared by zones that share a section. Such a section holds no 1 GiB block, so its
 * heads are written while memory is seeded, on one CPU, before anybody else looks. A group belongs to one
 * zone, hence to one lock.
 */
#include <mm/page.h>

#include <lib/panic.h>
#include <lib/string.h>

_Static_assert(SECTIONS_MAX % BITS_PER_WORD == 0, "the map of backed sections is whole words");

/* The live array: written once by page_array_init(), read-only afterwards. */
struct page_array page_array;

const char *page_type_name(unsigned type)
{
	static const char *const names[PAGE_TYPES] = {
	        [PAGE_NONE] = "none",        [PAGE_FREE] = "free",
	        [PAGE_HELD] = "held",        [PAGE_CACHED] = "free, kept by a CPU",
	        [PAGE_EXACT] = "exact",      [PAGE_TAIL] = "exact tail",
	        [PAGE_SLAB] = "slab",        [PAGE_KMALLOC] = "kmalloc",
	        [PAGE_TABLE] = "page table", [PAGE_VMALLOC] = "vmalloc",
	};
	return type < PAGE_TYPES ? names[type] : "corrupt";
}

/* P2: every group's first entry but the first, which is the section's own. */
static void write_group_heads(struct page *frames, uint64_t section, uint64_t end)
{
	uint64_t section_end = min_u64(section + SECTION_FRAMES, end);
	for (uint64_t n = section + GROUP_FRAMES; n < section_end; n += GROUP_FRAMES)
		frames[n] = (struct page){.type = PAGE_NONE};
	frames[section].flags |= PAGE_HEADS_WRITTEN;
}

/* P3: every entry of the group but its first. */
static void write_group(struct page *frames, uint64_t group, uint64_t end)
{
	uint64_t group_end = min_u64(group + GROUP_FRAMES, end);
	memset(&frames[group + 1], 0, (group_end - group - 1) * sizeof(struct page));
	frames[group].flags |= PAGE_GROUP_WRITTEN;
}

void page_entry_make_written(struct page *frames, uint64_t n, uint64_t end)
{
	uint64_t section = align_down(n, SECTION_FRAMES), group = align_down(n, GROUP_FRAMES);

	if (n != section && !(frames[section].flags & PAGE_HEADS_WRITTEN))
		write_group_heads(frames, section, end);
	if (n != group && !(frames[group].flags & PAGE_GROUP_WRITTEN))
		write_group(frames, group, end);
}

void page_sections_init(struct page *frames, uint64_t end, const uint64_t *backed)
{
	for (uint64_t n = 0; n < end; n += SECTION_FRAMES) {
		if (bit_test(backed, n >> SECTION_ORDER))
			frames[n] = (struct page){.type = PAGE_NONE};
	}
}

struct page *page_find_block_in(struct page *frames, uint64_t n)
{
	/*
	 * The block that holds n, if it has order k, begins at n rounded down to 2^k. Largest first, so that
	 * entries inside a block, which a slab may have marked, are never met. An unwritten entry means that
	 * nothing smaller than its level was ever cut here.
	 */
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		uint64_t head = align_down(n, 1UL << order);
		if (!page_entry_written(frames, head))
			return NULL;
		uint16_t found = __atomic_load_n(&frames[head].type_order, __ATOMIC_RELAXED);
		if (found >> 8 == order && found != page_type_order(PAGE_NONE, (unsigned)order))
			return &frames[head];
	}
	return NULL;
}

void page_array_init(pfn_t end, const uint64_t *backed_sections)
{
	ASSERT(end.raw <= (uint64_t)SECTIONS_MAX * SECTION_FRAMES);
	page_array.end = end.raw;
	uint64_t sections = align_up(end.raw, SECTION_FRAMES) >> SECTION_ORDER;
	for (uint64_t word = 0; word * BITS_PER_WORD < sections; word++)
		page_array.backed[word] = backed_sections[word];
	page_sections_init(pfn_to_page(pfn(0)), page_array.end, page_array.backed);
}

struct page *page_find_block(pfn_t frame)
{
	return page_is_backed(frame) ? page_find_block_in(pfn_to_page(pfn(0)), frame.raw) : NULL;
}
