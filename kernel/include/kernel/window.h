/*
 * The vmalloc window that the command line asks for: vmalloc=SIZE[@ADDRESS], nokaslr, seed=N. Where nothing says otherwise
 * it begins at a random place, except when what is counted must repeat to the digit (bench).
 */
#ifndef KERNEL_WINDOW_H
#define KERNEL_WINDOW_H

#include <kernel/cmdline.h>
#include <lib/addr.h>

struct printer;

/* For mm_init(). Draws what has to be random. */
struct vrange window_choose(const struct parameters *parameters);

/* After mm_init(): random gaps between areas and the quarantine, as the command line has them. */
void window_configure(const struct parameters *parameters);

/* One line on the window chosen last: among how many places its own was drawn, how many bits that is, and whence. */
void window_describe(struct printer *out);

#endif
