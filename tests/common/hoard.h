/* Takes memory away, so that a case reaches exhaustion soon on a machine of any size. */
#ifndef TESTS_HOARD_H
#define TESTS_HOARD_H

#include <lib/compiler.h>
#include <mm/page_alloc.h>

/* Held blocks of any order, chained through the owners of their entries: a hoard needs no memory of its own. */
struct hoard {
	struct page *first;
	size_t frames;
};

/* Puts one block into the hoard, held with alloc_pages(). */
void hoard_add(struct hoard *hoard, struct page *page);

/* Takes the largest blocks that `gfp` gets, until about `leave` frames are free or every order was refused. */
void hoard_take(struct hoard *hoard, gfp_t gfp, size_t leave);

/* Frees blocks, the latest first, until `frames` frames are free of it or none is left; returns how many it freed. */
size_t hoard_give(struct hoard *hoard, size_t frames);

/* Frees all. Also right in a tear_down: does nothing when nothing was taken. */
void hoard_release(struct hoard *hoard);

#endif
