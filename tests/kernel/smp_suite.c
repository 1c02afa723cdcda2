/*
 * Several CPUs: each is whole, each does what it is asked, and none keeps another waiting for ever. What they have in
 * common, mutexes and views under way, is in suites of its own.
 */
#include <arch/apic.h>
#include <arch/bringup.h>
#include <arch/cpu.h>
#include <arch/directmap.h>
#include <arch/irq.h>
#include <arch/spinlock.h>
#include <kernel/panic.h>
#include <kernel/smp_boot.h>
#include <lib/panic.h>
#include <lib/warn_limit.h>
#include <mm/fault_inject.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/set_memory.h>
#include <mm/vmalloc.h>
#include <no_trace.h>
#include <ram_relay.h>
#include <remote.h>
#include "expect_fault.h"
#include "other_cpus.h"

static cpuset_t all(void)
{
	return cpus_online();
}

/* ---- Each CPU is whole ---- */

struct PACKED table_pointer {
	uint16_t limit;
	uint64_t base;
};

enum { TSS_IST1 = 36, SELECTOR_MASK = 0xfff8 };

static struct identity {
	const struct cpu *cpu;
	uint64_t gs_base, gdt, tss, rsp;
	uint64_t cr0, cr3, cr4, efer, pat;
	uint64_t ist[CPU_STACKS - 1];
} identities[CPUS_MAX];

static uint64_t tss_base(uint64_t gdt, uint16_t selector)
{
	const uint64_t *entry = (const uint64_t *)(gdt + (selector & SELECTOR_MASK));
	return (entry[0] >> 16 & 0xffffff) | (entry[0] >> 56 & 0xff) << 24 | entry[1] << 32;
}

static void write_identity(void *unused)
{
	struct identity *own = &identities[this_cpu()->id];
	struct table_pointer gdt;
	uint16_t selector;

	(void)unused;
	__asm__ volatile("sgdt %0; str %1; movq %%rsp, %2" : "=m"(gdt), "=r"(selector), "=r"(own->rsp));
	own->cpu = this_cpu();
	own->gs_base = rdmsr(MSR_GS_BASE);
	own->gdt = gdt.base;
	own->tss = tss_base(gdt.base, selector);
	for (unsigned i = 0; i < ARRAY_SIZE(own->ist); i++)
		memcpy(&own->ist[i], (const void *)(own->tss + TSS_IST1 + 8UL * i), sizeof(uint64_t));
	own->cr0 = read_cr0();
	own->cr3 = read_cr3().raw;
	own->cr4 = read_cr4();
	own->efer = rdmsr(MSR_EFER);
	own->pat = cpu_features.pat ? rdmsr(MSR_PAT) : 0;
}

static void every_cpu_has_an_id_and_tables_of_its_own(void)
{
	memset(identities, 0, sizeof(identities));
	cpu_call(all(), write_identity, NULL);
	for (unsigned id = 0; id < nr_cpus; id++) {
		assert_ptr_equal(identities[id].cpu, cpu_by_id(id));
		assert_int_equal(identities[id].cpu->id, id);
		assert_int_equal(identities[id].gs_base, (uintptr_t)cpu_by_id(id));
		for (unsigned other = 0; other < id; other++) {
			assert_int_not_equal(identities[id].gdt, identities[other].gdt);
			assert_int_not_equal(identities[id].tss, identities[other].tss);
		}
	}
	for (unsigned id = nr_cpus; id < CPUS_MAX; id++)
		assert_null(cpu_by_id(id));
	assert_at_least(cpus_possible(), nr_cpus);
}

static void every_cpu_runs_on_its_own_stack_and_faults_on_its_own(void)
{
	cpu_call(all(), write_identity, NULL);
	for (unsigned id = 0; id < nr_cpus; id++) {
		const struct guarded_stack *stack = stack_at(vaddr(identities[id].rsp));
		assert_ptr_equal(stack, guarded_stack(id * CPU_STACKS));
		assert_int_equal(stack->cpu, id);
		for (unsigned i = 1; i < CPU_STACKS; i++)
			assert_int_equal(identities[id].ist[i - 1],
			                 guarded_stack(id * CPU_STACKS + i)->stack.end.raw);
	}
}

