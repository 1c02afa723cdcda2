/* Words from people: patterns and numbers. Linked on every machine, unlike string.c. */
#include <lib/string.h>

/*
 * Greedy with one point of return: when the text after the last `*` does not fit, that star takes one
 * character more. Earlier stars need no second try, for whatever they could take, the last one can.
 */
bool glob_match(const char *pattern, const char *text)
{
	const char *after_star = NULL, *star_end = NULL;

	while (*text) {
		if (*pattern == '*') {
			after_star = ++pattern;
			star_end = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (after_star) {
			pattern = after_star;
			text = ++star_end;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

/* The value of a digit, or 16: more than any base has. */
static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

/* Consumes K, M, G or T; returns the power of two it stands for, 0 without one. */
static unsigned take_suffix(const char **text)
{
	switch (**text) {
	case 'K':
	case 'k':
		++*text;
		return 10;
	case 'M':
	case 'm':
		++*text;
		return 20;
	case 'G':
	case 'g':
		++*text;
		return 30;
	case 'T':
	case 't':
		++*text;
		return 40;
	default:
		return 0;
	}
}

bool parse_u64(const char *text, uint64_t *value)
{
	unsigned base = 10;
	uint64_t sum = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	if (digit_value(*text) >= base)
		return false;
	for (; digit_value(*text) < base; text++) {
		if (__builtin_mul_overflow(sum, base, &sum) ||
		    __builtin_add_overflow(sum, digit_value(*text), &sum))
			return false;
	}
	unsigned shift = take_suffix(&text);
	if (*text || sum > UINT64_MAX >> shift)
		return false;
	*value = sum << shift;
	return true;
}
