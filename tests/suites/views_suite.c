/*
 * The two views of the address space, read as a person would, and compared with what is really there: ptdump's lines
 * with the verifier's walk, which shares nothing with ptdump's, and with what a case has mapped itself; the picture of
 * the vmalloc window with areas in known places, and with the counts.
 */
#include <lib/align.h>
#include <lib/rng.h>
#include <mm/mm.h>
#include <mm/pagetable_check.h>
#include <mm/ptdump.h>
#include <mm/vmalloc.h>
#include <expected.h>
#include <remote.h>
#include <test/test.h>
#include "../../mm/mm_internal.h"
#include "../../mm/vmalloc_internal.h"
#include "failing_source.h"
#include "pagetable_model.h"

/* ---- Reading lines ------------------------------------------------------------------------------------------------ */

/* Hands on whole lines, so that a text may be longer than any buffer. */
struct line_reader {
	struct printer printer;
	void (*take)(const char *line);
	char line[256];
	size_t length;
};

static void read_text(struct printer *printer, const char *text, size_t length)
{
	struct line_reader *reader = container_of(printer, struct line_reader, printer);

	for (size_t i = 0; i < length; i++) {
		if (text[i] != '\n') {
			assert_at_most(reader->length + 2, sizeof(reader->line));
			reader->line[reader->length++] = text[i];
			continue;
		}
		reader->line[reader->length] = '\0';
		reader->length = 0;
		reader->take(reader->line);
	}
}

static struct printer *read_lines(void (*take)(const char *line))
{
	static struct line_reader reader;

	reader = (struct line_reader){.printer = {.write = read_text}, .take = take};
	return &reader.printer;
}

/* The next word, which ends at a blank or at `end`, into a static buffer; *text moves past it and its end. */
static const char *word(const char **text, char end)
{
	static char copy[32];
	size_t length = 0;

	while (**text == ' ')
		++*text;
	while (**text && **text != ' ' && **text != end) {
		assert_at_most(length + 2, sizeof(copy));
		copy[length++] = *(*text)++;
	}
	*text += **text != '\0';
	copy[length] = '\0';
	return copy;
}

static uint64_t number(const char **text, char end)
{
	uint64_t value;
	const char *digits = word(text, end);

	if (!parse_u64(digits, &value))
		fail_msg("\"%s\" is no number", digits);
	return value;
}

/* ---- ptdump ------------------------------------------------------------------------------------------------------- */

enum { LINES_MAX = 1024 };

struct dump_line {
	struct vrange va;
	uint64_t size;
	char leaf[4], access[4], type[4], global[8];
	bool scattered;
	uint64_t pa;
	char what[64];
};

/* A dump, as it was read. */
static struct {
	struct dump_line lines[LINES_MAX], write_exec[8];
	size_t nr_lines, nr_write_exec, nr_headings;
	char headings[8][32], leaves[96], verdict[32];
} dump;

static void copy_word(char *to, size_t capacity, const char **text)
{
	format_buffer(to, capacity, "%s", word(text, ' '));
}

static void read_range(const char *text, struct dump_line *line)
{
	line->va.start.raw = number(&text, '-');
	line->va.end.raw = number(&text, ' ');
	line->size = number(&text, ' ');
	copy_word(line->leaf, sizeof(line->leaf), &text);
	copy_word(line->access, sizeof(line->access), &text);
	copy_word(line->type, sizeof(line->type), &text);
	copy_word(line->global, sizeof(line->global), &text);
	const char *where = word(&text, ' ');
	line->scattered = strcmp(where, "scattered") == 0;
	if (!line->scattered)
		assert_true(parse_u64(where, &line->pa));
	while (*text == ' ')
		text++;
	format_buffer(line->what, sizeof(line->what), "%s", text);
}

static void take_dump_line(const char *line)
{
	if (strncmp(line, "0x", 2) == 0) {
		assert_at_most(dump.nr_lines + 1, ARRAY_SIZE(dump.lines));
		read_range(line, &dump.lines[dump.nr_lines++]);
	} else if (strncmp(line, "W+X: 0x", 7) == 0) {
		assert_at_most(dump.nr_write_exec + 1, ARRAY_SIZE(dump.write_exec));
		read_range(line + 5, &dump.write_exec[dump.nr_write_exec++]);
	} else if (strncmp(line, "leaves: ", 8) == 0) {
		format_buffer(dump.leaves, sizeof(dump.leaves), "%s", line);
	} else if (strncmp(line, "---[ ", 5) == 0) {
		assert_at_most(dump.nr_headings + 1, ARRAY_SIZE(dump.headings));
		format_buffer(dump.headings[dump.nr_headings++], sizeof(dump.headings[0]), "%s", line);
	} else {
		format_buffer(dump.verdict, sizeof(dump.verdict), "%s", line);
	}
}

