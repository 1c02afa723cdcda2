/*
 * Whatever a call of the allocators is doing, an interrupt may come between any two of its instructions.
 *
 * Each call is stepped through (stepper.h) and, at each boundary, interrupted by a handler that allocates and frees for
 * itself. It does to the lists what hurts most, in three moods: keeps what it takes, frees what an earlier handler took,
 * or takes two and frees the first, so that a list's head is the same again but what follows it is not. In a fourth kind
 * of interruption another CPU wants back all that this one keeps: played where there is none, real where there is.
 *
 * A scene (scene.h) makes a call take one way: pop and push alone, or a magazine or list that runs dry or full, the depot,
 * slabs, a flush. That it does is asserted of a run that nothing disturbs. Thereby the stepped part stays short, and all
 * but the longest calls are swept one by one, and as every run finds the same scene, all boundaries of the undisturbed run
 * are met.
 *
 * Everything held, by handlers and by the calls, is filled with a pattern of its own that is checked after each run and
 * before it is freed. Memory given to two at once shows as a broken pattern, a list that was torn as a panic, a hang or
 * mm_verify()'s words, a page that got lost in the runner's fingerprint.
 */
#include "scene.h"
#include "stepper.h"
#include "timer_before.h"
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <lib/align.h>
#include <lib/panic.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <remote.h>
#include <test/test.h>
#include "../../mm/vm_map_ram_internal.h"
#include "../../mm/vmalloc_internal.h"

/* ---- Memory of all kinds ---- */

enum kind {
	SMALL,
	MEDIUM,
	EXACT,
	OBJECT,
	LAYERED,
	STRAIGHT,
	PAGE,
	BLOCK,
	HANDLER_KINDS,
	AREA = HANDLER_KINDS,
	KINDS
};

enum { BLOCK_ORDER = 3 };

static const size_t size_of[KINDS] = {
        [SMALL] = 64,
        [MEDIUM] = 256,
        [EXACT] = 5 * PAGE_SIZE,
        [OBJECT] = 192,
        [LAYERED] = 4608,   /* seven to a slab, seven to a magazine: scenes are set soon */
        [STRAIGHT] = 32768, /* one to a slab */
        [PAGE] = PAGE_SIZE,
        [BLOCK] = PAGE_SIZE << BLOCK_ORDER,
        [AREA] = 3 * PAGE_SIZE,
};

/*
 * The suite's own. The last two have a constructor, which does nothing: then the debug build does not fill their objects
 * with poison, byte by byte; and `straight` has no magazines.
 */
static struct kmem_cache *plain, *layered, *straight;

static void construct(void *object)
{
	(void)object;
}

static struct kmem_cache *cache_of(enum kind kind)
{
	switch (kind) {
	case SMALL:
	case MEDIUM:
		return kmalloc_caches[kmalloc_index(size_of[kind])];
	case OBJECT:
		return plain;
	case LAYERED:
		return layered;
	case STRAIGHT:
		return straight;
	case AREA:
		return vmalloc_state.nodes;
	default:
		return NULL;
	}
}

static void *address_of(struct page *page)
{
	return page ? page_address(page) : NULL;
}

static void *memory_take(enum kind kind, gfp_t gfp)
{
	switch (kind) {
	case OBJECT:
	case LAYERED:
	case STRAIGHT:
		return kmem_cache_alloc(cache_of(kind), gfp);
	case PAGE:
		return address_of(alloc_pages(gfp, 0));
	case BLOCK:
		return address_of(alloc_pages(gfp, BLOCK_ORDER));
	case AREA:
		return vmalloc(size_of[AREA]);
	default:
		return kmalloc(size_of[kind], gfp);
	}
}

static void memory_give(enum kind kind, void *memory)
{
	switch (kind) {
	case OBJECT:
	case LAYERED:
	case STRAIGHT:
		kmem_cache_free(cache_of(kind), memory);
		break;
	case PAGE:
		__free_pages(virt_to_page(memory), 0);
		break;
	case BLOCK:
		__free_pages(virt_to_page(memory), BLOCK_ORDER);
		break;
	case AREA:
		vfree(memory);
		break;
	default:
		kfree(memory);
	}
}

/* ---- Who holds what ---- */

struct holding {
	void *memory; /* NULL: nothing */
	enum kind kind;
	uint64_t mark; /* no other has it */
};

enum { KIN_MAX = 40, OTHERS_MAX = 8, CALLS_MAX = 48 };

static struct holding kin[KIN_MAX];        /* the handler's, of the kind that the call is about */
static struct holding others[OTHERS_MAX];  /* the handler's, of any kind */
static struct holding results[CALLS_MAX];  /* what the last call returned, or the next one frees */
static struct holding previous[CALLS_MAX]; /* what the call before returned: held over one more run */
static uint64_t marks;
static bool scarce;                 /* there is no memory: refusals are as they should be */
static const char *volatile broken; /* what was seen first; a handler cannot leave the case */

static void notice(const char *what)
{
	if (!broken)
		broken = what;
}

static void notice_refusal(void)
{
	if (!scarce)
		notice("an allocation was refused");
}

/* Every word of what is small, and at least eight of each frame. */
static size_t stride_of(enum kind kind)
{
	return size_of[kind] <= 512 ? sizeof(uint64_t) : 512;
}

static void stamp(struct holding *h, enum kind kind, void *memory)
{
	*h = (struct holding){memory, kind, (__atomic_add_fetch(&marks, 1, __ATOMIC_RELAXED)) << 32};
	for (size_t at = 0; at < size_of[kind]; at += stride_of(kind))
		*(uint64_t *)((char *)memory + at) = h->mark + at;
}

static void check_stamp(const struct holding *h)
{
	if (!h->memory)
		return;
	for (size_t at = 0; at < size_of[h->kind]; at += stride_of(h->kind)) {
		if (*(const uint64_t *)((const char *)h->memory + at) != h->mark + at)
			notice("memory that is held was written by somebody else");
	}
}

