/*
 * The address space in words.
 *
 * Ranges are made in three steps:
 *
 *	find    leaves of one table that continue each other     the table's lock; at most a table a level
 *	cut     where a part of the address space ends: a        the vmalloc lock; one lookup a part
 *	        window, an area, an image segment
 *	join    what touches and is alike within one part        no lock; prints
 *
 * D1  Every byte that is mapped lies in exactly one line.
 * D2  A line has one protection, one leaf size, and lies in one part. Two lines that touch differ in one of them.
 * D3  A line tells a physical address if and only if its bytes are as contiguous there.
 *
 * Lines join frames from anywhere, or each page of a vmalloc area would be one: there the address is left out.
 *
 * While other CPUs map and unmap. A table is cut off and given back under the table's lock. Each step takes it anew,
 * begins at the root and remembers no table when it lets go, only the address it has come to. So it reads tables alone;
 * and because the address only rises, it ends. What it has read may have changed when it is printed.
 *
 * The walk shares nothing with pagetable_check.c's, so that each can be the other's test. Tables that are broken are that
 * one's business: this one believes them.
 */
#include <mm/ptdump.h>
#include <arch/directmap.h>
#include <lib/printer.h>
#include "mm_internal.h"
#include "vmalloc_internal.h"

static const char *const leaf_names[PT_LEVELS_MAX + 1] = {"", "4K", "2M", "1G", "512G", "256T"};

/* What lies side by side and is alike. */
struct run {
	struct vrange va; /* empty: nothing */
	paddr_t pa;       /* of its first byte */
	pgprot_t prot;
	unsigned level;
	bool scattered; /* D3: not contiguous in physical memory. Never while it is in one table */
};

/* Addresses for which `what`, the words behind a line, is the same; under one heading. */
struct part {
	struct vrange va;
	const char *heading, *what;
	const void *caller; /* who asked for it; NULL: nobody in particular */
};

struct dump {
	struct pagetable *pt;
	struct printer *out;
	bool wx_only; /* the second round, which prints only what the first has counted in nr_wx */
	size_t nr_wx;
	size_t leaves[PT_LEVELS_MAX + 1];
	const char *heading; /* the last printed */
	struct part part;    /* where we are; contains `line` */
	struct run line;     /* not yet printed: may become longer */
};

/* ---- Find ---- */

/* Where the walk is: an address without the bits that only repeat, so that the end is a number like any other. */
static uint64_t walk_end(const struct pagetable *pt)
{
	return 1ULL << pt_address_bits(pt->levels);
}

static vaddr_t walk_address(const struct pagetable *pt, uint64_t at)
{
	uint64_t end = walk_end(pt);
	return vaddr(at & end >> 1 ? at | ~(end - 1) : at);
}

/* The leaves from entries[first] on that continue it, up to the table's end. pre: that one is a leaf, for `start` */
static struct run leaves_from(const pte_t *entries, unsigned first, unsigned level, vaddr_t start)
{
	uint64_t size = pt_level_size(level);
	struct run run = {
	        .va = vrange_sized(start, size),
	        .pa = pte_leaf_paddr(entries[first], level),
	        .prot = pte_leaf_prot(entries[first], level),
	        .level = level,
	};

	for (unsigned i = first + 1; i < PT_ENTRIES; i++) {
		pte_t e = entries[i];
		if (!pte_present(e) || !pte_is_leaf(e, level) ||
		    pte_leaf_prot(e, level).raw != run.prot.raw ||
		    pte_leaf_paddr(e, level).raw != run.pa.raw + vrange_size(run.va))
			break;
		run.va.end.raw += size;
	}
	return run;
}

/* The first leaves from *at on, or nothing if one table a level shows none. Moves *at past what it saw. */
static struct run find_leaves(const struct pagetable *pt, uint64_t *at)
{
	paddr_t table = pt->root;

