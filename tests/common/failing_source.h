/*
 * A page source for private page tables: frames from the page allocator, filled with garbage, and on request the n-th
 * one refused. It counts, and it notices a frame that comes back before the translation caches were flushed.
 */
#ifndef TESTS_FAILING_SOURCE_H
#define TESTS_FAILING_SOURCE_H

#include <mm/page_source.h>

struct failing_source {
	struct page_source source;
	size_t held;            /* frames taken and not yet given back */
	unsigned refuse_in;     /* the n-th take from now is refused; 0: none */
	bool refused;           /* since it was armed */
	bool watching;          /* for the order of flush and give */
	uint64_t flushes_seen;  /* when watching began */
	size_t given_unflushed; /* frames given back since then with no flush in between */
};

void failing_source_init(struct failing_source *source);

/* Refuses the nth take from now (1: the next), once. */
void failing_source_arm(struct failing_source *source, unsigned nth);

/* Ends it; true if a take was refused. */
bool failing_source_disarm(struct failing_source *source);

/* From here on a flush must come before any frame comes back. */
void failing_source_watch_order(struct failing_source *source);

/* Flushes of any kind that the machine has executed. */
uint64_t flush_count(void);

#endif
