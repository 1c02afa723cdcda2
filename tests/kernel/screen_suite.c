/* Text in pixels: on screens of one's own, in ordinary memory; and on the machine's, where it has one. */
#include <arch/cpu.h>
#include <arch/pte.h>
#include <kernel/font.h>
#include <kernel/screen.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <test/test.h>

static const struct boot_colour eight[] = {{16, 8}, {8, 8}, {0, 8}};
static const struct boot_colour five[] = {{11, 5}, {5, 6}, {0, 5}};

static struct screen own;
static uint8_t *memory;

static void begin_screen(unsigned width, unsigned height, unsigned bytes, const struct boot_colour *colours)
{
	uint32_t pitch = width * bytes + 12; /* lines need not touch */
	struct boot_framebuffer format = {
	        .range = prange(0x80000000, 0x80000000 + (uint64_t)pitch * height),
	        .pitch = pitch,
	        .width = width,
	        .height = height,
	        .pixel_bytes = (uint8_t)bytes,
	        .red = colours[0],
	        .green = colours[1],
	        .blue = colours[2],
	};

	screen_init(&own, &format);
	memory = vmalloc(prange_size(format.range));
	assert_non_null(memory);
	memset(memory, 0x5a, prange_size(format.range));
}

static void end_screen(void)
{
	vfree(memory);
}

static void write(const char *text)
{
	screen_write(&own, text, strlen(text));
}

/* What S1 says, pixel by pixel. */
static uint32_t pixel_by_rule(const struct screen *s, unsigned x, unsigned y)
{
	unsigned column = x / s->scale / FONT_WIDTH, row = y / s->scale / FONT_HEIGHT;

	if (column >= s->columns || row >= s->rows)
		return 0;
	uint8_t drawn = font_row(s->cells[row][column], y / s->scale % FONT_HEIGHT);
	return drawn << (x / s->scale % FONT_WIDTH) & 0x80 ? s->ink : 0;
}

static void expect_lines(const struct screen *s, unsigned from, unsigned to)
{
	for (unsigned y = from; y < to; y++) {
		const volatile uint8_t *at = s->pixels + (size_t)y * s->format.pitch;
		for (unsigned x = 0; x < s->format.width; x++) {
			uint32_t pixel = 0;
			for (unsigned i = 0; i < s->format.pixel_bytes; i++)
				pixel |= (uint32_t)*at++ << 8 * i;
			if (pixel != pixel_by_rule(s, x, y))
				fail_msg("pixel 0x%x at %u, %u, not 0x%x", pixel, x, y,
				         pixel_by_rule(s, x, y));
		}
	}
}

static void expect_pixels(void)
{
	expect_lines(&own, 0, own.format.height);
}

static void expect_row(unsigned row, const char *text)
{
	char found[SCREEN_COLUMNS_MAX + 1];
	size_t length = own.columns;

	memcpy(found, own.cells[row], length);
	while (length && found[length - 1] == ' ')
		length--;
	found[length] = '\0';
	assert_string_equal(found, text);
}

/* ---- the font ---- */

static void no_two_characters_look_the_same(void)
{
	static uint8_t drawn[256][FONT_HEIGHT];

	for (unsigned c = 0; c < 256; c++)
		for (unsigned y = 0; y < FONT_HEIGHT; y++)
			drawn[c][y] = font_row((char)c, y);
	for (unsigned a = ' '; a <= '~' + 1; a++)
		for (unsigned b = ' '; b < a; b++)
			if (memcmp(drawn[a], drawn[b], FONT_HEIGHT) == 0)
				fail_msg("characters %u and %u look the same", a, b);
	for (unsigned c = 0; c < 256; c++)
		if (c < ' ' || c > '~')
			assert_true(memcmp(drawn[c], drawn['~' + 1], FONT_HEIGHT) == 0);
	for (unsigned y = 0; y < FONT_HEIGHT; y++)
		assert_int_equal(drawn[' '][y], 0);
	assert_int_equal(drawn['L'][2], 0x40); /* left, and its foot */
	assert_int_equal(drawn['L'][11], 0x7e);
	assert_int_equal(drawn['p'][14], 0x40);
}

