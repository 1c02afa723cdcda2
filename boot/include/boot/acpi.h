/*
 * The processors, as firmware lists them: ACPI root pointer → XSDT or RSDT → MADT. ACPI specification 6.4, sections 5.2.5
 * (RSDP), 5.2.7 and 5.2.8 (RSDT, XSDT), 5.2.12 (MADT).
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include <boot/boot_info.h>

enum { ACPI_CPUS_MAX = 256 };

struct acpi_cpus {
	/* Why there is no list, or NULL: "no ACPI root pointer", "XSDT: bad checksum", … The other fields are 0 then. */
	const char *refusal;
	paddr_t local_apic; /* physical address of every CPU's own controller */
	size_t nr;          /* usable CPUs, in the firmware's order, each APIC id once */
	uint32_t apic_id[ACPI_CPUS_MAX];
	size_t nr_dropped; /* usable ones that found no room */
};

/*
 * Reads the tables through `base` + physical address. Believes nothing: a table is read only where the firmware's own
 * memory map has some range and below `reachable`; signatures, lengths and checksums must be right; entries must lie
 * inside their table. Reads nothing else, never faults, never loops.
 */
void acpi_find_cpus(const struct boot_info *info, const void *base, uint64_t reachable,
                    struct acpi_cpus *out);

#endif
