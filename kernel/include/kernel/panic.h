/*
 * The end of the road, and how a test survives it. panic() and warn() are declared in <lib/panic.h>.
 *
 * Reports end with `exit` status 0x12 at the debug-exit port, so that a panicking machine leaves QEMU with status 37.
 */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

#include <arch/context.h>
#include <arch/trap.h>
#include <lib/printer.h>

/* Values for the debug-exit port; QEMU's status is value << 1 | 1. */
enum { EXIT_PASSED = 0x10, EXIT_FAILED = 0x11, EXIT_PANIC = 0x12 };

/*
 * Frame-pointer backtrace with symbols: `rip` (0: nothing), then what the frames from `rbp` on return to; stops at
 * anything that is not on a CPU's stack.
 */
void backtrace_print(struct printer *out, uint64_t rip, uint64_t rbp);

/* Says on the console what lies at an address: a stack's guard page, or what mm_describe_address() knows of it. */
void describe_address(vaddr_t va);

/*
 * The next panic() or exception of this CPU resumes `context` instead of reporting, and ends the expectation. It comes
 * back at the nesting of handlers at which it was armed, so that a handler may be left this way.
 */
struct expectation {
	struct context context;
	uint32_t interrupt_depth; /* set by panic_expect() */
	char message[512];        /* the panic's text; empty for a fault */
	bool faulted;             /* an exception, not a panic */
	struct trap_frame frame;  /* valid if faulted: as the processor pushed it */
	vaddr_t address;          /* CR2, for page faults */
};
void panic_expect(struct expectation *expectation); /* NULL ends it */

/* The expectation of this CPU, which is over now; NULL if there is none. For trap_handle(). */
struct expectation *panic_take_expectation(void);

/*
 * A report that is not a mere panic() (an exception) begins and ends with these. The first makes this CPU the only one
 * that runs, or, if another was faster, does not return. It says false if this CPU is already reporting, which must then
 * say little and end.
 */
bool report_begin(void);
NORETURN void report_end(void);

/* What is going on, for reports: "test slab.names_are_copied"; NULL for nothing. The text is kept by reference. */
void panic_set_activity(const char *activity);

/* The last warn() text of any CPU, and how many there were, suppressed ones included; a test reads both. */
const char *warn_last(void);
unsigned long warn_count(void);
/* While on, warnings are recorded but not printed. */
void warn_quiet(bool quiet);

#endif
