/*
 * The slab verifier, S1 to S9 of slab.c, and the view people know as /proc/slabinfo. The verifier trusts the
 * frame array and follows links only as far as the counts allow, so that a broken list ends in words, not in
 * a loop.
 */
#include <mm/slab.h>
#include <arch/smp.h>
#include <lib/check.h>
#include <lib/printer.h>
#include "slab_internal.h"

static const char *const fill_names[SLAB_FILLS] = {"full", "partial", "empty"};

/* Sums over all caches, for S7. */
struct census {
	size_t caches, external_slabs, magazines;
};

static const char *check_shape(const struct kmem_cache *cache, struct slab_shape shape)
{
	size_t bytes = PAGE_SIZE << shape.order, used = (size_t)shape.slots * cache->slot_size;

	CHECK(shape.slots > cache->first_slot && shape.slots <= SLAB_SLOTS_MAX &&
	              shape.order <= SLAB_ORDER_MAX,
	      "S1: cache %s: %u slots in a block of order %u", cache->name, shape.slots, shape.order);
	CHECK(used <= bytes && bytes - used <= bytes >> SLAB_WASTE_SHIFT && bytes - used < cache->slot_size &&
	              (used == bytes || shape.slots < slab_room(shape.slots)),
	      "S1: cache %s: %u slots of %u bytes in %zu bytes", cache->name, shape.slots, cache->slot_size,
	      bytes);
	return NULL;
}

static const char *check_geometry(const struct kmem_cache *cache)
{
	const char *broken;

	CHECK(cache->slot_size >= cache->object_size && cache->slot_size % SLAB_SLOT_ALIGN == 0,
	      "S1: cache %s: slots of %u bytes for objects of %u", cache->name, cache->slot_size,
	      cache->object_size);
	if ((broken = check_shape(cache, cache->minimal)) || (broken = check_shape(cache, cache->preferred)))
		return broken;
	CHECK(cache->preferred.order >= cache->minimal.order &&
	              slab_room(cache->preferred.slots) == slab_room(cache->minimal.slots),
	      "S1: cache %s prefers slabs of order %u, and makes do with order %u", cache->name,
	      cache->preferred.order, cache->minimal.order);
	CHECK(cache->reciprocal == UINT64_MAX / cache->slot_size + 1,
	      "S1: cache %s: 0x%lx is not the reciprocal of %u", cache->name, cache->reciprocal,
	      cache->slot_size);
	return NULL;
}

/* Of what its cache says, a slab has its own copy. */
static const char *check_copy(const struct kmem_cache *cache, const struct slab *slab)
{
	bool preferred = slab->order == cache->preferred.order;
	struct slab_shape shape = preferred ? cache->preferred : cache->minimal;

	CHECK(slab->order == shape.order && slab->slots == shape.slots &&
	              slab->capacity == shape.slots - cache->first_slot &&
	              slab->bytes == PAGE_SIZE << shape.order,
	      "S1: cache %s: slab at %p has %u slots, %u of them objects, in %u bytes of order %u",
	      cache->name, (void *)slab->base, slab->slots, slab->capacity, slab->bytes, slab->order);
	CHECK(slab->slot_size == cache->slot_size && slab->reciprocal == cache->reciprocal,
	      "S1: cache %s: slab at %p has slots of %u bytes, reciprocal 0x%lx", cache->name,
	      (void *)slab->base, slab->slot_size, slab->reciprocal);
	return NULL;
}

/* The bits of bitmap word `word` that stand for objects. */
static uint64_t objects_of_word(const struct slab *slab, unsigned word)
{
	unsigned first = word * BITS_PER_WORD;

	if (first >= slab->slots)
		return 0;
	uint64_t slots = slab->slots - first < BITS_PER_WORD ? (1ULL << (slab->slots - first)) - 1 : ~0ULL;
	return word == 0 ? slots & ~(uint64_t)slab->cache->first_slot : slots;
}

