#include "vm_access.h"
#include <host/soft_mmu.h>
#include <test/test.h>

uint8_t vm_peek(const void *address)
{
	struct host_fault fault = {0};
	uint8_t value = 0;

	if (!host_mmu_read(vaddr_of(address), &value, &fault))
		fail_msg("reading %p faults: vector %u, error 0x%x", address, fault.vector, fault.error);
	return value;
}

void vm_poke(void *address, uint8_t value)
{
	struct host_fault fault = {0};

	if (!host_mmu_write(vaddr_of(address), value, &fault))
		fail_msg("writing %p faults: vector %u, error 0x%x", address, fault.vector, fault.error);
}
