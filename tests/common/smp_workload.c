#include <smp_workload.h>
#include <hoard.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <lib/printer.h>
#include <lib/rng.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/set_memory.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <remote.h>
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
	DEVICE_PAGES = 32,                                 /* where small devices lie, above all RAM; */
	DEVICE_PAGES_MAX = 2 * (PMD_SIZE / PAGE_SIZE) + 1, /* 2 MiB behind that begins a large one */
};

enum limit_kind { UNLIMITED, READ_ONLY, EXECUTABLE, HIDDEN };

/* Of `count` pages from the page `first` on. */
struct limit {
	enum limit_kind kind;
	unsigned first, count;
};

/* Memory that somebody holds; address NULL: none. It changes hands by pointer. */
struct item {
	const struct kind *kind;
	char *address;
	size_t size;
	uint64_t tag;       /* of its pattern */
	struct limit limit; /* what may not be done with some of its pages */
};

/* Each CPU's own, those in shared places, and three for what each CPU leaves to its next interrupt. */
static struct item items[SMP_CPUS_MAX * (ITEMS + 3) + SHARED];
static struct item *shared[SHARED];        /* atomic */
static struct item *parcels[SMP_CPUS_MAX]; /* atomic: holds an area, or nothing; */
static struct item *opened[SMP_CPUS_MAX];  /* that CPU's handler's: holds nothing */

/* A CPU at work. */
struct actor {
	struct smp_workload *workload;
	struct smp_counts *counts;
	unsigned cpu;
	bool in_handler;
	struct rng rng;
	struct item *items[ITEMS];
	struct item *parcel; /* holds nothing, but while it is being filled */
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
		struct item member = {.kind = item->kind,
		                      .address = list.members[i],
		                      .size = list.size,
		                      .tag = item->tag + i};
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

/* ---- Limited memory: areas of which some pages may not be written, or not be reached at all, whatever the address --- */

/*
 * The page's translation, and the one of its frame in the direct map. Others may merge tables there: masked interrupts would
 * hold them off on a machine, but not on the host, whose flush waits for nobody.
 */
struct page_access {
	bool present, direct_present;
	uint64_t bits, direct_bits;
};

static struct page_access access_of(const struct item *item, unsigned page)
{
	vaddr_t at = vaddr_of(item->address + ((size_t)page << PAGE_SHIFT));
	struct translation own = {0}, direct = {0};
	struct page_access access = {.present = pagetable_lookup(&kernel_pagetable, at, &own)};

