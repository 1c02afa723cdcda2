/* What must hold after boot_handoff() has accepted a block, found out by a second, naive reader of the raw bytes. */
#ifndef TESTS_HANDOFF_MODEL_H
#define TESTS_HANDOFF_MODEL_H

#include <boot/boot_info.h>
#include "interval_model.h"

/*
 * NULL, or what is wrong with `out`: a count or string out of bounds, a map that is not the raw block's, something pointed
 * to that is out of reach or not in use. `base`, `info` and `reachable` are what boot_handoff() was given.
 */
const char *handoff_model_check(const uint8_t *base, paddr_t info, uint64_t reachable,
                                const struct boot_info *out) MUST_USE;

/* The raw block's memory map, and what `out` says is in use, as claims. pre: handoff_model_check() was content */
void handoff_model_claims(const uint8_t *base, paddr_t info, const struct boot_info *out,
                          struct interval_model *model);

/* What mm_init() does with the ranges: add, remove, reserve. */
void handoff_model_settle(const struct boot_info *out, struct memblock *mb);

/* Compares around both ends of every claim, wherever in the 64-bit space that is. */
const char *handoff_model_compare(const struct interval_model *model, const struct memblock *mb) MUST_USE;

#endif
