/* The order in which suites run: each relies on what the ones before it have shown. */
#include "all_suites.h"

extern const struct test_suite lib_suite, warn_limit_suite, rbtree_suite, memblock_suite, handoff_suite,
        acpi_suite, buddy_suite, page_alloc_suite, slab_suite, kmalloc_suite, va_space_suite, pagetable_suite,
        pagetable_5_levels_suite, window_suite, vmalloc_suite, guard_suite, quarantine_suite,
        vmalloc_huge_suite, ioremap_suite, vm_map_ram_suite, set_memory_suite, pressure_suite, refusal_suite,
        mm_suite, views_suite, vmalloc_workload_suite;

const struct test_suite *const all_suites[] = {
        &lib_suite,
        &warn_limit_suite,
        &rbtree_suite,
        &memblock_suite,
        &handoff_suite,
        &acpi_suite,
        &buddy_suite,
        &page_alloc_suite,
        &slab_suite,
        &kmalloc_suite,
        &va_space_suite,
        &pagetable_suite,
        &pagetable_5_levels_suite,
        &window_suite,
        &vmalloc_suite,
        &guard_suite,
        &quarantine_suite,
        &vmalloc_huge_suite,
        &ioremap_suite,
        &vm_map_ram_suite,
        &set_memory_suite,
        &pressure_suite,
        &refusal_suite,
        &mm_suite,
        &views_suite,
        &vmalloc_workload_suite,
        NULL,
};
