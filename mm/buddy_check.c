/*
 * Verifier and view of struct buddy: buddy.c's invariants, read back from nothing but its lists and block
 * heads.
 *
 * Two passes that must agree. One follows the lists. The other walks the span from head to head, over entries
 * that were written, and knows nothing of lists. O(blocks), and at most a step per group where a section is
 * in part reserved and a step per frame where a group is.
 */
#include <mm/buddy.h>

#include <lib/bits.h>
#include <lib/check.h>
#include <lib/printer.h>

/* I1 for one block, and I7, without which the entries inside must not be read. */
static const char *check_block(const struct buddy *buddy, uint64_t n, unsigned order)
{
	CHECK(order < PAGE_ORDERS, "I1: the block at pfn 0x%lx has order %u", n, order);
	CHECK(is_aligned(n, 1UL << order) && n >= buddy->start && n + (1UL << order) <= buddy->end,
	      "I1: the block of order %u at pfn 0x%lx is misaligned or leaves the span [0x%x, 0x%x)", order,
	      n, buddy->start, buddy->end);
	CHECK(order == MAX_PAGE_ORDER || page_entry_written(&buddy->array, n | 1UL << order),
	      "I7: the entries around the block of order %u at pfn 0x%lx were never written", order, n);
	return NULL;
}

/* I1: where the halves of a free block would begin, down to single frames, no head is left. */
static const char *check_absorbed(const struct buddy *buddy, uint64_t n, unsigned order)
{
	for (unsigned k = 0; k < order; k++) {
		uint64_t inner = n + (1UL << k);
		if (!page_entry_written(&buddy->array, inner))
			continue;
		unsigned type = buddy->array.frames[inner].type;
		CHECK(type == PAGE_NONE,
		      "I1: pfn 0x%lx is a head (%s) inside the free block of order %u at pfn 0x%lx", inner,
		      page_type_name(type), order, n);
	}
	return NULL;
}

static const char *check_list(const struct buddy *buddy, unsigned order)
{
	uint32_t prev = PFN_NONE, count = 0;

	for (uint32_t n = buddy->free[order].head; n != PFN_NONE; prev = n, n = buddy->array.frames[n].next) {
		CHECK(count++ < buddy->free[order].count, "I2: list %u is longer than its count, %u", order,
		      buddy->free[order].count);
		const char *broken = check_block(buddy, n, order);
		if (broken)
			return broken;
		const struct page *page = &buddy->array.frames[n];
		CHECK(page->type_order == page_type_order(PAGE_FREE, order),
		      "I2: pfn 0x%x on list %u says %s, order %u", n, order, page_type_name(page->type),
		      page->order);
		CHECK(page->prev == prev, "I2: pfn 0x%x on list %u links back to 0x%x instead of 0x%x", n,
		      order, page->prev, prev);
		broken = check_absorbed(buddy, n, order);
		if (broken)
			return broken;

		uint32_t other = n ^ 1U << order;
		if (order < MAX_PAGE_ORDER && other >= buddy->start && other < buddy->end)
			CHECK(buddy->array.frames[other].type_order != page->type_order,
			      "I4: the buddies of order %u at pfn 0x%x and 0x%x are both free", order, n,
			      other);
	}
	CHECK(count == buddy->free[order].count, "I2: list %u has %u blocks, its count says %u", order, count,
	      buddy->free[order].count);
	CHECK((buddy->nonempty >> order & 1) == (count > 0), "I3: list %u has %u blocks, its bit is %u",
	      order, count, buddy->nonempty >> order & 1);
	return NULL;
}

/* From a frame that is in no block to the next that may begin one. */
static uint64_t next_candidate(const struct buddy *buddy, uint64_t n)
{
	enum group_state state = page_group_state(&buddy->array, n);

	if (state == GROUP_UNWRITTEN)
		return align_up(n + 1, SECTION_FRAMES); /* P1, P3: nor are the groups after it */
	return state == GROUP_WRITTEN ? n + 1 : align_up(n + 1, GROUP_FRAMES);
}

static bool is_block_head(const struct buddy *buddy, uint64_t n)
{
	return page_entry_written(&buddy->array, n) && buddy->array.frames[n].type != PAGE_NONE;
}

/* I6, from the entries' side. */
static const char *check_span(const struct buddy *buddy)
{
	size_t free_blocks[PAGE_ORDERS] = {0}, held = 0;

	for (uint64_t n = buddy->start; n < buddy->end;) {
		if (!is_block_head(buddy, n)) {
			n = next_candidate(buddy, n);
			continue;
		}
		unsigned order = buddy->array.frames[n].order;
		const char *broken = check_block(buddy, n, order);
		if (broken)
			return broken;
		if (buddy->array.frames[n].type == PAGE_FREE)
			free_blocks[order]++;
		else
			held += 1UL << order;
		n += 1UL << order;
	}
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		CHECK(free_blocks[order] == buddy->free[order].count,
		      "I6: the span has %zu free blocks of order %u, the list has %u", free_blocks[order],
		      order, buddy->free[order].count);
	CHECK(buddy->nr_free + held == buddy->nr_managed,
	      "I6: %zu frames free and %zu held make no %zu managed", buddy->nr_free, held,
	      buddy->nr_managed);
	return NULL;
}

const char *buddy_check(const struct buddy *buddy)
{
	size_t nr_free = 0;

	for (unsigned order = 0; order < PAGE_ORDERS; order++) {
		const char *broken = check_list(buddy, order);
		if (broken)
			return broken;
		nr_free += (size_t)buddy->free[order].count << order;
	}
	CHECK(nr_free == buddy->nr_free, "I5: %zu frames are on the lists, nr_free says %zu", nr_free,
	      buddy->nr_free);
	return check_span(buddy);
}

void buddy_dump(const struct buddy *buddy, struct printer *out)
{
	print(out, "pfn [0x%x, 0x%x): %zu of %zu frames free\n", buddy->start, buddy->end, buddy->nr_free,
	      buddy->nr_managed);
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		print(out, "  order %2u: %u\n", order, buddy->free[order].count);
}