static void no_two_stacks_or_guards_overlap(void)
{
	const struct guarded_stack *a, *b;

	for (unsigned n = 0; (a = guarded_stack(n)); n++) {
		assert_int_equal(a->guard.end.raw, a->stack.start.raw);
		assert_int_equal(vrange_size(a->stack), n % CPU_STACKS == STACK_KERNEL ? 32 << 10 : 8 << 10);
		for (unsigned m = 0; m < n; m++) {
			b = guarded_stack(m);
			assert_false(a->guard.start.raw < b->stack.end.raw &&
			             b->guard.start.raw < a->stack.end.raw);
		}
	}
}

static void every_cpu_is_protected_as_the_first_one_is(void)
{
	cpu_call(all(), write_identity, NULL);
	for (unsigned id = 1; id < nr_cpus; id++) {
		assert_int_equal(identities[id].cr0, identities[0].cr0);
		assert_int_equal(identities[id].cr3, identities[0].cr3);
		assert_int_equal(identities[id].cr4, identities[0].cr4);
		assert_int_equal(identities[id].efer, identities[0].efer);
		assert_int_equal(identities[id].pat, identities[0].pat);
	}
}

/* ---- Calls ---- */

static unsigned called[CPUS_MAX];
static bool called_masked[CPUS_MAX], called_in_interrupt[CPUS_MAX];

static void note_call(void *context)
{
	unsigned id = this_cpu()->id;

	__atomic_fetch_add(&called[id], *(const unsigned *)context, __ATOMIC_RELAXED);
	called_masked[id] = !irqs_enabled();
	called_in_interrupt[id] = in_interrupt();
}

static void call_and_check(cpuset_t set)
{
	static unsigned weight = 1;
	bool enabled = irqs_enabled();

	memset(called, 0, sizeof(called));
	weight++;
	cpu_call(set, note_call, &weight);
	assert_int_equal(irqs_enabled(), enabled);
	for (unsigned id = 0; id < CPUS_MAX; id++)
		assert_int_equal(called[id], set & cpus_online() & 1UL << id ? weight : 0);
}

static void calls_reach_exactly_the_set(void)
{
	struct rng rng;

	rng_seed(&rng, test_seed());
	call_and_check(0);
	call_and_check(1);
	call_and_check(~(cpuset_t)0); /* CPUs that do not run are not waited for */
	for (unsigned i = 0; i < 200; i++) {
		test_step(i);
		call_and_check(rng_next(&rng));
	}
}

static void a_call_may_be_made_with_interrupts_masked(void)
{
	irq_disable();
	for (unsigned i = 0; i < 50; i++)
		call_and_check(all());
	irq_enable();
}

static void what_is_called_runs_masked_and_elsewhere_in_a_handler(void)
{
	call_and_check(all());
	for (unsigned id = 0; id < nr_cpus; id++) {
		assert_true(called_masked[id]);
		assert_int_equal(called_in_interrupt[id], id != 0);
	}
	assert_true(irqs_enabled());
}

enum { ROUNDS = 80 };

static void call_everybody(void *weight)
{
	bool masked = this_cpu()->id % 2;

	for (unsigned round = 0; round < scaled(ROUNDS); round++) {
		irqflags_t flags = {RFLAGS_IF};
		if (masked)
			flags = irq_save();
		cpu_call(all(), note_call, weight);
		irq_restore(flags);
	}
}

static void all_may_call_all_at_once_masked_or_not(void)
{
	static unsigned one = 1;

	memset(called, 0, sizeof(called));
	start_work_on_others(call_everybody, &one);
	call_everybody(&one);
	wait_for_others();
	for (unsigned id = 0; id < nr_cpus; id++)
		assert_int_equal(called[id], scaled(ROUNDS) * nr_cpus);
}

static void call_in_call(void *unused)
{
	cpu_call(all(), write_identity, unused);
}

static void call_expecting_refusal(void *unused)
{
	(void)unused;
	if (!context_save(&expected_fault.context)) {
		panic_expect(&expected_fault);
		call_in_call(NULL);
	}
}

static void a_call_out_of_a_call_is_reported(void)
{
	need_another_cpu();
	cpu_call(2, call_expecting_refusal, NULL);
	assert_string_equal(expected_fault.message, "cpu_call: in an interrupt handler");
}

