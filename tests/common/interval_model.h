/*
 * The naive oracle of memory maps: a list of claims, replayed for one page at a time. No sorting, no merging, no
 * rounding: a page is looked at as its first and its last byte. Slow, and obviously right.
 */
#ifndef TESTS_INTERVAL_MODEL_H
#define TESTS_INTERVAL_MODEL_H

#include <arch/page.h>

struct memblock;

enum { INTERVAL_CLAIMS_MAX = 4300 };

enum interval_kind {
	INTERVAL_RAM,   /* these bytes are RAM */
	INTERVAL_TAKEN, /* they are not, after all */
	INTERVAL_USED,  /* they are in use */
};

struct interval_claim {
	enum interval_kind kind;
	uint64_t start, last; /* both inclusive, so that nothing wraps */
};

struct interval_model {
	size_t count;
	struct interval_claim claims[INTERVAL_CLAIMS_MAX];
};

struct interval_page {
	bool ram, used;
};

void interval_model_init(struct interval_model *model);

/* `length` bytes from `start`; of what lies past 2^64, RAM claims are dropped whole and others are cut. */
void interval_model_claim(struct interval_model *model, enum interval_kind kind, uint64_t start,
                          uint64_t length);

/*
 * What the claims, in their order, make of the page at `page`: RAM if one claim held all of its bytes and no later claim
 * took any; used if any claim used any byte. pre: page-aligned, not the last page of 2^64
 */
struct interval_page interval_model_page(const struct interval_model *model, uint64_t page);

/* Highest aligned start, in [low, high), of `pages` pages that are free RAM. False if there is none. */
bool interval_model_find(const struct interval_model *model, uint64_t low, uint64_t high, uint64_t pages,
                         uint64_t align, uint64_t *start) MUST_USE;

/*
 * NULL if the memblock hands out exactly the pages of [low, high) that the claims make free, else the difference in
 * words. pre: page-aligned
 */
const char *interval_model_compare(const struct interval_model *model, const struct memblock *mb,
                                   uint64_t low, uint64_t high) MUST_USE;

#endif
