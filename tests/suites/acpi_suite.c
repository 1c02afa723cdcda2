/*
 * Hostile firmware tables. Each case crafts tables byte by byte in a small physical memory, packed one below the other
 * from its end, so that nothing is aligned and a sanitizer sees one read too far. Whatever a case expects by name, the
 * naive second reader must agree with.
 */
#include <boot/acpi.h>
#include <lib/align.h>
#include <test/test.h>
#include "../../boot/acpi_tables.h"
#include "acpi_model.h"

#define REGISTERS 0xfee00000UL

enum {
	MEMORY = 64 * 1024,
	MAP_START = 0x1000,
	POINTERS_MAX = 1024,
	MADT_MAX = 1 << 20,
	HEADER = 36,
	ENTRIES = 44, /* where a MADT's begin */
	ENABLED = 1,
	ONLINE_CAPABLE = 2,
};

static uint8_t memory[MEMORY];
static uint64_t reachable;
static struct boot_info info;
static struct acpi_cpus out;
static uint8_t body[MEMORY];
static size_t body_size;
static uint64_t bottom; /* of the tables placed so far */
static uint64_t madt, other, xsdt, rsdt;

/* ---- crafting ---- */

static void put(uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		body[body_size++] = (uint8_t)(value >> 8 * i);
}

static void put_apic(uint8_t id, uint32_t flags)
{
	put(ACPI_LOCAL_APIC, 1);
	put(8, 1);
	put(0x77, 1);
	put(id, 1);
	put(flags, 4);
}

static void put_x2apic(uint32_t id, uint32_t flags)
{
	put(ACPI_LOCAL_X2APIC, 1);
	put(16, 1);
	put(0x7777, 2);
	put(id, 4);
	put(flags, 4);
	put(0x77777777, 4);
}

static void put_registers(uint64_t address)
{
	put(ACPI_LOCAL_APIC_ADDRESS, 1);
	put(12, 1);
	put(0x7777, 2);
	put(address, 8);
}

static void begin_madt(void)
{
	body_size = 0;
	put(REGISTERS, 4);
	put(1, 4);
}

static uint64_t get(uint64_t at, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, memory + at, bytes);
	return value;
}

static void patch(uint64_t at, uint64_t value, size_t bytes)
{
	memcpy(memory + at, &value, bytes);
}

/* Makes the first `length` bytes add up to 0. */
static void seal_bytes(uint8_t *bytes, size_t length, size_t checksum)
{
	bytes[checksum] = 0;
	for (size_t i = 0; i < length; i++)
		if (i != checksum)
			bytes[checksum] -= bytes[i];
}

static void seal(uint64_t table)
{
	uint64_t length = get(table + 4, 4);

	if (length >= HEADER && length <= MEMORY - table)
		seal_bytes(memory + table, length, 9);
}

static void patch_length(uint64_t table, uint64_t length)
{
	patch(table + 4, length, 4);
	seal(table);
}

/* A table of the body put so far, right below the one before. */
static uint64_t place(const char *signature)
{
	bottom -= HEADER + body_size;
	memset(memory + bottom, 0x5a, HEADER);
	memcpy(memory + bottom, signature, 4);
	memcpy(memory + bottom + HEADER, body, body_size);
	patch_length(bottom, HEADER + body_size);
	body_size = 0;
	return bottom;
}

static void seal_rsdp(void)
{
	seal_bytes(info.rsdp, ACPI_RSDP_OLD_SIZE, 8);
	seal_bytes(info.rsdp, sizeof(info.rsdp), 32);
}

static void make_rsdp(size_t length, uint8_t revision)
{
	struct acpi_rsdp rsdp = {.revision = revision, .rsdt = (uint32_t)rsdt, .length = 36, .xsdt = xsdt};

	memcpy(rsdp.signature, ACPI_RSDP_SIGNATURE, sizeof(rsdp.signature));
	memset(info.rsdp, 0xcc, sizeof(info.rsdp));
	memcpy(info.rsdp, &rsdp, sizeof(rsdp));
	seal_rsdp();
	info.rsdp_length = length;
}

static void map_only(uint64_t start, uint64_t end)
{
	info.nr_ranges = 1;
	info.ranges[0] = (struct boot_range){prange(start, end), BOOT_ACPI_RECLAIMABLE};
}

