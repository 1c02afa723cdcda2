/* Demanding that faults happen, and the accesses that make them. */
#include "expect_fault.h"

struct expectation expected_fault;

void fault_demand(const char *file, int line, const char *statement, unsigned vector)
{
	if (!expected_fault.faulted && !expected_fault.message[0])
		test_fail(file, line, "%s: no fault", statement);
	if (!expected_fault.faulted)
		test_fail(file, line, "%s: panic \"%s\" instead of a %s", statement, expected_fault.message,
		          trap_name(vector));
	if (expected_fault.frame.vector != vector)
		test_fail(file, line, "%s: %s instead of a %s", statement,
		          trap_name((unsigned)expected_fault.frame.vector), trap_name(vector));
}

void fault_demand_page(const char *file, int line, const char *statement, uint64_t address, uint64_t error)
{
	fault_demand(file, line, statement, TRAP_PAGE_FAULT);
	if (expected_fault.address.raw != address)
		test_fail(file, line, "%s: fault at 0x%lx, expected at 0x%lx", statement,
		          expected_fault.address.raw, address);
	if (expected_fault.frame.error != error)
		test_fail(file, line, "%s: error code 0x%lx, expected 0x%lx", statement,
		          expected_fault.frame.error, error);
}

uint8_t NOINLINE touch_read(const void *pointer)
{
	return *(const volatile uint8_t *)pointer;
}

/* Writes what is there, so that a write that wrongly succeeds harms nothing. */
void NOINLINE touch_write(void *pointer)
{
	uint8_t same = *(volatile uint8_t *)pointer;
	*(volatile uint8_t *)pointer = same;
}

void NOINLINE touch_execute(const void *pointer)
{
	__asm__ volatile("call *%0"
	                 :
	                 : "r"(pointer)
	                 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc", "memory");
}

static NOINLINE unsigned use_stack(unsigned depth, const volatile bool *endless)
{
	volatile uint8_t frame[120];
	frame[0] = (uint8_t)depth;
	if (!*endless)
		return depth;
	return use_stack(depth + 1, endless) + frame[0];
}

void overflow_stack(void)
{
	static volatile bool endless = true;
	use_stack(0, &endless);
}