static void check_stamps(const struct holding *holdings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_stamp(&holdings[i]);
}

static bool take(struct holding *h, enum kind kind, gfp_t gfp)
{
	void *memory = memory_take(kind, gfp);

	if (memory)
		stamp(h, kind, memory);
	else
		notice_refusal();
	return memory;
}

static void give(struct holding *h)
{
	if (!h->memory)
		return;
	check_stamp(h);
	memory_give(h->kind, h->memory);
	h->memory = NULL;
}

static void give_all(struct holding *holdings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		give(&holdings[i]);
}

/* ---- The handler ---- */

static enum mood { TAKING, GIVING, EXCHANGING, MOODS } mood;
static const char *const mood_names[MOODS] = {"taking", "giving", "exchanging"};
static enum kind about; /* the call's kind */
static struct rng handler_rng;
static size_t kin_held; /* kin[0 .. kin_held) */

/* False if there is no memory. */
static bool take_kin(void)
{
	if (kin_held == KIN_MAX || !take(&kin[kin_held], about, GFP_ATOMIC))
		return false;
	kin_held++;
	return true;
}

static bool take_two_kin(void)
{
	bool first = take_kin();
	return take_kin() && first;
}

/* The oldest first: what is given is not what was taken last. */
static void give_kin(void)
{
	if (!kin_held)
		return;
	give(&kin[0]);
	memmove(&kin[0], &kin[1], --kin_held * sizeof(kin[0]));
}

static void give_everything(void)
{
	while (kin_held)
		give_kin();
	give_all(others, OTHERS_MAX);
	give_all(results, CALLS_MAX);
	give_all(previous, CALLS_MAX);
}

/* In interrupt context, between two instructions of a call. */
static void allocate_and_free(void)
{
	struct holding *other = &others[rng_below(&handler_rng, OTHERS_MAX)];

	switch (mood) {
	case TAKING:
		while (kin_held >= KIN_MAX - 1 || (kin_held > KIN_MAX / 2 && !rng_below(&handler_rng, 32)))
			give_kin();
		take_kin();
		take_kin();
		break;
	case GIVING:
		while (kin_held < 2 && take_kin())
			;
		give_kin();
		give_kin();
		break;
	default:
		if (kin_held > KIN_MAX - 2)
			give_kin();
		if (!take_two_kin())
			break;
		give(&kin[kin_held - 2]);
		kin[kin_held - 2] = kin[kin_held - 1];
		kin[--kin_held].memory = NULL;
	}
	if (other->memory)
		give(other);
	else
		take(other, (enum kind)rng_below(&handler_rng, HANDLER_KINDS), GFP_ATOMIC);
}

/* So that the handler can do as its mood is, many times in a row. A few it always holds: slabs stay in use. */
static void prepare_handler(void)
{
	static const struct {
		size_t low, wanted, high;
	} supply[MOODS] = {
	        [TAKING] = {4, 4, KIN_MAX / 2},
	        [GIVING] = {KIN_MAX / 2, KIN_MAX, KIN_MAX},
	        [EXCHANGING] = {KIN_MAX / 4, KIN_MAX / 2, KIN_MAX - 2},
	};
	irqflags_t flags = irq_save(); /* the handler may be a timer's */

	if (kin_held < supply[mood].low || kin_held > supply[mood].high) {
		while (kin_held > supply[mood].wanted)
			give_kin();
		while (kin_held < supply[mood].wanted && take_kin())
			;
	}
	irq_restore(flags);
}

/* ---- What is swept ---- */

/* A call works on results[0 .. count): fills in their memory, or frees it. */
struct target {
	const char *name;
	void (*call)(void);
	enum kind kind;
	size_t count;
	bool frees;
	void (*scene)(void);
	unsigned way;   /* what the call does in this scene, when nothing disturbs it */
	unsigned maybe; /* and what it may do or not, as chance has it */
	bool fast;      /* no boundary is masked, and one at least is in a restartable sequence */
	bool costly;    /* to prepare: one mood must do */
	bool scattered; /* its objects lie in one slab or in several, as chance has it, which makes it short or long */
};

static const struct target *now;
static size_t count; /* of the current target */
static const size_t *volatile sizes = size_of;

static void call_kmalloc(void)
{
	for (size_t i = 0; i < count; i++)
		results[i].memory = kmalloc(sizes[about], GFP_KERNEL);
}

static void call_kfree(void)
{
	for (size_t i = 0; i < count; i++)
		kfree(results[i].memory);
}

static void call_cache_alloc(void)
{
	for (size_t i = 0; i < count; i++)
		results[i].memory = kmem_cache_alloc(cache_of(about), GFP_KERNEL);
}

static void call_cache_free(void)
{
	for (size_t i = 0; i < count; i++)
		kmem_cache_free(cache_of(about), results[i].memory);
}

static void call_cache_alloc_bulk(void)
{
	void *objects[CALLS_MAX];
	size_t got = kmem_cache_alloc_bulk(cache_of(about), GFP_KERNEL, count, objects);

	for (size_t i = 0; i < got; i++)
		results[i].memory = objects[i];
}

static void call_cache_free_bulk(void)
{
	void *objects[CALLS_MAX];

	for (size_t i = 0; i < count; i++)
		objects[i] = results[i].memory;
	kmem_cache_free_bulk(cache_of(about), count, objects);
}

static void call_alloc_page(void)
{
	results[0].memory = address_of(alloc_page(GFP_KERNEL));
}

static void call_free_page(void)
{
	__free_page(virt_to_page(results[0].memory));
}

static void call_alloc_pages(void)
{
	for (size_t i = 0; i < count; i++)
		results[i].memory = address_of(alloc_pages(GFP_KERNEL, 0));
}

