/*
 * The local APIC. Its registers are memory, a page at the same address for every CPU and yet its own (xAPIC); or MSRs,
 * where the processor offers that (x2APIC): register r at MSR 0x800 + r / 16. Intel SDM vol. 3A, chapter 10.
 *
 *	8259 ──► LINT0 ┐
 *	NMI  ──► LINT1 ┤
 *	timer          ├──► CPU          ICR ──► other CPUs' APICs: vector, NMI, INIT, startup
 *	other CPUs     ┘
 *
 * The boot CPU's LINT0 passes the 8259s through, as before there was any of this; the others' is masked. The timer's
 * rate is nobody's standard: it is measured once, against the time stamp counter, and taken to be the same everywhere.
 *
 * An interrupt is ended before it is handled: a handler may be left by a panic that a test expected.
 */
#include <arch/apic.h>
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <lib/panic.h>
#include "x86_internal.h"

/* Offsets into the page. */
enum {
	ID = 0x20,
	TASK_PRIORITY = 0x80,
	END_OF_INTERRUPT = 0xb0,
	SPURIOUS = 0xf0,
	ERROR_STATUS = 0x280,
	COMMAND = 0x300,
	COMMAND_HIGH = 0x310,
	LVT_TIMER = 0x320,
	LVT_LINT0 = 0x350,
	LVT_LINT1 = 0x360,
	LVT_ERROR = 0x370,
	TIMER_INITIAL = 0x380,
	TIMER_CURRENT = 0x390,
	TIMER_DIVIDE = 0x3e0,
};

enum { BASE_X2APIC = 1 << 10, BASE_ENABLE = 1 << 11 };
#define BASE_ADDRESS 0x000ffffffffff000UL
enum { MSR_X2APIC = 0x800 };

enum { SPURIOUS_ENABLE = 1 << 8 };
enum { DELIVER_NMI = 4 << 8, DELIVER_INIT = 5 << 8, DELIVER_STARTUP = 6 << 8, DELIVER_8259 = 7 << 8 };
enum { COMMAND_PENDING = 1 << 12, COMMAND_ASSERT = 1 << 14 };
enum { LVT_MASKED = 1 << 16, LVT_PERIODIC = 1 << 17 };
enum { DIVIDE_BY_16 = 3 };

enum { CALIBRATION_US = 10000, PENDING_POLLS_MAX = 1 << 20 };

static bool present, x2apic;
static volatile uint32_t *page;
static uint64_t timer_hz;
static uint32_t apic_ids[CPUS_MAX];
static struct timer timers[CPUS_MAX]; /* what each runs */

/* ---- Registers ---- */

static uint32_t read_register(unsigned offset)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + offset / 16) : page[offset / sizeof(*page)];
}

static void write_register(unsigned offset, uint32_t value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + offset / 16, value);
	else
		page[offset / sizeof(*page)] = value;
}

paddr_t apic_registers(void)
{
	return paddr(cpu_features.x2apic ? 0 : rdmsr(MSR_APIC_BASE) & BASE_ADDRESS);
}

bool apic_is_present(void)
{
	return present;
}

bool apic_can_reach(uint32_t apic_id)
{
	return cpu_features.x2apic ? apic_id != UINT32_MAX : apic_id < 0xff;
}

uint32_t cpu_apic_id(unsigned id)
{
	return apic_ids[id];
}

void apic_note_id(unsigned id, uint32_t apic_id)
{
	apic_ids[id] = apic_id;
}

/* ---- Start ---- */

