/*
 * The kernel's side of `make ptcheck`: what it believes it has mapped, for tools/ptcheck.py to compare with what the machine
 * has.
 *
 * That is two models (ptcheck_model.h). The only thing that they cannot know is which frames vmalloc() took: vmalloc_to_pfn()
 * tells, when they are new, and two words written through each address bear it out.
 *
 *	window   all that this test has in the vmalloc window: areas, and a region of raw page-table operations
 *	direct   by physical address, the frames of which the direct map's pages are changed; the level is not promised
 *
 * In the debug build, every so often one allocation of an operation is refused: if the call says that it failed, it must have
 * changed nothing.
 *
 * What is printed, with addresses and sizes in hexadecimal, without 0x:
 *
 *	ptcheck: seed=N batches=N direct=START-END window=START-END pat=MSR physical_bits=N
 *	op WHAT                                    an operation, in words, for reports
 *	map START SIZE PA ACCESS TYPE LEVEL SERIAL
 *	                                           present; unless SERIAL is 0, each page begins with the words START, SERIAL
 *	hidden START SIZE                          kept by the kernel, not present
 *	alias PA SIZE ACCESS                       how the direct map differs from its default
 *	ready BATCH TABLES                         waits; so many tables belong to the kernel
 */
#include <test/holes.h>
#include <test/ptcheck.h>
#include "ptcheck_model.h"
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/directmap.h>
#include <kernel/console.h>
#include <kernel/panic.h>
#include <lib/panic.h>
#include <lib/rng.h>
#include <lib/string.h>
#include <mm/fault_inject.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/ptdump.h>
#include <mm/set_memory.h>
#include <mm/vmalloc.h>

enum { SLOTS = 24, AREA_PAGES_MAX = 24, BLOCK_ORDER_MAX = 4, LEAF_ORDER = 9, LARGE_MAX = 2 };
enum { OPERATIONS_MIN = 4, OPERATIONS_MAX = 12 }; /* in a batch */
enum { VERIFY_EVERY = 32 };                       /* batches */
enum { MAP_LEAVES_MAX = 600, LEAVES_MAX = 1500 };

#define REGION_SIZE (4 * PUD_SIZE)

/* Physical addresses that are no RAM of a small machine: for each slot's devices, and for the region. Below 2^39. */
#define DEVICES_START (1UL << 36)
#define DEVICE_ROOM   (4 * PUD_SIZE)
#define REGION_START  (1UL << 38)

/* For the other side only: a screen would have to scroll for each line. */
static void serial_line_write(struct printer *printer, const char *text, size_t length)
{
	(void)printer;
	serial_write(text, length);
}

static struct printer serial_line = {.write = serial_line_write};

#define tell(...) print(&serial_line, __VA_ARGS__)

/* ---- What is told ------------------------------------------------------------------------------------------------- */

static const char *access_name(unsigned access)
{
	static const char *const names[] = {"r--", "rw-", "r-x", "rwx"};
	return access & HIDDEN ? "---" : names[access];
}

static void tell_mapping(const struct piece *piece)
{
	static const char *const types[MEMORY_TYPES] = {
	        [MEMORY_UC] = "UC", [MEMORY_WC] = "WC", [MEMORY_WT] = "WT",
	        [MEMORY_WP] = "WP", [MEMORY_WB] = "WB", [MEMORY_UC_MINUS] = "UC-",
	};

	if (piece->access & HIDDEN)
		tell("hidden %lx %lx\n", piece->start, piece->end - piece->start);
	else
		tell("map %lx %lx %lx %s %s %u %u\n", piece->start, piece->end - piece->start, piece->pa,
		     access_name(piece->access), types[piece->type], piece->level, piece->serial);
}

static void tell_alias(const struct piece *piece)
{
	if (piece->access != WRITE)
		tell("alias %lx %lx %s\n", piece->start, piece->end - piece->start,
		     access_name(piece->access));
}

/* ---- What the operations have to do with ------------------------------------------------------------------------- */

enum slot_kind {
	EMPTY,
	VMALLOC,    /* owns its frames */
	VMAP_GIVEN, /* likewise: vmap() with VM_MAP_PUT_PAGES */
	VMAP,       /* shows frames of ours, some of them several times */
	IOREMAP,
	BLOCK, /* pages changed in the direct map itself */
	SLOT_KINDS,
};

