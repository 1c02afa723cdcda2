/*
 * Magazines: the free objects that each CPU keeps of each cache, after Bonwick and Adams ("Magazines and Vmem: Extending
 * the Slab Allocator to Many CPUs and Arbitrary Resources", USENIX 2001). Linux calls them sheaves, the depot a barn.
 *
 *	        CPU 0                       CPU 1
 *	loaded    [ o o o o . . . ]         [ o . . . . . . ]     alloc pops, free pushes: no lock
 *	previous  [ . . . . . . . ]         [ o o o o o o o ]     exchanged when the loaded one runs dry or full
 *	              ║      depot, its lock      ║
 *	       full  [ooo] [ooo]  empty [   ]                     a whole magazine at a time
 *	              ║      slabs, the cache's lock              a magazine's rounds at a time
 *
 * A round is an object with its slot's state at hand (struct cpu_pair). With two magazines a CPU is always at least one
 * magazine's worth of allocations or of frees away from the depot, however the two alternate. An object freed on another
 * CPU than it came from travels in a full magazine through the depot, or home to its slab with the others of its magazine:
 * no lock, and no message, per object.
 *
 * What that ties up: of each cache a CPU keeps at most 64 KiB of objects, but of the largest 14, in two magazines of 512
 * or 2,048 bytes; the depot keeps four times as many objects, and as many magazines again that are empty, for all CPUs
 * together.
 *
 * G1  A magazine holds used/16 rounds of its cache, used at most size; full ones are in depot.full, empty ones in
 *     depot.empty, no more than DEPOT_MAGAZINES_MAX of either.
 * G2  Each round is an object that its slab handed out and whose state is SLOT_FREE; it is in one magazine only.
 * G3  `loaded` and `previous` are magazines of this CPU and this cache, or no_magazine.
 * G4  As many objects of the magazine caches are live as there are magazines.
 *
 * Interrupts. Push and pop on the loaded magazine are restartable sequences (<arch/cpu_stack.h>) that begin by reading
 * which magazine that is; a handler may come at any instruction. All else that touches a CPU's magazines runs on that CPU
 * with interrupts masked, here, also when another CPU wants them emptied (cpu_call).
 *
 * Memory for magazines is a convenience: where there is none, objects come from and go to slabs one by one. So frees
 * cannot fail. When memory runs short all magazines are emptied and given back, before any request is refused.
 */
#include <arch/smp.h>
#include <lib/string.h>
#include <mm/fault_inject.h>
#include <mm/lock_rank.h>
#include "slab_internal.h"

static struct cpu_magazine no_magazine; /* size 0 and used 0: nothing is ever written to it */

static struct cpu_slab *own_slab(struct kmem_cache *cache)
{
	return &cache->cpu[this_cpu()->id];
}

static bool is_full(const struct cpu_magazine *magazine)
{
	return magazine->used == magazine->size;
}

static size_t rounds_in(const struct cpu_magazine *magazine)
{
	return magazine->used / sizeof(struct cpu_pair);
}

static void swap(struct cpu_slab *own)
{
	struct cpu_magazine *loaded = own->loaded;
	own->loaded = own->previous;
	own->previous = loaded;
}

void magazines_init(struct kmem_cache *cache)
{
	uint64_t rounds = max_u64(MAGAZINE_ROUNDS_MIN,
	                          min_u64(MAGAZINE_ROUNDS_MAX, MAGAZINE_OBJECT_BYTES / cache->slot_size));

	cache->magazine_size =
	        cache->flags & SLAB_NOMAGAZINE ? 0 : (uint32_t)(rounds * sizeof(struct cpu_pair));
	spin_lock_init(&cache->depot.lock, "depot", RANK_DEPOT);
	for (unsigned id = 0; id < cpus_possible(); id++)
		cache->cpu[id].loaded = cache->cpu[id].previous = &no_magazine;
}

/* ---- Magazines as memory --------------------------------------------------------------------------------------- */

