/*
 * Memory before there is an allocator.
 *
 * Promises that a page is handed out only if every byte of it was called RAM, no byte of it was called anything else,
 * and nobody uses it. Two sets of ranges say so, each a sorted array; what is free is their difference, computed when
 * asked for:
 *
 *	ram       [==========]      [=====================]   [====]
 *	reserved      [==]               [==]      [==========]
 *	free      [==]    [==]      [===]    [====]            [===]
 *
 * Both sets:
 *
 * I1  Bounds are multiples of PAGE_SIZE.
 * I2  No range is empty.
 * I3  Ranges ascend and do not touch: between two lies a gap. So the array of a set is unique.
 * I4  Everything lies below MEMBLOCK_LIMIT, so no sum of two values in here wraps.
 * I5  A set has at most MEMBLOCK_RANGES_MAX ranges.
 *
 * and of both together:
 *
 * I6  All that memblock_alloc() handed out is still reserved.
 *
 * A full array never makes us forget that memory is taken: what cannot be noted as reserved stops being RAM, and of RAM
 * that would need one more range the smaller part is given up, and counted.
 *
 * Finding a place is O(log n), changing the array moves O(n) entries, allocation walks O(n). No lock: one CPU, boot.
 */
#include <lib/check.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include <lib/string.h>
#include <mm/memblock.h>

/* ---- one set ---- */

