/*
 * The in-kernel runner: KTAP version 1, a subtest per suite.
 *
 * A case runs between two fingerprints of the memory subsystem and is followed by every verifier: it fails if it leaks a
 * page, an object or an area, breaks an invariant, keeps a lock, leaves a CPU at work, or changes whether interrupts are
 * masked. Assertions leave it by context_resume(). A panic that it expected does the same through <kernel/panic.h>; one
 * that it did not ends the machine with its report.
 *
 * All state is static: what changes between saving a context and coming back to it would otherwise be undefined.
 */
#include <arch/apic.h>
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <kernel/console.h>
#include <kernel/panic.h>
#include <kernel/selftest.h>
#include <lib/panic.h>
#include <mm/mm.h>
#include <test/holes.h>
#include <test/test.h>

enum outcome { PASSED, FAILED, SKIPPED, OUTCOMES };

static uint64_t seed;

/* The case that runs. */
static struct {
	struct context end; /* where assertions leave to */
	enum outcome outcome;
	char reason[512]; /* for the outcome */
	bool stepped;
	uint64_t step;
	char name[128]; /* suite.case */
} now;

/* ---- Diagnostics: each line indented and behind a # ---- */

static void note_write(struct printer *printer, const char *text, size_t length)
{
	static bool inside; /* a line that has begun */

	(void)printer;
	for (size_t i = 0; i < length; i++) {
		if (!inside)
			console.write(&console, "    # ", 6);
		console.write(&console, &text[i], 1);
		inside = text[i] != '\n';
	}
}

static struct printer notes = {.write = note_write};

