/* Names of code addresses, from the ELF symbols that the loader handed over. */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H

#include <boot/boot_info.h>

/* Keeps pointers into loader memory, which must stay reserved. */
void symbols_init(const struct boot_info *info);

/* The function that holds `address` and the distance to its start, or NULL. O(symbols); allocates nothing. */
const char *symbol_find(uintptr_t address, uintptr_t *offset);

/* The address of a named symbol, or 0. */
uintptr_t symbol_address(const char *name);

#endif
