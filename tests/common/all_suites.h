/* Every suite that runs both in the kernel and on the host, from the bottom of the system upward. */
#ifndef TESTS_ALL_SUITES_H
#define TESTS_ALL_SUITES_H

#include <test/test.h>

extern const struct test_suite *const all_suites[]; /* ends with NULL */

#endif
