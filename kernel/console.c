/*
 * The console: a line per CPU, sent out whole.
 *
 * A CPU appends to its own line without a lock; a handler that prints in the middle of one merely splits it. Whoever
 * sends a line owns the devices for that long. The wait for them is bounded, because the owner may be a CPU that has
 * died in the act, and a report must get out: mixed lines are better than none. Whoever waits answers TLB flushes, as it
 * may have interrupts masked. A report, which has stopped all other CPUs, takes the devices from whichever had them.
 */
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <arch/trap.h>
#include <kernel/console.h>
#include <kernel/screen.h>
#include <kernel/symbols.h>

enum { LINE_MAX = 240, NOBODY = -1, WAITS_MAX = 1 << 20 };

static struct line {
	size_t length;
	char text[LINE_MAX];
} lines[CPUS_MAX];

static int sender = NOBODY;

static int current_cpu(void)
{
	return arch_is_ready() ? (int)this_cpu()->id : 0;
}

/* The devices are this CPU's afterwards. False if they were so before: a report from within a report. */
static bool take_devices(int cpu)
{
	for (unsigned waits = 0; waits < WAITS_MAX; waits++) {
		int owner = NOBODY;
		if (__atomic_compare_exchange_n(&sender, &owner, cpu, false, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			return true;
		if (owner == cpu)
			return false;
		cpu_relax();
	}
	__atomic_store_n(&sender, cpu, __ATOMIC_RELAXED);
	return true;
}

static void send(struct line *line, int cpu)
{
	bool taken = take_devices(cpu);
	size_t length = line->length;

	line->length = 0; /* first: if sending faults, the report must not send it again */
	serial_write(line->text, length);
	vga_write(line->text, length);
	screen_write(&screen, line->text, length);
	if (taken)
		__atomic_store_n(&sender, NOBODY, __ATOMIC_RELEASE);
}

static void console_write(struct printer *printer, const char *text, size_t length)
{
	(void)printer;
	irqflags_t flags = irq_save();
	int cpu = current_cpu();
	struct line *line = &lines[cpu];

	for (size_t i = 0; i < length; i++) {
		line->text[line->length++] = text[i];
		if (text[i] == '\n' || line->length == LINE_MAX)
			send(line, cpu);
	}
	irq_restore(flags);
}

struct printer console = {.write = console_write, .symbol = symbol_find};

void console_format(char *text, size_t capacity, const char *fmt, va_list args)
{
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, text, capacity);
	buffer.printer.symbol = console.symbol;
	vprint(&buffer.printer, fmt, args);
}

void console_init(void)
{
	serial_init();
}

void console_seize(void)
{
	if (__atomic_load_n(&sender, __ATOMIC_RELAXED) != current_cpu())
		__atomic_store_n(&sender, NOBODY, __ATOMIC_RELEASE);
}

void console_flush(void)
{
	irqflags_t flags = irq_save();
	int cpu = current_cpu();
	send(&lines[cpu], cpu);
	irq_restore(flags);
}
