/*
 * Page sizes of x86-64 paging and the arithmetic between addresses and frames. Shared by both machines.
 * Intel SDM vol. 3A, section 4.5.
 */
#ifndef ARCH_PAGE_H
#define ARCH_PAGE_H

#include <lib/addr.h>
#include <lib/align.h>

enum {
	PAGE_SHIFT = 12,
	PMD_SHIFT = 21, /* 2 MiB: what one page-directory entry spans */
	PUD_SHIFT = 30, /* 1 GiB */
	PGD_SHIFT = 39, /* 512 GiB */
};

#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PMD_SIZE  (1UL << PMD_SHIFT)
#define PUD_SIZE  (1UL << PUD_SHIFT)
#define PGD_SIZE  (1UL << PGD_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

static inline paddr_t pfn_to_paddr(pfn_t frame)
{
	return paddr(frame.raw << PAGE_SHIFT);
}

/* The frame that holds `pa`. */
static inline pfn_t paddr_to_pfn(paddr_t pa)
{
	return pfn(pa.raw >> PAGE_SHIFT);
}

/* Whole pages that hold `bytes`; wraps only for bytes > 2^64 - PAGE_SIZE. */
static inline size_t pages_for(size_t bytes)
{
	return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

#endif
