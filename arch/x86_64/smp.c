/*
 * Making other CPUs do something: at once, in an interrupt (calls); or when they have nothing else to do (work).
 *
 * A caller writes what it wants into its own box, then sets its bit in the box of each CPU it wants it from:
 *
 *	box of caller 2        fn, context            unanswered ..1.1.    CPUs that have not done it yet
 *	boxes of 1 and 3       callers .....1..       who wants something: bit 2
 *
 * C1  A box's fn and context are written by its CPU only, and only while unanswered is 0: one call at a time.
 * C2  Bit t of c's unanswered falls after t has run c's fn; t reads c's box only while that bit is set.
 * C3  Whoever sets the first bit of `callers` sends the interrupt. Later ones need none: t takes all bits at once, and
 *     has not done so since the first was set.
 * C4  A CPU that waits for its answers serves others meanwhile, so that two callers do not wait for each other. It is
 *     why a call is made with no lock held: what is served may want that lock.
 *
 * No lock; two atomic operations per target. An interrupt may find nothing to do, if a waiting CPU was faster.
 */
#include <arch/cpu.h>
#include <arch/irq.h>
#include <arch/spinlock.h>
#include <lib/panic.h>
#include "x86_internal.h"

/* A CPU's own cache lines: others touch them only to ask. */
static struct box {
	cpuset_t callers ALIGNED(64);
	void (*fn)(void *context) ALIGNED(64);
	void *context;
	cpuset_t unanswered;
} boxes[CPUS_MAX];

static struct work {
	void (*fn)(void *context); /* NULL: none, or done */
	void *context;
} works[CPUS_MAX];

cpuset_t online = 1;

/* ---- Who ---- */

cpuset_t cpus_online(void)
{
	return __atomic_load_n(&online, __ATOMIC_ACQUIRE);
}

struct cpu *cpu_by_id(unsigned id)
{
	return cpus_online() & cpu_bit(id) ? &cpus[id] : NULL;
}

struct cpu *cpu_storage(unsigned id)
{
	return &cpus[id];
}

/* ---- Calls ---- */

static void answer(unsigned caller, unsigned me)
{
	struct box *box = &boxes[caller];

	box->fn(box->context);
	__atomic_fetch_and(&box->unanswered, ~cpu_bit(me), __ATOMIC_RELEASE);
}

void calls_serve(void)
{
	unsigned me = this_cpu()->id, caller;
	struct box *box = &boxes[me];

	if (!__atomic_load_n(&box->callers, __ATOMIC_RELAXED))
		return;
	for_each_cpu (caller, __atomic_exchange_n(&box->callers, 0, __ATOMIC_ACQ_REL))
		answer(caller, me);
}

void cpu_serve(void)
{
	irqflags_t flags = irq_save();

	tlb_answer();
	this_cpu()->interrupt_depth++; /* a call is served as a handler would, wherever it is */
	calls_serve();
	this_cpu()->interrupt_depth--;
	irq_restore(flags);
}

static void ask(cpuset_t targets, void (*fn)(void *context), void *context)
{
	unsigned me = this_cpu()->id, target;
	struct box *box = &boxes[me];

	box->fn = fn;
	box->context = context;
	__atomic_store_n(&box->unanswered, targets, __ATOMIC_RELAXED);
	for_each_cpu (target, targets) {
		if (!__atomic_fetch_or(&boxes[target].callers, cpu_bit(me), __ATOMIC_ACQ_REL))
			apic_send(target, VECTOR_CALL);
	}
}

void cpu_call(cpuset_t set, void (*fn)(void *context), void *context)
{
	if (unlikely(in_interrupt()))
		panic("cpu_call: in an interrupt handler");
	if (unlikely(this_cpu()->held_locks))
		panic("cpu_call: with the spinlock %s held", this_cpu()->held[0]->name);

	irqflags_t flags = irq_save();
	cpuset_t self = cpu_bit(this_cpu()->id), others = set & cpus_online() & ~self;
	if (others)
		ask(others, fn, context);
	if (set & self)
		fn(context);
	while (others && __atomic_load_n(&boxes[this_cpu()->id].unanswered, __ATOMIC_ACQUIRE)) {
		cpu_serve();
		__builtin_ia32_pause();
	}
	irq_restore(flags);
}

void cpu_relax(void)
{
	__builtin_ia32_pause();
	tlb_answer();
}

/* ---- Work ---- */

void cpu_start_work(unsigned id, void (*fn)(void *context), void *context)
{
	if (!id || id >= CPUS_MAX || id == this_cpu()->id || !cpu_by_id(id))
		panic("cpu_start_work: CPU %u is no other CPU with an idle loop", id);
	if (!cpu_work_done(id))
		panic("cpu_start_work: CPU %u has work already", id);
	works[id].context = context;
	__atomic_store_n(&works[id].fn, fn, __ATOMIC_RELEASE);
	apic_send(id, VECTOR_CALL); /* finds no call, but wakes it */
}

bool cpu_work_done(unsigned id)
{
	return !__atomic_load_n(&works[id].fn, __ATOMIC_ACQUIRE);
}

void cpu_wait_work(unsigned id)
{
	while (!cpu_work_done(id)) {
		cpu_serve();
		__builtin_ia32_pause();
	}
}

NORETURN void cpu_idle(void)
{
	struct work *work = &works[this_cpu()->id];

	for (;;) {
		irq_disable();
		void (*fn)(void *context) = __atomic_load_n(&work->fn, __ATOMIC_ACQUIRE);
		if (!fn) {
			/* Interrupts stay masked for one instruction after sti: none can slip in before hlt. */
			__asm__ volatile("sti; hlt" : : : "memory");
			continue;
		}
		irq_enable();
		fn(work->context);
		__atomic_store_n(&work->fn, NULL, __ATOMIC_RELEASE);
	}
}