static void call_free_pages(void)
{
	for (size_t i = 0; i < count; i++)
		__free_pages(virt_to_page(results[i].memory), 0);
}

static void call_alloc_block(void)
{
	results[0].memory = address_of(alloc_pages(GFP_KERNEL, BLOCK_ORDER));
}

static void call_free_block(void)
{
	__free_pages(virt_to_page(results[0].memory), BLOCK_ORDER);
}

static void call_alloc_pages_bulk(void)
{
	struct page *pages[CALLS_MAX];
	size_t got = alloc_pages_bulk(GFP_KERNEL, count, pages);

	for (size_t i = 0; i < got; i++)
		results[i].memory = page_address(pages[i]);
}

static void call_free_pages_bulk(void)
{
	struct page *pages[CALLS_MAX];

	for (size_t i = 0; i < count; i++)
		pages[i] = virt_to_page(results[i].memory);
	free_pages_bulk(count, pages);
}

static void call_vmalloc(void)
{
	results[0].memory = vmalloc(size_of[AREA]);
}

/* No range that is kept begins at such an address. */
static void call_vmalloc_aligned(void)
{
	results[0].memory =
	        __vmalloc_node_range(size_of[AREA], PUD_SIZE, VMALLOC_START, VMALLOC_END, GFP_KERNEL,
	                             PAGE_KERNEL, 0, NUMA_NO_NODE, call_vmalloc_aligned);
}

static void call_vfree(void)
{
	vfree(results[0].memory);
}

/* A frame that is there, whatever holds it. */
static void call_map_and_unmap(void)
{
	struct page *page = virt_to_page(plain);
	void *mapping = vm_map_ram(&page, 1, NUMA_NO_NODE);

	if (mapping)
		vm_unmap_ram(mapping, 1);
	else
		notice_refusal();
}

/* ---- Scenes ---- */

static void warm(void)
{
	struct kmem_cache *cache = cache_of(now->kind);

	if (cache)
		scene_magazine_half(cache);
}

/* Magazines of `layered`, in units of what one holds: see struct magazines. */

static void previous_is_full(void)
{
	size_t r = scene_rounds(layered);
	scene_magazines(layered, &(struct magazines){.frees = r + 1, .takes = 1, .loaded = 0, .previous = r});
}

static void loaded_is_full(void)
{
	size_t r = scene_rounds(layered);
	scene_magazines(layered, &(struct magazines){.frees = r, .loaded = r});
}

static void depot_has_full(void)
{
	size_t r = scene_rounds(layered);
	scene_magazines(layered, &(struct magazines){.frees = 3 * r, .takes = 2 * r, .full = 1});
}

static void both_are_full(void)
{
	size_t r = scene_rounds(layered);
	scene_magazines(layered, &(struct magazines){.frees = 2 * r, .loaded = r, .previous = r});
}

static void both_are_full_and_depot_has_empty(void)
{
	size_t r = scene_rounds(layered);
	scene_magazines(
	        layered,
	        &(struct magazines){
	                .frees = 3 * r, .takes = 2 * r + 1, .again = r + 1, .loaded = r, .previous = r});
}

enum { DEPOT_FULL = 8 };

static void all_are_full(void)
{
	size_t r = scene_rounds(layered);
	scene_magazines(layered, &(struct magazines){.frees = (2 + DEPOT_FULL) * r,
	                                             .loaded = r,
	                                             .previous = r,
	                                             .full = DEPOT_FULL});
}

static void all_are_almost_full(void)
{
	size_t r = scene_rounds(layered);
	scene_magazines(layered, &(struct magazines){.frees = (2 + DEPOT_FULL) * r - 2,
	                                             .loaded = r - 2,
	                                             .previous = r,
	                                             .full = DEPOT_FULL});
}

/* The same, and whoever holds objects of `layered` holds them side by side: what is drained will empty slabs. */
static void all_are_full_of_whole_slabs(void)
{
	give_all(previous, CALLS_MAX);
	give_all(results, count);
	while (kin_held)
		give_kin();
	kmem_cache_shrink(layered);
	prepare_handler();
	for (size_t i = 0; i < count; i++)
		take(&results[i], LAYERED, GFP_KERNEL);
	all_are_full();
}

static void nothing_is_free(void)
{
	scene_magazines(layered, &(struct magazines){0});
}

static void three_are_loaded(void)
{
	scene_magazines(layered, &(struct magazines){.frees = 3, .loaded = 3});
}

static void slabs_have_free(void)
{
	scene_slabs_only(layered, true);
}

static void slabs_have_free_and_no_magazines(void)
{
	scene_slabs_only(layered, false);
}

static void starved(void)
{
	scene_starved(layered);
}

/* An object has come and gone, so that there is a free descriptor. */
static void no_slab_is_empty(void)
{
	memory_give(STRAIGHT, memory_take(STRAIGHT, GFP_KERNEL));
	kmem_cache_shrink(straight);
}

/* The next that becomes empty is one too many. */
static void one_slab_is_empty(void)
{
	memory_give(STRAIGHT, memory_take(STRAIGHT, GFP_KERNEL));
}

static void list_is_empty(void)
{
	scene_list(now->kind == BLOCK ? BLOCK_ORDER : 0, LIST_EMPTY);
}

static void list_is_full(void)
{
	scene_list(now->kind == BLOCK ? BLOCK_ORDER : 0, LIST_FULL);
}

/* Magazines of the areas' nodes are as a warm call finds them. */
static void ranges_none(void)
{
	scene_ranges_none();
	warm();
}

static void ranges_spare(void)
{
	scene_ranges_spare();
	warm();
}

static void ranges_many(void)
{
	scene_ranges_many();
	warm();
}

static void ranges_large(void)
{
	scene_ranges_large();
	warm();
}

/* This CPU has a block with room, which nobody uses. */
static void block_has_room(void)
{
	scene_ranges_none();
	call_map_and_unmap();
	warm();
}

