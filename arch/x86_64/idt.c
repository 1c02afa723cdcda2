/* The interrupt descriptor table: 256 interrupt gates, each to its stub. All CPUs share it. Intel SDM vol. 3A, section 6.14.1. */
#include "x86_internal.h"

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "the processor's layout");

struct PACKED table_pointer {
	uint16_t limit;
	uint64_t base;
};

enum { GATE_INTERRUPT = 0x8e }; /* present, ring 0; masks interrupts on entry */

static struct gate idt[TRAP_VECTORS];

static unsigned ist_of(unsigned vector)
{
	switch (vector) {
	case TRAP_DOUBLE_FAULT:
		return IST_DOUBLE_FAULT;
	case TRAP_NMI:
		return IST_NMI;
	case TRAP_MACHINE_CHECK:
		return IST_MACHINE_CHECK;
	case TRAP_DEBUG:
		return IST_DEBUG;
	default:
		return IST_NONE;
	}
}

void idt_init(void)
{
	for (unsigned vector = 0; vector < TRAP_VECTORS; vector++) {
		uint64_t stub = (uintptr_t)trap_stubs + vector * TRAP_STUB_SIZE;
		idt[vector] = (struct gate){
		        .offset_low = (uint16_t)stub,
		        .selector = SELECTOR_CODE,
		        .ist = (uint8_t)ist_of(vector),
		        .type = GATE_INTERRUPT,
		        .offset_middle = (uint16_t)(stub >> 16),
		        .offset_high = (uint32_t)(stub >> 32),
		};
	}
	idt_load();
}

void idt_load(void)
{
	struct table_pointer pointer = {sizeof(idt) - 1, (uintptr_t)idt};
	__asm__ volatile("lidt %0" : : "m"(pointer));
}
