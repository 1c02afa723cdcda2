/*
 * Naive doubles of the string functions; see string_model.h. Whole buffers are compared, so a stray byte
 * shows.
 */
#include "string_model.h"

/*
 * Lengths beyond three words take every branch of an implementation in words; offsets cover every alignment
 * of one.
 */
enum { SPAN = 96, LENGTHS = 40, OFFSETS = 9 };

static uint8_t actual[SPAN], wanted[SPAN], source[SPAN];

static void fill_pattern(uint8_t *bytes, unsigned first)
{
	for (unsigned i = 0; i < SPAN; i++)
		bytes[i] = (uint8_t)(first + i * 7);
}

static void start_equal(void)
{
	fill_pattern(actual, 100);
	fill_pattern(wanted, 100);
}

/* Byte by byte, without the functions under test. */
static void assert_as_wanted(const char *what, size_t to, size_t from, size_t length)
{
	for (size_t i = 0; i < SPAN; i++) {
		if (actual[i] != wanted[i])
			fail_msg("%s(+%zu, +%zu, %zu): byte %zu is 0x%02x, expected 0x%02x", what, to, from,
			         length, i, actual[i], wanted[i]);
	}
}

void string_model_copies(const struct string_functions *f)
{
	fill_pattern(source, 3);
	for (size_t to = 0; to < OFFSETS; to++) {
		for (size_t from = 0; from < OFFSETS; from++) {
			for (size_t length = 0; length < LENGTHS; length++) {
				start_equal();
				for (size_t i = 0; i < length; i++)
					wanted[to + i] = source[from + i];
				void *result = f->memcpy(actual + to, source + from, length);
				assert_ptr_equal(result, actual + to);
				assert_as_wanted("memcpy", to, from, length);
			}
		}
	}
}

void string_model_moves(const struct string_functions *f)
{
	for (size_t to = 0; to < LENGTHS; to++) {
		for (size_t from = 0; from < LENGTHS; from++) {
			for (size_t length = 0; length < LENGTHS; length++) {
				start_equal();
				for (size_t i = 0; i < length; i++)
					wanted[to + i] = actual[from + i];
				void *result = f->memmove(actual + to, actual + from, length);
				assert_ptr_equal(result, actual + to);
				assert_as_wanted("memmove", to, from, length);
			}
		}
	}
}

void string_model_fills(const struct string_functions *f)
{
	static const int bytes[] = {0, 1, 0xa5, 0xff, 0x1ff, -1}; /* only the low eight bits count */

	for (size_t b = 0; b < ARRAY_SIZE(bytes); b++) {
		for (size_t to = 0; to < OFFSETS; to++) {
			for (size_t length = 0; length < LENGTHS; length++) {
				start_equal();
				for (size_t i = 0; i < length; i++)
					wanted[to + i] = (uint8_t)bytes[b];
				void *result = f->memset(actual + to, bytes[b], length);
				assert_ptr_equal(result, actual + to);
				assert_as_wanted("memset", to, 0, length);
			}
		}
	}
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

/*
 * Equal but for one byte, which is larger (as an unsigned one) on one side, and one behind the end, which is
 * not.
 */
void string_model_compares(const struct string_functions *f)
{
	for (size_t offset = 0; offset < OFFSETS; offset++) {
		for (size_t length = 0; length < LENGTHS; length++) {
			uint8_t *a = actual, *b = source + offset;
			for (size_t i = 0; i <= length; i++)
				a[i] = b[i] = (uint8_t)(i * 3);
			a[length] = 0;
			b[length] = 0xff;
			assert_int_equal(f->memcmp(a, b, length), 0);
			for (size_t at = 0; at < length; at++) {
				uint8_t kept = b[at];
				a[at] = 0x7f;
				b[at] = 0x80;
				assert_int_equal(sign(f->memcmp(a, b, length)), -1);
				assert_int_equal(sign(f->memcmp(b, a, length)), 1);
				assert_int_equal(f->memcmp(a, b, at), 0);
				a[at] = b[at] = kept;
			}
		}
	}
}

void string_model_texts(const struct string_functions *f)
{
	static const char word[] = "octavo";

	assert_int_equal(f->strlen(""), 0);
	assert_int_equal(f->strlen(word), 6);
	assert_int_equal(f->strnlen(word, 0), 0);
	assert_int_equal(f->strnlen(word, 3), 3);
	assert_int_equal(f->strnlen(word, 6), 6);
	assert_int_equal(f->strnlen(word, 100), 6);
	assert_int_equal(f->strcmp("", ""), 0);
	assert_int_equal(sign(f->strcmp("", "a")), -1);
	assert_int_equal(sign(f->strcmp("ab", "a")), 1);
	assert_int_equal(sign(f->strcmp("\x7f", "\x80")), -1); /* as unsigned characters */
	assert_int_equal(sign(f->strncmp("\x80", "\x7f", 1)), 1);
	assert_int_equal(f->strncmp("abc", "abd", 2), 0);
	assert_int_equal(sign(f->strncmp("abc", "abd", 3)), -1);
	assert_int_equal(f->strncmp("abc", "abc", 10), 0);
	assert_int_equal(f->strncmp("a", "b", 0), 0);
	assert_ptr_equal(f->strchr(word, 'o'), word);
	assert_ptr_equal(f->strchr(word, 'v'), word + 4);
	assert_ptr_equal(f->strchr(word, 0), word + 6);
	assert_null(f->strchr(word, 'x'));
	assert_ptr_equal(f->strchr(word, 'v' + 256), word + 4); /* converted to char */
}

static size_t naive_length(const char *text, size_t max)
{
	size_t i;
	for (i = 0; i < max && text[i]; i++)
		;
	return i;
}

static int naive_compare(const char *a, const char *b, size_t max)
{
	for (size_t i = 0; i < max; i++) {
		if (a[i] != b[i])
			return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
		if (!a[i])
			break;
	}
	return 0;
}

static const char *naive_find(const char *text, char c)
{
	for (size_t i = 0;; i++) {
		if (text[i] == c)
			return text + i;
		if (!text[i])
			return NULL;
	}
}

/* Few letters, so that texts are often equal for a while. */
static void random_text(struct rng *rng, char *text, size_t size)
{
	static const char letters[] = {'a', 'b', '\x80', '\xff'};
	size_t length = rng_below(rng, size);

	for (size_t i = 0; i < length; i++)
		text[i] = letters[rng_below(rng, ARRAY_SIZE(letters))];
	text[length] = '\0';
}

void string_model_random_texts(const struct string_functions *f, uint64_t steps)
{
	static char a[8], b[8];
	struct rng rng;

	rng_seed(&rng, test_seed());
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		random_text(&rng, a, sizeof(a));
		random_text(&rng, b, sizeof(b));
		size_t max = rng_below(&rng, 10);
		assert_int_equal(f->strlen(a), naive_length(a, SIZE_MAX));
		assert_int_equal(f->strnlen(a, max), naive_length(a, max));
		assert_int_equal(sign(f->strcmp(a, b)), naive_compare(a, b, SIZE_MAX));
		assert_int_equal(sign(f->strncmp(a, b, max)), naive_compare(a, b, max));
		assert_ptr_equal(f->strchr(a, 'b'), naive_find(a, 'b'));
	}
}
