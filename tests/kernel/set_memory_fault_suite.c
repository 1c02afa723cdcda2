/*
 * What set_memory_*() forbids, tried out on every CPU, each of which has remembered before that it was allowed; at the area's
 * address and at the direct map's.
 */
#include "expect_fault.h"
#include <arch/smp.h>
#include <mm/page_alloc.h>
#include <mm/set_memory.h>
#include <mm/vmalloc.h>

enum {
	WRITE_PROTECTED = FAULT_PRESENT | FAULT_WRITE,
	NO_EXECUTE = FAULT_PRESENT | FAULT_FETCH,
	PAGES = 3,
};

static char *area;
static char *direct[PAGES];

static void set_up(void)
{
	area = vmalloc(PAGES << PAGE_SHIFT);
	assert_non_null(area);
	for (size_t page = 0; page < PAGES; page++)
		direct[page] = page_address(vmalloc_to_page(area + (page << PAGE_SHIFT)));
}

static void tear_down(void)
{
	vfree(area);
	area = NULL;
}

/* ---- Trying ------------------------------------------------------------------------------------------------------- */

enum { NO_FAULT = 1 << 16 }; /* beside error codes */

struct attempt {
	void (*access)(void *);
	void *address;
	uint64_t error;
};

/* One CPU at a time: there is one expectation. */
static void attempt(void *context)
{
	struct attempt *a = context;

	try_to_fault(a->access(a->address));
	a->error = NO_FAULT;
	if (expected_fault.faulted && expected_fault.frame.vector == TRAP_PAGE_FAULT &&
	    expected_fault.address.raw == (uintptr_t)a->address)
		a->error = expected_fault.frame.error;
}

static void demand(void (*access)(void *), void *address, uint64_t error)
{
	for (unsigned id = 0; id < nr_cpus_online(); id++) {
		struct attempt a = {.access = access, .address = address};
		cpu_call(1ULL << id, attempt, &a);
		if (a.error != error)
			fail_msg("CPU %u at %p: error 0x%lx, expected 0x%lx", id, address, a.error, error);
	}
}

static void read_byte(void *address)
{
	touch_read(address);
}

static void execute(void *address)
{
	touch_execute(address);
}

static void demand_for_all(void (*access)(void *), uint64_t own, uint64_t in_direct_map)
{
	for (size_t page = 0; page < PAGES; page++) {
		demand(access, area + (page << PAGE_SHIFT) + 16 * page, own);
		demand(access, direct[page] + 16 * page, in_direct_map);
	}
}

/* ---- Cases -------------------------------------------------------------------------------------------------------- */

static void read_only_memory_cannot_be_written_at_either_address_by_any_CPU(void)
{
	demand_for_all(touch_write, NO_FAULT, NO_FAULT);
	assert_true(set_memory_ro((unsigned long)area, PAGES));
	demand_for_all(touch_write, WRITE_PROTECTED, WRITE_PROTECTED);
	demand_for_all(read_byte, NO_FAULT, NO_FAULT);
	assert_true(set_memory_rw((unsigned long)area, PAGES));
	demand_for_all(touch_write, NO_FAULT, NO_FAULT);
}

static void memory_that_is_not_present_cannot_be_read_at_either_address_by_any_CPU(void)
{
	area[1] = 42;
	demand_for_all(read_byte, NO_FAULT, NO_FAULT);
	assert_true(set_memory_np((unsigned long)area, PAGES));
	demand_for_all(read_byte, 0, 0);
	assert_true(set_memory_p((unsigned long)area, PAGES));
	demand_for_all(touch_write, NO_FAULT, NO_FAULT);
	assert_int_equal(area[1], 42);
}

/* movl $0x600df00d, %eax; ret */
static const uint8_t code[] = {0xb8, 0x0d, 0xf0, 0x0d, 0x60, 0xc3};

static uint32_t results[CPUS_MAX];

static void run_code(void *address)
{
	uint32_t (*function)(void) = (uint32_t(*)(void))(uintptr_t)address;
	results[this_cpu()->id] = function();
}

static void code_runs_once_it_is_executable_on_every_CPU_and_no_longer_after(void)
{
	memcpy(area, code, sizeof(code));
	demand(execute, area, NO_EXECUTE);
	assert_true(set_memory_ro((unsigned long)area, 1));
	assert_true(set_memory_x((unsigned long)area, 1));
	for (unsigned id = 0; id < nr_cpus_online(); id++) {
		cpu_call(1ULL << id, run_code, area);
		assert_int_equal(results[id], 0x600df00d);
		results[id] = 0;
	}
	demand(touch_write, area, WRITE_PROTECTED);
	demand(touch_write, direct[0], WRITE_PROTECTED);
	demand(execute, direct[0], NO_EXECUTE);
	assert_true(set_memory_nx((unsigned long)area, 1));
	demand(execute, area, NO_EXECUTE);
}

static void frames_of_an_area_that_was_restricted_can_be_written_by_every_CPU_when_it_is_gone(void)
{
	for (unsigned restriction = 0; restriction < 2; restriction++) {
		demand_for_all(touch_write, NO_FAULT, NO_FAULT);
		assert_true(restriction ? set_memory_np((unsigned long)area, PAGES)
		                        : set_memory_ro((unsigned long)area, PAGES));
		demand_for_all(touch_write, restriction ? 0 : WRITE_PROTECTED,
		               restriction ? 0 : WRITE_PROTECTED);
		vfree(area);
		/* The frames wait for their flush: nobody has them, and what is written is what was there. */
		demand_for_all(touch_write, 0, NO_FAULT);
		set_up();
	}
}

static void pages_of_a_block_fault_where_they_are(void)
{
	struct page *block = alloc_pages(GFP_KERNEL, 1);
	assert_non_null(block);
	char *second = (char *)page_address(block) + PAGE_SIZE;

	demand(touch_write, second, NO_FAULT);
	assert_true(set_memory_ro((unsigned long)second, 1));
	demand(touch_write, second, WRITE_PROTECTED);
	demand(touch_write, second - 1, NO_FAULT);
	assert_true(set_memory_np((unsigned long)second, 1));
	demand(read_byte, second, 0);
	assert_true(set_memory_p((unsigned long)second, 1));
	assert_true(set_memory_rw((unsigned long)second, 1));
	demand(touch_write, second, NO_FAULT);
	__free_pages(block, 1);
}

static const struct test_case cases[] = {
        TEST_CASE(read_only_memory_cannot_be_written_at_either_address_by_any_CPU),
        TEST_CASE(memory_that_is_not_present_cannot_be_read_at_either_address_by_any_CPU),
        TEST_CASE(code_runs_once_it_is_executable_on_every_CPU_and_no_longer_after),
        TEST_CASE(frames_of_an_area_that_was_restricted_can_be_written_by_every_CPU_when_it_is_gone),
        TEST_CASE(pages_of_a_block_fault_where_they_are),
};

extern const struct test_suite set_memory_fault_suite;
const struct test_suite set_memory_fault_suite =
        TEST_SUITE("set_memory_fault", cases, .set_up = set_up, .tear_down = tear_down);
