/*
 * What the slab layer's files share: slab.c (slabs, caches, and the calls), magazine.c (what each CPU keeps),
 * slab_report.c (words about pointers), slab_check.c (the verifier and the dump), kmalloc.c. slab.c and
 * magazine.c tell what it means.
 */
#ifndef MM_SLAB_INTERNAL_H
#define MM_SLAB_INTERNAL_H

#include <arch/cpu_stack.h>
#include <arch/mutex.h>
#include <arch/percpu.h>
#include <lib/bits.h>
#include <mm/slab.h>

enum {
	SLAB_SLOTS_MAX = 512, /* 8-byte objects in a page */
	SLAB_WORDS = SLAB_SLOTS_MAX / BITS_PER_WORD,
	SLAB_SLOT_ALIGN = 8,
	SLAB_OBJECT_MAX = 32768,
	SLAB_ORDER_MAX = 6,   /* eight of the largest objects: there, waste of less than one is 1/8 at most */
	SLAB_WASTE_SHIFT = 3, /* 1/8 */
	/* What a cache prefers: so many objects and so little waste, but no order that CPUs have no lists for. */
	SLAB_OBJECTS_WANTED = 8,
	SLAB_WASTE_WANTED_SHIFT = 4, /* 1/16 */
	SLAB_ORDER_PREFERRED_MAX = 3,
	/* Empty slabs a cache keeps: one object going in and out must not cost a slab each time. */
	SLAB_EMPTY_KEPT = 1,
	SLAB_INTERNAL = 1 << 16, /* cache flag: the objects are the slab layer's own */
	SLAB_SMALL_SLOTS = 64,   /* most caches' slabs have no more; they get by with a small descriptor */

	MAGAZINE_SMALL_BYTES = 512,  /* 31 rounds: for objects above 1 KiB */
	MAGAZINE_LARGE_BYTES = 2048, /* 127 */
	MAGAZINE_ROUNDS_MAX = (MAGAZINE_LARGE_BYTES - sizeof(struct cpu_magazine)) / sizeof(struct cpu_pair),
	MAGAZINE_ROUNDS_MIN = 7,
	MAGAZINE_OBJECT_BYTES = 32768, /* in one magazine, unless the least rounds are more */
	DEPOT_MAGAZINES_MAX = 8,       /* full ones, and empty ones, that a cache keeps for any CPU */

	BULK_RUN = 32, /* objects that kmem_cache_free_bulk() retires before it gives them back */
};

/* What an object's slot says about it, at any time and without a lock: the question of every free. */
enum slot_state {
	SLOT_FREE = 0, /* in its slab, or in a magazine */
	SLOT_LIVE = 1,
	SLOT_INTERNAL = 2, /* live, and the slab layer's own: none that anybody may free */
};

/* Debug contents, Linux's values: free, last byte of free, handed out but never written. */
enum { POISON_FREE = 0x6b, POISON_END = 0xa5, POISON_FRESH = 0x5a };

/* How full a slab is, which is the list it is on. */
enum slab_fill { SLAB_FULL, SLAB_PARTIAL, SLAB_EMPTY, SLAB_FILLS };

/* A slab's descriptor. All but the constants and the states belongs to the cache's lock. */
struct slab {
	/* Constants; the first three are all that a free asks for. */
	struct kmem_cache *cache;
	char *base;          /* first byte of the block */
	uint64_t reciprocal; /* ceil(2^64 / slot_size) */
	uint32_t bytes;      /* of the block */
	uint16_t slot_size;
	uint16_t slots;
	uint16_t capacity; /* slots that are objects: all but the slab's own descriptor */
	uint8_t order;

	uint8_t fill; /* enum slab_fill */
	uint16_t nr_free;
	uint8_t free_words;    /* bit w set if and only if word w of the bitmap is not 0 */
	struct list_head link; /* on cache->slabs[fill] */
	/*
	 * Per slot an enum slot_state: its holder's. Behind those, slab_bitmap(); behind that, in the debug build, per slot the
	 * low half of the code address that allocated it or, free, that freed it: slab_callers().
	 */
	uint8_t state[];
};
_Static_assert(sizeof(struct slab) == 56, "with 64 states and their bits, two cache lines");

/* How many slots a descriptor for a slab of `slots` has room for. */
static inline unsigned slab_room(unsigned slots)
{
	return slots <= SLAB_SMALL_SLOTS ? SLAB_SMALL_SLOTS : SLAB_SLOTS_MAX;
}

/* Bit n set: slot n is here; else it is handed out, to a magazine or a caller. */
static inline uint64_t *slab_bitmap(const struct slab *slab)
{
	return (uint64_t *)(uintptr_t)(slab->state + slab_room(slab->slots));
}

