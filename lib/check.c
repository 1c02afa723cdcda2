/* Where a verifier's words live: see <lib/check.h>. */
#include <lib/check.h>
#include <lib/printer.h>

const char *check_failed(const char *fmt, ...)
{
	static char text[256];
	struct buffer_printer buffer;
	va_list args;

	buffer_printer_init(&buffer, text, sizeof(text));
	va_start(args, fmt);
	vprint(&buffer.printer, fmt, args);
	va_end(args);
	return text;
}