struct slot {
	enum slot_kind kind;
	struct vrange va;                    /* whole pages; of a BLOCK, in the direct map */
	struct page *frames[AREA_PAGES_MAX]; /* VMAP: ours to free */
	unsigned nr_frames;
	struct page *block; /* likewise, of LEAF_ORDER; or NULL */
	unsigned order;     /* BLOCK */
};

static struct ptcheck {
	struct rng rng;
	struct model window, direct;
	struct slot slots[SLOTS];
	struct vmap_area *region;
	unsigned max_level;
	uint32_t serial; /* the last one */
	bool armed;      /* an allocation is to be refused */
	size_t refused;  /* operations */
} test;

static uint64_t below(uint64_t bound)
{
	return rng_below(&test.rng, bound);
}

/* Around each operation under test, and nothing else. */
static void may_be_refused(void)
{
	test.armed = IS_DEBUG && below(8) == 0;
	if (test.armed)
		fault_inject_arm((unsigned)below(6) + 1);
}

/* Says what happened; returns `done`. */
PRINTF_LIKE(2, 3) static bool operation_ends(bool done, const char *fmt, ...)
{
	char text[160];
	va_list args;
	bool delivered = test.armed && fault_inject_disarm();

	va_start(args, fmt);
	vformat_buffer(text, sizeof(text), fmt, args);
	va_end(args);
	tell("op %s%s%s\n", text, done ? "" : ": refused", delivered ? " (an allocation was)" : "");
	test.armed = false;
	test.refused += !done;
	return done;
}

static struct vrange part_of(struct vrange whole)
{
	uint64_t pages = vrange_size(whole) >> PAGE_SHIFT, first = below(pages);

	return vrange_sized(vaddr_add(whole.start, first << PAGE_SHIFT), (below(pages - first) + 1)
	                                                                         << PAGE_SHIFT);
}

static int pages_in(struct vrange range)
{
	return (int)(vrange_size(range) >> PAGE_SHIFT);
}

static pgprot_t prot_of(unsigned access, enum memory_type type)
{
	static const pgprot_t prots[] = {PAGE_KERNEL_RO, PAGE_KERNEL, PAGE_KERNEL_ROX};
	return pgprot_as(prots[access], type);
}

static enum memory_type any_type(void)
{
	static const enum memory_type types[] = {MEMORY_WB, MEMORY_UC, MEMORY_UC_MINUS,
	                                         MEMORY_WC, MEMORY_WT, MEMORY_WP};
	return types[below(cpu_features.pat ? ARRAY_SIZE(types) : 3)];
}

/* ---- The region: raw page-table operations ------------------------------------------------------------------------ */

static struct vrange region(void)
{
	return vrange_sized(vaddr(test.region->va_start), REGION_SIZE);
}

static size_t model_leaves(void)
{
	size_t leaves = 0;

	for (size_t i = 0; i < test.window.count; i++)
		leaves += piece_leaves(&test.window.at[i]);
	return leaves;
}

/* About one leaf of some level, more or fewer, often aligned to it. */
static struct vrange region_any_range(void)
{
	uint64_t unit = leaf_size((unsigned)below(3) + 1);
	uint64_t start = align_down(below(REGION_SIZE), unit), size = unit * (below(8) + 1);

	if (below(3) == 0)
		start += below(512) << PAGE_SHIFT;
	if (below(3) == 0)
		size += below(512) << PAGE_SHIFT;
	size = min_u64(size, REGION_SIZE - min_u64(start, REGION_SIZE - PAGE_SIZE));
	return vrange_sized(vaddr_add(region().start, min_u64(start, REGION_SIZE - PAGE_SIZE)), size);
}

/* Within what is mapped, or around it. */
static struct vrange region_mapped_range(void)
{
	struct vrange range = region_any_range(), all = region();
	size_t first = model_find(&test.window, all.start.raw), last = model_find(&test.window, all.end.raw);

	if (first == last || below(4) == 0)
		return range;
	const struct piece *piece = &test.window.at[first + below(last - first)],
	                   *other = &test.window.at[first + below(last - first)];
	if (other->level > piece->level)
		piece = other; /* small leaves are many, but large ones can be split */
	if (below(3) == 0)
		return vrange(piece->start, piece->end);
	uint64_t edge = piece->start + (below((piece->end - piece->start) >> PAGE_SHIFT) << PAGE_SHIFT);
	if (below(2) || edge == piece->start)
		return vrange(edge, min_u64(edge + vrange_size(range), all.end.raw));
	return vrange(max_u64(edge - min_u64(vrange_size(range), edge), all.start.raw), edge);
}

