/*
 * One byte at a vmalloc address. In the kernel that is a load or a store; on the host no such address can be
 * dereferenced, and the modelled processor translates it instead. A fault fails the case.
 */
#ifndef VM_ACCESS_H
#define VM_ACCESS_H

#include <lib/compiler.h>
#include <mm/pagetable.h>

uint8_t vm_peek(const void *address);
void vm_poke(void *address, uint8_t value);

/* By the kernel's tables; without an access. */
static inline bool is_mapped(vaddr_t address)
{
	struct translation leaf;
	return pagetable_lookup(&kernel_pagetable, address, &leaf);
}

#endif
