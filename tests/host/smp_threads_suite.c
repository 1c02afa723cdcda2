/* The memory subsystem under all CPUs at once: tests/common/smp_workload.c on threads. */
#include <arch/percpu.h>
#include <host/soft_mmu.h>
#include <mm/mm.h>
#include <mm/vmalloc.h>
#include <smp_workload.h>
#include <test/test.h>
#include "cpus.h"

enum { ROUND = 1000, ROUNDS = 12 };

static struct smp_workload workload;
static struct meeting meeting;
static unsigned rounds_left;

static void everybody_meets(void *context)
{
	meet(context);
}

static bool rounds_are_left(void *context)
{
	(void)context;
	return --rounds_left > 0;
}

/* What CPUs remember of freed areas is no harm until somebody else gets the address or the frame: so ask after the flush. */
static const char *verify_all(void)
{
	const char *broken = mm_verify();

	if (broken)
		return broken;
	vm_unmap_aliases();
	return host_tlb_check();
}

static void run_workload(void *context)
{
	smp_workload_run(context, this_cpu()->id);
}

static void run_mix_on(unsigned nr_cpus)
{
	meeting = (struct meeting){.nr_cpus = nr_cpus};
	rounds_left = ROUNDS;
	workload = (struct smp_workload){
	        .nr_cpus = nr_cpus,
	        .seed = test_seed(),
	        .round = ROUND,
	        .go_on = rounds_are_left,
	        .check = verify_all,
	        .barrier = everybody_meets,
	        .context = &meeting,
	};
	assert_true(smp_workload_begin(&workload));
	test_warnings_begin(); /* vmap() cannot be told not to warn */
	run_on_cpus(nr_cpus, run_workload, &workload);
	test_warnings_end();
	struct smp_counts sum = smp_workload_counts(&workload);
	test_note(
	        "%lu operations: %lu served, %lu refused, %lu handed over, %lu in handlers; %lu times without memory",
	        sum.operations, sum.allocations, sum.refused, sum.swapped, sum.in_handler, sum.exhausted);
	assert_sound(smp_workload_end(&workload));
}

static void one_cpu_survives_the_mix(void)
{
	run_mix_on(1);
}

static void two_cpus_free_each_others_memory(void)
{
	run_mix_on(2);
}

static void four_cpus_free_each_others_memory(void)
{
	run_mix_on(4);
}

static void eight_cpus_free_each_others_memory(void)
{
	run_mix_on(8);
}

static const struct test_case cases[] = {
        TEST_CASE(one_cpu_survives_the_mix),
        TEST_CASE(two_cpus_free_each_others_memory),
        TEST_CASE(four_cpus_free_each_others_memory),
        TEST_CASE(eight_cpus_free_each_others_memory),
};

extern const struct test_suite smp_threads_suite;
const struct test_suite smp_threads_suite = TEST_SUITE("smp_threads", cases);
