/*
 * The code by which every CPU but the first gets from real mode into C. It is data here, to be copied to a page below
 * 1 MiB; there, struct ap_parameters is to be filled in, and the page mapped at its own physical address, executable,
 * until the CPU has left it.
 */
#ifndef BOOT_AP_TRAMPOLINE_H
#define BOOT_AP_TRAMPOLINE_H

#include <lib/compiler.h>

extern const uint8_t ap_trampoline[];
extern const uint32_t ap_trampoline_size, ap_trampoline_parameters; /* bytes; offset of the parameters */

/* ap_trampoline.asm knows the order. */
struct ap_parameters {
	uint32_t root; /* physical address of the page tables: 32-bit code loads it */
	uint32_t cr0;
	uint32_t cr4;       /* PAE, and LA57 if the tables have five levels */
	uint32_t refusal;   /* 0; the CPU makes it 1 if it cannot walk so many, and goes no further */
	uint64_t stack_top; /* 16-aligned */
	uint64_t entry;     /* a function of one argument that does not return */
	uint64_t argument;
};
_Static_assert(sizeof(struct ap_parameters) == 40, "the assembler's layout");

#endif