static void place_lists(void)
{
	put(other, 8);
	put(madt, 8);
	xsdt = place("XSDT");
	put(other, 4);
	put(madt, 4);
	rsdt = place("RSDT");
	make_rsdp(36, 2);
}

/* The body is a MADT's: it, and a machine around it. */
static void place_machine_below(uint64_t top)
{
	bottom = top;
	madt = place("APIC");
	put(0xabcdef, 3); /* another table, whatever it says; and it makes addresses odd */
	other = place("FACP");
	place_lists();
}

static void place_machine(void)
{
	place_machine_below(MEMORY);
}

static void put_plain_madt(void)
{
	begin_madt();
	put_apic(4, ENABLED);
	put_apic(2, ENABLED | ONLINE_CAPABLE);
	put_apic(3, ONLINE_CAPABLE);
	put_apic(7, ENABLED);
}

static void set_up(void)
{
	memset(memory, 0xcc, sizeof(memory));
	map_only(MAP_START, MEMORY);
	reachable = MEMORY;
	put_plain_madt();
	place_machine();
}

static void find_cpus(void)
{
	memset(&out, 0xa5, sizeof(out)); /* what is read must have been written */
	acpi_find_cpus(&info, memory, reachable, &out);
	assert_sound(acpi_model_check(&info, memory, reachable, &out));
}

static void expect_refusal(const char *reason)
{
	find_cpus();
	assert_string_equal(out.refusal, reason);
}

static void expect_list(const uint32_t *ids, size_t nr)
{
	find_cpus();
	assert_sound(out.refusal);
	assert_int_equal(out.nr, nr);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(out.apic_id[i], ids[i]);
}
#define expect_ids(...) \
	expect_list((const uint32_t[]){__VA_ARGS__}, ARRAY_SIZE(((const uint32_t[]){__VA_ARGS__})))

/* Of the machine as set up. */
static void expect_the_plain_list(void)
{
	expect_ids(4, 2, 7);
	assert_int_equal(out.local_apic.raw, REGISTERS);
	assert_int_equal(out.nr_dropped, 0);
}

/* ---- what is listed ---- */

static void enabled_cpus_are_listed_in_the_firmwares_order(void)
{
	expect_the_plain_list();
	begin_madt();
	put_x2apic(0x12345678, ENABLED);
	put_apic(0, 0xfffffffd);
	put_x2apic(0x100, ONLINE_CAPABLE);
	put_apic(254, ENABLED);
	put_x2apic(5, 0xfffffffe);
	place_machine();
	expect_ids(0x12345678, 0, 254);
}

static void a_broadcast_id_is_not_a_cpu(void)
{
	begin_madt();
	put_apic(0xff, ENABLED);
	put_x2apic(0xffffffff, ENABLED);
	put_x2apic(0xff, ENABLED); /* an ordinary number among x2APICs */
	put_x2apic(0xfffffffe, ENABLED);
	place_machine();
	expect_ids(0xff, 0xfffffffe);
}

static void each_id_is_listed_once(void)
{
	begin_madt();
	put_apic(1, ENABLED);
	put_apic(0, ENABLED);
	put_x2apic(1, ENABLED);
	put_apic(0, ENABLED);
	put_apic(2, 0);
	put_apic(2, ENABLED);
	place_machine();
	expect_ids(1, 0, 2);
}

static void cpus_beyond_the_room_are_counted(void)
{
	begin_madt();
	for (uint32_t i = 0; i < ACPI_CPUS_MAX; i++)
		put_x2apic(1000 - i, ENABLED);
	put_x2apic(1000, ENABLED); /* known already */
	place_machine();
	find_cpus();
	assert_sound(out.refusal);
	assert_int_equal(out.nr, ACPI_CPUS_MAX);
	assert_int_equal(out.apic_id[ACPI_CPUS_MAX - 1], 1001 - ACPI_CPUS_MAX);
	assert_int_equal(out.nr_dropped, 0);
	begin_madt();
	for (uint32_t i = 0; i < ACPI_CPUS_MAX + 44; i++)
		put_x2apic(i, ENABLED);
	place_machine();
	find_cpus();
	assert_int_equal(out.nr, ACPI_CPUS_MAX);
	assert_int_equal(out.nr_dropped, 44);
}

