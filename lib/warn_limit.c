/*
 * Warnings by kind: a small table of hashes.
 *
 *	text ──► hash without numbers ──► its slot, or one that nobody needs any more, or the one of all others
 *	                                  │ window over: tell what was suppressed, begin a new one
 *	                                  └ shown < WARN_BURST: show; else count
 *
 * W1  Every text is either shown, or in its slot's `suppressed` until that is told.
 * W2  A slot changes its kind only when its window is over and nothing is left to tell.
 *
 * A slot is taken over by one compare-and-swap of its kind; everything else in it is then as after any window's end. A new
 * window begins by one of `since`.
 */
#include <lib/warn_limit.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* FNV-1a (Fowler, Noll, Vo) of what is no number; never 0. "0x1f" is one from its first digit. */
static uint64_t kind_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	while (*text) {
		if (is_digit(*text)) {
			while (is_alphanumeric(*text))
				text++;
			continue;
		}
		hash = (hash ^ (uint8_t)*text++) * 0x100000001b3ULL;
	}
	return hash ? hash : 1;
}

/* Signed: CPUs' clocks may be a little apart. */
static bool is_over(const struct warn_limit *limit, const struct warn_kind *slot, uint64_t now)
{
	uint64_t since = __atomic_load_n(&slot->since, __ATOMIC_RELAXED);
	return (int64_t)(now - since) > (int64_t)limit->window;
}

static void tell(struct warn_kind *slot, struct printer *out)
{
	unsigned suppressed = __atomic_exchange_n(&slot->suppressed, 0, __ATOMIC_RELAXED);

	if (suppressed)
		print(out, "warning: %u like it were not shown: %s\n", suppressed,
		      *slot->excerpt ? slot->excerpt : "of more kinds than there is room for");
}

void warn_limit_tell(struct warn_limit *limit, uint64_t now, struct printer *out)
{
	for (unsigned i = 0; i < WARN_KINDS; i++)
		if (is_over(limit, &limit->kinds[i], now))
			tell(&limit->kinds[i], out);
	if (is_over(limit, &limit->others, now))
		tell(&limit->others, out);
}

void warn_limit_tell_all(struct warn_limit *limit, struct printer *out)
{
	for (unsigned i = 0; i < WARN_KINDS; i++)
		tell(&limit->kinds[i], out);
	tell(&limit->others, out);
}

/* W2: may another kind have it? */
static bool is_free(const struct warn_limit *limit, const struct warn_kind *slot, uint64_t now)
{
	return is_over(limit, slot, now) && !__atomic_load_n(&slot->suppressed, __ATOMIC_RELAXED);
}

/* The slot of `kind`, taken over if need be; that of all others if there is none to be had. */
static struct warn_kind *find_slot(struct warn_limit *limit, uint64_t kind, const char *text, uint64_t now)
{
	/* Whoever is overtaken looks again; but not for ever. */
	for (unsigned tries = 0; tries < WARN_KINDS; tries++) {
		unsigned spare = WARN_KINDS;
		uint64_t spare_kind = 0;
		for (unsigned i = 0; i < WARN_KINDS; i++) {
			struct warn_kind *slot = &limit->kinds[i];
			uint64_t found = __atomic_load_n(&slot->kind, __ATOMIC_ACQUIRE);
			if (found == kind)
				return slot;
			if (spare == WARN_KINDS && (!found || is_free(limit, slot, now))) {
				spare = i;
				spare_kind = found;
			}
		}
		if (spare == WARN_KINDS)
			break;
		struct warn_kind *taken = &limit->kinds[spare];
		if (__atomic_compare_exchange_n(&taken->kind, &spare_kind, kind, false, __ATOMIC_ACQ_REL,
		                                __ATOMIC_RELAXED)) {
			format_buffer(taken->excerpt, sizeof(taken->excerpt), "%s", text);
			if (!spare_kind)
				__atomic_store_n(&taken->since, now, __ATOMIC_RELAXED);
			return taken;
		}
	}
	return &limit->others;
}

/* Begins a new window if the last one is over. */
static void renew(const struct warn_limit *limit, struct warn_kind *slot, uint64_t now)
{
	uint64_t since = __atomic_load_n(&slot->since, __ATOMIC_RELAXED);

	if (is_over(limit, slot, now) &&
	    __atomic_compare_exchange_n(&slot->since, &since, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		__atomic_store_n(&slot->shown, 0, __ATOMIC_RELAXED);
}

bool warn_limit_admit(struct warn_limit *limit, const char *text, uint64_t now, struct printer *out)
{
	warn_limit_tell(limit, now, out);
	struct warn_kind *slot = find_slot(limit, kind_of(text), text, now);
	renew(limit, slot, now);
	if (__atomic_fetch_add(&slot->shown, 1, __ATOMIC_RELAXED) < WARN_BURST)
		return true;
	if (!__atomic_fetch_add(&slot->suppressed, 1, __ATOMIC_RELAXED))
		print(out, "warning: too many like it: those that follow are counted, not shown\n");
	return false;
}