static void read_dump(struct pagetable *pt)
{
	memset(&dump, 0, sizeof(dump));
	ptdump(pt, read_lines(take_dump_line));
}

/* The walk of the verifier and the lines, side by side. */
static struct {
	size_t line;     /* the one that holds the next mapping */
	uint64_t next;   /* up to here it was mapped; 0: nothing of it yet */
	size_t mappings; /* in it */
	size_t leaves[PT_LEAF_LEVELS + 1];
} beside;

static void assert_line_is_like(const struct dump_line *line, const struct mapping *m, uint64_t at)
{
	static const char *const leaf[] = {"?", "4K", "2M", "1G"};

	assert_string_equal(line->leaf, leaf[m->level]);
	assert_string_equal(line->access, pgprot_access(m->prot));
	assert_string_equal(line->type, pgprot_memory_type(m->prot));
	assert_string_equal(line->global, m->prot.raw & PTE_GLOBAL ? "global" : "local");
	if (!line->scattered)
		assert_int_equal(line->pa + (at - line->va.start.raw), m->pa.raw + (at - m->va.start.raw));
}

static bool find_in_lines(const struct mapping *m, void *context)
{
	(void)context;
	beside.leaves[m->level] += vrange_size(m->va) / pt_level_size(m->level);
	for (uint64_t at = m->va.start.raw; at < m->va.end.raw;) {
		assert_at_most(beside.line + 1, dump.nr_lines);
		const struct dump_line *line = &dump.lines[beside.line];
		assert_int_equal(at, beside.next ? beside.next : line->va.start.raw);
		assert_line_is_like(line, m, at);
		beside.mappings++;
		beside.next = at = min_u64(m->va.end.raw, line->va.end.raw);
		if (at < line->va.end.raw)
			continue;
		assert_int_equal(line->scattered, beside.mappings > 1);
		beside.line++;
		beside.next = beside.mappings = 0;
	}
	return true;
}

static void assert_joined(const struct dump_line *a, const struct dump_line *b)
{
	assert_at_most(a->va.end.raw, b->va.start.raw);
	if (a->va.end.raw < b->va.start.raw)
		return;
	const char *const pairs[][2] = {
	        {a->leaf, b->leaf},     {a->access, b->access}, {a->type, b->type},
	        {a->global, b->global}, {a->what, b->what},
	};
	bool differ = false;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		differ |= strcmp(pairs[i][0], pairs[i][1]) != 0;
	assert_true(differ);
}

/* Each byte that is mapped is in one line that tells the truth of it, no line holds anything else, and none is too short. */
static void assert_dump_is_true(struct pagetable *pt)
{
	read_dump(pt);
	memset(&beside, 0, sizeof(beside));
	address_space_walk(pt->root, pt->levels, find_in_lines, NULL);
	assert_int_equal(beside.line, dump.nr_lines);
	for (size_t i = 0; i < dump.nr_lines; i++) {
		assert_int_equal(dump.lines[i].size, vrange_size(dump.lines[i].va));
		if (i)
			assert_joined(&dump.lines[i - 1], &dump.lines[i]);
	}
	assert_string_equal(dump.leaves,
	                    expected("leaves: %zu of 4K, %zu of 2M, %zu of 1G; tables: %zu", beside.leaves[1],
	                             beside.leaves[2], beside.leaves[3], pt->nr_tables));
}

