/*
 * Where the machine puts the kernel's windows: in the 128 TiB that end the address space, whether processors translate
 * 48 bits or 57. The host has a header of the same name.
 *
 *	0xffff_8000_0000_0000  direct map of all RAM, 16 TiB at most: 32-bit frame numbers
 *	0xffff_a000_0000_0000  frame array: struct page of pfn n at base + 16 n
 *	0xffff_b000_0000_0000  region of the vmalloc window, 64 TiB; <mm/vmalloc_window.h> says where in it the window lies
 *	0xffff_ffff_8000_0000  kernel image
 *
 * Unmapped space lies between all of them.
 */
#ifndef ARCH_MACHINE_H
#define ARCH_MACHINE_H

#define DIRECTMAP_BASE 0xffff800000000000UL
#define DIRECTMAP_SIZE (1UL << 44)
#define FRAMES_BASE    0xffffa00000000000UL
#define KIMAGE_BASE    0xffffffff80000000UL

/*
 * The window's region; and the window, unless the command line says otherwise: 32 TiB at one of 2^24 + 1 multiples of
 * 2 MiB, so of 24 bits, or at the fixed base.
 */
#define VMALLOC_REGION_START 0xffffb00000000000UL
#define VMALLOC_REGION_END   0xfffff00000000000UL
#define VMALLOC_SIZE         (1UL << 45)
#define VMALLOC_FIXED_BASE   0xffffc00000000000UL

#endif