static void entries_of_other_types_and_sizes_are_passed_over(void)
{
	begin_madt();
	for (size_t type = 0; type < 256; type++) { /* an entry of every type, too short to say anything */
		put(type, 1);
		put(2 + type % 6, 1);
		put(UINT64_MAX, type % 6);
	}
	put(ACPI_LOCAL_APIC, 1); /* one byte short each */
	put(7, 1);
	put(0x1010101, 5);
	put(ACPI_LOCAL_X2APIC, 1);
	put(15, 1);
	put(0x101010101010101, 8);
	put(0x10101, 5);
	put(ACPI_LOCAL_APIC_ADDRESS, 1);
	put(11, 1);
	put(0x10000, 8);
	put(0, 1);
	put(ACPI_LOCAL_APIC, 1); /* some day it may have grown */
	put(10, 1);
	put(6 << 8, 2);
	put(ENABLED, 6);
	put(1, 1); /* an I/O APIC */
	put(255, 1);
	for (int i = 2; i < 255; i++)
		put(0, 1);
	put_apic(9, ENABLED);
	place_machine();
	expect_ids(6, 9);
	assert_int_equal(out.local_apic.raw, REGISTERS);
}

/* ---- where the controllers are ---- */

static void the_64_bit_address_wins_over_the_tables_own(void)
{
	begin_madt();
	put_registers(0xfffffffff000);
	put_apic(1, ENABLED);
	place_machine();
	expect_ids(1);
	assert_int_equal(out.local_apic.raw, 0xfffffffff000);
}

/* First those that the table's own 32 bits can say. */
enum { NO_REGISTERS_32 = 5 };
static const uint64_t no_registers[] = {0,      1,         REGISTERS + 8, REGISTERS + 2048,
                                        0x5000, 1UL << 52, UINT64_MAX,    UINT64_MAX - 4095};

static void map_some_ram(void)
{
	info.ranges[info.nr_ranges++] = (struct boot_range){prange(0x5fff, 0x6000), BOOT_RAM};
}

static void a_64_bit_address_that_cannot_be_is_passed_over(void)
{
	map_some_ram();
	for (size_t i = 0; i < ARRAY_SIZE(no_registers); i++) {
		begin_madt();
		put_apic(1, ENABLED);
		put_registers(no_registers[i]);
		place_machine();
		expect_ids(1);
		assert_int_equal(out.local_apic.raw, REGISTERS);
	}
}

static void without_an_address_that_can_be_there_is_no_list(void)
{
	map_some_ram();
	for (size_t i = 0; i < NO_REGISTERS_32; i++) {
		patch(madt + HEADER, no_registers[i], 4);
		seal(madt);
		expect_refusal("MADT: no usable address of the local APICs");
	}
	patch(madt + HEADER, 0x6000, 4); /* next to RAM is not in RAM */
	seal(madt);
	expect_ids(4, 2, 7);
	patch(madt + HEADER, 0x4000, 4);
	seal(madt);
	expect_ids(4, 2, 7);
}

/* ---- the root pointer ---- */

static void without_a_root_pointer_there_is_no_list(void)
{
	for (info.rsdp_length = 0; info.rsdp_length < 20; info.rsdp_length++)
		expect_refusal("no ACPI root pointer");
}

static void a_root_pointer_with_any_byte_wrong_is_refused(void)
{
	for (size_t i = 0; i < 20; i++) {
		info.rsdp[i] ^= 0x40;
		expect_refusal(i < 8 ? "RSDP: bad signature" : "RSDP: bad checksum");
		info.rsdp[i] ^= 0x40;
	}
	expect_the_plain_list();
	info.rsdp[0] = 'r'; /* a sum can be right by chance */
	seal_rsdp();
	expect_refusal("RSDP: bad signature");
}

static void an_extended_root_pointer_with_any_byte_wrong_gives_way_to_the_rsdt(void)
{
	for (size_t i = 20; i < 36; i++) {
		rsdt = place("RSDT"); /* without a MADT, so that it is seen who was asked */
		make_rsdp(36, 2);
		expect_the_plain_list();
		info.rsdp[i] ^= 0x40;
		expect_refusal("MADT: not listed");
		rsdt = 0;
		make_rsdp(36, 2);
		info.rsdp[i] ^= 0x40;
		expect_refusal(i < 24 ? "RSDP: bad length" : "RSDP: bad extended checksum");
	}
	make_rsdp(36, 2);
	info.rsdp[20] = 40; /* its sum would be right, but over bytes that we do not have */
	seal_rsdp();
	expect_refusal("RSDP: bad length");
}

