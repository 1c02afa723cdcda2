/*
 * Holes in the vmalloc window below its highest area: a device that is aligned to its size leaves one. Between the two calls
 * there are none, as cases expect that say where areas come to lie, and all that compare memory before and after: areas that
 * come and go in several holes leave other descriptors behind than were there before, if as many.
 */
#ifndef TEST_HOLES_H
#define TEST_HOLES_H

void holes_fill(void);
void holes_give(void);

#endif