	/* Invariant: `table`, of this level, holds the entry that translates *at, and nothing is missed below *at. */
	for (unsigned level = pt->levels;; level--) {
		const pte_t *entries = paddr_to_directmap(table);
		uint64_t size = pt_level_size(level);
		unsigned i = pt_index(vaddr(*at), level);
		for (; i < PT_ENTRIES && !pte_present(entries[i]); i++)
			*at = align_down(*at, size) + size;
		if (i == PT_ENTRIES)
			return (struct run){.va = {{*at}, {*at}}};
		if (pte_is_leaf(entries[i], level)) {
			uint64_t start = align_down(*at, size), seen = *at - start;
			struct run run = leaves_from(entries, i, level, walk_address(pt, start));
			*at = start + vrange_size(run.va);
			run.va.start.raw +=
			        seen; /* of what was small leaves and has become a large one meanwhile */
			run.pa.raw += seen;
			return run;
		}
		table = pte_table_paddr(entries[i]);
	}
}

/* ---- Cut ---- */

/* What is mapped beside areas and segments is a mistake, which mm_verify() reports; here it is shown. */
static void narrow_to_area(struct part *part, vaddr_t address)
{
	struct vmap_area area;

	if (!vmap_area_copy(address.raw, &area))
		return;
	if (area.va_start > address.raw) {
		part->va.end.raw = area.va_start;
		return;
	}
	part->va = vrange(area.va_start, area.va_end);
	part->what = area_kind(&area);
	part->caller = area_caller(&area);
}

static void narrow_to_segment(struct part *part, vaddr_t address)
{
	for (size_t i = 0; i < mm_state.nr_image; i++) {
		const struct mm_segment *segment = &mm_state.image[i];
		if (vrange_contains(segment->va, address)) {
			part->va = segment->va;
			part->what = segment->name;
			return;
		}
		if (segment->va.start.raw > address.raw)
			part->va.end.raw = min_u64(part->va.end.raw, segment->va.start.raw);
	}
}

/* The part that `address` lies in, or what is left of it from there on. */
static struct part kernel_part(vaddr_t address)
{
	const struct vrange image = vrange(KIMAGE_BASE, UINT64_MAX);
	const struct part windows[] = {
	        {vrange(DIRECTMAP_BASE, DIRECTMAP_BASE + DIRECTMAP_SIZE), "direct map", "direct map", NULL},
	        {vrange(FRAMES_BASE, FRAMES_BASE + page_array_end().raw * sizeof(struct page)), "frame array",
	         "frame array", NULL},
	        {mm_state.vmalloc, "vmalloc window", "in no area", NULL},
	        {image, "kernel image", "in no segment", NULL},
	};
	struct part part = {{address, image.end}, "elsewhere", "in no window of the kernel", NULL};

	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		if (vrange_contains(windows[i].va, address)) {
			part = windows[i];
			part.va.start = address;
			break;
		}
		if (windows[i].va.start.raw > address.raw)
			part.va.end.raw = min_u64(part.va.end.raw, windows[i].va.start.raw);
	}
	if (vrange_contains(mm_state.vmalloc, address))
		narrow_to_area(&part, address);
	else if (vrange_contains(image, address))
		narrow_to_segment(&part, address);
	return part;
}

/* Of a table that is not the kernel's nothing is known but what it maps. */
static struct part part_at(const struct pagetable *pt, vaddr_t address)
{
	if (pt == &kernel_pagetable)
		return kernel_part(address);
	return (struct part){.va = vrange(0, UINT64_MAX)};
}

/* ---- Join ---- */

/* In the largest unit that it is a multiple of. */
static void print_size(struct printer *out, uint64_t bytes)
{
	static const char units[] = {'K', 'M', 'G'};
	uint64_t size = bytes >> 10;
	unsigned unit = 0;

	while (!(size & 1023) && unit < ARRAY_SIZE(units) - 1) {
		size >>= 10;
		unit++;
	}
	print(out, " %8lu%c", size, units[unit]);
}

