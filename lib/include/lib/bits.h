/* Positions of bits in words and in arrays of words. Results for 0 are undefined where a bit must exist. */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include <lib/compiler.h>

enum { BITS_PER_WORD = 64 };

/* Index of the lowest / highest set bit. pre: x != 0 */
static inline unsigned lowest_bit(uint64_t x)
{
	return (unsigned)__builtin_ctzll(x);
}

static inline unsigned highest_bit(uint64_t x)
{
	return 63U - (unsigned)__builtin_clzll(x);
}

/*
 * By halves, quarters, eighths (Hacker's Delight, 5-1): POPCNT is not in every x86-64, and there is no
 * libgcc.
 */
static inline unsigned count_bits(uint64_t x)
{
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (unsigned)(x * 0x0101010101010101 >> 56);
}

/* floor and ceiling of the base-2 logarithm. pre: x != 0 */
static inline unsigned log2_floor(uint64_t x)
{
	return highest_bit(x);
}

static inline unsigned log2_ceil(uint64_t x)
{
	return x == 1 ? 0 : highest_bit(x - 1) + 1;
}

static inline bool bit_test(const uint64_t *words, size_t bit)
{
	return words[bit / BITS_PER_WORD] >> (bit % BITS_PER_WORD) & 1;
}

static inline void bit_set(uint64_t *words, size_t bit)
{
	words[bit / BITS_PER_WORD] |= 1ULL << (bit % BITS_PER_WORD);
}

static inline void bit_clear(uint64_t *words, size_t bit)
{
	words[bit / BITS_PER_WORD] &= ~(1ULL << (bit % BITS_PER_WORD));
}

#endif
