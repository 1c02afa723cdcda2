#include <smp_workload.h>
#include <hoard.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <lib/printer.h>
#include <lib/rng.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/page_alloc.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <vm_access.h>

enum {
	ITEMS = 48, /* each CPU's */
	SHARED = 64,
	LIST_MAX = 16,         /* objects or frames of a bulk call */
	EXHAUST_EVERY = 4,     /* rounds */
	EXHAUSTED_STEPS = 400, /* done by the CPU that has all memory */
	DENSE = 64,            /* bytes at either end of memory that all carry the pattern */
	SPARSE_STEP = 61,      /* between them, and in the window, where a byte costs a translation: */
	SPARSE_STEP_WINDOW = 509,
};

/* Memory that somebody holds; address NULL: none. It changes hands by pointer. */
struct item {
	const struct kind *kind;
	char *address;
	size_t size;
	uint64_t tag; /* of its pattern */
};

static struct item items[SMP_CPUS_MAX * ITEMS + SHARED];
static struct item *shared[SHARED]; /* atomic */

/* A CPU at work. */
struct actor {
	struct smp_workload *workload;
	struct smp_counts *counts;
	unsigned cpu;
	bool in_handler;
	struct rng rng;
	struct item *items[ITEMS];
};

static uint64_t below(struct actor *actor, uint64_t bound)
{
	return rng_below(&actor->rng, bound);
}

static bool one_in(struct actor *actor, uint64_t n)
{
	return below(actor, n) == 0;
}

/* More small sizes than large ones. */
static size_t some_size(struct actor *actor, size_t limit)
{
	return 1 + below(actor, 1 + below(actor, limit));
}

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* The first failure is kept. */
static void PRINTF_LIKE(2, 3) note_failure(struct smp_workload *workload, const char *fmt, ...)
{
	va_list args;

	if (__atomic_exchange_n(&workload->failed, true, __ATOMIC_RELAXED))
		return;
	va_start(args, fmt);
	vformat_buffer(workload->failure, sizeof(workload->failure), fmt, args);
	va_end(args);
}

static gfp_t some_gfp(struct actor *actor)
{
	gfp_t wait = actor->in_handler ? GFP_ATOMIC : one_in(actor, 4) ? GFP_NOWAIT : GFP_KERNEL;
	return wait | __GFP_NOWARN | (one_in(actor, 4) ? __GFP_ZERO : 0);
}

/* ---- Patterns ----------------------------------------------------------------------------------------------------- */

static uint8_t pattern(uint64_t tag, size_t i)
{
	return (uint8_t)(tag + i * 7 + (i >> 8));
}

static uint8_t load(const char *at)
{
	return is_vmalloc_addr(at) ? vm_peek(at) : *(const uint8_t *)at;
}

static void store(char *at, uint8_t value)
{
	if (is_vmalloc_addr(at))
		vm_poke(at, value);
	else
		*(uint8_t *)at = value;
}

/* The next byte after `i` that carries the pattern: never past the last, which does. */
static size_t next_byte(const char *memory, size_t size, size_t i)
{
	bool window = is_vmalloc_addr(memory);
	size_t step = window ? SPARSE_STEP_WINDOW : i < DENSE || i + DENSE >= size ? 1 : SPARSE_STEP;

	return i + 1 < size && i + step >= size ? size - 1 : i + step;
}

static void fill(char *memory, size_t size, uint64_t tag)
{
	for (size_t i = 0; i < size; i = next_byte(memory, size, i))
		store(memory + i, pattern(tag, i));
}

static void check_zero(struct actor *actor, const char *what, const char *memory, size_t size, gfp_t gfp)
{
	if (!(gfp & __GFP_ZERO))
		return;
	for (size_t i = 0; i < size; i = next_byte(memory, size, i)) {
		if (load(memory + i))
			return note_failure(actor->workload,
			                    "CPU %u: %s: byte %zu of %p is 0x%x and not zero", actor->cpu,
			                    what, i, (void *)memory, load(memory + i));
	}
}

