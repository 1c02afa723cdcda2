/* Takes memory away, so that a case reaches exhaustion soon on a machine of any size. */
#ifndef TESTS_HOG_H
#define TESTS_HOG_H

#include <lib/compiler.h>

/* Takes frames in the largest blocks there are, until about `leave` frames are left. */
void hog_frames(size_t leave);

/* Gives them all back. Also right in a tear_down: does nothing when nothing was taken. */
void hog_release(void);

#endif
