/*
 * Questions about memory that others may write meanwhile: one load each, in one instruction with the comparison, where a
 * compiler makes two of an atomic load and what follows it. They order as that load would with acquire, since loads do on this
 * machine, and the compiler moves nothing across. Shared by both machines.
 */
#ifndef ARCH_COMPARE_H
#define ARCH_COMPARE_H

#include <lib/compiler.h>

static ALWAYS_INLINE bool memory_is_u8(const uint8_t *at, uint8_t value)
{
	bool equal;
	__asm__ volatile("cmpb %2, %1" : "=@cce"(equal) : "m"(*at), "qi"(value) : "memory");
	return equal;
}

static ALWAYS_INLINE bool memory_is_u16(const uint16_t *at, uint16_t value)
{
	bool equal;
	__asm__ volatile("cmpw %2, %1" : "=@cce"(equal) : "m"(*at), "ri"(value) : "memory");
	return equal;
}

#endif
