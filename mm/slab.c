/*
 * Slab allocator, after Bonwick ("The slab allocator: an object-caching kernel memory allocator", USENIX
 * 1994).
 *
 * A cache serves objects of one size. It holds slabs: blocks of 2^order frames cut into equal slots.
 *
 *	base                                                             base + (PAGE_SIZE << order)
 *	| slot 0 | slot 1 | slot 2 |            …            | slot n-1 | waste |
 *
 *	struct slab   cache, base, nr_free, free: 0 1 1 0 … 1       one bit per slot, away from the objects
 *	              state: - L F - … F                            one byte per slot: live or free
 *	frame array   every frame of the block says PAGE_SLAB and points to the struct slab
 *
 * In front of the slabs stand each CPU's magazines (magazine.c), which serve most calls without a lock. To its slab an
 * object in a magazine is handed out: its bit is clear. That it is free all the same is what its state says.
 *
 * Nothing the allocator believes lies where an object could overwrite it, so every free of a wrong pointer is
 * noticed: pointer → frame's entry → descriptor → slot → state. slab_page_of() and slab_find() ask these questions
 * once; what follows trusts the answer. The state is a byte that only its object's holder writes, so that
 * asking and answering needs neither lock nor atomic instruction; two CPUs that free one object within the same few
 * instructions both find it live, and then the second of its two allocations, or of its two returns to the slab, finds it
 * so, and says so.
 *
 * Descriptors are objects themselves, of two caches (a small one for slabs of up to 64 slots) whose slabs keep their own
 * descriptor in slot 0, where its only neighbours are descriptors. These two, the cache of caches and the two of magazines
 * are static and have no magazines: here the cycle dissolves.
 *
 * Large slabs cost less: to make one and to give it back is shared by its objects. So a cache prefers slabs of eight objects
 * or more, up to order 3, the largest that CPUs have page lists for; and makes do with the smallest where memory is in
 * pieces, rather than take anything from anybody. What it holds for nobody are one empty slab, up to 32 KiB, and the free
 * objects of its partial slabs and magazines; kmem_cache_shrink() and reclaim give back what is empty.
 *
 * S1  Slots of one cache are equal, 8-aligned, at most 512 a slab. A slab has one of two shapes. The minimal one is the
 *     smallest block whose waste is at most 1/8; as waste is less than a slot, a block of eight slots always qualifies, and
 *     a larger one never wastes a larger share. The preferred one is the smallest block that also has eight slots and wastes
 *     at most 1/16, but none above order 3 unless the minimal one is. A slab with waste has fewer slots than its descriptor
 *     has room for.
 * S2  Each slab is on exactly one of its cache's lists, the one for how full it is.
 * S3  A slab's bitmap has nr_free bits set, none beyond its slots and none for its own descriptor; free_words
 *     says which words are not zero. A slot whose bit is set is SLOT_FREE.
 * S4  Each frame of a slab is PAGE_SLAB and owned by it; the block is aligned to its own size, and so objects
 *     whose size is a power of two are aligned to theirs.
 * S5  A descriptor is a live object of the descriptor cache for its cache's slots, or in slot 0 of its own slab. Both shapes
 *     of a cache take the same.
 * S6  The cache's counts are what its slabs say: slabs, empty ones (at most SLAB_EMPTY_KEPT), their pages, their
 *     objects, and objects handed out.
 * S7  Conservation: as many live descriptors as slabs outside the descriptor caches; as many live cache objects as
 *     caches less the static ones; as many live magazines as CPUs and depots have.
 * S8  Debug build, no constructor: a free object holds the poison pattern.
 * S9  A cache's magazines are sound (magazine.c, G1 to G3), and hold exactly those of its objects that are SLOT_FREE
 *     and not in their slab.
 *
 * Locking: each cache has a lock for its slabs, taken with interrupts masked, for a magazine's worth of objects at a
 * time. Slabs are made and destroyed without it: they are nobody's before they are listed and after they are unlisted.
 * Constructors run there too.
 *
 * Cost: alloc and free touch this CPU's magazine and the slot's state. Behind that, an object costs two bit scans and at
 * most three list links. No loop depends on the number of slabs.
 */
#include <mm/slab.h>
#include <arch/smp.h>
#include <lib/align.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/fault_inject.h>
#include <mm/lock_rank.h>
#include <mm/page_alloc.h>
#include "page_alloc_internal.h"
#include "slab_internal.h"

_Static_assert((int)SLAB_ORDER_PREFERRED_MAX == (int)CPU_LIST_ORDERS - 1, "a slab comes from a CPU's list");

struct kmem_cache slab_descriptor_caches[DESCRIPTOR_CACHES], magazine_caches[MAGAZINE_CACHES],
        kmem_cache_cache;
struct mutex caches_mutex = MUTEX_INIT("cache list");
struct list_head caches = LIST_HEAD_INIT(caches);
static uint64_t next_cache_id; /* (caches_mutex) */

