/*
 * What every verifier returns: NULL for a sound structure, else the broken invariant in words. The words live
 * in one static buffer, good until the next failed check; verifiers are for tests, stage ends and panics, one
 * at a time.
 */
#ifndef LIB_CHECK_H
#define LIB_CHECK_H

#include <lib/compiler.h>

/* Formats the message and returns it: `return check_failed("I3: …", …);` */
const char *check_failed(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Leaves the calling verifier with this message if the invariant does not hold. */
#define CHECK(cond, ...)                                  \
	do {                                              \
		if (unlikely(!(cond)))                    \
			return check_failed(__VA_ARGS__); \
	} while (0)

#endif
