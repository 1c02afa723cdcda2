/*
 * Hostile boot information. Each case crafts a block byte by byte in a small physical memory, in whose last bytes the
 * block ends, so that a sanitizer sees one read too far. What is accepted must satisfy the naive second reader and, when
 * memblock has taken it over, the interval oracle.
 */
#include <boot/boot_info.h>
#include <mm/memblock.h>
#include <test/test.h>
#include "../../boot/multiboot2.h"
#include "handoff_model.h"

enum { MEMORY = 176 * 1024, SYMBOLS_AT = 0x1000, STRINGS_AT = 0x2000, STRINGS_SIZE = 0x30, NR_SYMBOLS = 5 };

static uint8_t memory[MEMORY] ALIGNED(8);
static uint8_t block[MEMORY];
static size_t block_size, open_tag;
static paddr_t info;
static struct boot_info out;
static struct memblock mb;
static struct interval_model model;

struct entry {
	uint64_t base, length;
	uint32_t type;
};

/* ---- crafting ---- */

static void put(const void *bytes, size_t size)
{
	memcpy(block + block_size, bytes, size);
	block_size += size;
}

static void put_u32(uint32_t value)
{
	put(&value, sizeof(value));
}

static void patch_u32(size_t at, uint32_t value)
{
	memcpy(block + at, &value, sizeof(value));
}

static void begin_tag(uint32_t type)
{
	while (block_size % MULTIBOOT2_ALIGN)
		block[block_size++] = 0xee; /* padding is nobody's */
	open_tag = block_size;
	put_u32(type);
	put_u32(0);
}

static void end_tag(void)
{
	patch_u32(open_tag + 4, (uint32_t)(block_size - open_tag));
}

static void put_tag(uint32_t type, const void *payload, size_t size)
{
	begin_tag(type);
	put(payload, size);
	end_tag();
}

static void put_map(uint32_t entry_size, const struct entry *entries, size_t count)
{
	static const uint8_t unknown[256] = {0xaa, 0xbb};

	begin_tag(MULTIBOOT2_MMAP);
	put_u32(entry_size);
	put_u32(0);
	for (size_t i = 0; i < count; i++) {
		struct multiboot2_mmap_entry entry = {entries[i].base, entries[i].length, entries[i].type, 0};
		put(&entry, sizeof(entry));
		put(unknown, entry_size - sizeof(entry));
	}
	end_tag();
}
#define put_entries(...) \
	put_map(24, (const struct entry[]){__VA_ARGS__}, ARRAY_SIZE(((const struct entry[]){__VA_ARGS__})))

static void put_module(uint32_t start, uint32_t end, const char *name, size_t name_size)
{
	begin_tag(MULTIBOOT2_MODULE);
	put_u32(start);
	put_u32(end);
	put(name, name_size);
	end_tag();
}

static void begin_block(void)
{
	block_size = 0;
	put_u32(0);
	put_u32(0);
}

/* The block's size as the loader would write it. */
static void end_block(void)
{
	put_tag(MULTIBOOT2_END, "", 0);
	patch_u32(0, (uint32_t)block_size);
}

static void put_plain_map(void)
{
	put_entries({0, 0x9fc00, BOOT_RAM}, {0x9fc00, 0x400, BOOT_RESERVED}, {0x100000, 0x3f00000, BOOT_RAM});
}

static void set_up(void)
{
	memset(memory, 0xcc, sizeof(memory));
	memset(&out, 0xa5, sizeof(out)); /* what is read must have been written */
	begin_block();
}

/* Places the block at the end of memory and hands it over. */
static const char *handoff(void)
{
	size_t room = align_up(block_size, MULTIBOOT2_ALIGN);

	info = paddr(sizeof(memory) - room);
	memcpy(memory + info.raw, block, block_size);
	return boot_handoff(MULTIBOOT2_MAGIC, info, memory, info.raw + block_size, &out);
}

static void expect_refusal(const char *reason)
{
	const char *refusal = handoff();

	assert_non_null(refusal);
	assert_matches(refusal, reason);
}

static void expect_accepted_with(size_t warnings)
{
	const char *refusal = handoff();

	assert_sound(refusal);
	assert_sound(handoff_model_check(memory, info, sizeof(memory), &out));
	assert_int_equal(out.nr_warnings + out.nr_warnings_dropped, warnings);
}

static void expect_warning_text(const char *pattern)
{
	expect_accepted_with(1);
	assert_matches(out.warnings[0], pattern);
}

/* The pages that memblock would hand out are the oracle's. */
static void expect_the_oracles_pages(void)
{
	handoff_model_claims(memory, info, &out, &model);
	handoff_model_settle(&out, &mb);
	assert_sound(memblock_check(&mb));
	assert_sound(handoff_model_compare(&model, &mb));
}

/* A block that holds only this memory map. */
#define expect_pages_of(...)                \
	do {                                \
		begin_block();              \
		put_entries(__VA_ARGS__);   \
		end_block();                \
		expect_accepted_with(0);    \
		expect_the_oracles_pages(); \
	} while (0)

static uint64_t free_pages(void)
{
	return (memblock_ram_bytes(&mb) - memblock_reserved_bytes(&mb)) / PAGE_SIZE;
}

/* ---- what is told ---- */

static void a_plain_block_is_told_as_the_firmware_gave_it(void)
{
	put_tag(MULTIBOOT2_CMDLINE, "test exit", 10);
	put_tag(MULTIBOOT2_LOADER, "a loader", 9);
	put_tag(4242, "unknown tags are skipped", 24);
	put_plain_map();
	put_module(0x200000, 0x201234, "first", 6);
	end_block();
	expect_accepted_with(0);
	assert_string_equal(out.cmdline, "test exit");
	assert_string_equal(out.loader, "a loader");
	assert_int_equal(out.nr_ranges, 3);
	assert_int_equal(out.ranges[1].range.start.raw, 0x9fc00);
	assert_int_equal(out.ranges[1].range.end.raw, 0xa0000);
	assert_int_equal(out.ranges[1].type, BOOT_RESERVED);
	assert_int_equal(out.nr_modules, 1);
	assert_string_equal(out.modules[0].name, "first");
	assert_int_equal(out.modules[0].range.end.raw, 0x201234);
	assert_int_equal(out.nr_in_use, 2);
	assert_string_equal(out.in_use[0].what, "module");
	assert_string_equal(out.in_use[1].what, "boot information");
	assert_int_equal(out.in_use[1].range.start.raw, info.raw);
	assert_int_equal(prange_size(out.in_use[1].range), block_size);
	assert_int_equal(out.rsdp_length + out.nr_symbols + out.text_screen.raw, 0);
	expect_the_oracles_pages();
}