/* It has none that a mapping fits into. */
static void block_is_used_up(void)
{
	struct page *page = virt_to_page(plain);
	struct page *pages[RAM_MAPPING_PAGES];

	block_has_room();
	for (size_t i = 0; i < RAM_MAPPING_PAGES; i++)
		pages[i] = page;
	for (;;) {
		unsigned left = RAM_BLOCK_PAGES - ram_current[this_cpu()->id]->next;
		if (left < 2)
			return;
		unsigned fits = left - 1 < RAM_MAPPING_PAGES ? left - 1 : RAM_MAPPING_PAGES;
		void *mapping = vm_map_ram(pages, fits, NUMA_NO_NODE);
		vm_unmap_ram(mapping, fits);
	}
}

/* ---- Targets ---- */

enum {
	PAGES_COME_AND_GO = PAGE_REFILL | PAGE_DRAIN,
	OBJECTS_COME_AND_GO = DEPOT_EXCHANGE | SLAB_REFILL | SLAB_DRAIN | SWAPPED | SLAB_MADE | SLAB_GONE,
	COMES_AND_GOES = PAGES_COME_AND_GO | OBJECTS_COME_AND_GO,
};

static const struct target targets[] = {
        {"kmalloc(64)", call_kmalloc, SMALL, .count = 1, .scene = warm, .fast = true},
        {"kfree(64)", call_kfree, SMALL, .count = 1, .frees = true, .scene = warm, .fast = true},
        {"kmalloc(5 pages)", call_kmalloc, EXACT, .count = 1},
        {"kfree(5 pages)", call_kfree, EXACT, .count = 1, .frees = true},
        {"kmalloc(64), all reclaimed", call_kmalloc, SMALL, .count = 1, .scene = scene_reclaimed,
         .way = ATTACHED | SLAB_REFILL | PAGE_REFILL, .maybe = SLAB_MADE},
        {"kfree(64), all reclaimed", call_kfree, SMALL, .count = 1, .frees = true, .scene = scene_reclaimed,
         .way = ATTACHED | PAGE_REFILL},
        {"24 x kmalloc(256), all reclaimed", call_kmalloc, MEDIUM, .count = 24, .scene = scene_reclaimed,
         .way = ATTACHED | SLAB_REFILL | PAGE_REFILL, .maybe = SLAB_MADE},
        {"24 x kfree(256), all reclaimed", call_kfree, MEDIUM, .count = 24, .frees = true,
         .scene = scene_reclaimed, .way = ATTACHED | PAGE_REFILL},

        {"kmem_cache_alloc", call_cache_alloc, OBJECT, .count = 1, .scene = warm, .fast = true},
        {"kmem_cache_free", call_cache_free, OBJECT, .count = 1, .frees = true, .scene = warm, .fast = true},
        {"kmem_cache_alloc, previous full", call_cache_alloc, LAYERED, .count = 1, .scene = previous_is_full,
         .way = SWAPPED},
        {"kmem_cache_free, loaded full", call_cache_free, LAYERED, .count = 1, .frees = true,
         .scene = loaded_is_full, .way = SWAPPED},
        {"kmem_cache_alloc, depot has full", call_cache_alloc, LAYERED, .count = 1, .scene = depot_has_full,
         .way = DEPOT_EXCHANGE},
        {"kmem_cache_free, both full", call_cache_free, LAYERED, .count = 1, .frees = true,
         .scene = both_are_full, .way = DEPOT_EXCHANGE},
        {"kmem_cache_free, both full, depot has empty", call_cache_free, LAYERED, .count = 1, .frees = true,
         .scene = both_are_full_and_depot_has_empty, .way = DEPOT_EXCHANGE},
        {"kmem_cache_free, depot full", call_cache_free, LAYERED, .count = 1, .frees = true,
         .scene = all_are_full, .way = SLAB_DRAIN | SWAPPED, .maybe = SLAB_GONE},
        {"kmem_cache_alloc, slabs have free", call_cache_alloc, LAYERED, .count = 1, .scene = slabs_have_free,
         .way = SLAB_REFILL},
        {"kmem_cache_alloc, nothing free", call_cache_alloc, LAYERED, .count = 1, .scene = nothing_is_free,
         .way = SLAB_REFILL | SLAB_MADE},
        {"kmem_cache_alloc, no magazines", call_cache_alloc, LAYERED, .count = 1,
         .scene = slabs_have_free_and_no_magazines, .way = ATTACHED | SLAB_REFILL},
        {"kmem_cache_free, no magazines", call_cache_free, LAYERED, .count = 1, .frees = true,
         .scene = slabs_have_free_and_no_magazines, .way = ATTACHED},
        {"kmem_cache_alloc, cache without magazines", call_cache_alloc, STRAIGHT, .count = 1,
         .scene = no_slab_is_empty, .way = SLAB_MADE},
        {"kmem_cache_free, cache without magazines", call_cache_free, STRAIGHT, .count = 1, .frees = true,
         .scene = one_slab_is_empty, .way = SLAB_GONE},
        {"kmem_cache_alloc_bulk(4), three loaded", call_cache_alloc_bulk, LAYERED, .count = 4,
         .scene = three_are_loaded, .way = SLAB_REFILL | SLAB_MADE},
        {"kmem_cache_alloc_bulk(4), slabs have free", call_cache_alloc_bulk, LAYERED, .count = 4,
         .scene = slabs_have_free, .way = SLAB_REFILL},
        {"kmem_cache_alloc_bulk(4), previous full", call_cache_alloc_bulk, LAYERED, .count = 4,
         .scene = previous_is_full, .way = SWAPPED},
        {"kmem_cache_alloc_bulk(24)", call_cache_alloc_bulk, OBJECT, .count = 24, .scene = warm,
         .maybe = OBJECTS_COME_AND_GO},
        {"kmem_cache_free_bulk(4)", call_cache_free_bulk, OBJECT, .count = 4, .frees = true, .scene = warm,
         .scattered = true},
        {"kmem_cache_free_bulk(40)", call_cache_free_bulk, OBJECT, .count = 40, .frees = true, .scene = warm,
         .maybe = OBJECTS_COME_AND_GO, .scattered = true},
        {"kmem_cache_free_bulk(4), no magazines", call_cache_free_bulk, LAYERED, .count = 4, .frees = true,
         .scene = slabs_have_free_and_no_magazines, .way = ATTACHED, .scattered = true},
        {"kmem_cache_free_bulk(4), depot full", call_cache_free_bulk, LAYERED, .count = 4, .frees = true,
         .scene = all_are_almost_full, .way = SLAB_DRAIN | SWAPPED, .maybe = SLAB_GONE, .scattered = true},
        {"24 x kmem_cache_alloc, nothing free", call_cache_alloc, LAYERED, .count = 24,
         .scene = nothing_is_free, .way = SLAB_REFILL | SLAB_MADE},
        {"24 x kmem_cache_free, depot full", call_cache_free, LAYERED, .count = 24, .frees = true,
         .scene = all_are_full_of_whole_slabs, .way = SLAB_DRAIN | SLAB_GONE},

        {"alloc_page", call_alloc_page, PAGE, .count = 1, .fast = true},
        {"__free_page", call_free_page, PAGE, .count = 1, .frees = true, .fast = true},
        {"alloc_pages(0)", call_alloc_pages, PAGE, .count = 1, .fast = true},
        {"__free_pages(0)", call_free_pages, PAGE, .count = 1, .frees = true, .fast = true},
        {"alloc_pages(3)", call_alloc_block, BLOCK, .count = 1},
        {"__free_pages(3)", call_free_block, BLOCK, .count = 1, .frees = true},
        {"alloc_pages(0), list empty", call_alloc_pages, PAGE, .count = 1, .scene = list_is_empty,
         .way = PAGE_REFILL},
        {"__free_pages(0), list full", call_free_pages, PAGE, .count = 1, .frees = true,
         .scene = list_is_full, .way = PAGE_DRAIN},
        {"alloc_pages(3), list empty", call_alloc_block, BLOCK, .count = 1, .scene = list_is_empty,
         .way = PAGE_REFILL},
        {"__free_pages(3), list full", call_free_block, BLOCK, .count = 1, .frees = true,
         .scene = list_is_full, .way = PAGE_DRAIN},
        {"alloc_pages_bulk(4)", call_alloc_pages_bulk, PAGE, .count = 4, .maybe = PAGE_REFILL},
        {"free_pages_bulk(4)", call_free_pages_bulk, PAGE, .count = 4, .frees = true, .maybe = PAGE_DRAIN},
        {"alloc_pages_bulk(20)", call_alloc_pages_bulk, PAGE, .count = 20, .maybe = PAGE_REFILL},
        {"free_pages_bulk(20), list full", call_free_pages_bulk, PAGE, .count = 20, .frees = true,
         .scene = list_is_full},
        {"free_pages_bulk(20), list empty", call_free_pages_bulk, PAGE, .count = 20, .frees = true,
         .scene = list_is_empty},
        {"24 x alloc_pages(0), list empty", call_alloc_pages, PAGE, .count = 24, .scene = list_is_empty,
         .way = PAGE_REFILL},
        {"24 x __free_pages(0), list full", call_free_pages, PAGE, .count = 24, .frees = true,
         .scene = list_is_full, .way = PAGE_DRAIN},

        {"vmalloc(3 pages), no range kept", call_vmalloc, AREA, .count = 1, .scene = ranges_none,
         .maybe = PAGE_REFILL},
        {"vmalloc(3 pages), a range kept", call_vmalloc, AREA, .count = 1, .scene = ranges_spare,
         .way = RANGE_HIT, .maybe = PAGE_REFILL},
        {"vmalloc(3 pages) far from the range kept", call_vmalloc_aligned, AREA, .count = 1,
         .scene = ranges_spare, .maybe = PAGE_REFILL},
        {"vfree(3 pages)", call_vfree, AREA, .count = 1, .frees = true, .scene = ranges_none},
        {"vfree(3 pages), the 64th area", call_vfree, AREA, .count = 1, .frees = true, .scene = ranges_many,
         .way = RANGE_PURGE, .maybe = COMES_AND_GOES},
        {"vfree(3 pages), the 1,024th page", call_vfree, AREA, .count = 1, .frees = true,
         .scene = ranges_large, .way = RANGE_PURGE, .maybe = COMES_AND_GOES, .costly = true},
        {"vm_map_ram and vm_unmap_ram", call_map_and_unmap, AREA, .scene = block_has_room},
        {"vm_map_ram and vm_unmap_ram, block used up", call_map_and_unmap, AREA, .scene = block_is_used_up,
         .maybe = COMES_AND_GOES},
};