/* Debug build: whoever last allocated or freed each slot. */
static inline uint32_t *slab_callers(const struct slab *slab)
{
	return (uint32_t *)(slab_bitmap(slab) + slab_room(slab->slots) / BITS_PER_WORD);
}

/* What the blocks of a cache look like. */
struct slab_shape {
	uint16_t slots;
	uint8_t order;
};

/* One CPU's part of a cache. Never NULL: no_magazine, which has no room and no rounds, stands for none. */
struct cpu_slab {
	struct cpu_magazine *loaded, *previous;
	uint8_t rest_of_line[48]; /* no CPU writes where another one looks */
};

struct kmem_cache {
	struct spinlock lock;
	struct list_head slabs[SLAB_FILLS]; /* (lock) */
	size_t nr_slabs, nr_empty;          /* (lock) */
	size_t nr_objects, nr_pages;        /* (lock) in all slabs */
	size_t nr_active;                   /* (lock) objects handed out */
	/* Constant from here on. */
	uint64_t reciprocal;  /* ceil(2^64 / slot_size) */
	uint32_t slot_size;   /* object_size rounded up to the alignment */
	uint32_t object_size; /* as asked for */
	uint32_t flags;
	struct slab_shape preferred, minimal;
	uint8_t first_slot;     /* 1 if slot 0 holds the slab's own descriptor */
	uint32_t magazine_size; /* bytes of pairs in each of its magazines; 0: it has none */
	void (*ctor)(void *object);
	struct list_head link; /* (caches_mutex) */
	uint64_t id;           /* (caches_mutex) ascending in order of creation */
	char name[CACHE_NAME_MAX];
	struct depot {
		struct spinlock lock;
		struct cpu_magazine *full, *empty; /* (lock) */
		uint32_t nr_full, nr_empty;        /* (lock) atomic: read without it */
	} depot;
	/* One per possible CPU; the internal caches, which have no magazines, have none. */
	struct cpu_slab cpu[];
};

/* The caches that the others stand on, and all of them, oldest first. */
enum { DESCRIPTORS_SMALL, DESCRIPTORS_LARGE, DESCRIPTOR_CACHES };
enum { MAGAZINES_SMALL, MAGAZINES_LARGE, MAGAZINE_CACHES };
enum { STATIC_CACHES = DESCRIPTOR_CACHES + MAGAZINE_CACHES + 1 };
extern struct kmem_cache slab_descriptor_caches[DESCRIPTOR_CACHES], magazine_caches[MAGAZINE_CACHES],
        kmem_cache_cache;
extern struct mutex caches_mutex;
extern struct list_head caches; /* (caches_mutex) */

/*
 * Where an untrusted pointer becomes a frame's entry: NULL if it is no direct-map address of backed memory,
 * or if the entry was never written. What a written entry says may be trusted: its type, and for PAGE_SLAB
 * its owner.
 */
static inline struct page *slab_page_of(const void *pointer)
{
	pfn_t frame =
	        paddr_to_pfn(directmap_to_paddr(pointer)); /* of other addresses, one that no array reaches */
	return likely(page_is_written(frame)) ? pfn_to_page(frame) : NULL;
}

/* The slab that holds `pointer`, or NULL. */
static inline struct slab *slab_of(const void *pointer)
{
	struct page *page = slab_page_of(pointer);
	return page && page->type == PAGE_SLAB ? page->owner : NULL;
}

/*
 * An offset times the reciprocal: above the point, offset / slot_size; below it, less than the reciprocal if and only if
 * nothing remains (Lemire, Kaser, Kurz, "Faster remainder by direct computation", 2019). Exact: an offset < 2^18 times
 * the reciprocal's error < 2^15 stays below the reciprocal >= 2^49.
 */
static ALWAYS_INLINE unsigned __int128 slab_quotient(const struct slab *slab, size_t offset)
{
	return (unsigned __int128)offset * slab->reciprocal;
}

/* The slot that the byte at `offset` lies in. */
static inline unsigned slab_slot_at(const struct slab *slab, size_t offset)
{
	return (unsigned)(slab_quotient(slab, offset) >> 64);
}

/*
 * Is `pointer`, which lies in the slab, the start of an object in this state, which is not SLOT_FREE? Then *slot is where.
 * Behind the last slot at most one more could begin, as waste is less than a slot; it has a state (S1), which stays free.
 */