_Static_assert(SLAB_OBJECT_MAX << SLAB_WASTE_SHIFT <= PAGE_SIZE << SLAB_ORDER_MAX, "S1 can always be had");
_Static_assert((int)SLAB_ORDER_MAX < (int)GROUP_ORDER,
               "all entries of a slab's block are written: page.h, P3");
_Static_assert(SLAB_WORDS <= 8, "free_words has a bit per word");
_Static_assert(sizeof(struct cpu_slab) == CACHE_LINE && offsetof(struct kmem_cache, cpu) % 64 <= 48,
               "a CPU finds its magazines with one cache line");

/* ---- Slots of a slab: the cache's lock is held --------------------------------------------------------- */

/* S2 and the count of empty slabs, after nr_free changed. */
static void refile_locked(struct kmem_cache *cache, struct slab *slab)
{
	enum slab_fill fill = slab_fill_of(slab);

	if (likely(fill == slab->fill))
		return;
	cache->nr_empty += (fill == SLAB_EMPTY) - (size_t)(slab->fill == SLAB_EMPTY);
	slab->fill = fill;
	list_move(&slab->link, &cache->slabs[fill]);
}

/* All slots of an empty slab: nothing is to be looked for. */
static void take_all_locked(struct slab *slab, struct cpu_pair *rounds)
{
	uint64_t *bitmap = slab_bitmap(slab);
	size_t slot_size = slab->slot_size;
	struct cpu_pair round = slab_round(slab, slab->slots - slab->capacity);

	for (const struct cpu_pair *end = rounds + slab->capacity; rounds < end; rounds++) {
		*rounds = round;
		round.first = (char *)round.first + slot_size;
		round.second = (uint8_t *)round.second + 1;
	}
	for (; slab->free_words; slab->free_words &= slab->free_words - 1)
		bitmap[lowest_bit(slab->free_words)] = 0;
}

/* `count` of the slab's free slots, the lowest. pre: it has so many */
static void take_some_locked(struct slab *slab, size_t count, struct cpu_pair *rounds)
{
	uint64_t *bitmap = slab_bitmap(slab);

	for (const struct cpu_pair *end = rounds + count; rounds < end;) {
		unsigned word = lowest_bit(slab->free_words);
		uint64_t free = bitmap[word];
		do {
			*rounds++ = slab_round(slab, word * BITS_PER_WORD + lowest_bit(free));
			free &= free - 1;
		} while (free && rounds < end);
		bitmap[word] = free;
		if (!free)
			slab->free_words &= (uint8_t) ~(1U << word);
	}
}

/* Up to `count` of the slab's free slots; how many. */
static ALWAYS_INLINE size_t take_from_locked(struct kmem_cache *cache, struct slab *slab, size_t count,
                                             struct cpu_pair *rounds)
{
	size_t taken = min_u64(count, slab->nr_free);

	DEBUG_ASSERT(spin_is_held(&cache->lock));
	if (taken == slab->capacity)
		take_all_locked(slab, rounds);
	else
		take_some_locked(slab, taken, rounds);
	slab->nr_free -= (uint16_t)taken;
	cache->nr_active += taken;
	refile_locked(cache, slab);
	return taken;
}

/* A slab with a free slot, one in use rather than an empty one; NULL if there is none. */
static struct slab *usable_locked(struct kmem_cache *cache)
{
	struct list_head *list = &cache->slabs[SLAB_PARTIAL];

	if (unlikely(list_empty(list)))
		list = &cache->slabs[SLAB_EMPTY];
	return list_empty(list) ? NULL : list_first_entry(list, struct slab, link);
}

/* pre: empty. The slab is the caller's, who destroys it when the lock is released. */
static void unlist_locked(struct kmem_cache *cache, struct slab *slab)
{
	DEBUG_ASSERT(slab->fill == SLAB_EMPTY);
	list_del(&slab->link);
	cache->nr_slabs--;
	cache->nr_empty--;
	cache->nr_objects -= slab->capacity;
	cache->nr_pages -= 1UL << slab->order;
}

/* False if the round's object is there already, or not free. */
static ALWAYS_INLINE bool set_free_locked(struct slab *slab, uint64_t *bitmap, struct cpu_pair round)
{
	size_t slot = (size_t)((uint8_t *)round.second - slab->state);
	uint64_t *word = &bitmap[slot / BITS_PER_WORD], bit = 1ULL << slot % BITS_PER_WORD;

	if (unlikely((*word & bit) || *(uint8_t *)round.second != SLOT_FREE))
		return false;
	if (!*word)
		slab->free_words |= (uint8_t)(1U << slot / BITS_PER_WORD);
	*word |= bit;
	return true;
}

/*
 * The first of the rounds and those after it that are of the same slab: how many. While the lock is held the slab cannot
 * go, so that to lie in it takes no look at a frame's entry. A round that is refused stays away and goes to *wrong. A slab
 * that becomes one empty slab too many goes to `surplus`.
 */
