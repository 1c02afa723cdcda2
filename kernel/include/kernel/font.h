/* A plain font of 8 by 16 pixels, for screens that have none. */
#ifndef KERNEL_FONT_H
#define KERNEL_FONT_H

#include <stdint.h>

enum { FONT_WIDTH = 8, FONT_HEIGHT = 16 };

/* Row `y` of a character, from the top; bit 7 is its leftmost pixel. Not printable ASCII: a box. pre: y < FONT_HEIGHT */
uint8_t font_row(char c, unsigned y);

#endif
