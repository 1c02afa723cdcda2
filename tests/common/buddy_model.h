/*
 * What a buddy allocator promises, said as naively as possible: a byte per frame. Blocks do not exist here
 * while free; where one must be found is decided by looking at every aligned run.
 */
#ifndef TEST_BUDDY_MODEL_H
#define TEST_BUDDY_MODEL_H

#include <mm/buddy.h>

enum { BUDDY_MODEL_FRAMES = 2048 };

enum frame_state { FRAME_HOLE, FRAME_FREE, FRAME_HEAD, FRAME_INSIDE };

struct buddy_model {
	uint32_t start, end;
	uint8_t state[BUDDY_MODEL_FRAMES]; /* enum frame_state */
	uint8_t order[BUDDY_MODEL_FRAMES]; /* FRAME_HEAD */
};

/* A span with no memory in it. pre: end <= BUDDY_MODEL_FRAMES */
void buddy_model_init(struct buddy_model *model, uint32_t start, uint32_t end);
void buddy_model_add(struct buddy_model *model, uint32_t start, uint32_t end);

/* Is there an aligned free run of 2^order frames in [low, high)? */
bool buddy_model_can_alloc(const struct buddy_model *model, unsigned order, uint32_t low, uint32_t high);

/* False if the allocator had no right to hand out this block. */
bool buddy_model_hold(struct buddy_model *model, uint32_t n, unsigned order) MUST_USE;
void buddy_model_free(struct buddy_model *model, uint32_t n, unsigned order);
void buddy_model_trim(struct buddy_model *model, uint32_t n, uint32_t count);

/* What a free must answer; BUDDY_FREE stands for BUDDY_NEVER too. */
enum buddy_misuse buddy_model_judge(const struct buddy_model *model, uint64_t n, unsigned order);

size_t buddy_model_free_frames(const struct buddy_model *model);

/*
 * NULL if the allocator's free blocks are the largest aligned runs of free frames, and its held blocks are
 * ours.
 */
const char *buddy_model_compare(const struct buddy_model *model, const struct buddy *buddy);

#endif