static void print_heading(struct dump *dump)
{
	if (dump->heading == dump->part.heading)
		return;
	dump->heading = dump->part.heading;
	print(dump->out, "---[ %s ]---\n", dump->heading);
}

static void print_line(const struct dump *dump, const struct run *line)
{
	struct printer *out = dump->out;

	print(out, "0x%016lx-0x%016lx", line->va.start.raw, line->va.end.raw);
	print_size(out, vrange_size(line->va));
	print(out, " %-2s %s %-3s %-6s", leaf_names[line->level], pgprot_access(line->prot),
	      pgprot_memory_type(line->prot), line->prot.raw & PTE_GLOBAL ? "global" : "local");
	if (line->scattered)
		print(out, " %-14s", "scattered");
	else
		print(out, " 0x%012lx", line->pa.raw);
	if (dump->part.what)
		print(out, " %s", dump->part.what);
	if (dump->part.caller)
		print(out, " from %pS", dump->part.caller);
	print(out, "\n");
}

static void end_line(struct dump *dump)
{
	struct run line = dump->line;

	dump->line.va.end = dump->line.va.start;
	if (!vrange_size(line.va))
		return;
	if (dump->wx_only) {
		if (!pgprot_is_write_exec(line.prot))
			return;
		print(dump->out, "W+X: ");
	} else {
		dump->nr_wx += pgprot_is_write_exec(line.prot);
		print_heading(dump);
	}
	print_line(dump, &line);
}

/* D2 */
static bool joins(const struct run *line, const struct run *next)
{
	return vrange_size(line->va) && line->va.end.raw == next->va.start.raw &&
	       line->level == next->level && line->prot.raw == next->prot.raw;
}

/* `piece` lies in dump->part, as the line does. */
static void add_piece(struct dump *dump, const struct run *piece)
{
	struct run *line = &dump->line;

	if (!joins(line, piece)) {
		end_line(dump);
		*line = *piece;
		return;
	}
	line->scattered |= piece->pa.raw != line->pa.raw + vrange_size(line->va);
	line->va.end = piece->va.end;
}

static void add_run(struct dump *dump, struct run run)
{
	while (vrange_size(run.va)) {
		if (!vrange_contains(dump->part.va, run.va.start)) {
			end_line(dump);
			dump->part = part_at(dump->pt, run.va.start);
		}
		struct run piece = run;
		piece.va.end.raw = min_u64(run.va.end.raw, dump->part.va.end.raw);
		add_piece(dump, &piece);
		run.pa.raw += vrange_size(piece.va);
		run.va.start = piece.va.end;
	}
}

/* ---- The whole ---- */

static void dump_ranges(struct dump *dump)
{
	uint64_t at = 0;

	while (at < walk_end(dump->pt)) {
		irqflags_t flags = spin_lock_irqsave(&dump->pt->lock);
		struct run run = find_leaves(dump->pt, &at);
		spin_unlock_irqrestore(&dump->pt->lock, flags);
		if (!vrange_size(run.va))
			continue;
		dump->leaves[run.level] += vrange_size(run.va) / pt_level_size(run.level);
		add_run(dump, run);
	}
	end_line(dump);
}

static size_t count_tables(struct pagetable *pt)
{
	irqflags_t flags = spin_lock_irqsave(&pt->lock);
	size_t tables = pt->nr_tables;
	spin_unlock_irqrestore(&pt->lock, flags);
	return tables;
}

void ptdump(struct pagetable *pt, struct printer *out)
{
	struct dump dump = {.pt = pt, .out = out};

	dump_ranges(&dump);
	print(out, "leaves: %zu of 4K, %zu of 2M, %zu of 1G; tables: %zu\n", dump.leaves[1], dump.leaves[2],
	      dump.leaves[3], count_tables(pt));
	if (!dump.nr_wx) {
		print(out, "W+X: none\n");
		return;
	}
	struct dump again = {.pt = pt, .out = out, .wx_only = true};
	dump_ranges(&again);
}
