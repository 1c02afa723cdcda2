/* How a case shows that a verifier sees one kind of damage. */
#ifndef TESTS_EXPECT_BROKEN_H
#define TESTS_EXPECT_BROKEN_H

#include <test/test.h>

/*
 * With the damage done, `check` must say what matches `pattern`; with it repaired, nothing. The words are judged after the
 * repair, so that a case that fails leaves a sound system. `check` is evaluated twice.
 */
#define expect_broken_by(check, pattern, damage, repair) \
	do {                                             \
		damage;                                  \
		const char *said_ = (check);             \
		repair;                                  \
		assert_non_null(said_);                  \
		assert_matches(said_, pattern);          \
		assert_sound(check);                     \
	} while (0)

#endif
