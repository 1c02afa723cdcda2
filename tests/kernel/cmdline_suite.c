/* The parser of kernel parameters: what is understood, and what is said about the rest. */
#include <kernel/cmdline.h>
#include <test/test.h>

static char complaints[512];
static unsigned nr_complaints;

static void note_complaint(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vformat_buffer(complaints, sizeof(complaints), fmt, args);
	va_end(args);
	nr_complaints++;
}

static struct parameters parse(const char *text)
{
	struct parameters parameters;

	memset(&parameters, 0xa5, sizeof(parameters)); /* parsing must set every field */
	nr_complaints = 0;
	complaints[0] = '\0';
	cmdline_parse(text, &parameters, note_complaint);
	return parameters;
}

static void an_empty_line_asks_for_nothing(void)
{
	struct parameters p = parse(" \t\n ");

	assert_false(p.test || p.bench || p.exit || p.shell);
	assert_int_equal(p.seed, 0);
	assert_string_equal(p.crash, "");
	assert_int_equal(nr_complaints, 0);
}

static void switches_are_found_between_any_blanks(void)
{
	struct parameters p = parse("  exit\t shell ");

	assert_true(p.exit && p.shell);
	assert_false(p.test || p.bench);
	assert_int_equal(nr_complaints, 0);
}

static void test_alone_means_every_test(void)
{
	struct parameters p = parse("test");

	assert_true(p.test);
	assert_string_equal(p.test_glob, "*");
	assert_false(p.bench);
}

static void globs_are_taken_as_they_stand(void)
{
	struct parameters p = parse("test=vmalloc.a_* bench=k?ee*");

	assert_true(p.test && p.bench);
	assert_string_equal(p.test_glob, "vmalloc.a_*");
	assert_string_equal(p.bench_glob, "k?ee*");
	assert_int_equal(nr_complaints, 0);
}

static void the_last_of_two_wins(void)
{
	assert_string_equal(parse("test=a test=b").test_glob, "b");
	assert_int_equal(parse("seed=1 seed=2").seed, 2);
}

static void seeds_are_decimal_or_hexadecimal(void)
{
	assert_int_equal(parse("seed=42").seed, 42);
	assert_int_equal(parse("seed=0xdeadbeef").seed, 0xdeadbeef);
	assert_int_equal(parse("seed=18446744073709551615").seed, UINT64_MAX);
	assert_int_equal(nr_complaints, 0);
}

static void a_soak_is_given_in_minutes(void)
{
	assert_int_equal(parse("soak=30").soak, 30);
	assert_int_equal(parse("soak").soak, 0);
	assert_string_equal(complaints, "command line: soak: value missing");
}

static void a_check_of_page_tables_is_given_in_batches(void)
{
	assert_int_equal(parse("ptcheck=1000").ptcheck, 1000);
	assert_int_equal(parse("ptcheck=many").ptcheck, 0);
	assert_string_equal(complaints, "command line: ptcheck: bad value \"many\"");
}

static void a_crash_is_named(void)
{
	assert_string_equal(parse("crash=vmalloc-overflow exit").crash, "vmalloc-overflow");
}

static void unknown_words_are_named_and_the_rest_still_counts(void)
{
	struct parameters p = parse("quiet=1 exit");

	assert_true(p.exit);
	assert_int_equal(nr_complaints, 1);
	assert_string_equal(complaints, "command line: unknown parameter quiet");
}

static void names_must_match_whole(void)
{
	assert_false(parse("tes").test);
	assert_false(parse("tests").test);
	assert_string_equal(complaints, "command line: unknown parameter tests");
	parse("=5");
	assert_string_equal(complaints, "command line: unknown parameter ");
}

static void bad_values_are_named(void)
{
	assert_int_equal(parse("seed=12x").seed, 0);
	assert_string_equal(complaints, "command line: seed: bad value \"12x\"");
	parse("seed=18446744073709551616");
	assert_int_equal(nr_complaints, 1);
	assert_false(parse("exit=yes").exit);
	assert_string_equal(complaints, "command line: exit: bad value \"yes\"");
	assert_false(parse("test=").test);
	assert_string_equal(complaints, "command line: test: bad value \"\"");
}

static void missing_values_are_named(void)
{
	parse("seed");
	assert_string_equal(complaints, "command line: seed: value missing");
	parse("crash");
	assert_string_equal(complaints, "command line: crash: value missing");
}

static void values_that_do_not_fit_are_refused_not_cut(void)
{
	char line[100];
	struct parameters p;
	int room = sizeof(p.test_glob) - 1;

	format_buffer(line, sizeof(line), "test=%0*d", room, 0);
	p = parse(line);
	assert_true(p.test);
	assert_int_equal(strlen(p.test_glob), room);

	format_buffer(line, sizeof(line), "test=%0*d", room + 1, 0);
	assert_false(parse(line).test);
	assert_int_equal(nr_complaints, 1);
}

static void endless_words_are_skipped_whole(void)
{
	static char line[1024];

	format_buffer(line, sizeof(line), "%01000d exit", 0);
	assert_true(parse(line).exit);
	assert_int_equal(nr_complaints, 1);
	assert_matches(complaints, "command line: word too long: 000*...");
}

static const struct test_case cases[] = {
        TEST_CASE(an_empty_line_asks_for_nothing),
        TEST_CASE(switches_are_found_between_any_blanks),
        TEST_CASE(test_alone_means_every_test),
        TEST_CASE(globs_are_taken_as_they_stand),
        TEST_CASE(the_last_of_two_wins),
        TEST_CASE(seeds_are_decimal_or_hexadecimal),
        TEST_CASE(a_soak_is_given_in_minutes),
        TEST_CASE(a_check_of_page_tables_is_given_in_batches),
        TEST_CASE(a_crash_is_named),
        TEST_CASE(unknown_words_are_named_and_the_rest_still_counts),
        TEST_CASE(names_must_match_whole),
        TEST_CASE(bad_values_are_named),
        TEST_CASE(missing_values_are_named),
        TEST_CASE(values_that_do_not_fit_are_refused_not_cut),
        TEST_CASE(endless_words_are_skipped_whole),
};

const struct test_suite cmdline_suite = TEST_SUITE("cmdline", cases);
