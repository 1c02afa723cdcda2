/*
 * The spinlock among threads, each of which is a CPU: exclusion, service in order of coming, and what the debug build
 * sees of other CPUs. The processors may be fewer than the threads, so counts are small.
 */
#include <pthread.h>
#include <sched.h>
#include <arch/irq.h>
#include <arch/lock_graph.h>
#include <arch/spinlock.h>
#include <host/cpus.h>
#include <test/test.h>

enum { THREADS = 4, FIRST_CPU = 4, INCREMENTS = 2000, QUEUES = 50, RACES = 100 };

static struct spinlock lock, other;
static struct spinlock own[THREADS], partner[THREADS]; /* one pair of instances a thread */
static unsigned classes_before;

struct worker {
	pthread_t thread;
	unsigned number; /* CPU FIRST_CPU + number */
	void (*run)(unsigned number);
};

static struct worker workers[THREADS];

static void make_locks(void)
{
	spin_lock_init(&lock, "lock", 0);
	spin_lock_init(&other, "other", 0);
	classes_before = lock_graph_classes();
}

static void forget_classes(void)
{
	lock_graph_forget(classes_before);
}

static void *start(void *context)
{
	struct worker *worker = context;

	host_cpu_enter(FIRST_CPU + worker->number);
	worker->run(worker->number);
	host_cpu_leave();
	return NULL;
}

static void worker_begin(unsigned number, void (*run)(unsigned number))
{
	workers[number].number = number;
	workers[number].run = run;
	assert_int_equal(pthread_create(&workers[number].thread, NULL, start, &workers[number]), 0);
}

static void worker_end(unsigned number)
{
	assert_int_equal(pthread_join(workers[number].thread, NULL), 0);
}

/* Threads 0 .. count - 1, from their begin to their end. */
static void run_workers(unsigned count, void (*run)(unsigned number))
{
	for (unsigned n = 0; n < count; n++)
		worker_begin(n, run);
	for (unsigned n = 0; n < count; n++)
		worker_end(n);
}

_Static_assert(FIRST_CPU + THREADS <= HOST_CPUS, "so many CPUs there are");

static uint64_t counted(unsigned number, enum cpu_counter counter)
{
	return host_cpus[FIRST_CPU + number].counters[counter];
}

static void wait_until_equal(const uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
		sched_yield();
}

/* ---- Exclusion ---- */

static volatile uint32_t unprotected;
static bool out_of_order;

static void increment_often(unsigned number)
{
	(void)number;
	for (unsigned n = 0; n < INCREMENTS; n++) {
		irqflags_t flags = spin_lock_irqsave(&lock);
		uint32_t before = unprotected;
		if (n % 64 == 0)
			sched_yield();      /* lets the others come in, if they can */
		if (lock.serving != before) /* the first increment has ticket 0 */
			out_of_order = true;
		unprotected = before + 1;
		spin_unlock_irqrestore(&lock, flags);
	}
}

static void one_thread_at_a_time_is_inside(void)
{
	uint64_t before[THREADS];

	unprotected = 0;
	out_of_order = false;
	for (unsigned n = 0; n < THREADS; n++)
		before[n] = counted(n, COUNT_LOCKS);
	run_workers(THREADS, increment_often);
	assert_int_equal(unprotected, THREADS * INCREMENTS);
	assert_int_equal(lock.next, THREADS * INCREMENTS);
	assert_int_equal(lock.serving, lock.next);
	assert_false(out_of_order);
	for (unsigned n = 0; n < THREADS; n++)
		assert_int_equal(counted(n, COUNT_LOCKS) - before[n], INCREMENTS);
}

/* ---- Fairness ---- */

static uint32_t nr_served;
static unsigned served[THREADS];

static void be_served(unsigned number)
{
	irqflags_t flags = spin_lock_irqsave(&lock);
	served[nr_served++] = number;
	spin_unlock_irqrestore(&lock, flags);
}

static void threads_are_served_in_the_order_of_their_tickets(void)
{
	struct rng rng;
	uint64_t waited[THREADS];

	rng_seed(&rng, test_seed());
	for (unsigned queue = 0; queue < QUEUES; queue++) {
		unsigned order[THREADS] = {0};

		test_step(queue);
		for (unsigned n = 0; n < THREADS; n++) { /* a random order of coming */
			unsigned at = (unsigned)rng_below(&rng, n + 1);
			order[n] = order[at];
			order[at] = n;
		}
		nr_served = 0;
		irqflags_t flags = spin_lock_irqsave(&lock);
		uint32_t ticket = lock.serving;
		for (unsigned n = 0; n < THREADS; n++) {
			waited[n] = counted(order[n], COUNT_LOCKS_CONTENDED);
			worker_begin(order[n], be_served);
			wait_until_equal(&lock.next, ticket + n + 2); /* it has its ticket */
		}
		for (unsigned n = 0; n < 20; n++)
			sched_yield();
		assert_int_equal(nr_served, 0);
		spin_unlock_irqrestore(&lock, flags);
		for (unsigned n = 0; n < THREADS; n++)
			worker_end(order[n]);
		for (unsigned n = 0; n < THREADS; n++) {
			assert_int_equal(served[n], order[n]);
			assert_int_equal(counted(order[n], COUNT_LOCKS_CONTENDED) - waited[n], 1);
		}
	}
}