/* ---- Kinds of memory ---------------------------------------------------------------------------------------------- */

struct kind {
	const char *name;
	bool comes_in_handler, goes_in_handler; /* in interrupt context */
	bool (*allocate)(struct actor *actor,
	                 struct item *item); /* sets all but kind and tag, writes the pattern */
	void (*release)(struct actor *actor, struct item *item); /* checks the pattern first */
};

static void check_filled(struct actor *actor, const struct item *item, const char *memory, size_t size)
{
	for (size_t i = 0; i < size; i = next_byte(memory, size, i)) {
		uint8_t found = load(memory + i), expected = pattern(item->tag, i);
		if (found != expected)
			return note_failure(
			        actor->workload,
			        "CPU %u: %s: byte %zu of %p, %zu bytes, is 0x%x, but 0x%x was written",
			        actor->cpu, item->kind->name, i, (void *)memory, size, found, expected);
	}
}

/* `memory` is the item's, if there is any. */
static bool accept(struct actor *actor, struct item *item, void *memory, size_t size, gfp_t gfp)
{
	item->address = memory;
	item->size = size;
	if (!memory)
		return false;
	check_zero(actor, item->kind->name, memory, size, gfp);
	fill(memory, size, item->tag);
	return true;
}

static bool kmalloc_allocate(struct actor *actor, struct item *item)
{
	gfp_t gfp = some_gfp(actor);
	size_t size = some_size(actor, one_in(actor, 8) ? 20 * PAGE_SIZE : 1024);

	return accept(actor, item, kmalloc(size, gfp), size, gfp);
}

static void kmalloc_release(struct actor *actor, struct item *item)
{
	check_filled(actor, item, item->address, item->size);
	if (one_in(actor, 4) && ksize(item->address) < item->size)
		note_failure(actor->workload, "CPU %u: ksize() of %p is less than its %zu bytes", actor->cpu,
		             (void *)item->address, item->size);
	kfree(item->address);
}

static bool kvmalloc_allocate(struct actor *actor, struct item *item)
{
	gfp_t gfp = some_gfp(actor);
	size_t size = some_size(actor, 8 * PAGE_SIZE);

	return accept(actor, item, kvmalloc(size, gfp), size, gfp);
}

static void kvmalloc_release(struct actor *actor, struct item *item)
{
	check_filled(actor, item, item->address, item->size);
	kvfree(item->address);
}

static struct kmem_cache *some_cache(struct actor *actor)
{
	return actor->workload->caches[below(actor, SMP_CACHES)];
}

/* The caches are told apart by the size of their objects. */
static struct kmem_cache *cache_of(const struct actor *actor, const struct item *item)
{
	struct kmem_cache *const *cache = actor->workload->caches;

	while (kmem_cache_size(*cache) != item->size)
		cache++;
	return *cache;
}

static bool object_allocate(struct actor *actor, struct item *item)
{
	gfp_t gfp = some_gfp(actor);
	struct kmem_cache *cache = some_cache(actor);

	return accept(actor, item, kmem_cache_alloc(cache, gfp), kmem_cache_size(cache), gfp);
}

static void object_release(struct actor *actor, struct item *item)
{
	check_filled(actor, item, item->address, item->size);
	if (one_in(actor, 2))
		kfree(item->address);
	else
		kmem_cache_free(cache_of(actor, item), item->address);
}

/* An object of a cache of its own. */
struct own_object {
	struct kmem_cache *cache;
	char rest[];
};

static bool cache_allocate(struct actor *actor, struct item *item)
{
	size_t rest = some_size(actor, 600);
	struct kmem_cache *cache = kmem_cache_create("smp-own", sizeof(struct own_object) + rest, 0, 0, NULL);
	if (!cache)
		return false;
	struct own_object *object = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NOWARN);
	if (!object) {
		kmem_cache_destroy(cache);
		return false;
	}
	object->cache = cache;
	item->address = (char *)object;
	item->size = rest;
	fill(object->rest, rest, item->tag);
	return true;
}