/* ---- the block itself ---- */

static void another_magic_is_refused(void)
{
	put_plain_map();
	end_block();
	expect_accepted_with(0);
	assert_string_equal(boot_handoff(0x2badb002, info, memory, sizeof(memory), &out),
	                    "multiboot2: EAX held 0x2badb002 at entry, not 0x36d76289");
}

static void a_block_that_is_misaligned_or_out_of_reach_is_refused(void)
{
	static const uint64_t beyond[] = {MEMORY, MEMORY + 8, 1UL << 32, UINT64_MAX - 7};

	put_plain_map();
	end_block();
	expect_accepted_with(0);
	assert_matches(boot_handoff(MULTIBOOT2_MAGIC, paddr(info.raw + 4), memory, MEMORY, &out),
	               "multiboot2: information block at 0x* is not 8-aligned");
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++)
		assert_matches(boot_handoff(MULTIBOOT2_MAGIC, paddr(beyond[i]), memory, MEMORY, &out),
		               "multiboot2: information block at 0x* is out of reach, 0x2c000");
	for (uint64_t reach = info.raw; reach < info.raw + 8; reach++)
		assert_matches(boot_handoff(MULTIBOOT2_MAGIC, info, memory, reach, &out),
		               "multiboot2: information block at 0x* is out of reach, 0x*");
	for (uint64_t reach = info.raw + 8; reach < info.raw + block_size; reach++)
		assert_matches(boot_handoff(MULTIBOOT2_MAGIC, info, memory, reach, &out),
		               "multiboot2: information block at 0x*, 104 bytes, reaches past 0x*");
}

static void an_absurd_total_size_is_refused(void)
{
	static const uint32_t absurd[] = {0, 1, 8, 15, BOOT_BLOCK_MAX + 1, 0x80000000, UINT32_MAX};

	put_plain_map();
	end_block();
	for (size_t i = 0; i < ARRAY_SIZE(absurd); i++) {
		patch_u32(0, absurd[i]);
		expect_refusal("multiboot2: information block of * bytes: need 16 to 4194304");
	}
	patch_u32(0, BOOT_BLOCK_MAX);
	expect_refusal("multiboot2: information block at 0x*, 4194304 bytes, reaches past 0x*");
}

static void a_block_cut_at_any_byte_is_refused(void)
{
	put_tag(MULTIBOOT2_CMDLINE, "test", 5);
	put_plain_map();
	put_module(0x200000, 0x201000, "m", 2);
	end_block();
	size_t whole = block_size;
	for (size_t cut = 16; cut < whole; cut++) {
		test_step(cut);
		patch_u32(0, (uint32_t)cut);
		block_size = cut;
		assert_non_null(handoff());
	}
	block_size = whole;
	patch_u32(0, (uint32_t)whole);
	expect_accepted_with(0);
}

static void a_block_without_an_end_tag_is_refused(void)
{
	put_plain_map();
	patch_u32(0, (uint32_t)block_size);
	expect_refusal("multiboot2: no end tag in 96 bytes");
}

static void a_tag_smaller_than_its_header_is_refused(void)
{
	put_plain_map();
	begin_tag(4242); /* size stays 0: a walk that believed it would not end */
	size_t tag = open_tag;
	end_block();
	for (uint32_t size = 0; size < 8; size++) {
		patch_u32(tag + 4, size);
		expect_refusal("multiboot2: tag of type 4242 at offset 96 has size *, less than its header");
	}
	patch_u32(tag + 4, 8);
	expect_accepted_with(0);
}

static void a_tag_that_reaches_past_the_block_is_refused(void)
{
	static const uint32_t too_long[] = {17, 18, 4096, 0x7fffffff, 0xfffffff8, UINT32_MAX};

	put_plain_map();
	begin_tag(4242);
	size_t tag = open_tag;
	end_block();
	for (size_t i = 0; i < ARRAY_SIZE(too_long); i++) {
		patch_u32(tag + 4, too_long[i]);
		expect_refusal(
		        "multiboot2: tag of type 4242 at offset 96, size *, reaches past the end, 112");
	}
}

/* ---- the memory map ---- */

static void a_block_without_a_memory_map_is_refused(void)
{
	put_tag(MULTIBOOT2_CMDLINE, "test", 5);
	end_block();
	expect_refusal("multiboot2: the loader gave no memory map");
}

static void a_memory_map_without_ram_is_refused(void)
{
	put_map(24, NULL, 0);
	put_entries({0, 0x1000000, BOOT_RESERVED}, {0x1000000, 0, BOOT_RAM});
	end_block();
	expect_refusal("multiboot2: none of 1 memory ranges is RAM");
}

static void an_entry_size_that_cannot_be_is_refused(void)
{
	static const uint32_t wrong[] = {0, 1, 8, 16, 23, 25, 28, 0x80000004, UINT32_MAX};

	put_plain_map();
	end_block();
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		patch_u32(16, wrong[i]);
		expect_refusal(
		        "multiboot2: memory map entries of * bytes: need a multiple of 8, at least 24");
	}
}

static void a_map_that_ends_within_an_entry_is_refused(void)
{
	put_plain_map();
	end_block();
	patch_u32(16, 32);
	expect_refusal("multiboot2: memory map of 72 bytes ends within an entry of 32");
	begin_block();
	put_tag(MULTIBOOT2_MMAP, "1234", 4);
	end_block();
	expect_refusal("multiboot2: memory map of 4 bytes has no header");
}

