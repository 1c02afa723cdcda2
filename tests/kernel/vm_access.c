#include "vm_access.h"

uint8_t vm_peek(const void *address)
{
	return *(const volatile uint8_t *)address;
}

void vm_poke(void *address, uint8_t value)
{
	*(volatile uint8_t *)address = value;
}
