/*
 * What is refused, fails half-way or is given back leaves no trace: memory is as it was. One state is remembered at a time,
 * the latest.
 */
#ifndef TESTS_NO_TRACE_H
#define TESTS_NO_TRACE_H

#include <mm/mm.h>
#include <test/test.h>

void remember_memory(void);

/* Else what differs is printed. */
bool memory_is_like_before(void) MUST_USE;

#define assert_like_before()                          \
	do {                                          \
		assert_sound(mm_verify());            \
		assert_true(memory_is_like_before()); \
	} while (0)

/* Skips the case in the release build, which has none. */
void need_injected_failures(void);

/*
 * Around one call: from refuse_allocation() on, the nth allocation is refused. was_refused() ends it, asserts that a call
 * which failed had cause to and gave one warning, one that succeeded none, and tells whether an allocation was refused.
 */
void refuse_allocation(unsigned nth);
bool was_refused(bool succeeded) MUST_USE;

#endif
