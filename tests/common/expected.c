#include <expected.h>

#include <lib/printer.h>

const char *expected(const char *fmt, ...)
{
	static char pattern[256];
	va_list args;

	va_start(args, fmt);
	vformat_buffer(pattern, sizeof(pattern), fmt, args);
	va_end(args);
	return pattern;
}