static ALWAYS_INLINE size_t put_run_locked(struct kmem_cache *cache, const struct cpu_pair *rounds,
                                           const struct cpu_pair *end, struct list_head *surplus,
                                           const struct cpu_pair **wrong)
{
	struct slab *slab = round_slab(*rounds);
	uint64_t *bitmap = slab_bitmap(slab);
	const struct cpu_pair *round = rounds;
	size_t put = 0;

	DEBUG_ASSERT(spin_is_held(&cache->lock));
	do {
		if (likely(set_free_locked(slab, bitmap, *round)))
			put++;
		else
			*wrong = round;
	} while (++round < end && slab_covers(slab, round->first));
	slab->nr_free += (uint16_t)put;
	cache->nr_active -= put;
	if (unlikely(slab->nr_free == put || slab->nr_free == slab->capacity)) {
		refile_locked(cache, slab);
		if (unlikely(cache->nr_empty > SLAB_EMPTY_KEPT)) {
			unlist_locked(cache, slab);
			list_add(&slab->link, surplus);
		}
	}
	return (size_t)(round - rounds);
}

/* ---- Debug contents ------------------------------------------------------------------------------------ */

static void poison(void *object, size_t size)
{
	memset(object, POISON_FREE, size - 1);
	((uint8_t *)object)[size - 1] = POISON_END;
}

size_t poison_find_damage(const void *object, size_t size)
{
	const uint64_t word = POISON_FREE * 0x0101010101010101ULL;
	const uint8_t *bytes = object;
	size_t i = 0;

	while (i + sizeof(word) < size && *(const uint64_t *)(bytes + i) == word)
		i += sizeof(word);
	while (i < size - 1 && bytes[i] == POISON_FREE)
		i++;
	return i == size - 1 && bytes[i] == POISON_END ? size : i;
}

/* The object is its holder's alone, and so is its caller's entry. */
static void note_allocated(struct kmem_cache *cache, struct cpu_pair round, uintptr_t caller)
{
	struct slab *slab = round_slab(round);
	unsigned slot = round_slot(slab, round);

	if (slab_is_poisoned(cache)) {
		size_t byte = poison_find_damage(round.first, cache->object_size);
		if (byte < cache->object_size)
			slab_report_damage(slab, slot, byte);
		memset(round.first, POISON_FRESH, cache->object_size);
	}
	slab_callers(slab)[slot] = (uint32_t)caller;
}

void slab_note_freed(struct slab *slab, struct cpu_pair round, uintptr_t caller)
{
	if (slab_is_poisoned(slab->cache))
		poison(round.first, slab->cache->object_size);
	slab_callers(slab)[round_slot(slab, round)] = (uint32_t)caller;
}

/* ---- Making and destroying slabs: no lock held --------------------------------------------------------- */

/* For so many slots: states, bits, callers. */
static size_t descriptor_size(unsigned room)
{
	return sizeof(struct slab) + room + room / 8 + (IS_DEBUG ? room * sizeof(uint32_t) : 0);
}

static void set_all_free(struct slab *slab, unsigned first_slot)
{
	uint64_t *bitmap = slab_bitmap(slab);

	for (unsigned slot = 0; slot < slab->slots; slot += BITS_PER_WORD) {
		unsigned rest = slab->slots - slot;
		bitmap[slot / BITS_PER_WORD] = rest < BITS_PER_WORD ? (1ULL << rest) - 1 : ~0ULL;
		slab->free_words |= 1U << slot / BITS_PER_WORD;
	}
	bitmap[0] &= ~(uint64_t)first_slot;
	slab->nr_free = slab->capacity;
	slab->fill = SLAB_EMPTY;
}

static void slab_init_descriptor(struct slab *slab, struct kmem_cache *cache, struct slab_shape shape,
                                 char *base)
{
	memset(slab, 0, descriptor_size(slab_room(shape.slots))); /* and every slot SLOT_FREE */
	slab->cache = cache;
	slab->base = base;
	slab->reciprocal = cache->reciprocal;
	slab->bytes = (uint32_t)PAGE_SIZE << shape.order;
	slab->slot_size = (uint16_t)cache->slot_size;
	slab->slots = shape.slots;
	slab->capacity = (uint16_t)(shape.slots - cache->first_slot);
	slab->order = shape.order;
	set_all_free(slab, cache->first_slot);
}

static void slab_init_objects(struct slab *slab)
{
	struct kmem_cache *cache = slab->cache;

	if (!cache->ctor && !IS_DEBUG)
		return;
	for (unsigned slot = cache->first_slot; slot < slab->slots; slot++) {
		if (cache->ctor)
			cache->ctor(slab_object(slab, slot));
		else
			poison(slab_object(slab, slot), cache->object_size);
	}
}

/*
 * A block of the preferred shape if one is at hand, else of the minimal one, for which alone anything is given back or any
 * reserve touched. As the caller makes up for it, no test need inject the first failure.
 */
static struct page *take_block(const struct kmem_cache *cache, gfp_t gfp, struct slab_shape *shape)
{
	*shape = cache->preferred;
	if (shape->order > cache->minimal.order) {
		fault_inject_suspend();
		struct page *head = alloc_pages(GFP_NOWAIT | __GFP_NOWARN, shape->order);
		fault_inject_resume();
		if (likely(head))
			return head;
		*shape = cache->minimal;
	}
	return alloc_pages(gfp, shape->order);
}

