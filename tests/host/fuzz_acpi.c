/*
 * libFuzzer over acpi_find_cpus(): the input is physical memory, whose first 64 bytes say what the loader and the firmware
 * told of it:
 *
 *	[ root pointer: 36 | its length: 1 | ranges: 1 | 2 | 3 × (start, end, type): 2 each | 3 × table: 2 each | tables … ]
 *
 * The tables named there, and with bit 7 of its length the root pointer, are given the right checksum first: a fuzzer would
 * be long in finding it. What no range holds is poisoned, so that reading it is seen. The naive second reader must agree.
 */
#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lib/panic.h>
#include "acpi_model.h"

enum {
	MEMORY_MAX = 8192,
	PLAN = 64,
	RANGES_MAX = 3,
	TABLES_MAX = 3,
	RSDP = 36,
	SEAL_RSDP = 0x80,
	WHOLE = 0xffff, /* as a range's end: the end of all addresses */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	abort();
}

static uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static void seal(uint8_t *bytes, size_t length, size_t checksum)
{
	bytes[checksum] = 0;
	for (size_t i = 0; i < length; i++)
		if (i != checksum)
			bytes[checksum] = (uint8_t)(bytes[checksum] - bytes[i]);
}

static void seal_table(uint8_t *memory, size_t size, size_t table)
{
	uint32_t length;

	if (table < PLAN || table + RSDP > size)
		return;
	memcpy(&length, memory + table + 4, sizeof(length));
	if (length >= RSDP && length <= size - table)
		seal(memory + table, length, 9);
}

static void read_plan(uint8_t *memory, size_t size, struct boot_info *info)
{
	const uint8_t *ranges = memory + 40, *tables = memory + 58;

	memcpy(info->rsdp, memory, sizeof(info->rsdp));
	info->rsdp_length = memory[36] % SEAL_RSDP % (sizeof(info->rsdp) + 1);
	if (memory[36] & SEAL_RSDP) {
		seal(info->rsdp, 20, 8);
		seal(info->rsdp, sizeof(info->rsdp), 32);
	}
	info->nr_ranges = 0;
	for (size_t i = 0; i < memory[37] % (RANGES_MAX + 1); i++, ranges += 6) {
		uint16_t start = get_u16(ranges), end = get_u16(ranges + 2);
		if (start < end)
			info->ranges[info->nr_ranges++] = (struct boot_range){
			        prange(start, end == WHOLE ? UINT64_MAX : end), get_u16(ranges + 4)};
	}
	for (size_t i = 0; i < TABLES_MAX; i++, tables += 2)
		seal_table(memory, size, get_u16(tables));
}

static bool is_held(const struct boot_info *info, uint64_t at)
{
	for (size_t i = 0; i < info->nr_ranges; i++)
		if (prange_contains(info->ranges[i].range, paddr(at)))
			return true;
	return false;
}

static void poison_what_is_not_held(const struct boot_info *info, const uint8_t *memory, size_t size)
{
	size_t start = 0;

	for (size_t at = 0; at <= size; at++)
		if (at == size || is_held(info, at)) {
			ASAN_POISON_MEMORY_REGION(memory + start, at - start);
			start = at + 1;
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_info info;
	static struct acpi_cpus out;

	if (size < PLAN || size > MEMORY_MAX)
		return 0;
	/* Of its own size, so that one byte too far is seen. */
	uint8_t *memory = malloc(size);
	if (!memory)
		return 0;
	memcpy(memory, data, size);
	read_plan(memory, size, &info);
	poison_what_is_not_held(&info, memory, size);
	memset(&out, 0xa5, sizeof(out)); /* what is read must have been written */
	acpi_find_cpus(&info, memory, size, &out);
	const char *broken = acpi_model_check(&info, memory, size, &out);
	if (broken)
		panic("fuzz_acpi: %s\n", broken);
	ASAN_UNPOISON_MEMORY_REGION(memory, size);
	free(memory);
	return 0;
}