static void entries_larger_than_known_are_stepped_over_whole(void)
{
	static const struct entry entries[] = {{0x100000, 0x100000, BOOT_RAM},
	                                       {0x180000, 0x1000, BOOT_RESERVED}};

	for (uint32_t size = 24; size <= 256; size += 8) {
		begin_block();
		put_map(size, entries, ARRAY_SIZE(entries));
		end_block();
		expect_accepted_with(0);
		expect_the_oracles_pages();
		assert_int_equal(free_pages(), 255);
	}
}

static void the_order_of_ranges_does_not_matter(void)
{
	expect_pages_of({0x300000, 0x100000, BOOT_RAM}, {0x100000, 0x100000, BOOT_RAM},
	                {0x0, 0x9f000, BOOT_RAM}, {0x200000, 0x80000, BOOT_RAM});
	expect_pages_of({0x180000, 0x1000, BOOT_RESERVED}, {0x100000, 0x100000, BOOT_RAM});
	assert_int_equal(free_pages(), 255);
}

static void anything_else_wins_over_available(void)
{
	expect_pages_of({0x100000, 0x100000, BOOT_RAM}, {0x140000, 0x1000, BOOT_RESERVED}); /* inside */
	assert_int_equal(free_pages(), 255);
	expect_pages_of({0x100000, 0x1000, BOOT_RAM}, {0x0, 0x200000, BOOT_ACPI_NVS}); /* the reverse */
	assert_int_equal(free_pages(), 0);
	expect_pages_of({0x100000, 0x10000, BOOT_RAM}, {0x10c000, 0x10000, BOOT_BAD_RAM}); /* across an end */
	assert_int_equal(free_pages(), 12);
	expect_pages_of({0x100000, 0x10000, BOOT_RAM}, {0x101000, 1, 20}, {0x102000, 1, 0},
	                {0x103000, 1, UINT32_MAX});
	assert_int_equal(free_pages(), 13); /* types nobody knows */
	expect_pages_of({0x100000, 0x10000, BOOT_RAM},
	                {0x108000, 0x10000, BOOT_RAM}); /* twice available is once */
	assert_int_equal(free_pages(), 24);
}

static void unaligned_ranges_give_only_whole_pages(void)
{
	expect_pages_of({0x100001, 0x2fff, BOOT_RAM});
	assert_int_equal(free_pages(), 2);
	expect_pages_of({0x100fff, 0x1000, BOOT_RAM});
	assert_int_equal(free_pages(), 0);
	expect_pages_of({0x100000, 0x4000, BOOT_RAM}, {0x101fff, 2, BOOT_RESERVED});
	assert_int_equal(free_pages(), 2);
	expect_pages_of({0x100000, 1, BOOT_RAM});
	assert_int_equal(free_pages(), 0);
}

static void ranges_of_length_zero_mean_nothing(void)
{
	expect_pages_of({0x100000, 0x10000, BOOT_RAM}, {0x108000, 0, BOOT_RESERVED}, {0x200000, 0, BOOT_RAM},
	                {UINT64_MAX, 0, BOOT_RESERVED});
	assert_int_equal(out.nr_ranges, 1);
	assert_int_equal(free_pages(), 16);
}

static void ram_that_reaches_past_the_top_is_left_out(void)
{
	put_entries({0x100000, 0x10000, BOOT_RAM}, {0x108000, UINT64_MAX - 0x1000, BOOT_RAM});
	end_block();
	expect_warning_text(
	        "memory range 0x108000 + 0xffffffffffffefff of type 1 reaches past 2^64: left out");
	expect_the_oracles_pages();
	assert_int_equal(free_pages(), 16);
}

static void what_takes_away_past_the_top_is_clipped(void)
{
	put_entries({0x100000, 0x10000, BOOT_RAM}, {0x108001, UINT64_MAX, BOOT_RESERVED});
	end_block();
	expect_warning_text(
	        "memory range 0x108001 + 0xffffffffffffffff of type 2 reaches past 2^64: clipped");
	expect_the_oracles_pages();
	assert_int_equal(free_pages(), 8);
	begin_block(); /* the very last bytes: end 2^64 exactly */
	put_entries({0x100000, 0x10000, BOOT_RAM}, {UINT64_MAX - 0xffff, 0x10000, BOOT_RESERVED});
	end_block();
	expect_accepted_with(1);
	expect_the_oracles_pages();
	assert_int_equal(free_pages(), 16);
}

static void ram_above_what_can_be_mapped_is_lost_and_counted(void)
{
	expect_pages_of({0x100000, 0x10000, BOOT_RAM}, {MEMBLOCK_LIMIT - 0x4000, 0x10000, BOOT_RAM},
	                {1UL << 60, 0x1000, BOOT_RAM}, {UINT64_MAX - 0x1fff, 0x1000, BOOT_RAM});
	assert_int_equal(free_pages(), 20);
	assert_int_equal(mb.lost, 0xe000);
}

static void several_memory_maps_are_taken_together(void)
{
	put_entries({0x100000, 0x10000, BOOT_RAM});
	put_entries({0x108000, 0x1000, BOOT_RESERVED}, {0x200000, 0x1000, BOOT_RAM});
	put_entries({0x20a000, 0x1000, BOOT_RAM});
	end_block();
	expect_warning_text("several memory maps: taken together");
	expect_the_oracles_pages();
	assert_int_equal(free_pages(), 17);
}

static struct entry many[BOOT_RANGES_MAX + 1];

