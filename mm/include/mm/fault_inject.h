/*
 * Injected allocation failure. Each place where memory (a frame, an object, an address range) may be refused
 * asks here first; a test arms the n-th question to be answered with "refused". Counting n upward until a
 * call succeeds walks every error path. Debug build only: in release the question compiles to nothing.
 */
#ifndef MM_FAULT_INJECT_H
#define MM_FAULT_INJECT_H

#include <mm/gfp.h>
#include <lib/compiler.h>

/* The nth question from now (1 = the next) fails, once. */
void fault_inject_arm(unsigned nth);

/* Ends the session; true if the failure was delivered. */
bool fault_inject_disarm(void);

bool fault_inject_ask(void); /* out of line; use the function below */
extern bool fault_inject_armed;
extern unsigned fault_inject_suspended; /* atomic: how many are between the two below */

/* Memory that the caller can do without is asked for between these: no question is put meanwhile, on any CPU. */
static inline void fault_inject_suspend(void)
{
	if (IS_DEBUG)
		__atomic_fetch_add(&fault_inject_suspended, 1, __ATOMIC_RELAXED);
}

static inline void fault_inject_resume(void)
{
	if (IS_DEBUG)
		__atomic_fetch_sub(&fault_inject_suspended, 1, __ATOMIC_RELAXED);
}

/* Should this allocation pretend to be out of memory? __GFP_NOFAIL is never refused. */
static inline bool fault_injected(gfp_t gfp)
{
	return IS_DEBUG && unlikely(fault_inject_armed) &&
	       !__atomic_load_n(&fault_inject_suspended, __ATOMIC_RELAXED) && !(gfp & __GFP_NOFAIL) &&
	       fault_inject_ask();
}

#endif