/* Where there is no memory for magazines. Refusals are tolerated, as handlers take what is left. */
static const struct target starving_targets[] = {
        {"kmem_cache_alloc, no memory", call_cache_alloc, LAYERED, .count = 1, .scene = starved,
         .way = PAGE_REFILL},
        {"kmem_cache_free, no memory", call_cache_free, LAYERED, .count = 1, .frees = true, .scene = starved,
         .way = PAGE_REFILL},
};

enum { TARGETS = ARRAY_SIZE(targets) + ARRAY_SIZE(starving_targets) };

/* The handler's part in a vmalloc is its frames. */
static enum kind kin_of(const struct target *target)
{
	return target->kind == AREA ? PAGE : target->kind;
}

static void begin_target(const struct target *target)
{
	now = target;
	count = target->count;
	about = kin_of(target);
}

static void prepare_results(const struct target *target)
{
	for (size_t i = 0; i < count; i++) {
		if (target->frees)
			take(&results[i], target->kind, GFP_KERNEL);
		else
			results[i].memory = NULL;
	}
}

static void prepare(const struct target *target)
{
	prepare_handler();
	prepare_results(target);
	if (!scarce) {
		scene_list(0, LIST_HALF);
		scene_list(BLOCK_ORDER, LIST_HALF);
	}
	if (target->scene)
		target->scene();
}