static void as_many_ranges_as_there_is_room_for_are_taken(void)
{
	for (size_t i = 0; i < BOOT_RANGES_MAX; i++) /* descending, each apart */
		many[i] = (struct entry){(BOOT_RANGES_MAX - i) * 0x4000 + (i % 3), 0x2000,
		                         i % 7 ? BOOT_RAM : BOOT_ACPI_NVS};
	put_map(24, many, BOOT_RANGES_MAX);
	end_block();
	expect_accepted_with(0);
	assert_int_equal(out.nr_ranges, BOOT_RANGES_MAX);
	handoff_model_claims(memory, info, &out, &model);
	handoff_model_settle(&out, &mb);
	assert_sound(memblock_check(&mb));
	assert_int_equal(mb.lost, 0);
	for (uint64_t i = 0; i < 64; i++) { /* a sample: the oracle is slow */
		uint64_t page = i * 64 * 0x4000;
		assert_sound(interval_model_compare(&model, &mb, page, page + 0x6000));
	}
}

static void one_range_too_many_is_refused_with_numbers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct entry){i * 0x4000, 0x2000, BOOT_RAM};
	put_map(24, many, ARRAY_SIZE(many));
	end_block();
	expect_refusal("multiboot2: memory map entry 4097 of 4097 is one too many: room for 4096");
	many[17].length = 0; /* an empty one needs no room */
	begin_block();
	put_map(24, many, ARRAY_SIZE(many));
	end_block();
	expect_accepted_with(0);
	assert_int_equal(out.nr_ranges, BOOT_RANGES_MAX);
}

/* ---- what lies inside available RAM ---- */

static void modules_and_the_block_in_ram_are_not_handed_out(void)
{
	put_entries({0x0, 0x400000, BOOT_RAM});
	put_module(0x200fff, 0x203001, "unaligned", 10);
	put_module(0x300000, 0x300000, "empty", 6);
	end_block();
	expect_accepted_with(0);
	expect_the_oracles_pages();
	assert_int_equal(out.nr_modules, 2);
	assert_int_equal(out.nr_in_use, 2);
	assert_int_equal(free_pages(), 1024 - 4 - 1);
	assert_true(interval_model_page(&model, 0x203000).used);
	assert_true(interval_model_page(&model, align_down(info.raw, PAGE_SIZE)).used);
}

static void a_module_that_ends_before_it_starts_is_ignored(void)
{
	put_plain_map();
	put_module(0x200000, 0x1fffff, "m", 2);
	end_block();
	expect_warning_text("module ends at 0x1fffff, before its start 0x200000: ignored");
	assert_int_equal(out.nr_modules, 0);
}

static void a_module_tag_cut_short_is_ignored(void)
{
	put_plain_map();
	put_tag(MULTIBOOT2_MODULE, "1234567", 7);
	end_block();
	expect_warning_text("module tag of 7 bytes: ignored");
}

static void more_modules_than_there_is_room_for_are_ignored(void)
{
	put_plain_map();
	for (uint32_t i = 0; i < BOOT_MODULES_MAX + 3; i++)
		put_module(0x200000 + i * 0x1000, 0x200800 + i * 0x1000, "m", 2);
	end_block();
	expect_accepted_with(3);
	assert_int_equal(out.nr_modules, BOOT_MODULES_MAX);
	assert_string_equal(out.warnings[0], "module at 0x210000 is one too many, room for 16: ignored");
}

/* ---- strings ---- */

static void a_string_without_nul_ends_with_its_tag(void)
{
	put_plain_map();
	put_tag(MULTIBOOT2_CMDLINE, "test exit", 4);
	end_block();
	expect_warning_text("command line has no terminating NUL");
	assert_string_equal(out.cmdline, "test");
	begin_block();
	put_plain_map();
	put_tag(MULTIBOOT2_LOADER, "", 0);
	end_block();
	expect_warning_text("loader name has no terminating NUL");
	assert_string_equal(out.loader, "");
	begin_block();
	put_plain_map();
	put_module(0x200000, 0x201000, "name", 4);
	end_block();
	expect_warning_text("module name has no terminating NUL");
	assert_string_equal(out.modules[0].name, "name");
}

static void a_string_that_is_too_long_is_cut(void)
{
	static char text[BOOT_CMDLINE_MAX + 1];

	memset(text, 'x', sizeof(text) - 1);
	put_plain_map();
	put_tag(MULTIBOOT2_CMDLINE, text, sizeof(text));
	end_block();
	expect_warning_text("command line of 1024 bytes cut to 1023");
	assert_int_equal(strlen(out.cmdline), BOOT_CMDLINE_MAX - 1);
	begin_block();
	put_plain_map();
	put_tag(MULTIBOOT2_CMDLINE, text + 1, sizeof(text) - 1);
	end_block();
	expect_accepted_with(0);
	assert_int_equal(strlen(out.cmdline), BOOT_CMDLINE_MAX - 1);
}

static void appending_to_the_command_line_never_overflows_it(void)
{
	static char text[512];

	put_plain_map();
	put_tag(MULTIBOOT2_CMDLINE, "test", 5);
	end_block();
	expect_accepted_with(0);
	boot_append_cmdline(&out, "exit seed=1");
	assert_string_equal(out.cmdline, "test exit seed=1");
	memset(text, 'y', sizeof(text) - 1);
	boot_append_cmdline(&out, text);
	assert_int_equal(out.nr_warnings, 0);
	boot_append_cmdline(&out, text);
	assert_int_equal(strlen(out.cmdline), BOOT_CMDLINE_MAX - 1);
	assert_string_equal(out.warnings[0], "command line of 1040 bytes cut to 1023");
	boot_append_cmdline(&out, "");
	assert_int_equal(strlen(out.cmdline), BOOT_CMDLINE_MAX - 1);
	out.cmdline[0] = '\0';
	boot_append_cmdline(&out, "test");
	assert_string_equal(out.cmdline, "test");
}

static void warnings_beyond_their_room_are_counted(void)
{
	put_plain_map();
	for (uint32_t i = 0; i < BOOT_WARNINGS_MAX + 5; i++)
		put_module(1, 0, "m", 2);
	end_block();
	expect_accepted_with(BOOT_WARNINGS_MAX + 5);
	assert_int_equal(out.nr_warnings, BOOT_WARNINGS_MAX);
	assert_int_equal(out.nr_warnings_dropped, 5);
}

