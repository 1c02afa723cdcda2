/* A small PC for the memory subsystem to boot on. */
#ifndef HOST_HOST_BOOT_H
#define HOST_HOST_BOOT_H

/* Creates the hosted machine and runs mm_init() on it; NULL, or mm_init()'s reason for refusing. Once. */
const char *host_boot(void);

#endif
