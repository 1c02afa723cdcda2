/*
 * Reports: one for a panic, a line for a warning. Everything here allocates nothing and takes no lock that a dead CPU
 * could hold.
 *
 * R1  There is one report. The first CPU to begin one stops all others by NMI, which nothing masks, before it says a
 *     word; a CPU that comes second stops by itself.
 * R2  A CPU reports once. What goes wrong while it reports prints one line and ends the machine; what goes wrong with
 *     that line ends it in silence.
 * R3  An expectation is used up by the first panic or exception of its CPU; a second one is reported.
 */
#include <arch/bringup.h>
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <arch/trap.h>
#include <kernel/console.h>
#include <kernel/panic.h>
#include <lib/align.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <lib/warn_limit.h>

enum {
	FRAMES_MAX = 24,
	STEPS_MAX = 4096, /* more frames than a sound stack holds: in a broken one they may form a ring */
};

static struct expectation *expectations[CPUS_MAX];
enum { NOBODY = -1 };
static int reporter = NOBODY; /* R1 */
static unsigned reports;      /* its own */
static const char *activity;
static struct warn_limit warn_limit = {.window = 1UL << 32 /* cycles: a second or two */};

static unsigned current_cpu(void)
{
	return arch_is_ready() ? this_cpu()->id : 0;
}

/* ---- Backtraces ---- */

/* A saved frame pointer and the return address above it lie at `rbp`. */
static bool is_on_a_stack(uint64_t rbp)
{
	const struct guarded_stack *s = stack_at(vaddr(rbp));

	return s && is_aligned(rbp, sizeof(uint64_t)) && s->stack.end.raw - rbp >= 2 * sizeof(uint64_t);
}

/* A return address lies behind its call, which may be the last instruction of its function: look one byte before. */
static void print_frame(struct printer *out, unsigned number, uint64_t rip, bool is_return)
{
	uintptr_t offset;
	const char *name = out->symbol ? out->symbol(rip - is_return, &offset) : NULL;

	if (name)
		print(out, "  %2u  0x%016lx  %s+0x%lx\n", number, (unsigned long)rip, name,
		      offset + is_return);
	else
		print(out, "  %2u  0x%016lx\n", number, (unsigned long)rip);
}

/* Goes on to the caller; false at the end of what is known to be a stack. */
static bool step_out(uint64_t *rip, uint64_t *rbp)
{
	if (!is_on_a_stack(*rbp))
		return false;
	const uint64_t *frame = (const uint64_t *)*rbp;
	*rbp = frame[0];
	*rip = frame[1];
	return *rip != 0;
}

void backtrace_print(struct printer *out, uint64_t rip, uint64_t rbp)
{
	unsigned steps = 0;
	bool is_return = !rip;
	bool more = rip || step_out(&rip, &rbp);

	print(out, "Backtrace:\n");
	for (unsigned number = 0; more && number < FRAMES_MAX; number++) {
		uint64_t shown = rip;
		unsigned repeats = 0;

		print_frame(out, number, rip, is_return);
		while ((more = steps++ < STEPS_MAX && step_out(&rip, &rbp)) && rip == shown)
			repeats++;
		if (repeats) /* recursion is told once */
			print(out, "      ... %u times more\n", repeats);
		is_return = true;
	}
	if (more)
		print(out, "  ... and so on\n");
}

/* ---- Expectations ---- */

void panic_expect(struct expectation *expectation)
{
	if (expectation) {
		expectation->interrupt_depth = this_cpu()->interrupt_depth;
		expectation->faulted = false;
		expectation->message[0] = '\0';
	}
	expectations[this_cpu()->id] = expectation;
}

struct expectation *panic_take_expectation(void)
{
	struct expectation *expectation = expectations[current_cpu()];
	expectations[current_cpu()] = NULL;
	return expectation;
}

/* ---- Panic ---- */

void panic_set_activity(const char *what)
{
	activity = what;
}

static NORETURN void leave(void)
{
	debug_exit(EXIT_PANIC);
	cpu_halt_forever();
}

/* False if this CPU is reporting already. Does not return if another is. */
static bool become_reporter(void)
{
	int owner = NOBODY, me = (int)current_cpu();

	if (__atomic_compare_exchange_n(&reporter, &owner, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return true;
	if (owner != me)
		cpu_park();
	return false;
}

static void stop_others(void)
{
	cpuset_t deaf = arch_is_ready() ? cpus_stop_others() : 0;

	console_seize();
	if (deaf)
		kprintf("\nCPUs 0x%lx do not stop: what they say mixes with this report\n", deaf);
}

bool report_begin(void)
{
	irq_disable();
	bool first = become_reporter();
	if (++reports > 2)
		leave();
	if (first)
		stop_others();
	console_flush();
	if (first)
		warn_limit_tell_all(&warn_limit, &console);
	return first;
}

NORETURN void report_end(void)
{
	if (activity)
		kprintf("While: %s\n", activity);
	kprintf("End of report: the kernel stops.\n");
	leave();
}

static NORETURN void resume(struct expectation *expected, const char *fmt, va_list args)
{
	console_format(expected->message, sizeof(expected->message), fmt, args);
	this_cpu()->interrupt_depth = expected->interrupt_depth;
	context_resume(&expected->context);
}

NORETURN void panic(const char *fmt, ...)
{
	struct expectation *expected = panic_take_expectation();
	va_list args;

	va_start(args, fmt);
	if (expected)
		resume(expected, fmt, args);
	bool first = report_begin();
	if (first)
		kprintf("\nPANIC on CPU %u%s: ", current_cpu(),
		        arch_is_ready() && in_interrupt() ? ", in a handler" : "");
	else
		kprintf("PANIC within the report: ");
	vprint(&console, fmt, args);
	va_end(args);
	kprintf("\n");
	if (!first)
		leave();
	backtrace_print(&console, 0, (uint64_t)__builtin_frame_address(0));
	report_end();
}

/* ---- Warnings ---- */

/* Each CPU words its own; the last to have done so is remembered. */
static char texts[CPUS_MAX][256];
static unsigned last_speaker;
static unsigned long warnings;
static bool quiet;

void warn(const char *fmt, ...)
{
	irqflags_t flags = irq_save();
	unsigned cpu = current_cpu();
	va_list args;

	va_start(args, fmt);
	console_format(texts[cpu], sizeof(texts[cpu]), fmt, args);
	va_end(args);
	__atomic_store_n(&last_speaker, cpu, __ATOMIC_RELEASE);
	__atomic_fetch_add(&warnings, 1, __ATOMIC_RELAXED);
	if (!__atomic_load_n(&quiet, __ATOMIC_RELAXED) &&
	    warn_limit_admit(&warn_limit, texts[cpu], rdtsc(), &console))
		kprintf("warning: %s\n", texts[cpu]);
	irq_restore(flags);
}

const char *warn_last(void)
{
	return texts[__atomic_load_n(&last_speaker, __ATOMIC_ACQUIRE)];
}

unsigned long warn_count(void)
{
	return __atomic_load_n(&warnings, __ATOMIC_RELAXED);
}

void warn_quiet(bool on)
{
	__atomic_store_n(&quiet, on, __ATOMIC_RELAXED);
}
