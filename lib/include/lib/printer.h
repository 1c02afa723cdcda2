/*
 * A printer is a sink for text: the serial line, a buffer, a test. Every dump takes one as a parameter, so
 * that mm/ can describe itself without knowing where the words go. Formatting allocates nothing and keeps no
 * state.
 *
 * Conversions: %d %i %u %x %X %o %c %s %p %% with flags "-0+ #", width and precision (also `*`), and the
 * length modifiers hh h l ll z t j. %p prints 0x and 16 digits; %pS prints a code address as name+0xoffset if
 * the printer can name it, else like %p. Anything else is printed as it stands.
 */
#ifndef LIB_PRINTER_H
#define LIB_PRINTER_H

#include <stdarg.h>
#include <lib/compiler.h>

struct printer {
	/* Takes `length` bytes, not NUL-terminated. Must not fail: a sink that is full drops. */
	void (*write)(struct printer *printer, const char *text, size_t length);
	/*
	 * The function that holds `address` and the distance to its start; NULL if unknown. The member may be
	 * NULL.
	 */
	const char *(*symbol)(uintptr_t address, uintptr_t *offset);
};

void print(struct printer *printer, const char *fmt, ...) PRINTF_LIKE(2, 3);
void vprint(struct printer *printer, const char *fmt, va_list args) PRINTF_LIKE(2, 0);

/* A printer into memory: keeps the first `capacity` - 1 bytes, always NUL-terminated when capacity > 0. */
struct buffer_printer {
	struct printer printer;
	char *text;
	size_t capacity;
	size_t length; /* what the whole text would have needed, without the NUL; >= capacity means cut */
};
void buffer_printer_init(struct buffer_printer *buffer, char *text, size_t capacity);

/* snprintf's contract: returns the length the whole text would have had, without the NUL. */
size_t format_buffer(char *text, size_t capacity, const char *fmt, ...) PRINTF_LIKE(3, 4);
size_t vformat_buffer(char *text, size_t capacity, const char *fmt, va_list args) PRINTF_LIKE(3, 0);

#endif