/* An empty slab that is on no list yet; NULL if there is no memory for it or its descriptor. */
static struct slab *slab_create(struct kmem_cache *cache, gfp_t gfp)
{
	struct slab_shape shape;
	struct page *head = take_block(cache, gfp, &shape);

	if (!head)
		return NULL;
	char *base = page_address(head);
	struct slab *slab = cache->first_slot ? (struct slab *)base
	                                      : slab_alloc_internal(slab_descriptor_cache_of(cache), gfp);
	if (!slab) {
		__free_pages(head, shape.order);
		return NULL;
	}
	slab_init_descriptor(slab, cache, shape, base);
	slab_init_objects(slab);
	for (size_t i = 0; i < 1UL << shape.order; i++) {
		head[i].owner = slab;
		page_set_type(&head[i], PAGE_SLAB);
	}
	return slab;
}

/*
 * Returns the frames of an unlisted slab; how many, with those that its descriptor was the last to hold. Does
 * not look at the cache, which may be gone by now. Recursion ends at once: slabs of descriptors have no
 * descriptor to free.
 */
static size_t slab_destroy(struct slab *slab)
{
	struct page *head = virt_to_page(slab->base);
	unsigned order = slab->order;
	bool own_descriptor = (char *)slab == slab->base;

	for (size_t i = 0; i < 1UL << order; i++) {
		page_set_type(&head[i], PAGE_NONE);
		head[i].owner = NULL;
	}
	page_set_type(head, PAGE_HELD);
	__free_pages(head, order);
	return (1UL << order) + (own_descriptor ? 0 : slab_free_internal(slab));
}

static size_t destroy_all(struct list_head *unlisted)
{
	struct slab *slab, *next;
	size_t frames = 0;

	list_for_each_entry_safe (slab, next, unlisted, link)
		frames += slab_destroy(slab);
	return frames;
}

static void unlist_empty_locked(struct kmem_cache *cache, struct list_head *unlisted)
{
	struct slab *slab, *next;

	list_for_each_entry_safe (slab, next, &cache->slabs[SLAB_EMPTY], link) {
		unlist_locked(cache, slab);
		list_add(&slab->link, unlisted);
	}
}

/* ---- Between slabs and magazines ----------------------------------------------------------------------- */

bool slab_grow(struct kmem_cache *cache, gfp_t gfp)
{
	struct slab *slab = slab_create(cache, gfp & ~__GFP_ZERO);

	if (!slab)
		return false;
	irqflags_t flags = spin_lock_irqsave(&cache->lock);
	bool wanted = cache->nr_empty < SLAB_EMPTY_KEPT; /* S6: unless another CPU was faster */
	if (likely(wanted)) {
		list_add(&slab->link, &cache->slabs[SLAB_EMPTY]);
		cache->nr_slabs++;
		cache->nr_empty++;
		cache->nr_objects += slab->capacity;
		cache->nr_pages += 1UL << slab->order;
	}
	spin_unlock_irqrestore(&cache->lock, flags);
	if (unlikely(!wanted))
		slab_destroy(slab);
	return true;
}

static __attribute__((no_sanitize("thread"))) bool seems_empty(const struct list_head *list)
{
	return __atomic_load_n(&list->next, __ATOMIC_RELAXED) == list;
}

/* Without the lock: old by the time it is known, and good enough to tell that there is nothing to wait for. */
static bool has_usable(const struct kmem_cache *cache)
{
	return !seems_empty(&cache->slabs[SLAB_PARTIAL]) || !seems_empty(&cache->slabs[SLAB_EMPTY]);
}

/* The two are inline for the slab layer's own objects, which come and go one by one. */
static ALWAYS_INLINE size_t take(struct kmem_cache *cache, size_t count, struct cpu_pair *rounds)
{
	struct slab *slab;
	size_t taken = 0;

	if (!has_usable(cache))
		return 0;
	irqflags_t flags = spin_lock_irqsave(&cache->lock);
	while (taken < count && (slab = usable_locked(cache)))
		taken += take_from_locked(cache, slab, count - taken, rounds + taken);
	spin_unlock_irqrestore(&cache->lock, flags);
	return taken;
}

static ALWAYS_INLINE size_t put(struct kmem_cache *cache, size_t count, const struct cpu_pair *rounds)
{
	struct list_head surplus = LIST_HEAD_INIT(surplus);
	const struct cpu_pair *wrong = NULL, *end = rounds + count;

	if (!count)
		return 0;
	irqflags_t flags = spin_lock_irqsave(&cache->lock);
	while (rounds < end)
		rounds += put_run_locked(cache, rounds, end, &surplus, &wrong);
	spin_unlock_irqrestore(&cache->lock, flags);
	if (unlikely(wrong))
		slab_report_returned_twice(*wrong);
	return destroy_all(&surplus);
}

size_t slab_take(struct kmem_cache *cache, size_t count, struct cpu_pair *rounds)
{
	return take(cache, count, rounds);
}

