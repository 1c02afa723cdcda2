/*
 * panic() and warn() in a process, and what <test/test.h> says about expecting them. A panic that was not
 * expected fails the case it happened in; if a lock is held, or no case runs, there is no way on and the
 * process ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sanitizer/common_interface_defs.h>
#include <arch/percpu.h>
#include <arch/spinlock.h>
#include <lib/panic.h>
#include <test/test.h>
#include "host_test.h"

enum { TEXT_MAX = 512 };

/* Each thread is a CPU and expects for itself. */
static _Thread_local struct {
	struct context context;
	bool armed;
	char message[TEXT_MAX];
} expected;

/* Of all CPUs, one at a time; what a test asks of them, it asks while only one runs. */
static struct {
	pthread_mutex_t lock;
	unsigned long count;
	bool quiet;
	char last[TEXT_MAX];
} warnings = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void format_text(char text[TEXT_MAX], const char *fmt, va_list args)
{
	vformat_buffer(text, TEXT_MAX, fmt, args);
}

/* The next case would wait for the lock for ever. (Who expects a panic under one lets go of it after.) */
static void refuse_held_locks(const char *message)
{
	const struct cpu *cpu = this_cpu();

	if (!cpu->held_locks && !cpu->held_mutexes)
		return;
	fprintf(stderr, "panic with lock \"%s\" held: %s\n",
	        cpu->held_locks ? cpu->held[cpu->held_locks - 1]->name : "a mutex", message);
	__sanitizer_print_stack_trace();
	abort();
}

void panic(const char *fmt, ...)
{
	static _Thread_local char text[TEXT_MAX + 16] = "panic: ";
	char *message = text + sizeof("panic: ") - 1;
	va_list args;

	va_start(args, fmt);
	format_text(message, fmt, args);
	va_end(args);
	if (expected.armed) {
		format_buffer(expected.message, TEXT_MAX, "%s", message);
		context_resume(&expected.context);
	}
	refuse_held_locks(message);
	__sanitizer_print_stack_trace();
	host_test_fail(__FILE__, __LINE__, text);
}

void warn(const char *fmt, ...)
{
	va_list args;

	pthread_mutex_lock(&warnings.lock);
	va_start(args, fmt);
	format_text(warnings.last, fmt, args);
	va_end(args);
	warnings.count++;
	if (!warnings.quiet)
		test_note("warning: %s", warnings.last);
	pthread_mutex_unlock(&warnings.lock);
}

struct context *test_panic_context(void)
{
	return &expected.context;
}

void test_panic_arm(bool armed)
{
	expected.armed = armed;
}

const char *test_panic_message(void)
{
	return expected.message;
}

void test_warnings_begin(void)
{
	warnings.quiet = true;
	warnings.count = 0;
}

unsigned long test_warnings_end(void)
{
	warnings.quiet = false;
	return warnings.count;
}

const char *test_warning_last(void)
{
	return warnings.last;
}
