/* The views of the address space while other CPUs change it: they print what they find, and never follow what has gone. */
#include <arch/smp.h>
#include <mm/pagetable.h>
#include <mm/ptdump.h>
#include <mm/vmalloc.h>
#include <remote.h>
#include <test/test.h>
#include "other_cpus.h"

/* Each area brings tables of its own; flushed at once, they go back and are overwritten. */
static void map_and_unmap(void *mapped)
{
	while (stage_now() < 1) {
		void *area = vmalloc(PMD_SIZE + PAGE_SIZE);
		if (area)
			count_up(mapped);
		vfree(area);
		vm_unmap_aliases();
	}
}

static unsigned nr_view_lines, nr_mapped;

static void count_lines(struct printer *printer, const char *text, size_t length)
{
	(void)printer;
	for (size_t i = 0; i < length; i++)
		nr_view_lines += text[i] == '\n';
}

static void views_may_be_printed_while_others_map_and_unmap(void)
{
	struct printer counter = {.write = count_lines};
	enum { VIEWS = 50, LINES_EACH = 10 /* at the least: headings, windows, totals */ };

	need_window(64UL << 20, "takes areas of 2 MiB on each CPU");
	need_another_cpu();
	nr_view_lines = nr_mapped = 0;
	start_work_on_others(map_and_unmap, &nr_mapped);
	for (unsigned n = 0; n < VIEWS; n++) {
		ptdump(&kernel_pagetable, &counter);
		vmalloc_picture(vmalloc_used_range(), &counter);
		cpu_serve();
	}
	set_stage(1);
	wait_for_others();
	assert_at_least(nr_view_lines, VIEWS * LINES_EACH);
	assert_at_least(nr_mapped, 1);
}

static const struct test_case cases[] = {
        TEST_CASE(views_may_be_printed_while_others_map_and_unmap),
};

extern const struct test_suite views_smp_suite;
const struct test_suite views_smp_suite =
        TEST_SUITE("views_smp", cases, .set_up = begin_with_others, .tear_down = end_with_others);