static void ptdump_shows_every_mapping_of_the_kernel_once(void)
{
	void *areas[20];

	need_window(16UL << 20, "takes areas of 10 MiB");
	assert_dump_is_true(&kernel_pagetable);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		areas[i] = vmalloc((i * i + 1) * PAGE_SIZE);
		assert_non_null(areas[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(areas); i += 3)
		vfree(areas[i]);
	assert_dump_is_true(&kernel_pagetable);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		if (i % 3)
			vfree(areas[i]);
}

static size_t headings_like(const char *heading)
{
	size_t count = 0;

	for (size_t i = 0; i < dump.nr_headings; i++)
		count += strcmp(dump.headings[i], heading) == 0;
	return count;
}

static void nothing_of_the_kernel_is_writable_and_executable(void)
{
	void *area = vmalloc(1);

	read_dump(&kernel_pagetable);
	assert_string_equal(dump.verdict, "W+X: none");
	assert_int_equal(dump.nr_write_exec, 0);
	for (size_t i = 0; i < dump.nr_lines; i++)
		assert_true(strcmp(dump.lines[i].access, "rwx"));
	vfree(area);
	assert_int_equal(headings_like("---[ direct map ]---"), 1);
	assert_int_equal(headings_like("---[ frame array ]---"), 1);
	assert_int_equal(headings_like("---[ vmalloc window ]---"), 1);
	assert_int_equal(headings_like("---[ kernel image ]---"), 1);
}

/* The only line that begins at an address. */
static const struct dump_line *line_at(uint64_t address)
{
	const struct dump_line *found = NULL;

	for (size_t i = 0; i < dump.nr_lines; i++) {
		if (dump.lines[i].va.start.raw != address)
			continue;
		assert_null(found);
		found = &dump.lines[i];
	}
	if (!found)
		fail_msg("no line begins at 0x%lx", address);
	return found;
}

static void assert_line(const void *start, size_t size, const char *leaf, const char *access,
                        const char *type, const char *what)
{
	const struct dump_line *line = line_at((uintptr_t)start);

	assert_int_equal(vrange_size(line->va), size);
	assert_string_equal(line->leaf, leaf);
	assert_string_equal(line->access, access);
	assert_string_equal(line->type, type);
	assert_string_equal(line->global, "global");
	assert_matches(line->what, what);
}

static void *take_at(size_t page, size_t pages, unsigned long flags)
{
	uintptr_t start = remote() + page * PAGE_SIZE;
	size_t guard = flags & VM_NO_GUARD ? 0 : PAGE_SIZE;
	void *area = __vmalloc_node_range(pages * PAGE_SIZE, 1, start, start + pages * PAGE_SIZE + guard,
	                                  GFP_KERNEL, PAGE_KERNEL, flags, NUMA_NO_NODE, SOMEWHERE);
	assert_ptr_equal(area, start);
	return area;
}

static void ptdump_says_how_an_area_is_mapped_and_for_whom(void)
{
	struct page *pages[2];

	need_window(16UL << 20, "maps a device of more than 2 MiB");
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 2, pages), 2);
	char *owned = take_at(0, 5, 0), *low = take_at(6, 1, VM_NO_GUARD), *high = take_at(7, 2, 0);
	char *shown = vmap(pages, 2, VM_MAP, PAGE_KERNEL_RO),
	     *device = ioremap(no_ram(), PMD_SIZE + PAGE_SIZE);
	assert_true(shown && device);
	read_dump(&kernel_pagetable);
	assert_line(owned, 5 * PAGE_SIZE, "4K", "rw-", "WB", "vmalloc from 0xffffffff80001234");
	assert_line(low, PAGE_SIZE, "4K", "rw-", "WB",
	            "vmalloc from 0xffffffff80001234"); /* touches the next */
	assert_line(high, 2 * PAGE_SIZE, "4K", "rw-", "WB", "vmalloc from 0xffffffff80001234");
	assert_line(shown, 2 * PAGE_SIZE, "4K", "r--", "WB", "vmap from 0x*");
	assert_line(device, PMD_SIZE, "2M", "rw-", "UC-", "ioremap from 0x*");
	assert_line(device + PMD_SIZE, PAGE_SIZE, "4K", "rw-", "UC-", "ioremap from 0x*");
	assert_int_equal(line_at((uintptr_t)device)->pa, no_ram());
	for (size_t i = 0; i < mm_state.nr_image; i++) {
		const struct mm_segment *segment = &mm_state.image[i];
		const struct dump_line *line = line_at(segment->va.start.raw);
		assert_string_equal(line->what, segment->name);
		assert_int_equal(line->va.end.raw, segment->va.end.raw);
		assert_int_equal(line->pa, segment->pa.raw);
	}
	iounmap(device);
	vunmap(shown);
	vfree(owned);
	vfree(low);
	vfree(high);
	free_pages_bulk(2, pages);
}