static void region_map(void)
{
	struct vrange range = region_any_range();
	uint64_t pa = REGION_START + (range.start.raw & (64 * PUD_SIZE - 1));
	unsigned access = (unsigned)below(3), max_level = (unsigned)below(test.max_level) + 1;
	enum memory_type type = any_type();

	if (below(4) == 0)
		pa += PMD_SIZE * below(512);
	else if (below(4) == 0)
		pa += PAGE_SIZE * below(512);
	struct piece piece = {
	        .start = range.start.raw,
	        .end = range.end.raw,
	        .pa = pa,
	        .access = (uint8_t)access,
	        .type = (uint8_t)type,
	};
	if (model_map(NULL, piece, max_level) > MAP_LEAVES_MAX)
		piece.end = range.end.raw = min_u64(range.end.raw, range.start.raw + PMD_SIZE);
	if (!model_is_free(&test.window, range))
		return;
	may_be_refused();
	bool done = pagetable_map(&kernel_pagetable, range, paddr(pa), prot_of(access, type), max_level);
	if (operation_ends(done, "pagetable_map %lx-%lx to %lx %s %s, leaves up to level %u", range.start.raw,
	                   range.end.raw, pa, access_name(access), memory_type_name(type), max_level))
		model_map(&test.window, piece, max_level);
}

static void region_unmap(struct vrange range)
{
	may_be_refused();
	bool done = pagetable_unmap(&kernel_pagetable, range, NULL);
	if (operation_ends(done, "pagetable_unmap %lx-%lx", range.start.raw, range.end.raw))
		model_remove(&test.window, range);
}

static void region_protect(void)
{
	struct vrange range = region_mapped_range();
	unsigned access = (unsigned)below(3);
	enum memory_type type = any_type();

	may_be_refused();
	bool done = pagetable_protect(&kernel_pagetable, range, prot_of(access, type));
	if (!operation_ends(done, "pagetable_protect %lx-%lx %s %s", range.start.raw, range.end.raw,
	                    access_name(access), memory_type_name(type)))
		return;
	for (size_t i = model_isolate(&test.window, range);
	     i < test.window.count && test.window.at[i].start < range.end.raw; i++) {
		test.window.at[i].access = (uint8_t)access;
		test.window.at[i].type = (uint8_t)type;
	}
}

static void region_operation(void)
{
	if (model_leaves() > LEAVES_MAX || test.window.count > model_capacity / 2) {
		uint64_t part = below(REGION_SIZE / PUD_SIZE);
		region_unmap(vrange_sized(vaddr_add(region().start, part * PUD_SIZE), PUD_SIZE));
		return;
	}
	switch (below(7)) {
	case 0:
	case 1:
	case 2:
		region_map();
		break;
	case 3:
	case 4:
		region_unmap(region_mapped_range());
		break;
	default:
		region_protect();
		break;
	}
}

/* ---- Areas: taking ------------------------------------------------------------------------------------------------ */

/* What lies at `va` of a new area: a leaf of 2 MiB if the allocator says that its frame is a block of that size. */
static struct piece learn_leaf(const struct slot *slot, uint64_t va, unsigned access)
{
	uint64_t frame = vmalloc_to_pfn((void *)va);
	bool large = is_aligned(va, PMD_SIZE) && slot->va.end.raw - va >= PMD_SIZE &&
	             pfn_to_page(pfn(frame))->order == LEAF_ORDER;

	return (struct piece){
	        .start = va,
	        .end = va + (large ? PMD_SIZE : PAGE_SIZE),
	        .pa = frame << PAGE_SHIFT,
	        .access = (uint8_t)access,
	        .type = MEMORY_WB,
	        .level = large ? 2 : 1,
	};
}

/* The direct map's part, of which nothing but the access may change. */
static void add_frames(uint64_t pa, uint64_t size)
{
	model_add(
	        &test.direct,
	        (struct piece){.start = pa, .end = pa + size, .pa = pa, .access = WRITE, .type = MEMORY_WB});
}

