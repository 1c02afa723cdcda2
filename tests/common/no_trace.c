#include <no_trace.h>
#include <mm/fault_inject.h>

static struct mm_fingerprint before;

void remember_memory(void)
{
	mm_fingerprint(&before);
}

bool memory_is_like_before(void)
{
	static struct mm_fingerprint after;

	mm_fingerprint(&after);
	return mm_fingerprint_equal(&before, &after, test_printer());
}

void need_injected_failures(void)
{
	if (!IS_DEBUG)
		test_skip("needs injected failure: debug build only");
}

void refuse_allocation(unsigned nth)
{
	test_warnings_begin();
	fault_inject_arm(nth);
}

bool was_refused(bool succeeded)
{
	bool refused = fault_inject_disarm();

	assert_int_equal(test_warnings_end(), succeeded ? 0 : 1);
	assert_true(succeeded || refused);
	return refused;
}
