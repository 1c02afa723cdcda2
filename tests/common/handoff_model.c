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
