/*
 * The places that flush translations. A build option turns one of them off (`make flush-table` does so with each in
 * turn and shows which tests notice); in an ordinary build all are on and the question costs nothing. Shared by both
 * machines.
 */
#ifndef ARCH_FLUSH_SITE_H
#define ARCH_FLUSH_SITE_H

#include <lib/compiler.h>

enum flush_site {
	FLUSH_NONE,
	/* mm/pagetable.c, pagetable_protect.c and vm_map_ram.c: what is flushed for */
	FLUSH_UNMAP,
	FLUSH_SWEEP,
	FLUSH_SPLIT,
	FLUSH_PROTECT,
	/* x86_64/tlb.c: how */
	FLUSH_LOCAL_SINGLE,
	FLUSH_LOCAL_FULL,
	FLUSH_REMOTE_SINGLE,
	FLUSH_REMOTE_FULL,
	FLUSH_SITES,
};

#ifndef OCTAVO_FLUSH_OFF
#define OCTAVO_FLUSH_OFF 0
#endif

/* pre: a constant */
static ALWAYS_INLINE bool flush_site(enum flush_site site)
{
	return site != (enum flush_site)OCTAVO_FLUSH_OFF;
}

#endif
