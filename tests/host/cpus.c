#include "cpus.h"
#include <arch/smp.h>
#include <host/cpus.h>
#include <mm/page_alloc.h>
#include <test/test.h>

void meet(struct meeting *meeting)
{
	unsigned held = __atomic_load_n(&meeting->held, __ATOMIC_RELAXED);

	if (__atomic_add_fetch(&meeting->arrived, 1, __ATOMIC_ACQ_REL) == meeting->nr_cpus) {
		meeting->arrived = 0;
		__atomic_store_n(&meeting->held, held + 1, __ATOMIC_RELEASE);
	}
	while (__atomic_load_n(&meeting->held, __ATOMIC_ACQUIRE) == held)
		host_cpu_idle();
}

struct job {
	void (*fn)(void *context);
	void *context;
	struct meeting end;
};

static void do_job(void *context)
{
	struct job *job = context;

	job->fn(job->context);
	meet(&job->end);
	/* Nobody allocates any more. What the CPUs keep goes back while they are online: here and nowhere else. */
	if (this_cpu()->id == 0)
		reclaim_pages();
}

void run_on_cpus(unsigned nr_cpus, void (*fn)(void *context), void *context)
{
	struct job job = {.fn = fn, .context = context, .end.nr_cpus = nr_cpus};

	/* What mm/ needs of a CPU before it comes online: here and nowhere else. */
	for (unsigned id = 1; id < nr_cpus; id++)
		assert_true(page_cpu_create(&host_cpus[id]));
	host_cpus_run(nr_cpus, do_job, &job);
	for (unsigned id = 1; id < nr_cpus; id++)
		page_cpu_destroy(&host_cpus[id]);
}