/* New frames behind an area, of which each page is marked through its address if that can be written. */
static void learn_frames(struct slot *slot, unsigned access)
{
	uint32_t serial = access & WRITE ? ++test.serial : 0;

	for (uint64_t va = slot->va.start.raw; va < slot->va.end.raw;) {
		struct piece piece = learn_leaf(slot, va, access);
		piece.serial = serial;
		model_add(&test.window, piece);
		add_frames(piece.pa, piece.end - piece.start);
		for (; va < piece.end; va += PAGE_SIZE) {
			if (!serial)
				continue;
			((uint64_t *)va)[0] = va;
			((uint64_t *)va)[1] = serial;
		}
	}
}

/* Another area of 2 MiB and more may be had: a few, as the machine is small. */
static bool may_be_large(void)
{
	unsigned large = 0;

	for (size_t i = 0; i < SLOTS; i++)
		large += test.slots[i].kind != EMPTY && vrange_size(test.slots[i].va) >= PMD_SIZE &&
		         test.slots[i].kind != IOREMAP;
	return large < LARGE_MAX && below(4) == 0;
}

static void take_vmalloc(struct slot *slot)
{
	size_t size = (below(AREA_PAGES_MAX) << PAGE_SHIFT) + below(PAGE_SIZE) + 1;
	unsigned long flags = below(2) ? VM_ALLOW_HUGE_VMAP : 0;
	unsigned how = (unsigned)below(4), access = how == 2 ? 0 : WRITE;
	void *area;

	if (may_be_large())
		size += (below(2) + 1) * PMD_SIZE;
	may_be_refused();
	switch (how) {
	case 0:
		area = vzalloc(size);
		break;
	case 1:
		area = __vmalloc_node_range(size, PMD_SIZE, VMALLOC_START, VMALLOC_END, GFP_KERNEL,
		                            PAGE_KERNEL, flags, NUMA_NO_NODE, &test);
		break;
	case 2:
		area = __vmalloc(size, GFP_KERNEL, PAGE_KERNEL_RO);
		break;
	default:
		area = vmalloc(size);
		break;
	}
	if (!operation_ends(area, "vmalloc %zu bytes %s: %p", size, access_name(access), area))
		return;
	slot->kind = VMALLOC;
	slot->va = vrange_sized(vaddr_of(area), align_up(size, PAGE_SIZE));
	learn_frames(slot, access);
}

/* Single frames of ours; none if there are not enough. */
static bool take_frames(struct slot *slot)
{
	unsigned count = (unsigned)below(AREA_PAGES_MAX) + 1;

	slot->nr_frames = (unsigned)alloc_pages_bulk(GFP_KERNEL, count, slot->frames);
	if (slot->nr_frames == count)
		return true;
	free_pages_bulk(slot->nr_frames, slot->frames);
	return false;
}