/* ---- ptdump of a table of one's own ---- */

#define BASE   0xffffc00000000000UL
#define MEMORY 0x0000010000000000UL /* physical, invented */

static struct failing_source source;
static struct pagetable pt;

static void begin_private_table(unsigned levels)
{
	failing_source_init(&source);
	assert_true(pagetable_init(&pt, &source.source, levels));
}

static void end_private_table(void)
{
	pagetable_destroy(&pt);
	assert_int_equal(source.held, 0);
}

static void change_and_dump(unsigned levels)
{
	static const pgprot_t prots[] = {
	        {PAGE_KERNEL_BITS | PTE_WRITE | PTE_NO_EXEC},
	        {PAGE_KERNEL_BITS},
	        {(PAGE_KERNEL_BITS | PTE_NO_EXEC | PTE_NO_CACHE) & ~PTE_GLOBAL},
	};
	/* Around a border of 512 GiB; in the lower half, where it begins too; high up; and where 48 bits do not reach. */
	static const uint64_t places[] = {BASE,
	                                  BASE - PMD_SIZE,
	                                  0x40000000,
	                                  0,
	                                  0xffffffffc0000000,
	                                  0xff00000000000000,
	                                  0xff91000000000000 - PMD_SIZE,
	                                  0x0001000000000000 - PMD_SIZE};
	struct rng rng;

	rng_seed(&rng, test_seed());
	begin_private_table(levels);
	assert_dump_is_true(&pt); /* empty */
	for (unsigned step = 0; step < 200; step++) {
		test_step(step);
		uint64_t pages = 1 + rng_below(&rng, rng_below(&rng, 2) ? 8 : 1024);
		uint64_t first = rng_below(&rng, 1024);
		vaddr_t va = vaddr(places[rng_below(&rng, ARRAY_SIZE(places) - (levels == 4 ? 3 : 0))] +
		                   (first << PAGE_SHIFT));
		struct vrange range = vrange_sized(va, pages << PAGE_SHIFT);
		pgprot_t prot = prots[rng_below(&rng, ARRAY_SIZE(prots))];
		assert_true(pagetable_unmap(&pt, range, NULL));
		if (rng_below(&rng, 3))
			assert_true(pagetable_map(
			        &pt, range,
			        paddr(MEMORY + (rng_below(&rng, 3) << PMD_SHIFT) + (first << PAGE_SHIFT)),
			        prot, 1 + (unsigned)rng_below(&rng, 3)));
		assert_dump_is_true(&pt);
		assert_string_equal(dump.verdict, "W+X: none");
	}
	end_private_table();
}

static void ptdump_agrees_with_the_verifiers_walk_after_each_of_many_changes(void)
{
	for (unsigned levels = PT_LEVELS_MIN; levels <= PT_LEVELS_MAX; levels++)
		change_and_dump(levels);
}

static void ptdump_joins_pages_from_anywhere_and_then_tells_no_physical_address(void)
{
	begin_private_table(4);
	assert_true(pagetable_map(&pt, vrange_sized(vaddr(BASE), PAGE_SIZE), paddr(MEMORY), PAGE_KERNEL, 1));
	assert_true(pagetable_map(&pt, vrange_sized(vaddr(BASE + PAGE_SIZE), PUD_SIZE),
	                          paddr(MEMORY + PUD_SIZE), PAGE_KERNEL, 1));
	read_dump(&pt);
	assert_int_equal(dump.nr_lines, 1);
	assert_int_equal(dump.lines[0].va.start.raw, BASE);
	assert_int_equal(dump.lines[0].size, PUD_SIZE + PAGE_SIZE);
	assert_true(dump.lines[0].scattered);
	assert_int_equal(dump.nr_headings, 0); /* not the kernel's table: nobody knows what it is for */
	end_private_table();
}