static void a_call_with_a_lock_held_is_reported(void)
{
	static struct spinlock lock = SPINLOCK_INIT("some", 10);

	if (!IS_DEBUG)
		test_skip("locks are watched in the debug build only");
	irqflags_t flags = spin_lock_irqsave(&lock);
	expect_panic("cpu_call: with the spinlock some held", call_in_call(NULL));
	spin_unlock_irqrestore(&lock, flags);
}

/* ---- Work ---- */

static struct {
	bool in_interrupt, enabled, own_stack;
	unsigned cpu, order;
} worked[2];

static unsigned worked_count;

static void note_work(void *where)
{
	unsigned order = __atomic_fetch_add(&worked_count, 1, __ATOMIC_ACQ_REL), n = where == &worked[1];
	const struct guarded_stack *stack = stack_at(vaddr_of(&order));

	worked[n].in_interrupt = in_interrupt();
	worked[n].enabled = irqs_enabled();
	worked[n].own_stack = stack == guarded_stack(this_cpu()->id * CPU_STACKS);
	worked[n].cpu = this_cpu()->id;
	worked[n].order = order;
}

static void work_runs_outside_of_handlers_on_the_cpus_own_stack(void)
{
	need_another_cpu();
	worked_count = 0;
	for (unsigned n = 0; n < 2; n++) {
		cpu_start_work(1, note_work, &worked[n]);
		cpu_wait_work(1);
		assert_true(cpu_work_done(1));
		assert_int_equal(worked[n].order, n);
		assert_int_equal(worked[n].cpu, 1);
		assert_true(worked[n].enabled && worked[n].own_stack && !worked[n].in_interrupt);
	}
}

static void wait_for_stage_1(void *unused)
{
	(void)unused;
	await_stage(1);
}

static void misdirected_work_is_reported(void)
{
	expect_panic("cpu_start_work: CPU 0 is no other CPU with an idle loop",
	             cpu_start_work(0, note_work, NULL));
	expect_panic("cpu_start_work: CPU 64 is no other CPU with an idle loop",
	             cpu_start_work(CPUS_MAX, note_work, NULL));
	need_another_cpu();
	cpu_start_work(1, wait_for_stage_1, NULL);
	expect_panic("cpu_start_work: CPU 1 has work already", cpu_start_work(1, note_work, NULL));
	assert_false(cpu_work_done(1));
	set_stage(1);
	cpu_wait_work(1);
}

static void call_the_boot_cpu(void *weight)
{
	cpu_call(1, note_call, weight);
}

static void who_waits_for_work_masked_serves_its_calls(void)
{
	static unsigned weight = 7;

	need_another_cpu();
	memset(called, 0, sizeof(called));
	irq_disable();
	start_work_on_others(call_the_boot_cpu, &weight);
	wait_for_others();
	irq_enable();
	assert_int_equal(called[0], 7 * (nr_cpus - 1));
}

/* ---- Timers ---- */

static unsigned ticked[CPUS_MAX], ticked_elsewhere;
static struct timer timers_before[CPUS_MAX];

static void tick(void)
{
	if (!in_interrupt() || irqs_enabled())
		count_up(&ticked_elsewhere);
	count_up(&ticked[this_cpu()->id]);
}

static void start_timer(void *hz)
{
	timers_before[this_cpu()->id] = cpu_timer_running();
	cpu_timer_start(*(const unsigned *)hz, tick);
}

static void stop_timer(void *unused)
{
	(void)unused;
	cpu_timer_stop();
}

static void put_timer_back(void *unused)
{
	struct timer before = timers_before[this_cpu()->id];

	(void)unused;
	if (before.hz)
		cpu_timer_start(before.hz, before.tick);
}

static unsigned fewest_ticks(void)
{
	unsigned fewest = UINT32_MAX;

	for (unsigned id = 0; id < nr_cpus; id++) {
		unsigned own = __atomic_load_n(&ticked[id], __ATOMIC_RELAXED);
		fewest = own < fewest ? own : fewest;
	}
	return fewest;
}

