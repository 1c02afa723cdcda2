/*
 * The frame array: one 16-byte struct page per page frame, indexed by frame number.
 *
 * A *block* is 2^order frames, aligned to its size. Only its first frame's entry, the head, describes it.
 * Entries are written when a block is first split or handed out, never before, so that boot costs nothing per
 * frame; RAM holds garbage where no entry was written. What makes that sound (a *section* is 2^18 frames = 1
 * GiB, a *group* 2^9 = 2 MiB):
 *
 * P1  Where any frame of a section is RAM, the array behind that section is mapped (up to the array's end),
 *     and the section's first entry is written.
 * P2  If a section's first entry has PAGE_HEADS_WRITTEN, the first entry of each of its groups is written.
 * P3  If such a first entry has PAGE_GROUP_WRITTEN, all entries of its group are written.
 * P4  A written entry has type PAGE_FREE if and only if it is the head of a free block, and PAGE_CACHED or a
 *     held type if and only if it is the head of a held block (PAGE_SLAB: or a later frame of one slab). All
 *     others are PAGE_NONE: inside a block, or in none (firmware, image, the frame array itself).
 *
 * Entries belong to the zone's lock while free or changing hands, to the holder while held.
 */
#ifndef MM_PAGE_H
#define MM_PAGE_H

#include <arch/directmap.h>
#include <arch/page.h>
#include <lib/bits.h>

enum {
	MAX_PAGE_ORDER = 18, /* 1 GiB */
	PAGE_ORDERS = MAX_PAGE_ORDER + 1,
	SECTION_ORDER = MAX_PAGE_ORDER, /* P1 relies on it: a block's buddy is in the same section */
	SECTION_FRAMES = 1 << SECTION_ORDER,
	GROUP_ORDER = 9,
	GROUP_FRAMES = 1 << GROUP_ORDER,
	SECTIONS_MAX = 1 << 14, /* 16 TiB: frame numbers fit 32 bits */
};

enum page_type {
	PAGE_NONE = 0, /* no head: inside a block, or never part of one */
	PAGE_FREE,
	PAGE_CACHED, /* free too, but in some CPU's list: for the buddy it is held */
	/* Held, and by whom. The buddy hands out PAGE_HELD and takes back nothing else. */
	PAGE_HELD,
	PAGE_EXACT,   /* the first block of an exact allocation; private: its pages */
	PAGE_TAIL,    /* a later block of one; private: the frame that it begins with */
	PAGE_SLAB,    /* owner: struct slab */
	PAGE_KMALLOC, /* a large kmalloc: the first block of an exact allocation, private as there */
	PAGE_TABLE,   /* a page table */
	PAGE_VMALLOC, /* behind a vmalloc area */
	PAGE_TYPES,
};

enum {
	PAGE_HEADS_WRITTEN = 1 << 0, /* P2; in a section's first entry */
	PAGE_GROUP_WRITTEN = 1 << 1, /* P3; in a group's first entry */
};

enum { PFN_NONE = UINT32_MAX };

struct page {
	union {
		struct {
			uint32_t next, prev; /* PAGE_FREE: its list. In a page_list: next */
		};
		void *owner;    /* held: the holder's, by type */
		size_t private; /* held: the same word as a number */
	};
	uint32_t caller; /* held: low half of the code address that asked; kept when freed */
	union {
		struct {
			uint8_t type;  /* enum page_type */
			uint8_t order; /* PAGE_FREE and held heads */
		};
		uint16_t type_order; /* both at once: page_type_order() */
	};
	uint8_t flags;  /* PAGE_*_WRITTEN: survive every change of the rest */
	bool unflushed; /* debug build: some CPU may still reach the frame at an address that is unmapped */
};
_Static_assert(sizeof(struct page) == 16, "a frame's entry is 16 bytes: design, section 5");

/* What type_order reads for a head of this type and order. */
static inline uint16_t page_type_order(enum page_type type, unsigned order)
{
	return (uint16_t)((unsigned)type | order << 8);
}

/*
 * What a written entry is the head of, set and asked. Atomic, as a block's holder changes its type without a lock while
 * others look at the block: whoever frees its buddy, or wants to know what a wild pointer leads to. Both accept either
 * answer, since neither a held block nor one that changes hands ever says PAGE_FREE. Who goes by the owner asks for the type
 * before and after: an owner is there before the type that tells of it, and goes after it.
 */
static inline void page_set_type(struct page *page, enum page_type type)
{
	__atomic_store_n(&page->type, (uint8_t)type, __ATOMIC_RELEASE);
}

