/*
 * The hosted machine with several CPUs: who runs, what they make each other do, and that a flush reaches all of them. A
 * case's threads cannot leave it by a jump: they note what they see, and the case judges afterwards.
 */
#include <arch/irq.h>
#include <arch/smp.h>
#include <arch/spinlock.h>
#include <arch/tlb.h>
#include <host/cpus.h>
#include <host/soft_mmu.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <test/test.h>
#include "cpus.h"

enum { CPUS = 4, TURNS = 200 };

/* What the threads of a case share; zero before each. */
static struct {
	unsigned ran[CPUS]; /* by CPU: how often it was called */
	unsigned in_handler,
	        unmasked; /* calls that found themselves in interrupt context; with interrupts enabled */
	unsigned early;   /* calls that ran while their CPU had interrupts masked */
	bool masked;      /* CPU 1 has interrupts masked */
	unsigned sum;
	struct meeting meeting;
	cpuset_t online;
	struct spinlock lock;
	char *area;
	const char *verdict[2];
} seen;

static void forget_what_was_seen(void)
{
	memset(&seen, 0, sizeof(seen));
	spin_lock_init(&seen.lock, "shared", 1);
	seen.meeting.nr_cpus = CPUS;
}

/* What cpu_call() runs: each CPU its own count. */
static void note_call(void *context)
{
	(void)context;
	seen.ran[this_cpu()->id]++;
	__atomic_fetch_add(&seen.in_handler, in_interrupt(), __ATOMIC_RELAXED);
	__atomic_fetch_add(&seen.unmasked, irqs_enabled(), __ATOMIC_RELAXED);
	__atomic_fetch_add(&seen.early,
	                   this_cpu()->id == 1 && __atomic_load_n(&seen.masked, __ATOMIC_RELAXED),
	                   __ATOMIC_RELAXED);
}

static void note_online(void *context)
{
	(void)context;
	__atomic_fetch_or(&seen.online, 1UL << this_cpu()->id, __ATOMIC_RELAXED);
	__atomic_fetch_add(&seen.sum, cpus_online() == (1UL << CPUS) - 1, __ATOMIC_RELAXED);
}

static void all_are_online_while_they_run_and_only_the_first_afterwards(void)
{
	run_on_cpus(CPUS, note_online, NULL);
	assert_int_equal(seen.online, (1 << CPUS) - 1);
	assert_int_equal(seen.sum, CPUS);
	assert_int_equal(cpus_online(), 1);
	assert_int_equal(this_cpu()->id, 0);
	assert_ptr_equal(cpu_by_id(0), this_cpu());
	assert_non_null(cpu_by_id(CPUS - 1));
}

/* ---- Calls ---- */

static void call_from_first(void *context)
{
	if (this_cpu()->id != 0)
		return;
	uint64_t before = counter_sum(COUNT_IPIS);
	cpu_call(*(const cpuset_t *)context, note_call, NULL);
	seen.sum = (unsigned)(counter_sum(COUNT_IPIS) - before);
}

static void a_call_runs_once_on_each_cpu_of_the_set_masked_and_in_interrupt_context(void)
{
	cpuset_t set = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 7; /* 7 is off */

	run_on_cpus(CPUS, call_from_first, &set);
	assert_int_equal(seen.ran[0], 1);
	assert_int_equal(seen.ran[1], 0);
	assert_int_equal(seen.ran[2], 1);
	assert_int_equal(seen.ran[3], 1);
	assert_int_equal(seen.in_handler, 2); /* the caller calls it directly */
	assert_int_equal(seen.unmasked, 0);
	assert_int_equal(seen.sum, 2);
	assert_true(irqs_enabled());
}

static void call_all_often(void *context)
{
	(void)context;
	for (unsigned turn = 0; turn < TURNS; turn++)
		cpu_call(cpus_online(), note_call, NULL);
}

static void all_may_call_all_at_once(void)
{
	run_on_cpus(CPUS, call_all_often, NULL);
	for (unsigned id = 0; id < CPUS; id++)
		assert_int_equal(seen.ran[id], CPUS * TURNS);
}

/* CPU 1 computes with interrupts masked while CPU 0 wants something of it. */
static void call_while_masked(void *context)
{
	(void)context;
	if (this_cpu()->id == 0) {
		while (!__atomic_load_n(&seen.masked, __ATOMIC_ACQUIRE))
			host_cpu_idle();
		cpu_call(1 << 1, note_call, NULL);
		return;
	}
	irqflags_t flags = irq_save();
	__atomic_store_n(&seen.masked, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&this_cpu()->asked_by, __ATOMIC_RELAXED))
		cpu_relax();
	for (unsigned turn = 0; turn < TURNS; turn++) {
		spin_lock(&seen.lock);
		cpu_relax();
		spin_unlock(&seen.lock);
	}
	__atomic_store_n(&seen.masked, false, __ATOMIC_RELAXED);
	irq_restore(flags);
	seen.sum = seen.ran[1];
}