/* ---- ACPI, screen ---- */

static void put_rsdp(uint32_t tag, size_t length, uint8_t revision)
{
	uint8_t rsdp[36] = "RSD PTR ";
	uint8_t sum = 0;

	rsdp[15] = revision;
	rsdp[20] = 36;
	for (size_t i = 0; i < 20; i++)
		sum += rsdp[i];
	rsdp[8] = (uint8_t)-sum;
	rsdp[32] = (uint8_t)-36;
	put_tag(tag, rsdp, length);
}

static void the_newer_acpi_root_pointer_wins_in_either_order(void)
{
	for (int newer_first = 0; newer_first < 2; newer_first++) {
		begin_block();
		put_plain_map();
		if (newer_first)
			put_rsdp(MULTIBOOT2_ACPI_NEW, 36, 2);
		put_rsdp(MULTIBOOT2_ACPI_OLD, 20, 0);
		if (!newer_first)
			put_rsdp(MULTIBOOT2_ACPI_NEW, 36, 2);
		end_block();
		expect_accepted_with(0);
		assert_int_equal(out.rsdp_length, 36);
		assert_int_equal(out.rsdp[15], 2);
	}
	begin_block();
	put_plain_map();
	put_rsdp(MULTIBOOT2_ACPI_OLD, 20, 0);
	end_block();
	expect_accepted_with(0);
	assert_int_equal(out.rsdp_length, 20);
}

static void a_damaged_acpi_root_pointer_is_ignored(void)
{
	put_plain_map();
	put_rsdp(MULTIBOOT2_ACPI_NEW, 36, 2);
	size_t payload = open_tag + 8;
	end_block();
	for (size_t i = 0; i < 36; i++) { /* any byte: signature or a checksum notices */
		block[payload + i] ^= 0x40;
		expect_warning_text("ACPI root pointer of 36 bytes is cut or fails its checksum: ignored");
		assert_int_equal(out.rsdp_length, 0);
		block[payload + i] ^= 0x40;
	}
	block[payload + 10]++; /* the old part's sum is wrong, the whole one's is right */
	block[payload + 33]--;
	expect_warning_text("ACPI root pointer of 36 bytes is cut or fails its checksum: ignored");
	begin_block();
	put_plain_map();
	put_rsdp(MULTIBOOT2_ACPI_OLD, 19, 0);
	end_block();
	expect_warning_text("ACPI root pointer of 20 bytes is cut or fails its checksum: ignored");
}

static void only_a_real_text_screen_is_believed(void)
{
	static const struct multiboot2_framebuffer screens[] = {
	        {0xb8000, 160, 80, 25, 16, 2, 0}, /* the one */
	        {0x100000, 160, 80, 25, 16, 2, 0}, {0xb8000, 264, 132, 43, 16, 2, 0},
	        {0xb8000, 160, 80, 24, 16, 2, 0},  {0xb8000, 320, 80, 25, 16, 2, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(screens); i++) {
		begin_block();
		put_plain_map();
		put_tag(MULTIBOOT2_FRAMEBUFFER, &screens[i], sizeof(screens[i]));
		end_block();
		expect_accepted_with(i > 0);
		assert_int_equal(out.text_screen.raw, i ? 0 : 0xb8000);
		if (i)
			assert_matches(
			        out.warnings[0],
			        "text screen of *x*, * bytes a line, at 0x*: not 80x25, 160, 0xb8000: ignored");
	}
}

static struct multiboot2_framebuffer pixels;
static struct multiboot2_colours colours;

/* As UEFI firmware has it; a case spoils one thing. */
static void sound_framebuffer(void)
{
	begin_block();
	put_plain_map();
	pixels = (struct multiboot2_framebuffer){0x80000000, 5120, 1280, 800, 32, 1, 0};
	colours = (struct multiboot2_colours){16, 8, 8, 8, 0, 8};
}

static void put_framebuffer(void)
{
	begin_tag(MULTIBOOT2_FRAMEBUFFER);
	put(&pixels, sizeof(pixels));
	put(&colours, sizeof(colours));
	end_tag();
}

static void expect_no_framebuffer(const char *warning)
{
	put_framebuffer();
	end_block();
	expect_warning_text(warning);
	assert_int_equal(prange_size(out.framebuffer.range) + out.framebuffer.width, 0);
}

static void a_framebuffer_is_told_as_it_is(void)
{
	const struct boot_framebuffer *f = &out.framebuffer;

	sound_framebuffer();
	put_framebuffer();
	end_block();
	expect_accepted_with(0);
	assert_int_equal(f->range.start.raw, 0x80000000);
	assert_int_equal(prange_size(f->range), 5120 * 800);
	assert_int_equal(f->pitch, 5120);
	assert_int_equal(f->width, 1280);
	assert_int_equal(f->height, 800);
	assert_int_equal(f->pixel_bytes, 4);
	assert_int_equal(f->red.position, 16);
	assert_int_equal(f->green.position, 8);
	assert_int_equal(f->blue.position, 0);
	assert_int_equal(f->red.size + f->green.size + f->blue.size, 24);
	assert_int_equal(out.text_screen.raw, 0);

	sound_framebuffer(); /* 5 bits of each, in two bytes */
	pixels.bits_per_cell = 15;
	colours = (struct multiboot2_colours){10, 5, 5, 5, 0, 5};
	put_framebuffer();
	end_block();
	expect_accepted_with(0);
	assert_int_equal(f->pixel_bytes, 2);
}

static void a_framebuffer_that_cannot_be_is_ignored_by_name(void)
{
	sound_framebuffer();
	pixels.type = 0;
	expect_no_framebuffer("framebuffer of 1280x800x32 at 0x80000000: its type is not RGB: ignored");
	sound_framebuffer();
	pixels.type = UINT8_MAX;
	expect_no_framebuffer("framebuffer of 1280x800x32 at 0x80000000: its type is not RGB: ignored");
	static const uint8_t depths[] = {0, 1, 8, 33, UINT8_MAX};
	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		sound_framebuffer();
		pixels.bits_per_cell = depths[i];
		expect_no_framebuffer(
		        "framebuffer of 1280x800x* at 0x*: pixels are not of 2 to 4 bytes: ignored");
	}
	sound_framebuffer();
	pixels.width = 0;
	expect_no_framebuffer("framebuffer of 0x800x32 at 0x80000000: it is empty: ignored");
	sound_framebuffer();
	pixels.height = 0;
	expect_no_framebuffer("framebuffer of 1280x0x32 at 0x80000000: it is empty: ignored");
	sound_framebuffer();
	pixels.pitch--;
	expect_no_framebuffer("framebuffer of 1280x800x32 at 0x80000000: its lines overlap: ignored");
	sound_framebuffer();
	pixels.width = 0x40000001; /* times 4 bytes, in 32 bits: 4 */
	expect_no_framebuffer("framebuffer of 1073741825x800x32 at 0x80000000: its lines overlap: ignored");
	sound_framebuffer();
	pixels.height = (BOOT_FRAMEBUFFER_MAX / 5120) + 1;
	expect_no_framebuffer("framebuffer of 1280x*x32 at 0x80000000: it is larger than 1 GiB: ignored");
	sound_framebuffer();
	pixels.pitch = pixels.height = UINT32_MAX;
	expect_no_framebuffer("framebuffer of 1280x4294967295x32 at 0x*: it is larger than 1 GiB: ignored");
	sound_framebuffer();
	pixels.address = UINT64_MAX - 5120 * 800 + 1; /* end 2^64 exactly */
	expect_no_framebuffer("framebuffer of 1280x800x32 at 0x*: it reaches past 2^64: ignored");
}