/* An empty magazine, or NULL. The caller makes up for it, so no test need inject this failure. */
static struct cpu_magazine *magazine_create(const struct kmem_cache *cache)
{
	fault_inject_suspend();
	struct cpu_magazine *magazine =
	        slab_alloc_internal(magazine_cache_of(cache), GFP_NOWAIT | __GFP_NOWARN);
	fault_inject_resume();

	if (magazine)
		*magazine = (struct cpu_magazine){.size = cache->magazine_size};
	return magazine;
}

/* The rounds go home. */
static size_t magazine_empty(struct kmem_cache *cache, struct cpu_magazine *magazine)
{
	size_t frames = slab_put(cache, rounds_in(magazine), magazine->pairs);
	magazine->used = 0;
	return frames;
}

static size_t magazine_destroy(struct kmem_cache *cache, struct cpu_magazine *magazine)
{
	if (magazine == &no_magazine)
		return 0;
	size_t frames = magazine_empty(cache, magazine);
	return frames + slab_free_internal(magazine);
}

/* ---- The depot ------------------------------------------------------------------------------------------------- */

static void chain_push(struct cpu_magazine **chain, uint32_t *nr, struct cpu_magazine *magazine)
{
	magazine->next = *chain;
	*chain = magazine;
	__atomic_store_n(nr, *nr + 1, __ATOMIC_RELAXED);
}

static struct cpu_magazine *chain_pop(struct cpu_magazine **chain, uint32_t *nr)
{
	struct cpu_magazine *magazine = *chain;
	if (magazine) {
		*chain = magazine->next;
		__atomic_store_n(nr, *nr - 1, __ATOMIC_RELAXED);
	}
	return magazine;
}

/* A full magazine for one that is empty; NULL if there is none. `*empty` stays the caller's unless it is set to NULL. */
static struct cpu_magazine *depot_take_full(struct depot *depot, struct cpu_magazine **empty)
{
	if (!__atomic_load_n(&depot->nr_full, __ATOMIC_RELAXED))
		return NULL;
	spin_lock(&depot->lock);
	struct cpu_magazine *full = chain_pop(&depot->full, &depot->nr_full);
	if (full && depot->nr_empty < DEPOT_MAGAZINES_MAX) {
		chain_push(&depot->empty, &depot->nr_empty, *empty);
		*empty = NULL;
	}
	spin_unlock(&depot->lock);
	return full;
}

/* An empty magazine for a full one; NULL if it has none or keeps enough full ones. */
static struct cpu_magazine *depot_take_empty(struct kmem_cache *cache, struct cpu_magazine *full)
{
	struct depot *depot = &cache->depot;

	if (__atomic_load_n(&depot->nr_full, __ATOMIC_RELAXED) >= DEPOT_MAGAZINES_MAX)
		return NULL;
	struct cpu_magazine *empty = NULL;
	if (!__atomic_load_n(&depot->nr_empty, __ATOMIC_RELAXED) && !(empty = magazine_create(cache)))
		return NULL;
	spin_lock(&depot->lock);
	bool room = depot->nr_full < DEPOT_MAGAZINES_MAX;
	if (room && !empty)
		empty = chain_pop(&depot->empty, &depot->nr_empty);
	if (room && empty)
		chain_push(&depot->full, &depot->nr_full, full);
	spin_unlock(&depot->lock);
	if (room || !empty)
		return empty;
	slab_free_internal(empty);
	return NULL;
}

/* All of its magazines go; frames given back. */
static size_t depot_drain(struct kmem_cache *cache)
{
	struct depot *depot = &cache->depot;
	struct cpu_magazine *magazine;
	size_t frames = 0;

	do {
		irqflags_t flags = spin_lock_irqsave(&depot->lock);
		magazine = chain_pop(&depot->full, &depot->nr_full);
		if (!magazine)
			magazine = chain_pop(&depot->empty, &depot->nr_empty);
		spin_unlock_irqrestore(&depot->lock, flags);
		if (magazine)
			frames += magazine_destroy(cache, magazine);
	} while (magazine);
	return frames;
}

/* ---- This CPU's magazines: interrupts masked --------------------------------------------------------------------- */

