/*
 * A place in the vmalloc window that no area of others is near, where a test has its neighbourhood for itself. The window
 * may begin anywhere and may be small: where it has no room for what a case needs, the case is skipped.
 */
#ifndef COMMON_REMOTE_H
#define COMMON_REMOTE_H

#include <lib/compiler.h>

/*
 * In a window of terabytes, 512 to 1,024 GiB above its start, at a multiple of 512 GiB: no table is there yet. In a small
 * one, its middle. With room for at least 64 pages behind it, or for `size` bytes.
 */
uintptr_t remote(void);
uintptr_t remote_for(size_t size);

/* A multiple of 1 GiB above all RAM, and above where machines have their real devices: below 4 GiB. */
uint64_t no_ram(void);

/* An address in the kernel's image that is no function of interest, as a caller. */
#define SOMEWHERE ((const void *)0xffffffff80001234UL)

/* Skips the case if the window is of less than `size` bytes, which it needs for the reason given. */
void need_window(size_t size, const char *why);

/*
 * The words of a report as they are in a window at the fixed base, of which remote() is 0xffffc08000000000: every address
 * near that moves along with remote(). In a static buffer, good until the next call.
 */
const char *relocated(const char *words);

#endif