static void every_cpu_has_a_timer_that_ticks_until_it_is_stopped(void)
{
	static unsigned hz = 500;
	enum { TICKS = 10 };

	if (!apic_is_present())
		test_skip("this machine has no local APIC");
	memset(ticked, 0, sizeof(ticked));
	ticked_elsewhere = 0;
	uint64_t start = rdtsc();
	cpu_call(all(), start_timer, &hz);
	while (fewest_ticks() < TICKS && rdtsc() - start < 10 * tsc_hz)
		__builtin_ia32_pause();
	uint64_t took = rdtsc() - start;
	cpu_call(all(), stop_timer, NULL);
	unsigned stopped_at[CPUS_MAX];
	memcpy(stopped_at, ticked, sizeof(stopped_at));
	delay_us(20000);
	cpu_call(all(), put_timer_back, NULL);
	for (unsigned id = 0; id < nr_cpus; id++) {
		assert_at_least(ticked[id], TICKS);
		assert_int_equal(ticked[id], stopped_at[id]);
	}
	assert_int_equal(ticked_elsewhere, 0);
	assert_at_least(took,
	                (TICKS - 1) * tsc_hz / hz * 3 / 4); /* a busy host delays ticks, and hurries none */
}

static void a_rate_that_no_timer_keeps_is_a_mistake(void)
{
	if (!apic_is_present())
		test_skip("this machine has no local APIC");
	expect_panic("cpu_timer_start: 0 Hz is not in [1, 10000], or there is no timer",
	             cpu_timer_start(0, tick));
	expect_panic("cpu_timer_start: 10001 Hz is not in [1, 10000], or there is no timer",
	             cpu_timer_start(10001, tick));
}

/* ---- Faults and reports elsewhere ---- */

static struct expectation caught;

static void catch_elsewhere(void *mistake)
{
	if (!context_save(&caught.context)) {
		panic_expect(&caught);
		((void (*)(void))mistake)();
		panic_expect(NULL);
	}
}

static void make_on(unsigned id, void (*mistake)(void))
{
	cpu_start_work(id, catch_elsewhere, (void *)mistake);
	cpu_wait_work(id);
	assert_int_equal(cpu_by_id(id)->interrupt_depth, 0);
}

static void touch_own_guard(void)
{
	const struct guarded_stack *stack = guarded_stack(this_cpu()->id * CPU_STACKS);
	touch_read(vaddr_pointer(vaddr(stack->stack.start.raw - 1)));
}

static void panic_here(void)
{
	panic("on CPU %u", this_cpu()->id);
}

static void a_fault_and_a_panic_can_be_expected_on_any_cpu(void)
{
	need_another_cpu();
	for (unsigned id = 1; id < nr_cpus; id++) {
		char text[32];

		make_on(id, touch_own_guard);
		assert_true(caught.faulted);
		assert_int_equal(caught.frame.vector, TRAP_PAGE_FAULT);
		assert_ptr_equal(stack_guarded_at(caught.address), guarded_stack(id * CPU_STACKS));
		make_on(id, panic_here);
		assert_false(caught.faulted);
		format_buffer(text, sizeof(text), "on CPU %u", id);
		assert_string_equal(caught.message, text);
	}
}

static void any_cpu_that_runs_off_its_stack_lands_in_its_own_guard(void)
{
	need_another_cpu();
	for (unsigned id = 1; id < nr_cpus; id++) {
		make_on(id, overflow_stack);
		assert_true(caught.faulted);
		assert_int_equal(caught.frame.vector, TRAP_DOUBLE_FAULT);
		assert_ptr_equal(stack_guarded_at(caught.address), guarded_stack(id * CPU_STACKS));
	}
}

enum { WARNINGS = 200 };

static void warn_often(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < WARNINGS; i++)
		warn("CPU %u warns", this_cpu()->id);
}

static void warnings_of_several_cpus_are_all_counted_and_none_is_garbled(void)
{
	test_warnings_begin();
	start_work_on_others(warn_often, NULL);
	warn_often(NULL);
	wait_for_others();
	assert_int_equal(test_warnings_end(), WARNINGS * nr_cpus);
	assert_matches(test_warning_last(), "CPU * warns");
}

/* Of a limit of its own, which never ends a window: what each CPU was shown of its own kind, all of the common one, told. */
static struct warn_limit private_limit;
static unsigned own_shown[CPUS_MAX], common_shown, lines_told;

static void count_told(struct printer *printer, const char *text, size_t length)
{
	(void)printer;
	for (size_t i = 0; i < length; i++)
		__atomic_fetch_add(&lines_told, text[i] == '\n', __ATOMIC_RELAXED);
}

