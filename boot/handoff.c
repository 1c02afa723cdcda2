/*
 * The boot loader's word, translated.
 *
 * The information block is untrusted: every number in it is a claim. It is read front to back in one pass, by copying;
 * a span is a part of it whose bounds have been checked, and nothing is read but through one:
 *
 *	[ size | tag | tag ............ | tag | END ]		block: checked against `reachable`
 *	         [ type, size | payload ]			payload: checked against the block
 *
 * H1  Every byte read lies in a span, or is the last byte of the symbol strings, checked against RAM and `reachable`.
 * H2  The walk advances by at least a tag's header, so it ends.
 * H3  What *out says about RAM is never more than the firmware said: RAM that is in doubt is left out, what takes RAM
 *     away is kept; a map whose end or stride is in doubt is refused.
 * H4  Every string in *out ends in NUL within its array; every count is within its array.
 * H5  Whatever *out points to in loader memory is in in_use.
 * H6  Every pixel of a framebuffer in *out lies in its range, and that range nowhere in what any range calls RAM.
 *
 * O(bytes of the block), and O(ranges) per RAM range that the symbols lie in. No state but *out; no allocation.
 */
#include <boot/boot_info.h>
#include <lib/align.h>
#include <lib/check.h>
#include <lib/printer.h>
#include "multiboot2.h"
#include "span.h"

struct handoff {
	struct boot_info *out;
	const uint8_t *base;
	uint64_t reachable;
	size_t nr_maps;
	struct span sections, screen; /* the last such tags' payloads: judged when the map is known */
};

_Static_assert(BOOT_IN_USE_MAX >= BOOT_MODULES_MAX + 3, "modules, information block, symbols, strings");

/* ---- small parts ---- */

