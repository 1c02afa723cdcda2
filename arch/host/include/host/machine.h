/*
 * The hosted machine: fake RAM, and the two windows through which mm/ reaches it with plain pointers.
 *
 * RAM is one sparse memory file whose offsets are physical addresses. The direct map and the frame-array
 * window are reserved address space that nothing can touch at first. A touch asks the page tables, as a
 * processor would, and opens just what they map: an access that the real machine would refuse ends the
 * process with a report. What RAM holds when the machine is created is garbage, different from word to word.
 */
#ifndef HOST_MACHINE_H
#define HOST_MACHINE_H

#include <lib/addr.h>

enum { HOST_BANKS_MAX = 8 };

/* One machine per process. `banks` are page-aligned, ascending and disjoint. CPU 0 is the calling thread. */
void host_machine_create(const struct prange *banks, size_t nr_banks);

/*
 * Until the final page tables are live, the direct map reaches RAM below `limit` only; everything if never
 * called.
 */
void host_machine_limit_reach(paddr_t limit);

/* The page tables of 4 or 5 `levels` at `root` are live: the processor model walks them, and the windows show what they map. */
void host_machine_activate(paddr_t root, unsigned levels);

/* RAM as the memory bus sees it, past every protection; NULL unless [pa, pa + size) lies in one bank. */
void *host_bus(paddr_t pa, uint64_t size);

/* The windows forget what they opened in `range`, so that the next touch asks the page tables again. */
void host_windows_close(struct vrange range);

/*
 * cmocka takes SIGSEGV for itself around every function it calls; whoever it calls takes the signal back with
 * this.
 */
void host_catch_faults(void);

#endif
