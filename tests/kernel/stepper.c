#include "stepper.h"
#include <arch/apic.h>
#include <arch/irq.h>
#include <arch/trap.h>
#include "../../arch/x86_64/x86_internal.h"

enum {
	RESTARTS_MAX = 256,
	BOUNDARIES_MAX = 1 << 22, /* of a run: more is a call that does not end */
};

static struct {
	void (*handler)(void);
	void (*restart)(struct trap_frame *frame);
	bool stepping; /* on the CPU `cpu` */
	unsigned cpu;
	uint64_t end;              /* the instruction after the call */
	struct step_length so_far; /* of this run */
	size_t due;                /* the next open boundary to interrupt at */
	size_t stride;             /* and how far behind it the one after is; 0: none */
	bool thorough;             /* steps through masked parts */
	bool skipping;             /* one, until the interrupt that we sent comes */
	bool was_masked;           /* at the boundary before, which was at: */
	uint64_t rip;
	size_t last;
	uint64_t last_rip;
	/* This run was interrupted here, and thereby taken back to the beginning of a sequence. */
	uint64_t restarted[RESTARTS_MAX];
	size_t nr_restarted;
	struct step_counts counts;
	const char *broken;
} stepper;

static void notice(const char *what)
{
	if (!stepper.broken)
		stepper.broken = what;
}

static bool was_restarted_at(uint64_t rip)
{
	for (size_t i = 0; i < stepper.nr_restarted; i++) {
		if (stepper.restarted[i] == rip)
			return true;
	}
	return stepper.nr_restarted == RESTARTS_MAX;
}

static void interrupt(struct trap_frame *frame)
{
	stepper.counts.interrupted++;
	stepper.last = stepper.so_far.open;
	stepper.last_rip = frame->rip;
	if (!in_interrupt())
		notice("a handler that is not in interrupt context");
	if (IS_DEBUG && this_cpu()->held_locks)
		notice("a lock is held, and interrupts are enabled");
	stepper.handler();
	stepper.restart(frame);
	if (frame->rip != stepper.last_rip) {
		stepper.restarted[stepper.nr_restarted++] = stepper.last_rip;
		stepper.counts.restarts++;
	}
}

/* A boundary that is due. */
static void meet(struct trap_frame *frame)
{
	stepper.counts.due++;
	if (was_restarted_at(frame->rip))
		stepper.counts.repeated++;
	else
		interrupt(frame);
	stepper.due = stepper.stride ? stepper.due + stepper.stride : STEP_NEVER;
}

/* Emulators may not even have a debug exception there. pre: the boundary before was masked */
static bool is_behind_sti(uint64_t rip)
{
	enum { STI = 0xfb };
	return rip == stepper.rip + 1 && *(const uint8_t *)stepper.rip == STI;
}

static void pass_boundary(struct trap_frame *frame)
{
	bool masked = !(frame->rflags & RFLAGS_IF);
	bool shadowed = stepper.was_masked && is_behind_sti(frame->rip);

	stepper.was_masked = masked;
	stepper.rip = frame->rip;
	if (masked || shadowed) {
		stepper.so_far.masked++;
	} else {
		if (stepper.so_far.open == stepper.due)
			meet(frame);
		stepper.so_far.open++;
	}
	if (stepper.so_far.open + stepper.so_far.masked == BOUNDARIES_MAX) {
		notice("the call does not end");
		stepper.due = STEP_NEVER;
	}
}

/* Nobody steps until an interrupt gets through. Which one does not matter: this one would find nothing to do. */
static void skip_masked_part(struct trap_frame *frame)
{
	stepper.skipping = true;
	stepper.was_masked = false; /* the interrupt comes behind the shadow of `sti` */
	frame->rflags &= ~RFLAGS_TF;
	apic_send(stepper.cpu, VECTOR_CALL);
}

/* A debug exception or an interrupt. The flag may come back by itself: the call saves flags and restores them. */
static bool step(struct trap_frame *frame)
{
	if (!stepper.stepping || this_cpu()->id != stepper.cpu)
		return false;
	if (frame->vector != TRAP_DEBUG) {
		if (!stepper.skipping)
			return false;
		stepper.skipping = false;
		frame->rflags |= RFLAGS_TF;
	}
	if (frame->rip == stepper.end)
		stepper.due = STEP_NEVER;
	else if (stepper.due != STEP_NEVER)
		pass_boundary(frame);
	if (stepper.due == STEP_NEVER)
		frame->rflags &= ~RFLAGS_TF;
	else if (stepper.was_masked && !stepper.thorough)
		skip_masked_part(frame);
	return true;
}

/*
 * Calls `call` with the trap flag set; before that, *end becomes where it returns to. The first boundary is before the
 * first instruction of `call`, the last one before its return. Assembly of its own, as the compiler must see that
 * somebody calls: else it would believe that nobody writes what only `call` does.
 */
void step_through(void (*call)(void), uint64_t *end);
__asm__(".pushsection .text; .type step_through, @function\n"
        "step_through:\n\t"
        "pushq	%rbp\n\t"
        "movq	%rsp, %rbp\n\t"
        "movq	$step_through_end, (%rsi)\n\t"
        "pushfq\n\t"
        "orq	$0x100, (%rsp)\n\t" /* RFLAGS_TF: takes effect after the call */
        "popfq\n\t"
        "call	*%rdi\n"
        "step_through_end:\n\t"
        "popq	%rbp\n\t"
        "ret\n"
        ".popsection");
_Static_assert(RFLAGS_TF == 0x100, "step_through() sets it");

static void run(void (*call)(void), size_t due, size_t stride, bool thorough)
{
	stepper.so_far = (struct step_length){0, 0};
	stepper.due = due;
	stepper.stride = stride;
	stepper.nr_restarted = 0;
	stepper.thorough = thorough || !apic_is_present();
	stepper.skipping = stepper.was_masked = false;
	stepper.cpu = this_cpu()->id;
	stepper.stepping = true;
	step_through(call, &stepper.end);
	stepper.stepping = false;
}

bool step_call(void (*call)(void), size_t due, size_t stride)
{
	size_t due_before = stepper.counts.due;

	run(call, due, stride, false);
	return stepper.counts.due > due_before;
}

struct step_length step_measure(void (*call)(void))
{
	run(call, STEP_NEVER - 1, 0, true);
	return stepper.so_far;
}

void step_begin_with(void (*handler)(void), void (*restart)(struct trap_frame *frame))
{
	stepper.handler = handler;
	stepper.restart = restart;
	stepper.counts = (struct step_counts){0};
	stepper.broken = NULL;
	debug_step_hook(step);
}

void step_begin(void (*handler)(void))
{
	step_begin_with(handler, restart_interrupted_sequence);
}

void step_end(void)
{
	stepper.stepping = false;
	debug_step_hook(NULL);
}

const struct step_counts *step_counts(void)
{
	return &stepper.counts;
}

size_t step_last(void)
{
	return stepper.last;
}

const void *step_last_address(void)
{
	return (const void *)stepper.last_rip;
}

const char *step_broken(void)
{
	return stepper.broken;
}
