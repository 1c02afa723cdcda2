#include <hog.h>
#include <mm/page_alloc.h>

static struct {
	struct page *page;
	unsigned order;
} hogged[1024];
static size_t nr_hogged;

void hog_frames(size_t leave)
{
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		while (nr_hogged < ARRAY_SIZE(hogged) && nr_free_pages() >= leave + (1UL << order)) {
			struct page *page = alloc_pages(GFP_ATOMIC | __GFP_NOWARN, (unsigned)order);
			if (!page)
				break;
			hogged[nr_hogged].page = page;
			hogged[nr_hogged++].order = (unsigned)order;
		}
	}
}

void hog_release(void)
{
	while (nr_hogged) {
		nr_hogged--;
		__free_pages(hogged[nr_hogged].page, hogged[nr_hogged].order);
	}
}
