/*
 * Text on a framebuffer, for machines that have pixels and no text screen: UEFI's.
 *
 * Promise: what was written is what is seen, once there is a mapping and as long as there is; and nothing is ever read from
 * it, as loads from write-combining memory cost hundreds of stores. What stands there is remembered as characters instead,
 * and everything, scrolling too, is a change of cells:
 *
 *	cells    [ r | e | a | d | y ]      written always
 *	              │ put_cell(): only where the character changes
 *	pixels   [   |   |   |   |   ]      written only, and only while mapped
 *
 * S1  While mapped, each cell's pixels are its character's, drawn by <kernel/font.h>, and all others are 0.
 * S2  row < rows and column <= columns, unless there are no rows.
 *
 * A row more than there are moves all of them by an eighth, so that what that costs is shared by several lines.
 *
 * Where a screen has more cells than can be remembered, the font's pixels are drawn larger: 3840 by 2160 as 240 by 67.
 *
 * Locking: whoever owns the console's devices; a report that takes them over may find a cell painted in part.
 *
 * Cost: 128 pixels per changed cell, times scale squared; scrolling looks at all cells.
 */
#include <arch/io.h>
#include <kernel/font.h>
#include <kernel/screen.h>
#include <lib/align.h>
#include <lib/string.h>

struct screen screen;

/* Of the brightness of the text screen's light grey: two thirds. */
static uint32_t light(struct boot_colour colour)
{
	return 0xaaaaaaaaU >> (32 - colour.size) << colour.position;
}

static void put_pixel(uint8_t *at, uint32_t pixel, unsigned bytes)
{
	switch (bytes) {
	case 4:
		*(volatile uint32_t *)at = pixel;
		break;
	case 2:
		*(volatile uint16_t *)at = (uint16_t)pixel;
		break;
	default:
		for (unsigned i = 0; i < bytes; i++)
			((volatile uint8_t *)at)[i] = (uint8_t)(pixel >> 8 * i);
	}
}

static void paint_row(const struct screen *s, uint8_t *at, uint8_t row)
{
	for (unsigned bit = 1 << (FONT_WIDTH - 1); bit; bit >>= 1) {
		for (unsigned n = 0; n < s->scale; n++) {
			put_pixel(at, row & bit ? s->ink : 0, s->format.pixel_bytes);
			at += s->format.pixel_bytes;
		}
	}
}

static void paint_cell(const struct screen *s, unsigned row, unsigned column)
{
	size_t line = (size_t)row * FONT_HEIGHT * s->scale;
	size_t left = (size_t)column * FONT_WIDTH * s->scale * s->format.pixel_bytes;
	uint8_t *at = s->pixels + line * s->format.pitch + left;

	for (unsigned y = 0; y < FONT_HEIGHT; y++) {
		for (unsigned n = 0; n < s->scale; n++, at += s->format.pitch)
			paint_row(s, at, font_row(s->cells[row][column], y));
	}
}

static void put_cell(struct screen *s, unsigned row, unsigned column, char c)
{
	if (s->cells[row][column] == c)
		return;
	s->cells[row][column] = c;
	if (s->pixels)
		paint_cell(s, row, column);
}

void screen_init(struct screen *s, const struct boot_framebuffer *format)
{
	unsigned width = format->width / FONT_WIDTH, height = format->height / FONT_HEIGHT;

	s->format = *format;
	s->pixels = NULL;
	s->scale = 1;
	while (width / s->scale > SCREEN_COLUMNS_MAX || height / s->scale > SCREEN_ROWS_MAX)
		s->scale++;
	s->columns = width / s->scale;
	s->rows = s->columns ? height / s->scale : 0;
	s->row = s->column = 0;
	s->ink = light(format->red) | light(format->green) | light(format->blue);
	memset(s->cells, ' ', sizeof(s->cells));
}

void screen_map(struct screen *s, void *pixels)
{
	s->pixels = s->rows ? pixels : NULL;
	if (!s->pixels)
		return;
	memset(s->pixels, 0, prange_size(s->format.range));
	for (unsigned row = 0; row < s->rows; row++)
		for (unsigned column = 0; column < s->columns; column++)
			if (s->cells[row][column] != ' ')
				paint_cell(s, row, column);
	store_fence();
}

static void next_row(struct screen *s)
{
	s->column = 0;
	if (++s->row < s->rows)
		return;
	unsigned by = max_u64(s->rows / 8, 1);
	for (unsigned row = 0; row < s->rows; row++) {
		for (unsigned column = 0; column < s->columns; column++) {
			char c = ' ';
			if (row + by < s->rows)
				c = s->cells[row + by][column];
			put_cell(s, row, column, c);
		}
	}
	s->row -= by;
}

void screen_write(struct screen *s, const char *text, size_t length)
{
	for (size_t i = 0; s->rows && i < length; i++) {
		char c = text[i];
		if (c == '\n') {
			next_row(s);
		} else if (c == '\r') {
			s->column = 0;
		} else if (c == '\b') {
			s->column -= s->column > 0;
		} else {
			if (s->column == s->columns)
				next_row(s);
			put_cell(s, s->row, s->column++, c);
		}
	}
	store_fence();
}
