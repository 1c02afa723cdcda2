/*
 * A word in an area of one page, and what a missing flush would do to it: its page-table entry is changed behind
 * pagetable.c's back, and a processor that has not been told goes on with the old one.
 */
#ifndef TESTS_SWAPPED_WORD_H
#define TESTS_SWAPPED_WORD_H

#include <lib/addr.h>

extern volatile uint64_t *word; /* contains old_word; after swap_behind() and a flush, new_word */

static const uint64_t old_word = 0xaaaaaaaaaaaaaaaaUL, new_word = 0xbbbbbbbbbbbbbbbbUL;

void map_word(void);

/* Also right in a tear_down: does nothing when nothing is mapped. */
void unmap_word(void);

struct vrange word_page(void);

/* The entry leads to another page; no processor has been told. */
void swap_behind(void);

#endif
