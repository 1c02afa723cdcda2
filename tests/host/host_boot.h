/* A small PC for the memory subsystem to boot on. */
#ifndef HOST_HOST_BOOT_H
#define HOST_HOST_BOOT_H

/*
 * Creates the hosted machine, whose processor walks 4 or 5 `levels` of tables, and runs mm_init() on it; NULL, or
 * mm_init()'s reason for refusing. Once.
 */
const char *host_boot(unsigned levels);

#endif
