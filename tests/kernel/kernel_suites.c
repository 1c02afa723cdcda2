/* The suites that only a machine can run. */
#include <test/test.h>

extern const struct test_suite cmdline_suite, device_suite, levels_suite, mutex_suite, protection_suite,
        screen_suite, set_memory_fault_suite, smp_suite, spinlock_suite, stale_suite, stepper_suite,
        stress_suite, sweep_suite, tlb_smp_suite, tlb_suite, trap_suite, views_smp_suite, vmalloc_fault_suite,
        vmalloc_smp_suite;

extern const struct test_suite *const kernel_suites[];
/* clang-format off */
const struct test_suite *const kernel_suites[] = {
        &cmdline_suite,
        &spinlock_suite,
        &mutex_suite,
        &trap_suite,
        &tlb_suite,
        &protection_suite,
        &levels_suite,
        &vmalloc_fault_suite,
        &set_memory_fault_suite,
        &device_suite,
        &smp_suite,
        &vmalloc_smp_suite,
        &tlb_smp_suite,
        &views_smp_suite,
        &stale_suite,
        &stepper_suite,
        &sweep_suite,
        &stress_suite,
        &screen_suite,
        NULL,
};
/* clang-format on */