/* Results are stamped before the older ones are checked: had these been given out again, it would show. */
static void conclude(const struct target *target)
{
	for (size_t i = 0; i < count; i++) {
		if (target->frees)
			results[i].memory = NULL;
		else if (results[i].memory)
			stamp(&results[i], target->kind, results[i].memory);
		else
			notice_refusal();
	}
	check_stamps(results, count);
	give_all(previous, CALLS_MAX);
	memcpy(previous, results, sizeof(previous));
	memset(results, 0, sizeof(results));
}

/* ---- Another CPU that wants everything ---- */

/* Makes each CPU give back what it keeps of the call's kind. */
static void want_it_back(void)
{
	switch (now->kind) {
	case PAGE:
	case BLOCK:
		drain_all_pages();
		break;
	case AREA:
		vm_unmap_aliases();
		drain_all_pages();
		break;
	case EXACT:
		reclaim_pages();
		break;
	default:
		kmem_cache_shrink(cache_of(now->kind));
		drain_all_pages();
	}
}

/*
 * Between two instructions of a call, on a machine with one CPU: all that another one would do, what it would have this
 * one do in an interrupt included, and all at once. We play that CPU, which is in no handler.
 */
static void be_emptied(void)
{
	uint32_t depth = this_cpu()->interrupt_depth;

	this_cpu()->interrupt_depth = 0;
	want_it_back();
	this_cpu()->interrupt_depth = depth;
}

/* ---- Sweeps ---- */

enum {
	ONE_BY_ONE_MAX = 650, /* boundaries: about 0.2 s where the host is idle */
	STEPS_MAX = 60000,    /* of a longer call's sweep, about */
	/* Where each interruption takes its time, so many of a longer call: its first ones, then some all over it. */
	FIRST_MAX = 400,
	SAMPLES = 50,
	RUNS_PER_VERIFY = 128,
};

/* What was found out about each target. */
static struct record {
	const char *name;
	bool fast, by_stride;
	size_t open, masked;          /* boundaries of an undisturbed run */
	size_t interrupted, restarts; /* in one sweep */
} records[TARGETS];
static size_t nr_records, runs;

static void fail_if(const char *words)
{
	if (!words)
		return;
	test_note("%s: interrupted last at boundary %zu, %pS, by a handler in the mood for %s", now->name,
	          step_last(), step_last_address(), mood_names[mood]);
	fail_msg("%s", words);
}

static bool sweep_run(const struct target *target, size_t due, size_t stride)
{
	prepare(target);
	if (target->frees) /* from its first instruction on it may be anybody's */
		check_stamps(results, count);
	bool met = step_call(target->call, due, stride);
	if (target->kind == AREA) /* the next scene would mend it */
		fail_if(vmap_ranges_check());
	conclude(target);
	check_stamps(kin, kin_held);
	check_stamps(others, OTHERS_MAX);
	check_stamps(previous, CALLS_MAX);
	fail_if(step_broken());
	fail_if(broken);
	if (!(++runs % RUNS_PER_VERIFY))
		fail_if(mm_verify());
	return met;
}

/* Each boundary is met. */
static void sweep_boundaries(const struct target *target, void (*handler)(void), size_t stride)
{
	size_t due = 0;

	step_begin(handler);
	if (stride) {
		for (; due < stride && sweep_run(target, due, stride); due++)
			;
	} else {
		while (sweep_run(target, due, 0))
			due++;
		assert_int_equal(step_counts()->interrupted, due);
	}
	assert_int_equal(step_counts()->due, step_counts()->interrupted + step_counts()->repeated);
}

static void expect_way(const struct target *target, unsigned way)
{
	unsigned maybe = target->maybe;

	/* In a small zone the lists are short or none, and slabs are made of blocks. */
	if (!scene_has_list(BLOCK_ORDER) || target->way & (SLAB_MADE | SLAB_GONE))
		maybe |= PAGES_COME_AND_GO;
	if ((way & ~maybe) == (target->way & ~maybe))
		return;
	print(test_printer(), "%s does: ", target->name);
	way_print(way, test_printer());
	print(test_printer(), "\n");
	fail_msg("a call does not take the way that is to be swept");
}

static void do_nothing(void)
{
}

/* Boundaries of the call when nothing interrupts it. */
static void measure(const struct target *target, struct record *record)
{
	step_begin(do_nothing);
	prepare(target);
	way_begin(cache_of(target->kind));
	struct step_length length = step_measure(target->call);
	unsigned way = way_end();
	conclude(target);
	fail_if(step_broken());
	fail_if(broken);
	expect_way(target, way);
	record->open = length.open;
	record->masked = length.masked;
}

/* How far apart the interruptions of a run may be; 0: one a run will do. */
static size_t choose_stride(const struct record *record)
{
	return record->open <= ONE_BY_ONE_MAX ? 0 : STEPS_MAX / record->open + 1;
}

static void note_record(const struct record *record)
{
	test_note("%s: %zu boundaries, %zu interrupted, %zu masked, %zu restarts%s", record->name,
	          record->open + record->masked, record->interrupted, record->masked, record->restarts,
	          record->by_stride ? ", by stride" : "");
}