/* Both are there afterwards, or neither: then a CPU without magazines finds in slabs what the depot keeps. */
static bool attach(struct kmem_cache *cache, struct cpu_slab *own)
{
	if (likely(own->loaded->size))
		return true;
	if (!cache->magazine_size)
		return false;
	struct cpu_magazine *loaded = magazine_create(cache);
	struct cpu_magazine *previous = loaded ? magazine_create(cache) : NULL;
	if (!previous) {
		if (loaded)
			slab_free_internal(loaded);
		return false;
	}
	own->loaded = loaded;
	own->previous = previous;
	return true;
}

/* pre: both magazines are empty */
static bool load_from_depot(struct kmem_cache *cache, struct cpu_slab *own)
{
	struct cpu_magazine *empty = own->previous, *full = depot_take_full(&cache->depot, &empty);

	if (!full)
		return false;
	own->previous = own->loaded;
	own->loaded = full;
	if (empty)
		slab_free_internal(empty);
	cpu_count(COUNT_DEPOT_EXCHANGES, 1);
	return true;
}

/* pre: both magazines are full */
static bool unload_to_depot(struct kmem_cache *cache, struct cpu_slab *own)
{
	struct cpu_magazine *empty = depot_take_empty(cache, own->previous);

	if (!empty)
		return false;
	own->previous = own->loaded;
	own->loaded = empty;
	cpu_count(COUNT_DEPOT_EXCHANGES, 1);
	return true;
}

static struct cpu_pair take_masked(struct kmem_cache *cache)
{
	struct cpu_slab *own = own_slab(cache);
	struct cpu_pair round = {NULL, NULL};

	if (!attach(cache, own)) {
		if (!slab_take(cache, 1, &round)) {
			depot_drain(cache);
			slab_take(cache, 1, &round);
		}
		return round;
	}
	if (!own->loaded->used && own->previous->used)
		swap(own);
	if (!own->loaded->used && !load_from_depot(cache, own)) {
		size_t room = own->loaded->size / sizeof(struct cpu_pair);
		size_t taken = slab_take(cache, room, own->loaded->pairs);
		own->loaded->used = (uint32_t)(taken * sizeof(struct cpu_pair));
		cpu_count(COUNT_SLAB_REFILLS, taken != 0);
	}
	return cpu_magazine_pop(&own->loaded);
}

struct cpu_pair magazine_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	for (bool grown = true;;) {
		irqflags_t flags = irq_save();
		struct cpu_pair round = take_masked(cache);
		irq_restore(flags);
		/* Without memory for a slab once more: while we asked, reclaim or another CPU may have freed into ours. */
		if (round.first || !grown)
			return round;
		grown = slab_grow(cache, gfp);
	}
}

/* Room in the loaded magazine; false if there are none. pre: it is full */
static bool make_room(struct kmem_cache *cache, struct cpu_slab *own)
{
	if (!attach(cache, own))
		return false;
	if (is_full(own->loaded) && !is_full(own->previous))
		swap(own);
	if (is_full(own->loaded) && !unload_to_depot(cache, own)) {
		magazine_empty(cache, own->previous);
		swap(own);
		cpu_count(COUNT_SLAB_DRAINS, 1);
	}
	return true;
}

/* As many of the rounds as there is room for. */
static size_t push_run(struct cpu_magazine *magazine, size_t count, const struct cpu_pair *rounds)
{
	size_t bytes = min_u64(count * sizeof(*rounds), magazine->size - magazine->used);

	memcpy((char *)magazine->pairs + magazine->used, rounds, bytes);
	magazine->used += (uint32_t)bytes;
	return bytes / sizeof(*rounds);
}

void magazine_free_run(struct kmem_cache *cache, size_t count, const struct cpu_pair *rounds)
{
	irqflags_t flags = irq_save();
	struct cpu_slab *own = own_slab(cache);

	for (size_t done = 0; done < count;) {
		if (is_full(own->loaded) && !make_room(cache, own)) {
			slab_put(cache, count - done, rounds + done);
			break;
		}
		done += push_run(own->loaded, count - done, rounds + done);
	}
	irq_restore(flags);
}