static const char *check_bitmap(const struct kmem_cache *cache, const struct slab *slab)
{
	const uint64_t *bitmap = slab_bitmap(slab);
	uint8_t live = cache->flags & SLAB_INTERNAL ? SLOT_INTERNAL : SLOT_LIVE;
	unsigned bits = 0;

	for (unsigned word = 0; word < SLAB_WORDS; word++) {
		uint64_t free = word * BITS_PER_WORD < slab_room(slab->slots) ? bitmap[word] : 0;
		bits += count_bits(free);
		CHECK((slab->free_words >> word & 1) == (free != 0),
		      "S3: cache %s: slab at %p: free_words is wrong about word %u", cache->name,
		      (void *)slab->base, word);
		uint64_t strays = free & ~objects_of_word(slab, word);
		CHECK(!strays, "S3: cache %s: slab at %p: slot %u is no object, but free", cache->name,
		      (void *)slab->base, word * BITS_PER_WORD + lowest_bit(strays));
	}
	CHECK(bits == slab->nr_free, "S3: cache %s: slab at %p counts %u free slots, its bitmap %u",
	      cache->name, (void *)slab->base, slab->nr_free, bits);
	for (unsigned slot = cache->first_slot; slot < slab->slots; slot++) {
		CHECK(slab->state[slot] == SLOT_FREE ||
		              (slab->state[slot] == live && !bit_test(bitmap, slot)),
		      "S3: cache %s: slab at %p: slot %u is %s, and has state %u", cache->name,
		      (void *)slab->base, slot, bit_test(bitmap, slot) ? "free" : "handed out",
		      slab->state[slot]);
	}
	CHECK(slab->slots == slab_room(slab->slots) || slab->state[slab->slots] == SLOT_FREE,
	      "S3: cache %s: slab at %p: where its slots end, state %u", cache->name, (void *)slab->base,
	      slab->state[slab->slots]);
	return NULL;
}

/* Objects of the slab that are free, but not here: they must be in magazines. */
static size_t count_cached(const struct kmem_cache *cache, const struct slab *slab)
{
	size_t cached = 0;

	for (unsigned slot = cache->first_slot; slot < slab->slots; slot++)
		cached += slab->state[slot] == SLOT_FREE && !bit_test(slab_bitmap(slab), slot);
	return cached;
}

static const char *check_frames(const struct kmem_cache *cache, const struct slab *slab)
{
	CHECK(is_directmap_address(vaddr_of(slab->base)) &&
	              is_aligned((uintptr_t)slab->base - DIRECTMAP_BASE, slab->bytes),
	      "S4: cache %s: slab base %p is not aligned to the slab", cache->name, (void *)slab->base);
	for (size_t offset = 0; offset < slab->bytes; offset += PAGE_SIZE) {
		const struct page *page = slab_page_of(slab->base + offset);
		CHECK(page && page->type == PAGE_SLAB, "S4: cache %s: page %p of a slab is marked %s",
		      cache->name, (void *)(slab->base + offset),
		      page ? page_type_name(page->type) : "never written");
		CHECK(page->owner == slab, "S4: cache %s: page %p of a slab leads to another descriptor",
		      cache->name, (void *)(slab->base + offset));
	}
	CHECK(virt_to_page(slab->base)->order == slab->order,
	      "S4: cache %s: slab at %p is a block of order %u, not %u", cache->name, (void *)slab->base,
	      virt_to_page(slab->base)->order, slab->order);
	return NULL;
}

static const char *check_descriptor(const struct kmem_cache *cache, const struct slab *slab)
{
	const struct slab *home = slab_of(slab);

	const struct kmem_cache *descriptors = home ? home->cache : NULL;
	CHECK(home && descriptors == (cache->first_slot ? cache : slab_descriptor_cache_of(cache)),
	      "S5: cache %s: descriptor %p is not in a slab of descriptors", cache->name, (const void *)slab);
	size_t offset = (size_t)((const char *)slab - home->base);
	unsigned slot = slab_slot_at(home, offset);
	CHECK(offset == (size_t)slot * descriptors->slot_size && (slot == 0) == (home == slab) &&
	              (slot == 0) == (cache->first_slot != 0),
	      "S5: cache %s: descriptor %p is in the wrong slot", cache->name, (const void *)slab);
	CHECK(!bit_test(slab_bitmap(home), slot), "S5: cache %s: descriptor %p is free", cache->name,
	      (const void *)slab);
	return NULL;
}

static const char *check_poison(const struct kmem_cache *cache, const struct slab *slab)
{
	for (unsigned slot = cache->first_slot; slot < slab->slots; slot++) {
		if (slab->state[slot] != SLOT_FREE)
			continue;
		size_t byte = poison_find_damage(slab_object(slab, slot), cache->object_size);
		CHECK(byte == cache->object_size,
		      "S8: cache %s: free object %u at %p was written at byte %zu", cache->name, slot,
		      slab_object(slab, slot), byte);
	}
	return NULL;
}

