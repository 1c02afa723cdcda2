/*
 * The four memory functions the compiler relies on, and the few string functions the kernel uses.
 *
 * Memory moves in words of eight bytes. From two words on it is one repeated string instruction and one word
 * that ends with the last byte, overlapping what the others did, so that no length needs a loop over bytes.
 *
 * launder() hides a pointer's origin from the compiler, which would else recognise a loop as "this is strlen"
 * and replace the body of strlen by a call of strlen.
 */
#include <lib/string.h>

typedef uint64_t __attribute__((aligned(1), may_alias)) any_u64;
typedef uint32_t __attribute__((aligned(1), may_alias)) any_u32;

enum { WORD = sizeof(any_u64) };

static ALWAYS_INLINE const char *launder(const char *p)
{
	__asm__("" : "+r"(p));
	return p;
}

static ALWAYS_INLINE uint64_t load_word(const void *from)
{
	return *(const any_u64 *)from;
}

static ALWAYS_INLINE void store_word(void *to, uint64_t word)
{
	*(any_u64 *)to = word;
}

/* All loads come before all stores: fit for overlapping ranges. pre: size < 2 * WORD */
static ALWAYS_INLINE void move_few(char *to, const char *from, size_t size)
{
	if (size >= WORD) {
		uint64_t first = load_word(from), last = load_word(from + size - WORD);
		store_word(to, first);
		store_word(to + size - WORD, last);
	} else if (size >= 4) {
		uint32_t first = *(const any_u32 *)from, last = *(const any_u32 *)(from + size - 4);
		*(any_u32 *)to = first;
		*(any_u32 *)(to + size - 4) = last;
	} else if (size) {
		/* One to three bytes: first, middle and last cover them. */
		char first = from[0], middle = from[size / 2], last = from[size - 1];
		to[0] = first;
		to[size / 2] = middle;
		to[size - 1] = last;
	}
}

/*
 * Ascending: right also where `to` lies below `from` in the same memory, as every word is read before a store
 * reaches it; the last word is read before the first store. pre: size >= 2 * WORD
 */
static ALWAYS_INLINE void move_up(char *to, const char *from, size_t size)
{
	uint64_t last = load_word(from + size - WORD);
	char *end = to + size - WORD;
	size_t words = size / WORD;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	store_word(end, last);
}

/* Descending, for `to` inside [from, from + size). pre: size >= 2 * WORD */
static void move_down(char *to, const char *from, size_t size)
{
	uint64_t first = load_word(from);

	for (size_t left = size; left >= WORD; left -= WORD)
		store_word(to + left - WORD, load_word(launder(from) + left - WORD));
	store_word(to, first);
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	if (size < 2 * WORD)
		move_few(to, from, size);
	else
		move_up(to, from, size);
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	if (size < 2 * WORD)
		move_few(to, from, size);
	else if ((uintptr_t)to - (uintptr_t)from >= size)
		move_up(to, from, size);
	else
		move_down(to, from, size);
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	uint64_t word = (uint8_t)byte * 0x0101010101010101u;
	char *p = to;

	if (size >= WORD) {
		void *end = p + size - WORD;
		size_t words = size / WORD;
		__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(word) : "memory");
		store_word(end, word);
	} else if (size >= 4) {
		*(any_u32 *)p = (uint32_t)word;
		*(any_u32 *)(p + size - 4) = (uint32_t)word;
	} else if (size) {
		p[0] = p[size / 2] = p[size - 1] = (char)byte;
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	/* Equal words are skipped; the bytes tell about the first unequal one. */
	for (; size >= WORD && load_word(x) == load_word(y); size -= WORD) {
		x += WORD;
		y += WORD;
	}
	for (; size; size--, x++, y++) {
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}

size_t strlen(const char *text)
{
	const char *end = text;
	while (*end)
		end = launder(end) + 1;
	return (size_t)(end - text);
}

size_t strnlen(const char *text, size_t max)
{
	size_t length = 0;
	while (length < max && text[length])
		length++;
	return length;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t max)
{
	for (; max; max--, a++, b++) {
		if (*a != *b || !*a)
			return (unsigned char)*a - (unsigned char)*b;
	}
	return 0;
}

char *strchr(const char *text, int c)
{
	for (;; text++) {
		if (*text == (char)c)
			return (char *)(uintptr_t)text;
		if (!*text)
			return NULL;
	}
}
