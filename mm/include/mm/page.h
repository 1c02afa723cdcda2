/*
 * The frame array: one 16-byte struct page per page frame, indexed by frame number.
 *
 * A *block* is 2^order frames, aligned to its size. Only its first frame's entry, the head, describes it.
 * Entries are written when a block is first split or handed out, never before, so that boot costs nothing per
 * frame; RAM holds garbage where no entry was written. A byte for each *group* of 2^9 frames = 2 MiB, beside the
 * array, says how far its entries may be believed (a *section* is 2^18 frames = 1 GiB):
 *
 * P1  Where any frame of a section is RAM, the array behind that section is mapped (up to the array's end),
 *     and the section's first entry is written.
 * P2  An entry is written before its group's byte says so: GROUP_HEAD_WRITTEN tells of the group's first,
 *     GROUP_WRITTEN of all of them; entries past the array's end count as written. No byte ever goes down.
 * P3  The first entries of a section's groups, but for the section's own, come into being together.
 * P4  A written entry has type PAGE_FREE if and only if it is the head of a free block, and PAGE_CACHED or a
 *     held type if and only if it is the head of a held block (PAGE_SLAB: or a later frame of one slab). All
 *     others are PAGE_NONE: inside a block, or in none (firmware, image, the frame array itself).
 *
 * Entries belong to the zone's lock while free or changing hands, to the holder while held; a group's byte to the
 * lock of its zone, and is read without.
 */
#ifndef MM_PAGE_H
#define MM_PAGE_H

#include <arch/compare.h>
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

/* P2 */
enum group_state {
	GROUP_UNWRITTEN = 0,
	GROUP_HEAD_WRITTEN,
	GROUP_WRITTEN,
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
	union {
		struct {
			uint32_t caller; /* held: low half of the code address that asked; kept when freed */
			union {
				struct {
					uint8_t type;  /* enum page_type */
					uint8_t order; /* PAGE_FREE and held heads */
				};
				uint16_t type_order; /* both at once: page_type_order() */
			};
			bool unflushed; /* debug build: some CPU may still reach the frame at an address that is unmapped */
			uint8_t spare; /* by name, so that entries can be compared whole */
		};
		uint64_t word; /* all of it: page_word() */
	};
};
enum { PAGE_ENTRY_SHIFT = 4 };
_Static_assert(sizeof(struct page) == 1 << PAGE_ENTRY_SHIFT,
               "a frame's entry is 16 bytes: design, section 5");

/* What type_order reads for a head of this type and order. */
static inline uint16_t page_type_order(enum page_type type, unsigned order)
{
	return (uint16_t)((unsigned)type | order << 8);
}

/* What `word` reads for a head that nobody reaches any more but who asked for it. */
static inline uint64_t page_word(enum page_type type, unsigned order, uint32_t caller)
{
	return (uint64_t)page_type_order(type, order) << 32 | caller;
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
	return memory_is_u16(&page->type_order, page_type_order(type, order));
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

/* An array of entries and what is known of them. Tests have some of their own. */
struct page_array {
	struct page *frames; /* entry of pfn n at frames[n] */
	uint8_t *written;    /* P2: enum group_state of each group, page_array_groups() of them */
	uint64_t end;        /* one past the last entry */
};

/* The live one: read-only once page_array_init() has run, but for the bytes. */
extern struct page_array page_array;

/* Groups of whole sections. */
static inline uint64_t page_array_groups(uint64_t end)
{
	return align_up(end, SECTION_FRAMES) >> GROUP_ORDER;
}

/*
 * Establishes P1 over an array whose entries and bytes are garbage: a byte per group, and one entry per backed section (bit
 * s of `backed`) below the end.
 */
void page_array_init(const struct page_array *array, const uint64_t *backed);

/* How much of n's group is written. pre, here and below: n's section has bytes, as every one below the end has */
static inline enum group_state page_group_state(const struct page_array *array, uint64_t n)
{
	return (enum group_state)__atomic_load_n(&array->written[n >> GROUP_ORDER], __ATOMIC_ACQUIRE);
}

static ALWAYS_INLINE bool page_group_is_written(const uint8_t *written, uint64_t n)
{
	return memory_is_u8(&written[n >> GROUP_ORDER], GROUP_WRITTEN);
}

/* P1: is the array mapped behind n's section? */
static inline bool page_section_backed(const struct page_array *array, uint64_t n)
{
	return page_group_state(array, align_down(n, SECTION_FRAMES)) != GROUP_UNWRITTEN;
}

/* P2: was this entry ever written? */
static inline bool page_entry_written(const struct page_array *array, uint64_t n)
{
	return likely(page_group_is_written(array->written, n)) ||
	       (is_aligned(n, GROUP_FRAMES) && page_group_state(array, n) == GROUP_HEAD_WRITTEN);
}

/*
 * Makes entry n written (PAGE_NONE if it was not), and before it what P3 demands; entries written before keep their
 * contents. n's section must be backed; n itself may lie at or past the array's end. Only where the block that holds n is
 * being split, seeded or handed out.
 */
void page_entry_make_written(const struct page_array *array, uint64_t n);

/*
 * The head of the block that holds n, or NULL if none does. Top-down over written entries, at most
 * PAGE_ORDERS steps. pre: n below the array's end
 */
struct page *page_find_block_in(const struct page_array *array, uint64_t n);

/* The rest is about the live array, for any frame whatever, and takes no lock. */
static inline pfn_t page_array_end(void)
{
	return pfn(page_array.end);
}

/* Is there an entry, written or not: is RAM in the frame's section? */
static inline bool page_is_backed(pfn_t frame)
{
	return frame.raw < page_array.end && (likely(page_group_state(&page_array, frame.raw)) ||
	                                      page_section_backed(&page_array, frame.raw));
}

/* May the frame's entry be read? */
static inline bool page_is_written(pfn_t frame)
{
	return frame.raw < page_array.end && page_entry_written(&page_array, frame.raw);
}

/* NULL if the frame is in no block. For reports and wild pointers, not for fast paths. */
struct page *page_find_block(pfn_t frame);

#endif
