/* Text on a framebuffer. screen.c opens with how. */
#ifndef KERNEL_SCREEN_H
#define KERNEL_SCREEN_H

#include <boot/boot_info.h>

/* Cells that are remembered: 1920 by 1200 pixels have so many. */
enum { SCREEN_COLUMNS_MAX = 240, SCREEN_ROWS_MAX = 75 };

/* Who writes serialises; mapping is for times when nobody does. */
struct screen {
	struct boot_framebuffer format;
	uint8_t *pixels;        /* NULL: what is written is only remembered */
	unsigned scale;         /* pixels that a pixel of the font is wide and high */
	unsigned columns, rows; /* rows 0: nothing is shown, writing means nothing */
	unsigned row, column;   /* of the next character */
	uint32_t ink;           /* a pixel of a character; others are 0 */
	char cells[SCREEN_ROWS_MAX][SCREEN_COLUMNS_MAX];
};

/* The console's (<kernel/console.h>); all 0 if the machine has no framebuffer. */
extern struct screen screen;

/* Blank, and not mapped. pre: a framebuffer as boot_handoff() tells it */
void screen_init(struct screen *s, const struct boot_framebuffer *format);

/* `pixels`, where the whole of the framebuffer is mapped now, shows what has been written, and what will be. NULL: nowhere. */
void screen_map(struct screen *s, void *pixels);

/* \n, \r and \b move; long lines go on in the next row. In any context: allocates nothing, takes no lock. */
void screen_write(struct screen *s, const char *text, size_t length);

#endif
