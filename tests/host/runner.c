/*
 * The hosted test program: boots the memory subsystem on the hosted machine, then hands every selected case
 * to cmocka, one group per suite.
 *
 *	octavo-tests [--seed N] [--levels N] [--list] [GLOB]      GLOB matches "suite" or "suite.case"
 *
 * The seed is also taken from the environment's SEED. The modelled processor walks 4 levels of page tables unless
 * told 5. Around each case stands what must hold for all of them:
 * the same fingerprint before and after, a sound system, no stale translation, interrupts and locks as they
 * were.
 */
#include <stdio.h>
#include <stdlib.h>
#include <arch/percpu.h>
#include <arch/spinlock.h>
#include <host/machine.h>
#include <host/soft_mmu.h>
#include <lib/panic.h>
#include <mm/mm.h>
#include <test/test.h>
#include "all_suites.h"
#include "cmocka_bridge.h"
#include "host_boot.h"
#include "host_suites.h"
#include "host_test.h"

enum { NAME_MAX_BYTES = 192, DEFAULT_SEED = 1 };

/* What cmocka is given for each case. */
struct bound_case {
	const struct test_suite *suite;
	const struct test_case *test;
	char name[NAME_MAX_BYTES];
};

static struct {
	uint64_t seed;
	const char *glob;
	bool list;
	unsigned levels;
} options = {DEFAULT_SEED, "*", false, 4};

static struct {
	const struct bound_case *running; /* NULL between cases */
	bool stepped, failed, skipped, finished;
	uint64_t step;
	struct mm_fingerprint before;
} current;

static struct {
	size_t selected, failed, skipped;
} totals;

static _Thread_local bool is_test_thread;

/* ---- What <test/test.h> promises ---- */

uint64_t test_seed(void)
{
	return options.seed;
}

bool test_is_hosted(void)
{
	return true;
}

void test_step(uint64_t step)
{
	current.stepped = true;
	current.step = step;
}

/* Notes are comments in TAP and harmless in cmocka's other forms: each line begins with "# ". */
static void note_write(struct printer *printer, const char *text, size_t length)
{
	static bool inside_line;

	(void)printer;
	for (size_t i = 0; i < length; i++) {
		if (!inside_line)
			fputs("# ", stdout);
		putchar(text[i]);
		inside_line = text[i] != '\n';
	}
	fflush(stdout);
}

struct printer *test_printer(void)
{
	static struct printer notes = {.write = note_write};
	return &notes;
}

void test_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprint(test_printer(), fmt, args);
	va_end(args);
	print(test_printer(), "\n");
}

bool host_test_can_jump(void)
{
	return is_test_thread && current.running;
}

void host_test_fail(const char *file, int line, const char *what)
{
	static char text[1024];
	struct buffer_printer report;

	buffer_printer_init(&report, text, sizeof(text));
	print(&report.printer, "%s", what);
	if (current.running)
		print(&report.printer, "\nrepeat: SEED=%lu octavo-tests --levels %u '%s'", options.seed,
		      options.levels, current.running->name);
	if (current.stepped)
		print(&report.printer, " (fails at step %lu)", current.step);
	current.failed = true;
	if (host_test_can_jump())
		bridge_fail(file, line, text);
	fprintf(stderr, "%s:%d: %s\n", file, line, text);
	abort();
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	static _Thread_local char what[768];
	va_list args;

	test_panic_arm(false);
	va_start(args, fmt);
	vformat_buffer(what, sizeof(what), fmt, args);
	va_end(args);
	host_test_fail(file, line, what);
}

void test_skip(const char *fmt, ...)
{
	va_list args;

	print(test_printer(), "skipped %s: ", current.running->name);
	va_start(args, fmt);
	vprint(test_printer(), fmt, args);
	va_end(args);
	print(test_printer(), "\n");
	current.skipped = true;
	bridge_skip(__FILE__, __LINE__);
}

/* ---- Around each case ---- */

/*
 * The CPU must be as a caller finds it: a case that leaves it otherwise would change what the next one tests.
 */
static void check_cpu(void)
{
	struct cpu *cpu = this_cpu();
	bool clean = cpu->irqs_enabled && !cpu->interrupt_depth && !cpu->held_locks;

	if (cpu->held_locks || cpu->held_mutexes) {
		fprintf(stderr, "%s ends with lock \"%s\" held\n", current.running->name,
		        cpu->held_locks ? cpu->held[0]->name : "a mutex");
		abort();
	}
	host_set_irqs(true);
	cpu->interrupt_depth = 0;
	if (!clean && !current.failed)
		fail_msg("the case leaves interrupts masked or interrupt context entered");
}