/* The descriptor first: nothing else of it may be read before. */
static const char *check_slab(const struct kmem_cache *cache, const struct slab *slab)
{
	const char *broken;

	if ((broken = check_descriptor(cache, slab)))
		return broken;
	CHECK(slab->cache == cache, "S2: cache %s lists a slab of cache %s", cache->name, slab->cache->name);
	if ((broken = check_copy(cache, slab)) || (broken = check_bitmap(cache, slab)) ||
	    (broken = check_frames(cache, slab)))
		return broken;
	return slab_is_poisoned(cache) ? check_poison(cache, slab) : NULL;
}

static const char *check_slabs(const struct kmem_cache *cache)
{
	size_t slabs = 0, empty = 0, active = 0, cached = 0, objects = 0, pages = 0;

	for (unsigned fill = 0; fill < SLAB_FILLS; fill++) {
		const struct list_head *head = &cache->slabs[fill], *node = head;
		for (; node->next != head; node = node->next) {
			const struct slab *slab = list_entry(node->next, struct slab, link);
			CHECK(slabs++ < cache->nr_slabs, "S6: cache %s counts %zu slabs, its lists hold more",
			      cache->name, cache->nr_slabs);
			const char *broken = check_slab(cache, slab);
			if (broken)
				return broken;
			CHECK(slab->link.prev == node, "S2: cache %s: the %s list is torn at slab %p",
			      cache->name, fill_names[fill], (void *)slab->base);
			CHECK(slab->fill == fill && slab_fill_of(slab) == fill,
			      "S2: cache %s: slab at %p has %u of %u objects free, but is on the %s list",
			      cache->name, (void *)slab->base, slab->nr_free, slab->capacity,
			      fill_names[fill]);
			empty += fill == SLAB_EMPTY;
			objects += slab->capacity;
			pages += 1UL << slab->order;
			active += slab->capacity - slab->nr_free;
			cached += count_cached(cache, slab);
		}
	}
	CHECK(slabs == cache->nr_slabs, "S6: cache %s counts %zu slabs, its lists hold %zu", cache->name,
	      cache->nr_slabs, slabs);
	CHECK(empty == cache->nr_empty, "S6: cache %s counts %zu empty slabs, its list holds %zu",
	      cache->name, cache->nr_empty, empty);
	CHECK(empty <= SLAB_EMPTY_KEPT, "S6: cache %s keeps %zu empty slabs", cache->name, empty);
	CHECK(objects == cache->nr_objects && pages == cache->nr_pages,
	      "S6: cache %s counts %zu objects in %zu pages, its slabs have %zu in %zu", cache->name,
	      cache->nr_objects, cache->nr_pages, objects, pages);
	CHECK(active == cache->nr_active, "S6: cache %s counts %zu objects handed out, its slabs %zu",
	      cache->name, cache->nr_active, active);
	CHECK(cached == magazines_count(cache),
	      "S9: cache %s: %zu objects are free outside their slabs, but its magazines hold %zu",
	      cache->name, cached, magazines_count(cache));
	return NULL;
}

/* G1 and G2 for one magazine of a CPU or of the depot. */
static const char *check_magazine(const struct kmem_cache *cache, const struct cpu_magazine *magazine,
                                  struct census *census)
{
	const struct slab *home = slab_of(magazine);

	CHECK(home && home->cache == magazine_cache_of(cache) && magazine->size == cache->magazine_size &&
	              magazine->used <= magazine->size && magazine->used % sizeof(struct cpu_pair) == 0,
	      "S9: cache %s: %p is no magazine of it, or holds %u of %u bytes", cache->name,
	      (const void *)magazine, magazine->used, magazine->size);
	census->magazines++;
	for (size_t i = 0; i < magazine->used / sizeof(struct cpu_pair); i++) {
		struct cpu_pair round = magazine->pairs[i];
		struct slab *slab = slab_of(round.first);
		bool ours = slab && slab->cache == cache;
		unsigned slot = ours ? slab_slot_at(slab, (size_t)((char *)round.first - slab->base)) : 0;
		CHECK(ours && slab_object(slab, slot) == round.first && round.second == &slab->state[slot],
		      "S9: cache %s: a magazine holds %p, which is no object of it", cache->name,
		      round.first);
		CHECK(slab->state[slot] == SLOT_FREE && !bit_test(slab_bitmap(slab), slot),
		      "S9: cache %s: a magazine holds object %u at %p, which is %s", cache->name, slot,
		      round.first, slab->state[slot] == SLOT_FREE ? "in its slab" : "live");
	}
	return NULL;
}