/* In the present mood. */
static void sweep_with(const struct target *target, void (*handler)(void), struct record *record)
{
	measure(target, record);
	size_t stride = choose_stride(record);

	sweep_boundaries(target, handler, stride);
	record->by_stride = stride;
	record->interrupted = step_counts()->interrupted;
	record->restarts = step_counts()->restarts;
	assert_at_least(record->interrupted, 1);
	if (!stride) /* what branches on addresses and numbers may differ by some dozens of instructions from run to run */
		assert_at_least(record->interrupted * 4, record->open * (target->scattered ? 2 : 3));
}

/* Always once a run: a call that finds everything gone again and again would go on for ever. */
static void sweep_emptied(const struct target *target, const struct record *record)
{
	size_t due = 0;

	step_begin(be_emptied);
	while (sweep_run(target, due, 0))
		due += record->by_stride && due >= FIRST_MAX ? record->open / SAMPLES : 1;
	fail_if(mm_verify());
}

static void sweep_target(const struct target *target)
{
	struct record record = {.name = target->name, .fast = target->fast};

	begin_target(target);
	for (unsigned m = target->costly ? EXCHANGING : 0; m < MOODS; m++) {
		mood = (enum mood)m;
		sweep_with(target, allocate_and_free, &record);
		sweep_run(target, 0, 1); /* all in one */
		fail_if(mm_verify());
	}
	note_record(&record);
	assert_at_most(nr_records, TARGETS - 1);
	records[nr_records++] = record;
	if (nr_cpus_online() == 1 && !target->costly) /* each of several would take part, and slowly */
		sweep_emptied(target, &record);
	scene_end();
	give_everything();
	fail_if(broken);
}

static void sweep_kinds(enum kind from, enum kind to)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		if (targets[i].kind >= from && targets[i].kind <= to)
			sweep_target(&targets[i]);
	}
}

static void kmalloc_and_kfree_may_be_interrupted_anywhere(void)
{
	sweep_kinds(SMALL, EXACT);
}

static void object_caches_may_be_interrupted_anywhere(void)
{
	sweep_kinds(OBJECT, STRAIGHT);
}

static void object_caches_may_be_interrupted_where_there_is_no_memory_for_magazines(void)
{
	test_warnings_begin();
	for (size_t i = 0; i < ARRAY_SIZE(starving_targets); i++) {
		scarce = true;
		sweep_target(&starving_targets[i]);
	}
	test_warnings_end();
}

static void the_page_allocator_may_be_interrupted_anywhere(void)
{
	sweep_kinds(PAGE, BLOCK);
}

static void vmalloc_and_vfree_may_be_interrupted_anywhere(void)
{
	need_window(16UL << 20, "takes areas of 4 MiB");
	sweep_kinds(AREA, AREA);
}

/* ---- What an address leads to while its frame is given back ---- */

static char *leaving, *alias; /* the same frame, that of an area that is being freed */
static const struct vmap_area *leaving_area;

static void call_vfree_leaving(void)
{
	vfree(leaving);
}

/* As another CPU does that rounds an address down and believes what it finds there (vm_map_ram.c). */
static void look_through_alias(void)
{
	const struct vmap_area *area = area_of_frame((uintptr_t)alias);

	if (area && area != leaving_area)
		notice("a frame that is being given back is believed to belong to what is no area");
}

static void a_frame_that_is_being_given_back_leads_to_its_area_or_to_none(void)
{
	bool met = true;

	step_begin(look_through_alias);
	for (size_t due = 0; met; due++) {
		leaving = vmalloc(size_of[AREA]);
		assert_non_null(leaving);
		leaving_area = find_vm_area(leaving);
		struct page *page = vmalloc_to_page(leaving);
		alias = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
		assert_non_null(alias);
		met = step_call(call_vfree_leaving, due, 0);
		vunmap(alias);
		assert_sound(broken);
	}
	assert_sound(step_broken());
	assert_at_least(step_counts()->interrupted, 2);
}

/* Of what was swept before this case: alone it has nothing to say. */
static void all_boundaries_were_met_and_fast_paths_mask_nothing(void)
{
	size_t open = 0, masked = 0, interrupted = 0, restarts = 0;

	if (nr_records < TARGETS)
		test_skip("only with all the sweeps before it");
	for (const struct record *record = records; record < records + nr_records; record++) {
		if (record->fast) {
			assert_int_equal(record->masked, 0);
			assert_at_least(record->restarts, 1);
		}
		open += record->open;
		masked += record->masked;
		interrupted += record->interrupted;
		restarts += record->restarts;
	}
	test_note("sweep: %zu boundaries in %zu calls, %zu interrupted, %zu masked, %zu restarts, all met",
	          open + masked, nr_records, interrupted, masked, restarts);
}

/* ---- The same from a real timer, wherever it strikes ---- */

enum { TICKS_PER_SECOND = 20000, TICKS_WANTED = 4000, TICKS_ENOUGH = 100 };

static volatile unsigned ticks;

static void tick(void)
{
	ticks++;
	mood = (enum mood)rng_below(&handler_rng, MOODS);
	allocate_and_free();
}

/* An emulator on a busy host may be far from the rate: about half a second is long enough, some seconds too long. */
static bool has_ticked_enough(uint64_t cycles)
{
	return ticks >= TICKS_WANTED || cycles > (ticks >= TICKS_ENOUGH ? 1UL << 30 : 1UL << 34);
}

/* Without scenes, which are for who knows when he is interrupted. */
static void call_random(struct rng *rng)
{
	const struct target *target = &targets[rng_below(rng, ARRAY_SIZE(targets))];

	begin_target(target);
	prepare_handler();
	prepare_results(target);
	target->call();
	conclude(target);
}

static void a_timer_that_allocates_and_frees_disturbs_nobody(void)
{
	struct rng rng;
	size_t calls = 0;
	uint64_t start = rdtsc();

	need_window(64UL << 20, "takes blocks of 2 MiB");
	rng_seed(&rng, test_seed());
	begin_target(&targets[0]);
	timer_start(TICKS_PER_SECOND, tick);
	irq_enable();
	for (; !has_ticked_enough(rdtsc() - start) && !broken; calls++) {
		test_step(calls);
		call_random(&rng);
	}
	timer_stop();
	test_note("%zu calls, %u ticks", calls, ticks);
	give_everything();
	assert_sound(broken);
	assert_at_least(ticks, TICKS_ENOUGH);
}

