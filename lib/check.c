/* Where a verifier's words live: see <lib/check.h>. */
#include <lib/check.h>
#include <lib/printer.h>

const char *check_failed(const char *fmt, ...)
{
	static char text[256];
	va_list args;

	va_start(args, fmt);
	vformat_buffer(text, sizeof(text), fmt, args);
	va_end(args);
	return text;
}
