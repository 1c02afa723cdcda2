/*
 * What only a process can show about lib/: the C library as the model, and lib/string.c under
 * AddressSanitizer.
 */
#include <stdio.h>
#include <test/test.h>
#include "kernel_string.h"

enum { FORMATS = 200000, TEXT_MAX = 256 };

/* ---- The kernel's own string functions ---- */

static void the_kernels_memcpy_moves_exactly_the_bytes_asked_for(void)
{
	string_model_copies(&kernel_string_functions);
}

static void the_kernels_memmove_is_right_for_every_overlap(void)
{
	string_model_moves(&kernel_string_functions);
}

static void the_kernels_memset_writes_exactly_the_bytes_asked_for(void)
{
	string_model_fills(&kernel_string_functions);
}

static void the_kernels_memcmp_orders_by_the_first_different_byte(void)
{
	string_model_compares(&kernel_string_functions);
}

static void the_kernels_text_functions_keep_the_standards_contracts(void)
{
	string_model_texts(&kernel_string_functions);
	string_model_random_texts(&kernel_string_functions, 100000);
}

/* ---- Formatting against the C library ---- */

/* A conversion at random; `kind` tells which argument it takes. All of it is common to both. */
struct random_format {
	char text[64];
	char conversion;
	bool is_long;
};

static struct random_format make_format(struct rng *rng)
{
	static const char conversions[] = "diuxXocs";
	struct random_format format = {.conversion = conversions[rng_below(rng, 8)],
	                               .is_long = rng_below(rng, 2)};
	bool number = format.conversion != 'c' && format.conversion != 's';
	bool is_signed = format.conversion == 'd' || format.conversion == 'i';
	bool has_alternate = format.conversion == 'x' || format.conversion == 'X' || format.conversion == 'o';
	struct buffer_printer out;

	buffer_printer_init(&out, format.text, sizeof(format.text));
	print(&out.printer, "<%%");
	/* Only flags that the standard defines for the conversion: elsewhere libraries differ. */
	if (rng_below(rng, 2))
		print(&out.printer, "-");
	if (number && rng_below(rng, 2))
		print(&out.printer, "0");
	if (is_signed && rng_below(rng, 2))
		print(&out.printer, "%c", rng_below(rng, 2) ? '+' : ' ');
	if (has_alternate && rng_below(rng, 2))
		print(&out.printer, "#");
	if (rng_below(rng, 2))
		print(&out.printer, "%lu", 1 + rng_below(rng, 30));
	if (format.conversion != 'c' && rng_below(rng, 3) == 0)
		print(&out.printer, ".%lu", rng_below(rng, 30));
	if (number && format.is_long)
		print(&out.printer, "l");
	print(&out.printer, "%c>", format.conversion);
	return format;
}

/* Numbers of all magnitudes, with the edges more often than chance has them. */
static uint64_t make_number(struct rng *rng)
{
	static const uint64_t edges[] = {
	        0, 1, 7, 8, INT32_MAX, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX};
	if (rng_below(rng, 4) == 0)
		return edges[rng_below(rng, ARRAY_SIZE(edges))];
	return rng_next(rng) >> rng_below(rng, 64);
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void random_conversions_print_as_the_c_librarys_do(void)
{
	static const char *const words[] = {"", "a", "octavo", "a longer text than most widths ask for"};
	static char ours[TEXT_MAX], theirs[TEXT_MAX];
	struct rng rng;

	rng_seed(&rng, test_seed());
	for (uint64_t step = 0; step < FORMATS; step++) {
		test_step(step);
		struct random_format format = make_format(&rng);
		size_t capacity = 1 + rng_below(&rng, 80), length;
		int expected;
		if (format.conversion == 's') {
			const char *word = words[rng_below(&rng, ARRAY_SIZE(words))];
			length = format_buffer(ours, capacity, format.text, word);
			expected = snprintf(theirs, capacity, format.text, word);
		} else if (format.conversion == 'c' || !format.is_long) {
			int number = (int)make_number(&rng);
			if (format.conversion == 'c')
				number = 'A' + (number & 31);
			length = format_buffer(ours, capacity, format.text, number);
			expected = snprintf(theirs, capacity, format.text, number);
		} else {
			uint64_t number = make_number(&rng);
			length = format_buffer(ours, capacity, format.text, number);
			expected = snprintf(theirs, capacity, format.text, number);
		}
		if (length != (size_t)expected || strcmp(ours, theirs) != 0)
			fail_msg("\"%s\" into %zu bytes gives \"%s\", expected \"%s\"", format.text, capacity,
			         ours, theirs);
	}
}

static const struct test_case cases[] = {
        TEST_CASE(the_kernels_memcpy_moves_exactly_the_bytes_asked_for),
        TEST_CASE(the_kernels_memmove_is_right_for_every_overlap),
        TEST_CASE(the_kernels_memset_writes_exactly_the_bytes_asked_for),
        TEST_CASE(the_kernels_memcmp_orders_by_the_first_different_byte),
        TEST_CASE(the_kernels_text_functions_keep_the_standards_contracts),
        TEST_CASE(random_conversions_print_as_the_c_librarys_do),
};

extern const struct test_suite host_lib_suite;
const struct test_suite host_lib_suite = TEST_SUITE("host_lib", cases);
