/*
 * lib/ but for the tree: formatting, strings, patterns, numbers, bits, alignment, lists, and the generator.
 */
#include <test/test.h>
#include <lib/addr.h>
#include <lib/align.h>
#include <lib/bits.h>
#include <lib/check.h>
#include <lib/list.h>
#include "string_model.h"

enum { TEXT_MAX = 256, RANDOM_TEXTS = 3000 };

static char text[TEXT_MAX];

/* ---- Formatting ---- */

#define assert_formats(expected, ...)                                            \
	do {                                                                     \
		size_t length_ = format_buffer(text, sizeof(text), __VA_ARGS__); \
		assert_string_equal(text, expected);                             \
		assert_int_equal(length_, strlen(expected));                     \
	} while (0)

static void plain_text_and_percent_signs_print_as_they_stand(void)
{
	assert_formats("", "%s", "");
	assert_formats("plain", "plain");
	assert_formats("100% of 5%", "100%% of %d%%", 5);
}

static void integers_print_in_each_base_and_size(void)
{
	assert_formats("0 -1 2147483647 -2147483648", "%d %i %d %d", 0, -1, INT32_MAX, INT32_MIN);
	assert_formats("-9223372036854775808 9223372036854775807", "%ld %lld", INT64_MIN,
	               (long long)INT64_MAX);
	assert_formats("18446744073709551615", "%lu", UINT64_MAX);
	assert_formats("ffffffffffffffff FFFFFFFFFFFFFFFF", "%lx %lX", UINT64_MAX, UINT64_MAX);
	assert_formats("1777777777777777777777", "%lo", UINT64_MAX);
	assert_formats("4294967295 0", "%u %x", UINT32_MAX, 0);
	assert_formats("-1 255 -1 65535", "%hhd %hhu %hd %hu", 255, 255, 65535, 65535);
	assert_formats("1 -2 3 4", "%zu %td %ju %jx", (size_t)1, (ptrdiff_t)-2, (uintmax_t)3, (uintmax_t)4);
}

static void flags_width_and_precision_follow_the_standard(void)
{
	assert_formats("    5|5    |00005|+5| 5|-5", "%5d|%-5d|%05d|%+d|% d|% d", 5, 5, 5, 5, 5, -5);
	assert_formats("   +5|-0005|+005", "%+5d|%05d|%+.3d", 5, -5, 5);
	assert_formats("0xff|0XFF|010|0|0|0", "%#x|%#X|%#o|%#x|%#o|%#X", 255, 255, 8, 0, 0, 0);
	assert_formats("0x0000ff|0xff    |  0xff", "%#08x|%-#8x|%#6x", 255, 255, 255);
	assert_formats("00005|  00005|00005  |     ", "%.5d|%7.5d|%-7.5d|%5.0d", 5, 5, 5, 0);
	assert_formats("  5|5  |5|005", "%*d|%*d|%-1.*d|%.*d", 3, 5, -3, 5, 0, 5, 3, 5);
	assert_formats("0|  5", "%.*d|%3.*d", -1, 0, -1, 5); /* a negative precision is none */
}

static void texts_and_characters_print_padded_and_cut(void)
{
	assert_formats("abc|  abc|abc  |ab|   ab", "%s|%5s|%-5s|%.2s|%5.2s", "abc", "abc", "abc", "abc",
	               "abc");
	assert_formats("x|  x|x  ", "%c|%3c|%-3c", 'x', 'x', 'x');
	assert_formats("wide                                    |", "%-40s|", "wide");
	/* A precision allows a text without its NUL. */
	static const char unterminated[] = {'a', 'b', 'c'};
	assert_formats("abc", "%.3s", unterminated);
	const char *volatile none = NULL;
	assert_formats("(null)", "%s", none);
}

static void a_nul_character_counts_as_one_byte(void)
{
	assert_int_equal(format_buffer(text, sizeof(text), "a%cb", 0), 3);
	assert_int_equal(text[1], 0);
	assert_int_equal(text[2], 'b');
}

static void pointers_print_0x_and_sixteen_digits(void)
{
	assert_formats("0x0000000000000000", "%p", (void *)0);
	assert_formats("0xffff800000001000", "%p", (void *)0xffff800000001000);
	assert_formats("  0x0000000000000001|0x0000000000000001  |", "%20p|%-20p|", (void *)1, (void *)1);
}

