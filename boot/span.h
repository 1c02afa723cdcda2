/*
 * Bytes that somebody else wrote, with bounds that have been checked. Nothing in them is read but by copying, so that it
 * does not matter where in memory a field lies, and a claim that points outside is an answer, not a fault.
 */
#ifndef BOOT_SPAN_H
#define BOOT_SPAN_H

#include <lib/string.h>

struct span {
	const uint8_t *bytes;
	size_t size;
};

/* Copies `size` bytes from offset `at` of the span. False if they are not all there. Alignment does not matter. */
static inline MUST_USE bool span_copy(struct span from, size_t at, void *to, size_t size)
{
	if (at > from.size || size > from.size - at)
		return false;
	memcpy(to, from.bytes + at, size);
	return true;
}

/* pre: at <= span.size */
static inline struct span span_after(struct span span, size_t at)
{
	return (struct span){span.bytes + at, span.size - at};
}

/* ACPI's checksum: all bytes, added up, are a multiple of 256. */
static inline MUST_USE bool span_sums_to_zero(struct span span)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < span.size; i++)
		sum += span.bytes[i];
	return sum == 0;
}

#endif
