#include <hoard.h>
#include <mm/page.h>

void hoard_add(struct hoard *hoard, struct page *page)
{
	page->owner = hoard->first;
	hoard->first = page;
	hoard->frames += 1UL << page->order;
}

void hoard_take(struct hoard *hoard, gfp_t gfp, size_t leave)
{
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		struct page *page;
		while ((!leave || nr_free_pages() >= leave + (1UL << order)) &&
		       (page = alloc_pages(gfp | __GFP_NOWARN, (unsigned)order)))
			hoard_add(hoard, page);
	}
}

size_t hoard_give(struct hoard *hoard, size_t frames)
{
	size_t before = hoard->frames;

	while (hoard->first && before - hoard->frames < frames) {
		struct page *page = hoard->first;
		hoard->first = page->owner;
		hoard->frames -= 1UL << page->order;
		__free_pages(page, page->order);
	}
	return before - hoard->frames;
}

void hoard_release(struct hoard *hoard)
{
	hoard_give(hoard, SIZE_MAX);
}
