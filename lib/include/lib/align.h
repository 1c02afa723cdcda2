/* Alignment to powers of two. `to` is always a power of two; the *_checked form reports wrap-around. */
#ifndef LIB_ALIGN_H
#define LIB_ALIGN_H

#include <lib/compiler.h>

static inline bool is_power_of_two(uint64_t x)
{
	return x && !(x & (x - 1));
}

static inline bool is_aligned(uint64_t x, uint64_t to)
{
	return !(x & (to - 1));
}

static inline uint64_t align_down(uint64_t x, uint64_t to)
{
	return x & ~(to - 1);
}

/* Wraps to 0 past the last multiple: use only where the caller has bounded x. */
static inline uint64_t align_up(uint64_t x, uint64_t to)
{
	return (x + to - 1) & ~(to - 1);
}

/* False, and *up untouched, if the next multiple does not fit 64 bits. */
static inline MUST_USE bool align_up_checked(uint64_t x, uint64_t to, uint64_t *up)
{
	uint64_t sum;
	if (__builtin_add_overflow(x, to - 1, &sum))
		return false;
	*up = sum & ~(to - 1);
	return true;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
