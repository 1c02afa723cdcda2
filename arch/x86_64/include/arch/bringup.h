/*
 * How CPUs come up, and how a report makes the others stop. x86_64 only; once they run, <arch/smp.h> is what matters.
 */
#ifndef ARCH_BRINGUP_H
#define ARCH_BRINGUP_H

#include <arch/smp.h>
#include <arch/trap.h>

/* How many CPUs there may ever be, this one included: 1 to CPUS_MAX. Once, before mm_init(). */
void cpus_set_possible(unsigned count);

/*
 * Starts the CPU with this APIC id as CPU `id`. It begins in real mode at `page`, below 1 MiB, where the caller has put
 * what leads to cpu_entry(id) on the top of stacks[STACK_KERNEL]. Below each stack the caller keeps a page unmapped.
 *
 * True once it is online. False if it has not answered after `patience_ms`: it is then held in reset, and whatever was
 * prepared for it is the caller's again.
 *
 * pre: apic_is_present(); `id` is the number of CPUs online; one CPU is started at a time
 */
bool cpu_start(unsigned id, uint32_t apic_id, paddr_t page, const struct vrange stacks[CPU_STACKS],
               unsigned patience_ms) MUST_USE;

/* Where a started CPU arrives: long mode, final page tables, its own kernel stack, interrupts masked. */
NORETURN void cpu_entry(uint64_t id);

/*
 * Makes every other CPU stop where it stands, whatever it has masked or holds, for ever. Returns the set of those that
 * have not confirmed it within a second: they may be dead, or may yet say something. Any context.
 */
cpuset_t cpus_stop_others(void);

/* This CPU stops for ever, as cpus_stop_others() would have made it. */
NORETURN void cpu_park(void);

#endif
