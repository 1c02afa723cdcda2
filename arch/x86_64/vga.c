/*
 * VGA text, 80 columns by 25 rows of (character, attribute) cells. Under UEFI the adapter is in a graphics mode, and
 * there may be none at all: the graphics controller's miscellaneous register tells (IBM VGA; Bochs' display interface).
 */
#include <arch/devices.h>
#include <arch/io.h>
#include <lib/string.h>

enum { COLUMNS = 80, ROWS = 25, ATTRIBUTE = 0x07 /* light grey on black */ };
enum { GRAPHICS_INDEX = 0x3ce, GRAPHICS_DATA = 0x3cf, GRAPHICS_MISC = 6 };
enum { MISC_GRAPHICS = 1 << 0, MISC_WINDOW = 3 << 2 /* all ones: 32 KiB at 0xb8000 */ };
enum { CRTC_INDEX = 0x3d4, CRTC_DATA = 0x3d5, CRTC_CURSOR_START = 0x0a, CURSOR_OFF = 1 << 5 };
enum { BOCHS_INDEX = 0x1ce, BOCHS_DATA = 0x1cf, BOCHS_ID = 0, BOCHS_ENABLE = 4 };

static uint16_t *cells; /* NULL: silent */
static unsigned row, column;

static bool is_text_mode(void)
{
	outw(BOCHS_INDEX, BOCHS_ID);
	if ((inw(BOCHS_DATA) & 0xfff0) == 0xb0c0) {
		outw(BOCHS_INDEX, BOCHS_ENABLE);
		if (inw(BOCHS_DATA) & 1)
			return false;
	}
	outb(GRAPHICS_INDEX, GRAPHICS_MISC);
	return (inb(GRAPHICS_DATA) & (MISC_GRAPHICS | MISC_WINDOW)) == MISC_WINDOW;
}

static void clear_row(unsigned which)
{
	for (unsigned x = 0; x < COLUMNS; x++)
		cells[which * COLUMNS + x] = ATTRIBUTE << 8 | ' ';
}

void vga_init(uint16_t *framebuffer)
{
	static bool cleared;

	cells = framebuffer && is_text_mode() ? framebuffer : NULL;
	if (cells) {
		outb(CRTC_INDEX, CRTC_CURSOR_START);
		outb(CRTC_DATA, CURSOR_OFF); /* the loader's would stay where it was */
	}
	for (unsigned y = 0; cells && !cleared && y < ROWS; y++)
		clear_row(y);
	cleared |= cells != NULL;
}

static void next_row(void)
{
	column = 0;
	if (++row < ROWS)
		return;
	row = ROWS - 1;
	memmove(cells, cells + COLUMNS, (ROWS - 1) * COLUMNS * sizeof(*cells));
	clear_row(row);
}

void vga_write(const char *text, size_t length)
{
	for (size_t i = 0; cells && i < length; i++) {
		char c = text[i];
		if (c == '\n') {
			next_row();
		} else if (c == '\r') {
			column = 0;
		} else if (c == '\b') {
			column -= column > 0;
		} else {
			if (column == COLUMNS)
				next_row();
			cells[row * COLUMNS + column++] = (uint16_t)(ATTRIBUTE << 8 | (uint8_t)c);
		}
	}
	store_fence();
}
