/*
 * COM1: National Semiconductor PC16550D, polled. A UART that is absent costs nothing; one that is stuck, a bounded wait for
 * each character.
 */
#include <arch/devices.h>
#include <arch/io.h>

enum { COM1 = 0x3f8 };

/* Registers, relative to the base. */
enum {
	DATA = 0,
	INTERRUPTS = 1,
	DIVISOR_LOW = 0,
	DIVISOR_HIGH = 1,
	FIFO = 2,
	LINE = 3,
	MODEM = 4,
	STATUS = 5
};
enum { STATUS_RECEIVED = 1 << 0, STATUS_CAN_SEND = 1 << 5, STATUS_ALL_SENT = 1 << 6 };
enum { LINE_8N1 = 0x03, LINE_DIVISOR = 0x80 };
enum { MODEM_DTR_RTS = 0x03, MODEM_LOOPBACK = 0x10 };
enum { FIFO_ON_AND_EMPTY = 0xc7 };

enum { BASE_RATE = 115200, RATE = 115200 };

/* A character takes 87 us at 115200 baud and a port read about one; a hundred characters' time is a dead line. */
enum { POLLS_MAX = 10000 };

static bool present;

/* False if none of `status` is seen before the line must be dead. */
static bool wait_for(uint8_t status)
{
	for (unsigned polls = 0; polls < POLLS_MAX; polls++) {
		if (inb(COM1 + STATUS) & status)
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

/*
 * What is sent in loopback must come back: ports without a UART read 0xff. What the loader was still sending must be
 * out by then, or it comes back in our probes' place.
 */
static bool answers(void)
{
	static const uint8_t probes[] = {0xae, 0x51};

	wait_for(STATUS_ALL_SENT);
	outb(COM1 + MODEM, MODEM_DTR_RTS | MODEM_LOOPBACK);
	for (unsigned i = 0; i < sizeof(probes); i++) {
		outb(COM1 + DATA, probes[i]);
		if (!wait_for(STATUS_RECEIVED) || inb(COM1 + DATA) != probes[i])
			return false;
	}
	return true;
}

void serial_init(void)
{
	outb(COM1 + INTERRUPTS, 0);
	outb(COM1 + LINE, LINE_DIVISOR);
	outb(COM1 + DIVISOR_LOW, BASE_RATE / RATE);
	outb(COM1 + DIVISOR_HIGH, 0);
	outb(COM1 + LINE, LINE_8N1);
	outb(COM1 + FIFO, FIFO_ON_AND_EMPTY);
	present = answers();
	outb(COM1 + MODEM, MODEM_DTR_RTS);
}

bool serial_is_present(void)
{
	return present;
}

static void send(char c)
{
	if (wait_for(STATUS_CAN_SEND))
		outb(COM1 + DATA, (uint8_t)c);
}

void serial_write(const char *text, size_t length)
{
	if (!present)
		return;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n')
			send('\r');
		send(text[i]);
	}
}

bool serial_read(char *c)
{
	if (!present || !(inb(COM1 + STATUS) & STATUS_RECEIVED))
		return false;
	*c = (char)inb(COM1 + DATA);
	return true;
}
