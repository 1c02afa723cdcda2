/* Which warnings are shown, on private limits with a clock of our own, and against a model that compares texts. */
#include <lib/warn_limit.h>
#include <test/test.h>

enum { WINDOW = 1000 };

static struct warn_limit limit;
static struct buffer_printer told;
static char told_text[4096];

static void set_up(void)
{
	limit = (struct warn_limit){.window = WINDOW};
	buffer_printer_init(&told, told_text, sizeof(told_text));
}

/* And forgets what was told before. */
static bool admitted(const char *text, uint64_t now)
{
	buffer_printer_init(&told, told_text, sizeof(told_text));
	return warn_limit_admit(&limit, text, now, &told.printer);
}

static unsigned admitted_of(unsigned count, const char *text, uint64_t now)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < count; i++)
		shown += admitted(text, now);
	return shown;
}

static void a_flood_is_cut_short_and_says_so_once(void)
{
	for (unsigned i = 0; i < WARN_BURST; i++) {
		assert_true(admitted("a flood", 5));
		assert_string_equal(told_text, "");
	}
	assert_false(admitted("a flood", 5));
	assert_string_equal(told_text,
	                    "warning: too many like it: those that follow are counted, not shown\n");
	assert_false(admitted("a flood", 5 + WINDOW));
	assert_string_equal(told_text, "");
}

static void a_flood_hides_no_other_kind(void)
{
	admitted_of(1000, "vmalloc: 4096 bytes, gfp 0x8, from f+0x21: no frames", 1);
	assert_true(admitted("vmalloc: 4096 bytes, gfp 0x8, from f+0x21: no virtual space", 1));
	assert_true(admitted("vmalloc: 4096 bytes, gfp 0x8, from g+0x21: no frames", 1));
	assert_true(admitted("vmap: 4096 bytes, gfp 0x8, from f+0x21: no frames", 1));
}

static void numbers_make_no_kind(void)
{
	assert_int_equal(admitted_of(WARN_BURST, "vmalloc: 1 bytes, gfp 0x8, from f+0x21: no frames", 1),
	                 WARN_BURST);
	assert_false(admitted("vmalloc: 81920 bytes, gfp 0xff8, from f+0xabc: no frames", 1));
	assert_false(admitted("vmalloc: 0xffffc00000001000 bytes, gfp 9, from f+0: no frames", 1));
	assert_true(admitted("vmalloc: 1 byte, gfp 0x8, from f+0x21: no frames", 1));
	assert_true(admitted("vmalloc: 1 bytes, gfp 0x8, from f+0x21: no frames, 2", 1));
}

static void what_was_not_shown_is_told_when_the_window_is_over(void)
{
	assert_int_equal(admitted_of(WARN_BURST + 7, "7 of a kind", 100), WARN_BURST);
	assert_int_equal(admitted_of(WARN_BURST + 3, "another kind", 200), WARN_BURST);
	assert_false(admitted("8 of a kind", 100 + WINDOW));
	assert_true(admitted("8 of a kind", 101 + WINDOW));
	assert_string_equal(told_text, "warning: 8 like it were not shown: 7 of a kind\n");
	assert_true(admitted("a third kind", 201 + WINDOW));
	assert_string_equal(told_text, "warning: 3 like it were not shown: another kind\n");
	/* And each has a window of its own again. */
	assert_int_equal(admitted_of(WARN_BURST, "9 of a kind", 102 + WINDOW), WARN_BURST - 1);
	assert_int_equal(admitted_of(WARN_BURST + 1, "another kind", 5000), WARN_BURST);
	warn_limit_tell(&limit, 5000 + WINDOW, &told.printer);
	buffer_printer_init(&told, told_text, sizeof(told_text));
	warn_limit_tell(&limit, 5001 + WINDOW, &told.printer);
	assert_string_equal(told_text, "warning: 1 like it were not shown: another kind\n");
}

static void all_that_is_left_to_tell_can_be_told_at_once(void)
{
	admitted_of(WARN_BURST + 2, "one kind", 1);
	admitted_of(WARN_BURST, "all shown", 1);
	buffer_printer_init(&told, told_text, sizeof(told_text));
	warn_limit_tell_all(&limit, &told.printer);
	assert_string_equal(told_text, "warning: 2 like it were not shown: one kind\n");
	buffer_printer_init(&told, told_text, sizeof(told_text));
	warn_limit_tell_all(&limit, &told.printer);
	assert_string_equal(told_text, "");
}