	if (pagetable_find(&kernel_pagetable, at, &own)) {
		irqflags_t flags = spin_lock_irqsave(&kernel_pagetable.lock);
		vaddr_t alias = vaddr_of(page_address(pfn_to_page(paddr_to_pfn(own.pa))));
		access.direct_present = pagetable_lookup(&kernel_pagetable, alias, &direct);
		spin_unlock_irqrestore(&kernel_pagetable.lock, flags);
	}
	access.bits = own.prot.raw;
	access.direct_bits = direct.prot.raw;
	return access;
}

static bool is_limited_to(const struct page_access *access, enum limit_kind kind)
{
	bool writable = access->bits & PTE_WRITE, executable = !(access->bits & PTE_NO_EXEC),
	     direct_writable = access->direct_bits & PTE_WRITE;

	if (kind == HIDDEN)
		return !access->present && !access->direct_present;
	return access->present && access->direct_present && writable == (kind == UNLIMITED) &&
	       direct_writable == (kind == UNLIMITED) && executable == (kind == EXECUTABLE);
}

static void check_limit(struct actor *actor, const struct item *item)
{
	unsigned pages = (unsigned)(align_up(item->size, PAGE_SIZE) >> PAGE_SHIFT);
	const struct limit *limit = &item->limit;

	for (unsigned page = 0; page < pages; page++) {
		bool inside = page - limit->first < limit->count;
		struct page_access access = access_of(item, page);
		if (!is_limited_to(&access, inside ? limit->kind : UNLIMITED))
			return note_failure(actor->workload,
			                    "CPU %u: page %u of %p, limit %u of pages %u to %u: "
			                    "%u, 0x%lx, in the direct map %u, 0x%lx",
			                    actor->cpu, page, (void *)item->address, limit->kind,
			                    limit->first, limit->first + limit->count, access.present,
			                    access.bits, access.direct_present, access.direct_bits);
	}
}

/* May be refused, as the direct map's leaves may have to be split. */
static void limit(struct actor *actor, struct item *item)
{
	unsigned pages = (unsigned)(align_up(item->size, PAGE_SIZE) >> PAGE_SHIFT),
	         first = (unsigned)below(actor, pages), count_of = 1 + (unsigned)below(actor, pages - first);
	enum limit_kind kind = READ_ONLY + (enum limit_kind)below(actor, 3);
	unsigned long at = (unsigned long)item->address + ((unsigned long)first << PAGE_SHIFT);
	int nr = (int)count_of;

	if (!(kind == HIDDEN ? set_memory_np(at, nr) : set_memory_ro(at, nr))) {
		count(&actor->counts->refused);
		return;
	}
	if (kind == EXECUTABLE && !set_memory_x(at, nr)) {
		count(&actor->counts->refused);
		kind = READ_ONLY;
	}
	item->limit = (struct limit){kind, first, count_of};
	count(&actor->counts->limited);
	check_limit(actor, item);
}

/* Never refused: what was split for the limit is split still. */
static void lift_limit(struct actor *actor, struct item *item)
{
	unsigned long at = (unsigned long)item->address + ((unsigned long)item->limit.first << PAGE_SHIFT);
	int nr = (int)item->limit.count;
	bool lifted = true;

	check_limit(actor, item);
	if (item->limit.kind == EXECUTABLE)
		lifted = set_memory_nx(at, nr);
	if (item->limit.kind == HIDDEN)
		lifted = set_memory_p(at, nr);
	else if (item->limit.kind != UNLIMITED)
		lifted = lifted && set_memory_rw(at, nr);
	if (!lifted)
		note_failure(actor->workload, "CPU %u: the limit %u of %u pages of %p is not lifted",
		             actor->cpu, item->limit.kind, item->limit.count, (void *)item->address);
	item->limit = (struct limit){0};
	check_limit(actor, item);
}

static bool limited_allocate(struct actor *actor, struct item *item)
{
	item->limit = (struct limit){0};
	if (!vmalloc_allocate(actor, item))
		return false;
	limit(actor, item);
	return true;
}

/* Another limit, and what it holds is still there. */
static void limited_change(struct actor *actor, struct item *item)
{
	lift_limit(actor, item);
	check_filled(actor, item, item->address, item->size);
	limit(actor, item);
}

/* vfree() does not mind the limit. A handler flushes nothing. */
static void limited_release(struct actor *actor, struct item *item)
{
	if (!actor->in_handler && one_in(actor, 3))
		lift_limit(actor, item);
	check_limit(actor, item);
	if (item->limit.kind != HIDDEN)
		check_filled(actor, item, item->address, item->size);
	vfree(item->address);
}

/* ---- Devices: physical addresses of no RAM, where nothing is touched ----------------------------------------------- */

static const struct {
	void *(*map)(uint64_t phys, size_t size);
	enum memory_type type;
} device_calls[] = {
        {ioremap, MEMORY_UC_MINUS}, {ioremap_uc, MEMORY_UC},    {ioremap_wc, MEMORY_WC},
        {ioremap_wt, MEMORY_WT},    {ioremap_cache, MEMORY_WB},
};

/*
 * Who holds each page: their number, and above it their type. Entered after a mapping was granted and taken out before it is
 * given back: two types at once are two that were granted.
 */
enum { HOLDERS_BITS = 16 };
static uint32_t device_holders[DEVICE_PAGES_MAX]; /* atomic */

/* What an item of a device maps follows from its tag. */
struct device {
	uint64_t phys;
	size_t size, first_page, end_page;
	unsigned call;
};

static struct device device_of(const struct actor *actor, const struct item *item)
{
	uint64_t draw = item->tag;
	bool large = draw % 16 == 0;
	uint64_t offset = large ? PMD_SIZE : (draw >> 8) % ((uint64_t)DEVICE_PAGES << PAGE_SHIFT);
	size_t size = large ? PMD_SIZE + (draw >> 4 & 1) : 1 + (draw >> 24) % (3 * PAGE_SIZE);

