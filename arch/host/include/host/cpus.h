/*
 * Threads as CPUs. The main thread is CPU 0 and always online; others come and go with their threads, so that here,
 * unlike on the machine, cpus_online() also shrinks.
 *
 * An online CPU must answer cpu_call(). It does wherever interrupts become enabled and in host_cpu_idle(), and nowhere
 * else: whoever is online and waits for another CPU waits with host_cpu_idle(), and blocks in nothing.
 */
#ifndef HOST_CPUS_H
#define HOST_CPUS_H

#include <arch/percpu.h>

enum { HOST_CPUS = 8 }; /* cpus_possible() */

/* The calling thread is CPU `id` from now on: online, with an empty TLB, interrupts enabled. pre: nobody else is */
void host_cpu_enter(uint32_t id);

/*
 * It is no CPU any more. Calls that were made before are answered first. What mm/ keeps for a CPU stays behind: give it
 * back before. pre: no lock held, interrupts enabled
 */
void host_cpu_leave(void);

/* One turn of waiting: answers calls if there are any, else lets other threads run. pre: interrupts enabled */
void host_cpu_idle(void);

/*
 * Runs `fn(context)` on CPUs 0 to nr_cpus - 1 at once, CPU 0 being the calling one; they are all online before the first
 * begins, and answer calls until the last has ended. `fn` must return: it may not jump out. pre: called on CPU 0, alone
 */
void host_cpus_run(unsigned nr_cpus, void (*fn)(void *context), void *context);

#endif