static ALWAYS_INLINE bool slab_find(const struct slab *slab, const void *pointer, enum slot_state state,
                                    size_t *slot)
{
	unsigned __int128 quotient = slab_quotient(slab, (uintptr_t)pointer - (uintptr_t)slab->base);

	*slot = (size_t)(quotient >> 64);
	return (uint64_t)quotient < slab->reciprocal && slab->state[*slot] == state;
}

static inline void *slab_object(const struct slab *slab, unsigned slot)
{
	return slab->base + (size_t)slot * slab->slot_size;
}

/* Does the pointer, any, lie in the slab? */
static inline bool slab_covers(const struct slab *slab, const void *pointer)
{
	return (uintptr_t)pointer - (uintptr_t)slab->base < slab->bytes;
}

static inline enum slab_fill slab_fill_of(const struct slab *slab)
{
	if (!slab->nr_free)
		return SLAB_FULL;
	return slab->nr_free == slab->capacity ? SLAB_EMPTY : SLAB_PARTIAL;
}

/* Objects that a slab of the preferred shape can hand out. */
static inline unsigned slab_preferred_capacity(const struct kmem_cache *cache)
{
	return cache->preferred.slots - cache->first_slot;
}

/* Whose objects are the descriptors of this cache's slabs. */
static inline struct kmem_cache *slab_descriptor_cache_of(const struct kmem_cache *cache)
{
	unsigned room = slab_room(cache->preferred.slots);
	return &slab_descriptor_caches[room == SLAB_SMALL_SLOTS ? DESCRIPTORS_SMALL : DESCRIPTORS_LARGE];
}

static inline void *slab_caller(const struct slab *slab, unsigned slot)
{
	return (void *)(intptr_t)(int32_t)slab_callers(slab)[slot];
}

/* Whose objects are the magazines of this cache. */
static inline struct kmem_cache *magazine_cache_of(const struct kmem_cache *cache)
{
	size_t bytes = sizeof(struct cpu_magazine) + cache->magazine_size;
	return &magazine_caches[bytes <= MAGAZINE_SMALL_BYTES ? MAGAZINES_SMALL : MAGAZINES_LARGE];
}

/* An object with its state at hand is a round. pre: `object` is the start of an object of `slab` */
static inline struct cpu_pair slab_round(struct slab *slab, unsigned slot)
{
	return (struct cpu_pair){slab_object(slab, slot), &slab->state[slot]};
}

/* pre: `object` is the start of an object */
static inline struct cpu_pair slab_round_of(void *object)
{
	struct slab *slab = virt_to_page(object)->owner;
	return slab_round(slab, slab_slot_at(slab, (size_t)((char *)object - slab->base)));
}

static inline struct slab *round_slab(struct cpu_pair round)
{
	return virt_to_page(round.first)->owner;
}

static inline unsigned round_slot(const struct slab *slab, struct cpu_pair round)
{
	return (unsigned)((uint8_t *)round.second - slab->state);
}

/* ---- slab.c, for magazine.c ---- */

/*
 * As many of `count` free objects as the cache's slabs have; how many. And back; frames given to the page allocator
 * because of it. One lock round each. Any context.
 */
size_t slab_take(struct kmem_cache *cache, size_t count, struct cpu_pair *rounds);
size_t slab_put(struct kmem_cache *cache, size_t count, const struct cpu_pair *rounds);

/* Adds an empty slab; false if there is no memory. No lock held. */
bool slab_grow(struct kmem_cache *cache, gfp_t gfp) MUST_USE;

/* An object of one of the slab layer's own caches, past the magazines; and back. */
void *slab_alloc_internal(struct kmem_cache *cache, gfp_t gfp) MUST_USE;
size_t slab_free_internal(void *object);

/* ---- magazine.c, for slab.c ---- */

/* A new cache's CPUs and depot have no magazine. */
void magazines_init(struct kmem_cache *cache);

/* The long way of an allocation, when this CPU's loaded magazine is empty: first is NULL if there is no memory. */
struct cpu_pair magazine_alloc(struct kmem_cache *cache, gfp_t gfp);

/* The long way of a free, when this CPU's loaded magazine is full. Cannot fail. */
void magazine_free(struct kmem_cache *cache, struct cpu_pair round);

/* The same of several, which go into the loaded magazine as far as it has room. */
void magazine_free_run(struct kmem_cache *cache, size_t count, const struct cpu_pair *rounds);

/*
 * Every magazine of the cache (NULL: of all caches), on every CPU and in the depot, is emptied into slabs and given back.
 * Frames given to the page allocator because of it. pre: caches_mutex is held, so that no cache goes meanwhile, and no
 * other CPU that drains has a magazine in its hands
 */
size_t magazines_drain(struct kmem_cache *only);

