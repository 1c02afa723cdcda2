/*
 * One byte at a vmalloc address. In the kernel that is a load or a store; on the host no such address can be
 * dereferenced, and the modelled processor translates it instead. A fault fails the case.
 */
#ifndef VM_ACCESS_H
#define VM_ACCESS_H

#include <lib/compiler.h>

uint8_t vm_peek(const void *address);
void vm_poke(void *address, uint8_t value);

#endif
