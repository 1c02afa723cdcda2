/*
 * Locks whose holder may call other CPUs: each in turn, those that wait answer, and mistakes are named. And what stands on
 * one of them: reclaim.
 */
#include <arch/irq.h>
#include <arch/mutex.h>
#include <arch/smp.h>
#include <arch/spinlock.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <mm/vmap_notifier.h>
#include <hoard.h>
#include <remote.h>
#include <test/test.h>
#include "other_cpus.h"

enum { ROUNDS = 80 };

static struct mutex mutex = MUTEX_INIT("test");
static uint64_t guarded;

static void nothing(void *unused)
{
	(void)unused;
}

/* Every other round with interrupts masked: who waits then has to look for calls. */
static void count_guarded(void *rounds)
{
	for (unsigned n = 0; n < *(unsigned *)rounds; n++) {
		irqflags_t flags = irq_save();
		if (n % 2)
			irq_restore(flags);
		mutex_lock(&mutex);
		uint64_t before = guarded;
		cpu_call(cpus_online(), nothing, NULL);
		guarded = before + 1;
		mutex_unlock(&mutex);
		if (n % 2 == 0)
			irq_restore(flags);
	}
}

static void who_holds_a_mutex_may_call_those_that_wait_for_it(void)
{
	unsigned rounds = scaled(ROUNDS);

	guarded = 0;
	start_work_on_others(count_guarded, &rounds);
	count_guarded(&rounds);
	wait_for_others();
	assert_int_equal(guarded, (uint64_t)rounds * nr_cpus);
}

static void misuse_of_a_mutex_is_reported(void)
{
	static struct spinlock lock = SPINLOCK_INIT("some", 10);

	this_cpu()->interrupt_depth++;
	expect_panic("mutex test: wanted in an interrupt handler", mutex_lock(&mutex));
	this_cpu()->interrupt_depth--;
	mutex_lock(&mutex);
	expect_panic("mutex test: wanted by the CPU that holds it", mutex_lock(&mutex));
	mutex_unlock(&mutex);
	expect_panic("mutex test: given back by a CPU that does not hold it", mutex_unlock(&mutex));
	if (IS_DEBUG) {
		irqflags_t flags = spin_lock_irqsave(&lock);
		expect_panic("mutex test: wanted with the spinlock some held", mutex_lock(&mutex));
		spin_unlock_irqrestore(&lock, flags);
	}
}

/* How many CPUs are in the shrinker; at most, so far; and how often it ran. */
static unsigned reclaiming, reclaiming_most, nr_reclaims;

static size_t shrink_alone(void)
{
	unsigned now = __atomic_add_fetch(&reclaiming, 1, __ATOMIC_ACQ_REL);

	if (now > reclaiming_most)
		reclaiming_most = now;
	nr_reclaims++;
	cpu_call(cpus_online(), nothing, NULL); /* those that wait answer */
	__atomic_sub_fetch(&reclaiming, 1, __ATOMIC_ACQ_REL);
	return 0;
}

static void reclaim(void *unused)
{
	(void)unused;
	(void)reclaim_pages();
}

static void one_cpu_reclaims_at_a_time(void)
{
	static struct shrinker shrinker = {.name = "test, alone", .shrink = shrink_alone};

	reclaiming_most = nr_reclaims = 0;
	register_shrinker(&shrinker);
	start_work_on_others(reclaim, NULL);
	reclaim(NULL);
	wait_for_others();
	list_del(&shrinker.link);
	assert_int_equal(nr_reclaims, nr_cpus);
	assert_int_equal(reclaiming_most, 1);
}

/* ---- Under pressure ---- */

static size_t shrink_never_called(void)
{
	nr_reclaims++;
	return 0;
}

static void free_page_here(void *page)
{
	__free_page(page);
}

static void what_another_cpu_keeps_is_had_without_retry_but_not_without_reclaim(void)
{
	static struct shrinker shrinker = {.name = "test, never called", .shrink = shrink_never_called};
	static struct hoard hoard;

	need_another_cpu();
	struct page *kept = alloc_page(GFP_KERNEL);
	assert_non_null(kept);
	do
		hoard_take(&hoard, GFP_ATOMIC, 0);
	while (reclaim_pages());
	cpu_start_work(1, free_page_here, kept);
	cpu_wait_work(1);
	nr_reclaims = 0;
	register_shrinker(&shrinker);
	struct page *without_reclaim = alloc_page(GFP_ATOMIC | __GFP_NOWARN);
	struct page *without_retry = alloc_page(GFP_KERNEL | __GFP_HIGH | __GFP_NORETRY | __GFP_NOWARN);
	list_del(&shrinker.link);
	if (without_retry)
		__free_page(without_retry);
	hoard_release(&hoard);
	assert_null(without_reclaim);
	assert_ptr_equal(without_retry, kept);
	assert_int_equal(nr_reclaims, 0);
}

static size_t purge_alone(struct vmap_notifier *self)
{
	(void)self;
	return shrink_alone();
}

/* Runs short of virtual space, then of nothing in particular. */
static void run_short(void *context)
{
	uintptr_t start = *(uintptr_t *)context;
	void *area = __vmalloc_node_range(PAGE_SIZE, 1, start, start + 2 * PAGE_SIZE,
	                                  GFP_KERNEL | __GFP_NOWARN, PAGE_KERNEL, 0, NUMA_NO_NODE, NULL);

	if (area)
		__atomic_fetch_add(&guarded, 1, __ATOMIC_RELAXED);
	(void)reclaim_pages();
}

static void one_cpu_asks_notifiers_or_shrinkers_at_a_time(void)
{
	static struct shrinker shrinker = {.name = "test, alone", .shrink = shrink_alone};
	static struct vmap_notifier notifier = {.name = "test, alone", .purge = purge_alone};
	uintptr_t start = remote();
	void *taken = __vmalloc_node_range(PAGE_SIZE, 1, start, start + 2 * PAGE_SIZE, GFP_KERNEL,
	                                   PAGE_KERNEL, 0, NUMA_NO_NODE, NULL);

	assert_non_null(taken);
	guarded = reclaiming_most = nr_reclaims = 0;
	register_shrinker(&shrinker);
	register_vmap_purge_notifier(&notifier);
	start_work_on_others(run_short, &start);
	run_short(&start);
	wait_for_others();
	unregister_vmap_purge_notifier(&notifier);
	list_del(&shrinker.link);
	vfree(taken);
	assert_int_equal(guarded, 0);
	assert_int_equal(nr_reclaims, 2 * nr_cpus);
	assert_int_equal(reclaiming_most, 1);
}

static const struct test_case cases[] = {
        TEST_CASE(who_holds_a_mutex_may_call_those_that_wait_for_it),
        TEST_CASE(misuse_of_a_mutex_is_reported),
        TEST_CASE(one_cpu_reclaims_at_a_time),
        TEST_CASE(what_another_cpu_keeps_is_had_without_retry_but_not_without_reclaim),
        TEST_CASE(one_cpu_asks_notifiers_or_shrinkers_at_a_time),
};

extern const struct test_suite mutex_suite;
const struct test_suite mutex_suite =
        TEST_SUITE("mutex", cases, .set_up = begin_with_others, .tear_down = end_with_others);
