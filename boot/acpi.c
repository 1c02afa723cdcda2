/*
 * The processors, as the firmware's tables list them.
 *
 *	RSDP ──► XSDT  [ header | 8 | 8 | ... ] ──► MADT  [ header | controller | CPU | … | CPU ]
 *	    └──► RSDT  [ header | 4 | 4 | ... ] ──┘
 *
 * The root pointer (RSDP) leads to a list of tables, in an old form and a new one; the first table in the list that is
 * signed "APIC" is the MADT, whose entries describe interrupt controllers. An enabled CPU has a local one, with an id.
 *
 * Every number in the tables is a claim. A table becomes a span when it is known to lie within one range of the firmware's
 * memory map and within reach, and to have the right signature, a length that is believable, and a sum of zero:
 *
 *	[ ....... one range of the map ....... ]
 *	       [ header | length - 36 ]			header: checked before it is copied; the rest before it is summed
 *
 * A1  Every byte read is the root pointer's copy, or lies in such a table, or in a header checked in the same way.
 * A2  Both walks advance: pointers by their size, entries by at least 2. Tables have a maximal length, so walks end.
 * A3  A list that can be read is used. An odd pointer or entry in it is passed over; a MADT in which the next entry cannot
 *     be found is refused, for what follows is a guess.
 * A4  The XSDT speaks if it is sound, else the RSDT; if neither is, it is the XSDT's reason that is told.
 * A5  The refusal is a literal: it outlives the call, unlike check_failed()'s words.
 *
 * Tables need no alignment: real firmware has none. O(pointers × ranges of the map + bytes + entries × CPUs). No state
 * but *out; no allocation.
 */
#include <boot/acpi.h>
#include <lib/align.h>
#include "acpi_tables.h"
#include "span.h"

enum {
	POINTERS_MAX = 1024,     /* real lists have a few dozen */
	MADT_BYTES_MAX = 1 << 20 /* tens of thousands of processors */
};

struct reader {
	const struct boot_info *info;
	const uint8_t *base;
	uint64_t reachable;
};

/* What is demanded of a table, and the words for what is wrong with it. */
struct table_kind {
	char signature[sizeof(((struct acpi_header *)0)->signature)];
	uint32_t most; /* bytes, header included */
	uint32_t unit; /* what follows the header is a multiple of this */
	const char *out_of_reach, *unmapped, *misnamed, *too_short, *too_long, *ragged, *missummed;
};
#define TABLE_WORDS(name)                                                                                   \
	.out_of_reach = name ": out of reach", .unmapped = name ": not within one range of the memory map", \
	.misnamed = name ": bad signature", .too_short = name ": too short", .too_long = name ": too long", \
	.ragged = name ": ends within a pointer", .missummed = name ": bad checksum"

static const struct table_kind xsdt_kind = {
        .signature = {'X', 'S', 'D', 'T'},
        .most = sizeof(struct acpi_header) + POINTERS_MAX * sizeof(uint64_t),
        .unit = sizeof(uint64_t),
        TABLE_WORDS("XSDT"),
};
static const struct table_kind rsdt_kind = {
        .signature = {'R', 'S', 'D', 'T'},
        .most = sizeof(struct acpi_header) + POINTERS_MAX * sizeof(uint32_t),
        .unit = sizeof(uint32_t),
        TABLE_WORDS("RSDT"),
};
static const struct table_kind madt_kind = {
        .signature = {'A', 'P', 'I', 'C'},
        .most = MADT_BYTES_MAX,
        .unit = 1,
        TABLE_WORDS("MADT"),
};

/* ---- any table ---- */

static MUST_USE bool is_in_one_range(const struct boot_info *info, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < info->nr_ranges; i++)
		if (info->ranges[i].range.start.raw <= start && end <= info->ranges[i].range.end.raw)
			return true;
	return false;
}

/* NULL if these bytes may be read. Address 0 is how a table is absent: out of reach. */
static MUST_USE const char *check_place(const struct reader *r, uint64_t at, uint64_t size,
                                        const struct table_kind *kind)
{
	if (!at || at > r->reachable || size > r->reachable - at)
		return kind->out_of_reach;
	return is_in_one_range(r->info, at, at + size) ? NULL : kind->unmapped;
}

