/*
 * The second reader: offsets as the multiboot2 specification prints them, no structures, no bounds checks. It runs only
 * on blocks that boot_handoff() has accepted, and under a sanitizer a wrong acceptance shows here too.
 */
#include "handoff_model.h"
#include <lib/check.h>
#include <lib/string.h>
#include <mm/memblock.h>

static uint64_t number(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

/* Calls `entry` for each memory map entry of the block. */
static void each_entry(const uint8_t *block,
                       void (*entry)(void *context, uint64_t start, uint64_t length, uint32_t type),
                       void *context)
{
	const uint8_t *tag = block + 8;

	for (; number(tag, 4) != 0; tag += (number(tag + 4, 4) + 7) / 8 * 8) {
		if (number(tag, 4) != 6)
			continue;
		const uint8_t *end = tag + number(tag + 4, 4);
		for (const uint8_t *at = tag + 16; at < end; at += number(tag + 8, 4))
			entry(context, number(at, 8), number(at + 8, 8), (uint32_t)number(at + 16, 4));
	}
}

struct comparison {
	const struct boot_info *out;
	size_t next;
	bool differs;
};

static void compare_entry(void *context, uint64_t start, uint64_t length, uint32_t type)
{
	struct comparison *c = context;
	const struct boot_range *r = &c->out->ranges[c->next];
	bool past_top = length && start + length < length;

	if (!length || (past_top && type == BOOT_RAM))
		return;
	c->differs = c->differs || c->next == c->out->nr_ranges || r->range.start.raw != start ||
	             r->type != type || r->range.end.raw != (past_top ? UINT64_MAX : start + length);
	c->next++;
}

static MUST_USE bool is_in_use(const struct boot_info *out, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < out->nr_in_use; i++)
		if (out->in_use[i].range.start.raw == start && out->in_use[i].range.end.raw == end)
			return true;
	return start == end;
}

static MUST_USE const char *check_bounds(const struct boot_info *out)
{
	CHECK(out->nr_ranges && out->nr_ranges <= BOOT_RANGES_MAX, "%zu ranges", out->nr_ranges);
	CHECK(out->nr_modules <= BOOT_MODULES_MAX, "%zu modules", out->nr_modules);
	CHECK(out->nr_in_use <= BOOT_IN_USE_MAX, "%zu ranges in use", out->nr_in_use);
	CHECK(out->nr_warnings <= BOOT_WARNINGS_MAX, "%zu warnings", out->nr_warnings);
	CHECK(strnlen(out->cmdline, sizeof(out->cmdline)) < sizeof(out->cmdline), "command line without end");
	CHECK(strnlen(out->loader, sizeof(out->loader)) < sizeof(out->loader), "loader name without end");
	CHECK(out->rsdp_length == 0 || out->rsdp_length == 20 || out->rsdp_length == 36,
	      "root pointer of %zu bytes", out->rsdp_length);
	for (size_t i = 0; i < out->nr_warnings; i++)
		CHECK(out->warnings[i][0] &&
		              strnlen(out->warnings[i], BOOT_WARNING_LENGTH) < BOOT_WARNING_LENGTH,
		      "warning %zu is empty or without end", i);
	return NULL;
}

static MUST_USE const char *check_in_use(const struct boot_info *out, uint64_t reachable)
{
	for (size_t i = 0; i < out->nr_in_use; i++)
		CHECK(out->in_use[i].what && out->in_use[i].range.start.raw < out->in_use[i].range.end.raw,
		      "in_use[%zu] is empty", i);
	for (size_t i = 0; i < out->nr_modules; i++) {
		const struct boot_module *module = &out->modules[i];
		CHECK(is_in_use(out, module->range.start.raw, module->range.end.raw),
		      "module %zu is not in use", i);
		CHECK(strnlen(module->name, sizeof(module->name)) < sizeof(module->name),
		      "module %zu: name without end", i);
	}
	if (!out->nr_symbols)
		return NULL;
	uint64_t strings_end = out->symbol_strings.raw + out->symbol_strings_size;
	CHECK(out->symbol_strings_size && strings_end <= reachable, "symbol strings are out of reach");
	CHECK(is_in_use(out, out->symbol_strings.raw, strings_end), "symbol strings are not in use");
	CHECK(out->symbols.raw % 8 == 0 && out->nr_symbols <= (reachable - out->symbols.raw) / 24,
	      "symbols are misaligned or out of reach");
	for (size_t i = 0; i < out->nr_in_use; i++)
		if (out->in_use[i].range.start.raw == out->symbols.raw &&
		    prange_size(out->in_use[i].range) / 24 == out->nr_symbols)
			return NULL;
	return check_failed("symbols are not in use");
}

/* The last framebuffer tag of the block, or NULL. */
static const uint8_t *screen_tag(const uint8_t *block)
{
	const uint8_t *tag = block + 8, *found = NULL;

	for (; number(tag, 4) != 0; tag += (number(tag + 4, 4) + 7) / 8 * 8)
		if (number(tag, 4) == 8)
			found = tag;
	return found;
}

struct claim {
	uint64_t start, last;
	bool met;
};

static void meet_ram(void *context, uint64_t start, uint64_t length, uint32_t type)
{
	struct claim *claim = context;

	if (type == BOOT_RAM && length && start + length >= length)
		claim->met = claim->met || (start <= claim->last && start + length - 1 >= claim->start);
}

