/*
 * The local APIC: what a CPU is interrupted by and interrupts others with, and its own timer. x86_64 only.
 * Intel SDM vol. 3A, chapter 10.
 */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include <arch/devices.h>
#include <lib/addr.h>

/*
 * Where every CPU finds its own registers, a page to be mapped uncached; 0 if they are no memory but MSRs (x2APIC).
 * pre: cpu_features.apic
 */
paddr_t apic_registers(void);

/* The boot CPU's, for good: `registers` is where that page is mapped. Calibrates its timer. Interrupts masked. */
void apic_init(volatile uint32_t *registers);

/* apic_init() has run: the timers below and other CPUs can be had. */
bool apic_is_present(void);

/* Can an interrupt be addressed to that CPU? Without x2APIC, ids have 8 bits and 255 means everybody. */
bool apic_can_reach(uint32_t apic_id);

/* The APIC id of a CPU that is or was being started. pre: apic_is_present(), id < CPUS_MAX */
uint32_t cpu_apic_id(unsigned id);

/*
 * The running CPU's own timer: `tick` is called `hz` times a second, in interrupt context. Starting it again changes
 * both. Each CPU has one, whatever the others do. pre: apic_is_present(), 0 < hz <= CPU_TIMER_HZ_MAX
 */
enum { CPU_TIMER_HZ_MAX = 10000 };
void cpu_timer_start(unsigned hz, void (*tick)(void));
void cpu_timer_stop(void);
struct timer cpu_timer_running(void); /* hz 0: stopped */

#endif