size_t slab_put(struct kmem_cache *cache, size_t count, const struct cpu_pair *rounds)
{
	return put(cache, count, rounds);
}

void *slab_alloc_internal(struct kmem_cache *cache, gfp_t gfp)
{
	struct cpu_pair round = {NULL, NULL};
	bool grown = true;

	if (fault_injected(gfp))
		return NULL;
	while (!take(cache, 1, &round) && grown)
		grown = slab_grow(cache, gfp);
	if (!round.first)
		return NULL;
	*(uint8_t *)round.second = SLOT_INTERNAL;
	if (IS_DEBUG)
		note_allocated(cache, round, CALLER_ADDRESS);
	return round.first;
}

size_t slab_free_internal(void *object)
{
	struct slab *slab = virt_to_page(object)->owner;
	struct cpu_pair round = slab_round_of(object);

	*(uint8_t *)round.second = SLOT_FREE;
	if (IS_DEBUG)
		slab_note_freed(slab, round, CALLER_ADDRESS);
	return put(slab->cache, 1, &round);
}

/* ---- Objects ------------------------------------------------------------------------------------------- */

/* Panics if the flags are a mistake; false if the request shall be refused on purpose. */
static ALWAYS_INLINE bool request_admitted(const struct kmem_cache *cache, gfp_t gfp, uintptr_t caller)
{
	bool may_wait = !(gfp & __GFP_RECLAIM) || !in_interrupt();
	bool ordinary = !(gfp & (__GFP_DMA | __GFP_DMA32 | GFP_EFFORT | ~GFP_ALL));
	bool may_zero = !(gfp & __GFP_ZERO) || !cache->ctor;

	if (unlikely(!may_wait || !ordinary || !may_zero))
		slab_judge_request(cache, gfp, caller);
	DEBUG_ASSERT(!(gfp & __GFP_RECLAIM) ||
	             this_cpu()->held_locks == 0); /* as check_flags() of page_alloc.c */
	return !fault_injected(gfp);
}

/* A free object becomes the caller's. */
static ALWAYS_INLINE void *issue(struct kmem_cache *cache, struct cpu_pair round, uintptr_t caller)
{
	uint8_t *state = round.second;

	if (unlikely(*state != SLOT_FREE))
		slab_report_issued_twice(round);
	*state = SLOT_LIVE;
	if (IS_DEBUG)
		note_allocated(cache, round, caller);
	return round.first;
}

/* This CPU has none at hand. */
static void *alloc_refilled(struct kmem_cache *cache, gfp_t gfp, uintptr_t caller)
{
	struct cpu_pair round = magazine_alloc(cache, gfp);
	return round.first ? issue(cache, round, caller) : NULL;
}

void *slab_alloc(struct kmem_cache *cache, gfp_t gfp, uintptr_t caller)
{
	if (!request_admitted(cache, gfp, caller))
		return NULL;
	struct cpu_pair round = cpu_magazine_pop(slab_loaded(cache));
	void *object = likely(round.first) ? issue(cache, round, caller) : alloc_refilled(cache, gfp, caller);
	if (unlikely(gfp & __GFP_ZERO) && object)
		memset(object, 0, cache->object_size);
	return object;
}

void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	struct cpu_pair round;

	if (likely(slab_is_plain(gfp) && slab_pop(cache, &round)))
		return slab_issue(round);
	return slab_alloc(cache, gfp, CALLER_ADDRESS);
}

void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp)
{
	return slab_alloc(cache, gfp | __GFP_ZERO, CALLER_ADDRESS);
}

/* The slab that `object` lies in; panics unless it is one of `cache`. */
static struct slab *decode_slab(const struct kmem_cache *cache, const void *object, const char *call)
{
	struct slab *slab = slab_of(object);

	if (unlikely(!slab))
		slab_report_foreign(call, object);
	if (unlikely(slab->cache != cache))
		slab_report_other_cache(call, slab, object, cache);
	return slab;
}

/* What was not retired is none of the cache's live objects. */
static NOINLINE void refuse(const struct kmem_cache *cache, const void *object, const char *call)
{
	slab_report_refused(call, decode_slab(cache, object, call), object);
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	struct slab *slab = slab_of(object);
	struct cpu_pair round;

	if (likely(slab && slab->cache == cache && slab_retire(slab, object, &round, CALLER_ADDRESS)))
		slab_push(cache, round);
	else if (object)
		refuse(cache, object, "kmem_cache_free");
}

static NORETURN void refuse_any(const struct slab *slab, const void *pointer, const char *call)
{
	if (slab->cache->flags & SLAB_INTERNAL)
		slab_report_internal(call, slab, pointer);
	slab_report_refused(call, slab, pointer);
}

void slab_free(struct page *page, void *pointer, const char *call, uintptr_t caller)
{
	struct slab *slab = page->owner;
	struct cpu_pair round;

	if (unlikely(!slab_retire(slab, pointer, &round, caller)))
		refuse_any(slab, pointer, call);
	slab_push(slab->cache, round);
}

