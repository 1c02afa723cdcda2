/*
 * The second reader: offsets as the ACPI specification prints them, no structures; sums of addresses have 128 bits, so
 * that nothing wraps. It asks one question after the other, each from the beginning, and keeps no list: whether an id is
 * new is found by looking at all entries before.
 */
#include "acpi_model.h"
#include <lib/check.h>
#include <lib/string.h>

struct firmware {
	const struct boot_info *info;
	const uint8_t *base;
	uint64_t reachable;
};

static uint64_t number(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static MUST_USE bool sums_to_zero(const uint8_t *at, uint64_t bytes)
{
	uint64_t sum = 0;

	while (bytes--)
		sum += at[bytes];
	return sum % 256 == 0;
}

static MUST_USE bool is_readable(const struct firmware *f, uint64_t at, uint64_t size)
{
	unsigned __int128 end = (unsigned __int128)at + size;
	bool held = false;

	for (size_t i = 0; i < f->info->nr_ranges; i++)
		held = held ||
		       (at >= f->info->ranges[i].range.start.raw && end <= f->info->ranges[i].range.end.raw);
	return held && at != 0 && end <= f->reachable;
}

static MUST_USE bool is_sound(const struct firmware *f, uint64_t at, const char *signature, uint64_t least,
                              uint64_t most)
{
	if (!is_readable(f, at, 36) || memcmp(f->base + at, signature, 4) != 0)
		return false;
	uint64_t length = number(f->base + at + 4, 4);
	return length >= least && length <= most && is_readable(f, at, length) &&
	       sums_to_zero(f->base + at, length);
}

/* The address of the MADT, or 0. */
static uint64_t find_madt(const struct firmware *f)
{
	const uint8_t *rsdp = f->info->rsdp;
	uint64_t rsdt = number(rsdp + 16, 4), xsdt = number(rsdp + 24, 8), list = 0;
	unsigned width = 0;

	if (f->info->rsdp_length < 20 || memcmp(rsdp, "RSD PTR ", 8) != 0 || !sums_to_zero(rsdp, 20))
		return 0;
	if (is_sound(f, rsdt, "RSDT", 36, 36 + 4 * 1024) && number(f->base + rsdt + 4, 4) % 4 == 36 % 4) {
		list = rsdt;
		width = 4;
	}
	if (f->info->rsdp_length == 36 && rsdp[15] >= 2 && number(rsdp + 20, 4) == 36 &&
	    sums_to_zero(rsdp, 36) && is_sound(f, xsdt, "XSDT", 36, 36 + 8 * 1024) &&
	    number(f->base + xsdt + 4, 4) % 8 == 36 % 8) {
		list = xsdt;
		width = 8;
	}
	if (!list)
		return 0;
	const uint8_t *end = f->base + list + number(f->base + list + 4, 4);
	for (const uint8_t *pointer = f->base + list + 36; pointer < end; pointer += width) {
		uint64_t at = number(pointer, width);
		if (is_readable(f, at, 36) && memcmp(f->base + at, "APIC", 4) == 0)
			return is_sound(f, at, "APIC", 44, 1 << 20) ? at : 0;
	}
	return 0;
}

/* The id of the CPU that the entry lists, or -1 if it lists none. */
static int64_t entry_id(const uint8_t *entry)
{
	if (entry[0] == 0 && entry[1] >= 8 && entry[3] != 0xff && entry[4] % 2)
		return entry[3];
	if (entry[0] == 9 && entry[1] >= 16 && number(entry + 4, 4) != 0xffffffff && entry[8] % 2)
		return (int64_t)number(entry + 4, 4);
	return -1;
}

static MUST_USE bool lists_a_cpu(const uint8_t *from, const uint8_t *to)
{
	for (; from < to; from += from[1])
		if (entry_id(from) >= 0)
			return true;
	return false;
}

/* No entry of [from, entry) has the id of `entry`. */
static MUST_USE bool is_first_of_its_id(const uint8_t *from, const uint8_t *entry)
{
	for (; from < entry; from += from[1])
		if (entry_id(from) == entry_id(entry))
			return false;
	return true;
}

static MUST_USE bool entries_fit(const uint8_t *from, const uint8_t *to)
{
	while (from != to) {
		if (to - from < 2 || from[1] < 2 || from[1] > to - from)
			return false;
		from += from[1];
	}
	return true;
}

/* The registers' address if it can be that, else `otherwise`. */
static uint64_t registers(const struct firmware *f, uint64_t at, uint64_t otherwise)
{
	if (at == 0 || at % 4096 || at >= 1UL << 52)
		return otherwise;
	for (size_t i = 0; i < f->info->nr_ranges; i++)
		if (f->info->ranges[i].type == BOOT_RAM && f->info->ranges[i].range.end.raw > at &&
		    f->info->ranges[i].range.start.raw <= at + 4095)
			return otherwise;
	return at;
}

static MUST_USE bool is_listed(const struct acpi_cpus *out, int64_t id)
{
	for (size_t i = 0; i < out->nr; i++)
		if (out->apic_id[i] == id)
			return true;
	return false;
}

/* The list is the first mentions, in their order, as far as there is room. */
static MUST_USE const char *check_list(const uint8_t *from, const uint8_t *to, const struct acpi_cpus *out)
{
	size_t nr = 0, dropped = 0;

	CHECK(out->nr <= ACPI_CPUS_MAX, "%zu CPUs", out->nr);
	for (const uint8_t *entry = from; entry < to; entry += entry[1]) {
		int64_t id = entry_id(entry);
		if (id < 0)
			continue;
		if (nr < ACPI_CPUS_MAX && is_first_of_its_id(from, entry)) {
			CHECK(nr < out->nr && out->apic_id[nr] == id,
			      "CPU %zu of %zu has id 0x%x, not 0x%llx", nr, out->nr, out->apic_id[nr],
			      (unsigned long long)id);
			nr++;
		}
		dropped += !is_listed(out, id);
	}
	CHECK(out->nr == nr, "%zu CPUs, not %zu", out->nr, nr);
	CHECK(out->nr_dropped == dropped, "%zu entries dropped, not %zu", out->nr_dropped, dropped);
	return NULL;
}

static MUST_USE const char *check_refused(const struct acpi_cpus *out)
{
	struct acpi_cpus nothing = {.refusal = out->refusal};

	CHECK(out->refusal, "accepted, but there is no list");
	CHECK(memcmp(out, &nothing, sizeof(nothing)) == 0, "refused, but %zu CPUs listed", out->nr);
	return NULL;
}

const char *acpi_model_check(const struct boot_info *info, const uint8_t *base, uint64_t reachable,
                             const struct acpi_cpus *out)
{
	struct firmware f = {info, base, reachable};
	uint64_t madt = find_madt(&f), local_apic = 0;

	if (!madt)
		return check_refused(out);
	const uint8_t *from = base + madt + 44, *to = base + madt + number(base + madt + 4, 4);
	if (!entries_fit(from, to))
		return check_refused(out);
	local_apic = registers(&f, number(base + madt + 36, 4), 0);
	for (const uint8_t *entry = from; entry < to; entry += entry[1])
		if (entry[0] == 5 && entry[1] >= 12)
			local_apic = registers(&f, number(entry + 4, 8), local_apic);
	if (!lists_a_cpu(from, to) || !local_apic)
		return check_refused(out);
	CHECK(!out->refusal, "refused, but there is a list: %s", out->refusal);
	CHECK(out->local_apic.raw == local_apic, "local APICs at 0x%llx, not 0x%llx",
	      (unsigned long long)out->local_apic.raw, (unsigned long long)local_apic);
	return check_list(from, to, out);
}