static void cache_release(struct actor *actor, struct item *item)
{
	struct own_object *object = (struct own_object *)item->address;
	struct kmem_cache *cache = object->cache;

	check_filled(actor, item, object->rest, item->size);
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
}

/* What a bulk call gave: its first object or frame begins with this, and carries no pattern. */
struct list {
	size_t count, size; /* each one's bytes */
	void *members[LIST_MAX];
};

static void list_keep(struct item *item, const struct list *list)
{
	item->address = list->members[0];
	memcpy(item->address, list, sizeof(*list));
	for (size_t i = 1; i < list->count; i++)
		fill(list->members[i], list->size, item->tag + i);
}

static struct list list_take(struct actor *actor, struct item *item)
{
	struct list list;

	memcpy(&list, item->address, sizeof(list));
	for (size_t i = 1; i < list.count; i++) {
		struct item member = {item->kind, list.members[i], list.size, item->tag + i};
		check_filled(actor, &member, member.address, member.size);
	}
	return list;
}

static bool bulk_allocate(struct actor *actor, struct item *item)
{
	struct kmem_cache *cache = actor->workload->caches[SMP_CACHES - 1];
	struct list list = {.count = 1 + below(actor, LIST_MAX), .size = kmem_cache_size(cache)};

	if (!kmem_cache_alloc_bulk(cache, some_gfp(actor), list.count, list.members))
		return false;
	list_keep(item, &list);
	return true;
}

static void bulk_release(struct actor *actor, struct item *item)
{
	struct list list = list_take(actor, item);
	kmem_cache_free_bulk(actor->workload->caches[SMP_CACHES - 1], list.count, list.members);
}

static bool block_allocate(struct actor *actor, struct item *item)
{
	gfp_t gfp = some_gfp(actor) | (one_in(actor, 16) ? __GFP_DMA : one_in(actor, 8) ? __GFP_DMA32 : 0);
	unsigned order = (unsigned)below(actor, 1 + below(actor, 5));
	struct page *page = alloc_pages(gfp, order);

	return accept(actor, item, page ? page_address(page) : NULL, PAGE_SIZE << order, gfp);
}

static void block_release(struct actor *actor, struct item *item)
{
	unsigned order = log2_floor(item->size >> PAGE_SHIFT);

	check_filled(actor, item, item->address, item->size);
	if (one_in(actor, 2))
		__free_pages(virt_to_page(item->address), order);
	else
		free_pages((unsigned long)item->address, order);
}

static bool exact_allocate(struct actor *actor, struct item *item)
{
	gfp_t gfp = some_gfp(actor);
	size_t size = some_size(actor, 9 * PAGE_SIZE);

	return accept(actor, item, alloc_pages_exact(size, gfp), size, gfp);
}

static void exact_release(struct actor *actor, struct item *item)
{
	check_filled(actor, item, item->address, item->size);
	free_pages_exact(item->address, item->size);
}

static size_t frames_allocate(struct actor *actor, size_t count, struct page **pages)
{
	size_t got = alloc_pages_bulk(some_gfp(actor), count, pages);

	if (got == count)
		return got;
	free_pages_bulk(got, pages);
	return 0;
}

static bool frames_bulk_allocate(struct actor *actor, struct item *item)
{
	struct list list = {.count = 1 + below(actor, LIST_MAX), .size = PAGE_SIZE};
	struct page *pages[LIST_MAX];

	if (!frames_allocate(actor, list.count, pages))
		return false;
	for (size_t i = 0; i < list.count; i++)
		list.members[i] = page_address(pages[i]);
	list_keep(item, &list);
	return true;
}

static void frames_bulk_release(struct actor *actor, struct item *item)
{
	struct list list = list_take(actor, item);
	struct page *pages[LIST_MAX];

	for (size_t i = 0; i < list.count; i++)
		pages[i] = virt_to_page(list.members[i]);
	free_pages_bulk(list.count, pages);
}