struct kmem_cache *slab_live_object_cache(struct page *page, const void *pointer, const char *call)
{
	struct slab *slab = page->owner;
	size_t slot;

	if (unlikely(!slab_find(slab, pointer, SLOT_LIVE, &slot)))
		refuse_any(slab, pointer, call);
	return slab->cache;
}

/* ---- Many at once -------------------------------------------------------------------------------------- */

/*
 * As many of `count` objects as the loaded magazine has, issued: a handler may come before and after, not between. A round
 * that is live leaves the magazine too, as *wrong.
 */
static size_t issue_loaded(struct kmem_cache *cache, size_t count, void **objects, struct cpu_pair *wrong)
{
	size_t issued = 0;

	irqflags_t flags = irq_save();
	struct cpu_magazine *magazine = *slab_loaded(cache);
	size_t loaded = magazine->used / sizeof(struct cpu_pair);
	const struct cpu_pair *round = magazine->pairs + loaded, *last = round - min_u64(count, loaded);
	while (round > last) {
		uint8_t *state = (--round)->second;
		if (unlikely(*state != SLOT_FREE)) {
			*wrong = *round;
			break;
		}
		*state = SLOT_LIVE;
		objects[issued++] = round->first;
	}
	if (likely(loaded))
		magazine->used = (uint32_t)((const char *)round - (const char *)magazine->pairs);
	irq_restore(flags);
	return issued;
}

/* The same, and what issue() has to say of them. */
static size_t alloc_loaded(struct kmem_cache *cache, size_t count, void **objects, uintptr_t caller)
{
	struct cpu_pair wrong = {NULL, NULL};
	size_t issued = issue_loaded(cache, count, objects, &wrong);

	if (unlikely(wrong.first))
		slab_report_issued_twice(wrong);
	for (size_t i = 0; IS_DEBUG && i < issued; i++)
		note_allocated(cache, slab_round_of(objects[i]), caller);
	return issued;
}

size_t kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t count, void **objects)
{
	uintptr_t caller = CALLER_ADDRESS;

	if (unlikely(!request_admitted(cache, gfp, caller)))
		return 0;
	for (size_t taken = 0; taken < count; taken++) {
		taken += alloc_loaded(cache, count - taken, objects + taken, caller);
		if (taken == count)
			break;
		objects[taken] = alloc_refilled(cache, gfp, caller);
		if (unlikely(!objects[taken])) {
			kmem_cache_free_bulk(cache, taken, objects);
			return 0;
		}
	}
	for (size_t i = 0; (gfp & __GFP_ZERO) && i < count; i++)
		memset(objects[i], 0, cache->object_size);
	return count;
}

/*
 * Retires the first of `count` objects and those after it, up to one that is not as it should be: how many. None of them is
 * given back meanwhile, so the slab of the one before is there, and to lie in it takes no look at a frame's entry.
 */
static size_t retire_run(const struct kmem_cache *cache, size_t count, void *const *objects,
                         struct cpu_pair *rounds, uintptr_t caller)
{
	struct slab *slab = NULL;
	size_t retired = 0;

	for (; retired < count; retired++) {
		void *object = objects[retired];
		if (!slab || !slab_covers(slab, object)) {
			slab = slab_of(object);
			if (unlikely(!slab || slab->cache != cache))
				break;
		}
		if (unlikely(!slab_retire(slab, object, &rounds[retired], caller)))
			break;
	}
	return retired;
}

/* A mistake is reported when what comes before it is free, and of an object that may have gone with it. */
void kmem_cache_free_bulk(struct kmem_cache *cache, size_t count, void **objects)
{
	static const char call[] = "kmem_cache_free_bulk";
	struct cpu_pair rounds[BULK_RUN];

	for (size_t done = 0; done < count;) {
		size_t asked = min_u64(count - done, BULK_RUN);
		size_t retired = retire_run(cache, asked, objects + done, rounds, CALLER_ADDRESS);
		magazine_free_run(cache, retired, rounds);
		done += retired;
		if (unlikely(retired < asked))
			refuse(cache, objects[done], call);
	}
}

/* ---- Caches -------------------------------------------------------------------------------------------- */

static bool wastes_more(const struct kmem_cache *cache, unsigned order, unsigned shift)
{
	size_t bytes = PAGE_SIZE << order;
	return bytes % cache->slot_size > bytes >> shift;
}

static struct slab_shape shape_of(const struct kmem_cache *cache, unsigned order)
{
	return (struct slab_shape){.slots = (uint16_t)((PAGE_SIZE << order) / cache->slot_size),
	                           .order = (uint8_t)order};
}

/* S1 */
static void choose_shapes(struct kmem_cache *cache)
{
	unsigned order = 0;

	while (wastes_more(cache, order, SLAB_WASTE_SHIFT))
		order++;
	cache->minimal = shape_of(cache, order);
	while (order < SLAB_ORDER_PREFERRED_MAX && (shape_of(cache, order).slots < SLAB_OBJECTS_WANTED ||
	                                            wastes_more(cache, order, SLAB_WASTE_WANTED_SHIFT)))
		order++;
	cache->preferred = shape_of(cache, order);
}

