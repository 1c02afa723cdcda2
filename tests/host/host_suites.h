/*
 * Suites that only a process can run: exhaustive models, private builds of kernel-only files, the host
 * machine itself.
 */
#ifndef HOST_HOST_SUITES_H
#define HOST_HOST_SUITES_H

#include <test/test.h>

extern const struct test_suite *const host_suites[]; /* ends with NULL */

#endif
