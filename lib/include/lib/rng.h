/*
 * A small seeded generator for workloads and placement: splitmix64 (Steele, Lea, Flood, "Fast splittable
 * pseudorandom number generators", OOPSLA 2014). The same seed gives the same stream on every machine. Not
 * for secrets.
 */
#ifndef LIB_RNG_H
#define LIB_RNG_H

#include <lib/compiler.h>

struct rng {
	uint64_t state;
};

static inline void rng_seed(struct rng *rng, uint64_t seed)
{
	rng->state = seed;
}

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Uniform enough for tests in [0, bound). pre: bound > 0 */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	return rng_next(rng) % bound;
}

/*
 * Another one, for workloads that are defined by its stream from 1: xorshift32 (Marsaglia, "Xorshift RNGs", Journal of
 * Statistical Software 8, 2003). pre: *state > 0
 */
static inline uint32_t xorshift32(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

#endif