static void cache_init(struct kmem_cache *cache, const char *name, size_t size, size_t align, unsigned flags,
                       void (*ctor)(void *))
{
	align = max_u64(align, flags & SLAB_HWCACHE_ALIGN ? 64 : SLAB_SLOT_ALIGN);
	*cache = (struct kmem_cache){
	        .object_size = (uint32_t)size,
	        .slot_size = (uint32_t)align_up(size, align),
	        .flags = flags,
	        .ctor = ctor,
	};
	cache->reciprocal = UINT64_MAX / cache->slot_size + 1;
	memcpy(cache->name, name, strlen(name));
	spin_lock_init(&cache->lock, cache->name, RANK_CACHE);
	for (unsigned fill = 0; fill < SLAB_FILLS; fill++)
		list_init(&cache->slabs[fill]);
	choose_shapes(cache);
	if (!(flags & SLAB_INTERNAL))
		magazines_init(cache);
}

static void cache_publish(struct kmem_cache *cache)
{
	mutex_lock(&caches_mutex);
	cache->id = ++next_cache_id;
	list_add_tail(&cache->link, &caches);
	mutex_unlock(&caches_mutex);
}

static void check_cache_request(const char *name, size_t size, size_t align, unsigned flags)
{
	if (!name || !*name || strnlen(name, CACHE_NAME_MAX) == CACHE_NAME_MAX)
		panic("kmem_cache_create: the name must have 1 to %d characters", CACHE_NAME_MAX - 1);
	if (!size || size > SLAB_OBJECT_MAX)
		panic("kmem_cache_create: cache %s: object size %zu is not in 1..%d", name, size,
		      SLAB_OBJECT_MAX);
	if (align && (!is_power_of_two(align) || align > PAGE_SIZE))
		panic("kmem_cache_create: cache %s: alignment %zu is no power of two up to a page", name,
		      align);
	if (flags & ~(unsigned)(SLAB_HWCACHE_ALIGN | SLAB_PANIC | SLAB_NOMAGAZINE))
		panic("kmem_cache_create: cache %s: unknown flags 0x%x", name, flags);
}

struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align, unsigned flags,
                                     void (*ctor)(void *object))
{
	if (in_interrupt())
		panic("kmem_cache_create: in interrupt context (cache %s)", name);
	check_cache_request(name, size, align, flags);
	struct kmem_cache *cache = slab_alloc_internal(&kmem_cache_cache, GFP_KERNEL);
	if (!cache) {
		if (flags & SLAB_PANIC)
			panic("kmem_cache_create: no memory for cache %s, which the kernel cannot live without",
			      name);
		return NULL;
	}
	cache_init(cache, name, size, align, flags, ctor);
	cache_publish(cache);
	return cache;
}

/* The first live objects of a cache, for the report; returns how many are live. */
static size_t find_live(struct kmem_cache *cache, void **first, size_t capacity, size_t *nr_first)
{
	irqflags_t flags = spin_lock_irqsave(&cache->lock);
	size_t live = cache->nr_active;
	struct slab *slab;

	*nr_first = 0;
	for (unsigned fill = SLAB_FULL; fill <= SLAB_PARTIAL; fill++) {
		list_for_each_entry (slab, &cache->slabs[fill], link) {
			for (unsigned slot = cache->first_slot; slot < slab->slots && *nr_first < capacity;
			     slot++) {
				if (slab->state[slot] == SLOT_LIVE)
					first[(*nr_first)++] = slab_object(slab, slot);
			}
		}
	}
	spin_unlock_irqrestore(&cache->lock, flags);
	return live;
}

static size_t destroy_empty_slabs(struct kmem_cache *cache)
{
	struct list_head unlisted = LIST_HEAD_INIT(unlisted);

	irqflags_t flags = spin_lock_irqsave(&cache->lock);
	unlist_empty_locked(cache, &unlisted);
	spin_unlock_irqrestore(&cache->lock, flags);
	return destroy_all(&unlisted);
}

void kmem_cache_destroy(struct kmem_cache *cache)
{
	void *first[4];
	size_t nr_first;

	if (!cache)
		return;
	if (in_interrupt())
		panic("kmem_cache_destroy: in interrupt context");
	struct slab *home = decode_slab(&kmem_cache_cache, cache, "kmem_cache_destroy");
	size_t slot;
	if (!slab_find(home, cache, SLOT_INTERNAL, &slot))
		slab_report_refused("kmem_cache_destroy", home, cache);
	mutex_lock(&caches_mutex);
	magazines_drain(cache);
	size_t live = find_live(cache, first, ARRAY_SIZE(first), &nr_first);
	if (!live)
		list_del(&cache->link);
	mutex_unlock(&caches_mutex);
	ASSERT(!live == !nr_first); /* S9, as the magazines were empty */
	if (live)
		slab_report_live(cache, live, first, nr_first);
	destroy_empty_slabs(cache);
	slab_free_internal(cache);
}

