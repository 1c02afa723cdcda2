/*
 * The processors, as firmware lists them: ACPI root pointer → XSDT or RSDT → MADT. ACPI specification 6.4, sections 5.2.5
 * (RSDP), 5.2.7 and 5.2.8 (RSDT, XSDT), 5.2.12 (MADT).
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include <boot/boot_info.h>

enum { ACPI_CPUS_MAX = 256 };

struct acpi_cpus {
	/*
	 * Why there is no list, or NULL: "no ACPI root pointer", "XSDT: bad checksum", … A literal, good for ever. The other
	 * fields are 0 then.
	 */
	const char *refusal;
	paddr_t local_apic; /* physical address of every CPU's own controller: a whole page, not RAM */
	size_t nr; /* usable CPUs, in the firmware's order, each APIC id once; not 0 without a refusal */
	/* Never a broadcast: 0xff comes from an x2APIC entry only. What is above 0xfe is heard in x2APIC mode only. */
	uint32_t apic_id[ACPI_CPUS_MAX];
	size_t nr_dropped; /* entries for usable ones that found no room */
};

/*
 * Reads the tables through `base` + physical address. Believes nothing: a table is read only where the firmware's own
 * memory map has one range that holds all of it, and below `reachable`; signatures, lengths and checksums must be right;
 * entries must lie inside their table. Reads nothing else, never faults, and ends: lists of more than 1024 tables and a
 * MADT of more than 1 MiB are refused. Tables may lie at any address.
 *
 * A CPU is usable if it is enabled now; one that could only be brought online later is not listed. Single pointers and
 * entries that make no sense are passed over.
 */
void acpi_find_cpus(const struct boot_info *info, const void *base, uint64_t reachable,
                    struct acpi_cpus *out);

#endif
