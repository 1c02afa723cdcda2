/* Finding the CPUs that the machine has, and starting them. */
#ifndef KERNEL_SMP_BOOT_H
#define KERNEL_SMP_BOOT_H

#include <boot/boot_info.h>

/* Settles cpus_possible(). While the boot loader's tables map the first 4 GiB: before mm_init(). */
void smp_find_cpus(const struct boot_info *info);

/* Starts every CPU that was found, and says in one line which are online, or why there is but one. After mm_init(). */
void smp_start(const struct boot_info *info);

/*
 * Starts one CPU under the next free id. False, with a warning that names it, if there is no memory for it, it lacks the
 * 5-level paging that the boot CPU uses, or it does not answer within `patience_ms`; then nothing is left of it. For
 * smp_start(), and for a test with an id that nobody has. pre: apic_is_present()
 */
bool smp_start_cpu(uint32_t apic_id, unsigned patience_ms);

/* Lists the CPUs: who is online, and all counters. */
struct printer;
void cpus_dump(struct printer *out);

#endif
