/* What acpi_find_cpus() must have found, read a second time, naively, from the raw bytes. */
#ifndef TESTS_ACPI_MODEL_H
#define TESTS_ACPI_MODEL_H

#include <boot/acpi.h>

/*
 * NULL if `out` is what a reader without haste makes of the same tables, else the difference in words. Whether there is a
 * refusal is compared, its text is not. `info`, `base` and `reachable` are what acpi_find_cpus() was given.
 */
const char *acpi_model_check(const struct boot_info *info, const uint8_t *base, uint64_t reachable,
                             const struct acpi_cpus *out) MUST_USE;

#endif