void magazine_free(struct kmem_cache *cache, struct cpu_pair round)
{
	magazine_free_run(cache, 1, &round);
}

/* ---- Giving all of it back --------------------------------------------------------------------------------------- */

static size_t detach(struct kmem_cache *cache)
{
	struct cpu_slab *own = own_slab(cache);
	struct cpu_magazine *loaded = own->loaded, *previous = own->previous;

	own->loaded = own->previous = &no_magazine;
	return magazine_destroy(cache, loaded) + magazine_destroy(cache, previous);
}

/* What cpu_call() hands to each CPU. */
struct drain {
	struct kmem_cache *only; /* NULL: all of them */
	size_t frames;           /* atomic */
};

static bool is_drained(const struct drain *drain, const struct kmem_cache *cache)
{
	return !(cache->flags & SLAB_INTERNAL) && (!drain->only || drain->only == cache);
}

/* The list stays as it is meanwhile: whoever called this has caches_mutex. */
static void drain_this_cpu(void *context)
{
	struct drain *drain = context;
	struct kmem_cache *cache;
	size_t frames = 0;

	list_for_each_entry (cache, &caches, link) {
		if (is_drained(drain, cache))
			frames += detach(cache);
	}
	__atomic_fetch_add(&drain->frames, frames, __ATOMIC_RELAXED);
}

/* Read while the CPU may be exchanging them: any one will do. */
static __attribute__((no_sanitize("thread"))) bool has_magazines(const struct kmem_cache *cache, unsigned id)
{
	return __atomic_load_n(&cache->cpu[id].loaded, __ATOMIC_RELAXED) != &no_magazine;
}

/* Online CPUs that have some: the others need not be interrupted. */
static cpuset_t cpus_with_magazines(const struct drain *drain)
{
	const struct kmem_cache *cache;
	cpuset_t set = 0;
	unsigned id;

	list_for_each_entry (cache, &caches, link) {
		for_each_cpu (id, is_drained(drain, cache) ? cpus_online() & ~set : 0)
			set |= (cpuset_t)has_magazines(cache, id) << id;
	}
	return set;
}

size_t magazines_drain(struct kmem_cache *only)
{
	struct drain drain = {.only = only};
	struct kmem_cache *cache;

	DEBUG_ASSERT(mutex_is_held(&caches_mutex));
	cpu_call(cpus_with_magazines(&drain), drain_this_cpu, &drain);
	list_for_each_entry (cache, &caches, link) {
		if (is_drained(&drain, cache))
			drain.frames += depot_drain(cache);
	}
	return drain.frames;
}

/*
 * Of a magazine that another CPU may be using, exchanging or giving back: then any number that fits one. The race is on
 * purpose, and ends in a wrong figure at worst: the direct map is there whatever the frame is used for by now.
 */
static __attribute__((no_sanitize("thread"))) size_t rounds_seen(const struct kmem_cache *cache,
                                                                 struct cpu_magazine *const *place)
{
	const struct cpu_magazine *magazine = __atomic_load_n(place, __ATOMIC_RELAXED);
	uint32_t used = __atomic_load_n(&magazine->used, __ATOMIC_RELAXED);

	return min_u64(used, cache->magazine_size) / sizeof(struct cpu_pair);
}

size_t magazines_count(const struct kmem_cache *cache)
{
	if (cache->flags & SLAB_INTERNAL)
		return 0;
	/* The depot's are full (G1). Its chain is not followed, as no lock is held. */
	size_t full = __atomic_load_n(&cache->depot.nr_full, __ATOMIC_RELAXED);
	size_t rounds = full * (cache->magazine_size / sizeof(struct cpu_pair));
	for (unsigned id = 0; id < cpus_possible(); id++)
		rounds += rounds_seen(cache, &cache->cpu[id].loaded) +
		          rounds_seen(cache, &cache->cpu[id].previous);
	return rounds;
}
