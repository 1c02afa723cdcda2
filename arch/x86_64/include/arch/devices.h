/* The few devices the kernel itself needs. */
#ifndef ARCH_DEVICES_H
#define ARCH_DEVICES_H

#include <lib/compiler.h>

/* COM1, 115200 8N1, polled (National Semiconductor PC16550D). */
void serial_init(void);
void serial_write(const char *text, size_t length); /* turns \n into \r\n */
bool serial_is_present(void);                       /* else writing goes nowhere, and nothing ever comes */
bool serial_read(char *c);                          /* false if nothing has come */

/*
 * VGA text (IBM, 80 x 25 at 0xb8000) if the adapter is in a text mode; silent otherwise. `framebuffer` is where that is
 * mapped now, write-combining or not; NULL while it is not. Moving it keeps the cursor.
 */
void vga_init(uint16_t *framebuffer);
void vga_write(const char *text, size_t length);

/*
 * QEMU's fw_cfg file `name` (docs/specs/fw_cfg): copies at most `capacity` bytes and returns the file's size, or -1 if
 * there is no fw_cfg or no such file.
 */
long fw_cfg_read_file(const char *name, void *buffer, size_t capacity);

/* QEMU's isa-debug-exit at port 0xf4: ends QEMU with status value << 1 | 1. Returns if there is no such device. */
void debug_exit(uint8_t value);

/*
 * The 8254's channel 0 interrupts this CPU through the 8259 at `hz` (19 .. 596591), calling `tick` in interrupt
 * context. Every other line of the 8259s stays masked.
 */
void timer_start(unsigned hz, void (*tick)(void));
void timer_stop(void);

/* What runs now, hz 0 if nothing does: a test that needs the timer puts it back. */
struct timer {
	unsigned hz;
	void (*tick)(void);
};
struct timer timer_running(void);

/* Time by the time stamp counter, whose rate is measured once against the 8254's channel 2. Interrupts masked. */
void clock_init(void);
extern uint64_t tsc_hz; /* before clock_init(): more than it can be, so that delays are too long */
void delay_us(unsigned microseconds);

/* Cold reset by the keyboard controller; where there is none, by triple fault. */
NORETURN void machine_reset(void);

#endif
