/*
 * What a multiboot2 loader hands over, byte by byte: Multiboot2 Specification version 2.0, section 3.6, and for the
 * sections tag ELF-64 Object File Format version 1.5. The information block is a fixed part and a chain of tags, each on a
 * multiple of 8, the last of type END. Fields may lie anywhere: copy these structures out, never point into the block.
 */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#include <lib/compiler.h>

#define MULTIBOOT2_MAGIC 0x36d76289U /* in EAX */

enum { MULTIBOOT2_ALIGN = 8 };

enum multiboot2_tag_type {
	MULTIBOOT2_END = 0,
	MULTIBOOT2_CMDLINE = 1,
	MULTIBOOT2_LOADER = 2,
	MULTIBOOT2_MODULE = 3,
	MULTIBOOT2_MMAP = 6,
	MULTIBOOT2_FRAMEBUFFER = 8,
	MULTIBOOT2_ELF_SECTIONS = 9,
	MULTIBOOT2_ACPI_OLD = 14,
	MULTIBOOT2_ACPI_NEW = 15,
};

struct multiboot2_info {
	uint32_t total_size; /* with this part and the END tag */
	uint32_t reserved;
};

struct multiboot2_tag {
	uint32_t type;
	uint32_t size; /* with this part, without the padding to the next tag */
};

/* The payloads that follow a struct multiboot2_tag. Command line and loader name are one NUL-terminated string. */

struct multiboot2_module { /* and its NUL-terminated string */
	uint32_t start, end;
};

struct multiboot2_mmap { /* and entries of entry_size bytes */
	uint32_t entry_size;
	uint32_t entry_version;
};

struct multiboot2_mmap_entry { /* newer versions may append */
	uint64_t base, length;
	uint32_t type;
	uint32_t reserved;
};

struct multiboot2_framebuffer {
	uint64_t address;
	uint32_t pitch, width, height; /* bytes a line, pixels or columns, lines */
	uint8_t bits_per_cell, type;
	uint16_t reserved; /* 8 bits in the specification's table, 16 in its multiboot2.h and in loaders */
};
enum { MULTIBOOT2_FRAMEBUFFER_RGB = 1, MULTIBOOT2_FRAMEBUFFER_TEXT = 2 };

/* Follows a struct multiboot2_framebuffer of type RGB. */
struct multiboot2_colours {
	uint8_t red_position, red_size, green_position, green_size, blue_position, blue_size; /* in bits */
};

struct multiboot2_elf_sections { /* and `count` headers of `entry_size` bytes */
	uint32_t count, entry_size;
	uint32_t name_table; /* which of them holds the sections' names */
};

/* `address` is where the loader put a section that is not part of the loaded image. */
struct elf64_section {
	uint32_t name, type;
	uint64_t flags, address, offset, size;
	uint32_t link, info;
	uint64_t alignment, entry_size;
};
enum { ELF_SECTION_SYMBOLS = 2, ELF_SECTION_STRINGS = 3, ELF_SYMBOL_SIZE = 24 };

_Static_assert(sizeof(struct multiboot2_mmap_entry) == 24, "as published");
_Static_assert(sizeof(struct multiboot2_framebuffer) == 24, "as published");
_Static_assert(sizeof(struct multiboot2_colours) == 6, "as published");
_Static_assert(sizeof(struct multiboot2_elf_sections) == 12, "as published");
_Static_assert(sizeof(struct elf64_section) == 64, "as published");

#endif
