/*
 * The naive model of an address space: an array with one element per page, over a few windows. It knows nothing of
 * tables, levels or leaves. Comparing asks both walkers for everything.
 */
#ifndef TESTS_PAGETABLE_MODEL_H
#define TESTS_PAGETABLE_MODEL_H

#include <mm/pagetable_check.h>

/* Six MiB around a border: two whole 2 MiB blocks and parts of two more. */
enum { MODEL_WINDOWS = 4, MODEL_PAGES = 1536, MODEL_BORDER = MODEL_PAGES / 2 };

struct model_page {
	paddr_t pa;
	pgprot_t prot; /* 0: absent */
};

struct model_window {
	vaddr_t start;
	struct model_page pages[MODEL_PAGES];
};

struct pagetable_model {
	struct model_window windows[MODEL_WINDOWS];
};

/*
 * Nothing is mapped. The windows lie around borders between entries of each level but the lowest, in a root of 4 or 5
 * `levels`; one lies in the lower half.
 */
void pagetable_model_init(struct pagetable_model *model, unsigned levels);

static inline vaddr_t model_address(const struct model_window *window, size_t index)
{
	return vaddr_add(window->start, index << PAGE_SHIFT);
}

static inline struct vrange model_range(const struct model_window *window, size_t first, size_t count)
{
	return vrange_sized(model_address(window, first), count << PAGE_SHIFT);
}

/* How many pages from `first` on are absent, up to `count`. */
size_t model_absent_run(const struct model_window *window, size_t first, size_t count);

void model_unmap(struct model_window *window, size_t first, size_t count);
void model_protect(struct model_window *window, size_t first, size_t count, pgprot_t prot);

/* NULL if every page of `window` translates as the model says, else the first difference. */
const char *model_compare_lookups(const struct model_window *window, const struct pagetable *pt) MUST_USE;

/* NULL if the independent walk finds exactly the model's pages, no fewer and no more. */
const char *model_compare_walk(const struct pagetable_model *model, const struct pagetable *pt) MUST_USE;

/* The entry of `level` on the way to `va`, for breaking it; NULL if the way ends before. */
pte_t *pagetable_entry(const struct pagetable *pt, vaddr_t va, unsigned level);

#endif