/* NULL, and the header; or why there is none to be read. */
static MUST_USE const char *copy_header(const struct reader *r, uint64_t at, const struct table_kind *kind,
                                        struct acpi_header *header)
{
	const char *wrong = check_place(r, at, sizeof(*header), kind);

	if (!wrong)
		memcpy(header, r->base + at, sizeof(*header));
	return wrong;
}

static MUST_USE bool is_named(const struct acpi_header *header, const struct table_kind *kind)
{
	return memcmp(header->signature, kind->signature, sizeof(kind->signature)) == 0;
}

/* NULL, and the table, sound as a whole; or what is wrong with it. */
static MUST_USE const char *open_table(const struct reader *r, uint64_t at, const struct table_kind *kind,
                                       struct span *table)
{
	struct acpi_header header;
	const char *wrong = copy_header(r, at, kind, &header);

	if (wrong)
		return wrong;
	if (!is_named(&header, kind))
		return kind->misnamed;
	if (header.length < sizeof(header))
		return kind->too_short;
	if (header.length > kind->most)
		return kind->too_long;
	if ((header.length - sizeof(header)) % kind->unit)
		return kind->ragged;
	wrong = check_place(r, at, header.length, kind);
	if (wrong)
		return wrong;
	*table = (struct span){r->base + at, header.length};
	return span_sums_to_zero(*table) ? NULL : kind->missummed;
}

/* ---- from the root pointer to the MADT ---- */

/* NULL if the old part of the root pointer, which every revision has, is sound. */
static MUST_USE const char *copy_rsdp(const struct boot_info *info, struct acpi_rsdp *rsdp)
{
	if (info->rsdp_length < ACPI_RSDP_OLD_SIZE)
		return "no ACPI root pointer";
	memcpy(rsdp, info->rsdp, sizeof(*rsdp));
	if (memcmp(rsdp->signature, ACPI_RSDP_SIGNATURE, sizeof(rsdp->signature)) != 0)
		return "RSDP: bad signature";
	if (!span_sums_to_zero((struct span){info->rsdp, ACPI_RSDP_OLD_SIZE}))
		return "RSDP: bad checksum";
	return NULL;
}

static MUST_USE const char *open_xsdt(const struct reader *r, const struct acpi_rsdp *rsdp, struct span *xsdt)
{
	if (rsdp->length != sizeof(*rsdp))
		return "RSDP: bad length";
	if (!span_sums_to_zero((struct span){r->info->rsdp, sizeof(*rsdp)}))
		return "RSDP: bad extended checksum";
	return open_table(r, rsdp->xsdt, &xsdt_kind, xsdt);
}

/* NULL, the list of tables and the size of its pointers; or what is wrong with it. */
static MUST_USE const char *open_list(const struct reader *r, struct span *list, size_t *pointer_size)
{
	struct acpi_rsdp rsdp;
	const char *wrong = copy_rsdp(r->info, &rsdp);

	if (wrong)
		return wrong;
	if (rsdp.revision >= ACPI_RSDP_XSDT_REVISION && r->info->rsdp_length >= sizeof(rsdp)) {
		wrong = open_xsdt(r, &rsdp, list);
		*pointer_size = xsdt_kind.unit;
		if (!wrong)
			return NULL;
	}
	const char *wrong_too = open_table(r, rsdp.rsdt, &rsdt_kind, list);
	*pointer_size = rsdt_kind.unit;
	return wrong && wrong_too ? wrong : wrong_too;
}

/* NULL, and the first MADT of the list; or why there is none that can be believed. */
static MUST_USE const char *open_madt(const struct reader *r, struct span list, size_t pointer_size,
                                      struct span *madt)
{
	struct acpi_header header;
	bool all_seen = true;
	uint64_t at = 0;

	for (size_t next = sizeof(header); span_copy(list, next, &at, pointer_size); next += pointer_size) {
		if (copy_header(r, at, &madt_kind, &header))
			all_seen = false;
		else if (is_named(&header, &madt_kind))
			return open_table(r, at, &madt_kind, madt);
	}
	return all_seen ? "MADT: not listed" : "MADT: not among the listed tables that can be read";
}

/* ---- the MADT's entries ---- */

