#include "pagetable_model.h"
#include <lib/check.h>
#include <lib/string.h>

void pagetable_model_init(struct pagetable_model *model, unsigned levels)
{
	static const uint64_t borders_of_4[MODEL_WINDOWS] = {
	        0xffffc00010200000, /* 2 MiB */
	        0xffffc00040000000, /* 1 GiB */
	        0xffffc08000000000, /* 512 GiB */
	        0x0000008000000000, /* the same in the lower half */
	};
	static const uint64_t borders_of_5[MODEL_WINDOWS] = {
	        0xffffc00040000000, /* 1 GiB */
	        0xffffc08000000000, /* 512 GiB */
	        0xff91000000000000, /* 256 TiB */
	        0x0001000000000000, /* the same in the lower half */
	};
	const uint64_t *borders = levels == 4 ? borders_of_4 : borders_of_5;

	memset(model, 0, sizeof(*model));
	for (unsigned w = 0; w < MODEL_WINDOWS; w++)
		model->windows[w].start = vaddr(borders[w] - MODEL_BORDER * PAGE_SIZE);
}

size_t model_absent_run(const struct model_window *window, size_t first, size_t count)
{
	size_t run = 0;
	while (run < count && !window->pages[first + run].prot.raw)
		run++;
	return run;
}

void model_unmap(struct model_window *window, size_t first, size_t count)
{
	memset(&window->pages[first], 0, count * sizeof(window->pages[0]));
}

void model_protect(struct model_window *window, size_t first, size_t count, pgprot_t prot)
{
	for (size_t i = first; i < first + count; i++)
		if (window->pages[i].prot.raw)
			window->pages[i].prot = prot;
}

const char *model_compare_lookups(const struct model_window *window, const struct pagetable *pt)
{
	for (size_t i = 0; i < MODEL_PAGES; i++) {
		const struct model_page *page = &window->pages[i];
		vaddr_t va = vaddr_add(model_address(window, i), 8 * (i % 512));
		struct translation t;
		bool found = pagetable_lookup(pt, va, &t);
		CHECK(found == (page->prot.raw != 0), "0x%lx: lookup says %s", va.raw,
		      found ? "mapped" : "absent");
		if (!found)
			continue;
		CHECK(t.pa.raw == page->pa.raw + 8 * (i % 512), "0x%lx: lookup says 0x%lx, mapped to 0x%lx",
		      va.raw, t.pa.raw, page->pa.raw);
		CHECK(t.prot.raw == page->prot.raw, "0x%lx: lookup says protection 0x%lx, not 0x%lx", va.raw,
		      t.prot.raw, page->prot.raw);
	}
	return NULL;
}

struct comparison {
	const struct pagetable_model *model;
	const char *difference;
	size_t found;   /* pages seen by the walk */
	uint64_t above; /* the walk ascends */
};

static const struct model_page *model_find(const struct pagetable_model *model, vaddr_t va)
{
	for (unsigned w = 0; w < MODEL_WINDOWS; w++) {
		const struct model_window *window = &model->windows[w];
		if (vrange_contains(model_range(window, 0, MODEL_PAGES), va))
			return &window->pages[(va.raw - window->start.raw) >> PAGE_SHIFT];
	}
	return NULL;
}

static const char *compare_mapping(struct comparison *comparison, const struct mapping *m)
{
	CHECK(m->va.start.raw >= comparison->above && m->va.start.raw < m->va.end.raw,
	      "0x%lx: the walk does not ascend", m->va.start.raw);
	comparison->above = m->va.end.raw;
	for (uint64_t offset = 0; offset < vrange_size(m->va); offset += PAGE_SIZE) {
		vaddr_t va = vaddr_add(m->va.start, offset);
		const struct model_page *page = model_find(comparison->model, va);
		CHECK(page && page->prot.raw, "0x%lx: the walk finds a page, the model does not", va.raw);
		CHECK(page->pa.raw == m->pa.raw + offset && page->prot.raw == m->prot.raw,
		      "0x%lx: the walk finds 0x%lx with 0x%lx, the model 0x%lx with 0x%lx", va.raw,
		      m->pa.raw + offset, m->prot.raw, page->pa.raw, page->prot.raw);
		comparison->found++;
	}
	return NULL;
}

static bool visit_compare(const struct mapping *mapping, void *context)
{
	struct comparison *comparison = context;
	comparison->difference = compare_mapping(comparison, mapping);
	return !comparison->difference;
}

const char *model_compare_walk(const struct pagetable_model *model, const struct pagetable *pt)
{
	struct comparison comparison = {.model = model};
	address_space_walk(pt->root, pt->levels, visit_compare, &comparison);
	if (comparison.difference)
		return comparison.difference;
	size_t expected = 0;
	for (unsigned w = 0; w < MODEL_WINDOWS; w++)
		for (size_t i = 0; i < MODEL_PAGES; i++)
			expected += model->windows[w].pages[i].prot.raw != 0;
	CHECK(comparison.found == expected, "the walk finds %zu pages, the model %zu", comparison.found,
	      expected);
	return NULL;
}

pte_t *pagetable_entry(const struct pagetable *pt, vaddr_t va, unsigned level)
{
	pte_t *table = paddr_to_directmap(pt->root);
	for (unsigned at = pt->levels; at > level; at--) {
		pte_t e = table[pt_index(va, at)];
		if (!pte_present(e) || pte_is_leaf(e, at))
			return NULL;
		table = paddr_to_directmap(pte_table_paddr(e));
	}
	return &table[pt_index(va, level)];
}
