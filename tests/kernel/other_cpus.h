/*
 * Cases that need the other CPUs: starting work on them, and meeting them. They talk through the stage, which only rises: a
 * case that fails raises it past all others on its way out, and nobody waits any longer.
 *
 * Other CPUs only record; what is asserted, the boot CPU asserts.
 */
#ifndef TESTS_OTHER_CPUS_H
#define TESTS_OTHER_CPUS_H

#include <test/test.h>

/* A suite's set_up and tear_down: the stage is 0; afterwards no other CPU has work, and interrupts are what they were. */
void begin_with_others(void);
void end_with_others(void);

extern unsigned nr_cpus; /* how many are online; constant during a case */

/* Else skips the case. */
void need_another_cpu(void);

/* `fn` on every CPU but the boot CPU; until it has returned on all of them. */
void start_work_on_others(void (*fn)(void *context), void *context);
void wait_for_others(void);

/* Who waits answers calls and flushes. The memory before a stage is set, or a count rises, is seen by who awaited it. */
unsigned stage_now(void);
void set_stage(unsigned to);
void await_stage(unsigned at_least);
void count_up(unsigned *count);
void await_count(const unsigned *count, unsigned at_least);

/*
 * How often what takes `rounds` with two CPUs is repeated. Emulated CPUs take turns on the host's cores: meeting all n of
 * them waits for as many turns, and n CPUs that each want to meet all others do so in turn.
 */
unsigned scaled(unsigned rounds);

#endif