static void add_cpu(struct acpi_cpus *out, uint32_t id)
{
	for (size_t i = 0; i < out->nr; i++)
		if (out->apic_id[i] == id)
			return;
	if (out->nr == ACPI_CPUS_MAX)
		out->nr_dropped++;
	else
		out->apic_id[out->nr++] = id;
}

/* Registers are a page, and not in RAM, where writing to them would be writing into somebody's data. */
static MUST_USE bool may_be_registers(const struct boot_info *info, uint64_t at)
{
	enum { REGISTERS_SIZE = 4096, PHYSICAL_BITS = 52 };

	if (!at || !is_aligned(at, REGISTERS_SIZE) || at >> PHYSICAL_BITS)
		return false;
	for (size_t i = 0; i < info->nr_ranges; i++) {
		const struct boot_range *range = &info->ranges[i];
		if (range->type == BOOT_RAM && range->range.start.raw < at + REGISTERS_SIZE &&
		    at < range->range.end.raw)
			return false;
	}
	return true;
}

static void note_controller(const struct boot_info *info, uint64_t at, struct acpi_cpus *out)
{
	if (may_be_registers(info, at))
		out->local_apic = paddr(at);
}

/* An entry that is too small for its type, or of a type that says nothing of CPUs, is passed over. */
static void read_entry(const struct boot_info *info, uint8_t type, struct span entry, struct acpi_cpus *out)
{
	struct acpi_local_apic apic;
	struct acpi_local_x2apic x2apic;
	struct acpi_local_apic_address controller;

	switch (type) {
	case ACPI_LOCAL_APIC:
		if (span_copy(entry, 0, &apic, sizeof(apic)) && apic.flags & ACPI_PROCESSOR_ENABLED &&
		    apic.id != ACPI_LOCAL_APIC_BROADCAST)
			add_cpu(out, apic.id);
		break;
	case ACPI_LOCAL_X2APIC:
		if (span_copy(entry, 0, &x2apic, sizeof(x2apic)) && x2apic.flags & ACPI_PROCESSOR_ENABLED &&
		    x2apic.id != ACPI_LOCAL_X2APIC_BROADCAST)
			add_cpu(out, x2apic.id);
		break;
	case ACPI_LOCAL_APIC_ADDRESS:
		if (span_copy(entry, 0, &controller, sizeof(controller)))
			note_controller(info, controller.address, out);
		break;
	default:
		break;
	}
}

static MUST_USE const char *read_madt(const struct boot_info *info, struct span madt, struct acpi_cpus *out)
{
	struct acpi_madt fixed;
	struct acpi_madt_entry entry;

	if (!span_copy(madt, 0, &fixed, sizeof(fixed)))
		return madt_kind.too_short;
	note_controller(info, fixed.local_apic, out);
	for (size_t at = sizeof(fixed); at < madt.size; at += entry.length) {
		if (!span_copy(madt, at, &entry, sizeof(entry)) || entry.length > madt.size - at)
			return "MADT: ends within an entry";
		if (entry.length < sizeof(entry))
			return "MADT: an entry is shorter than its own header";
		read_entry(info, entry.type, (struct span){madt.bytes + at, entry.length}, out);
	}
	if (!out->nr)
		return "MADT: no enabled CPU";
	if (!out->local_apic.raw)
		return "MADT: no usable address of the local APICs";
	return NULL;
}

static MUST_USE const char *find_cpus(const struct reader *r, struct acpi_cpus *out)
{
	struct span list = {NULL, 0}, madt = {NULL, 0};
	size_t pointer_size = 0;
	const char *refusal = open_list(r, &list, &pointer_size);

	if (!refusal)
		refusal = open_madt(r, list, pointer_size, &madt);
	return refusal ? refusal : read_madt(r->info, madt, out);
}

void acpi_find_cpus(const struct boot_info *info, const void *base, uint64_t reachable, struct acpi_cpus *out)
{
	struct reader r = {.info = info, .base = base, .reachable = reachable};

	memset(out, 0, sizeof(*out));
	const char *refusal = find_cpus(&r, out);
	if (refusal) {
		memset(out, 0, sizeof(*out));
		out->refusal = refusal;
	}
}