/* ---- a screen of one's own ---- */

static void characters_are_painted_in_every_kind_of_pixel(void)
{
	static const struct boot_colour ten[] = {{20, 10}, {10, 10}, {0, 10}};
	static const struct {
		unsigned bytes;
		const struct boot_colour *colours;
		uint32_t ink;
	} kinds[] = {{4, eight, 0xaaaaaa}, {3, eight, 0xaaaaaa}, {2, five, 0xad55}, {4, ten, 0x2aaaaaaa}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		begin_screen(8 * 20 + 5, 16 * 3 + 9, kinds[i].bytes, kinds[i].colours);
		screen_map(&own, memory);
		assert_int_equal(own.ink, kinds[i].ink);
		assert_int_equal(own.columns, 20);
		assert_int_equal(own.rows, 3);
		expect_pixels();
		write("Octavo, 8 leaves\n\x01{|}~");
		expect_row(0, "Octavo, 8 leaves");
		expect_pixels();
		end_screen();
	}
}

static void what_was_written_before_the_mapping_is_shown_by_it(void)
{
	begin_screen(8 * 20, 16 * 3, 4, eight);
	write("early\n");
	assert_int_equal(memory[0], 0x5a);
	screen_map(&own, memory);
	expect_row(0, "early");
	expect_pixels();
	screen_map(&own, NULL);
	memset(memory, 0x5a, prange_size(own.format.range));
	write("between\nand");
	assert_int_equal(memory[0], 0x5a);
	screen_map(&own, memory);
	write(" late");
	expect_row(1, "between");
	expect_row(2, "and late");
	expect_pixels();
	end_screen();
}

static void a_long_line_goes_on_in_the_next_row(void)
{
	begin_screen(8 * 10, 16 * 4, 4, eight);
	screen_map(&own, memory);
	write("0123456789");
	assert_int_equal(own.row, 0);
	write("abc\b\bB\rA\n\b");
	expect_row(0, "0123456789");
	expect_row(1, "ABc");
	assert_int_equal(own.row * own.columns + own.column, 20);
	expect_pixels();
	end_screen();
}

static void a_full_screen_moves_up_and_keeps_the_latest_lines(void)
{
	static const unsigned heights[] = {
	        1, 2, 7, 8, 20}; /* rows that are less, as many and more than an eighth of them */
	char text[16];

	for (size_t i = 0; i < ARRAY_SIZE(heights); i++) {
		begin_screen(8 * 12, 16 * heights[i], 2, five);
		screen_map(&own, memory);
		for (unsigned line = 0; line < 3 * heights[i] + 5; line++) {
			test_step(line);
			format_buffer(text, sizeof(text), "%sline %u", line ? "\n" : "", line);
			write(text);
			for (unsigned back = 0; back <= own.row; back++) {
				format_buffer(text, sizeof(text), "line %u", line - back);
				expect_row(own.row - back, text);
			}
			for (unsigned row = own.row + 1; row < own.rows; row++)
				expect_row(row, "");
			assert_true(own.row + 1 >= min_u64(line + 1, own.rows - own.rows / 8));
			expect_pixels();
		}
		end_screen();
	}
}

static void a_screen_of_too_many_cells_has_larger_ones(void)
{
	begin_screen(8 * SCREEN_COLUMNS_MAX + 8, 16 * 5, 2, five);
	screen_map(&own, memory);
	assert_int_equal(own.scale, 2);
	assert_int_equal(own.columns, SCREEN_COLUMNS_MAX / 2);
	assert_int_equal(own.rows, 2);
	write("large\nlarge");
	expect_pixels();
	end_screen();
	begin_screen(8 * 2, 16 * SCREEN_ROWS_MAX + 16, 2, five);
	assert_int_equal(own.scale, 2);
	assert_int_equal(own.rows, SCREEN_ROWS_MAX / 2 + SCREEN_ROWS_MAX % 2);
	end_screen();
}