static inline enum page_type page_get_type(const struct page *page)
{
	return (enum page_type)__atomic_load_n(&page->type, __ATOMIC_ACQUIRE);
}

static inline void page_set_head(struct page *page, enum page_type type, unsigned order)
{
	__atomic_store_n(&page->type_order, page_type_order(type, order), __ATOMIC_RELAXED);
}

static inline bool page_is_head(const struct page *page, enum page_type type, unsigned order)
{
	return __atomic_load_n(&page->type_order, __ATOMIC_RELAXED) == page_type_order(type, order);
}

/* The live frame array. pre for all: the frame's entry is mapped (page_is_backed). */
static inline struct page *pfn_to_page(pfn_t frame)
{
	return (struct page *)FRAMES_BASE + frame.raw;
}

static inline pfn_t page_to_pfn(const struct page *page)
{
	return pfn((uint64_t)(page - (struct page *)FRAMES_BASE));
}

static inline paddr_t page_to_paddr(const struct page *page)
{
	return pfn_to_paddr(page_to_pfn(page));
}

/* The frame's contents, through the direct map. */
static inline void *page_address(const struct page *page)
{
	return paddr_to_directmap(page_to_paddr(page));
}

/* The frame that holds `pointer`. pre: a direct-map address. */
static inline struct page *virt_to_page(const void *pointer)
{
	return pfn_to_page(paddr_to_pfn(directmap_to_paddr(pointer)));
}

static inline uintptr_t page_caller(const struct page *page)
{
	return (uintptr_t)(intptr_t)(int32_t)page->caller;
}

/* A block that was handed out for its holder's own purposes: part of an allocation of pages, exact or not. */
static inline bool page_is_callers(const struct page *block)
{
	const struct page *first = block->type == PAGE_TAIL ? pfn_to_page(pfn(block->private)) : block;
	return first->type == PAGE_HELD || first->type == PAGE_EXACT;
}

/* "free", "slab", …; never NULL. */
const char *page_type_name(unsigned type);

/*
 * `frames` below is the array's base, so that tests run private worlds: entry of pfn n at frames[n].
 * P2, P3: was this entry ever written? Deterministic, at most two loads. pre: P1 holds for its section
 */
static inline bool page_entry_written(const struct page *frames, uint64_t n)
{
	const struct page *section = &frames[n & ~(uint64_t)(SECTION_FRAMES - 1)];
	const struct page *group = &frames[n & ~(uint64_t)(GROUP_FRAMES - 1)];
	if (&frames[n] == section)
		return true;
	if (!(section->flags & PAGE_HEADS_WRITTEN))
		return false;
	return &frames[n] == group || (group->flags & PAGE_GROUP_WRITTEN);
}

/*
 * Makes entry n written (PAGE_NONE if it was not), initialising what P2 and P3 demand before it; entries
 * written before keep their contents. n's section must be backed; n itself may lie at or past `end`, one past
 * the array's last entry. Only where the block that holds n is being split, seeded or handed out.
 */
void page_entry_make_written(struct page *frames, uint64_t n, uint64_t end);

/*
 * Establishes P1 over an array whose entries are garbage: one store per backed section (bit s of `backed`)
 * below `end`.
 */
void page_sections_init(struct page *frames, uint64_t end, const uint64_t *backed);

/*
 * The head of the block that holds n, or NULL if none does. Top-down over written entries, at most
 * PAGE_ORDERS steps. pre: n's section is backed, n below the array's end
 */
struct page *page_find_block_in(struct page *frames, uint64_t n);

/*
 * The live array's extent. page_array_init() says which sections are backed; called once by mm_init() when
 * the window is mapped, and writes one entry per backed section (P1).
 */
void page_array_init(pfn_t end, const uint64_t *backed_sections);

/* What it was told: read-only afterwards. */
struct page_array {
	uint64_t end;
	uint64_t backed[SECTIONS_MAX / BITS_PER_WORD]; /* bit s: section s is backed */
};
extern struct page_array page_array;

static inline pfn_t page_array_end(void)
{
	return pfn(page_array.end);
}

/* May the entry of this frame be read at all? */
static inline bool page_is_backed(pfn_t frame)
{
	return frame.raw < page_array.end && bit_test(page_array.backed, frame.raw >> SECTION_ORDER);
}

/*
 * page_find_block_in() the live array, for any frame whatever: NULL if the frame is not backed, or in no
 * block. For reports and wild pointers, not for fast paths; takes no lock.
 */
struct page *page_find_block(pfn_t frame);

#endif
