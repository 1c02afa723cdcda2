/*
 * What only the processor can show of vmalloc: that a touch one byte beyond an area, or of one that is gone, faults at
 * exactly that byte.
 */
#include <mm/page_alloc.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <remote.h>
#include "expect_fault.h"
#include "vm_access.h"

enum { AREA_SIZE = 3 * 4096 };

/* Not a local: it is needed again after a fault. */
static char *area;

static void set_up(void)
{
	area = vmalloc(AREA_SIZE);
	assert_non_null(area);
}

static void tear_down(void)
{
	vfree(area);
	area = NULL;
	vmalloc_set_quarantine(0);
}

static void the_last_byte_is_there_and_reading_the_next_one_faults(void)
{
	vm_poke(area + AREA_SIZE - 1, 42);
	assert_int_equal(touch_read(area + AREA_SIZE - 1), 42);
	expect_page_fault(area + AREA_SIZE, 0, touch_read(area + AREA_SIZE));
	expect_page_fault(area + AREA_SIZE + PAGE_SIZE - 1, 0, touch_read(area + AREA_SIZE + PAGE_SIZE - 1));
}

static void writing_one_byte_past_the_end_faults_there(void)
{
	expect_page_fault(area + AREA_SIZE, FAULT_WRITE, vm_poke(area + AREA_SIZE, 1));
}

static void executing_one_byte_past_the_end_faults_there(void)
{
	expect_page_fault(area + AREA_SIZE, FAULT_FETCH, touch_execute(area + AREA_SIZE));
}

static uint64_t read_word(const char *pointer)
{
	uint64_t word;
	__asm__ volatile("movq (%1), %0" : "=r"(word) : "r"(pointer) : "memory");
	return word;
}

static void a_word_across_the_end_faults_at_the_first_byte_that_is_not_there(void)
{
	expect_page_fault(area + AREA_SIZE, 0, read_word(area + AREA_SIZE - 5));
}

static void memory_of_vmalloc_does_not_execute(void)
{
	vm_poke(area, 0xc3); /* ret */
	expect_page_fault(area, FAULT_PRESENT | FAULT_FETCH, touch_execute(area));
}

static void an_executable_area_executes_and_refuses_to_be_written(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	assert_non_null(page);
	*(uint8_t *)page_address(page) = 0xc3; /* ret */
	vfree(area);
	area = vmap(&page, 1, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL_ROX);
	assert_non_null(area);
	touch_execute(area);
	expect_page_fault(area, FAULT_PRESENT | FAULT_WRITE, vm_poke(area, 0x90));
}

static void touching_an_area_after_vfree_faults(void)
{
	static char *gone;

	gone = area;
	for (size_t page = 0; page < AREA_SIZE / PAGE_SIZE; page++)
		touch_read(gone + page * PAGE_SIZE); /* the TLB knows it */
	tear_down();
	expect_page_fault(gone, 0, touch_read(gone));
	expect_page_fault(gone + 5000, FAULT_WRITE, vm_poke(gone + 5000, 1));
	expect_page_fault(gone + AREA_SIZE - 1, 0, touch_read(gone + AREA_SIZE - 1));
}

static void the_byte_before_an_area_is_not_there_either(void)
{
	tear_down();
	area = __vmalloc_node_range(PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL, PAGE_KERNEL, 0,
	                            NUMA_NO_NODE, NULL);
	assert_non_null(area);
	expect_page_fault(area - 1, 0, touch_read(area - 1));
}

static void a_device_area_ends_in_an_absent_page_too(void)
{
	static char *device;

	device = ioremap(0xfee00000,
	                 PAGE_SIZE); /* the local APIC: there on every such machine, and never RAM */
	assert_non_null(device);
	touch_read(device + 0x30);
	expect_page_fault(device + PAGE_SIZE, 0, touch_read(device + PAGE_SIZE));
	iounmap(device);
}

