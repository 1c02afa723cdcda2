/*
 * Exceptions as things to be asserted. expect_fault() runs a statement and demands that it raises this vector;
 * expect_page_fault() demands the address and the error code as well. Nothing is printed when it does.
 */
#ifndef EXPECT_FAULT_H
#define EXPECT_FAULT_H

#include <kernel/panic.h>
#include <test/test.h>

/* What the last expected fault left behind: frame and CR2. */
extern struct expectation expected_fault;

/* Fails the case unless the last expectation ended in `vector`. */
void fault_demand(const char *file, int line, const char *statement, unsigned vector);
void fault_demand_page(const char *file, int line, const char *statement, uint64_t address, uint64_t error);

/* Comes out at its end either way; expected_fault tells which. For cases that must clean up before they may fail. */
#define try_to_fault(statement)                               \
	do {                                                  \
		if (!context_save(&expected_fault.context)) { \
			panic_expect(&expected_fault);        \
			statement;                            \
			panic_expect(NULL);                   \
		}                                             \
	} while (0)

#define expect_fault(number, statement)                               \
	do {                                                          \
		try_to_fault(statement);                              \
		fault_demand(__FILE__, __LINE__, #statement, number); \
	} while (0)

#define expect_page_fault(at, error_code, statement)                                           \
	do {                                                                                   \
		try_to_fault(statement);                                                       \
		fault_demand_page(__FILE__, __LINE__, #statement, (uint64_t)(at), error_code); \
	} while (0)

/* Accesses that the optimiser neither moves nor drops. */
uint8_t touch_read(const void *pointer);
void touch_write(void *pointer);
void touch_execute(const void *pointer);

/* Uses up the current stack. */
void overflow_stack(void);

#endif