static void what_is_no_conversion_prints_as_it_stands(void)
{
	/* Through a variable, as the compiler would refuse them. */
	const char *volatile odd[] = {"%", "50%", "%y", "%5", "%-l", "a%y%%b", "%lc", "%hhs"};
	const char *volatile wanted[] = {"%", "50%", "%y", "%5", "%-l", "a%y%b", "x", "text"};

	for (size_t i = 0; i < 6; i++)
		assert_formats(wanted[i], odd[i]);
	assert_formats(wanted[6], odd[6], 'x');
	assert_formats(wanted[7], odd[7], "text");
}

static const char *name_of_2000(uintptr_t address, uintptr_t *offset)
{
	*offset = address - 0x2000;
	return address >= 0x2000 && address < 0x3000 ? "some_function" : NULL;
}

static void a_code_address_prints_as_its_name_where_the_printer_knows_it(void)
{
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, text, sizeof(text));
	buffer.printer.symbol = name_of_2000;
	print(&buffer.printer, "%pS %pS|%20pS|%-20pS|%pS", (void *)0x2000, (void *)0x2abc, (void *)0x2001,
	      (void *)0x2002, (void *)0x3000);
	assert_string_equal(text,
	                    "some_function+0x0 some_function+0xabc|   some_function+0x1|some_function+0x2   |"
	                    "0x0000000000003000");

	assert_formats("0x0000000000002000", "%pS", (void *)0x2000);
}

static void a_full_buffer_keeps_the_beginning_and_counts_the_rest(void)
{
	char small[8] = "#######";

	assert_int_equal(format_buffer(small, sizeof(small), "%s", "1234567"), 7);
	assert_string_equal(small, "1234567");
	assert_int_equal(format_buffer(small, sizeof(small), "ab%dcd%s", 123, "efgh"), 11);
	assert_string_equal(small, "ab123cd");
	assert_int_equal(format_buffer(small, 1, "abc"), 3);
	assert_string_equal(small, "");
	small[0] = '#';
	assert_int_equal(format_buffer(small, 0, "abc"), 3);
	assert_int_equal(small[0], '#');
	assert_int_equal(format_buffer(NULL, 0, "%d", 12), 2);
}

/* A dump prints a piece at a time, and each piece may be cut anywhere. */
static void pieces_join_in_a_buffer_printer(void)
{
	struct buffer_printer buffer;
	char small[6];

	buffer_printer_init(&buffer, small, sizeof(small));
	assert_string_equal(small, "");
	print(&buffer.printer, "ab");
	print(&buffer.printer, "%d", 34);
	assert_string_equal(small, "ab34");
	print(&buffer.printer, "56");
	assert_string_equal(small, "ab345");
	print(&buffer.printer, "78");
	assert_string_equal(small, "ab345");
	assert_int_equal(buffer.length, 8);
}

static void a_failed_check_leaves_with_its_words(void)
{
	const char *words = check_failed("I%d: %s has %zu", 7, "list", (size_t)3);
	assert_string_equal(words, "I7: list has 3");
	/* Longer than any buffer: cut, not overrun. */
	words = check_failed("%300d|", 1);
	assert_int_equal(strlen(words), 255);
}

/* ---- Memory and text ---- */

static const struct string_functions linked = {memcpy,  memmove, memset,  memcmp, strlen,
                                               strnlen, strcmp,  strncmp, strchr};

static void copying_moves_exactly_the_bytes_asked_for(void)
{
	string_model_copies(&linked);
}

static void moving_is_right_for_every_overlap(void)
{
	string_model_moves(&linked);
}

static void filling_writes_exactly_the_bytes_asked_for(void)
{
	string_model_fills(&linked);
}

static void comparing_memory_orders_by_the_first_different_byte(void)
{
	string_model_compares(&linked);
}

static void text_functions_keep_the_standards_contracts(void)
{
	string_model_texts(&linked);
	string_model_random_texts(&linked, RANDOM_TEXTS);
}

