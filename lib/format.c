/*
 * printf-style formatting into a printer. Each conversion is read into a struct spec, its argument is
 * fetched, and the text goes out in at most five pieces:
 *
 *	spaces | sign or 0x | zeros | digits or text | spaces
 *
 * No piece is assembled in memory longer than one number, so width and precision may be anything. Allocates
 * nothing, keeps no state, stack use is constant.
 */
#include <lib/printer.h>
#include <lib/string.h>

enum { DIGITS_MAX = 22 }; /* 2^64 - 1 in octal */

enum length { LENGTH_CHAR, LENGTH_SHORT, LENGTH_INT, LENGTH_LONG }; /* long: 64 bits, like ll, z, t and j */

struct spec {
	bool left, plus, space, alternate, zero;
	bool has_precision;
	size_t width, precision;
	enum length length;
};

/* A va_list that can be handed on by address, which a va_list parameter cannot be. */
struct arguments {
	va_list list;
};

static void put(struct printer *printer, const char *text, size_t length)
{
	if (length)
		printer->write(printer, text, length);
}

static void put_repeated(struct printer *printer, char c, size_t count)
{
	static const char spaces[] = "                ", zeros[] = "0000000000000000";
	const char *run = c == '0' ? zeros : spaces;

	while (count) {
		size_t n = count < sizeof(spaces) - 1 ? count : sizeof(spaces) - 1;
		put(printer, run, n);
		count -= n;
	}
}

/* What goes between the outer spaces. */
struct body {
	const char *prefix, *text;
	size_t prefix_length, zeros, text_length;
};

static void put_body(struct printer *printer, const struct spec *spec, struct body body)
{
	size_t length = body.prefix_length + body.zeros + body.text_length;
	size_t padding = spec->width > length ? spec->width - length : 0;

	if (!spec->left)
		put_repeated(printer, ' ', padding);
	put(printer, body.prefix, body.prefix_length);
	put_repeated(printer, '0', body.zeros);
	put(printer, body.text, body.text_length);
	if (spec->left)
		put_repeated(printer, ' ', padding);
}

static void put_text(struct printer *printer, const struct spec *spec, const char *text, size_t length)
{
	put_body(printer, spec, (struct body){.text = text, .text_length = length});
}

/* Writes the digits so that they end at `end`; none for 0. Returns the first. */
static char *write_digits(char *end, uint64_t value, unsigned base, const char *alphabet)
{
	for (; value; value /= base)
		*--end = alphabet[value % base];
	return end;
}

static void put_number(struct printer *printer, const struct spec *spec, char conversion, const char *prefix,
                       uint64_t value)
{
	char digits[DIGITS_MAX], *end = digits + DIGITS_MAX, *first;
	size_t wanted = spec->has_precision ? spec->precision : 1; /* at least so many digits */

	if (conversion == 'x')
		first = write_digits(end, value, 16, "0123456789abcdef");
	else if (conversion == 'X')
		first = write_digits(end, value, 16, "0123456789ABCDEF");
	else if (conversion == 'o')
		first = write_digits(end, value, 8, "01234567");
	else
		first = write_digits(end, value, 10, "0123456789");

	struct body body = {prefix, first, strlen(prefix), 0, (size_t)(end - first)};
	if (conversion == 'o' && spec->alternate && wanted <= body.text_length)
		wanted = body.text_length + 1;
	if (wanted > body.text_length)
		body.zeros = wanted - body.text_length;
	size_t length = body.prefix_length + body.zeros + body.text_length;
	if (spec->zero && !spec->left && !spec->has_precision && spec->width > length)
		body.zeros += spec->width - length;
	put_body(printer, spec, body);
}

static uint64_t take_unsigned(struct arguments *arguments, enum length length)
{
	switch (length) {
	case LENGTH_CHAR:
		return (uint8_t)va_arg(arguments->list, unsigned);
	case LENGTH_SHORT:
		return (uint16_t)va_arg(arguments->list, unsigned);
	case LENGTH_INT:
		return va_arg(arguments->list, unsigned);
	default:
		return va_arg(arguments->list, unsigned long);
	}
}