/* Nothing in mm/ can map this, so it is written into the entries. */
static void ptdump_lists_at_its_end_what_is_writable_and_executable(void)
{
	begin_private_table(4);
	assert_true(
	        pagetable_map(&pt, vrange_sized(vaddr(BASE), 4 * PAGE_SIZE), paddr(MEMORY), PAGE_KERNEL, 1));
	assert_true(pagetable_map(&pt, vrange_sized(vaddr(BASE + PUD_SIZE), PUD_SIZE), paddr(MEMORY),
	                          PAGE_KERNEL, 3));
	pagetable_entry(&pt, vaddr(BASE + PAGE_SIZE), 1)->raw &= ~PTE_NO_EXEC;
	pagetable_entry(&pt, vaddr(BASE + 2 * PAGE_SIZE), 1)->raw &= ~PTE_NO_EXEC;
	pagetable_entry(&pt, vaddr(BASE + PUD_SIZE), 3)->raw &= ~PTE_NO_EXEC;
	assert_dump_is_true(&pt);
	end_private_table();
	assert_int_equal(dump.nr_lines, 4);
	assert_string_equal(dump.verdict, "");
	assert_int_equal(dump.nr_write_exec, 2);
	assert_int_equal(dump.write_exec[0].va.start.raw, BASE + PAGE_SIZE);
	assert_int_equal(dump.write_exec[0].va.end.raw, BASE + 3 * PAGE_SIZE);
	assert_string_equal(dump.write_exec[0].access, "rwx");
	assert_int_equal(dump.write_exec[1].va.start.raw, BASE + PUD_SIZE);
	assert_int_equal(dump.write_exec[1].size, PUD_SIZE);
}

/* ---- The picture -------------------------------------------------------------------------------------------------- */

/* A picture, as it was read: its first line, and the rows without their addresses. */
static struct {
	char about[128], cells[1024 + 1];
	uint64_t start, row_bytes; /* the first row's address; what a full row spans */
	size_t nr_cells, rows;
} picture;

static void take_picture_line(const char *line)
{
	if (strncmp(line, "0x", 2) != 0) {
		format_buffer(picture.about, sizeof(picture.about), "%s", line);
		return;
	}
	uint64_t address = number(&line, ' ');
	if (!picture.rows)
		picture.start = address;
	assert_int_equal(address, picture.start + picture.rows++ * picture.row_bytes);
	for (; *line; line++) {
		assert_at_most(picture.nr_cells + 2, sizeof(picture.cells));
		picture.cells[picture.nr_cells++] = *line;
	}
}

static void read_picture(uint64_t start, uint64_t pages, size_t pages_per_cell)
{
	memset(&picture, 0, sizeof(picture));
	picture.row_bytes = (64 * pages_per_cell) << PAGE_SHIFT;
	vmalloc_picture(vrange_sized(vaddr(start), pages << PAGE_SHIFT), read_lines(take_picture_line));
	assert_matches(picture.about, expected("%zu page*", pages_per_cell));
	assert_int_equal(picture.start, start);
	assert_int_equal(picture.nr_cells, (pages + pages_per_cell - 1) / pages_per_cell);
}

/* Frees areas until one that was freed is flushed, and kept by this CPU: it was the first to be freed. */
static void free_to_become_spare(void *area)
{
	vm_unmap_aliases();
	vfree(area);
	while (va_space_find(&vmalloc_state.space, (uintptr_t)area)->flags & VM_LAZY) {
		void *other = vmalloc(1);
		assert_non_null(other);
		vfree(other);
	}
}

static void the_picture_shows_each_page_as_what_it_is(void)
{
	need_window(4 * PGD_SIZE, "draws 256 MiB away from other areas");
	char *first = take_at(0, 1, 0), *spare = take_at(2, 1, 0);

	free_to_become_spare(spare);
	char *second = take_at(4, 1, 0), *lazy = take_at(6, 2, 0);
	char *bare = take_at(11, 1, VM_NO_GUARD), *last = take_at(13, 1, 0);
	vfree(lazy);

	read_picture(remote(), 16, 1);
	assert_string_equal(picture.cells, "#|ss#|~~~..#.#|.");
	/* Two pages a character: the pairs of the row above, and those that lie across. */
	read_picture(remote(), 2048, 2);
	picture.cells[9] = '\0';
	assert_string_equal(picture.cells, "#s#~~##|.");
	read_picture(remote() + PAGE_SIZE, 2048, 2);
	picture.cells[8] = '\0';
	assert_string_equal(picture.cells, "s#~~.##.");
	/* All of it in one character: what waits for its flush wins. */
	read_picture(remote(), 64UL << 10, 64);
	picture.cells[2] = '\0';
	assert_string_equal(picture.cells, "~.");

	vm_unmap_aliases();
	read_picture(remote(), 16, 1);
	assert_string_equal(picture.cells, "#|..#|.....#.#|.");
	vfree(first);
	vfree(second);
	vfree(bare);
	vfree(last);
	vm_unmap_aliases();
}