static bool vmalloc_allocate(struct actor *actor, struct item *item)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | (one_in(actor, 4) ? __GFP_ZERO : 0);
	size_t size = some_size(actor, one_in(actor, 16) ? 80 * PAGE_SIZE : 6 * PAGE_SIZE);

	return accept(actor, item, __vmalloc(size, gfp, PAGE_KERNEL), size, gfp);
}

static void vmalloc_release(struct actor *actor, struct item *item)
{
	check_filled(actor, item, item->address, item->size);
	vfree(item->address);
}

/*
 * Frames of our own at window addresses: what is written there must be what the direct map shows. flags are vmap()'s; 0:
 * vm_map_ram().
 */
static bool map_frames(struct actor *actor, struct item *item, unsigned long flags)
{
	struct page *pages[LIST_MAX];
	size_t nr_pages = 1 + below(actor, LIST_MAX);

	if (!frames_allocate(actor, nr_pages, pages))
		return false;
	item->address = flags ? vmap(pages, (unsigned)nr_pages, flags, PAGE_KERNEL)
	                      : vm_map_ram(pages, (unsigned)nr_pages, NUMA_NO_NODE);
	item->size = nr_pages << PAGE_SHIFT;
	if (!item->address) {
		free_pages_bulk(nr_pages, pages);
		return false;
	}
	fill(item->address, item->size, item->tag);
	return true;
}

/* The frames behind it, whose contents are what was written through the window. */
static size_t mapped_frames(struct actor *actor, struct item *item, struct page **pages)
{
	size_t nr_pages = item->size >> PAGE_SHIFT;

	for (size_t i = 0; i < nr_pages; i++)
		pages[i] = vmalloc_to_page(item->address + (i << PAGE_SHIFT));
	for (size_t i = 0; i < item->size; i = next_byte(item->address, item->size, i)) {
		const char *frame = page_address(pages[i >> PAGE_SHIFT]);
		uint8_t found = load(frame + i % PAGE_SIZE), expected = pattern(item->tag, i);
		if (found == expected)
			continue;
		note_failure(actor->workload,
		             "CPU %u: %s: byte %zu of %p, in frame %p, is 0x%x, but 0x%x was written",
		             actor->cpu, item->kind->name, i, (void *)item->address, (const void *)frame,
		             found, expected);
		break;
	}
	return nr_pages;
}

static bool vmap_allocate(struct actor *actor, struct item *item)
{
	return map_frames(actor, item, VM_MAP);
}

static void vmap_release(struct actor *actor, struct item *item)
{
	struct page *pages[LIST_MAX];
	size_t nr_pages = mapped_frames(actor, item, pages);

	check_filled(actor, item, item->address, item->size);
	vunmap(item->address);
	free_pages_bulk(nr_pages, pages);
}

static bool ram_allocate(struct actor *actor, struct item *item)
{
	return map_frames(actor, item, 0);
}

static void ram_release(struct actor *actor, struct item *item)
{
	struct page *pages[LIST_MAX];
	size_t nr_pages = mapped_frames(actor, item, pages);

	check_filled(actor, item, item->address, item->size);
	vm_unmap_ram(item->address, (unsigned)nr_pages);
	free_pages_bulk(nr_pages, pages);
}

static bool given_allocate(struct actor *actor, struct item *item)
{
	return map_frames(actor, item, VM_MAP | VM_MAP_PUT_PAGES);
}

static void given_release(struct actor *actor, struct item *item)
{
	struct page *pages[LIST_MAX];

	mapped_frames(actor, item, pages);
	vmalloc_release(actor, item);
}