	return (struct device){
	        .phys = actor->workload->devices + offset,
	        .size = size,
	        .first_page = offset >> PAGE_SHIFT,
	        .end_page = (offset + size + PAGE_SIZE - 1) >> PAGE_SHIFT,
	        .call = (unsigned)((draw >> 44) % ARRAY_SIZE(device_calls)),
	};
}

static void device_hold(struct actor *actor, const struct device *device, enum memory_type type)
{
	for (size_t page = device->first_page; page < device->end_page; page++) {
		uint32_t had = __atomic_load_n(&device_holders[page], __ATOMIC_RELAXED), have;
		do {
			bool other = had & ((1U << HOLDERS_BITS) - 1) && had >> HOLDERS_BITS != type;
			if (other)
				note_failure(actor->workload, "CPU %u: the device at 0x%lx is %s and %s",
				             actor->cpu, actor->workload->devices + (page << PAGE_SHIFT),
				             memory_type_name(type),
				             memory_type_name((enum memory_type)(had >> HOLDERS_BITS)));
			have = (had & ((1U << HOLDERS_BITS) - 1)) + 1 + ((uint32_t)type << HOLDERS_BITS);
		} while (!__atomic_compare_exchange_n(&device_holders[page], &had, have, false,
		                                      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	}
}

static void device_let_go(const struct device *device)
{
	for (size_t page = device->first_page; page < device->end_page; page++)
		__atomic_fetch_sub(&device_holders[page], 1, __ATOMIC_ACQ_REL);
}

/* First and last byte lead to the device, with one type, which is returned. */
static enum memory_type check_device(struct actor *actor, const struct item *item,
                                     const struct device *device)
{
	struct translation first = {0}, last = {0};
	enum memory_type type, wanted = device_calls[device->call].type;

	(void)!pagetable_lookup(&kernel_pagetable, vaddr_of(item->address), &first);
	(void)!pagetable_lookup(&kernel_pagetable, vaddr_of(item->address + item->size - 1), &last);
	type = pgprot_type(first.prot);
	bool weaker = type == MEMORY_UC_MINUS && (wanted == MEMORY_WC || wanted == MEMORY_WT); /* no PAT */
	if (first.pa.raw != device->phys || last.pa.raw != device->phys + device->size - 1 ||
	    pgprot_type(last.prot) != type || (type != wanted && !weaker))
		note_failure(actor->workload, "CPU %u: %s of 0x%lx, %zu bytes, leads to 0x%lx-0x%lx, %s",
		             actor->cpu, memory_type_name(wanted), device->phys, device->size, first.pa.raw,
		             last.pa.raw, memory_type_name(type));
	return type;
}

/* What is held cannot be had with another type, by nobody. */
static void demand_refusal(struct actor *actor, const struct device *device, enum memory_type type)
{
	uint64_t at = device->phys + below(actor, device->size);
	void *second = type == MEMORY_WB ? ioremap(at, 1) : ioremap_cache(at, 1);

	count(&actor->counts->conflicts);
	if (!second)
		return;
	note_failure(actor->workload, "CPU %u: the device at 0x%lx is %s, and was given with another type",
	             actor->cpu, at, memory_type_name(type));
	iounmap(second);
}

static bool device_allocate(struct actor *actor, struct item *item)
{
	struct device device = device_of(actor, item);

	item->address = device_calls[device.call].map(device.phys, device.size);
	item->size = device.size;
	if (!item->address)
		return false;
	enum memory_type type = check_device(actor, item, &device);
	device_hold(actor, &device, type);
	count(&actor->counts->devices);
	if (one_in(actor, 2))
		demand_refusal(actor, &device, type);
	return true;
}

static void device_release(struct actor *actor, struct item *item)
{
	struct device device = device_of(actor, item);

	check_device(actor, item, &device);
	device_let_go(&device);
	iounmap(item->address);
}

/* ---- All kinds ----------------------------------------------------------------------------------------------------- */

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
                         given_kind = {"vmap, given away", false, true, given_allocate, given_release},
                         limited_kind = {"set_memory", false, true, limited_allocate, limited_release},
                         device_kind = {"ioremap", false, false, device_allocate, device_release};
static const struct kind *const kinds[] = {
        &kmalloc_kind, &kmalloc_kind, &kmalloc_kind, &kmalloc_kind,  &object_kind,
        &object_kind,  &object_kind,  &block_kind,   &block_kind,    &block_kind,
        &bulk_kind,    &exact_kind,   &frames_kind,  &kvmalloc_kind, &vmalloc_kind,
        &vmalloc_kind, &vmap_kind,    &ram_kind,     &given_kind,    &cache_kind,
};
/* Each of these interrupts all CPUs several times in its life: one in RARE. */
enum { RARE = 48 };
static const struct kind *const rare_kinds[] = {&limited_kind, &device_kind};

static const struct kind *some_kind(struct actor *actor)
{
	if (one_in(actor, RARE))
		return rare_kinds[below(actor, ARRAY_SIZE(rare_kinds))];
	return kinds[below(actor, ARRAY_SIZE(kinds))];
}

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
	else if (item->kind == &limited_kind && !actor->in_handler && one_in(actor, 3))
		limited_change(actor, item);
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

/* An area is left to this CPU's next interrupt. What the last one left there, as none came, goes as in a handler. */
static void leave_parcel(struct actor *actor)
{
	item_allocate(actor, actor->parcel, &vmalloc_kind);
	actor->parcel = __atomic_exchange_n(&parcels[actor->cpu], actor->parcel, __ATOMIC_ACQ_REL);
	if (actor->parcel->address)
		item_step_in_handler(actor, actor->parcel, &vmalloc_kind);
}

void smp_workload_interrupt(struct smp_workload *workload, unsigned cpu)
{
	struct actor handler = {
	        .workload = workload, .counts = &workload->counts[cpu], .cpu = cpu, .in_handler = true};

	opened[cpu] = __atomic_exchange_n(&parcels[cpu], opened[cpu], __ATOMIC_ACQ_REL);
	if (!opened[cpu]->address)
		return;
	item_release(&handler, opened[cpu]);
	count(&handler.counts->by_interrupts);
}

static void step(struct actor *actor)
{
	struct item **item = &actor->items[below(actor, ITEMS)];
	const struct kind *kind = some_kind(actor);

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
	if (one_in(actor, 30))
		leave_parcel(actor);
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
	actor.parcel = &items[SMP_CPUS_MAX * ITEMS + SHARED + 3 * cpu];
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
	item_release(&actor, __atomic_exchange_n(&parcels[cpu], actor.parcel, __ATOMIC_ACQ_REL));
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
	for (unsigned cpu = 0; cpu < SMP_CPUS_MAX; cpu++) {
		struct item *own = &items[SMP_CPUS_MAX * ITEMS + SHARED + 3 * cpu];
		parcels[cpu] = own + 1;
		opened[cpu] = own + 2;
	}
	workload->devices = no_ram();
	memset(device_holders, 0, sizeof(device_holders));
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