/* Index of the first range that ends after `at`; count if there is none. */
static size_t first_ending_after(const struct memblock_ranges *set, uint64_t at)
{
	size_t low = 0, high = set->count;

	/* Invariant: ranges before low end at or before `at`, ranges from high on end after it. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (set->at[middle].end.raw <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Replaces the `old` ranges from `index` on by `new` ones, which the caller fills in. pre: the result fits */
static void splice(struct memblock_ranges *set, size_t index, size_t old, size_t new)
{
	struct prange *tail = &set->at[index + old];

	if (old != new)
		memmove(&set->at[index + new], tail, (set->count - index - old) * sizeof(*tail));
	set->count += new - old;
}

/* The set becomes its union with `range`. False, and unchanged, if that would need one more range than there is room. */
static MUST_USE bool set_insert(struct memblock_ranges *set, struct prange range)
{
	/* A range that ends where ours starts is absorbed too: I3. */
	size_t first = range.start.raw ? first_ending_after(set, range.start.raw - 1) : 0;
	size_t end = first;

	while (end < set->count && set->at[end].start.raw <= range.end.raw)
		end++;
	if (first == end && set->count == MEMBLOCK_RANGES_MAX)
		return false;
	if (first < end) {
		range.start.raw = min_u64(range.start.raw, set->at[first].start.raw);
		range.end.raw = max_u64(range.end.raw, set->at[end - 1].end.raw);
	}
	splice(set, first, end - first, 1);
	set->at[first] = range;
	return true;
}

/*
 * The set loses `range`. What is left of the ranges it overlaps is at most a
 * left and a right part; if both are there and the array is full, the smaller
 * is dropped. Returns the bytes dropped beyond what was asked.
 */
static uint64_t set_subtract(struct memblock_ranges *set, struct prange range)
{
	size_t first = first_ending_after(set, range.start.raw);
	size_t end = first;
	struct prange left, right;
	uint64_t dropped = 0;

	while (end < set->count && set->at[end].start.raw < range.end.raw)
		end++;
	if (first == end)
		return 0;
	left = (struct prange){set->at[first].start, range.start};
	right = (struct prange){range.end, set->at[end - 1].end};
	bool has_left = left.start.raw < left.end.raw, has_right = right.start.raw < right.end.raw;
	if (has_left && has_right && end - first == 1 && set->count == MEMBLOCK_RANGES_MAX) {
		has_left = prange_size(left) > prange_size(right);
		has_right = !has_left;
		dropped = prange_size(has_left ? right : left);
	}
	splice(set, first, end - first, has_left + has_right);
	if (has_left)
		set->at[first] = left;
	if (has_right)
		set->at[first + has_left] = right;
	return dropped;
}

/* ---- rounding ---- */

/*
 * All pages that `range` touches, as far as we look; false if there are none. A
 * range that wraps is taken to reach to the top.
 */
static MUST_USE bool round_outward(struct prange range, struct prange *pages)
{
	uint64_t end =
	        range.end.raw < range.start.raw ? MEMBLOCK_LIMIT : min_u64(range.end.raw, MEMBLOCK_LIMIT);

	if (range.start.raw >= end)
		return false;
	*pages = prange(align_down(range.start.raw, PAGE_SIZE), align_up(end, PAGE_SIZE));
	return true;
}

/* The pages that `range` covers wholly; false if there are none. May reach above MEMBLOCK_LIMIT. */
static MUST_USE bool round_inward(struct prange range, struct prange *pages)
{
	uint64_t start;
	uint64_t end = align_down(range.end.raw, PAGE_SIZE);

	if (!align_up_checked(range.start.raw, PAGE_SIZE, &start) || start >= end)
		return false;
	*pages = prange(start, end);
	return true;
}

/* ---- what is RAM, what is in use ---- */

static void demand_active(const struct memblock *mb, const char *call)
{
	if (mb->retired)
		panic("%s: memblock is retired", call);
}

void memblock_init(struct memblock *mb)
{
	/* Not the arrays: only the counts make their entries valid. */
	mb->ram.count = mb->reserved.count = 0;
	memset(mb->allocated, 0, sizeof(mb->allocated));
	mb->lost = 0;
	mb->retired = false;
}

void memblock_add(struct memblock *mb, struct prange range)
{
	struct prange pages;

	demand_active(mb, "memblock_add");
	if (!round_inward(range, &pages))
		return;
	if (pages.end.raw > MEMBLOCK_LIMIT) {
		mb->lost += pages.end.raw - max_u64(pages.start.raw, MEMBLOCK_LIMIT);
		pages.end.raw = MEMBLOCK_LIMIT;
	}
	if (pages.start.raw < pages.end.raw && !set_insert(&mb->ram, pages))
		mb->lost += prange_size(pages); /* touches no other range, or it would have fitted */
}

void memblock_remove(struct memblock *mb, struct prange range)
{
	struct prange pages;

	demand_active(mb, "memblock_remove");
	if (round_outward(range, &pages))
		mb->lost += set_subtract(&mb->ram, pages);
}

void memblock_reserve(struct memblock *mb, struct prange range)
{
	struct prange pages;

	demand_active(mb, "memblock_reserve");
	if (!round_outward(range, &pages) || set_insert(&mb->reserved, pages))
		return;
	/* No room to remember it: then it may not be RAM either. */
	uint64_t before = memblock_ram_bytes(mb);
	set_subtract(&mb->ram, pages);
	mb->lost += before - memblock_ram_bytes(mb);
}

/* ---- what is free ---- */

/* Both walkers alternate: clip to the RAM range at hand; stand in a reserved one, then go past it; else that is a hole. */

bool memblock_next_free(const struct memblock *mb, paddr_t *cursor, struct prange *range)
{
	const struct memblock_ranges *ram = &mb->ram, *reserved = &mb->reserved;
	uint64_t at = cursor->raw;
	size_t i = first_ending_after(ram, at), j = first_ending_after(reserved, at);

	while (i < ram->count) {
		at = max_u64(at, ram->at[i].start.raw);
		while (j < reserved->count && reserved->at[j].end.raw <= at)
			j++;
		if (j == reserved->count || reserved->at[j].start.raw > at) {
			uint64_t end = ram->at[i].end.raw;
			if (j < reserved->count)
				end = min_u64(end, reserved->at[j].start.raw);
			*range = prange(at, end);
			*cursor = range->end;
			return true;
		}
		at = reserved->at[j].end.raw;
		while (i < ram->count && ram->at[i].end.raw <= at)
			i++;
	}
	return false;
}

/* The highest hole below *cursor, which becomes its start. */
static MUST_USE bool previous_free(const struct memblock *mb, uint64_t *cursor, struct prange *range)
{
	const struct memblock_ranges *ram = &mb->ram, *reserved = &mb->reserved;
	uint64_t at = *cursor;
	size_t i = first_ending_after(ram, at), j = first_ending_after(reserved, at);

	/* From here on i and j count the ranges that start below `at`. */
	i += i < ram->count && ram->at[i].start.raw < at;
	j += j < reserved->count && reserved->at[j].start.raw < at;
	while (i) {
		at = min_u64(at, ram->at[i - 1].end.raw);
		while (j && reserved->at[j - 1].start.raw >= at)
			j--;
		if (!j || reserved->at[j - 1].end.raw < at) {
			uint64_t start = ram->at[i - 1].start.raw;
			if (j)
				start = max_u64(start, reserved->at[j - 1].end.raw);
			*range = prange(start, at);
			*cursor = start;
			return true;
		}
		at = reserved->at[j - 1].start.raw;
		while (i && ram->at[i - 1].start.raw >= at)
			i--;
	}
	return false;
}

bool memblock_alloc(struct memblock *mb, uint64_t size, uint64_t align, paddr_t limit, enum memblock_use use,
                    paddr_t *start)
{
	uint64_t cursor = min_u64(limit.raw, MEMBLOCK_LIMIT);
	struct prange hole;

	demand_active(mb, "memblock_alloc");
	if (!is_power_of_two(align) || align < PAGE_SIZE)
		panic("memblock_alloc: alignment 0x%llx is not a power of two of at least "
		      "a page",
		      (unsigned long long)align);
	if (!size || !align_up_checked(size, PAGE_SIZE, &size))
		return false;
	while (previous_free(mb, &cursor, &hole)) {
		if (prange_size(hole) < size)
			continue;
		uint64_t at = align_down(hole.end.raw - size, align);
		if (at < hole.start.raw)
			continue;
		if (!set_insert(&mb->reserved, prange(at, at + size)))
			return false;
		mb->allocated[use] += size;
		*start = paddr(at);
		return true;
	}
	return false;
}

/* ---- accounts ---- */

static uint64_t set_bytes(const struct memblock_ranges *set)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < set->count; i++)
		bytes += prange_size(set->at[i]);
	return bytes;
}

