/*
 * The frame array's own upkeep: who may read which entry, and the two moments when entries come into being.
 *
 * RAM behind the array holds garbage at boot, and most of it is never read. A byte per group tells how far it can be
 * trusted (<mm/page.h>, P1 to P3): the first entry of a section, the first entries of its groups, all entries of a group.
 *
 *	section  [S........|g........|g........| ... |g........]    1 GiB, 512 groups
 *	bytes      1         0         0               0             at boot: S alone
 *	           1         1         1               1             once the 1 GiB block has been cut: every g
 *	           1         2         1               1             once a 2 MiB block has been cut: [geeeeeeee]
 *
 * So the first cut of a 1 GiB block costs 511 entries 8 KiB apart, the first cut of a 2 MiB block 511 side by
 * side, and every later cut nothing. A block that is as large as its level needs no entry but its head's. To ask for an entry
 * takes one byte, wherever it is.
 *
 * A section that zones share holds no 1 GiB block, so its heads are written while memory is seeded, on one CPU, before
 * anybody else looks. A group belongs to one zone, hence to one lock.
 */
#include <mm/page.h>

#include <lib/panic.h>
#include <lib/string.h>

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

static void set_group_state(const struct page_array *array, uint64_t n, enum group_state state)
{
	__atomic_store_n(&array->written[n >> GROUP_ORDER], (uint8_t)state, __ATOMIC_RELEASE);
}

/* P3: every group's first entry but the first, which is the section's own. So no byte of the section says more yet. */
static void write_group_heads(const struct page_array *array, uint64_t section)
{
	uint64_t section_end = min_u64(section + SECTION_FRAMES, array->end);
	for (uint64_t n = section + GROUP_FRAMES; n < section_end; n += GROUP_FRAMES)
		array->frames[n] = (struct page){.type = PAGE_NONE};
	/* Eight bytes at a time, each after all entries. */
	uint64_t *words = (uint64_t *)(void *)&array->written[section >> GROUP_ORDER];
	for (unsigned i = 0; i < SECTION_FRAMES >> GROUP_ORDER >> 3; i++)
		__atomic_store_n(&words[i], GROUP_HEAD_WRITTEN * 0x0101010101010101UL, __ATOMIC_RELEASE);
}

/* Every entry of the group but its first. */
static void write_group(const struct page_array *array, uint64_t group)
{
	uint64_t group_end = min_u64(group + GROUP_FRAMES, array->end);
	memset(&array->frames[group + 1], 0, (group_end - group - 1) * sizeof(struct page));
	set_group_state(array, group, GROUP_WRITTEN);
}

void page_entry_make_written(const struct page_array *array, uint64_t n)
{
	uint64_t section = align_down(n, SECTION_FRAMES), group = align_down(n, GROUP_FRAMES);

	if (n != section && page_group_state(array, section + GROUP_FRAMES) == GROUP_UNWRITTEN)
		write_group_heads(array, section);
	if (n != group && page_group_state(array, group) != GROUP_WRITTEN)
		write_group(array, group);
}

void page_array_init(const struct page_array *array, const uint64_t *backed)
{
	ASSERT(array->end <= (uint64_t)SECTIONS_MAX * SECTION_FRAMES);
	memset(array->written, GROUP_UNWRITTEN, page_array_groups(array->end));
	for (uint64_t n = 0; n < array->end; n += SECTION_FRAMES) {
		if (!bit_test(backed, n >> SECTION_ORDER))
			continue;
		array->frames[n] = (struct page){.type = PAGE_NONE};
		set_group_state(array, n, GROUP_HEAD_WRITTEN);
	}
}

struct page *page_find_block_in(const struct page_array *array, uint64_t n)
{
	/*
	 * The block that holds n, if it has order k, begins at n rounded down to 2^k. Largest first, so that
	 * entries inside a block, which a slab may have marked, are never met. An unwritten entry means that
	 * nothing smaller than its level was ever cut here.
	 */
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		uint64_t head = align_down(n, 1UL << order);
		if (!page_entry_written(array, head))
			return NULL;
		struct page *page = &array->frames[head];
		uint16_t found = __atomic_load_n(&page->type_order, __ATOMIC_RELAXED);
		if (found >> 8 == order && found != page_type_order(PAGE_NONE, (unsigned)order))
			return page;
	}
	return NULL;
}

struct page *page_find_block(pfn_t frame)
{
	return frame.raw < page_array.end ? page_find_block_in(&page_array, frame.raw) : NULL;
}
