/*
 * How fast the time stamp counter runs, by the one clock whose rate everybody knows: the 8254's channel 2, which drives
 * the speaker and nothing else. It counts down once from 65535 while we wait for a hundredth of a second; both counters
 * are read together at either end, so that it does not matter when we come to look. A round that was held up until
 * the 8254 had counted out (the output pin tells) says nothing and is repeated.
 */
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/io.h>

enum { PIT_HZ = 1193182, PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43 };
enum { PIT_COUNT_ONCE = 0xb0 /* channel 2, both bytes, mode 0 */, PIT_LATCH = 0x80 /* channel 2 */ };
enum { SPEAKER = 0x61, SPEAKER_GATE = 1 << 0, SPEAKER_SOUND = 1 << 1, SPEAKER_COUNTED_OUT = 1 << 5 };

enum {
	TICKS = PIT_HZ / 100,
	POLLS_MAX = 1 << 20, /* each takes at least three port accesses, a microsecond each: a dead 8254 */
	ROUNDS_MAX = 8,
};

uint64_t tsc_hz = 10000000000UL;

static void start_counting(void)
{
	uint8_t speaker = (uint8_t)(inb(SPEAKER) & ~(SPEAKER_GATE | SPEAKER_SOUND));

	outb(SPEAKER, speaker);
	outb(PIT_COMMAND, PIT_COUNT_ONCE);
	outb(PIT_CHANNEL2, 0xff);
	outb(PIT_CHANNEL2, 0xff);
	outb(SPEAKER, speaker | SPEAKER_GATE);
}

static uint16_t read_count(void)
{
	outb(PIT_COMMAND, PIT_LATCH);
	unsigned low = inb(PIT_CHANNEL2);
	return (uint16_t)(low | (unsigned)inb(PIT_CHANNEL2) << 8);
}

/* False if this round says nothing. */
static bool measure(uint64_t *hz)
{
	start_counting();
	uint16_t first = read_count(), passed = 0;
	uint64_t start = rdtsc(), end = start;
	for (unsigned polls = 0; passed < TICKS && polls < POLLS_MAX; polls++) {
		passed = (uint16_t)(first - read_count());
		end = rdtsc();
	}
	if (passed < TICKS || inb(SPEAKER) & SPEAKER_COUNTED_OUT)
		return false;
	*hz = (end - start) * PIT_HZ / passed;
	return true;
}

void clock_init(void)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		if (measure(&tsc_hz))
			return;
	}
}

void delay_us(unsigned microseconds)
{
	uint64_t start = rdtsc(), ticks = tsc_hz * microseconds / 1000000;

	while (rdtsc() - start < ticks)
		__builtin_ia32_pause();
}