static int64_t take_signed(struct arguments *arguments, enum length length)
{
	switch (length) {
	case LENGTH_CHAR:
		return (int8_t)va_arg(arguments->list, int);
	case LENGTH_SHORT:
		return (int16_t)va_arg(arguments->list, int);
	case LENGTH_INT:
		return va_arg(arguments->list, int);
	default:
		return va_arg(arguments->list, long);
	}
}

static void put_signed(struct printer *printer, const struct spec *spec, int64_t value)
{
	const char *sign = value < 0 ? "-" : spec->plus ? "+" : spec->space ? " " : "";
	/* Negated as unsigned: the most negative number has no positive twin. */
	put_number(printer, spec, 'd', sign, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void put_unsigned(struct printer *printer, const struct spec *spec, char conversion, uint64_t value)
{
	const char *prefix = "";
	if (spec->alternate && value && conversion == 'x')
		prefix = "0x";
	if (spec->alternate && value && conversion == 'X')
		prefix = "0X";
	put_number(printer, spec, conversion, prefix, value);
}

static void put_string(struct printer *printer, const struct spec *spec, const char *text)
{
	if (!text)
		text = "(null)";
	put_text(printer, spec, text, spec->has_precision ? strnlen(text, spec->precision) : strlen(text));
}

static void put_pointer(struct printer *printer, const struct spec *spec, uintptr_t address)
{
	struct spec whole = *spec;
	whole.has_precision = true;
	whole.precision = 2 * sizeof(address);
	put_number(printer, &whole, 'x', "0x", address);
}

/* name+0xoffset, padded as one text: the digits go behind the name, so the width counts both. */
static void put_symbol(struct printer *printer, const struct spec *spec, uintptr_t address)
{
	uintptr_t offset = 0;
	const char *name = printer->symbol ? printer->symbol(address, &offset) : NULL;
	if (!name) {
		put_pointer(printer, spec, address);
		return;
	}
	char tail[DIGITS_MAX + 3], *end = tail + sizeof(tail);
	char *first = write_digits(end, offset, 16, "0123456789abcdef");
	if (!offset)
		*--first = '0';
	*--first = 'x';
	*--first = '0';
	*--first = '+';
	put_body(printer, spec, (struct body){name, first, strlen(name), 0, (size_t)(end - first)});
}

/* Flags, width, precision and length modifier; returns where the conversion character should be. */
static const char *parse_flags(struct spec *spec, const char *fmt)
{
	for (;; fmt++) {
		switch (*fmt) {
		case '-':
			spec->left = true;
			break;
		case '+':
			spec->plus = true;
			break;
		case ' ':
			spec->space = true;
			break;
		case '#':
			spec->alternate = true;
			break;
		case '0':
			spec->zero = true;
			break;
		default:
			return fmt;
		}
	}
}

static const char *parse_digits(size_t *number, const char *fmt)
{
	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		*number = *number * 10 + (size_t)(*fmt - '0');
	return fmt;
}

static const char *parse_width(struct spec *spec, const char *fmt, struct arguments *arguments)
{
	if (*fmt != '*')
		return parse_digits(&spec->width, fmt);
	long width = va_arg(arguments->list, int);
	if (width < 0)
		spec->left = true;
	spec->width = (size_t)(width < 0 ? -width : width);
	return fmt + 1;
}

static const char *parse_precision(struct spec *spec, const char *fmt, struct arguments *arguments)
{
	if (*fmt != '.')
		return fmt;
	fmt++;
	spec->has_precision = true;
	if (*fmt != '*')
		return parse_digits(&spec->precision, fmt);
	int precision = va_arg(arguments->list, int);
	spec->has_precision = precision >= 0; /* a negative one is as none */
	spec->precision = precision >= 0 ? (size_t)precision : 0;
	return fmt + 1;
}

static const char *parse_length(struct spec *spec, const char *fmt)
{
	switch (*fmt) {
	case 'h':
		spec->length = fmt[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT;
		return fmt + (fmt[1] == 'h' ? 2 : 1);
	case 'l':
		spec->length = LENGTH_LONG;
		return fmt + (fmt[1] == 'l' ? 2 : 1);
	case 'z':
	case 't':
	case 'j':
		spec->length = LENGTH_LONG;
		return fmt + 1;
	default:
		return fmt;
	}
}

_Static_assert(sizeof(long) == 8 && sizeof(long long) == 8 && sizeof(size_t) == 8 && sizeof(ptrdiff_t) == 8,
               "l, ll, z, t and j are fetched alike");

/*
 * One conversion, `fmt` behind its `%`. Returns what follows it; NULL, with nothing printed, if it is none of
 * ours.
 */
static const char *put_conversion(struct printer *printer, const char *fmt, struct arguments *arguments)
{
	struct spec spec = {.length = LENGTH_INT};
	char c;

	fmt = parse_flags(&spec, fmt);
	fmt = parse_width(&spec, fmt, arguments);
	fmt = parse_precision(&spec, fmt, arguments);
	fmt = parse_length(&spec, fmt);
	switch (*fmt) {
	case 'd':
	case 'i':
		put_signed(printer, &spec, take_signed(arguments, spec.length));
		return fmt + 1;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		put_unsigned(printer, &spec, *fmt, take_unsigned(arguments, spec.length));
		return fmt + 1;
	case 'c':
		c = (char)va_arg(arguments->list, int);
		put_text(printer, &spec, &c, 1);
		return fmt + 1;
	case 's':
		put_string(printer, &spec, va_arg(arguments->list, const char *));
		return fmt + 1;
	case 'p':
		if (fmt[1] == 'S') {
			put_symbol(printer, &spec, (uintptr_t)va_arg(arguments->list, void *));
			return fmt + 2;
		}
		put_pointer(printer, &spec, (uintptr_t)va_arg(arguments->list, void *));
		return fmt + 1;
	case '%':
		put(printer, "%", 1);
		return fmt + 1;
	default:
		return NULL;
	}
}

void vprint(struct printer *printer, const char *fmt, va_list args)
{
	struct arguments arguments;
	const char *plain = fmt; /* [plain, fmt) is to be printed as it stands */

	va_copy(arguments.list, args);
	while (*fmt) {
		if (*fmt++ != '%')
			continue;
		put(printer, plain, (size_t)(fmt - 1 - plain));
		const char *next = put_conversion(printer, fmt, &arguments);
		plain = next ? next : fmt - 1;
		if (next)
			fmt = next;
	}
	put(printer, plain, (size_t)(fmt - plain));
	va_end(arguments.list);
}

void print(struct printer *printer, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprint(printer, fmt, args);
	va_end(args);
}

static void buffer_write(struct printer *printer, const char *text, size_t length)
{
	struct buffer_printer *buffer = container_of(printer, struct buffer_printer, printer);

	if (buffer->length < buffer->capacity) {
		size_t room = buffer->capacity - 1 - buffer->length;
		size_t kept = length < room ? length : room;
		memcpy(buffer->text + buffer->length, text, kept);
		buffer->text[buffer->length + kept] = '\0';
	}
	buffer->length += length;
}

void buffer_printer_init(struct buffer_printer *buffer, char *text, size_t capacity)
{
	*buffer = (struct buffer_printer){.printer.write = buffer_write, .text = text, .capacity = capacity};
	if (capacity)
		text[0] = '\0';
}

size_t vformat_buffer(char *text, size_t capacity, const char *fmt, va_list args)
{
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, text, capacity);
	vprint(&buffer.printer, fmt, args);
	return buffer.length;
}

size_t format_buffer(char *text, size_t capacity, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	size_t length = vformat_buffer(text, capacity, fmt, args);
	va_end(args);
	return length;
}
