/*
 * Something that gives and takes back single frames for page tables: memblock while booting, the page allocator
 * afterwards, a failing one in tests. Contents are undefined; the frame is reachable through the direct map.
 */
#ifndef MM_PAGE_SOURCE_H
#define MM_PAGE_SOURCE_H

#include <lib/addr.h>

struct page_source {
	bool (*take)(struct page_source *source, paddr_t *frame); /* false: none left */
	void (*give)(struct page_source *source, paddr_t frame);
};

#endif