static void without_room_for_a_character_nothing_is_touched(void)
{
	static struct screen none;

	begin_screen(7, 15, 4, eight);
	screen_map(&own, memory);
	write("nothing\n");
	assert_null(own.pixels);
	assert_int_equal(memory[0], 0x5a);
	end_screen();
	screen_map(&none, memory);
	screen_write(&none, "nothing\n", 8);
	assert_null(none.pixels);
}

static void random_text_leaves_no_pixel_behind(void)
{
	static const char some[] = "\n\n\r\b\bab~ ";
	struct rng rng;

	rng_seed(&rng, test_seed());
	begin_screen(8 * 9 + 3, 16 * 9 + 1, 3, eight);
	for (unsigned step = 0; step < 300; step++) {
		test_step(step);
		for (uint64_t n = rng_below(&rng, 30); n; n--)
			screen_write(&own, &some[rng_below(&rng, sizeof(some) - 1)], 1);
		assert_true(own.row < own.rows && own.column <= own.columns);
		if (own.pixels)
			expect_pixels();
		if (rng_below(&rng, 10) == 0)
			screen_map(&own, own.pixels ? NULL : memory);
	}
	end_screen();
}

/* ---- the console's ---- */

static void need_framebuffer(void)
{
	if (!screen.pixels)
		test_skip("no framebuffer");
}

static void what_the_console_says_is_in_the_framebuffer(void)
{
	static const char words[] = "these words are in pixels";

	need_framebuffer();
	test_note("%s", words);
	unsigned row = screen.row - 1;
	assert_int_equal(screen.column, 0);
	assert_true(memcmp(screen.cells[row] + 6, words, sizeof(words) - 1) == 0);
	unsigned height = FONT_HEIGHT * screen.scale;
	expect_lines(&screen, row * height, (row + 1) * height);
}

static void the_framebuffer_is_mapped_write_combining_to_its_last_byte(void)
{
	struct translation leaf;

	need_framebuffer();
	if (!cpu_features.pat)
		test_skip("no PAT");
	uint64_t start = screen.format.range.start.raw, size = prange_size(screen.format.range);
	const uint64_t ends[] = {0, size - 1};
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		assert_true(pagetable_lookup(&kernel_pagetable, vaddr_of(screen.pixels + ends[i]), &leaf));
		assert_int_equal(leaf.pa.raw, start + ends[i]);
		assert_int_equal(pgprot_type(leaf.prot), MEMORY_WC);
	}
	expect_warning("ioremap: 1 bytes, gfp 0x8, from *: UC-, but 0x*-0x* is mapped WC from *",
	               assert_null(ioremap(start + size - 1, 1)));
}

static const struct test_case cases[] = {
        TEST_CASE(no_two_characters_look_the_same),
        TEST_CASE(characters_are_painted_in_every_kind_of_pixel),
        TEST_CASE(what_was_written_before_the_mapping_is_shown_by_it),
        TEST_CASE(a_long_line_goes_on_in_the_next_row),
        TEST_CASE(a_full_screen_moves_up_and_keeps_the_latest_lines),
        TEST_CASE(a_screen_of_too_many_cells_has_larger_ones),
        TEST_CASE(without_room_for_a_character_nothing_is_touched),
        TEST_CASE(random_text_leaves_no_pixel_behind),
        TEST_CASE(what_the_console_says_is_in_the_framebuffer),
        TEST_CASE(the_framebuffer_is_mapped_write_combining_to_its_last_byte),
};

extern const struct test_suite screen_suite;
const struct test_suite screen_suite = TEST_SUITE("screen", cases);
