/* Two ways for the machine to end: with a status that QEMU passes on, or by starting over. */
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/io.h>

enum { DEBUG_EXIT_PORT = 0xf4 };
enum { KEYBOARD_STATUS = 0x64, KEYBOARD_COMMAND = 0x64, INPUT_FULL = 1 << 1, PULSE_RESET = 0xfe };

void debug_exit(uint8_t value)
{
	outb(DEBUG_EXIT_PORT, value);
}

NORETURN void machine_reset(void)
{
	static const struct PACKED {
		uint16_t limit;
		uint64_t base;
	} no_idt = {0, 0};

	irq_disable();
	for (unsigned polls = 0; inb(KEYBOARD_STATUS) & INPUT_FULL && polls < 10000; polls++)
		__builtin_ia32_pause();
	outb(KEYBOARD_COMMAND, PULSE_RESET);
	for (unsigned waited = 0; waited < 100000; waited++)
		inb(KEYBOARD_STATUS); /* each takes about a microsecond; the reset takes effect in between */

	__asm__ volatile("lidt %0; int3" : : "m"(no_idt));
	cpu_halt_forever();
}