static void flood(void *unused)
{
	struct printer counter = {.write = count_told};
	unsigned id = this_cpu()->id;
	char text[16];

	(void)unused;
	for (unsigned i = 0; i < WARNINGS; i++) {
		format_buffer(text, sizeof(text), "own %c, %u", 'a' + id, i);
		own_shown[id] += warn_limit_admit(&private_limit, text, 5, &counter);
		format_buffer(text, sizeof(text), "common, %u", i);
		if (warn_limit_admit(&private_limit, text, 5, &counter))
			count_up(&common_shown);
	}
}

static void warnings_of_several_cpus_are_limited_by_kind_and_none_is_lost(void)
{
	unsigned suppressed = 0;

	if (nr_cpus > 8)
		test_skip("more CPUs than kinds");
	private_limit = (struct warn_limit){.window = 1000};
	memset(own_shown, 0, sizeof(own_shown));
	common_shown = lines_told = 0;
	start_work_on_others(flood, NULL);
	flood(NULL);
	wait_for_others();
	for (unsigned id = 0; id < nr_cpus; id++)
		assert_int_equal(own_shown[id], WARN_BURST);
	for (unsigned i = 0; i < WARN_KINDS; i++)
		suppressed += private_limit.kinds[i].suppressed;
	assert_int_equal(common_shown, WARN_BURST);
	assert_int_equal(suppressed + common_shown + nr_cpus * WARN_BURST, 2 * WARNINGS * nr_cpus);
	assert_int_equal(lines_told, nr_cpus + 1); /* that there were too many, of each kind */
}

/* ---- Short-lived mappings that change hands ---- */

static void relay(void *rounds)
{
	if (this_cpu()->id < RELAY_CPUS_MAX)
		ram_relay_run(this_cpu()->id, *(const unsigned *)rounds);
}

static void cpus_end_each_others_mappings_while_any_of_them_purges(void)
{
	unsigned rounds = scaled(4000);

	need_window(64UL << 20, "takes blocks of 2 MiB on each CPU");
	ram_relay_begin(test_seed());
	start_work_on_others(relay, &rounds);
	relay(&rounds);
	wait_for_others();
	assert_sound(mm_verify());
	assert_sound(ram_relay_end());
	if (nr_cpus > 1)
		assert_at_least(ram_relay_handed_over(), 1 + rounds / 100);
}

/* ---- One block, several CPUs ---- */

static char *shared_block;
static unsigned nr_arrived;

/*
 * Each CPU concerns itself with a page of its own, all at once: one of them splits the leaf around them. The others have
 * nothing to change or to flush, and are right behind it.
 */
static void split_own_page_off(void *unused)
{
	unsigned long page = (unsigned long)shared_block + (1 + this_cpu()->id) * PAGE_SIZE;

	(void)unused;
	count_up(&nr_arrived);
	await_count(&nr_arrived, nr_cpus);
	while (!set_memory_nx(page, 1))
		cpu_relax();
}

static void cpus_may_change_pages_of_one_large_leaf(void)
{
	need_another_cpu();
	if (nr_free_pages() < 4096)
		test_skip("needs 16 MiB of free memory");
	for (unsigned round = 0; round < scaled(200); round++) {
		shared_block = vmalloc(PMD_SIZE);
		assert_non_null(shared_block);
		nr_arrived = 0;
		start_work_on_others(split_own_page_off, NULL);
		split_own_page_off(NULL);
		wait_for_others();
		assert_sound(vmalloc_check());
		vfree(shared_block);
	}
}

/* ---- Bringing up ---- */

enum { NOBODYS_APIC_ID = 0xfd };

static bool is_low_ram(uint64_t at)
{
	struct translation t;
	return pagetable_lookup(&kernel_pagetable, vaddr_of(paddr_to_directmap(paddr(at))), &t);
}

/* Of what lies where a CPU could be started. */
static uint64_t low_memory_sum(void)
{
	uint64_t sum = 0;

	for (uint64_t at = PAGE_SIZE; at < 640UL << 10; at += PAGE_SIZE) {
		const uint64_t *words = paddr_to_directmap(paddr(at));
		for (unsigned i = 0; is_low_ram(at) && i < PAGE_SIZE / sizeof(*words); i++)
			sum = sum * 31 + words[i];
	}
	return sum;
}

