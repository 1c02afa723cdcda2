/* The exact words of a report, where they hold addresses and counts that only the running test knows. */
#ifndef COMMON_EXPECTED_H
#define COMMON_EXPECTED_H

#include <lib/compiler.h>

/* For expect_panic() and assert_matches(). In a static buffer, good until the next call. */
const char *expected(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
