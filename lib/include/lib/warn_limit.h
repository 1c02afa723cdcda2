/*
 * Which of many warnings to show: a flood of one kind is cut short, and hides no other kind.
 *
 * Two texts are of one kind if they differ in their numbers only, and what is glued to them: the same call refused to the
 * same caller for the same reason, whatever the size. A kind has WARN_BURST lines in a window of time, which begins with
 * its first. The rest are counted, and the number is told once the window is over, by the next warning of any kind.
 *
 * No lock, and nothing allocated: any context, several CPUs at once. Now and then that is a line more or less of a kind whose
 * window just ends, or one counted under the kind that has just taken its place; no text goes uncounted. There is room for
 * WARN_KINDS kinds at a time; beyond that all others are one.
 */
#ifndef LIB_WARN_LIMIT_H
#define LIB_WARN_LIMIT_H

#include <lib/printer.h>

enum { WARN_KINDS = 16, WARN_BURST = 10, WARN_EXCERPT = 100 };

struct warn_kind {
	uint64_t kind;              /* atomic: a hash of the text without its numbers; 0: unused */
	uint64_t since;             /* atomic: when the window began */
	unsigned shown, suppressed; /* atomic */
	char excerpt[WARN_EXCERPT]; /* of its first text, for the number that is told */
};

struct warn_limit {
	uint64_t window; /* constant; in the unit of `now` below */
	struct warn_kind kinds[WARN_KINDS], others;
};

/* May `text` be shown? What there is to tell goes to `out` first. `now` may be a little behind what another CPU said. */
bool warn_limit_admit(struct warn_limit *limit, const char *text, uint64_t now, struct printer *out) MUST_USE;

/* Tells the numbers of all kinds whose window is over at `now`; or of all. */
void warn_limit_tell(struct warn_limit *limit, uint64_t now, struct printer *out);
void warn_limit_tell_all(struct warn_limit *limit, struct printer *out);

#endif
