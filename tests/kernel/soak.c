/*
 * The stress suite's workload until the time is over, which the time stamp counter tells. The lines come from an interrupt
 * of the oldest timer, so that they go on whatever the CPUs are at, and stop if interrupts do.
 */
#include <test/holes.h>
#include <test/soak.h>
#include <arch/devices.h>
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <kernel/console.h>
#include <kernel/panic.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include "stress.h"

enum { ROUND = 1000, LOOKS_PER_SECOND = 20 };

static struct soak {
	struct stress stress;
	uint64_t begun, deadline; /* time stamps */
	uint64_t line;            /* seconds that have been told of */
} soak;

static uint64_t seconds(uint64_t ticks)
{
	return ticks / tsc_hz;
}

static void print_progress(uint64_t now, const char *broken)
{
	struct smp_counts sum = smp_workload_counts(&soak.stress.workload);
	uint64_t left = now < soak.deadline ? seconds(soak.deadline - now) : 0;

	kprintf("soak: %5lu s, %10lu operations, %lu refused, %8lu by ticks, %6lu checks, %zu of %zu MiB free, %u failures, %lu:%02lu left\n",
	        seconds(now - soak.begun), sum.operations, sum.refused, stress_handled(), soak.stress.checks,
	        nr_free_pages() >> 8, nr_managed_pages() >> 8, broken ? 1U : 0U, left / 60, left % 60);
}

static void tell_each_second(void)
{
	uint64_t now = rdtsc();

	if (seconds(now - soak.begun) <= soak.line)
		return;
	soak.line = seconds(now - soak.begun);
	print_progress(now, NULL);
}

static bool time_is_left(const struct stress *stress)
{
	(void)stress;
	return rdtsc() < soak.deadline;
}

bool soak_run(uint64_t minutes, uint64_t seed)
{
	static struct mm_fingerprint before, after;

	holes_fill();
	mm_fingerprint(&before);
	soak = (struct soak){
	        .stress = {.nr_cpus = nr_cpus_online() < SMP_CPUS_MAX ? nr_cpus_online() : SMP_CPUS_MAX,
	                   .seed = seed,
	                   .round = ROUND,
	                   .go_on = time_is_left},
	        .begun = rdtsc(),
	};
	soak.deadline = soak.begun + minutes * 60 * tsc_hz;
	kprintf("soak: %lu minutes on %u CPUs, seed=%lu\n", minutes, soak.stress.nr_cpus, seed);
	warn_quiet(true); /* refusals are part of it */
	timer_start(LOOKS_PER_SECOND, tell_each_second);
	irq_enable();
	const char *broken = stress_run(&soak.stress);
	irq_disable();
	timer_stop();
	warn_quiet(false);
	print_progress(rdtsc(), broken);
	if (broken)
		kprintf("soak: FAILED: %s\n", broken);
	mm_fingerprint(&after);
	bool equal = mm_fingerprint_equal(&before, &after, &console);
	holes_give();
	kprintf("soak: the fingerprint %s\n", equal ? "is equal" : "DIFFERS");
	counters_dump(&console);
	kprintf("soak: %s\n", !broken && equal ? "passed" : "failed");
	return !broken && equal;
}
