/*
 * The oldest timer there is: Intel 8254 channel 0, through a pair of 8259A interrupt controllers. Enough to interrupt
 * whatever the kernel does; every machine since 1984 has or imitates them.
 */
#include <arch/devices.h>
#include <arch/io.h>
#include <arch/irq.h>
#include <lib/panic.h>
#include "x86_internal.h"

enum { PIC1_COMMAND = 0x20, PIC1_DATA = 0x21, PIC2_COMMAND = 0xa0, PIC2_DATA = 0xa1 };
enum {
	PIC_INIT = 0x11 /* edge, cascade, four words */,
	PIC_8086 = 0x01,
	PIC_EOI = 0x20,
	PIC_READ_SERVICED = 0x0b
};
enum { CASCADE_LINE = 2, SPURIOUS_LINE = 7 };

enum { PIT_CHANNEL0 = 0x40, PIT_COMMAND = 0x43, PIT_RATE = 0x34 /* channel 0, both bytes, mode 2 */ };
enum {
	PIT_HZ = 1193182,
	PIT_HZ_MIN = 19,         /* the divisor has 16 bits */
	PIT_HZ_MAX = PIT_HZ / 2, /* mode 2 cannot count by 1 */
};

static struct timer running;

void pic_init(void)
{
	outb(PIC1_COMMAND, PIC_INIT);
	outb(PIC2_COMMAND, PIC_INIT);
	outb(PIC1_DATA, PIC_VECTOR); /* at power-on they collide with the exceptions */
	outb(PIC2_DATA, PIC_VECTOR + 8);
	outb(PIC1_DATA, 1 << CASCADE_LINE);
	outb(PIC2_DATA, CASCADE_LINE);
	outb(PIC1_DATA, PIC_8086);
	outb(PIC2_DATA, PIC_8086);
	outb(PIC1_DATA, 0xff);
	outb(PIC2_DATA, 0xff);
}

/* A request that went away before it was asked for shows as line 7 with no line in service; none must be ended. */
bool pic_is_spurious(unsigned vector)
{
	if (vector == PIC_VECTOR + SPURIOUS_LINE) {
		outb(PIC1_COMMAND, PIC_READ_SERVICED);
		return !(inb(PIC1_COMMAND) & 1 << SPURIOUS_LINE);
	}
	if (vector == PIC_VECTOR + 8 + SPURIOUS_LINE) {
		outb(PIC2_COMMAND, PIC_READ_SERVICED);
		if (inb(PIC2_COMMAND) & 1 << SPURIOUS_LINE)
			return false;
		outb(PIC1_COMMAND, PIC_EOI); /* the cascade itself was real */
		return true;
	}
	return false;
}

/* Ended before the handler runs, not after: a handler may be left by a panic that a test expected. */
static void on_tick(struct trap_frame *frame)
{
	(void)frame;
	outb(PIC1_COMMAND, PIC_EOI);
	if (running.tick)
		running.tick();
}

void timer_start(unsigned hz, void (*tick)(void))
{
	if (hz < PIT_HZ_MIN || hz > PIT_HZ_MAX)
		panic("timer_start: %u Hz is not in [%d, %d]", hz, PIT_HZ_MIN, PIT_HZ_MAX);

	irqflags_t flags = irq_save();
	unsigned divisor = PIT_HZ / hz;
	running = (struct timer){hz, tick};
	irq_register(PIC_VECTOR, on_tick);
	outb(PIT_COMMAND, PIT_RATE);
	outb(PIT_CHANNEL0, (uint8_t)divisor);
	outb(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
	outb(PIC1_DATA, 0xfe);
	irq_restore(flags);
}

void timer_stop(void)
{
	irqflags_t flags = irq_save();
	outb(PIC1_DATA, 0xff);
	running = (struct timer){0, NULL};
	irq_restore(flags);
}

struct timer timer_running(void)
{
	return running;
}
