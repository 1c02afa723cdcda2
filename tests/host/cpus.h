/* Tests on several CPUs at once, each with what mm/ keeps for it. */
#ifndef HOST_TEST_CPUS_H
#define HOST_TEST_CPUS_H

/*
 * host_cpus_run(), from CPU 0, with each CPU made ready for mm/ before it comes online and emptied before it goes. `fn` may
 * not fail the test: it notes what it sees. Fails the test if there is no memory to begin with.
 */
void run_on_cpus(unsigned nr_cpus, void (*fn)(void *context), void *context);

/* Returns on each of `nr_cpus` CPUs when all have called it; answers calls meanwhile. */
struct meeting {
	unsigned nr_cpus;
	unsigned arrived, held; /* atomic: who waits now; how many meetings there were */
};
void meet(struct meeting *meeting);

#endif
