/*
 * The two ways up. mm/ and arch/ may end the machine or say one line; who listens is decided above them
 * (kernel/ on the machine, tests/host/ in a process).
 *
 * Failure has three voices: no memory is NULL; the caller's mistake is panic(), naming the call, the address,
 * and what was expected; our own mistake is an assertion naming the invariant.
 */
#ifndef LIB_PANIC_H
#define LIB_PANIC_H

#include <lib/compiler.h>

/* Ends the machine with one report. Any context, any lock held; allocates nothing. Defined above. */
NORETURN void panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

/*
 * One line for the operator. Any context; allocates nothing. Defined above; the kernel's shows a flood of one kind in part,
 * each kind for itself (<lib/warn_limit.h>).
 */
void warn(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Always on: cheap enough for a production kernel. */
#define ASSERT(cond)                                                                     \
	do {                                                                             \
		if (unlikely(!(cond)))                                                   \
			panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond); \
	} while (0)

/* Debug build only; the release build still compiles the condition, so that it cannot rot. */
#define DEBUG_ASSERT(cond)            \
	do {                          \
		if (IS_DEBUG)         \
			ASSERT(cond); \
	} while (0)

#endif
