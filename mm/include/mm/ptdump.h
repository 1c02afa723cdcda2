/*
 * The address space in words: every range that is mapped, how, and what for. ptdump.c opens with the theory.
 */
#ifndef MM_PTDUMP_H
#define MM_PTDUMP_H

#include <mm/pagetable.h>

/*
 * Prints every range that `pt` maps, ascending, one a line; then the leaves of each size, the number of tables, and
 * either "W+X: none" or each range that is writable and executable on a line that begins with "W+X: ". In the kernel's
 * own table each part of the address space has a heading, and each range says what it is.
 *
 * Allocates nothing. Other CPUs may map and unmap meanwhile: what they change may be shown as it was or as it is. Takes
 * the table's lock and the vmalloc lock, one after the other, for bounded times and never while printing; not in fault
 * reports, where someone may hold them.
 */
void ptdump(struct pagetable *pt, struct printer *out);

#endif
