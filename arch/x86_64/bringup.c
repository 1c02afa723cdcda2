/*
 * A CPU's way from reset to the idle loop, and to a standstill.
 *
 *	starter                                  started
 *	EXPECTED                                 (reset)
 *	INIT, 10 ms, STARTUP, 200 us, STARTUP ─► real mode … cpu_entry()
 *	waits for ARRIVED                        EXPECTED → ARRIVED, or halts if it is too late
 *	or, out of patience: EXPECTED → GIVEN_UP online, full flush, idle
 *
 * B1  `arrival` leaves EXPECTED once: either the CPU is in or the starter has given it up, never both.
 * B2  A CPU goes online before it flushes and uses nothing that was mapped before. Who changes an entry flushes here,
 *     which serialises, before it looks who is online: it either sees the new CPU or is seen by its flush.
 *
 * Intel SDM vol. 3A, sections 8.4.4.1 (the sequence) and 10.6 (its interrupts).
 */
#include <arch/apic.h>
#include <arch/bringup.h>
#include <arch/cpu.h>
#include <arch/devices.h>
#include <lib/panic.h>
#include "x86_internal.h"

enum arrival { EXPECTED, ARRIVED, GIVEN_UP };
enum { INIT_US = 10000, STARTUP_US = 200 };
enum { NOBODY = -1 };

static unsigned possible = 1;
static uint32_t arrival;

/* ---- Coming up ---- */

unsigned cpus_possible(void)
{
	return possible;
}

void cpus_set_possible(unsigned count)
{
	ASSERT(count >= 1 && count <= CPUS_MAX);
	possible = count;
}

/* True for one side only. */
static bool arrival_becomes(enum arrival what)
{
	uint32_t expected = EXPECTED;
	return __atomic_compare_exchange_n(&arrival, &expected, what, false, __ATOMIC_ACQ_REL,
	                                   __ATOMIC_ACQUIRE);
}

/* Waits at most so long for the CPU to be online. */
static bool await_online(unsigned id, uint64_t microseconds)
{
	uint64_t start = rdtsc(), ticks = tsc_hz / 1000000 * microseconds;

	while (!cpu_by_id(id)) {
		if (rdtsc() - start > ticks)
			return false;
		cpu_relax();
	}
	return true;
}

static bool start_and_wait(unsigned id, paddr_t page, unsigned patience_ms)
{
	apic_send_init(id);
	delay_us(INIT_US);
	apic_send_startup(id, page);
	if (await_online(id, STARTUP_US))
		return true;
	apic_send_startup(id, page); /* no harm if the first was heard: a CPU that runs ignores it */
	return await_online(id, patience_ms * 1000UL);
}

bool cpu_start(unsigned id, uint32_t apic_id, paddr_t page, const struct vrange stacks[CPU_STACKS],
               unsigned patience_ms)
{
	ASSERT(id < CPUS_MAX && !cpu_by_id(id));
	apic_note_id(id, apic_id);
	stacks_register(id, stacks);
	__atomic_store_n(&arrival, EXPECTED, __ATOMIC_RELEASE);
	if (start_and_wait(id, page, patience_ms))
		return true;
	if (!arrival_becomes(GIVEN_UP)) { /* at the last moment */
		while (!cpu_by_id(id))
			cpu_relax();
		return true;
	}
	apic_send_init(id); /* wherever it is, it is no longer */
	delay_us(INIT_US);
	stacks_forget(id);
	return false;
}

NORETURN void cpu_entry(uint64_t id)
{
	gdt_init((unsigned)id);
	idt_load();
	cpu_init_protection();
	apic_init_cpu();
	if (!arrival_becomes(ARRIVED))
		cpu_halt_forever();
	__atomic_fetch_or(&online, cpu_bit((unsigned)id), __ATOMIC_ACQ_REL);
	tlb_flush_all_here();
	cpu_idle();
}

/* ---- Standing still ---- */

static int stopper = NOBODY; /* the CPU whose report stops all others */
static cpuset_t stopped;

bool cpu_must_park(void)
{
	int by = __atomic_load_n(&stopper, __ATOMIC_ACQUIRE);
	return by != NOBODY && by != (int)this_cpu()->id;
}

NORETURN void cpu_park(void)
{
	__atomic_fetch_or(&stopped, cpu_bit(this_cpu()->id), __ATOMIC_RELEASE);
	cpu_halt_forever();
}

cpuset_t cpus_stop_others(void)
{
	unsigned me = this_cpu()->id, id;
	cpuset_t others = cpus_online() & ~cpu_bit(me);
	uint64_t start = rdtsc();

	__atomic_store_n(&stopper, (int)me, __ATOMIC_SEQ_CST);
	for_each_cpu (id, others & ~__atomic_load_n(&stopped, __ATOMIC_ACQUIRE))
		apic_send_nmi(id);
	while (others & ~__atomic_load_n(&stopped, __ATOMIC_ACQUIRE)) {
		if (rdtsc() - start > tsc_hz)
			break;
		__builtin_ia32_pause();
	}
	return others & ~__atomic_load_n(&stopped, __ATOMIC_ACQUIRE);
}