static void patterns_match_whole_texts(void)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} table[] = {
	        {"", "", true},
	        {"", "a", false},
	        {"a", "", false},
	        {"abc", "abc", true},
	        {"abc", "abcd", false},
	        {"abcd", "abc", false},
	        {"a?c", "abc", true},
	        {"a?c", "ac", false},
	        {"?", "", false},
	        {"*", "", true},
	        {"*", "anything", true},
	        {"**", "x", true},
	        {"a*", "a", true},
	        {"a*", "ba", false},
	        {"*a", "ba", true},
	        {"*a", "ab", false},
	        {"a*b*c", "a1b2c", true},
	        {"a*b*c", "a1c2b", false},
	        {"*ab", "aab", true},
	        {"*aab", "aaaab", true},
	        {"a*?c", "ac", false},
	        {"a*?c", "axc", true},
	        {"vmalloc*", "vmalloc.guard_pages_fault", true},
	        {"*.a_*", "slab.a_double_free", true},
	        {"*mm*mm*", "mm", false},
	        {"*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	        {"[a]", "[a]", true},
	        {"[a]", "a", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (glob_match(table[i].pattern, table[i].text) != table[i].matches)
			fail_msg("glob_match(\"%s\", \"%s\") is not %d", table[i].pattern, table[i].text,
			         table[i].matches);
	}
}

/* The definition, by recursion: exponential, but for short texts. */
static bool matches_by_definition(const char *pattern, const char *s)
{
	if (*pattern == '*')
		return matches_by_definition(pattern + 1, s) || (*s && matches_by_definition(pattern, s + 1));
	if (!*pattern || !*s)
		return *pattern == *s;
	return (*pattern == '?' || *pattern == *s) && matches_by_definition(pattern + 1, s + 1);
}

static void random_patterns_match_as_the_definition_says(void)
{
	static const char letters[] = {'a', 'b', '*', '?'};
	struct rng rng;
	char pattern[7], subject[9];

	rng_seed(&rng, test_seed());
	for (uint64_t step = 0; step < RANDOM_TEXTS; step++) {
		test_step(step);
		size_t length = rng_below(&rng, sizeof(pattern));
		for (size_t i = 0; i < length; i++)
			pattern[i] = letters[rng_below(&rng, 4)];
		pattern[length] = '\0';
		length = rng_below(&rng, sizeof(subject));
		for (size_t i = 0; i < length; i++)
			subject[i] = letters[rng_below(&rng, 2)];
		subject[length] = '\0';
		if (glob_match(pattern, subject) != matches_by_definition(pattern, subject))
			fail_msg("glob_match(\"%s\", \"%s\")", pattern, subject);
	}
}

static void numbers_parse_in_both_bases_with_suffixes(void)
{
	static const struct {
		const char *text;
		uint64_t value;
	} table[] = {
	        {"0", 0},
	        {"1", 1},
	        {"007", 7},
	        {"18446744073709551615", UINT64_MAX},
	        {"0x0", 0},
	        {"0xffffffffffffffff", UINT64_MAX},
	        {"0XaBcD", 0xabcd},
	        {"4K", 4096},
	        {"3m", 3UL << 20},
	        {"2G", 2UL << 30},
	        {"0x10k", 16384},
	        {"17179869183G", 17179869183UL << 30},
	        {"64T", 64UL << 40},
	        {"0x20t", 32UL << 40},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t value = 99;
		if (!parse_u64(table[i].text, &value) || value != table[i].value)
			fail_msg("\"%s\" parses as %lu", table[i].text, value);
	}
}

static void what_is_not_exactly_a_number_is_refused(void)
{
	static const char *const table[] = {
	        "",
	        " ",
	        "x",
	        "-1",
	        "+1",
	        " 1",
	        "1 ",
	        "1.5",
	        "0x",
	        "0xg",
	        "12ab",
	        "K",
	        "1KK",
	        "1P",
	        "1K1",
	        "18446744073709551616",
	        "0x10000000000000000",
	        "17179869184G",
	        "99999999999999999999",
	        "0xffffffffffffffffK",
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t value = 99;
		if (parse_u64(table[i], &value) || value != 99)
			fail_msg("\"%s\" is accepted, or changes the value", table[i]);
	}
}

/* ---- Bits, alignment, addresses ---- */

static void bit_positions_and_logarithms_are_right_for_every_power(void)
{
	for (unsigned k = 0; k < 64; k++) {
		uint64_t power = 1UL << k;
		assert_int_equal(lowest_bit(power), k);
		assert_int_equal(highest_bit(power), k);
		assert_int_equal(count_bits(power - 1), k);
		assert_int_equal(lowest_bit(UINT64_MAX << k), k);
		assert_int_equal(log2_floor(power), k);
		assert_int_equal(log2_ceil(power), k);
		assert_true(is_power_of_two(power));
		if (k >= 2) {
			assert_int_equal(log2_floor(power - 1), k - 1);
			assert_int_equal(log2_ceil(power - 1), k);
			assert_int_equal(log2_floor(power + 1), k);
			assert_int_equal(log2_ceil(power + 1), k + 1);
			assert_false(is_power_of_two(power - 1));
			assert_false(is_power_of_two(power + 1));
		}
	}
	assert_int_equal(log2_floor(UINT64_MAX), 63);
	assert_int_equal(log2_ceil(UINT64_MAX), 64);
	assert_false(is_power_of_two(0));
}

static void bits_in_arrays_do_not_touch_their_neighbours(void)
{
	uint64_t words[3] = {0};
	static const size_t at[] = {0, 1, 63, 64, 65, 127, 128, 191};

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		bit_set(words, at[i]);
		size_t set = 0;
		for (size_t bit = 0; bit < 192; bit++)
			set += bit_test(words, bit);
		assert_int_equal(set, i + 1);
		assert_true(bit_test(words, at[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		bit_clear(words, at[i]);
		assert_false(bit_test(words, at[i]));
	}
	assert_int_equal(words[0] | words[1] | words[2], 0);
}

static void alignment_rounds_to_the_nearest_multiple_and_reports_wrapping(void)
{
	uint64_t up = 1;

	assert_int_equal(align_down(0x1fff, 0x1000), 0x1000);
	assert_int_equal(align_down(0x1000, 0x1000), 0x1000);
	assert_int_equal(align_down(UINT64_MAX, 1), UINT64_MAX);
	assert_int_equal(align_up(0x1001, 0x1000), 0x2000);
	assert_int_equal(align_up(0x1000, 0x1000), 0x1000);
	assert_int_equal(align_up(0, 0x1000), 0);
	assert_int_equal(align_up(UINT64_MAX, 0x1000), 0);
	assert_true(is_aligned(0, 1UL << 63));
	assert_false(is_aligned(1UL << 62, 1UL << 63));

	assert_true(align_up_checked(0xffffffffffffe001, 0x1000, &up));
	assert_int_equal(up, 0xfffffffffffff000);
	assert_true(align_up_checked(0xfffffffffffff000, 0x1000, &up));
	assert_int_equal(up, 0xfffffffffffff000);
	assert_false(align_up_checked(0xfffffffffffff001, 0x1000, &up));
	assert_int_equal(up, 0xfffffffffffff000);
	assert_int_equal(min_u64(UINT64_MAX, 0), 0);
	assert_int_equal(max_u64(UINT64_MAX, 0), UINT64_MAX);
}

static void half_open_ranges_contain_their_start_and_not_their_end(void)
{
	struct vrange r = vrange(0x1000, 0x3000);

	assert_true(vrange_contains(r, vaddr(0x1000)));
	assert_true(vrange_contains(r, vaddr(0x2fff)));
	assert_false(vrange_contains(r, vaddr(0x3000)));
	assert_false(vrange_contains(r, vaddr(0xfff)));
	assert_false(prange_contains(prange(5, 5), paddr(5)));
	assert_int_equal(vrange_size(vrange_sized(vaddr(0x1000), 0x2000)), 0x2000);
	assert_int_equal(prange_size(prange(7, 9)), 2);
	assert_true(vrange_overlaps(r, vrange(0x2fff, 0x4000)));
	assert_false(vrange_overlaps(r, vrange(0x3000, 0x4000)));
	assert_false(vrange_overlaps(vrange(0, 0x1000), r));
	assert_true(vrange_overlaps(r, vrange(0x1800, 0x1900)));
}

/* ---- Lists ---- */

struct entry {
	int value;
	struct list_head link;
};

static void assert_list(const struct list_head *head, const char *expected)
{
	const struct entry *entry;
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, text, sizeof(text));
	list_for_each_entry (entry, head, link) {
		print(&buffer.printer, "%d", entry->value);
		assert_ptr_equal(entry->link.next->prev, &entry->link);
		assert_ptr_equal(entry->link.prev->next, &entry->link);
	}
	assert_string_equal(text, expected);
}

static void lists_keep_the_order_they_were_given(void)
{
	struct list_head head = LIST_HEAD_INIT(head), other;
	struct entry e[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};

	assert_true(list_empty(&head));
	assert_list(&head, "");
	list_add(&e[1].link, &head);
	list_add(&e[0].link, &head);
	list_add_tail(&e[3].link, &head);
	list_add_tail(&e[2].link, &e[3].link);
	assert_list(&head, "0123");
	assert_ptr_equal(list_first_entry(&head, struct entry, link), &e[0]);

	list_del(&e[1].link);
	list_del(&e[1].link); /* harmless */
	assert_list(&head, "023");
	list_move(&e[3].link, &head);
	assert_list(&head, "302");

	list_init(&other);
	list_move(&e[0].link, &other);
	assert_list(&other, "0");
	assert_list(&head, "32");
}

static void entries_may_be_removed_while_walking(void)
{
	struct list_head head = LIST_HEAD_INIT(head);
	struct entry e[6], *pos, *next;

	for (int i = 0; i < 6; i++) {
		e[i].value = i;
		list_add_tail(&e[i].link, &head);
	}
	list_for_each_entry_safe (pos, next, &head, link) {
		if (pos->value % 2)
			list_del(&pos->link);
	}
	assert_list(&head, "024");
	list_for_each_entry_safe (pos, next, &head, link) {
		list_del(&pos->link);
	}
	assert_true(list_empty(&head));
}

/* ---- The generator ---- */

/* The first outputs for seed 1234567 that other implementations of splitmix64 agree on. */
static void the_generator_gives_the_published_stream(void)
{
	static const uint64_t published[] = {6457827717110365317, 3203168211198807973, 9817491932198370423U,
	                                     4593380528125082431, 16408922859458223821U};
	struct rng rng;

	rng_seed(&rng, 1234567);
	for (size_t i = 0; i < ARRAY_SIZE(published); i++)
		assert_int_equal(rng_next(&rng), published[i]);
	for (int i = 0; i < 100; i++)
		assert_at_most(rng_below(&rng, 7), 6);
	assert_int_equal(rng_below(&rng, 1), 0);
}

static const struct test_case cases[] = {
        TEST_CASE(plain_text_and_percent_signs_print_as_they_stand),
        TEST_CASE(integers_print_in_each_base_and_size),
        TEST_CASE(flags_width_and_precision_follow_the_standard),
        TEST_CASE(texts_and_characters_print_padded_and_cut),
        TEST_CASE(a_nul_character_counts_as_one_byte),
        TEST_CASE(pointers_print_0x_and_sixteen_digits),
        TEST_CASE(what_is_no_conversion_prints_as_it_stands),
        TEST_CASE(a_code_address_prints_as_its_name_where_the_printer_knows_it),
        TEST_CASE(a_full_buffer_keeps_the_beginning_and_counts_the_rest),
        TEST_CASE(pieces_join_in_a_buffer_printer),
        TEST_CASE(a_failed_check_leaves_with_its_words),
        TEST_CASE(copying_moves_exactly_the_bytes_asked_for),
        TEST_CASE(moving_is_right_for_every_overlap),
        TEST_CASE(filling_writes_exactly_the_bytes_asked_for),
        TEST_CASE(comparing_memory_orders_by_the_first_different_byte),
        TEST_CASE(text_functions_keep_the_standards_contracts),
        TEST_CASE(patterns_match_whole_texts),
        TEST_CASE(random_patterns_match_as_the_definition_says),
        TEST_CASE(numbers_parse_in_both_bases_with_suffixes),
        TEST_CASE(what_is_not_exactly_a_number_is_refused),
        TEST_CASE(bit_positions_and_logarithms_are_right_for_every_power),
        TEST_CASE(bits_in_arrays_do_not_touch_their_neighbours),
        TEST_CASE(alignment_rounds_to_the_nearest_multiple_and_reports_wrapping),
        TEST_CASE(half_open_ranges_contain_their_start_and_not_their_end),
        TEST_CASE(lists_keep_the_order_they_were_given),
        TEST_CASE(entries_may_be_removed_while_walking),
        TEST_CASE(the_generator_gives_the_published_stream),
};

extern const struct test_suite lib_suite;
const struct test_suite lib_suite = TEST_SUITE("lib", cases);
