/* Each refusal of a request for virtual space is told in one line, by its reason, or not at all, or by a panic, as asked. */
#include <arch/pte.h>
#include <mm/kmalloc.h>
#include <mm/memblock.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/vmalloc.h>
#include <no_trace.h>
#include <remote.h>
#include <scarcity.h>
#include <test/test.h>
#include "../../mm/mm_internal.h"
#include "../../mm/vmalloc_internal.h"

static char words[512];
static struct page *mapped_page;

enum call { VMALLOC, KVMALLOC, VMAP, AREA, IOREMAP };
enum scarcity { NOTHING_SCARCE, NO_SPACE, NO_DESCRIPTORS, NO_FRAMES, NO_TABLES };

/* A request that cannot be served, and why. What is left out is as it should be. */
struct refusal {
	const char *reason;
	enum call call;
	enum scarcity scarcity;
	size_t size; /* bytes; of vmap, whole pages */
	size_t (*size_from)(void);
	size_t align;
	uintptr_t (*start)(void), (*end)(void);
	gfp_t gfp; /* beside GFP_KERNEL */
	uint64_t prot;
	unsigned long flags;
	int node;
	uint64_t (*phys)(void);
};

static size_t more_than_ram(void)
{
	return (nr_managed_pages() + 1) << PAGE_SHIFT;
}

static size_t whole_window(void)
{
	return VMALLOC_END - VMALLOC_START;
}

static uintptr_t window_start(void)
{
	return VMALLOC_START;
}

static uintptr_t window_end(void)
{
	return VMALLOC_END;
}

static uintptr_t before_window(void)
{
	return VMALLOC_START - 1;
}

static uintptr_t past_window(void)
{
	return VMALLOC_END + 1;
}

static uintptr_t two_pages_on(void)
{
	return VMALLOC_START + 2 * PAGE_SIZE;
}

static uint64_t in_ram(void)
{
	return mm_memblock()->ram.at[0].start.raw;
}

/* The last byte of RAM, and the one before its last range; if there is one only, of its first page all the same. */
static uint64_t ram_to_hole(void)
{
	const struct memblock_ranges *ram = &mm_memblock()->ram;
	return ram->at[ram->count - 1].end.raw - 1;
}

static uint64_t hole_to_ram(void)
{
	const struct memblock_ranges *ram = &mm_memblock()->ram;
	return ram->count > 1 ? ram->at[ram->count - 1].start.raw - 1 : in_ram();
}

static uint64_t last_physical_byte(void)
{
	return (1UL << mm_state.physical_bits) - 1;
}

static uint64_t last_byte(void)
{
	return UINT64_MAX;
}

static uint64_t inside_a_page(void)
{
	return no_ram() + 0xff8;
}

#define READWRITE  (PAGE_KERNEL_BITS | PTE_WRITE | PTE_NO_EXEC)
#define MANY       1024 /* pages: some 2 MiB of them have no table yet, wherever they lie */
#define NEW_TABLES (PUD_SIZE + PAGE_SIZE)
#define TWO_PAGES  window_start, .end = two_pages_on