static void the_xsdt_is_asked_from_revision_2_on(void)
{
	rsdt = place("RSDT");
	make_rsdp(36, 2);
	expect_the_plain_list();
	make_rsdp(36, 255);
	expect_the_plain_list();
	make_rsdp(36, 1);
	expect_refusal("MADT: not listed");
	make_rsdp(36, 0);
	expect_refusal("MADT: not listed");
	make_rsdp(20, 2); /* a loader's copy of the first part */
	expect_refusal("MADT: not listed");
	make_rsdp(20, 0);
	memset(info.rsdp + 20, 0xcc, 16);
	expect_refusal("MADT: not listed");
}

static void the_rsdt_is_asked_by_old_firmware(void)
{
	xsdt = place("XSDT");
	make_rsdp(20, 0);
	expect_the_plain_list();
	make_rsdp(36, 1);
	expect_the_plain_list();
	make_rsdp(36, 2);
	expect_refusal("MADT: not listed");
}

/* ---- any table: the same demands, in each one's words ---- */

struct demand {
	const char *name;
	uint64_t *at;
	uint32_t least, most, pointer;
};
static const struct demand demands[] = {
        {"XSDT", &xsdt, HEADER, HEADER + 8 * POINTERS_MAX, 8},
        {"RSDT", &rsdt, HEADER, HEADER + 4 * POINTERS_MAX, 4},
        {"MADT", &madt, ENTRIES, MADT_MAX, 0},
};
#define NR_DEMANDS ARRAY_SIZE(demands)

/* The root pointer for this table, and for no other way to a list than through it. */
static void point_at(const struct demand *d)
{
	if (d->at == &xsdt)
		rsdt = 0;
	make_rsdp(d->at == &rsdt ? 20 : 36, d->at == &rsdt ? 0 : 2);
}

/* The plain machine with this table, alone, at the very end of memory. */
static const struct demand *examine(size_t kind)
{
	const struct demand *d = &demands[kind];

	set_up();
	if (d->at != &madt) {
		uint64_t length = get(*d->at + 4, 4);
		put_plain_madt();
		place_machine_below(MEMORY - length);
		memcpy(memory + MEMORY - length, memory + *d->at, length);
		*d->at = MEMORY - length;
	}
	point_at(d);
	expect_the_plain_list();
	return d;
}

static void expect_refusal_of(const struct demand *d, const char *reason)
{
	char text[80];

	format_buffer(text, sizeof(text), "%s: %s", d->name, reason);
	expect_refusal(text);
}

static void a_table_with_any_byte_wrong_is_refused(void)
{
	for (size_t kind = 0; kind < NR_DEMANDS; kind++) {
		const struct demand *d = examine(kind);
		for (uint64_t i = *d->at + 8; i < MEMORY; i++) {
			memory[i] ^= 0x10;
			expect_refusal_of(d, "bad checksum");
			memory[i] ^= 0x10;
		}
		expect_the_plain_list();
	}
}

static void a_table_of_another_name_is_refused(void)
{
	for (size_t kind = 0; kind < NR_DEMANDS; kind++) {
		const struct demand *d = examine(kind);
		for (uint64_t i = *d->at; i < *d->at + 4; i++) {
			memory[i] ^= 0x20;
			seal(*d->at);
			if (d->at == &madt)
				expect_refusal("MADT: not listed");
			else
				expect_refusal_of(d, "bad signature");
			memory[i] ^= 0x20;
		}
	}
}

static void a_table_shorter_than_its_fixed_part_is_refused(void)
{
	for (size_t kind = 0; kind < NR_DEMANDS; kind++) {
		const struct demand *d = examine(kind);
		for (uint32_t length = 0; length < d->least; length++) {
			patch_length(*d->at, length);
			expect_refusal_of(d, "too short");
		}
	}
}