static void a_clock_that_is_a_little_behind_changes_nothing(void)
{
	assert_int_equal(admitted_of(WARN_BURST, "kind", 10000), WARN_BURST);
	assert_false(admitted("kind", 9990));
	assert_false(admitted("kind", 10000));
	assert_true(admitted("other", 9980));
	assert_int_equal(admitted_of(2 * WARN_BURST, "other", 10000), WARN_BURST - 1);
}

static const char *kind_name(unsigned n)
{
	static char name[8];

	format_buffer(name, sizeof(name), "k%c%c", 'a' + n / 26, 'a' + n % 26);
	return name;
}

static void kinds_beyond_the_room_share_what_one_has_and_get_room_when_others_are_over(void)
{
	for (unsigned n = 0; n < WARN_KINDS; n++)
		assert_int_equal(admitted_of(WARN_BURST + 1, kind_name(n), 10), WARN_BURST);
	unsigned shown = 0;
	for (unsigned n = WARN_KINDS; n < 3 * WARN_KINDS; n++)
		shown += admitted_of(2, kind_name(n), 20);
	assert_int_equal(shown, WARN_BURST);
	assert_int_equal(admitted_of(1, kind_name(0), 20), 0); /* those who have room keep it */
	assert_int_equal(admitted_of(1, "late", 21 + WINDOW), 1);
	assert_matches(told_text,
	               "*warning: 54 like it were not shown: of more kinds than there is room for\n");
	assert_matches(told_text, "*warning: 2 like it were not shown: kaa\n*");
	assert_int_equal(admitted_of(WARN_BURST + 1, kind_name(40), 22 + WINDOW), WARN_BURST);
	assert_int_equal(admitted_of(WARN_BURST + 1, kind_name(41), 22 + WINDOW), WARN_BURST);
}

/* What a kind has been through, kept by name. As many kinds as there is room for. */
static struct {
	uint64_t since;
	unsigned shown, suppressed;
} model[WARN_KINDS];

static void random_floods_agree_with_a_model_and_every_text_is_shown_or_told(void)
{
	enum { STEPS = 20000 };
	size_t shown = 0, suppressed = 0;
	uint64_t now = 1;
	struct rng rng;

	memset(model, 0, sizeof(model));
	rng_seed(&rng, test_seed());
	for (size_t step = 0; step < STEPS; step++) {
		test_step(step);
		now += rng_below(&rng, 100) ? rng_below(&rng, 4) : rng_below(&rng, 3 * WINDOW);
		unsigned kind = (unsigned)rng_below(&rng, 1 + rng_below(&rng, WARN_KINDS));
		size_t tellable = 0;
		for (unsigned n = 0; n < WARN_KINDS; n++) {
			if (now - model[n].since > WINDOW) {
				tellable += model[n].suppressed;
				model[n].suppressed = 0;
				model[n].shown = 0;
			}
		}
		if (!model[kind].shown)
			model[kind].since = now;
		bool expected = model[kind].shown < WARN_BURST;
		model[kind].shown += expected;
		model[kind].suppressed += !expected;
		assert_int_equal(admitted(kind_name(kind), now), expected);
		for (const char *number = told_text; *number; number = strchr(number, '\n') + 1) {
			size_t count = 0;
			for (const char *digit = number + strlen("warning: "); *digit >= '0' && *digit <= '9';
			     digit++)
				count = count * 10 + (size_t)(*digit - '0');
			tellable -= count;
		}
		assert_int_equal(tellable, 0);
		shown += expected;
		suppressed += !expected;
	}
	assert_at_least(shown, 1000);
	assert_at_least(suppressed, 1000);
}

static const struct test_case cases[] = {
        TEST_CASE(a_flood_is_cut_short_and_says_so_once),
        TEST_CASE(a_flood_hides_no_other_kind),
        TEST_CASE(numbers_make_no_kind),
        TEST_CASE(what_was_not_shown_is_told_when_the_window_is_over),
        TEST_CASE(all_that_is_left_to_tell_can_be_told_at_once),
        TEST_CASE(a_clock_that_is_a_little_behind_changes_nothing),
        TEST_CASE(kinds_beyond_the_room_share_what_one_has_and_get_room_when_others_are_over),
        TEST_CASE(random_floods_agree_with_a_model_and_every_text_is_shown_or_told),
};

const struct test_suite warn_limit_suite = TEST_SUITE("warn_limit", cases, .set_up = set_up);
