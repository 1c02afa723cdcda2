/* What the host's runner and its panic() know of each other. */
#ifndef HOST_HOST_TEST_H
#define HOST_HOST_TEST_H

#include <lib/compiler.h>

/*
 * Fails the running case with `what` and how to repeat it; ends the process where no case can be left by a
 * jump.
 */
NORETURN void host_test_fail(const char *file, int line, const char *what);

/* A case is running and this is its thread: a jump out of it is possible. */
bool host_test_can_jump(void);

#endif