static void a_call_waits_until_interrupts_are_enabled_and_runs_right_then(void)
{
	run_on_cpus(2, call_while_masked, NULL);
	assert_int_equal(seen.ran[1], 1);
	assert_int_equal(seen.early, 0);
	assert_int_equal(seen.sum, 1);
}

/* ---- Locks ---- */

static void add_under_the_lock(void *context)
{
	(void)context;
	for (unsigned turn = 0; turn < 10 * TURNS; turn++) {
		irqflags_t flags = spin_lock_irqsave(&seen.lock);
		seen.sum++;
		if (turn % 16 == 0)
			cpu_relax();
		spin_unlock_irqrestore(&seen.lock, flags);
	}
}

static void a_spinlock_admits_one_cpu_at_a_time(void)
{
	run_on_cpus(CPUS, add_under_the_lock, NULL);
	assert_int_equal(seen.sum, CPUS * 10 * TURNS);
}

/* ---- Flushes ---- */

/* All touch the area; then CPU 0 makes its first page read-only and asks whether everybody forgot. */
static void touch_and_protect(void *context)
{
	vaddr_t at = vaddr_of(seen.area), own = vaddr_add(at, this_cpu()->id);
	uint8_t value;

	(void)context;
	bool touched = host_mmu_write(own, 1, NULL) && host_mmu_read(own, &value, NULL);
	__atomic_fetch_add(&seen.sum, touched, __ATOMIC_RELAXED);
	meet(&seen.meeting);
	if (this_cpu()->id == 0) {
		seen.online = host_tlb_cached(vrange_sized(at, PAGE_SIZE)); /* as a number */
		bool ok = pagetable_protect(&kernel_pagetable, vrange_sized(at, PAGE_SIZE), PAGE_KERNEL_RO);
		seen.verdict[0] = ok ? host_tlb_check() : "not protected";
		ok = pagetable_protect(&kernel_pagetable, vrange_sized(at, PAGE_SIZE), PAGE_KERNEL);
		seen.verdict[1] = ok ? host_tlb_check() : "not protected";
	}
}

static void touch_everywhere(bool skip)
{
	seen.area = vmalloc(PAGE_SIZE);
	assert_non_null(seen.area);
	host_tlb_skip_remote(skip);
	run_on_cpus(CPUS, touch_and_protect, NULL);
	host_tlb_skip_remote(false);
	vfree(seen.area);
	assert_int_equal(seen.sum, CPUS);
	assert_int_equal(seen.online, CPUS); /* each remembered it for itself */
}

static void a_flush_reaches_every_cpu(void)
{
	uint64_t asked = counter_sum(COUNT_SHOOTDOWNS);

	touch_everywhere(false);
	assert_sound(seen.verdict[0]);
	assert_sound(seen.verdict[1]);
	assert_int_equal(counter_sum(COUNT_SHOOTDOWNS), asked + 2);
}

static void a_flush_that_forgets_the_others_is_found(void)
{
	touch_everywhere(true);
	assert_matches(seen.verdict[0], "TLB of CPU 1: 0x* lost a permission without a flush");
	assert_sound(seen.verdict[1]); /* more than is remembered is no harm */
}

static void touch_once(void *context)
{
	uint8_t value;

	(void)context;
	__atomic_fetch_add(&seen.sum, host_mmu_read(vaddr_of(seen.area), &value, NULL), __ATOMIC_RELAXED);
}

static void a_cpu_that_went_off_remembers_nothing(void)
{
	seen.area = vmalloc(PAGE_SIZE);
	assert_non_null(seen.area);
	run_on_cpus(CPUS, touch_once, NULL);
	assert_int_equal(seen.sum, CPUS);
	assert_int_equal(host_tlb_cached(vrange_sized(vaddr_of(seen.area), PAGE_SIZE)), 1);
	vfree(seen.area);
}

static const struct test_case cases[] = {
        TEST_CASE(all_are_online_while_they_run_and_only_the_first_afterwards),
        TEST_CASE(a_call_runs_once_on_each_cpu_of_the_set_masked_and_in_interrupt_context),
        TEST_CASE(all_may_call_all_at_once),
        TEST_CASE(a_call_waits_until_interrupts_are_enabled_and_runs_right_then),
        TEST_CASE(a_spinlock_admits_one_cpu_at_a_time),
        TEST_CASE(a_flush_reaches_every_cpu),
        TEST_CASE(a_flush_that_forgets_the_others_is_found),
        TEST_CASE(a_cpu_that_went_off_remembers_nothing),
};

extern const struct test_suite smp_machine_suite;
const struct test_suite smp_machine_suite = TEST_SUITE("smp_machine", cases, .set_up = forget_what_was_seen);