/* ---- What one CPU sees of another ---- */

static uint32_t stage; /* of the other thread: 1 has the lock, 2 may give it back */

static void hold(unsigned number)
{
	(void)number;
	irqflags_t flags = spin_lock_irqsave(&lock);
	__atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
	wait_until_equal(&stage, 2);
	spin_unlock_irqrestore(&lock, flags);
}

static void another_threads_lock_is_neither_given_back_nor_waited_for_without_end(void)
{
	uint32_t turns_before = spin_turns_max;

	stage = 0;
	worker_begin(0, hold);
	wait_until_equal(&stage, 1);
	assert_false(spin_is_held(&lock));
	expect_panic("spin_unlock: lock: held by CPU 4, taken at 0x*, not by CPU 0, at 0x*",
	             spin_unlock(&lock));
	spin_turns_max = 1000;
	irqflags_t flags = irq_save();
	expect_panic("spin_lock: lock: waited for at 0x* without end: CPU 4 holds it, taken at 0x*",
	             spin_lock(&lock));
	irq_restore(flags);
	spin_turns_max = turns_before;
	__atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
	worker_end(0);
}

static void nest(struct spinlock *first, struct spinlock *second)
{
	irqflags_t flags = spin_lock_irqsave(first);
	spin_lock(second);
	spin_unlock(second);
	spin_unlock_irqrestore(first, flags);
}

static void nest_here(unsigned number)
{
	(void)number;
	nest(&lock, &other);
}

static void an_order_seen_on_another_cpu_is_kept_on_this_one(void)
{
	run_workers(1, nest_here);
	irqflags_t flags = spin_lock_irqsave(&other);
	expect_panic(
	        "spin_lock: lock taken at 0x* while holding other, taken at 0x*; but the other order was seen: "
	        "other taken at 0x* while holding lock, taken at 0x*",
	        spin_lock(&lock));
	spin_unlock_irqrestore(&other, flags);
}

/* ---- Orders added at once ---- */

static uint32_t nr_ready;
static bool refused[THREADS];

/* All threads leave together. */
static void meet(uint32_t count)
{
	__atomic_fetch_add(&nr_ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&nr_ready, __ATOMIC_ACQUIRE) < count)
		cpu_relax();
}

static void nest_own(unsigned number)
{
	irqflags_t flags = spin_lock_irqsave(&own[number]);
	refused[number] = true;
	meet(2);
	if (!context_save(test_panic_context())) {
		test_panic_arm(true);
		spin_lock(&partner[number]);
		test_panic_arm(false);
		refused[number] = false;
		spin_unlock(&partner[number]);
	}
	spin_unlock_irqrestore(&own[number], flags);
}

static void of_two_opposite_orders_at_once_one_at_least_is_refused(void)
{
	for (unsigned race = 0; race < RACES; race++) {
		test_step(race);
		/* Instances of their own, so that no deadlock is possible: it is the classes that contradict. */
		spin_lock_init(&own[0], "lock", 0);
		spin_lock_init(&partner[0], "other", 0);
		spin_lock_init(&own[1], "other", 0);
		spin_lock_init(&partner[1], "lock", 0);
		nr_ready = 0;
		run_workers(2, nest_own);
		assert_true(refused[0] || refused[1]);
		lock_graph_forget(classes_before);
	}
}

static void register_own(unsigned number)
{
	meet(THREADS);
	nest(&own[number], &partner[number]);
}

static unsigned lines_of_dump(void)
{
	static char text[8192];
	struct buffer_printer out;
	unsigned lines = 0;

	buffer_printer_init(&out, text, sizeof(text));
	lock_graph_dump(&out.printer);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	return lines;
}

static void classes_and_orders_met_by_several_cpus_are_recorded_once(void)
{
	unsigned lines_before = lines_of_dump();

	for (unsigned race = 0; race < RACES; race++) {
		test_step(race);
		for (unsigned n = 0; n < THREADS; n++) {
			spin_lock_init(&own[n], "lock", 0);
			spin_lock_init(&partner[n], "other", 0);
		}
		nr_ready = 0;
		run_workers(THREADS, register_own);
		assert_int_equal(lock_graph_classes(), classes_before + 2);
		assert_int_equal(lines_of_dump(), lines_before + 1);
		lock_graph_forget(classes_before);
	}
}

static const struct test_case cases[] = {
        TEST_CASE(one_thread_at_a_time_is_inside),
        TEST_CASE(threads_are_served_in_the_order_of_their_tickets),
        TEST_CASE(another_threads_lock_is_neither_given_back_nor_waited_for_without_end),
        TEST_CASE(an_order_seen_on_another_cpu_is_kept_on_this_one),
        TEST_CASE(of_two_opposite_orders_at_once_one_at_least_is_refused),
        TEST_CASE(classes_and_orders_met_by_several_cpus_are_recorded_once),
};

const struct test_suite spinlock_threads_suite =
        TEST_SUITE("spinlock_threads", cases, .set_up = make_locks, .tear_down = forget_classes);
