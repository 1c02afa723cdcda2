/* Device memory where there are devices: what the kernel itself has mapped. */
#include <arch/apic.h>
#include <arch/cpu.h>
#include <arch/pte.h>
#include <mm/ioremap.h>
#include <test/test.h>
#include "../../mm/ioremap_internal.h"

enum { APIC_VERSION = 0x30, APIC_SPURIOUS = 0xf0 };

static uint64_t apic_page(void)
{
	uint64_t registers = apic_is_present() ? apic_registers().raw : 0;

	if (!registers)
		test_skip("no local APIC whose registers are memory");
	return registers;
}

static void the_local_apic_reads_the_same_through_a_second_mapping(void)
{
	static volatile uint32_t *first, *second;
	uint64_t at = apic_page();

	first = ioremap(at, PAGE_SIZE);
	second = ioremap(at + APIC_SPURIOUS, 4);
	assert_true(first && second);
	assert_int_equal(first[APIC_VERSION / 4] & 0xf0, 0x10); /* an integrated APIC's version is 1x */
	assert_int_equal(first[APIC_SPURIOUS / 4] & 1 << 8, 1 << 8);
	assert_int_equal(*second, first[APIC_SPURIOUS / 4]);
	iounmap((const void *)second);
	iounmap((const void *)first);
}

static void the_kernels_local_apic_cannot_be_had_write_back(void)
{
	expect_warning("ioremap_cache: 1 bytes, gfp 0x8, from "
	               "the_kernels_local_apic_cannot_be_had_write_back+0x*: "
	               "WB, but 0x*-0x* is mapped UC- from *start*+0x*",
	               assert_null(ioremap_cache(apic_page(), 1)));
}

/* Nothing lies lower: it is leftmost in its tree, whichever that is. */
static bool text_screen_is_mapped(void)
{
	for (unsigned type = 0; type < MEMORY_TYPES; type++) {
		for (const struct rb_node *node = device_trees[type].node; node; node = node->left) {
			if (container_of(node, struct device_mapping, rb)->range.start.raw == 0xb8000)
				return true;
		}
	}
	return false;
}

static void the_text_screen_is_mapped_write_combining(void)
{
	static uint16_t *again;

	if (!text_screen_is_mapped() || !cpu_features.pat)
		test_skip("no text screen, or no PAT");
	expect_warning("ioremap: 4000 bytes, gfp 0x8, from *: UC-, but 0xb8000-0xb9000 is mapped WC from *",
	               assert_null(ioremap(0xb8000, 4000)));
	again = ioremap_wc(0xb8000, 4000);
	assert_non_null(again);
	iounmap(again);
}

static const struct test_case cases[] = {
        TEST_CASE(the_local_apic_reads_the_same_through_a_second_mapping),
        TEST_CASE(the_kernels_local_apic_cannot_be_had_write_back),
        TEST_CASE(the_text_screen_is_mapped_write_combining),
};

extern const struct test_suite device_suite;
const struct test_suite device_suite = TEST_SUITE("device", cases);