static size_t count(char kind)
{
	size_t cells = 0;

	for (size_t i = 0; i < picture.nr_cells; i++)
		cells += picture.cells[i] == kind;
	return cells;
}

/* What is mapped is in use; the other way round not: areas are made before they are filled, if ever. */
static void assert_mapped_pages_are_busy(void)
{
	struct translation translation;

	for (size_t i = 0; i < picture.nr_cells; i++) {
		if (pagetable_lookup(&kernel_pagetable, vaddr(picture.start + (i << PAGE_SHIFT)),
		                     &translation))
			assert_int_equal(picture.cells[i], '#');
	}
}

static void the_pictures_characters_add_up_to_the_counts(void)
{
	enum { AREAS = 100, SLICE = 1024 };
	static void *areas[AREAS];
	size_t used = 0, kept = 0, free = 0;
	struct rng rng;

	need_window(16UL << 20, "takes areas of up to 8 MiB");
	rng_seed(&rng, test_seed());
	for (size_t i = 0; i < AREAS; i++) {
		areas[i] = vmalloc((1 + rng_below(&rng, 20)) * PAGE_SIZE);
		assert_non_null(areas[i]);
	}
	for (size_t i = 0; i < AREAS; i++) {
		if (i < AREAS - 1 && rng_below(&rng, 4)) {
			vfree(areas[i]);
			areas[i] = NULL;
		}
	}
	struct vrange all = vmalloc_used_range();
	for (uint64_t at = all.start.raw; at < all.end.raw; at += SLICE * PAGE_SIZE) {
		read_picture(at, min_u64(SLICE, (all.end.raw - at) >> PAGE_SHIFT), 1);
		used += count('#') + count('|');
		kept += count('~') + count('s');
		free += count('.');
		assert_mapped_pages_are_busy();
	}
	struct vmalloc_stats stats = vmalloc_stats();
	for (size_t i = 0; i < AREAS; i++)
		vfree(areas[i]);
	assert_int_equal(used, stats.used_bytes >> PAGE_SHIFT);
	assert_int_equal(kept, stats.kept_bytes >> PAGE_SHIFT);
	assert_int_equal(used + kept + free, vrange_size(all) >> PAGE_SHIFT);
	assert_at_least(kept, 1);
}

static void the_picture_is_cut_to_the_window(void)
{
	static char text[128];
	struct buffer_printer out;

	need_window(4UL << 20, "draws 1,024 characters");
	buffer_printer_init(&out, text, sizeof(text));
	vmalloc_picture(vrange(VMALLOC_END, VMALLOC_END + PAGE_SIZE), &out.printer);
	assert_string_equal(text, "nothing of the vmalloc window\n");
	memset(&picture, 0, sizeof(picture));
	picture.row_bytes = (VMALLOC_END - VMALLOC_START) / 16;
	vmalloc_picture(vrange(0, UINT64_MAX), read_lines(take_picture_line));
	assert_int_equal(picture.start, VMALLOC_START);
	assert_int_equal(picture.nr_cells, 1024);
	assert_int_equal(picture.rows, 16);
	memset(&picture, 0, sizeof(picture));
	vmalloc_picture(vrange(remote() + 1, remote() + 2), read_lines(take_picture_line));
	assert_int_equal(picture.start, remote());
	assert_string_equal(picture.cells, ".");
}

static const struct test_case cases[] = {
        TEST_CASE(ptdump_shows_every_mapping_of_the_kernel_once),
        TEST_CASE(nothing_of_the_kernel_is_writable_and_executable),
        TEST_CASE(ptdump_says_how_an_area_is_mapped_and_for_whom),
        TEST_CASE(ptdump_agrees_with_the_verifiers_walk_after_each_of_many_changes),
        TEST_CASE(ptdump_joins_pages_from_anywhere_and_then_tells_no_physical_address),
        TEST_CASE(ptdump_lists_at_its_end_what_is_writable_and_executable),
        TEST_CASE(the_picture_shows_each_page_as_what_it_is),
        TEST_CASE(the_pictures_characters_add_up_to_the_counts),
        TEST_CASE(the_picture_is_cut_to_the_window),
};

extern const struct test_suite views_suite;
const struct test_suite views_suite = TEST_SUITE("views", cases);