size_t kmem_cache_shrink(struct kmem_cache *cache)
{
	if (in_interrupt())
		panic("kmem_cache_shrink: in interrupt context (cache %s)", cache->name);
	mutex_lock(&caches_mutex);
	size_t frames = magazines_drain(cache);
	mutex_unlock(&caches_mutex);
	return frames + destroy_empty_slabs(cache);
}

/*
 * Every cache's empty slabs, once the magazines have let go of what is in them; those of descriptors last, as freeing the
 * others' descriptors may empty some.
 */
static bool is_descriptor_cache(const struct kmem_cache *cache)
{
	return cache->first_slot;
}

static size_t reap_empty_slabs(void)
{
	struct kmem_cache *cache;

	mutex_lock(&caches_mutex);
	size_t frames = magazines_drain(NULL);
	list_for_each_entry (cache, &caches, link) {
		if (!is_descriptor_cache(cache))
			frames += destroy_empty_slabs(cache);
	}
	mutex_unlock(&caches_mutex);
	for (unsigned i = 0; i < DESCRIPTOR_CACHES; i++)
		frames += destroy_empty_slabs(&slab_descriptor_caches[i]);
	return frames;
}

bool kmem_cache_owns(const struct kmem_cache *cache, const void *object)
{
	const struct slab *slab = slab_of(object);
	size_t slot;

	return slab && slab->cache == cache && slab_find(slab, object, SLOT_LIVE, &slot);
}

const char *kmem_cache_name(const struct kmem_cache *cache)
{
	return cache->name;
}

size_t kmem_cache_size(const struct kmem_cache *cache)
{
	return cache->object_size;
}

static void read_stats(struct kmem_cache *cache, struct slab_stats *stats)
{
	size_t cached = magazines_count(cache);

	irqflags_t flags = spin_lock_irqsave(&cache->lock);
	*stats = (struct slab_stats){
	        .object_size = cache->object_size,
	        .slot_size = cache->slot_size,
	        .objects_per_slab = slab_preferred_capacity(cache),
	        .pages_per_slab = 1UL << cache->preferred.order,
	        .active_objects = cache->nr_active - min_u64(cached, cache->nr_active),
	        .cached_objects = cached,
	        .magazine_rounds = cache->magazine_size / sizeof(struct cpu_pair),
	        .depot_magazines = __atomic_load_n(&cache->depot.nr_full, __ATOMIC_RELAXED),
	        .total_objects = cache->nr_objects,
	        .slabs = cache->nr_slabs,
	        .pages = cache->nr_pages,
	        .empty_slabs = cache->nr_empty,
	};
	memcpy(stats->name, cache->name, CACHE_NAME_MAX);
	spin_unlock_irqrestore(&cache->lock, flags);
}

/* Figures of the oldest cache younger than *id, which moves on to it; false at the end. */
static bool next_stats(uint64_t *id, struct slab_stats *stats)
{
	struct kmem_cache *cache;
	bool found = false;

	mutex_lock(&caches_mutex);
	list_for_each_entry (cache, &caches, link) {
		if (cache->id > *id) {
			*id = cache->id;
			read_stats(cache, stats);
			found = true;
			break;
		}
	}
	mutex_unlock(&caches_mutex);
	return found;
}

void slab_for_each_cache(void (*visit)(const struct slab_stats *stats, void *context), void *context)
{
	struct slab_stats stats;

	for (uint64_t id = 0; next_stats(&id, &stats);)
		visit(&stats, context);
}

static struct shrinker slab_shrinker = {.name = "slab", .shrink = reap_empty_slabs};

static void init_descriptor_cache(unsigned which, const char *name, unsigned room)
{
	struct kmem_cache *cache = &slab_descriptor_caches[which];

	cache_init(cache, name, descriptor_size(room), 0, SLAB_INTERNAL | SLAB_HWCACHE_ALIGN, NULL);
	cache->first_slot = 1;
	cache_publish(cache);
}

static void init_magazine_cache(unsigned which, const char *name, size_t bytes)
{
	cache_init(&magazine_caches[which], name, bytes, 0, SLAB_INTERNAL | SLAB_HWCACHE_ALIGN, NULL);
	cache_publish(&magazine_caches[which]);
}

void slab_init(void)
{
	list_init(&caches);
	next_cache_id = 0;
	init_descriptor_cache(DESCRIPTORS_SMALL, "slab", SLAB_SMALL_SLOTS);
	init_descriptor_cache(DESCRIPTORS_LARGE, "slab-large", SLAB_SLOTS_MAX);
	cache_init(&kmem_cache_cache, "kmem_cache",
	           sizeof(struct kmem_cache) + cpus_possible() * sizeof(struct cpu_slab), 0,
	           SLAB_INTERNAL | SLAB_HWCACHE_ALIGN, NULL);
	cache_publish(&kmem_cache_cache);
	init_magazine_cache(MAGAZINES_SMALL, "magazine", MAGAZINE_SMALL_BYTES);
	init_magazine_cache(MAGAZINES_LARGE, "magazine-large", MAGAZINE_LARGE_BYTES);
	register_shrinker(&slab_shrinker);
}
