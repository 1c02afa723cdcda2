/*
 * The vmalloc window as a picture: one character for 2^k pages, at most ROWS rows of COLUMNS.
 *
 *	0xffffc00000000000 ###|#|~~~~ss.##|…
 *
 * A page is busy, a guard page, lazy or spare (vmap_range.c), in quarantine (quarantine.c), or free. A range that was given
 * back is drawn whole: what was its guard page guards nothing now. So with one page a character, # and | together are
 * vmalloc_stats().used_bytes, and ~, s and q are its kept_bytes.
 *
 * Of several pages the character shows the first kind met in `kinds`: what waits and what is in use must not vanish
 * beside what is free.
 *
 * Each area is looked up by itself, under the lock; nothing is held between two of them or while printing. The characters
 * are on the stack.
 */
#include <lib/align.h>
#include <lib/printer.h>
#include <lib/string.h>
#include "vmalloc_internal.h"

enum { COLUMNS = 64, ROWS = 16, CELLS = COLUMNS * ROWS };

static const char kinds[] = "~#sq|.";
enum kind { LAZY, BUSY, SPARE, QUARANTINED, GUARD, FREE }; /* places in kinds[] */

struct picture {
	struct vrange va;  /* what is drawn, in whole pages */
	unsigned shift;    /* an address's bits within its cell */
	char cells[CELLS]; /* places in kinds[] */
};

/* [start, end) as far as it is drawn. */
static void paint(struct picture *picture, uintptr_t start, uintptr_t end, enum kind kind)
{
	uint64_t base = picture->va.start.raw;

	start = max_u64(start, base);
	end = min_u64(end, picture->va.end.raw);
	if (start >= end)
		return;
	for (uint64_t cell = (start - base) >> picture->shift; cell <= (end - 1 - base) >> picture->shift;
	     cell++)
		picture->cells[cell] = (char)min_u64((uint64_t)picture->cells[cell], (uint64_t)kind);
}

static void paint_area(struct picture *picture, const struct vmap_area *area)
{
	if (area->flags & VM_GONE) {
		paint(picture, area->va_start, area->va_end,
		      area->flags & VM_LAZY    ? LAZY
		      : area->flags & VM_SPARE ? SPARE
		                               : QUARANTINED);
		return;
	}
	paint(picture, area->va_start, area_data_start(area), GUARD);
	paint(picture, area_data_start(area), area_data_end(area), BUSY);
	paint(picture, area_data_end(area), area->va_end, GUARD);
}

static void paint_areas(struct picture *picture)
{
	struct vmap_area area = {.va_end = picture->va.start.raw};

	while (vmap_area_copy(area.va_end, &area) && area.va_start < picture->va.end.raw)
		paint_area(picture, &area);
}

static void print_picture(const struct picture *picture, struct printer *out)
{
	uint64_t size = 1UL << picture->shift;
	char row[COLUMNS + 1];

	print(out,
	      "%lu page%s a character: # busy, | guard, ~ freed and not yet flushed, s kept by a CPU, q in quarantine, . free",
	      size >> PAGE_SHIFT, size == PAGE_SIZE ? "" : "s");
	print(out, size == PAGE_SIZE ? "\n" : "; of several the first of %s\n", kinds);
	for (uint64_t at = picture->va.start.raw, cell = 0; at < picture->va.end.raw; at += COLUMNS * size) {
		size_t length = 0;
		for (; length < COLUMNS && at + length * size < picture->va.end.raw; length++)
			row[length] = kinds[(size_t)picture->cells[cell++]];
		row[length] = '\0';
		print(out, "0x%016lx %s\n", at, row);
	}
}

struct vrange vmalloc_used_range(void)
{
	const struct va_space *space = &vmalloc_state.space;

	irqflags_t flags = spin_lock_irqsave(&vmalloc_state.lock);
	const struct vmap_area *highest = va_space_find_below(space, space->end);
	struct vrange used = vrange(space->start, highest ? highest->va_end : space->start);
	spin_unlock_irqrestore(&vmalloc_state.lock, flags);
	return used;
}

void vmalloc_picture(struct vrange part, struct printer *out)
{
	const struct va_space *space = &vmalloc_state.space;
	struct picture picture = {
	        .va.start.raw = max_u64(align_down(part.start.raw, PAGE_SIZE), space->start),
	        .va.end.raw = min_u64(part.end.raw, space->end),
	        .shift = PAGE_SHIFT,
	};

	if (picture.va.start.raw >= picture.va.end.raw) {
		print(out, "nothing of the vmalloc window\n");
		return;
	}
	picture.va.end.raw = align_up(picture.va.end.raw, PAGE_SIZE);
	while ((vrange_size(picture.va) - 1) >> picture.shift >= CELLS)
		picture.shift++;
	memset(picture.cells, FREE, sizeof(picture.cells));
	paint_areas(&picture);
	print_picture(&picture, out);
}