static void a_table_longer_than_believable_is_refused(void)
{
	static const uint32_t absurd[] = {0x7fffffff, 0x80000000, 0xfffffffc, UINT32_MAX};

	for (size_t kind = 0; kind < NR_DEMANDS; kind++) {
		const struct demand *d = examine(kind);
		for (size_t i = 0; i < ARRAY_SIZE(absurd); i++) {
			patch_length(*d->at, absurd[i]);
			expect_refusal_of(d, "too long");
		}
		patch_length(*d->at, d->most + 1);
		expect_refusal_of(d, "too long");
		patch_length(*d->at, d->most); /* would be believed, were it there */
		expect_refusal_of(d, "out of reach");
	}
}

static void a_list_that_ends_within_a_pointer_is_refused(void)
{
	for (size_t kind = 0; demands[kind].pointer; kind++) {
		const struct demand *d = examine(kind);
		for (uint32_t past = 0; past < 2 * d->pointer; past++) {
			patch_length(*d->at, HEADER + past);
			if (past % d->pointer)
				expect_refusal_of(d, "ends within a pointer");
			else
				expect_refusal("MADT: not listed");
		}
	}
}

/* Of a MADT whose header cannot be read it is not known that it is one. */
static void expect_unreadable(const struct demand *d, uint64_t readable, const char *reason)
{
	if (d->at == &madt && readable < HEADER)
		expect_refusal("MADT: not among the listed tables that can be read");
	else
		expect_refusal_of(d, reason);
}

static void a_table_that_begins_or_ends_out_of_reach_is_refused(void)
{
	for (size_t kind = 0; kind < NR_DEMANDS; kind++) {
		const struct demand *d = examine(kind);
		for (reachable = *d->at; reachable < MEMORY; reachable++)
			expect_unreadable(d, reachable - *d->at, "out of reach");
		expect_the_plain_list();
	}
}

static void a_table_outside_the_memory_map_is_refused(void)
{
	static const char reason[] = "not within one range of the memory map";

	for (size_t kind = 0; kind < NR_DEMANDS; kind++) {
		const struct demand *d = examine(kind);
		for (uint64_t end = *d->at; end < MEMORY; end++) {
			map_only(MAP_START, end);
			expect_unreadable(d, end - *d->at, reason);
		}
		map_only(MAP_START, *d->at);
		info.nr_ranges = 2; /* all but its first byte */
		info.ranges[1] = (struct boot_range){prange(*d->at + 1, MEMORY), BOOT_RAM};
		expect_unreadable(d, 0, reason);
		info.ranges[1].range.start = paddr(*d->at);
		expect_the_plain_list();
		info.nr_ranges = 0;
		if (d->at == &madt)
			expect_refusal("XSDT: not within one range of the memory map");
		else
			expect_refusal_of(d, reason);
	}
}

static void a_table_across_two_ranges_that_touch_is_refused(void)
{
	for (size_t kind = 0; kind < NR_DEMANDS; kind++) {
		const struct demand *d = examine(kind);
		for (uint64_t cut = *d->at + 1; cut < MEMORY; cut++) {
			map_only(MAP_START, cut);
			info.nr_ranges = 2;
			info.ranges[1] = (struct boot_range){prange(cut, MEMORY), BOOT_ACPI_RECLAIMABLE};
			expect_unreadable(d, cut - *d->at, "not within one range of the memory map");
		}
		info.ranges[info.nr_ranges++] = (struct boot_range){prange(*d->at, MEMORY), BOOT_RESERVED};
		expect_the_plain_list();
	}
}

static void a_wrapping_place_is_out_of_reach(void)
{
	const struct demand *d = examine(0);

	map_only(0, UINT64_MAX);
	for (uint64_t back = 0; back < 64; back++) {
		xsdt = UINT64_MAX - back;
		point_at(d);
		expect_refusal("XSDT: out of reach");
	}
	d = examine(1);
	for (uint64_t back = 0; back < 64; back++) {
		rsdt = UINT32_MAX - back;
		point_at(d);
		expect_refusal("RSDT: out of reach");
	}
	rsdt = 0;
	map_only(0, UINT64_MAX);
	memcpy(memory, memory + MEMORY - 44, 44); /* a sound list at 0 is none: 0 means absent */
	point_at(d);
	expect_refusal("RSDT: out of reach");
}