static void a_colour_outside_its_pixel_is_no_colour(void)
{
	static const struct multiboot2_colours wrong[] = {
	        {25, 8, 8, 8, 0, 8},
	        {16, 8, 25, 8, 0, 8},
	        {16, 8, 8, 8, 25, 8},
	        {16, 0, 8, 8, 0, 8},
	        {UINT8_MAX, UINT8_MAX, 8, 8, 0, 8},
	        {16, 8, 8, 0, 0, 8},
	        {16, 8, 8, 8, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		sound_framebuffer();
		colours = wrong[i];
		expect_no_framebuffer(
		        "framebuffer of 1280x800x32 at 0x80000000: a colour lies outside its pixel: ignored");
	}
	sound_framebuffer();
	pixels.bits_per_cell = 16; /* red at 16 is beyond */
	expect_no_framebuffer(
	        "framebuffer of 1280x800x16 at 0x80000000: a colour lies outside its pixel: ignored");
}

static void a_framebuffer_tag_cut_short_is_ignored(void)
{
	for (size_t size = 0; size < sizeof(pixels) + sizeof(colours); size++) {
		sound_framebuffer();
		begin_tag(MULTIBOOT2_FRAMEBUFFER);
		put(&pixels, min_u64(size, sizeof(pixels)));
		put(&colours, size > sizeof(pixels) ? size - sizeof(pixels) : 0);
		end_tag();
		end_block();
		expect_warning_text(
		        size < sizeof(pixels)
		                ? "framebuffer tag of * bytes: ignored"
		                : "framebuffer of 1280x800x32 at 0x80000000: its tag is cut: ignored");
	}
}

/* Wherever in the block the map comes: the plain one has RAM below 0x9fc00, and from 1 MiB to 64 MiB. */
static void a_framebuffer_in_ram_is_ignored(void)
{
	static const struct {
		uint64_t address;
		uint32_t lines;
		bool ram;
	} places[] = {{0, 1, true},           {0x9fbff, 1, true},  {0x9fc00, 77, false},
	              {0x9fc00, 78, true},    {0x100000, 1, true}, {0x3ffffff, 800, true},
	              {0x4000000, 800, false}};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(places); i++) {
		bool map_first = i % 2;
		sound_framebuffer();
		if (!map_first)
			begin_block();
		pixels.address = places[i / 2].address;
		pixels.height = places[i / 2].lines;
		put_framebuffer();
		if (!map_first)
			put_plain_map();
		end_block();
		expect_accepted_with(places[i / 2].ram);
		if (places[i / 2].ram)
			assert_matches(out.warnings[0],
			               "framebuffer of 1280x*x32 at 0x*: it lies in RAM: ignored");
		else
			assert_int_equal(out.framebuffer.height, places[i / 2].lines);
	}
}

static void of_several_screens_the_last_counts(void)
{
	static const struct multiboot2_framebuffer text = {0xb8000, 160, 80, 25, 16, 2, 0};

	sound_framebuffer();
	put_tag(MULTIBOOT2_FRAMEBUFFER, &text, sizeof(text));
	put_framebuffer();
	end_block();
	expect_accepted_with(0);
	assert_int_equal(out.text_screen.raw, 0);
	assert_int_equal(out.framebuffer.width, 1280);
	sound_framebuffer();
	put_framebuffer();
	put_tag(MULTIBOOT2_FRAMEBUFFER, &text, sizeof(text));
	end_block();
	expect_accepted_with(0);
	assert_int_equal(out.text_screen.raw, 0xb8000);
	assert_int_equal(out.framebuffer.width, 0);
}

/* ---- symbols ---- */

static struct elf64_section sections[3];
static struct multiboot2_elf_sections section_header;

/* RAM below the block, with a sound symbol table in it; a case spoils one thing. */
static void sound_symbols(void)
{
	begin_block();
	memset(memory, 0xcc, sizeof(memory));
	memset(memory + STRINGS_AT, 0, STRINGS_SIZE);
	section_header = (struct multiboot2_elf_sections){ARRAY_SIZE(sections), sizeof(sections[0]), 0};
	sections[0] = (struct elf64_section){.type = 1};
	sections[1] = (struct elf64_section){.type = ELF_SECTION_SYMBOLS,
	                                     .address = SYMBOLS_AT,
	                                     .size = NR_SYMBOLS * ELF_SYMBOL_SIZE,
	                                     .entry_size = ELF_SYMBOL_SIZE,
	                                     .link = 2};
	sections[2] = (struct elf64_section){
	        .type = ELF_SECTION_STRINGS, .address = STRINGS_AT, .size = STRINGS_SIZE};
}

