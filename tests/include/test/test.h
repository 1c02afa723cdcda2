/*
 * One test language for two worlds. A suite includes this header only: in the kernel, kernel/selftest.c runs its cases
 * and reports KTAP on the serial line; on the host, tests/host/runner.c hands the same cases to cmocka under ASan and
 * UBSan. Assertions have cmocka's names.
 *
 * A case is a claim: its name is the sentence it proves. Around each case the runner compares mm_fingerprint() and runs
 * mm_verify(); a case that leaks or breaks an invariant fails.
 */
#ifndef TEST_TEST_H
#define TEST_TEST_H

#include <arch/context.h>
#include <lib/compiler.h>
#include <lib/printer.h>
#include <lib/rng.h>
#include <lib/string.h>

struct test_case {
	const char *name;
	void (*run)(void);
};
#define TEST_CASE(function)                        \
	{                                          \
		.name = #function, .run = function \
	}

struct test_suite {
	const char *name;
	const struct test_case *cases;
	size_t nr_cases;
	void (*set_up)(void);    /* before each case; may be NULL */
	void (*tear_down)(void); /* after each case, failed or not; may be NULL */
};
#define TEST_SUITE(suite_name, case_array, ...)                                                              \
	{                                                                                                    \
		.name = (suite_name), .cases = (case_array), .nr_cases = ARRAY_SIZE(case_array), __VA_ARGS__ \
	}

/* Provided by the runner. */
NORETURN void test_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Leaves the case as skipped, with the reason. */
NORETURN void test_skip(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A diagnostic line, shown on the kernel's serial line; and the same as a sink. */
void test_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
struct printer *test_printer(void);
uint64_t test_seed(void);  /* of this run; seed=N repeats it. A failure prints it */
bool test_is_hosted(void); /* for sizes of workloads only, never for what is asserted */

/* Remembered and printed when the case fails: which step of a randomised case it was. */
void test_step(uint64_t step);

#define fail_msg(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define assert_true(c)                                                    \
	do {                                                              \
		if (!(c))                                                 \
			test_fail(__FILE__, __LINE__, "%s is false", #c); \
	} while (0)
#define assert_false(c)                                                  \
	do {                                                             \
		if (c)                                                   \
			test_fail(__FILE__, __LINE__, "%s is true", #c); \
	} while (0)
#define assert_null(p)     assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_compare_(a, op, b)                                                                           \
	do {                                                                                                \
		unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b);              \
		if (!(a_ op b_))                                                                            \
			test_fail(__FILE__, __LINE__, "%s " #op " %s: %llu (0x%llx) against %llu (0x%llx)", \
			          #a, #b, a_, a_, b_, b_);                                                  \
	} while (0)
#define assert_int_equal(a, b)     assert_compare_(a, ==, b)
#define assert_int_not_equal(a, b) assert_compare_(a, !=, b)
#define assert_at_most(a, b)       assert_compare_(a, <=, b)
#define assert_at_least(a, b)      assert_compare_(a, >=, b)
#define assert_ptr_equal(a, b)     assert_compare_((uintptr_t)(a), ==, (uintptr_t)(b))
#define assert_ptr_not_equal(a, b) assert_compare_((uintptr_t)(a), !=, (uintptr_t)(b))
/* NULL is equal to nothing and matches nothing: it fails, and is shown as "(null)". */
#define assert_string_equal(a, b)                                                                   \
	do {                                                                                        \
		const char *a_ = (a), *b_ = (b);                                                    \
		if (!a_ || !b_ || strcmp(a_, b_) != 0)                                              \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #a, a_, b_); \
	} while (0)
/* `pattern` is a glob: addresses and line numbers become `*`. */
#define assert_matches(text, pattern)                                                          \
	do {                                                                                   \
		const char *t_ = (text), *p_ = (pattern);                                      \
		if (!t_ || !p_ || !glob_match(p_, t_))                                         \
			test_fail(__FILE__, __LINE__, "\"%s\" does not match \"%s\"", t_, p_); \
	} while (0)
/* A verifier's answer: NULL is sound; anything else is shown. */
#define assert_sound(check)                                                       \
	do {                                                                      \
		const char *broken_ = (check);                                    \
		if (broken_)                                                      \
			test_fail(__FILE__, __LINE__, "%s: %s", #check, broken_); \
	} while (0)

/*
 * Runs `statement` and demands that it panics with a text matching `pattern`. The message is exact but for `*`.
 * The world must be consistent when it does: report only with no lock held.
 */
struct context *test_panic_context(void);
void test_panic_arm(bool armed);
const char *test_panic_message(void);
#define expect_panic(pattern, statement)                                                                     \
	do {                                                                                                 \
		if (!context_save(test_panic_context())) {                                                   \
			test_panic_arm(true);                                                                \
			statement;                                                                           \
			test_panic_arm(false);                                                               \
			test_fail(__FILE__, __LINE__, "%s: no panic, expected \"%s\"", #statement, pattern); \
		}                                                                                            \
		test_panic_arm(false);                                                                       \
		assert_matches(test_panic_message(), pattern);                                               \
	} while (0)

/* Warnings are recorded, not printed, between begin and end. */
void test_warnings_begin(void);
unsigned long test_warnings_end(void); /* how many there were */
const char *test_warning_last(void);
#define expect_warning(pattern, statement)                    \
	do {                                                  \
		test_warnings_begin();                        \
		statement;                                    \
		assert_int_equal(test_warnings_end(), 1);     \
		assert_matches(test_warning_last(), pattern); \
	} while (0)

#endif