static const struct refusal refusals[] = {
        /* Arguments. */
        {"zero size", VMALLOC, .size = 0},
        {"zero size", VMALLOC, .size = 0, .gfp = __GFP_ZERO},
        {"zero size", VMAP, .size = 0},
        {"zero size", AREA, .size = 0},
        {"zero size", IOREMAP, .size = 0},
        {"more than all RAM", VMALLOC, .size_from = more_than_ram},
        {"more than all RAM", VMALLOC, .size = SIZE_MAX},
        {"more than all RAM", KVMALLOC, .size = SIZE_MAX},
        {"more than all RAM", VMAP, .size_from = more_than_ram},
        {"bad alignment", VMALLOC, .size = 1, .align = 3 * PAGE_SIZE},
        {"bad protection", VMALLOC, .size = 1, .prot = PTE_WRITE | PTE_NO_EXEC},
        {"bad protection", VMALLOC, .size = 1, .prot = READWRITE | PTE_USER},
        {"bad protection", VMAP, .size = PAGE_SIZE, .prot = PTE_WRITE | PTE_NO_EXEC},
        {"bad gfp flags", VMALLOC, .size = 1, .gfp = 1U << 10},
        {"bad gfp flags", KVMALLOC, .size = 2 * PAGE_SIZE, .gfp = 1U << 31},
        {"__GFP_NORETRY with __GFP_RETRY_MAYFAIL", VMALLOC, .size = 1,
         .gfp = __GFP_NORETRY | __GFP_RETRY_MAYFAIL},
        {"__GFP_NORETRY with __GFP_RETRY_MAYFAIL", KVMALLOC, .size = 2 * PAGE_SIZE,
         .gfp = __GFP_NORETRY | __GFP_RETRY_MAYFAIL},
        {"bad area flags", VMALLOC, .size = 1, .flags = VM_IOREMAP},
        {"bad area flags", VMAP, .size = PAGE_SIZE, .flags = VM_ALLOC},
        {"bad area flags", AREA, .size = 1, .flags = VM_ALLOC},
        {"bad area flags", AREA, .size = 1, .flags = VM_MAP | VM_IOREMAP},
        {"range outside the vmalloc window", VMALLOC, .size = 1, .start = before_window},
        {"range outside the vmalloc window", VMALLOC, .size = 1, .end = past_window},
        {"range outside the vmalloc window", VMALLOC, .size = 1, .start = window_end, .end = window_start},
        {"no such node", VMALLOC, .size = 1, .node = 1},
        {"no such physical address", IOREMAP, .size = 2, .phys = last_physical_byte},
        {"no such physical address", IOREMAP, .size = 2, .phys = last_byte},
        {"ordinary RAM", IOREMAP, .size = 1, .phys = in_ram},
        {"ordinary RAM", IOREMAP, .size = 2, .phys = ram_to_hole},
        {"ordinary RAM", IOREMAP, .size = 2, .phys = hole_to_ram},
        /* Virtual space: more than there is, or none left. */
        {"no virtual space", VMALLOC, .size = PAGE_SIZE + 1, .start = TWO_PAGES},
        {"no virtual space", VMALLOC, .size = 2 * PAGE_SIZE, .start = TWO_PAGES},
        {"no virtual space", VMALLOC, .size = 1, .align = 1UL << 63},
        {"no virtual space", AREA, .size = SIZE_MAX},
        {"no virtual space", AREA, .size_from = whole_window},
        {"no virtual space", VMALLOC, NO_SPACE, .size = 1},
        {"no virtual space", VMAP, NO_SPACE, .size = PAGE_SIZE},
        {"no virtual space", AREA, NO_SPACE, .size = 1},
        {"no virtual space", IOREMAP, NO_SPACE, .size = 16, .phys = inside_a_page},
        /* The rest. */
        {"no area descriptor", VMALLOC, NO_DESCRIPTORS, .size = 20 * PAGE_SIZE},
        {"no area descriptor", VMALLOC, NO_DESCRIPTORS, .size = 1, .start = remote},
        {"no area descriptor", KVMALLOC, NO_DESCRIPTORS, .size = 20 * PAGE_SIZE},
        {"no area descriptor", VMAP, NO_DESCRIPTORS, .size = 20 * PAGE_SIZE},
        {"no area descriptor", AREA, NO_DESCRIPTORS, .size = 20 * PAGE_SIZE},
        {"no area descriptor", IOREMAP, NO_DESCRIPTORS, .size = 16, .phys = inside_a_page},
        {"no frames", VMALLOC, NO_FRAMES, .size = 20 * PAGE_SIZE},
        {"no frames", VMALLOC, NO_FRAMES, .size = 200 * PAGE_SIZE + 1, .gfp = __GFP_ZERO | __GFP_HIGH},
        {"no frames", VMALLOC, NO_FRAMES, .size = 20 * PAGE_SIZE, .gfp = __GFP_NORETRY},
        {"no frames", VMALLOC, NO_FRAMES, .size = 20 * PAGE_SIZE, .gfp = __GFP_RETRY_MAYFAIL},
        {"no frames", KVMALLOC, NO_FRAMES, .size = 20 * PAGE_SIZE},
        {"no page-table page", VMALLOC, NO_TABLES, .size = 1, .start = remote},
        {"no page-table page", VMAP, NO_TABLES, .size = MANY * PAGE_SIZE},
        {"no page-table page", IOREMAP, NO_TABLES, .size = NEW_TABLES},
        {"no page-table page", IOREMAP, NO_TABLES, .size = NEW_TABLES, .phys = inside_a_page},
};

static const char *const call_names[] = {[VMALLOC] = "vmalloc",
                                         [KVMALLOC] = "kvmalloc",
                                         [VMAP] = "vmap",
                                         [AREA] = "get_vm_area",
                                         [IOREMAP] = "ioremap"};

