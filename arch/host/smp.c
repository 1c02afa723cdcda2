/*
 * Threads as CPUs, and making them do something.
 *
 *	caller:  calls[caller] = what to do, for whom        target:  asked_by  0 0 1 0 … 1      one bit per caller
 *	         sets its bit at each target                          where interrupts become enabled, takes all bits,
 *	         waits until nobody is left, and serves meanwhile     does what those callers ask, and leaves their sets
 *
 * A CPU has one call under way at most, as what it runs for others makes none: so a place per caller is enough. The mutex
 * is held while bits are set and while a CPU comes or goes, never while waiting: whoever was asked was online, and answers
 * before it is gone.
 */
#include <pthread.h>
#include <sched.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <host/cpus.h>
#include <host/soft_mmu.h>
#include <lib/bits.h>
#include <lib/panic.h>

struct cpu host_cpus[CPUS_MAX] = {{.irqs_enabled = true}};
_Thread_local struct cpu *host_cpu = &host_cpus[0];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static cpuset_t online = 1, ever_online = 1; /* written with the mutex held, atomic */

static struct call {
	void (*fn)(void *context);
	void *context;
	cpuset_t left; /* atomic: the targets that have not done it */
} calls[HOST_CPUS];    /* by caller */

static cpuset_t cpu_bit(const struct cpu *cpu)
{
	return 1UL << cpu->id;
}

/* ---- Who runs ---- */

unsigned cpus_possible(void)
{
	return HOST_CPUS;
}

cpuset_t cpus_online(void)
{
	return __atomic_load_n(&online, __ATOMIC_ACQUIRE);
}

struct cpu *cpu_by_id(unsigned id)
{
	return __atomic_load_n(&ever_online, __ATOMIC_ACQUIRE) >> id & 1 ? &host_cpus[id] : NULL;
}

static void set_online(cpuset_t set)
{
	__atomic_store_n(&online, set, __ATOMIC_RELEASE);
	__atomic_store_n(&ever_online, ever_online | set, __ATOMIC_RELEASE);
}

void host_cpu_enter(uint32_t id)
{
	ASSERT(id < HOST_CPUS);
	host_cpu = &host_cpus[id];
	host_cpu->id = id;
	host_cpu->line = (size_t)id * CACHE_LINE;
	host_set_irqs(true);
	host_cpu->interrupt_depth = host_cpu->held_locks = host_cpu->held_mutexes = 0;

	pthread_mutex_lock(&mutex);
	ASSERT(!(online & cpu_bit(host_cpu)));
	set_online(online | cpu_bit(host_cpu));
	pthread_mutex_unlock(&mutex);
}

void host_cpu_leave(void)
{
	ASSERT(irqs_enabled() && !in_interrupt() && !this_cpu()->held_locks && !this_cpu()->held_mutexes);
	pthread_mutex_lock(&mutex);
	set_online(online & ~cpu_bit(this_cpu()));
	pthread_mutex_unlock(&mutex);
	cpu_serve();
	host_tlb_power_off();
	host_cpu = NULL;
}

/* ---- Calls ---- */

void cpu_serve(void)
{
	struct cpu *cpu = this_cpu();
	bool were_enabled = cpu->irqs_enabled;
	cpuset_t callers = __atomic_exchange_n(&cpu->asked_by, 0, __ATOMIC_ACQUIRE);

	host_set_irqs(false);
	host_answer();
	cpu->interrupt_depth++;
	for (; callers; callers &= callers - 1) {
		struct call *call = &calls[lowest_bit(callers)];
		call->fn(call->context);
		__atomic_fetch_and(&call->left, ~cpu_bit(cpu), __ATOMIC_RELEASE);
	}
	cpu->interrupt_depth--;
	host_set_irqs(were_enabled);
}

static void ask(struct call *call, cpuset_t targets)
{
	pthread_mutex_lock(&mutex);
	targets &= online;
	call->left = targets;
	for (cpuset_t rest = targets; rest; rest &= rest - 1)
		__atomic_fetch_or(&host_cpus[lowest_bit(rest)].asked_by, cpu_bit(this_cpu()),
		                  __ATOMIC_RELEASE);
	pthread_mutex_unlock(&mutex);
	cpu_count(COUNT_IPIS, count_bits(targets));
}

void cpu_call(cpuset_t set, void (*fn)(void *context), void *context)
{
	struct cpu *cpu = this_cpu();
	struct call *call = &calls[cpu->id];

	ASSERT(!cpu->held_locks && !in_interrupt());
	irqflags_t flags = irq_save();
	*call = (struct call){.fn = fn, .context = context};
	ask(call, set & ~cpu_bit(cpu));
	if (set & cpu_bit(cpu))
		fn(context);
	while (__atomic_load_n(&call->left, __ATOMIC_ACQUIRE)) {
		cpu_serve();
		sched_yield();
	}
	irq_restore(flags);
}

/* Flushes are not asked for here but done by whoever wants them (soft_mmu.c): to answer is to say that one waits. */
void cpu_relax(void)
{
	host_answer();
	sched_yield();
}

/* ---- Running on several ---- */

void host_cpu_idle(void)
{
	ASSERT(irqs_enabled());
	if (__atomic_load_n(&this_cpu()->asked_by, __ATOMIC_RELAXED))
		cpu_serve();
	else
		sched_yield();
}

struct run {
	void (*fn)(void *context);
	void *context;
	unsigned nr_cpus;
	unsigned begun, ended; /* atomic: CPUs that are online, and that have returned from fn */
};

static void wait_for_all(const struct run *run, unsigned *arrived)
{
	__atomic_fetch_add(arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(arrived, __ATOMIC_ACQUIRE) < run->nr_cpus)
		host_cpu_idle();
}

static void take_part(struct run *run)
{
	wait_for_all(run, &run->begun);
	run->fn(run->context);
	wait_for_all(run, &run->ended);
}

struct worker {
	pthread_t thread;
	uint32_t id;
	struct run *run;
};

static void *work(void *context)
{
	const struct worker *worker = context;

	host_cpu_enter(worker->id);
	take_part(worker->run);
	host_cpu_leave();
	return NULL;
}

void host_cpus_run(unsigned nr_cpus, void (*fn)(void *context), void *context)
{
	struct run run = {.fn = fn, .context = context, .nr_cpus = nr_cpus};
	struct worker workers[HOST_CPUS];

	ASSERT(nr_cpus >= 1 && nr_cpus <= HOST_CPUS && cpus_online() == 1 && this_cpu()->id == 0);
	for (uint32_t id = 1; id < nr_cpus; id++) {
		workers[id] = (struct worker){.id = id, .run = &run};
		int refused = pthread_create(&workers[id].thread, NULL, work, &workers[id]);
		ASSERT(!refused);
	}
	take_part(&run);
	/* Nobody makes calls any more: nothing is missed while this blocks. */
	for (uint32_t id = 1; id < nr_cpus; id++)
		pthread_join(workers[id].thread, NULL);
}