/* As often as it is listed. */
static const struct kind kmalloc_kind = {"kmalloc", true, true, kmalloc_allocate, kmalloc_release},
                         kvmalloc_kind = {"kvmalloc", true, true, kvmalloc_allocate, kvmalloc_release},
                         object_kind = {"kmem_cache_alloc", true, true, object_allocate, object_release},
                         cache_kind = {"kmem_cache_create", false, false, cache_allocate, cache_release},
                         bulk_kind = {"kmem_cache_alloc_bulk", true, true, bulk_allocate, bulk_release},
                         block_kind = {"alloc_pages", true, true, block_allocate, block_release},
                         exact_kind = {"alloc_pages_exact", true, true, exact_allocate, exact_release},
                         frames_kind = {"alloc_pages_bulk", true, true, frames_bulk_allocate,
                                        frames_bulk_release},
                         vmalloc_kind = {"vmalloc", false, true, vmalloc_allocate, vmalloc_release},
                         vmap_kind = {"vmap", false, false, vmap_allocate, vmap_release},
                         ram_kind = {"vm_map_ram", false, false, ram_allocate, ram_release},
                         given_kind = {"vmap, given away", false, true, given_allocate, given_release};
static const struct kind *const kinds[] = {
        &kmalloc_kind, &kmalloc_kind, &kmalloc_kind, &kmalloc_kind,  &object_kind,
        &object_kind,  &object_kind,  &block_kind,   &block_kind,    &block_kind,
        &bulk_kind,    &exact_kind,   &frames_kind,  &kvmalloc_kind, &vmalloc_kind,
        &vmalloc_kind, &vmap_kind,    &ram_kind,     &given_kind,    &cache_kind,
};

/* ---- Steps -------------------------------------------------------------------------------------------------------- */

static void item_allocate(struct actor *actor, struct item *item, const struct kind *kind)
{
	item->kind = kind;
	item->tag = rng_next(&actor->rng);
	if (kind->allocate(actor, item)) {
		count(&actor->counts->allocations);
	} else {
		item->address = NULL;
		count(&actor->counts->refused);
	}
}

static void item_release(struct actor *actor, struct item *item)
{
	if (item->address)
		item->kind->release(actor, item);
	item->address = NULL;
}

/* What it held is there afterwards, as far as there is room. */
static void item_resize(struct actor *actor, struct item *item)
{
	size_t size = some_size(actor, one_in(actor, 8) ? 4 * PAGE_SIZE : 1024),
	       kept = min_u64(item->size, size);
	gfp_t gfp = (actor->in_handler ? GFP_ATOMIC : GFP_KERNEL) | __GFP_NOWARN;

	check_filled(actor, item, item->address, item->size);
	char *moved = krealloc(item->address, size, gfp);
	if (!moved) {
		count(&actor->counts->refused);
		return;
	}
	for (size_t i = 0; i < kept && i < DENSE && i + DENSE < item->size; i++) {
		if (load(moved + i) != pattern(item->tag, i))
			note_failure(actor->workload, "CPU %u: krealloc: byte %zu of %p was not kept",
			             actor->cpu, i, (void *)moved);
	}
	count(&actor->counts->allocations);
	item->address = moved;
	item->size = size;
	fill(moved, size, item->tag);
}

static void item_step(struct actor *actor, struct item *item, const struct kind *kind)
{
	if (!item->address)
		item_allocate(actor, item, kind);
	else if (item->kind == &kmalloc_kind && one_in(actor, 4))
		item_resize(actor, item);
	else
		item_release(actor, item);
}

/* As in an interrupt handler. */
static void item_step_in_handler(struct actor *actor, struct item *item, const struct kind *kind)
{
	irqflags_t flags = irq_save();

	this_cpu()->interrupt_depth++;
	actor->in_handler = true;
	item_step(actor, item, kind);
	actor->in_handler = false;
	this_cpu()->interrupt_depth--;
	irq_restore(flags);
	count(&actor->counts->in_handler);
}