static size_t size_of(const struct refusal *r)
{
	return r->size_from ? r->size_from() : r->size;
}

static void *refused(const struct refusal *r, gfp_t gfp)
{
	static struct page *pages[MANY];
	unsigned long flags = r->flags ? r->flags : VM_MAP;
	pgprot_t prot = {r->prot ? r->prot : READWRITE};

	switch (r->call) {
	case VMALLOC:
		return __vmalloc_node_range(size_of(r), r->align, r->start ? r->start() : VMALLOC_START,
		                            r->end ? r->end() : VMALLOC_END, gfp, prot, r->flags, r->node,
		                            SOMEWHERE);
	case KVMALLOC:
		return kvmalloc(size_of(r), gfp);
	case VMAP:
		for (size_t i = 0; i < MANY; i++)
			pages[i] = mapped_page;
		return vmap(pages, (unsigned)(size_of(r) >> PAGE_SHIFT), flags, prot);
	case AREA:
		return get_vm_area(size_of(r), flags);
	case IOREMAP:
		return ioremap(r->phys ? r->phys() : no_ram(), size_of(r));
	}
	return NULL;
}

/* Descriptors that are there for the taking, or their slab's frames if it comes to that: not enough for any request. */
static void keep_some_descriptors(void)
{
	void *some[2];

	for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
		some[i] = kmem_cache_alloc(vmalloc_state.nodes, GFP_KERNEL);
		assert_non_null(some[i]);
	}
	take_all_frames();
	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		kmem_cache_free(vmalloc_state.nodes, some[i]);
}

static void begin_scarcity(enum scarcity scarcity)
{
	switch (scarcity) {
	case NOTHING_SCARCE:
		break;
	case NO_SPACE:
		take_all_space();
		break;
	case NO_DESCRIPTORS:
		take_all_frames();
		take_all_descriptors(GFP_ATOMIC);
		break;
	case NO_FRAMES:
		keep_some_descriptors();
		break;
	case NO_TABLES:
		take_all_tables(NULL);
		break;
	}
}

/* The line is about `text`, a call with `gfp`, and tells the reason and nothing else. */
static const char *expected_line(const struct refusal *r, gfp_t gfp, const char *ending)
{
	format_buffer(words, sizeof(words), "%s: %zu bytes, gfp 0x%x, from *: %s%s", call_names[r->call],
	              size_of(r), gfp, r->reason, ending);
	return words;
}

static void assert_refused_with_one_line(const struct refusal *r)
{
	gfp_t gfp = GFP_KERNEL | r->gfp;

	begin_scarcity(r->scarcity);
	test_warnings_begin();
	void *got = refused(r, gfp);
	unsigned long warnings = test_warnings_end();
	give_everything_back();
	assert_null(got);
	assert_int_equal(warnings, 1);
	assert_matches(test_warning_last(), expected_line(r, gfp, ""));
}

static void assert_refused_in_silence(const struct refusal *r)
{
	begin_scarcity(r->scarcity);
	test_warnings_begin();
	void *got = refused(r, GFP_KERNEL | r->gfp | __GFP_NOWARN);
	unsigned long warnings = test_warnings_end();
	give_everything_back();
	assert_null(got);
	assert_int_equal(warnings, 0);
}

static void assert_refusal_panics(const struct refusal *r)
{
	gfp_t gfp = GFP_KERNEL | r->gfp | __GFP_NOFAIL;

	expected_line(r, gfp, ", and it must not fail");
	begin_scarcity(r->scarcity);
	expect_panic(words, (void)!refused(r, gfp));
	give_everything_back();
}

static void each_reason_to_refuse_has_its_one_line_its_silence_and_its_panic(void)
{
	need_window(4 * PGD_SIZE, "needs areas that are alone in their tables");
	mapped_page = alloc_page(GFP_KERNEL);
	assert_non_null(mapped_page);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		test_step(i);
		remember_memory();
		assert_refused_with_one_line(r);
		if (r->call == VMALLOC || r->call == KVMALLOC) { /* the others are told no flags */
			assert_refused_in_silence(r);
			if (!(r->gfp & GFP_EFFORT))
				assert_refusal_panics(r);
		}
		assert_like_before();
	}
	__free_page(mapped_page);
}

static const struct test_case cases[] = {
        TEST_CASE(each_reason_to_refuse_has_its_one_line_its_silence_and_its_panic),
};

const struct test_suite refusal_suite = TEST_SUITE("refusal", cases, .tear_down = give_everything_back);