static const char *check_chain(const struct kmem_cache *cache, const struct cpu_magazine *magazine,
                               uint32_t count, bool full, struct census *census)
{
	for (; magazine; magazine = magazine->next, count--) {
		CHECK(count, "S9: cache %s: the depot has more %s magazines than it counts", cache->name,
		      full ? "full" : "empty");
		const char *broken = check_magazine(cache, magazine, census);
		if (broken)
			return broken;
		CHECK(magazine->used == (full ? magazine->size : 0),
		      "S9: cache %s: a magazine in the depot is neither full nor empty", cache->name);
	}
	CHECK(!count, "S9: cache %s: the depot has fewer %s magazines than it counts", cache->name,
	      full ? "full" : "empty");
	return NULL;
}

static const char *check_magazines(const struct kmem_cache *cache, struct census *census)
{
	const char *broken = NULL;

	if (cache->flags & SLAB_INTERNAL)
		return NULL;
	for (unsigned id = 0; id < cpus_possible() && !broken; id++) {
		const struct cpu_slab *own = &cache->cpu[id];
		if (!own->loaded->size && !own->previous->size)
			continue;
		CHECK(own->loaded != own->previous, "S9: cache %s: CPU %u has one magazine twice",
		      cache->name, id);
		broken = check_magazine(cache, own->loaded, census);
		if (!broken)
			broken = check_magazine(cache, own->previous, census);
	}
	const struct depot *depot = &cache->depot;
	if (!broken)
		broken = check_chain(cache, depot->full, depot->nr_full, true, census);
	return broken ? broken : check_chain(cache, depot->empty, depot->nr_empty, false, census);
}

static const char *check_conservation(const struct census *census)
{
	size_t descriptors = 0, magazines = 0;

	for (unsigned i = 0; i < DESCRIPTOR_CACHES; i++)
		descriptors += slab_descriptor_caches[i].nr_active;
	CHECK(descriptors == census->external_slabs,
	      "S7: %zu slab descriptors are live, but %zu slabs need one", descriptors,
	      census->external_slabs);
	CHECK(kmem_cache_cache.nr_active + STATIC_CACHES == census->caches,
	      "S7: %zu caches are live, but %zu are listed", kmem_cache_cache.nr_active + STATIC_CACHES,
	      census->caches);
	for (unsigned i = 0; i < MAGAZINE_CACHES; i++)
		magazines += magazine_caches[i].nr_active;
	CHECK(magazines == census->magazines, "S7: %zu magazines are live, but %zu are in use", magazines,
	      census->magazines);
	return NULL;
}

const char *slab_check(void)
{
	struct census census = {0};
	const struct kmem_cache *cache;

	list_for_each_entry (cache, &caches, link) {
		const char *broken;
		if ((broken = check_geometry(cache)) || (broken = check_slabs(cache)) ||
		    (broken = check_magazines(cache, &census)))
			return broken;
		census.caches++;
		if (!cache->first_slot)
			census.external_slabs += cache->nr_slabs;
	}
	return check_conservation(&census);
}

static void slabinfo_line(const struct slab_stats *s, void *context)
{
	print(context, "%-17s %6zu %6zu %6zu %4zu %4zu : tunables %4u %4u %4u : slabdata %6zu %6zu %6u\n",
	      s->name, s->active_objects, s->total_objects, s->slot_size, s->objects_per_slab,
	      s->pages_per_slab, 2 * (unsigned)s->magazine_rounds, (unsigned)s->magazine_rounds,
	      s->magazine_rounds ? (unsigned)DEPOT_MAGAZINES_MAX : 0U, s->slabs - s->empty_slabs, s->slabs,
	      (unsigned)s->cached_objects);
}

void slabinfo_dump(struct printer *out)
{
	print(out, "slabinfo - version: 2.1\n");
	print(out, "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
	           " : tunables <limit> <batchcount> <sharedfactor>"
	           " : slabdata <active_slabs> <num_slabs> <sharedavail>\n");
	slab_for_each_cache(slabinfo_line, out);
}