static void step(struct actor *actor)
{
	struct item **item = &actor->items[below(actor, ITEMS)];
	const struct kind *kind = kinds[below(actor, ARRAY_SIZE(kinds))];

	if (one_in(actor, 3)) {
		struct item **place = &shared[below(actor, SHARED)];
		*item = __atomic_exchange_n(place, *item, __ATOMIC_ACQ_REL);
		count(&actor->counts->swapped);
	}
	bool may_in_handler = (*item)->address ? (*item)->kind->goes_in_handler : kind->comes_in_handler;
	if (may_in_handler && one_in(actor, 6))
		item_step_in_handler(actor, *item, kind);
	else
		item_step(actor, *item, kind);
	if (one_in(actor, 500))
		kmem_cache_shrink(some_cache(actor));
	count(&actor->counts->operations);
}

/* ---- All memory --------------------------------------------------------------------------------------------------- */

static void steps_while_exhausted(struct actor *actor)
{
	struct hoard hoard = {0};

	hoard_take(&hoard, GFP_KERNEL, 0);
	count(&actor->counts->exhausted);
	for (unsigned i = 0; i < EXHAUSTED_STEPS; i++)
		step(actor);
	hoard_release(&hoard);
}

/* ---- The whole ---------------------------------------------------------------------------------------------------- */

static void run_round(struct actor *actor, unsigned number)
{
	const struct smp_workload *workload = actor->workload;

	if (actor->cpu == workload->nr_cpus - 1 && number % EXHAUST_EVERY == 1)
		steps_while_exhausted(actor);
	for (unsigned i = 0; i < workload->round; i++)
		step(actor);
}

/* On one CPU, all others waiting. */
static void judge(struct smp_workload *workload)
{
	const char *broken = workload->check();

	if (broken)
		note_failure(workload, "%s", broken);
	workload->stop = workload->failed || !workload->go_on(workload->context);
}

void smp_workload_run(struct smp_workload *workload, unsigned cpu)
{
	struct actor actor = {.workload = workload, .counts = &workload->counts[cpu], .cpu = cpu};

	rng_seed(&actor.rng, workload->seed + cpu * 0x100000001UL);
	for (unsigned i = 0; i < ITEMS; i++)
		actor.items[i] = &items[cpu * ITEMS + i];
	for (unsigned number = 0; !workload->stop; number++) {
		run_round(&actor, number);
		workload->barrier(workload->context);
		if (cpu == 0)
			judge(workload);
		workload->barrier(workload->context);
	}
	for (unsigned i = 0; i < ITEMS; i++)
		item_release(&actor, actor.items[i]);
	for (unsigned i = cpu; i < SHARED; i += workload->nr_cpus)
		item_release(&actor, shared[i]);
	workload->barrier(workload->context);
}

bool smp_workload_begin(struct smp_workload *workload)
{
	static const struct {
		const char *name;
		size_t size;
	} caches[SMP_CACHES] = {{"smp-tiny", 24}, {"smp-large", 1500}, {"smp-list", sizeof(struct list)}};

	memset(items, 0, sizeof(items));
	for (unsigned i = 0; i < SHARED; i++)
		shared[i] = &items[SMP_CPUS_MAX * ITEMS + i];
	memset(workload->counts, 0, sizeof(workload->counts));
	workload->stop = workload->failed = false;
	for (unsigned c = 0; c < SMP_CACHES; c++) {
		workload->caches[c] = kmem_cache_create(caches[c].name, caches[c].size, 0, 0, NULL);
		if (workload->caches[c])
			continue;
		while (c)
			kmem_cache_destroy(workload->caches[--c]);
		return false;
	}
	return true;
}

const char *smp_workload_end(struct smp_workload *workload)
{
	for (unsigned c = 0; c < SMP_CACHES; c++)
		kmem_cache_destroy(workload->caches[c]);
	return workload->failed ? workload->failure : NULL;
}

struct smp_counts smp_workload_counts(const struct smp_workload *workload)
{
	struct smp_counts sum = {0};
	uint64_t *into = (uint64_t *)&sum;

	for (unsigned cpu = 0; cpu < SMP_CPUS_MAX; cpu++) {
		const uint64_t *from = (const uint64_t *)&workload->counts[cpu];
		for (size_t i = 0; i < sizeof(sum) / sizeof(*into); i++)
			into[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
	return sum;
}
