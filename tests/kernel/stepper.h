/*
 * An interrupt between two instructions of a call, wherever one likes.
 *
 * The call runs with RFLAGS.TF set, so that a debug exception follows each of its instructions. Each of these is a
 * boundary. At one that is due the hook plays the device: it runs the handler in interrupt context and, as a device
 * interrupt would, restarts a sequence that must not be interrupted. Where interrupts are masked, or were until the
 * instruction before, no device gets through: such a boundary is masked. Only the others, the open ones, have numbers,
 * from 0.
 *
 * A masked part is not stepped through: the CPU sends itself an interrupt, which comes when it is over, and then goes on.
 *
 *	one by one    run k is interrupted once, at boundary k; the first run that ends before it was the last
 *	by stride     run r is interrupted at r, r + S, r + 2S, …; S runs meet each boundary of a longer call
 *	all in one    a single run is interrupted at every boundary: a stride of 1
 *
 * Within a run an instruction of a restartable sequence is interrupted once only: else "all in one" would never get out.
 *
 * Real interrupts come as they please: a stepped call has them at its boundaries as well.
 */
#ifndef TESTS_STEPPER_H
#define TESTS_STEPPER_H

#include <lib/compiler.h>

struct trap_frame;

#define STEP_NEVER SIZE_MAX

/* Since step_begin(). */
struct step_counts {
	size_t due;         /* boundaries to be interrupted at: */
	size_t interrupted; /* they were */
	size_t repeated;    /* they were not, as the sequence had been restarted from here before */
	size_t restarts;    /* interruptions that took a sequence back to its beginning */
};

/* One sweep: forgets what was counted. `handler` is what interrupts; `restart` is restart_interrupted_sequence(). */
void step_begin(void (*handler)(void));

/* The same with other sequences. */
void step_begin_with(void (*handler)(void), void (*restart)(struct trap_frame *frame));

/* Ends it. For a tear_down: also after a case that was left in the middle of a call. */
void step_end(void);

/*
 * Runs `call`, interrupted at boundary `due` and, with a stride, from there on. False if it ended before.
 * pre: in a sweep, interrupts enabled, not in an interrupt
 */
bool step_call(void (*call)(void), size_t due, size_t stride);

/* Runs `call`, not interrupted by us, and steps through its masked parts as well. */
struct step_length {
	size_t open, masked;
};
struct step_length step_measure(void (*call)(void));

const struct step_counts *step_counts(void);

/* Where the last run was interrupted last: the boundary's number, and its address. */
size_t step_last(void);
const void *step_last_address(void);

/* What the stepper itself saw go wrong first, or NULL. */
const char *step_broken(void);

#endif