static void put_sections(void)
{
	begin_tag(MULTIBOOT2_ELF_SECTIONS);
	put(&section_header, sizeof(section_header));
	put(sections, sizeof(sections));
	end_tag();
	put_entries({0, 0x10000, BOOT_RAM}, {0x3000, 0x1000, BOOT_RESERVED}, {0x10000, 0x100000, BOOT_RAM});
	end_block();
}

static void symbols_are_adopted_and_in_use(void)
{
	sound_symbols();
	put_sections();
	expect_accepted_with(0);
	expect_the_oracles_pages();
	assert_int_equal(out.symbols.raw, SYMBOLS_AT);
	assert_int_equal(out.nr_symbols, NR_SYMBOLS);
	assert_int_equal(out.symbol_strings.raw, STRINGS_AT);
	assert_int_equal(out.symbol_strings_size, STRINGS_SIZE);
	assert_true(interval_model_page(&model, SYMBOLS_AT).used &&
	            interval_model_page(&model, STRINGS_AT).used);
}

static void symbols_may_span_ranges_that_touch(void)
{
	sound_symbols();
	sections[1].address = 0x10000 - ELF_SYMBOL_SIZE;
	put_sections();
	expect_accepted_with(0);
	assert_int_equal(out.nr_symbols, NR_SYMBOLS);
}

/* The tag as it stands leads to `warning` and to no symbols. */
static void expect_no_symbols(const char *warning)
{
	put_sections();
	expect_warning_text(warning);
	assert_int_equal(out.nr_symbols + out.symbols.raw + out.symbol_strings.raw + out.symbol_strings_size,
	                 0);
	assert_int_equal(out.nr_in_use, 1);
}

static void section_headers_that_cannot_be_are_ignored(void)
{
	static const char no_table[] = "ELF sections hold no usable symbol table";
	static const uint32_t sizes[] = {0, 1, 40, 63, 65, 0x80000000, UINT32_MAX};
	static const uint32_t counts[] = {0, 4, 0x4000000, 0x80000000, UINT32_MAX};
	static const uint32_t links[] = {0, 1, 3, 0x4000000, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		sound_symbols();
		section_header.entry_size = sizes[i];
		expect_no_symbols(no_table);
	}
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		sound_symbols();
		section_header.count = counts[i];
		expect_no_symbols(no_table);
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		sound_symbols();
		sections[1].link = links[i];
		expect_no_symbols(no_table);
	}
	sound_symbols();
	section_header.count = 2; /* the header that is linked to is there, but not counted */
	expect_no_symbols(no_table);
	sound_symbols();
	sections[1].type = 11; /* dynamic symbols are not it */
	expect_no_symbols(no_table);
	begin_block();
	put_plain_map();
	put_tag(MULTIBOOT2_ELF_SECTIONS, "12345678901", 11);
	end_block();
	expect_warning_text(no_table);
}

static void symbols_out_of_reach_or_outside_ram_are_ignored(void)
{
	static const char unreadable[] =
	        "ELF symbols at 0x* or their strings at 0x* are not where they can be read";
	/* misaligned, before and in a reserved range, past our reach, not RAM at all, wrapping */
	static const uint64_t symbols_at[] = {SYMBOLS_AT + 4, 0x3000 - 8,     0x3000,
	                                      0x3ff8,         MEMORY - 8,     MEMORY,
	                                      0x200000,       UINT64_MAX - 7, UINT64_MAX - 0xf7};
	static const uint64_t strings_at[] = {0x3000 - 1, 0x3000, MEMORY - 8, MEMORY, 1UL << 40, UINT64_MAX};
	static const uint64_t sizes[] = {0, MEMORY, UINT64_MAX, UINT64_MAX - SYMBOLS_AT,
	                                 UINT64_MAX - STRINGS_AT + 1};

	for (size_t i = 0; i < ARRAY_SIZE(symbols_at); i++) {
		sound_symbols();
		sections[1].address = symbols_at[i];
		expect_no_symbols(unreadable);
	}
	for (size_t i = 0; i < ARRAY_SIZE(strings_at); i++) {
		sound_symbols();
		sections[2].address = strings_at[i];
		expect_no_symbols(unreadable);
	}
	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		sound_symbols();
		sections[1 + i % 2].size = sizes[i / 2];
		expect_no_symbols(unreadable);
	}
	sound_symbols();
	sections[1].entry_size = 16;
	expect_no_symbols(unreadable);
}

static void symbol_strings_that_do_not_end_are_ignored(void)
{
	sound_symbols();
	memory[STRINGS_AT + STRINGS_SIZE - 1] = 'x';
	expect_no_symbols("ELF symbol strings do not end in NUL: ignored");
}

/* ---- at random ---- */

static uint64_t random_address(struct rng *rng)
{
	static const uint64_t around[] = {0, 0x100000, 0x100000000, MEMBLOCK_LIMIT, UINT64_MAX - 0x3ffff};
	uint64_t at = around[rng_below(rng, ARRAY_SIZE(around))] + rng_below(rng, 0x40000);

	return rng_below(rng, 2) ? at : align_down(at, PAGE_SIZE);
}

static uint64_t random_length(struct rng *rng)
{
	static const uint64_t lengths[] = {0, 1, 0x2000, 0x20000, 1UL << 40};
	uint64_t length = lengths[rng_below(rng, ARRAY_SIZE(lengths))];

	return rng_below(rng, 40) ? rng_below(rng, 2 * length + 1) : rng_next(rng);
}

