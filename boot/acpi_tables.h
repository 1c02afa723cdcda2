/*
 * The tables in which firmware lists the processors, byte by byte: ACPI specification 6.4, sections 5.2.5 to 5.2.8 and
 * 5.2.12. Numbers are little-endian. Firmware packs tables one behind the other, so that fields lie anywhere: copy these
 * structures out, never point into a table.
 */
#ifndef BOOT_ACPI_TABLES_H
#define BOOT_ACPI_TABLES_H

#include <lib/compiler.h>

struct acpi_rsdp { /* root pointer; from `length` on only in revision 2 and later */
	char signature[8];
	uint8_t checksum; /* over the first 20 bytes */
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum; /* over all 36 */
	uint8_t reserved[3];
} PACKED;
#define ACPI_RSDP_SIGNATURE "RSD PTR "
enum { ACPI_RSDP_OLD_SIZE = 20, ACPI_RSDP_XSDT_REVISION = 2 };

/* How every table begins. Of an RSDT and an XSDT the rest is pointers of 4 and 8 bytes. */
struct acpi_header {
	char signature[4];
	uint32_t length; /* with this part */
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} PACKED;

struct acpi_madt { /* "multiple APIC description table", and its entries */
	struct acpi_header header;
	uint32_t local_apic;
	uint32_t flags;
} PACKED;

struct acpi_madt_entry { /* how each begins */
	uint8_t type, length;
} PACKED;
enum acpi_madt_type { ACPI_LOCAL_APIC = 0, ACPI_LOCAL_APIC_ADDRESS = 5, ACPI_LOCAL_X2APIC = 9 };

struct acpi_local_apic {
	struct acpi_madt_entry entry;
	uint8_t processor, id;
	uint32_t flags;
} PACKED;

struct acpi_local_apic_address {
	struct acpi_madt_entry entry;
	uint16_t reserved;
	uint64_t address; /* instead of the table's own */
} PACKED;

struct acpi_local_x2apic {
	struct acpi_madt_entry entry;
	uint16_t reserved;
	uint32_t id, flags, processor;
} PACKED;

/* A processor's flags. One that is not enabled may be absent, or to be plugged in later: bit 1, "online capable". */
#define ACPI_PROCESSOR_ENABLED 1U

/* What every controller listens to names none of them. */
#define ACPI_LOCAL_APIC_BROADCAST   0xffU
#define ACPI_LOCAL_X2APIC_BROADCAST 0xffffffffU

_Static_assert(sizeof(struct acpi_rsdp) == 36, "as published");
_Static_assert(sizeof(struct acpi_header) == 36, "as published");
_Static_assert(sizeof(struct acpi_madt) == 44, "as published");
_Static_assert(sizeof(struct acpi_local_apic) == 8, "as published");
_Static_assert(sizeof(struct acpi_local_apic_address) == 12, "as published");
_Static_assert(sizeof(struct acpi_local_x2apic) == 16, "as published");

#endif
