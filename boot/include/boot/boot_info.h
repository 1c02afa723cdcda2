/*
 * What the boot loader told us, as plain data: the protocol ends here. Everything is copied or bounds-checked; what
 * still lies in loader memory (symbols) is listed under `in_use`, so that nobody allocates over it.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include <lib/addr.h>

enum {
	BOOT_RANGES_MAX = 4096,
	BOOT_MODULES_MAX = 16,
	BOOT_CMDLINE_MAX = 1024,
	BOOT_LOADER_MAX = 64,
	BOOT_IN_USE_MAX = BOOT_MODULES_MAX + 8,
	BOOT_WARNINGS_MAX = 16,
	BOOT_WARNING_LENGTH = 128,
	BOOT_BLOCK_MAX = 4 << 20, /* a larger information block is not believed: real ones have a few KiB */
	BOOT_FRAMEBUFFER_MAX = 1 << 30, /* nor is a larger framebuffer: 16K by 8K pixels have half of that */
};

/* Memory map entry types: multiboot2 specification 2.0, section 3.6.8. */
enum boot_range_type {
	BOOT_RAM = 1,
	BOOT_RESERVED = 2,
	BOOT_ACPI_RECLAIMABLE = 3,
	BOOT_ACPI_NVS = 4,
	BOOT_BAD_RAM = 5,
};

/*
 * As the firmware gave it, but never wrapping: [start, end) with start < end; bytes need not be page-aligned. Ranges may
 * overlap: a byte is RAM if some range calls it BOOT_RAM and none calls it anything else, known or not.
 */
struct boot_range {
	struct prange range;
	uint32_t type;
};

struct boot_module {
	struct prange range; /* may be empty */
	char name[64];
};

struct boot_in_use {
	const char *what;
	struct prange range;
};

/* Bits [position, position + size) of a pixel, which is a little-endian number. */
struct boot_colour {
	uint8_t position, size;
};

/* Pixels in rows of `pitch` bytes. Every pixel lies in `range`, every colour has bits, all of them in the pixel. */
struct boot_framebuffer {
	struct prange range; /* nowhere RAM; empty if there is no framebuffer */
	uint32_t pitch, width, height;
	uint8_t pixel_bytes; /* 2, 3 or 4 */
	struct boot_colour red, green, blue;
};

struct boot_info {
	struct boot_range ranges[BOOT_RANGES_MAX]; /* in the firmware's order */
	size_t nr_ranges;
	struct boot_module modules[BOOT_MODULES_MAX];
	size_t nr_modules;
	struct boot_in_use in_use[BOOT_IN_USE_MAX]; /* modules, symbols, the information block itself */
	size_t nr_in_use;
	char cmdline[BOOT_CMDLINE_MAX];
	char loader[BOOT_LOADER_MAX];
	uint8_t rsdp[36];   /* a copy of the ACPI root pointer structure */
	size_t rsdp_length; /* 0, 20 or 36 */
	/* The colour text screen of 80 by 25 cells, or 0 if the loader set up none. */
	paddr_t text_screen;
	struct boot_framebuffer framebuffer; /* not both */
	/*
	 * ELF symbols (Elf64_Sym) of the kernel image, in loader memory; nr_symbols 0 if there are none or they look wrong.
	 * Both lie in RAM below `reachable`, symbols 8-aligned; the last byte of the strings is NUL.
	 */
	paddr_t symbols, symbol_strings;
	size_t nr_symbols, symbol_strings_size;
	/* What was odd but survivable, for the console; and how many more there were than found room. */
	char warnings[BOOT_WARNINGS_MAX][BOOT_WARNING_LENGTH];
	size_t nr_warnings, nr_warnings_dropped;
};

/*
 * Translates the multiboot2 information block. `magic` is what EAX held; `info` is where EBX pointed, read through
 * `base` + physical address, of which the first `reachable` bytes may be read. NULL, or the reason for refusing, in
 * check_failed()'s buffer; then *out is not to be used. Untrusted input: reads nothing outside [info, info + its size)
 * and the last byte of a symbol string table in RAM; never faults.
 *
 * Refused is what leaves the memory map in doubt: a broken chain of tags, or a map that is absent, cut, too long, or
 * without RAM. Everything else that is wrong is left out, with a warning. Of a range that reaches past 2^64, RAM is left
 * out and anything else is clipped.
 */
const char *boot_handoff(uint32_t magic, paddr_t info, const void *base, uint64_t reachable,
                         struct boot_info *out) MUST_USE;

/* Adds `text` to the command line, after a blank if it has any; what does not fit is dropped with a warning. */
void boot_append_cmdline(struct boot_info *info, const char *text);

#endif