static void tables_may_lie_at_any_address(void)
{
	for (uint64_t top = MEMORY; top > MEMORY - 16; top--) {
		memset(memory, 0xcc, sizeof(memory));
		put_plain_madt();
		place_machine_below(top);
		expect_the_plain_list();
	}
}

/* ---- the lists ---- */

static void an_unsound_xsdt_gives_way_to_a_sound_rsdt(void)
{
	memory[xsdt + HEADER] ^= 1;
	expect_the_plain_list();
	memory[rsdt + HEADER] ^= 1;
	expect_refusal("XSDT: bad checksum");
	xsdt = 0;
	make_rsdp(36, 2);
	expect_refusal("XSDT: out of reach");
	memory[rsdt + HEADER] ^= 1;
	expect_the_plain_list();
}

static void an_xsdt_that_is_sound_has_the_last_word(void)
{
	xsdt = place("XSDT");
	make_rsdp(36, 2);
	expect_refusal("MADT: not listed");
}

static void pointers_that_lead_nowhere_are_passed_over(void)
{
	static const uint64_t nowhere[] = {0,         1,         MAP_START - 1, MEMORY - 35,    MEMORY,
	                                   1UL << 32, 1UL << 63, UINT64_MAX,    UINT64_MAX - 35};

	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++)
		put(nowhere[i], 8);
	xsdt = place("XSDT");
	make_rsdp(36, 2);
	expect_refusal("MADT: not among the listed tables that can be read");
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++)
		put(nowhere[i], 8);
	put(madt, 8);
	xsdt = place("XSDT");
	make_rsdp(36, 2);
	expect_the_plain_list();
}

static void the_first_madt_counts_sound_or_not(void)
{
	begin_madt();
	put_apic(1, ENABLED);
	uint64_t second = place("APIC");
	put(other, 8);
	put(madt, 8);
	put(second, 8);
	xsdt = place("XSDT");
	make_rsdp(36, 2);
	expect_the_plain_list();
	memory[madt + ENTRIES] ^= 1;
	expect_refusal("MADT: bad checksum");
}

static void a_list_of_thousands_is_refused(void)
{
	static const uint32_t counts[] = {POINTERS_MAX, POINTERS_MAX + 1, 2000, 4000};

	for (size_t kind = 0; demands[kind].pointer; kind++) {
		const struct demand *d = examine(kind);
		for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
			for (uint32_t n = 1; n < counts[i]; n++)
				put(other, d->pointer);
			put(madt, d->pointer);
			bottom = MEMORY - 4096;
			*d->at = place(d->name);
			point_at(d);
			if (counts[i] == POINTERS_MAX)
				expect_the_plain_list();
			else
				expect_refusal_of(d, "too long");
		}
	}
}

/* ---- the MADT's entries ---- */

static void a_madt_cut_within_an_entry_is_refused(void)
{
	for (uint64_t cut = MEMORY - 1; cut >= madt + ENTRIES; cut--) {
		patch_length(madt, cut - madt);
		find_cpus();
		if ((cut - madt - ENTRIES) % 8)
			assert_string_equal(out.refusal, "MADT: ends within an entry");
		else if (cut == madt + ENTRIES)
			assert_string_equal(out.refusal, "MADT: no enabled CPU");
		else
			assert_null(out.refusal);
	}
}

static void an_entry_that_reaches_past_its_table_is_refused(void)
{
	for (size_t length = 9; length < 256; length++) {
		memory[MEMORY - 7] = (uint8_t)length; /* the last entry's */
		seal(madt);
		expect_refusal("MADT: ends within an entry");
	}
}

static void an_entry_shorter_than_its_own_header_is_refused(void)
{
	for (size_t entry = 0; entry < 4; entry++) {
		for (uint8_t length = 0; length < 2; length++) { /* a walk that believed 0 would not end */
			set_up();
			memory[madt + ENTRIES + 8 * entry + 1] = length;
			seal(madt);
			expect_refusal("MADT: an entry is shorter than its own header");
		}
	}
}

static void a_madt_without_an_enabled_cpu_is_refused(void)
{
	begin_madt();
	place_machine();
	expect_refusal("MADT: no enabled CPU");
	begin_madt();
	put_apic(0, 0);
	put_apic(1, ONLINE_CAPABLE);
	put_apic(0xff, ENABLED);
	put_x2apic(2, ONLINE_CAPABLE);
	put_x2apic(0xffffffff, ENABLED);
	put_registers(REGISTERS);
	place_machine();
	expect_refusal("MADT: no enabled CPU");
}