static void take_vmap_given(struct slot *slot)
{
	if (!take_frames(slot))
		return;
	may_be_refused();
	void *area = vmap(slot->frames, slot->nr_frames, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (!operation_ends(area, "vmap %u frames, given away: %p", slot->nr_frames, area)) {
		free_pages_bulk(slot->nr_frames, slot->frames);
		return;
	}
	slot->kind = VMAP_GIVEN;
	slot->va = vrange_sized(vaddr_of(area), (uint64_t)slot->nr_frames << PAGE_SHIFT);
	learn_frames(slot, WRITE);
}

static void give_shown_frames(struct slot *slot)
{
	if (slot->block)
		__free_pages(slot->block, LEAF_ORDER);
	free_pages_bulk(slot->nr_frames, slot->frames);
}

/* Some of our frames, in any order; before them, perhaps, 2 MiB that follow each other in memory. */
static unsigned choose_shown(struct slot *slot, struct page **shown)
{
	unsigned count = 0, single = (unsigned)below(AREA_PAGES_MAX) + 1;

	slot->block = may_be_large() ? alloc_pages(GFP_KERNEL | __GFP_NOWARN, LEAF_ORDER) : NULL;
	for (; slot->block && count < 1 << LEAF_ORDER; count++)
		shown[count] = slot->block + count;
	for (; single; single--)
		shown[count++] = slot->frames[below(slot->nr_frames)];
	return count;
}

static void take_vmap(struct slot *slot)
{
	static struct page *shown[AREA_PAGES_MAX + (1 << LEAF_ORDER)];
	unsigned access = (unsigned)below(3);

	if (!take_frames(slot))
		return;
	unsigned count = choose_shown(slot, shown);
	may_be_refused();
	void *area = vmap(shown, count, VM_MAP | (below(2) ? VM_NO_GUARD : 0), prot_of(access, MEMORY_WB));
	if (!operation_ends(area, "vmap %u pages of %u frames%s %s: %p", count, slot->nr_frames,
	                    slot->block ? " and a block" : "", access_name(access), area)) {
		give_shown_frames(slot);
		return;
	}
	slot->kind = VMAP;
	slot->va = vrange_sized(vaddr_of(area), (uint64_t)count << PAGE_SHIFT);
	uint64_t va = slot->va.start.raw;
	for (unsigned i = 0; i < count;) {
		unsigned pages = slot->block && !i ? 1 << LEAF_ORDER : 1;
		model_map(&test.window,
		          (struct piece){
		                  .start = va,
		                  .end = va + pages * PAGE_SIZE,
		                  .pa = page_to_paddr(shown[i]).raw,
		                  .access = (uint8_t)access,
		                  .type = MEMORY_WB,
		          },
		          2);
		va += pages * PAGE_SIZE;
		i += pages;
	}
}

static const struct device_call {
	const char *name;
	void *(*map)(uint64_t phys, size_t size);
	enum memory_type type;
} device_calls[] = {
        {"ioremap", ioremap, MEMORY_UC_MINUS},       {"ioremap_uc", ioremap_uc, MEMORY_UC},
        {"ioremap_wc", ioremap_wc, MEMORY_WC},       {"ioremap_wt", ioremap_wt, MEMORY_WT},
        {"ioremap_cache", ioremap_cache, MEMORY_WB},
};

static void take_ioremap(struct slot *slot)
{
	const struct device_call *call = &device_calls[below(ARRAY_SIZE(device_calls))];
	uint64_t phys = DEVICES_START + (uint64_t)(slot - test.slots) * DEVICE_ROOM;
	uint64_t unit = leaf_size((unsigned)below(test.max_level) + 1), size = unit * (below(2) + 1);

	if (unit == PAGE_SIZE)
		size = below(16 * PAGE_SIZE) + 1;
	if (unit < PUD_SIZE && below(3) == 0) {
		phys += below(PMD_SIZE);
		size = min_u64(size, PMD_SIZE / 2);
	}
	enum memory_type type = cpu_features.pat || call->type == MEMORY_WB || call->type == MEMORY_UC
	                                ? call->type
	                                : MEMORY_UC_MINUS;
	may_be_refused();
	void *device = call->map(phys, size);
	if (!operation_ends(device, "%s %lx, %zu bytes: %p", call->name, phys, size, device))
		return;
	slot->kind = IOREMAP;
	slot->va = vrange((uintptr_t)device & PAGE_MASK, align_up((uintptr_t)device + size, PAGE_SIZE));
	model_map(&test.window,
	          (struct piece){
	                  .start = slot->va.start.raw,
	                  .end = slot->va.end.raw,
	                  .pa = phys & PAGE_MASK,
	                  .access = WRITE,
	                  .type = (uint8_t)type,
	          },
	          test.max_level);
}

static void take_block(struct slot *slot)
{
	slot->order = may_be_large() ? LEAF_ORDER : (unsigned)below(BLOCK_ORDER_MAX + 1);
	struct page *block = alloc_pages(GFP_KERNEL | __GFP_NOWARN, slot->order);

	if (!operation_ends(block, "alloc_pages, order %u: %lx", slot->order,
	                    block ? page_to_paddr(block).raw : 0))
		return;
	uint64_t pa = page_to_paddr(block).raw, size = PAGE_SIZE << slot->order;
	slot->kind = BLOCK;
	slot->va = vrange_sized(vaddr_of(page_address(block)), size);
	add_frames(pa, size);
}

/* ---- Areas: changing ---------------------------------------------------------------------------------------------- */

enum setting { SET_RO, SET_RW, SET_X, SET_NX, SET_NP, SET_P, SETTINGS };

static const struct setting_call {
	const char *name;
	bool (*set)(unsigned long addr, int numpages);
	struct access_change leaves, alias;
} setting_calls[SETTINGS] = {
        [SET_RO] = {"set_memory_ro", set_memory_ro, {.clear = WRITE}, {.clear = WRITE}},
        [SET_RW] = {"set_memory_rw", set_memory_rw, {.set = WRITE}, {.set = WRITE}},
        [SET_X] = {"set_memory_x", set_memory_x, {.set = EXEC}, {.clear = WRITE}},
        [SET_NX] = {"set_memory_nx", set_memory_nx, {.clear = EXEC}, {0}},
        [SET_NP] = {"set_memory_np", set_memory_np, {.set = HIDDEN}, {.set = HIDDEN}},
        [SET_P] = {"set_memory_p", set_memory_p, {.clear = HIDDEN}, {.clear = HIDDEN}},
};

static struct vrange frames_of_block(struct vrange pages)
{
	return vrange(pages.start.raw - DIRECTMAP_BASE, pages.end.raw - DIRECTMAP_BASE);
}

static void change_block(struct slot *slot)
{
	static const enum setting in_place[] = {SET_RO, SET_RW, SET_NP, SET_P};
	struct vrange pages = below(3) ? part_of(slot->va) : slot->va;
	const struct setting_call *call = &setting_calls[in_place[below(ARRAY_SIZE(in_place))]];

	may_be_refused();
	bool done = call->set(pages.start.raw, pages_in(pages));
	if (operation_ends(done, "%s %lx, %d pages of the direct map", call->name, pages.start.raw,
	                   pages_in(pages)))
		model_change(&test.direct, frames_of_block(pages), call->leaves);
}

/* Most pages are present. */
static enum setting any_setting(void)
{
	return below(4) ? (enum setting)below(SETTINGS) : SET_P;
}

/* The setting itself, or what must come before it: nothing is ever writable and executable. */
static enum setting possible_setting(enum setting setting, struct vrange pages)
{
	if (setting == SET_X && model_any(&test.window, pages, WRITE))
		return SET_RO;
	if (setting == SET_RW && model_any(&test.window, pages, EXEC))
		return SET_NX;
	return setting;
}

static void change_area(struct slot *slot)
{
	struct vrange pages = below(3) ? part_of(slot->va) : slot->va;
	const struct setting_call *call = &setting_calls[possible_setting(any_setting(), pages)];

	may_be_refused();
	bool done = call->set(pages.start.raw, pages_in(pages));
	if (!operation_ends(done, "%s %lx, %d pages", call->name, pages.start.raw, pages_in(pages)))
		return;
	model_change(&test.window, pages, call->leaves);
	for (size_t i = model_find(&test.window, pages.start.raw);
	     i < test.window.count && test.window.at[i].start < pages.end.raw; i++) {
		const struct piece *piece = &test.window.at[i];
		model_change(&test.direct, vrange(piece->pa, piece->pa + piece->end - piece->start),
		             call->alias);
	}
}

/* ---- Areas: giving back ------------------------------------------------------------------------------------------- */

/* vfree() makes the direct map what it was; for a block, whoever changed it does. */
static void forget_frames(struct slot *slot)
{
	for (size_t i = model_find(&test.window, slot->va.start.raw);
	     i < test.window.count && test.window.at[i].start < slot->va.end.raw; i++) {
		const struct piece *piece = &test.window.at[i];
		model_remove(&test.direct, vrange(piece->pa, piece->pa + piece->end - piece->start));
	}
}

static bool give_block(struct slot *slot)
{
	struct vrange pages = slot->va;

	if (!set_memory_p(pages.start.raw, pages_in(pages)) ||
	    !set_memory_rw(pages.start.raw, pages_in(pages)))
		return false; /* another time */
	__free_pages(pfn_to_page(paddr_to_pfn(directmap_to_paddr(vaddr_pointer(pages.start)))), slot->order);
	model_remove(&test.direct, frames_of_block(pages));
	return true;
}

static void give(struct slot *slot)
{
	void *start = vaddr_pointer(slot->va.start);

	tell("op give back %p\n", start);
	switch (slot->kind) {
	case VMALLOC:
	case VMAP_GIVEN:
		forget_frames(slot);
		vfree(start);
		break;
	case VMAP:
		vunmap(start);
		give_shown_frames(slot);
		break;
	case IOREMAP:
		iounmap(start);
		break;
	case BLOCK:
		if (!give_block(slot))
			return;
		break;
	default:
		break;
	}
	if (slot->kind != BLOCK)
		model_remove(&test.window, slot->va);
	slot->kind = EMPTY;
}

/* ---- Batches ------------------------------------------------------------------------------------------------------ */

static void slot_operation(struct slot *slot)
{
	static void (*const take[SLOT_KINDS])(struct slot * slot) = {
	        NULL, take_vmalloc, take_vmap_given, take_vmap, take_ioremap, take_block,
	};
	bool may_change = slot->kind == VMALLOC || slot->kind == VMAP_GIVEN || slot->kind == BLOCK;

	if (slot->kind == EMPTY)
		take[below(4) ? below(SLOT_KINDS - 1) + 1 : VMALLOC](slot);
	else if (!may_change || below(5) == 0)
		give(slot);
	else if (slot->kind == BLOCK)
		change_block(slot);
	else
		change_area(slot);
}

static void run_batch(void)
{
	for (uint64_t n = OPERATIONS_MIN + below(OPERATIONS_MAX - OPERATIONS_MIN + 1); n; n--) {
		switch (below(16)) {
		case 0:
			vm_unmap_aliases();
			tell("op vm_unmap_aliases\n");
			break;
		case 1:
		case 2:
		case 3:
		case 4:
		case 5:
			region_operation();
			break;
		default:
			slot_operation(&test.slots[below(SLOTS)]);
			break;
		}
	}
}

/* True if the other side says to go on. */
static bool compare(uint64_t batch)
{
	char c;

	model_tell(&test.window, tell_mapping);
	model_tell(&test.direct, tell_alias);
	tell("ready %lu %zu\n", batch, kernel_pagetable.nr_tables);
	irq_enable(); /* other CPUs may want something of this one */
	while (!serial_read(&c) || (c != 'g' && c != 'd'))
		__builtin_ia32_pause();
	irq_disable();
	if (c == 'd')
		ptdump(&kernel_pagetable, &console);
	return c == 'g';
}

static bool run_batches(uint64_t batches)
{
	const char *broken = NULL;
	bool same = compare(0);

	for (uint64_t batch = 1; same && !broken && batch <= batches; batch++) {
		run_batch();
		same = compare(batch);
		if (batch % VERIFY_EVERY == 0)
			broken = mm_verify();
	}
	if (broken)
		kprintf("ptcheck: FAILED: %s\n", broken);
	return same && !broken;
}

/* Everything goes; what then is mapped must be what was at first. */
static bool give_all(void)
{
	bool all = true;

	for (size_t i = 0; i < SLOTS; i++) {
		if (test.slots[i].kind != EMPTY)
			give(&test.slots[i]);
		all &= test.slots[i].kind == EMPTY;
	}
	model_remove(&test.window, region());
	free_vm_area(test.region);
	vm_unmap_aliases();
	return all;
}

static bool start(void)
{
	if (!serial_is_present()) {
		warn("ptcheck: there is no serial line to answer on");
		return false;
	}
	if (!model_init(&test.window) || !model_init(&test.direct)) {
		warn("ptcheck: no memory for what is expected");
		return false;
	}
	test.region = get_vm_area(REGION_SIZE, VM_IOREMAP);
	return test.region;
}

bool ptcheck_run(uint64_t batches, uint64_t seed)
{
	static struct mm_fingerprint before, after;
	bool passed = false;

	holes_fill();
	mm_fingerprint(&before);
	memset(&test, 0, sizeof(test));
	rng_seed(&test.rng, seed);
	test.max_level = cpu_features.gigabyte_pages ? 3 : 2;
	if (start()) {
		kprintf("ptcheck: seed=%lu batches=%lu direct=%lx-%lx window=%lx-%lx pat=%lx physical_bits=%u\n",
		        seed, batches, DIRECTMAP_BASE, DIRECTMAP_BASE + DIRECTMAP_SIZE, VMALLOC_START,
		        VMALLOC_END, rdmsr(MSR_PAT), cpu_features.physical_bits);
		warn_quiet(true); /* refusals are part of it */
		passed = run_batches(batches);
		passed &= give_all() && passed && compare(batches + 1);
		warn_quiet(false);
	}
	model_destroy(&test.window);
	model_destroy(&test.direct);
	mm_fingerprint(&after);
	bool equal = mm_fingerprint_equal(&before, &after, &console);
	holes_give();
	kprintf("ptcheck: %zu operations refused; the fingerprint %s\n", test.refused,
	        equal ? "is equal" : "DIFFERS");
	kprintf("ptcheck: %s\n", passed && equal ? "passed" : "failed");
	return passed && equal;
}
