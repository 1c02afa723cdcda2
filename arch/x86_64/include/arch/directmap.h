/*
 * The direct map: all of RAM at one constant offset, so that a frame's contents are an addition away. Where it begins
 * is the machine's matter (<arch/machine.h>): a constant in the kernel, the fake RAM's address in a hosted test.
 * These are the only conversions between pointers and physical addresses; a vmalloc address has none.
 */
#ifndef ARCH_DIRECTMAP_H
#define ARCH_DIRECTMAP_H

#include <arch/machine.h>
#include <arch/page.h>

/* pre: pa is RAM that the direct map covers. */
static inline void *paddr_to_directmap(paddr_t pa)
{
	return (void *)(DIRECTMAP_BASE + pa.raw);
}

static inline bool is_directmap_address(vaddr_t va)
{
	return va.raw - DIRECTMAP_BASE < DIRECTMAP_SIZE;
}

/* pre: is_directmap_address(vaddr_of(pointer)) */
static inline paddr_t directmap_to_paddr(const void *pointer)
{
	return paddr((uintptr_t)pointer - DIRECTMAP_BASE);
}

#endif
