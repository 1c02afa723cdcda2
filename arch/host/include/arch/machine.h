/*
 * The hosted machine's windows. Fake RAM is a reserved stretch of the process's own memory whose first byte
 * is physical address 0; the frame array is another. The vmalloc window has the kernel's addresses: nothing
 * in mm/ dereferences them, and tests reach them through the modelled processor in <host/soft_mmu.h>.
 */
#ifndef ARCH_MACHINE_H
#define ARCH_MACHINE_H

#include <stdint.h>

extern uintptr_t host_ram_base; /* set by host_machine_create() */
extern uintptr_t host_ram_span; /* bytes of address space behind it */
extern uintptr_t host_frames_base;

#define DIRECTMAP_BASE host_ram_base
#define DIRECTMAP_SIZE host_ram_span
#define FRAMES_BASE    host_frames_base
#define KIMAGE_BASE    0xffffffff80000000UL

#define VMALLOC_REGION_START 0xffffb00000000000UL
#define VMALLOC_REGION_END   0xfffff00000000000UL
#define VMALLOC_SIZE         (1UL << 45)
#define VMALLOC_FIXED_BASE   0xffffc00000000000UL

#endif
