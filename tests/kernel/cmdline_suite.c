/* The parser of kernel parameters: what is understood, and what is said about the rest. */
#include <arch/machine.h>
#include <kernel/cmdline.h>
#include <kernel/window.h>
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

static void the_vmalloc_window_has_a_size_and_perhaps_an_address(void)
{
	struct parameters p = parse("vmalloc=4M");

	assert_int_equal(p.window.size, 4UL << 20);
	assert_false(p.window.placed);
	p = parse("vmalloc=0x200000@0xffffd00000000000");
	assert_int_equal(p.window.size, 2UL << 20);
	assert_true(p.window.placed);
	assert_int_equal(p.window.base, 0xffffd00000000000);
	p = parse("vmalloc=64T@0xffffb00000000000");
	assert_int_equal(p.window.size, 64UL << 40);
	assert_int_equal(nr_complaints, 0);
	assert_int_equal(parse("exit").window.size, 0);
}

static void a_vmalloc_window_that_cannot_be_is_named_with_the_reason_and_ignored(void)
{
	static const struct {
		const char *text, *reason;
	} bad[] = {
	        {"1M", ": less than 2 MiB"},
	        {"0", ": less than 2 MiB"},
	        {"2097153", ": not a multiple of 2 MiB"},
	        {"3M", ": not a multiple of 2 MiB"},
	        {"65T", ": more than the whole region, 64 TiB"},
	        {"2M@0xffffd00000001000", ": the address is not a multiple of 2 MiB"},
	        {"2M@0", ": outside the region 0xffffb00000000000-0xfffff00000000000"},
	        {"2M@0xffffafffffe00000", ": outside the region 0xffffb00000000000-0xfffff00000000000"},
	        {"4M@0xffffefffffe00000", ": outside the region 0xffffb00000000000-0xfffff00000000000"},
	        {"64T@0xffffb00000200000", ": outside the region 0xffffb00000000000-0xfffff00000000000"},
	        {"2M@", ""},
	        {"@0xffffd00000000000", ""},
	        {"2M@0xffffd00000000000@", ""},
	        {"plenty", ""},
	};
	char line[160];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		test_step(i);
		format_buffer(line, sizeof(line), "vmalloc=8M vmalloc=%s", bad[i].text);
		struct parameters p = parse(line);
		assert_int_equal(p.window.size, 8UL << 20); /* what was good before */
		assert_false(p.window.placed);
		assert_int_equal(nr_complaints, 1);
		format_buffer(line, sizeof(line), "command line: vmalloc: bad value \"%s\"%s", bad[i].text,
		              bad[i].reason);
		assert_string_equal(complaints, line);
	}
	parse("vmalloc");
	assert_string_equal(complaints, "command line: vmalloc: value missing");
}

static void what_keeps_areas_apart_has_a_number_each(void)
{
	struct parameters p = parse("vmalloc_gaps=1024 vmalloc_quarantine=64M nokaslr");

	assert_int_equal(p.gaps, 1024);
	assert_int_equal(p.quarantine, 64UL << 20);
	assert_true(p.nokaslr);
	assert_int_equal(nr_complaints, 0);
	assert_int_equal(parse("vmalloc_gaps=1025").gaps, 0);
	assert_string_equal(complaints, "command line: vmalloc_gaps: bad value \"1025\": too large");
	assert_false(parse("vmalloc_quarantine=").quarantine);
	assert_string_equal(complaints, "command line: vmalloc_quarantine: bad value \"\"");
}

/* ---- The window that follows from it ---- */

static struct vrange chosen(const char *text)
{
	struct parameters p = parse(text);

	return window_choose(&p);
}

static void assert_window(struct vrange window, uint64_t start, uint64_t size)
{
	assert_int_equal(window.start.raw, start);
	assert_int_equal(vrange_size(window), size);
}

static void the_window_is_where_the_command_line_has_it(void)
{
	assert_window(chosen("nokaslr"), VMALLOC_FIXED_BASE, VMALLOC_SIZE);
	assert_window(chosen("bench"), VMALLOC_FIXED_BASE, VMALLOC_SIZE); /* figures repeat */
	assert_window(chosen("nokaslr seed=5 vmalloc=2M"), VMALLOC_FIXED_BASE, 2UL << 20);
	assert_window(chosen("nokaslr vmalloc=64T"), VMALLOC_REGION_START, 64UL << 40);
	assert_window(chosen("vmalloc=4M@0xffffd00000000000"), 0xffffd00000000000, 4UL << 20);
}

static void one_seed_gives_one_window_and_none_gives_another_each_time(void)
{
	struct vrange five = chosen("seed=5"), six = chosen("seed=6");

	assert_int_equal(chosen("seed=5").start.raw, five.start.raw);
	assert_int_equal(chosen("seed=5 test bench").start.raw, five.start.raw);
	assert_int_not_equal(five.start.raw, six.start.raw);
	assert_int_not_equal(chosen("seed=0").start.raw, VMALLOC_FIXED_BASE);
	/* Three draws that are all alike are one chance in 2^48. */
	uint64_t first = chosen("").start.raw, second = chosen("").start.raw;
	assert_true(first != second || second != chosen("").start.raw);
}

static void the_report_says_how_many_places_there_were_and_whence_the_choice(void)
{
	char text[160];
	struct buffer_printer out;

	chosen("seed=5 vmalloc=32T");
	buffer_printer_init(&out, text, sizeof(text));
	window_describe(&out.printer);
	assert_string_equal(
	        text, "vmalloc window: at one of 16777217 places, 24 bits of entropy, from the seed: none "
	              "for who knows it\n");
	chosen("nokaslr");
	buffer_printer_init(&out, text, sizeof(text));
	window_describe(&out.printer);
	assert_string_equal(text, "vmalloc window: at a fixed place\n");
	chosen("vmalloc=2M");
	buffer_printer_init(&out, text, sizeof(text));
	window_describe(&out.printer);
	assert_matches(text, "vmalloc window: at one of 33554432 places, 25 bits of entropy, from *\n");
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
        TEST_CASE(the_vmalloc_window_has_a_size_and_perhaps_an_address),
        TEST_CASE(a_vmalloc_window_that_cannot_be_is_named_with_the_reason_and_ignored),
        TEST_CASE(what_keeps_areas_apart_has_a_number_each),
        TEST_CASE(the_window_is_where_the_command_line_has_it),
        TEST_CASE(one_seed_gives_one_window_and_none_gives_another_each_time),
        TEST_CASE(the_report_says_how_many_places_there_were_and_whence_the_choice),
        TEST_CASE(a_crash_is_named),
        TEST_CASE(unknown_words_are_named_and_the_rest_still_counts),
        TEST_CASE(names_must_match_whole),
        TEST_CASE(bad_values_are_named),
        TEST_CASE(missing_values_are_named),
        TEST_CASE(values_that_do_not_fit_are_refused_not_cut),
        TEST_CASE(endless_words_are_skipped_whole),
};

const struct test_suite cmdline_suite = TEST_SUITE("cmdline", cases);