void apic_init_cpu(void)
{
	bool boots = this_cpu()->id == 0;

	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_ENABLE);
	if (x2apic) /* not in one step: section 10.12.5 */
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_X2APIC);
	write_register(TASK_PRIORITY, 0);
	/* Before the lines below: disabled by software, they stay masked whatever is written. Section 10.4.7.2. */
	write_register(SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
	write_register(LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	write_register(LVT_LINT0, DELIVER_8259 | (boots ? 0 : LVT_MASKED));
	write_register(LVT_LINT1, DELIVER_NMI);
	write_register(LVT_ERROR, VECTOR_ERROR);
	write_register(ERROR_STATUS, 0);
	write_register(TIMER_DIVIDE, DIVIDE_BY_16);
}

static void calibrate_timer(void)
{
	write_register(TIMER_INITIAL, UINT32_MAX);
	uint64_t start = rdtsc(), first = read_register(TIMER_CURRENT);
	delay_us(CALIBRATION_US);
	uint64_t passed = first - read_register(TIMER_CURRENT), cycles = rdtsc() - start;
	write_register(TIMER_INITIAL, 0);
	timer_hz = passed * tsc_hz / cycles;
}

void apic_init(volatile uint32_t *registers)
{
	page = registers;
	x2apic = cpu_features.x2apic;
	apic_init_cpu();
	apic_note_id(0, x2apic ? read_register(ID) : read_register(ID) >> 24);
	calibrate_timer();
	present = true;
}

/* ---- Interrupting others ---- */

/* Two halves make one command: a handler that sends must not come between. */
static void send(unsigned id, uint32_t command)
{
	irqflags_t flags = irq_save();

	if (x2apic) {
		/* Unlike a store to the page, wrmsr does not wait for the stores before it to be seen. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + COMMAND / 16, (uint64_t)apic_ids[id] << 32 | command);
	} else {
		for (unsigned polls = 0; polls < PENDING_POLLS_MAX; polls++) {
			if (!(read_register(COMMAND) & COMMAND_PENDING))
				break;
			__builtin_ia32_pause();
		}
		write_register(COMMAND_HIGH, apic_ids[id] << 24);
		write_register(COMMAND, command);
	}
	irq_restore(flags);
}

void apic_send(unsigned id, unsigned vector)
{
	cpu_count(COUNT_IPIS, 1);
	send(id, COMMAND_ASSERT | vector);
}

void apic_send_nmi(unsigned id)
{
	send(id, COMMAND_ASSERT | DELIVER_NMI);
}

void apic_send_init(unsigned id)
{
	send(id, COMMAND_ASSERT | DELIVER_INIT);
}

void apic_send_startup(unsigned id, paddr_t start)
{
	send(id, COMMAND_ASSERT | DELIVER_STARTUP | (uint32_t)(start.raw >> 12));
}

/* ---- Being interrupted ---- */

static void report_error(void)
{
	write_register(ERROR_STATUS, 0); /* latches what there is to read */
	warn("apic: CPU %u: error status 0x%x", this_cpu()->id, read_register(ERROR_STATUS));
}

static void on_tick(void)
{
	const struct timer *timer = &timers[this_cpu()->id];
	if (timer->tick)
		timer->tick();
}

void apic_interrupt(unsigned vector)
{
	if (vector == VECTOR_SPURIOUS)
		return; /* went away before it was asked for: none must be ended */
	write_register(END_OF_INTERRUPT, 0);
	switch (vector) {
	case VECTOR_FLUSH:
		tlb_answer();
		break;
	case VECTOR_CALL:
		calls_serve();
		break;
	case VECTOR_TIMER:
		on_tick();
		break;
	case VECTOR_ERROR:
		report_error();
		break;
	default:
		warn("apic: vector %u has no meaning", vector);
	}
}

/* ---- The timer ---- */

void cpu_timer_start(unsigned hz, void (*tick)(void))
{
	if (!present || !hz || hz > CPU_TIMER_HZ_MAX)
		panic("cpu_timer_start: %u Hz is not in [1, %d], or there is no timer", hz, CPU_TIMER_HZ_MAX);

	irqflags_t flags = irq_save();
	timers[this_cpu()->id] = (struct timer){hz, tick};
	write_register(LVT_TIMER, LVT_PERIODIC | VECTOR_TIMER);
	uint64_t count = timer_hz / hz;
	write_register(TIMER_INITIAL, count > UINT32_MAX ? UINT32_MAX : count ? (uint32_t)count : 1);
	irq_restore(flags);
}

/* A tick that is on its way already finds nothing to call. */
void cpu_timer_stop(void)
{
	irqflags_t flags = irq_save();
	write_register(LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	write_register(TIMER_INITIAL, 0);
	timers[this_cpu()->id] = (struct timer){0, NULL};
	irq_restore(flags);
}

struct timer cpu_timer_running(void)
{
	return timers[this_cpu()->id];
}
