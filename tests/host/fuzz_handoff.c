/*
 * libFuzzer over boot_handoff() and memblock: the input is physical memory, its first 8 bytes choose where the
 * information block lies. Whatever is accepted must satisfy the naive second reader, and the pages handed out must be
 * the oracle's.
 *
 *	clang -fsanitize=fuzzer,address,undefined …; see the Makefile's fuzz target
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lib/panic.h>
#include <mm/memblock.h>
#include "handoff_model.h"

enum { MEMORY_MAX = 4096, MAGIC = 0x36d76289 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	abort();
}

static void demand(const char *broken)
{
	if (broken)
		panic("fuzz_handoff: %s\n", broken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_info out;
	static struct memblock mb;
	static struct interval_model model;
	paddr_t info = paddr(0);
	uint16_t selector;

	if (size < sizeof(uint64_t) || size > MEMORY_MAX)
		return 0;
	/* Of its own size, so that one byte too far is seen; as aligned as the kernel's direct map. */
	uint8_t *memory = malloc(size);
	if (!memory)
		return 0;
	memcpy(memory, data, size);
	memcpy(&selector, data, sizeof(selector));
	info.raw = selector;
	memset(&out, 0xa5, sizeof(out)); /* what is read must have been written */
	if (!boot_handoff(MAGIC, info, memory, size, &out)) {
		demand(handoff_model_check(memory, info, size, &out));
		boot_append_cmdline(&out, "test exit");
		handoff_model_claims(memory, info, &out, &model);
		handoff_model_settle(&out, &mb);
		demand(memblock_check(&mb));
		demand(handoff_model_compare(&model, &mb));
	}
	free(memory);
	return 0;
}
