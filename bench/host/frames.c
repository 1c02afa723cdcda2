/*
 * Page frames: a struct buddy of its own, beside two ways that are simpler. 65,536 frames, 256 MiB.
 *
 *	frame-list   single frames only: a chain through an array; neither order nor check
 *	bitmap       a bit per frame; the first aligned run of zeros from the bottom, a word of them at a time
 *
 * The buddy alone judges what it is given back.
 */
#include <lib/bits.h>
#include <lib/panic.h>
#include <mm/buddy.h>
#include "host_bench.h"

enum {
	FRAMES = 65536,
	FRAME_NONE = UINT32_MAX,
	TURN = 256,
	HELD_MAX = 49152,
	HELD_MIXED = 4096,
	ORDER_MAX = 9
};

static struct {
	uint32_t (*alloc)(unsigned order);
	void (*free)(uint32_t frame, unsigned order);
} memory;

/* ---- Contenders ---- */

static struct page entries[FRAMES];
static uint8_t written[SECTION_FRAMES / GROUP_FRAMES];
static struct buddy buddy;

static uint32_t alloc_from_buddy(unsigned order)
{
	struct page *page = buddy_alloc(&buddy, order);
	return page ? (uint32_t)(page - entries) : FRAME_NONE;
}

static void free_to_buddy(uint32_t frame, unsigned order)
{
	if (unlikely(buddy_free(&buddy, pfn(frame), order) != BUDDY_OK))
		panic("the buddy refuses frame %u", frame);
}

static void set_up_buddy(void)
{
	struct page_array array = {entries, written, FRAMES};
	page_array_init(&array, (const uint64_t[]){1});
	buddy_init(&buddy, &array, pfn(0), pfn(FRAMES));
	buddy_add(&buddy, pfn(0), pfn(FRAMES));
	memory.alloc = alloc_from_buddy;
	memory.free = free_to_buddy;
}

static uint32_t chain[FRAMES], chain_head; /* chain[frame]: the next free one */

static uint32_t alloc_from_list(unsigned order)
{
	uint32_t frame = chain_head;

	if (unlikely(order || frame == FRAME_NONE))
		return FRAME_NONE;
	chain_head = chain[frame];
	return frame;
}

static void free_to_list(uint32_t frame, unsigned order)
{
	(void)order;
	chain[frame] = chain_head;
	chain_head = frame;
}

static void set_up_list(void)
{
	for (uint32_t frame = 0; frame < FRAMES; frame++)
		chain[frame] = frame + 1 < FRAMES ? frame + 1 : FRAME_NONE;
	memory.alloc = alloc_from_list;
	memory.free = free_to_list;
}

static uint64_t held[FRAMES / BITS_PER_WORD];

/* `words` whole words, all zero? */
static bool is_free_run(const uint64_t *run, unsigned words)
{
	while (words--) {
		if (run[words])
			return false;
	}
	return true;
}

static uint32_t alloc_words(unsigned words)
{
	for (unsigned word = 0; word < ARRAY_SIZE(held); word += words) {
		if (!is_free_run(&held[word], words))
			continue;
		for (unsigned i = 0; i < words; i++)
			held[word + i] = UINT64_MAX;
		return word * BITS_PER_WORD;
	}
	return FRAME_NONE;
}

static uint32_t alloc_from_bitmap(unsigned order)
{
	unsigned size = 1U << order;

	if (size >= BITS_PER_WORD)
		return alloc_words(size / BITS_PER_WORD);
	uint64_t run = (1UL << size) - 1;
	for (unsigned word = 0; word < ARRAY_SIZE(held); word++) {
		for (unsigned bit = 0; held[word] != UINT64_MAX && bit < BITS_PER_WORD; bit += size) {
			if (held[word] & run << bit)
				continue;
			held[word] |= run << bit;
			return word * BITS_PER_WORD + bit;
		}
	}
	return FRAME_NONE;
}

static void free_to_bitmap(uint32_t frame, unsigned order)
{
	unsigned size = 1U << order;

	if (size < BITS_PER_WORD) {
		held[frame / BITS_PER_WORD] &= ~(((1UL << size) - 1) << frame % BITS_PER_WORD);
		return;
	}
	for (unsigned i = 0; i < size / BITS_PER_WORD; i++)
		held[frame / BITS_PER_WORD + i] = 0;
}

static void set_up_bitmap(void)
{
	memory.alloc = alloc_from_bitmap;
	memory.free = free_to_bitmap;
}

/* ---- Rows ---- */

static uint8_t orders[TURN];
static struct block {
	uint32_t frame, order;
} blocks[HELD_MAX];
static uint32_t sequence[TURN];

/* Mixed: half are order 0, a quarter order 1, and so on up to order 9; the mean is 5 frames. */
static void fill_orders(bool mixed)
{
	uint32_t random = 1;

	for (unsigned i = 0; i < TURN; i++)
		orders[i] = mixed ? lowest_bit(xorshift32(&random) | 1U << ORDER_MAX) : 0;
}

static ALWAYS_INLINE struct block take(unsigned i)
{
	unsigned order = orders[i % TURN];
	struct block block = {memory.alloc(order), order};

	if (unlikely(block.frame == FRAME_NONE))
		panic("no block of order %u is left", order);
	return block;
}

static ALWAYS_INLINE void give(struct block block)
{
	memory.free(block.frame, block.order);
}

static uint64_t batch_turn(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < TURN; i++)
		blocks[i] = take(i);
	for (unsigned i = 0; i < TURN; i++)
		give(blocks[sequence[i]]);
	return 0;
}

static struct measured run_batch(const struct host_row *row, uint64_t least_ns)
{
	fill_orders(row->mixed);
	fill_sequence(sequence, TURN, row->order);
	return repeat(least_ns, TURN, batch_turn, NULL);
}

static uint64_t churn_turn(void *context)
{
	struct churn *churn = context;

	for (unsigned i = 0; i < TURN; i++) {
		struct block *block = &blocks[pick(&churn->random, churn->live)];
		give(*block);
		*block = take(i);
	}
	return 0;
}

static struct measured run_churn(const struct host_row *row, uint64_t least_ns)
{
	struct churn churn = {row->live, 1};

	fill_orders(row->mixed);
	for (unsigned i = 0; i < row->live; i++)
		blocks[i] = take(i);
	for (unsigned turn = 0; turn < 2 * row->live / TURN; turn++)
		churn_turn(&churn);
	struct measured measured = repeat(least_ns, TURN, churn_turn, &churn);
	for (unsigned i = 0; i < row->live; i++)
		give(blocks[i]);
	return measured;
}

enum { SINGLE_ROWS = 2 /* the first rows: all that a list of single frames can do */ };

static const struct host_row rows[] = {
        {.name = "order0.batch", .run = run_batch, .order = RANDOM},
        {.name = "order0.churn", .run = run_churn, .live = HELD_MAX},
        {.name = "mixed.batch", .run = run_batch, .order = RANDOM, .mixed = true},
        {.name = "mixed.churn", .run = run_churn, .live = HELD_MIXED, .mixed = true},
};

const struct contender frame_contenders[] = {
        CONTENDER("buddy", rows, set_up_buddy, NULL),
        {"frame-list", rows, SINGLE_ROWS, set_up_list, NULL},
        CONTENDER("bitmap", rows, set_up_bitmap, NULL),
};