static void put_random_map(struct rng *rng)
{
	static struct entry entries[24];
	size_t count = 1 + rng_below(rng, ARRAY_SIZE(entries));

	entries[0] = (struct entry){0, MEMORY, BOOT_RAM};
	for (size_t i = 1; i < count; i++)
		entries[i] = (struct entry){random_address(rng), random_length(rng),
		                            rng_below(rng, 3) ? BOOT_RAM : (uint32_t)rng_below(rng, 8)};
	put_map(24 + 8 * (uint32_t)rng_below(rng, 4), entries, count);
}

static void random_maps_give_the_oracles_pages(void)
{
	struct rng rng;
	uint64_t steps = test_is_hosted() ? 10000 : 150;

	rng_seed(&rng, test_seed());
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		begin_block();
		for (uint64_t maps = 1 + rng_below(&rng, 2); maps; maps--)
			put_random_map(&rng);
		for (uint64_t modules = rng_below(&rng, 4); modules; modules--) {
			uint32_t start = (uint32_t)random_address(&rng);
			put_module(start, start + (uint32_t)rng_below(&rng, 0x4000), "m", 2);
		}
		end_block();
		const char *refusal = handoff();
		assert_sound(refusal);
		assert_sound(handoff_model_check(memory, info, sizeof(memory), &out));
		expect_the_oracles_pages();
	}
}

/* Flips bits of a block with one of everything: refused, or right. */
static void a_damaged_block_is_refused_or_told_rightly(void)
{
	static uint8_t sound[2048];
	struct rng rng;
	uint64_t steps = test_is_hosted() ? 20000 : 1000;
	uint64_t refused = 0;

	sound_framebuffer();
	sound_symbols();
	put_tag(MULTIBOOT2_CMDLINE, "test exit", 10);
	put_module(0x8000, 0x9000, "module", 7);
	put_rsdp(MULTIBOOT2_ACPI_NEW, 36, 2);
	put_framebuffer();
	put_sections();
	size_t size = block_size;
	memcpy(sound, block, size);
	rng_seed(&rng, test_seed());
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		memcpy(block, sound, size);
		for (uint64_t flips = 1 + rng_below(&rng, 4); flips; flips--)
			block[rng_below(&rng, size)] ^= (uint8_t)(1 << rng_below(&rng, 8));
		if (handoff()) {
			refused++;
			continue;
		}
		assert_sound(handoff_model_check(memory, info, info.raw + size, &out));
		expect_the_oracles_pages();
	}
	assert_true(refused > steps / 20 && refused < steps - steps / 20);
}

static const struct test_case cases[] = {
        TEST_CASE(a_plain_block_is_told_as_the_firmware_gave_it),
        TEST_CASE(another_magic_is_refused),
        TEST_CASE(a_block_that_is_misaligned_or_out_of_reach_is_refused),
        TEST_CASE(an_absurd_total_size_is_refused),
        TEST_CASE(a_block_cut_at_any_byte_is_refused),
        TEST_CASE(a_block_without_an_end_tag_is_refused),
        TEST_CASE(a_tag_smaller_than_its_header_is_refused),
        TEST_CASE(a_tag_that_reaches_past_the_block_is_refused),
        TEST_CASE(a_block_without_a_memory_map_is_refused),
        TEST_CASE(a_memory_map_without_ram_is_refused),
        TEST_CASE(an_entry_size_that_cannot_be_is_refused),
        TEST_CASE(a_map_that_ends_within_an_entry_is_refused),
        TEST_CASE(entries_larger_than_known_are_stepped_over_whole),
        TEST_CASE(the_order_of_ranges_does_not_matter),
        TEST_CASE(anything_else_wins_over_available),
        TEST_CASE(unaligned_ranges_give_only_whole_pages),
        TEST_CASE(ranges_of_length_zero_mean_nothing),
        TEST_CASE(ram_that_reaches_past_the_top_is_left_out),
        TEST_CASE(what_takes_away_past_the_top_is_clipped),
        TEST_CASE(ram_above_what_can_be_mapped_is_lost_and_counted),
        TEST_CASE(several_memory_maps_are_taken_together),
        TEST_CASE(as_many_ranges_as_there_is_room_for_are_taken),
        TEST_CASE(one_range_too_many_is_refused_with_numbers),
        TEST_CASE(modules_and_the_block_in_ram_are_not_handed_out),
        TEST_CASE(a_module_that_ends_before_it_starts_is_ignored),
        TEST_CASE(a_module_tag_cut_short_is_ignored),
        TEST_CASE(more_modules_than_there_is_room_for_are_ignored),
        TEST_CASE(a_string_without_nul_ends_with_its_tag),
        TEST_CASE(a_string_that_is_too_long_is_cut),
        TEST_CASE(appending_to_the_command_line_never_overflows_it),
        TEST_CASE(warnings_beyond_their_room_are_counted),
        TEST_CASE(the_newer_acpi_root_pointer_wins_in_either_order),
        TEST_CASE(a_damaged_acpi_root_pointer_is_ignored),
        TEST_CASE(only_a_real_text_screen_is_believed),
        TEST_CASE(a_framebuffer_is_told_as_it_is),
        TEST_CASE(a_framebuffer_that_cannot_be_is_ignored_by_name),
        TEST_CASE(a_colour_outside_its_pixel_is_no_colour),
        TEST_CASE(a_framebuffer_tag_cut_short_is_ignored),
        TEST_CASE(a_framebuffer_in_ram_is_ignored),
        TEST_CASE(of_several_screens_the_last_counts),
        TEST_CASE(symbols_are_adopted_and_in_use),
        TEST_CASE(symbols_may_span_ranges_that_touch),
        TEST_CASE(section_headers_that_cannot_be_are_ignored),
        TEST_CASE(symbols_out_of_reach_or_outside_ram_are_ignored),
        TEST_CASE(symbol_strings_that_do_not_end_are_ignored),
        TEST_CASE(random_maps_give_the_oracles_pages),
        TEST_CASE(a_damaged_block_is_refused_or_told_rightly),
};

extern const struct test_suite handoff_suite;
const struct test_suite handoff_suite = TEST_SUITE("handoff", cases, .set_up = set_up);