/* ---- at random ---- */

enum { WINDOW = 4096 }; /* random tables lie in so many last bytes of memory */

static void put_random_entry(struct rng *rng)
{
	uint32_t flags = rng_below(rng, 4) ? ENABLED : (uint32_t)rng_below(rng, 4);

	switch (rng_below(rng, 24)) {
	case 0:
		put_registers(rng_below(rng, 2) ? REGISTERS + 0x1000 * rng_below(rng, 8) : rng_next(rng));
		break;
	case 1: { /* of any type, small or large */
		size_t rest = rng_below(rng, 4) ? rng_below(rng, 16) : rng_below(rng, 254);
		put(rng_below(rng, 12), 1);
		put(2 + rest, 1);
		while (rest--)
			put(rng_next(rng), 1);
		break;
	}
	case 2 ... 9:
		put_x2apic(rng_below(rng, 2) ? (uint32_t)rng_below(rng, 32) : (uint32_t)rng_next(rng), flags);
		break;
	default:
		put_apic(rng_below(rng, 8) ? (uint8_t)rng_below(rng, 32)
		                           : (uint8_t)(0xff - rng_below(rng, 3)),
		         flags);
	}
}

static uint64_t random_address(struct rng *rng)
{
	static const uint64_t around[] = {0, MAP_START, MEMORY - WINDOW / 2, MEMORY, 1UL << 32};

	if (!rng_below(rng, 8))
		return UINT64_MAX - rng_below(rng, 64);
	return around[rng_below(rng, ARRAY_SIZE(around))] - 32 + rng_below(rng, 64);
}

static uint64_t place_random_list(struct rng *rng, const char *signature, size_t pointer)
{
	for (uint64_t n = rng_below(rng, 4); n; n--)
		put(rng_below(rng, 2) ? other : random_address(rng), pointer);
	if (rng_below(rng, 16))
		put(madt, pointer);
	for (uint64_t n = rng_below(rng, 3); n; n--)
		put(random_address(rng), pointer);
	bottom -= rng_below(rng, 9);
	return place(signature);
}

static void make_random_map(struct rng *rng)
{
	info.nr_ranges = 1 + rng_below(rng, 3);
	for (size_t i = 0; i < info.nr_ranges; i++) {
		uint64_t start = rng_below(rng, 4) ? MEMORY - WINDOW : MEMORY - rng_below(rng, 512);
		uint64_t end = rng_below(rng, 3) ? MEMORY : MEMORY - rng_below(rng, 512);
		if (!rng_below(rng, 16))
			end = UINT64_MAX;
		info.ranges[i] = (struct boot_range){prange(min_u64(start, end - 1), end),
		                                     rng_below(rng, 4) ? BOOT_ACPI_RECLAIMABLE
		                                                       : (uint32_t)rng_below(rng, 7)};
	}
	reachable = rng_below(rng, 8) ? MEMORY : MEMORY - rng_below(rng, 512);
}

static void make_random_machine(struct rng *rng)
{
	bottom = MEMORY;
	begin_madt();
	for (uint64_t n = rng_below(rng, 16); n; n--)
		put_random_entry(rng);
	madt = place("APIC");
	bottom -= rng_below(rng, 9);
	other = place(rng_below(rng, 8) ? "FACP" : "APIC");
	xsdt = place_random_list(rng, "XSDT", 8);
	rsdt = place_random_list(rng, "RSDT", 4);
	if (!rng_below(rng, 16))
		xsdt = random_address(rng);
	if (!rng_below(rng, 16))
		rsdt = random_address(rng);
	make_rsdp(rng_below(rng, 8) ? 36 : 20, rng_below(rng, 4) ? 2 : (uint8_t)rng_below(rng, 4));
	make_random_map(rng);
}