uint64_t memblock_ram_bytes(const struct memblock *mb)
{
	return set_bytes(&mb->ram);
}

uint64_t memblock_reserved_bytes(const struct memblock *mb)
{
	uint64_t bytes = memblock_ram_bytes(mb);
	paddr_t cursor = paddr(0);
	struct prange hole;

	while (memblock_next_free(mb, &cursor, &hole))
		bytes -= prange_size(hole);
	return bytes;
}

void memblock_retire(struct memblock *mb)
{
	demand_active(mb, "memblock_retire");
	mb->retired = true;
}

/* ---- verifier ---- */

static MUST_USE const char *set_check(const struct memblock_ranges *set, const char *name)
{
	CHECK(set->count <= MEMBLOCK_RANGES_MAX, "I5: memblock %s: %zu ranges, room for %d", name, set->count,
	      MEMBLOCK_RANGES_MAX);
	for (size_t i = 0; i < set->count; i++) {
		unsigned long long start = set->at[i].start.raw, end = set->at[i].end.raw;
		CHECK(is_aligned(start | end, PAGE_SIZE),
		      "I1: memblock %s[%zu] [0x%llx, 0x%llx) is not whole pages", name, i, start, end);
		CHECK(start < end, "I2: memblock %s[%zu] [0x%llx, 0x%llx) is empty", name, i, start, end);
		CHECK(i == 0 || set->at[i - 1].end.raw < start,
		      "I3: memblock %s[%zu] starts at 0x%llx, not after the end of its "
		      "predecessor, 0x%llx",
		      name, i, start, (unsigned long long)set->at[i - 1].end.raw);
		CHECK(end <= MEMBLOCK_LIMIT, "I4: memblock %s[%zu] ends at 0x%llx, above the limit", name, i,
		      end);
	}
	return NULL;
}

const char *memblock_check(const struct memblock *mb)
{
	const char *broken = set_check(&mb->ram, "ram");
	uint64_t allocated = 0, reserved = set_bytes(&mb->reserved);

	if (!broken)
		broken = set_check(&mb->reserved, "reserved");
	if (broken)
		return broken;
	for (int use = 0; use < MEMBLOCK_USES; use++)
		allocated += mb->allocated[use];
	CHECK(allocated <= reserved, "I6: memblock handed out 0x%llx bytes, but only 0x%llx are reserved",
	      (unsigned long long)allocated, (unsigned long long)reserved);
	return NULL;
}

static void set_dump(const struct memblock_ranges *set, const char *name, struct printer *out)
{
	for (size_t i = 0; i < set->count; i++)
		print(out, "  %-8s [0x%012llx, 0x%012llx) %12llu KiB\n", name,
		      (unsigned long long)set->at[i].start.raw, (unsigned long long)set->at[i].end.raw,
		      (unsigned long long)prange_size(set->at[i]) >> 10);
}

void memblock_dump(const struct memblock *mb, struct printer *out)
{
	print(out, "memblock%s: %llu KiB of RAM, %llu KiB of it reserved, %llu KiB lost\n",
	      mb->retired ? " (retired)" : "", (unsigned long long)memblock_ram_bytes(mb) >> 10,
	      (unsigned long long)memblock_reserved_bytes(mb) >> 10, (unsigned long long)mb->lost >> 10);
	set_dump(&mb->ram, "ram", out);
	set_dump(&mb->reserved, "reserved", out);
}
