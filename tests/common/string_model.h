/*
 * The string functions against loops over bytes. They come as pointers, so that one check serves the kernel's
 * own under their names, and on the host both the C library's and a renamed build of the kernel's.
 */
#ifndef TESTS_STRING_MODEL_H
#define TESTS_STRING_MODEL_H

#include <test/test.h>

struct string_functions {
	void *(*memcpy)(void *restrict to, const void *restrict from, size_t size);
	void *(*memmove)(void *to, const void *from, size_t size);
	void *(*memset)(void *to, int byte, size_t size);
	int (*memcmp)(const void *a, const void *b, size_t size);
	size_t (*strlen)(const char *text);
	size_t (*strnlen)(const char *text, size_t max);
	int (*strcmp)(const char *a, const char *b);
	int (*strncmp)(const char *a, const char *b, size_t max);
	char *(*strchr)(const char *text, int c);
};

/* Each fails the running case on the first difference. */
void string_model_copies(const struct string_functions *f);   /* memcpy, all lengths and alignments */
void string_model_moves(const struct string_functions *f);    /* memmove, all overlaps */
void string_model_fills(const struct string_functions *f);    /* memset */
void string_model_compares(const struct string_functions *f); /* memcmp */
void string_model_texts(const struct string_functions *f);    /* str* on a table */
void string_model_random_texts(const struct string_functions *f,
                               uint64_t steps); /* str* on short random texts */

#endif