/* Some bits; half the time with sums that are right afterwards, as a malicious firmware would have them. */
static void damage(struct rng *rng)
{
	uint64_t seals = rng_below(rng, 2);

	for (uint64_t flips = 1 + rng_below(rng, 3); flips; flips--)
		memory[bottom + rng_below(rng, MEMORY - bottom)] ^= (uint8_t)(1 << rng_below(rng, 8));
	if (!rng_below(rng, 8))
		info.rsdp[rng_below(rng, sizeof(info.rsdp))] ^= (uint8_t)(1 << rng_below(rng, 8));
	if (!seals)
		return;
	seal(madt);
	if (xsdt <= MEMORY - HEADER)
		seal(xsdt);
	if (rsdt <= MEMORY - HEADER)
		seal(rsdt);
	seal_rsdp();
}

/* Changes every byte of the window that may not be read. */
static void change_what_is_hidden(void)
{
	for (uint64_t at = MEMORY - WINDOW; at < MEMORY; at++) {
		bool hidden = true;
		for (size_t i = 0; i < info.nr_ranges; i++)
			hidden = hidden && !prange_contains(info.ranges[i].range, paddr(at));
		if (hidden || at >= reachable)
			memory[at] ^= 0xff;
	}
}

static void random_tables_are_read_as_the_model_does_damaged_or_not(void)
{
	static struct acpi_cpus before;
	uint64_t steps = test_is_hosted() ? 20000 : 1000, accepted = 0;
	struct rng rng;

	rng_seed(&rng, test_seed());
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		make_random_machine(&rng);
		if (rng_below(&rng, 2))
			damage(&rng);
		find_cpus();
		accepted += !out.refusal;
		before = out;
		change_what_is_hidden();
		find_cpus();
		assert_int_equal(memcmp(&out, &before, sizeof(out)), 0);
	}
	assert_true(accepted > steps / 20 && accepted < steps - steps / 20);
}

static const struct test_case cases[] = {
        TEST_CASE(enabled_cpus_are_listed_in_the_firmwares_order),
        TEST_CASE(a_broadcast_id_is_not_a_cpu),
        TEST_CASE(each_id_is_listed_once),
        TEST_CASE(cpus_beyond_the_room_are_counted),
        TEST_CASE(entries_of_other_types_and_sizes_are_passed_over),
        TEST_CASE(the_64_bit_address_wins_over_the_tables_own),
        TEST_CASE(a_64_bit_address_that_cannot_be_is_passed_over),
        TEST_CASE(without_an_address_that_can_be_there_is_no_list),
        TEST_CASE(without_a_root_pointer_there_is_no_list),
        TEST_CASE(a_root_pointer_with_any_byte_wrong_is_refused),
        TEST_CASE(an_extended_root_pointer_with_any_byte_wrong_gives_way_to_the_rsdt),
        TEST_CASE(the_xsdt_is_asked_from_revision_2_on),
        TEST_CASE(the_rsdt_is_asked_by_old_firmware),
        TEST_CASE(a_table_with_any_byte_wrong_is_refused),
        TEST_CASE(a_table_of_another_name_is_refused),
        TEST_CASE(a_table_shorter_than_its_fixed_part_is_refused),
        TEST_CASE(a_table_longer_than_believable_is_refused),
        TEST_CASE(a_list_that_ends_within_a_pointer_is_refused),
        TEST_CASE(a_table_that_begins_or_ends_out_of_reach_is_refused),
        TEST_CASE(a_table_outside_the_memory_map_is_refused),
        TEST_CASE(a_table_across_two_ranges_that_touch_is_refused),
        TEST_CASE(a_wrapping_place_is_out_of_reach),
        TEST_CASE(tables_may_lie_at_any_address),
        TEST_CASE(an_unsound_xsdt_gives_way_to_a_sound_rsdt),
        TEST_CASE(an_xsdt_that_is_sound_has_the_last_word),
        TEST_CASE(pointers_that_lead_nowhere_are_passed_over),
        TEST_CASE(the_first_madt_counts_sound_or_not),
        TEST_CASE(a_list_of_thousands_is_refused),
        TEST_CASE(a_madt_cut_within_an_entry_is_refused),
        TEST_CASE(an_entry_that_reaches_past_its_table_is_refused),
        TEST_CASE(an_entry_shorter_than_its_own_header_is_refused),
        TEST_CASE(a_madt_without_an_enabled_cpu_is_refused),
        TEST_CASE(random_tables_are_read_as_the_model_does_damaged_or_not),
};

extern const struct test_suite acpi_suite;
const struct test_suite acpi_suite = TEST_SUITE("acpi", cases, .set_up = set_up);