/* Rounds in all magazines of the cache. Exact while nobody else allocates or frees. */
size_t magazines_count(const struct kmem_cache *cache);

/* Free objects of these caches hold a pattern; a constructor's work must survive being free. */
static inline bool slab_is_poisoned(const struct kmem_cache *cache)
{
	return IS_DEBUG && !cache->ctor;
}

/* The first byte of a free object that does not hold the pattern; `size` if all do. */
size_t poison_find_damage(const void *object, size_t size);

/* kmem_cache_alloc() on behalf of `caller`. pre: no internal cache */
void *slab_alloc(struct kmem_cache *cache, gfp_t gfp, uintptr_t caller) MUST_USE;

/* Frees an object of whatever cache; `page` is slab_page_of(pointer) and PAGE_SLAB. `call` names the API in reports. */
void slab_free(struct page *page, void *pointer, const char *call, uintptr_t caller);

/* The cache of a live object; `page` as above. Panics on behalf of `call` if `pointer` is not the start of one. */
struct kmem_cache *slab_live_object_cache(struct page *page, const void *pointer, const char *call);

/* Debug build: what a freed object holds, and who freed it. */
void slab_note_freed(struct slab *slab, struct cpu_pair round, uintptr_t caller);

/* The caller's mistakes, worded in slab_report.c. No lock may be held. */
NORETURN void slab_report_foreign(const char *call, const void *pointer);
NORETURN void slab_report_refused(const char *call, const struct slab *slab, const void *pointer);
NORETURN void slab_report_issued_twice(struct cpu_pair round);
/* The same, which does not say that it never returns: else it could not be a tail call. */
void *slab_issue_refused(struct cpu_pair round) MUST_USE;
NORETURN void slab_report_returned_twice(struct cpu_pair round);
NORETURN void slab_report_internal(const char *call, const struct slab *slab, const void *pointer);
NORETURN void slab_report_other_cache(const char *call, const struct slab *slab, const void *pointer,
                                      const struct kmem_cache *expected);
NORETURN void slab_report_damage(const struct slab *slab, unsigned slot, size_t byte);
/* Flags that a plain request does not have: panics unless they are in order all the same. */
void slab_judge_request(const struct kmem_cache *cache, gfp_t gfp, uintptr_t caller);
NORETURN void slab_report_live(const struct kmem_cache *cache, size_t count, void *const *first,
                               size_t nr_first);

/* ---- The fast ways, for slab.c and kmalloc.c. What is rare is a tail call, so that they save no register ---- */

/* Flags that nobody need judge and that ask for nothing beside an object. The debug build judges all. */
static ALWAYS_INLINE bool slab_is_plain(gfp_t gfp)
{
	enum { PLAIN = __GFP_HIGHMEM | __GFP_RECLAIM | __GFP_HIGH | __GFP_NOWARN };

	return !IS_DEBUG && !(gfp & ~(gfp_t)PLAIN) && (!(gfp & __GFP_RECLAIM) || !in_interrupt());
}

static ALWAYS_INLINE struct cpu_magazine **slab_loaded(struct kmem_cache *cache)
{
	return &((struct cpu_slab *)((char *)cache->cpu + this_cpu_read(line)))->loaded;
}

/* What this CPU has at hand; false: nothing. */
static ALWAYS_INLINE bool slab_pop(struct kmem_cache *cache, struct cpu_pair *round)
{
	*round = cpu_magazine_pop(slab_loaded(cache));
	return round->first;
}

/* The object becomes its caller's, whose flags were plain. */
static ALWAYS_INLINE void *slab_issue(struct cpu_pair round)
{
	uint8_t *state = round.second;

	if (unlikely(*state != SLOT_FREE))
		return slab_issue_refused(round);
	*state = SLOT_LIVE;
	return round.first;
}

/* The object stops being its holder's: here a second free of it is found out. False: it is not the start of a live one. */
static ALWAYS_INLINE bool slab_retire(struct slab *slab, void *object, struct cpu_pair *round,
                                      uintptr_t caller)
{
	size_t slot;

	if (unlikely(!slab_find(slab, object, SLOT_LIVE, &slot)))
		return false;
	slab->state[slot] = SLOT_FREE;
	*round = (struct cpu_pair){object, &slab->state[slot]};
	if (IS_DEBUG)
		slab_note_freed(slab, *round, caller);
	return true;
}

static ALWAYS_INLINE void slab_push(struct kmem_cache *cache, struct cpu_pair round)
{
	if (unlikely(!cpu_magazine_push(slab_loaded(cache), round)))
		magazine_free(cache, round);
}

#endif