/* A failed case leaves whatever it leaves; complaining about that would bury why it failed. */
static void check_world(void)
{
	struct mm_fingerprint after;

	mm_fingerprint(&after);
	if (current.failed)
		return;
	if (!mm_fingerprint_equal(&current.before, &after, test_printer()))
		fail_msg("the case changes the memory fingerprint, as listed above");
	assert_sound(mm_verify());
	assert_sound(host_tlb_check());
}

/* Once per case: at its end, or after the jump out of it. */
static void finish_case(const struct bound_case *c)
{
	if (current.finished)
		return;
	current.finished = true;
	test_panic_arm(false);
	(void)test_warnings_end();
	if (c->suite->tear_down)
		c->suite->tear_down();
	check_cpu();
	check_world();
	totals.skipped += current.skipped && !current.failed;
}

/* All in cmocka's eyes one test, so that a leak is a failure of the case and not of the harness. */
static void run_case(void *context)
{
	const struct bound_case *c = context;

	host_catch_faults();
	is_test_thread = true;
	current.running = c;
	current.stepped = current.failed = current.skipped = current.finished = false;
	mm_fingerprint(&current.before);
	if (c->suite->set_up)
		c->suite->set_up();
	c->test->run();
	finish_case(c);
}

static void after_case(void *context)
{
	host_catch_faults();
	finish_case(context);
	current.running = NULL;
}

/* ---- Selecting and running ---- */

static size_t bind_selected(const struct test_suite *suite, struct bound_case *bound)
{
	size_t count = 0;

	for (size_t i = 0; i < suite->nr_cases; i++) {
		struct bound_case *c = &bound[count];
		*c = (struct bound_case){suite, &suite->cases[i], ""};
		size_t length =
		        format_buffer(c->name, sizeof(c->name), "%s.%s", suite->name, suite->cases[i].name);
		ASSERT(length < sizeof(c->name));
		count += glob_match(options.glob, c->name) || glob_match(options.glob, suite->name);
	}
	return count;
}

static void run_suite(const struct test_suite *suite)
{
	struct bound_case *bound = calloc(suite->nr_cases, sizeof(*bound));
	struct bridge_case *cases = calloc(suite->nr_cases, sizeof(*cases));
	ASSERT(bound && cases);

	size_t count = bind_selected(suite, bound);
	for (size_t i = 0; i < count; i++) {
		cases[i] = (struct bridge_case){bound[i].name, run_case, after_case, &bound[i]};
		if (options.list)
			puts(bound[i].name);
	}
	totals.selected += count;
	if (count && !options.list)
		totals.failed += bridge_run_group(suite->name, cases, count);
	free(cases);
	free(bound);
}

static void take_seed(const char *text)
{
	if (text && *text && !parse_u64(text, &options.seed)) {
		fprintf(stderr, "octavo-tests: \"%s\" is no seed\n", text);
		exit(2);
	}
}

static void take_levels(const char *text)
{
	uint64_t levels;

	if (!parse_u64(text, &levels) || (levels != 4 && levels != 5)) {
		fprintf(stderr, "octavo-tests: page tables have 4 or 5 levels, not \"%s\"\n", text);
		exit(2);
	}
	options.levels = (unsigned)levels;
}

static void parse_arguments(char **arguments)
{
	take_seed(getenv("SEED"));
	for (; *arguments; arguments++) {
		if (strcmp(*arguments, "--list") == 0)
			options.list = true;
		else if (strcmp(*arguments, "--seed") == 0 && arguments[1])
			take_seed(*++arguments);
		else if (strcmp(*arguments, "--levels") == 0 && arguments[1])
			take_levels(*++arguments);
		else if (**arguments != '-')
			options.glob = *arguments;
		else {
			fprintf(stderr, "usage: octavo-tests [--seed N] [--levels N] [--list] [GLOB]\n");
			exit(2);
		}
	}
}

int main(int nr_arguments, char **arguments)
{
	(void)nr_arguments;
	parse_arguments(arguments + 1);
	const char *refused = host_boot(options.levels);
	if (refused) {
		fprintf(stderr, "octavo-tests: mm_init refuses the hosted machine: %s\n", refused);
		return 1;
	}
	if (!options.list)
		test_note("seed %lu, page tables of %u levels", options.seed, options.levels);
	for (const struct test_suite *const *suite = all_suites; *suite; suite++)
		run_suite(*suite);
	for (const struct test_suite *const *suite = host_suites; *suite; suite++)
		run_suite(*suite);
	if (!totals.selected) {
		fprintf(stderr, "octavo-tests: no case matches \"%s\"\n", options.glob);
		return 1;
	}
	if (options.list)
		return 0;
	test_note("host: %zu passed, %zu failed, %zu skipped",
	          totals.selected - totals.failed - totals.skipped, totals.failed, totals.skipped);
	return totals.failed ? 1 : 0;
}
