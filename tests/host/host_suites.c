#include "host_suites.h"

extern const struct test_suite host_lib_suite, host_machine_suite, host_machine_5_levels_suite,
        smp_machine_suite, smp_threads_suite, spinlock_threads_suite;

const struct test_suite *const host_suites[] = {
        &host_lib_suite,
        &host_machine_suite,
        &host_machine_5_levels_suite,
        &spinlock_threads_suite,
        &smp_machine_suite,
        &smp_threads_suite,
        NULL,
};