/* ---- And from another CPU's real interrupts, which empty what this one keeps ---- */

enum { EMPTYINGS_WANTED = 400, EMPTYINGS_ENOUGH = 20 };

static unsigned emptyings; /* atomic */
static bool enough;        /* atomic */

static void want_it_back_again_and_again(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		want_it_back();
		__atomic_fetch_add(&emptyings, 1, __ATOMIC_RELAXED);
	}
}

static bool was_emptied_enough(uint64_t cycles)
{
	unsigned seen = __atomic_load_n(&emptyings, __ATOMIC_RELAXED);
	return seen >= EMPTYINGS_WANTED || cycles > (seen >= EMPTYINGS_ENOUGH ? 1UL << 28 : 1UL << 34);
}

/* In steps, for then the interrupts come between any two instructions, not only where the emulator looks for some. */
static void step_through_both(const struct target *taking, const struct target *giving)
{
	begin_target(taking);
	step_call(taking->call, STEP_NEVER - 1, 0);
	for (size_t i = 0; i < count; i++) {
		if (results[i].memory)
			stamp(&results[i], taking->kind, results[i].memory);
		else
			notice_refusal();
	}
	check_stamps(results, count);
	step_call(giving->call, STEP_NEVER - 1, 0);
	memset(results, 0, sizeof(results));
}

static void empty_while_stepping(const struct target *taking, const struct target *giving)
{
	uint64_t start = rdtsc();
	size_t calls = 0;

	begin_target(taking);
	enough = false;
	emptyings = 0;
	step_begin(do_nothing);
	cpu_start_work(1, want_it_back_again_and_again, NULL);
	for (; !was_emptied_enough(rdtsc() - start) && !broken; calls += 2)
		step_through_both(taking, giving);
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	cpu_wait_work(1);
	test_note("%s and back: %zu calls, emptied %u times", taking->name, calls, emptyings);
	assert_sound(step_broken());
	assert_sound(broken);
	assert_sound(mm_verify());
	assert_at_least(emptyings, EMPTYINGS_ENOUGH);
}

static void a_cpu_that_is_emptied_by_another_again_and_again_loses_nothing(void)
{
	static const struct target pairs[][2] = {
	        {{"8 x kmalloc(64)", call_kmalloc, SMALL, .count = 8}, {"", call_kfree, SMALL, .count = 8}},
	        {{"8 x kmem_cache_alloc", call_cache_alloc, LAYERED, .count = 8},
	         {"", call_cache_free, LAYERED, .count = 8}},
	        {{"8 x alloc_pages(0)", call_alloc_pages, PAGE, .count = 8},
	         {"", call_free_pages, PAGE, .count = 8}},
	        {{"alloc_pages(3)", call_alloc_block, BLOCK, .count = 1},
	         {"", call_free_block, BLOCK, .count = 1}},
	        {{"vmalloc(3 pages)", call_vmalloc, AREA, .count = 1}, {"", call_vfree, AREA, .count = 1}},
	        {{"vm_map_ram and vm_unmap_ram", call_map_and_unmap, AREA, .count = 0},
	         {"", call_map_and_unmap, AREA, .count = 0}},
	};

	need_window(64UL << 20, "takes blocks of 2 MiB");
	if (nr_cpus_online() < 2)
		test_skip("one CPU is online, this needs two");
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		empty_while_stepping(&pairs[i][0], &pairs[i][1]);
}

/* ---- Around each case ---- */

static void set_up(void)
{
	remember_timer();
	timer_stop(); /* what it interrupts would not be what is counted */
	irq_enable();
	rng_seed(&handler_rng, ~test_seed());
	plain = kmem_cache_create("sweep", size_of[OBJECT], 0, 0, NULL);
	layered = kmem_cache_create("sweep-layered", size_of[LAYERED], 0, 0, construct);
	straight = kmem_cache_create("sweep-straight", size_of[STRAIGHT], 0, SLAB_NOMAGAZINE, construct);
	mood = EXCHANGING;
	broken = NULL;
	scarce = false;
	ticks = 0;
	runs = 0;
}

static void stop_other_cpu(void)
{
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	if (nr_cpus_online() > 1)
		cpu_wait_work(1);
}

static void tear_down(void)
{
	timer_stop();
	step_end();
	stop_other_cpu();
	scene_end();
	give_everything();
	scarce = false;
	kmem_cache_destroy(straight);
	kmem_cache_destroy(layered);
	kmem_cache_destroy(plain);
	put_timer_back();
}

static const struct test_case cases[] = {
        TEST_CASE(kmalloc_and_kfree_may_be_interrupted_anywhere),
        TEST_CASE(object_caches_may_be_interrupted_anywhere),
        TEST_CASE(object_caches_may_be_interrupted_where_there_is_no_memory_for_magazines),
        TEST_CASE(the_page_allocator_may_be_interrupted_anywhere),
        TEST_CASE(vmalloc_and_vfree_may_be_interrupted_anywhere),
        TEST_CASE(a_frame_that_is_being_given_back_leads_to_its_area_or_to_none),
        TEST_CASE(all_boundaries_were_met_and_fast_paths_mask_nothing),
        TEST_CASE(a_timer_that_allocates_and_frees_disturbs_nobody),
        TEST_CASE(a_cpu_that_is_emptied_by_another_again_and_again_loses_nothing),
};

extern const struct test_suite sweep_suite;
const struct test_suite sweep_suite = TEST_SUITE("sweep", cases, .set_up = set_up, .tear_down = tear_down);