static void need_a_way_to_start_cpus(void)
{
	if (!apic_is_present() || nr_cpus == CPUS_MAX || cpus_possible() == 1)
		test_skip("this machine cannot try to start one more CPU");
	for (unsigned id = 0; id < nr_cpus; id++)
		if (cpu_apic_id(id) == NOBODYS_APIC_ID)
			test_skip("some CPU has the id that nobody should have");
}

/* Nothing is left of the attempt; what the runner compares besides is memory. */
static void assert_left_out(cpuset_t online_before, uint64_t sum_before)
{
	struct translation t;

	assert_int_equal(cpus_online(), online_before);
	assert_null(guarded_stack(nr_cpus * CPU_STACKS));
	assert_int_equal(low_memory_sum(), sum_before);
	for (uint64_t at = 0; at < 1UL << 20; at += PAGE_SIZE)
		assert_false(pagetable_lookup(&kernel_pagetable, vaddr(at), &t));
}

static void a_cpu_that_does_not_answer_is_named_and_left_out(void)
{
	cpuset_t online_before = all();
	uint64_t sum = low_memory_sum();

	need_a_way_to_start_cpus();
	expect_warning("smp: CPU with APIC id 253 does not answer: left out",
	               assert_false(smp_start_cpu(NOBODYS_APIC_ID, 50)));
	assert_left_out(online_before, sum);
	cpu_call(all(), write_identity, NULL); /* the others are as they were */
}

static void a_cpu_that_there_is_no_memory_for_is_left_out_without_a_trace(void)
{
	cpuset_t online_before = all();
	uint64_t sum = low_memory_sum();
	unsigned refused = 0;
	bool delivered = true;

	need_a_way_to_start_cpus();
	need_injected_failures();
	for (unsigned nth = 1; delivered; nth++) {
		test_step(nth);
		test_warnings_begin();
		fault_inject_arm(nth);
		bool started = smp_start_cpu(NOBODYS_APIC_ID, 1);
		delivered = fault_inject_disarm();
		test_warnings_end();
		assert_false(started);
		refused += glob_match("smp: no memory * APIC id 253: left out", test_warning_last());
		assert_left_out(online_before, sum);
	}
	assert_matches(test_warning_last(), "smp: CPU with APIC id 253 does not answer: left out");
	assert_at_least(refused, 5); /* area, its node, frames, tables for the stacks, tables for the start */
}

static const struct test_case cases[] = {
        TEST_CASE(every_cpu_has_an_id_and_tables_of_its_own),
        TEST_CASE(every_cpu_runs_on_its_own_stack_and_faults_on_its_own),
        TEST_CASE(no_two_stacks_or_guards_overlap),
        TEST_CASE(every_cpu_is_protected_as_the_first_one_is),
        TEST_CASE(calls_reach_exactly_the_set),
        TEST_CASE(a_call_may_be_made_with_interrupts_masked),
        TEST_CASE(what_is_called_runs_masked_and_elsewhere_in_a_handler),
        TEST_CASE(all_may_call_all_at_once_masked_or_not),
        TEST_CASE(a_call_out_of_a_call_is_reported),
        TEST_CASE(a_call_with_a_lock_held_is_reported),
        TEST_CASE(cpus_end_each_others_mappings_while_any_of_them_purges),
        TEST_CASE(cpus_may_change_pages_of_one_large_leaf),
        TEST_CASE(work_runs_outside_of_handlers_on_the_cpus_own_stack),
        TEST_CASE(misdirected_work_is_reported),
        TEST_CASE(who_waits_for_work_masked_serves_its_calls),
        TEST_CASE(every_cpu_has_a_timer_that_ticks_until_it_is_stopped),
        TEST_CASE(a_rate_that_no_timer_keeps_is_a_mistake),
        TEST_CASE(a_fault_and_a_panic_can_be_expected_on_any_cpu),
        TEST_CASE(any_cpu_that_runs_off_its_stack_lands_in_its_own_guard),
        TEST_CASE(warnings_of_several_cpus_are_all_counted_and_none_is_garbled),
        TEST_CASE(warnings_of_several_cpus_are_limited_by_kind_and_none_is_lost),
        TEST_CASE(a_cpu_that_does_not_answer_is_named_and_left_out),
        TEST_CASE(a_cpu_that_there_is_no_memory_for_is_left_out_without_a_trace),
};

const struct test_suite smp_suite =
        TEST_SUITE("smp", cases, .set_up = begin_with_others, .tear_down = end_with_others);
