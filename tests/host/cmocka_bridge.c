/* The only file that includes <cmocka.h>; see cmocka_bridge.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "cmocka_bridge.h"

static void run(void **state)
{
	const struct bridge_case *c = *state;
	c->run(c->context);
}

static int after(void **state)
{
	const struct bridge_case *c = *state;
	c->after(c->context);
	return 0;
}

size_t bridge_run_group(const char *name, const struct bridge_case *cases, size_t count)
{
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	if (!tests)
		abort();
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){cases[i].name, run, NULL, after, (void *)(uintptr_t)&cases[i]};
	int failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	free(tests);
	return (size_t)failed;
}

void bridge_fail(const char *file, int line, const char *message)
{
	print_error("%s\n", message);
	_fail(file, line);
	abort(); /* _fail() jumps; cmocka does not say so */
}

void bridge_skip(const char *file, int line)
{
	_skip(file, line);
	abort();
}
