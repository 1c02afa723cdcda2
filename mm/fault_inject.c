/* Injected failure: a countdown of questions. Counted atomically, as any CPU and any handler may ask. */
#include <mm/fault_inject.h>

bool fault_inject_armed;
unsigned fault_inject_suspended;
static unsigned questions_left;
static bool delivered;

void fault_inject_arm(unsigned nth)
{
	questions_left = nth;
	delivered = false;
	fault_inject_armed = nth > 0;
}

bool fault_inject_disarm(void)
{
	fault_inject_armed = false;
	return delivered;
}

bool fault_inject_ask(void)
{
	if (__atomic_sub_fetch(&questions_left, 1, __ATOMIC_RELAXED) != 0)
		return false;
	fault_inject_armed = false;
	delivered = true;
	return true;
}
