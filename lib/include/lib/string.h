/*
 * The freestanding subset of <string.h>, with the standard's contracts. In a hosted build these names are the
 * C library's. The compiler emits calls of the first four, so they must exist under these names.
 */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <lib/compiler.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *text, int c);

/*
 * Shell-style match of the whole text: `*` any run, `?` any one character, everything else itself. No
 * recursion; at worst O(length of pattern times length of text).
 */
bool glob_match(const char *pattern, const char *text);

/*
 * Unsigned number, decimal or 0x hexadecimal, with an optional suffix K, M or G (powers of 1024; either
 * case). False, and *value untouched, if `text` is not exactly one or does not fit.
 */
bool parse_u64(const char *text, uint64_t *value) MUST_USE;

#endif