static void note_warning(struct boot_info *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void note_warning(struct boot_info *out, const char *fmt, ...)
{
	va_list args;

	if (out->nr_warnings == BOOT_WARNINGS_MAX) {
		out->nr_warnings_dropped++;
		return;
	}
	va_start(args, fmt);
	vformat_buffer(out->warnings[out->nr_warnings++], BOOT_WARNING_LENGTH, fmt, args);
	va_end(args);
}

static void note_in_use(struct boot_info *out, const char *what, struct prange range)
{
	if (prange_size(range))
		out->in_use[out->nr_in_use++] = (struct boot_in_use){what, range};
}

/* The text in `from`, up to its NUL or its end, as a string of less than `capacity` bytes. */
static void copy_string(struct boot_info *out, const char *what, char *to, size_t capacity, struct span from)
{
	size_t length = strnlen((const char *)from.bytes, from.size);

	if (length == from.size)
		note_warning(out, "%s has no terminating NUL", what);
	if (length >= capacity) {
		note_warning(out, "%s of %zu bytes cut to %zu", what, length, capacity - 1);
		length = capacity - 1;
	}
	memcpy(to, from.bytes, length);
	to[length] = '\0';
}

/* ---- memory map ---- */

/* False if there is no room for it. */
static MUST_USE bool add_range(struct boot_info *out, const struct multiboot2_mmap_entry *entry)
{
	uint64_t end;

	if (!entry->length)
		return true;
	if (__builtin_add_overflow(entry->base, entry->length, &end)) {
		bool ram = entry->type == BOOT_RAM;
		note_warning(out, "memory range 0x%llx + 0x%llx of type %u reaches past 2^64: %s",
		             (unsigned long long)entry->base, (unsigned long long)entry->length, entry->type,
		             ram ? "left out" : "clipped");
		if (ram)
			return true;
		end = UINT64_MAX;
	}
	if (out->nr_ranges == BOOT_RANGES_MAX)
		return false;
	out->ranges[out->nr_ranges++] = (struct boot_range){prange(entry->base, end), entry->type};
	return true;
}

static MUST_USE const char *read_map(struct handoff *h, struct span payload)
{
	struct multiboot2_mmap map;
	struct multiboot2_mmap_entry entry;

	CHECK(span_copy(payload, 0, &map, sizeof(map)), "multiboot2: memory map of %zu bytes has no header",
	      payload.size);
	CHECK(map.entry_size >= sizeof(entry) && is_aligned(map.entry_size, MULTIBOOT2_ALIGN),
	      "multiboot2: memory map entries of %u bytes: need a multiple of %d, at "
	      "least %zu",
	      map.entry_size, MULTIBOOT2_ALIGN, sizeof(entry));
	struct span entries = span_after(payload, sizeof(map));
	CHECK(entries.size % map.entry_size == 0,
	      "multiboot2: memory map of %zu bytes ends within an entry of %u", entries.size, map.entry_size);
	if (++h->nr_maps == 2)
		note_warning(h->out, "several memory maps: taken together");
	for (size_t at = 0; span_copy(entries, at, &entry, sizeof(entry)); at += map.entry_size)
		CHECK(add_range(h->out, &entry),
		      "multiboot2: memory map entry %zu of %zu is one too many: room for %d",
		      at / map.entry_size + 1, entries.size / map.entry_size, BOOT_RANGES_MAX);
	return NULL;
}

/* ---- what we can do without: left out with a warning if it is wrong ---- */

static void read_module(struct boot_info *out, struct span payload)
{
	struct multiboot2_module loaded;

	if (!span_copy(payload, 0, &loaded, sizeof(loaded))) {
		note_warning(out, "module tag of %zu bytes: ignored", payload.size);
	} else if (loaded.end < loaded.start) {
		note_warning(out, "module ends at 0x%x, before its start 0x%x: ignored", loaded.end,
		             loaded.start);
	} else if (out->nr_modules == BOOT_MODULES_MAX) {
		note_warning(out, "module at 0x%x is one too many, room for %d: ignored", loaded.start,
		             BOOT_MODULES_MAX);
	} else {
		struct boot_module *module = &out->modules[out->nr_modules++];
		module->range = prange(loaded.start, loaded.end);
		copy_string(out, "module name", module->name, sizeof(module->name),
		            span_after(payload, sizeof(loaded)));
		note_in_use(out, "module", module->range);
	}
}

enum { RSDP_OLD = 20, RSDP_NEW = 36 };
_Static_assert(sizeof(((struct boot_info *)0)->rsdp) == RSDP_NEW, "room for the longer root pointer");

/* ACPI specification 6.5, section 5.2.5.3. The newer structure wins, whichever comes first. */
static void read_rsdp(struct boot_info *out, struct span payload, size_t length)
{
	static const char signature[] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
	uint8_t rsdp[RSDP_NEW];

	if (out->rsdp_length >= length)
		return;
	if (!span_copy(payload, 0, rsdp, length) || memcmp(rsdp, signature, sizeof(signature)) != 0 ||
	    !span_sums_to_zero((struct span){rsdp, RSDP_OLD}) ||
	    !span_sums_to_zero((struct span){rsdp, length})) {
		note_warning(out, "ACPI root pointer of %zu bytes is cut or fails its checksum: ignored",
		             length);
		return;
	}
	memcpy(out->rsdp, rsdp, length);
	out->rsdp_length = length;
}

/* ---- symbols ---- */

/* Every byte is called RAM by some range and something else by none. pre: range does not wrap and is not empty */
static MUST_USE bool is_ram(const struct boot_info *out, struct prange range)
{
	uint64_t covered = range.start.raw;
	bool grew = true;

	/* Invariant: [range.start, covered) is called RAM. Each round but the last makes it longer. */
	while (grew && covered < range.end.raw) {
		grew = false;
		for (size_t i = 0; i < out->nr_ranges; i++) {
			const struct boot_range *r = &out->ranges[i];
			if (r->type == BOOT_RAM && prange_contains(r->range, paddr(covered))) {
				covered = r->range.end.raw;
				grew = true;
			} else if (r->type != BOOT_RAM && r->range.start.raw < range.end.raw &&
			           r->range.end.raw > range.start.raw) {
				return false;
			}
		}
	}
	return covered >= range.end.raw;
}

/* The memory that holds a section. False if it is empty, wraps, or is not RAM that we can read. */
static MUST_USE bool section_memory(const struct handoff *h, const struct elf64_section *section,
                                    struct prange *range)
{
	uint64_t end;

	if (!section->size || __builtin_add_overflow(section->address, section->size, &end) ||
	    end > h->reachable)
		return false;
	*range = prange(section->address, end);
	return is_ram(h->out, *range);
}

/* The symbol table and its strings; false if the sections are not what the tag says or there is no such table. */
static MUST_USE bool find_symbols(const struct handoff *h, struct elf64_section *symbols,
                                  struct elf64_section *strings)
{
	struct multiboot2_elf_sections sections;

	if (!span_copy(h->sections, 0, &sections, sizeof(sections)) || sections.entry_size < sizeof(*symbols))
		return false;
	struct span headers = span_after(h->sections, sizeof(sections));
	if (sections.count > headers.size / sections.entry_size)
		return false;
	for (size_t i = 0; i < sections.count; i++) {
		if (!span_copy(headers, i * sections.entry_size, symbols, sizeof(*symbols)))
			return false;
		if (symbols->type == ELF_SECTION_SYMBOLS)
			return symbols->link < sections.count &&
			       span_copy(headers, (size_t)symbols->link * sections.entry_size, strings,
			                 sizeof(*strings)) &&
			       strings->type == ELF_SECTION_STRINGS;
	}
	return false;
}

static void adopt_symbols(struct handoff *h)
{
	struct boot_info *out = h->out;
	struct elf64_section symbols, strings;
	struct prange symbol_memory, string_memory;

	if (!h->sections.bytes)
		return;
	if (!find_symbols(h, &symbols, &strings)) {
		note_warning(out, "ELF sections hold no usable symbol table");
		return;
	}
	if (symbols.entry_size != ELF_SYMBOL_SIZE || !is_aligned(symbols.address, sizeof(uint64_t)) ||
	    !section_memory(h, &symbols, &symbol_memory) || !section_memory(h, &strings, &string_memory)) {
		note_warning(out,
		             "ELF symbols at 0x%llx or their strings at 0x%llx are not "
		             "where they can be read",
		             (unsigned long long)symbols.address, (unsigned long long)strings.address);
		return;
	}
	if (h->base[string_memory.end.raw - 1] != '\0') {
		note_warning(out, "ELF symbol strings do not end in NUL: ignored");
		return;
	}
	out->symbols = symbol_memory.start;
	out->nr_symbols = symbols.size / ELF_SYMBOL_SIZE;
	out->symbol_strings = string_memory.start;
	out->symbol_strings_size = strings.size;
	note_in_use(out, "symbols", symbol_memory);
	note_in_use(out, "symbol strings", string_memory);
}

/* ---- the screen ---- */

/* A text screen is somewhere else only by mistake, and writing there would be ours. */
static void adopt_text_screen(struct boot_info *out, const struct multiboot2_framebuffer *screen)
{
	enum { EGA_TEXT = 0xb8000, COLUMNS = 80, LINES = 25, LINE_BYTES = 2 * COLUMNS };

	if (screen->address == EGA_TEXT && screen->width == COLUMNS && screen->height >= LINES &&
	    screen->pitch == LINE_BYTES)
		out->text_screen = paddr(EGA_TEXT);
	else
		note_warning(out,
		             "text screen of %ux%u, %u bytes a line, at 0x%llx: not 80x25, %d, 0x%x: ignored",
		             screen->width, screen->height, screen->pitch,
		             (unsigned long long)screen->address, LINE_BYTES, EGA_TEXT);
}

/* Some range that overlaps with this one is called RAM. */
static MUST_USE bool touches_ram(const struct boot_info *out, struct prange range)
{
	for (size_t i = 0; i < out->nr_ranges; i++) {
		const struct boot_range *r = &out->ranges[i];
		if (r->type == BOOT_RAM && r->range.start.raw < range.end.raw &&
		    r->range.end.raw > range.start.raw)
			return true;
	}
	return false;
}

static MUST_USE bool fits(uint8_t position, uint8_t size, unsigned bits)
{
	return size && position + size <= (int)bits;
}

/* NULL, with *to filled in, or what is wrong with pixels of these colours. */
static const char *read_pixels(struct boot_framebuffer *to, const struct multiboot2_framebuffer *screen,
                               const struct multiboot2_colours *c)
{
	unsigned bytes = (screen->bits_per_cell + 7) / 8;
	uint64_t size = (uint64_t)screen->pitch * screen->height, end;

	if (bytes < 2 || bytes > 4)
		return "pixels are not of 2 to 4 bytes";
	if (!screen->width || !screen->height)
		return "it is empty";
	if (screen->pitch / bytes < screen->width)
		return "its lines overlap";
	if (size > BOOT_FRAMEBUFFER_MAX)
		return "it is larger than 1 GiB";
	if (__builtin_add_overflow(screen->address, size, &end))
		return "it reaches past 2^64";
	if (!fits(c->red_position, c->red_size, bytes * 8) ||
	    !fits(c->green_position, c->green_size, bytes * 8) ||
	    !fits(c->blue_position, c->blue_size, bytes * 8))
		return "a colour lies outside its pixel";
	*to = (struct boot_framebuffer){
	        .range = prange(screen->address, end),
	        .pitch = screen->pitch,
	        .width = screen->width,
	        .height = screen->height,
	        .pixel_bytes = (uint8_t)bytes,
	        .red = {c->red_position, c->red_size},
	        .green = {c->green_position, c->green_size},
	        .blue = {c->blue_position, c->blue_size},
	};
	return NULL;
}

static void adopt_framebuffer(struct boot_info *out, const struct multiboot2_framebuffer *screen,
                              struct span after)
{
	struct multiboot2_colours colours;
	struct boot_framebuffer found = {0};
	const char *fault;

	if (screen->type != MULTIBOOT2_FRAMEBUFFER_RGB)
		fault = "its type is not RGB";
	else if (!span_copy(after, 0, &colours, sizeof(colours)))
		fault = "its tag is cut";
	else
		fault = read_pixels(&found, screen, &colours);
	if (!fault && touches_ram(out, found.range))
		fault = "it lies in RAM";
	if (fault)
		note_warning(out, "framebuffer of %ux%ux%u at 0x%llx: %s: ignored", screen->width,
		             screen->height, screen->bits_per_cell, (unsigned long long)screen->address,
		             fault);
	else
		out->framebuffer = found;
}

static void adopt_screen(struct handoff *h)
{
	struct multiboot2_framebuffer screen;

	if (!h->screen.bytes)
		return;
	if (!span_copy(h->screen, 0, &screen, sizeof(screen)))
		note_warning(h->out, "framebuffer tag of %zu bytes: ignored", h->screen.size);
	else if (screen.type == MULTIBOOT2_FRAMEBUFFER_TEXT)
		adopt_text_screen(h->out, &screen);
	else
		adopt_framebuffer(h->out, &screen, span_after(h->screen, sizeof(screen)));
}

/* ---- the block ---- */

static MUST_USE const char *read_tag(struct handoff *h, uint32_t type, struct span payload)
{
	struct boot_info *out = h->out;

	switch (type) {
	case MULTIBOOT2_MMAP:
		return read_map(h, payload);
	case MULTIBOOT2_CMDLINE:
		copy_string(out, "command line", out->cmdline, sizeof(out->cmdline), payload);
		break;
	case MULTIBOOT2_LOADER:
		copy_string(out, "loader name", out->loader, sizeof(out->loader), payload);
		break;
	case MULTIBOOT2_MODULE:
		read_module(out, payload);
		break;
	case MULTIBOOT2_FRAMEBUFFER:
		h->screen = payload;
		break;
	case MULTIBOOT2_ELF_SECTIONS:
		h->sections = payload;
		break;
	case MULTIBOOT2_ACPI_OLD:
		read_rsdp(out, payload, RSDP_OLD);
		break;
	case MULTIBOOT2_ACPI_NEW:
		read_rsdp(out, payload, RSDP_NEW);
		break;
	default: /* told more than we asked for */
		break;
	}
	return NULL;
}

static MUST_USE const char *read_tags(struct handoff *h, struct span block)
{
	struct multiboot2_tag tag;
	size_t at = sizeof(struct multiboot2_info);

	/* Invariant: at is a multiple of 8; the tags before it lay in the block and have been read. */
	while (span_copy(block, at, &tag, sizeof(tag))) {
		CHECK(tag.size >= sizeof(tag),
		      "multiboot2: tag of type %u at offset %zu has size %u, less than its "
		      "header",
		      tag.type, at, tag.size);
		CHECK(tag.size <= block.size - at,
		      "multiboot2: tag of type %u at offset %zu, size %u, reaches past the "
		      "end, %zu",
		      tag.type, at, tag.size, block.size);
		if (tag.type == MULTIBOOT2_END)
			return NULL;
		struct span payload = {block.bytes + at + sizeof(tag), tag.size - sizeof(tag)};
		const char *refusal = read_tag(h, tag.type, payload);
		if (refusal)
			return refusal;
		at += align_up(tag.size, MULTIBOOT2_ALIGN);
	}
	return check_failed("multiboot2: no end tag in %zu bytes", block.size);
}

static MUST_USE bool has_ram(const struct boot_info *out)
{
	for (size_t i = 0; i < out->nr_ranges; i++)
		if (out->ranges[i].type == BOOT_RAM)
			return true;
	return false;
}

/* The information block as a span. */
static MUST_USE const char *find_block(const struct handoff *h, paddr_t info, struct span *block)
{
	struct multiboot2_info header;
	unsigned long long at = info.raw;

	CHECK(is_aligned(at, MULTIBOOT2_ALIGN), "multiboot2: information block at 0x%llx is not %d-aligned",
	      at, MULTIBOOT2_ALIGN);
	CHECK(at <= h->reachable && sizeof(header) <= h->reachable - at,
	      "multiboot2: information block at 0x%llx is out of reach, 0x%llx", at,
	      (unsigned long long)h->reachable);
	memcpy(&header, h->base + at, sizeof(header));
	CHECK(header.total_size >= sizeof(header) + sizeof(struct multiboot2_tag) &&
	              header.total_size <= BOOT_BLOCK_MAX,
	      "multiboot2: information block of %u bytes: need %zu to %d", header.total_size,
	      sizeof(header) + sizeof(struct multiboot2_tag), BOOT_BLOCK_MAX);
	CHECK(header.total_size <= h->reachable - at,
	      "multiboot2: information block at 0x%llx, %u bytes, reaches past 0x%llx", at, header.total_size,
	      (unsigned long long)h->reachable);
	*block = (struct span){h->base + at, header.total_size};
	return NULL;
}

const char *boot_handoff(uint32_t magic, paddr_t info, const void *base, uint64_t reachable,
                         struct boot_info *out)
{
	struct handoff h = {.out = out, .base = base, .reachable = reachable};
	struct span block = {NULL, 0};
	const char *refusal;

	/* All but the ranges, which only nr_ranges makes valid: 96 KiB that every boot would wait for. */
	memset((char *)out + offsetof(struct boot_info, nr_ranges), 0,
	       sizeof(*out) - offsetof(struct boot_info, nr_ranges));
	CHECK(magic == MULTIBOOT2_MAGIC, "multiboot2: EAX held 0x%x at entry, not 0x%x", magic,
	      MULTIBOOT2_MAGIC);
	refusal = find_block(&h, info, &block);
	if (refusal)
		return refusal;
	refusal = read_tags(&h, block);
	if (refusal)
		return refusal;
	CHECK(h.nr_maps, "multiboot2: the loader gave no memory map");
	CHECK(has_ram(out), "multiboot2: none of %zu memory ranges is RAM", out->nr_ranges);
	note_in_use(out, "boot information", prange(info.raw, info.raw + block.size));
	adopt_symbols(&h);
	adopt_screen(&h);
	return NULL;
}

void boot_append_cmdline(struct boot_info *info, const char *text)
{
	size_t length = strlen(info->cmdline);
	size_t room = sizeof(info->cmdline) - length;
	size_t needed = format_buffer(info->cmdline + length, room, "%s%s", length ? " " : "", text);

	if (needed >= room)
		note_warning(info, "command line of %zu bytes cut to %zu", length + needed,
		             sizeof(info->cmdline) - 1);
}