struct printer *test_printer(void)
{
	notes.symbol = console.symbol;
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

/* ---- What a case may call ---- */

uint64_t test_seed(void)
{
	return seed;
}

bool test_is_hosted(void)
{
	return false;
}

void test_step(uint64_t step)
{
	now.stepped = true;
	now.step = step;
}

/* Only the CPU that runs the cases can leave one: others report to it. */
static void refuse_other_cpus(const char *what, const char *text)
{
	if (this_cpu()->id)
		panic("%s on CPU %u, which runs no case: %s", what, this_cpu()->id, text);
}

/* The first failure is the cause; what the clean-up then stumbles over is not. */
static void give_verdict(enum outcome outcome, const char *fmt, va_list args)
{
	if (now.outcome == FAILED)
		return;
	now.outcome = outcome;
	console_format(now.reason, sizeof(now.reason), fmt, args);
}

static void PRINTF_LIKE(1, 2) fail_case(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	give_verdict(FAILED, fmt, args);
	va_end(args);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vformat_buffer(text, sizeof(text), fmt, args);
	va_end(args);
	refuse_other_cpus("test_fail", text);
	fail_case("%s:%d: %s", file, line, text);
	context_resume(&now.end);
}

void test_skip(const char *fmt, ...)
{
	va_list args;

	refuse_other_cpus("test_skip", fmt);
	va_start(args, fmt);
	give_verdict(SKIPPED, fmt, args);
	va_end(args);
	context_resume(&now.end);
}

static struct expectation expected_panic;

struct context *test_panic_context(void)
{
	return &expected_panic.context;
}

void test_panic_arm(bool armed)
{
	panic_expect(armed ? &expected_panic : NULL);
}

const char *test_panic_message(void)
{
	return expected_panic.faulted ? trap_name((unsigned)expected_panic.frame.vector)
	                              : expected_panic.message;
}

static unsigned long warnings_before;

void test_warnings_begin(void)
{
	warn_quiet(true);
	warnings_before = warn_count();
}

unsigned long test_warnings_end(void)
{
	warn_quiet(false);
	return warn_count() - warnings_before;
}

const char *test_warning_last(void)
{
	return warn_last();
}

/* ---- One case ---- */

/* Calls `step` such that an assertion in it comes back here. */
static void run_guarded(void (*step)(void))
{
	if (!step)
		return;
	if (!context_save(&now.end))
		step();
	panic_expect(NULL);
	warn_quiet(false);
	this_cpu()->interrupt_depth = 0; /* it may have been left from within a handler */
}

static void check_cpu(bool irqs_before)
{
	struct cpu *cpu = this_cpu();

	if (irqs_enabled() != irqs_before)
		fail_case("the case ended with interrupts %s", irqs_before ? "masked" : "enabled");
	if (irqs_before)
		irq_enable();
	else
		irq_disable();
	if (cpu->held_locks)
		fail_case("the case ended with the spinlock %s held, taken at %pS", cpu->held[0]->name,
		          (void *)cpu->held_at[0]);
	if (cpu->held_mutexes)
		fail_case("the case ended with %u mutexes held", cpu->held_mutexes);
	cpu->held_locks = cpu->held_mutexes = 0;
}

static void check_other_cpus(void)
{
	for (unsigned id = 1; id < nr_cpus_online(); id++) {
		const struct cpu *cpu = cpu_by_id(id);
		if (!cpu_work_done(id))
			fail_case("the case ended with CPU %u at work", id);
		else if (cpu->held_locks)
			fail_case("the case ended with the spinlock %s held by CPU %u", cpu->held[0]->name,
			          id);
		else if (cpu->held_mutexes)
			fail_case("the case ended with %u mutexes held by CPU %u", cpu->held_mutexes, id);
	}
}

static void check_memory(const struct mm_fingerprint *before)
{
	static struct mm_fingerprint after;

	const char *broken = mm_verify();
	if (broken) {
		fail_case("mm_verify: %s", broken);
		return; /* a fingerprint of what is broken says nothing */
	}
	mm_fingerprint(&after);
	if (!mm_fingerprint_equal(before, &after, test_printer()))
		fail_case("the case does not leave memory as it found it");
}

static void run_case(const struct test_suite *suite, const struct test_case *test)
{
	static struct mm_fingerprint before;
	bool irqs_before = irqs_enabled();

	now.outcome = PASSED;
	now.stepped = false;
	format_buffer(now.name, sizeof(now.name), "test %s.%s", suite->name, test->name);
	panic_set_activity(now.name);

	mm_fingerprint(&before);
	run_guarded(suite->set_up);
	if (now.outcome == PASSED)
		run_guarded(test->run);
	run_guarded(suite->tear_down);
	check_cpu(irqs_before);
	check_other_cpus();
	check_memory(&before);
	panic_set_activity(NULL);
}

static void report_case(unsigned number, const struct test_case *test)
{
	switch (now.outcome) {
	case FAILED:
		test_note("%s", now.reason);
		if (now.stepped)
			test_note("seed=%lu repeats this; it was at step %lu", seed, now.step);
		else
			test_note("seed=%lu repeats this", seed);
		kprintf("    not ok %u %s\n", number, test->name);
		return;
	case SKIPPED:
		kprintf("    ok %u %s # SKIP %s\n", number, test->name, now.reason);
		return;
	default:
		kprintf("    ok %u %s\n", number, test->name);
	}
}

/* ---- Suites ---- */

static bool is_selected(const struct test_suite *suite, const struct test_case *test, const char *glob)
{
	char full[128];

	format_buffer(full, sizeof(full), "%s.%s", suite->name, test->name);
	return glob_match(glob, suite->name) || glob_match(glob, full);
}

static unsigned count_cases(const struct test_suite *suite, const char *glob)
{
	unsigned count = 0;
	for (size_t i = 0; i < suite->nr_cases; i++)
		count += is_selected(suite, &suite->cases[i], glob);
	return count;
}

static unsigned count_suites(const struct test_suite *const *const *tables, const char *glob)
{
	unsigned count = 0;
	for (; *tables; tables++) {
		for (const struct test_suite *const *suite = *tables; *suite; suite++)
			count += count_cases(*suite, glob) > 0;
	}
	return count;
}

static void run_suite(unsigned number, const struct test_suite *suite, const char *glob,
                      unsigned totals[OUTCOMES])
{
	unsigned failed_before = totals[FAILED], done = 0;

	kprintf("    KTAP version 1\n    # Subtest: %s\n    1..%u\n", suite->name, count_cases(suite, glob));
	for (size_t i = 0; i < suite->nr_cases; i++) {
		if (!is_selected(suite, &suite->cases[i], glob))
			continue;
		run_case(suite, &suite->cases[i]);
		report_case(++done, &suite->cases[i]);
		totals[now.outcome]++;
	}
	kprintf("%s %u %s\n", totals[FAILED] == failed_before ? "ok" : "not ok", number, suite->name);
}

/* Fast enough to interrupt every test, slow enough not to drown an emulated one. */
enum { TICKS_PER_SECOND = 100 };

static void tick(void)
{
	/* Being interrupted is the point: nothing else is due. */
}

static void start_own_timer(void *unused)
{
	(void)unused;
	cpu_timer_start(TICKS_PER_SECOND, tick);
}

static void stop_own_timer(void *unused)
{
	(void)unused;
	cpu_timer_stop();
}

/* The oldest timer interrupts the boot CPU, which runs the cases; their own interrupt the others. */
static void start_ticking(void)
{
	cpu_call(cpus_online() & ~(cpuset_t)1, start_own_timer, NULL);
	timer_start(TICKS_PER_SECOND, tick);
	irq_enable();
}

static void stop_ticking(void)
{
	irq_disable();
	timer_stop();
	cpu_call(cpus_online() & ~(cpuset_t)1, stop_own_timer, NULL);
}

bool selftest_run(const struct test_suite *const *const *tables, const char *glob, uint64_t run_seed)
{
	unsigned totals[OUTCOMES] = {0}, number = 0;
	unsigned suites = count_suites(tables, glob);

	seed = run_seed;
	kprintf("KTAP version 1\n# seed=%lu\n1..%u\n", seed, suites);
	holes_fill();
	start_ticking();
	for (; *tables; tables++) {
		for (const struct test_suite *const *suite = *tables; *suite; suite++) {
			if (count_cases(*suite, glob))
				run_suite(++number, *suite, glob, totals);
		}
	}
	stop_ticking();
	holes_give();
	if (!suites)
		kprintf("# no test matches %s\n", glob);
	kprintf("# %u passed, %u failed, %u skipped\n", totals[PASSED], totals[FAILED], totals[SKIPPED]);
	return suites && !totals[FAILED];
}
