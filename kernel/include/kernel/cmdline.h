/*
 * Kernel parameters: words separated by blanks, `name` or `name=value`. Known: test[=GLOB] bench[=GLOB] seed=N
 * soak=MINUTES ptcheck=BATCHES exit shell crash=NAME vmalloc=SIZE[@ADDRESS] nokaslr vmalloc_gaps=PAGES
 * vmalloc_quarantine=SIZE. The last of several wins; unknown words and bad values are named in a complaint and ignored.
 */
#ifndef KERNEL_CMDLINE_H
#define KERNEL_CMDLINE_H

#include <lib/compiler.h>

struct parameters {
	bool test, bench, exit, shell;
	char test_glob[64], bench_glob[64]; /* "*" when no glob was given */
	uint64_t seed;
	bool seeded, nokaslr; /* there was a seed=; the vmalloc window stays at its fixed base */
	struct window_wish {
		uint64_t size; /* bytes, 0: as is usual; one that <mm/vmalloc_window.h> has nothing against */
		uint64_t base;
		bool placed; /* at `base` */
	} window;
	uint64_t gaps;       /* pages that may be left free before an area of vmalloc's, at random; 0: none */
	uint64_t quarantine; /* bytes of address space that wait after they were freed; 0: none */
	uint64_t soak;       /* minutes of stress on all CPUs; 0: none */
	uint64_t ptcheck;    /* batches of changes to page tables, for tools/ptcheck.py to look at; 0: none */
	char crash[32];      /* crash=NAME: do this on purpose after boot; see kernel/crash.c */
};

/* Parses; each complaint goes to `complain` as one line. */
void cmdline_parse(const char *text, struct parameters *parameters, void (*complain)(const char *fmt, ...));

#endif