/* Whether the pixels can be had, of a tag that is whole: bit by bit and without a division. */
static MUST_USE bool pixels_can_be_had(const uint8_t *block, const uint8_t *tag)
{
	uint64_t at = number(tag + 8, 8), pitch = number(tag + 16, 4);
	uint64_t width = number(tag + 20, 4), height = number(tag + 24, 4);
	unsigned bits = (unsigned)number(tag + 28, 1);
	uint64_t bytes = bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 24 ? 3 : bits <= 32 ? 4 : 5;
	struct claim claim = {at, at + pitch * height - 1, false};

	for (const uint8_t *colour = tag + 32; colour < tag + 38; colour += 2)
		if (!colour[1] || colour[0] + colour[1] > (int)bytes * 8)
			return false;
	each_entry(block, meet_ram, &claim);
	return bytes >= 2 && bytes <= 4 && width && height && pitch >= width * bytes &&
	       pitch * height <= 1 << 30 && claim.last >= at && claim.last != UINT64_MAX && !claim.met;
}

static MUST_USE const char *check_screen(const uint8_t *block, const struct boot_info *out)
{
	const uint8_t *tag = screen_tag(block);
	uint64_t size = tag ? number(tag + 4, 4) : 0;
	bool text = size >= 32 && tag[29] == 2 && number(tag + 8, 8) == 0xb8000 &&
	            number(tag + 16, 4) == 160 && number(tag + 20, 4) == 80 && number(tag + 24, 4) >= 25;
	bool pixels = size >= 38 && tag[29] == 1 && pixels_can_be_had(block, tag);
	const struct boot_framebuffer *f = &out->framebuffer;

	CHECK(out->text_screen.raw == (text ? 0xb8000 : 0), "text screen at 0x%lx", out->text_screen.raw);
	CHECK(pixels == (prange_size(f->range) != 0), "a framebuffer of %lu bytes", prange_size(f->range));
	if (!pixels)
		return NULL;
	CHECK(f->range.start.raw == number(tag + 8, 8) && f->pitch == number(tag + 16, 4) &&
	              f->width == number(tag + 20, 4) && f->height == number(tag + 24, 4) &&
	              prange_size(f->range) == (uint64_t)f->pitch * f->height &&
	              f->pixel_bytes == (tag[28] + 7) / 8,
	      "the framebuffer is not the block's");
	CHECK(f->red.position == tag[32] && f->red.size == tag[33] && f->green.position == tag[34] &&
	              f->green.size == tag[35] && f->blue.position == tag[36] && f->blue.size == tag[37],
	      "the framebuffer's colours are not the block's");
	return NULL;
}

const char *handoff_model_check(const uint8_t *base, paddr_t info, uint64_t reachable,
                                const struct boot_info *out)
{
	struct comparison comparison = {.out = out};
	const char *broken = check_bounds(out);

	if (!broken)
		broken = check_in_use(out, reachable);
	if (broken)
		return broken;
	CHECK(is_in_use(out, info.raw, info.raw + number(base + info.raw, 4)),
	      "the block itself is not in use");
	broken = check_screen(base + info.raw, out);
	if (broken)
		return broken;
	each_entry(base + info.raw, compare_entry, &comparison);
	CHECK(!comparison.differs && comparison.next == out->nr_ranges,
	      "the ranges are not the block's: %zu against %zu", out->nr_ranges, comparison.next);
	return NULL;
}

static void claim_ram(void *model, uint64_t start, uint64_t length, uint32_t type)
{
	if (type == BOOT_RAM)
		interval_model_claim(model, INTERVAL_RAM, start, length);
}

static void claim_taken(void *model, uint64_t start, uint64_t length, uint32_t type)
{
	if (type != BOOT_RAM)
		interval_model_claim(model, INTERVAL_TAKEN, start, length);
}

void handoff_model_claims(const uint8_t *base, paddr_t info, const struct boot_info *out,
                          struct interval_model *model)
{
	interval_model_init(model);
	each_entry(base + info.raw, claim_ram, model);
	each_entry(base + info.raw, claim_taken, model);
	for (size_t i = 0; i < out->nr_in_use; i++)
		interval_model_claim(model, INTERVAL_USED, out->in_use[i].range.start.raw,
		                     prange_size(out->in_use[i].range));
}

void handoff_model_settle(const struct boot_info *out, struct memblock *mb)
{
	memblock_init(mb);
	for (size_t i = 0; i < out->nr_ranges; i++)
		if (out->ranges[i].type == BOOT_RAM)
			memblock_add(mb, out->ranges[i].range);
	for (size_t i = 0; i < out->nr_ranges; i++)
		if (out->ranges[i].type != BOOT_RAM)
			memblock_remove(mb, out->ranges[i].range);
	for (size_t i = 0; i < out->nr_in_use; i++)
		memblock_reserve(mb, out->in_use[i].range);
}

static MUST_USE const char *compare_around(const struct interval_model *model, const struct memblock *mb,
                                           uint64_t at)
{
	uint64_t page = min_u64(align_down(at, PAGE_SIZE), UINT64_MAX - 4 * PAGE_SIZE + 1);

	return interval_model_compare(model, mb, page >= PAGE_SIZE ? page - PAGE_SIZE : 0,
	                              page + 2 * PAGE_SIZE);
}

const char *handoff_model_compare(const struct interval_model *model, const struct memblock *mb)
{
	for (size_t i = 0; i < model->count; i++) {
		const char *broken = compare_around(model, mb, model->claims[i].start);
		if (!broken)
			broken = compare_around(model, mb, model->claims[i].last);
		if (broken)
			return broken;
	}
	return NULL;
}