static void what_runs_off_a_short_lived_mapping_or_uses_it_later_faults(void)
{
	static struct page *frames[2];
	static char *mapping;

	need_window(64UL << 20, "takes blocks of 2 MiB on each CPU");
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 2, frames), 2);
	mapping = vm_map_ram(frames, 2, NUMA_NO_NODE);
	assert_non_null(mapping);
	touch_read(mapping);
	touch_read(mapping + 2 * PAGE_SIZE - 1);
	expect_page_fault(mapping + 2 * PAGE_SIZE, 0, touch_read(mapping + 2 * PAGE_SIZE));
	expect_page_fault(mapping - 1, FAULT_WRITE, vm_poke(mapping - 1, 1));
	vm_unmap_ram(mapping, 2);
	expect_page_fault(mapping, 0, touch_read(mapping));
	expect_page_fault(mapping + 2 * PAGE_SIZE - 1, FAULT_WRITE, vm_poke(mapping + 2 * PAGE_SIZE - 1, 1));
	free_pages_bulk(2, frames);
}

/* Vfree of what is not page-aligned is the suite's tear_down. */
static void the_first_byte_past_a_guarded_object_faults_whatever_its_size(void)
{
	static const size_t sizes[] = {1, 100, 4095, 4097, 10000};
	static size_t i, size;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		test_step(i);
		size = sizes[i];
		vfree(area);
		area = vmalloc_guarded(size, 1);
		assert_non_null(area);
		vm_poke(area + size - 1, 42);
		assert_int_equal(touch_read(area + size - 1), 42);
		expect_page_fault(area + size, 0, touch_read(area + size));
		expect_page_fault(area + size, FAULT_WRITE, vm_poke(area + size, 1));
	}
}

static void the_guard_page_before_a_guarded_object_faults(void)
{
	static char *page;

	vfree(area);
	area = vmalloc_guarded(100, 8);
	assert_non_null(area);
	page = (char *)((uintptr_t)area & PAGE_MASK);
	vm_poke(page, 1); /* slack */
	expect_page_fault(page - 1, FAULT_WRITE, vm_poke(page - 1, 1));
	expect_page_fault(page - PAGE_SIZE, 0, touch_read(page - PAGE_SIZE));
}

/* Of 104 bytes: the word that begins with the last four. */
static void a_word_across_the_end_of_a_guarded_object_faults_at_its_end(void)
{
	vfree(area);
	area = vmalloc_guarded(104, 8);
	assert_non_null(area);
	expect_page_fault(area + 104, 0, read_word(area + 100));
}

static char *gone;

/* What else becomes an area meanwhile does not get its addresses. */
static void touching_an_area_in_quarantine_faults_however_much_was_allocated_since(void)
{
	gone = area;
	vmalloc_set_quarantine(1UL << 20);
	tear_down();
	vm_unmap_aliases();
	static unsigned i;
	for (i = 0; i < 40; i++) {
		void *other = vmalloc(AREA_SIZE);
		assert_non_null(other);
		vfree(other);
		vm_unmap_aliases();
		expect_page_fault(gone, 0, touch_read(gone));
		expect_page_fault(gone + AREA_SIZE - 1, FAULT_WRITE, vm_poke(gone + AREA_SIZE - 1, 1));
	}
	vmalloc_set_quarantine(0);
}

static const struct test_case cases[] = {
        TEST_CASE(the_last_byte_is_there_and_reading_the_next_one_faults),
        TEST_CASE(writing_one_byte_past_the_end_faults_there),
        TEST_CASE(executing_one_byte_past_the_end_faults_there),
        TEST_CASE(a_word_across_the_end_faults_at_the_first_byte_that_is_not_there),
        TEST_CASE(memory_of_vmalloc_does_not_execute),
        TEST_CASE(an_executable_area_executes_and_refuses_to_be_written),
        TEST_CASE(touching_an_area_after_vfree_faults),
        TEST_CASE(the_byte_before_an_area_is_not_there_either),
        TEST_CASE(what_runs_off_a_short_lived_mapping_or_uses_it_later_faults),
        TEST_CASE(a_device_area_ends_in_an_absent_page_too),
        TEST_CASE(touching_an_area_in_quarantine_faults_however_much_was_allocated_since),
        TEST_CASE(the_first_byte_past_a_guarded_object_faults_whatever_its_size),
        TEST_CASE(the_guard_page_before_a_guarded_object_faults),
        TEST_CASE(a_word_across_the_end_of_a_guarded_object_faults_at_its_end),
};

extern const struct test_suite vmalloc_fault_suite;
const struct test_suite vmalloc_fault_suite =
        TEST_SUITE("vmalloc_fault", cases, .set_up = set_up, .tear_down = tear_down);
