/*
 * cmocka behind a narrow door: <cmocka.h> and <test/test.h> both define assert_true() and its kin, so only
 * cmocka_bridge.c sees the former.
 */
#ifndef HOST_CMOCKA_BRIDGE_H
#define HOST_CMOCKA_BRIDGE_H

#include <lib/compiler.h>

/* `after` runs whether or not the case failed, and may fail like it. */
struct bridge_case {
	const char *name;
	void (*run)(void *context), (*after)(void *context);
	void *context;
};

/*
 * Runs the cases as one cmocka group; the number that failed. CMOCKA_MESSAGE_OUTPUT chooses the output's
 * form.
 */
size_t bridge_run_group(const char *name, const struct bridge_case *cases, size_t count);

/* From inside a case, on the thread that runs it. */
NORETURN void bridge_fail(const char *file, int line, const char *message);
NORETURN void bridge_skip(const char *file, int line);

#endif
