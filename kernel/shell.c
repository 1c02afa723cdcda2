/*
 * The serial prompt. A line is at most LINE_MAX characters; backspace takes one back, Ctrl-U all. Commands are a table;
 * each gets the rest of its line.
 */
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/lock_graph.h>
#include <kernel/console.h>
#include <kernel/crash.h>
#include <kernel/panic.h>
#include <kernel/selftest.h>
#include <kernel/shell.h>
#include <kernel/smp_boot.h>
#include <kernel/symbols.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/ptdump.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>

enum { LINE_MAX = 120, CTRL_U = 'U' & 0x1f, DELETE = 0x7f };

static const struct test_suite *const *const *suites;
static uint64_t test_seed_of_run;
static bool leaving;

/* ---- Reading ---- */

static char wait_for_character(void)
{
	char c;
	irq_enable(); /* other CPUs may want something of this one */
	while (!serial_read(&c))
		__builtin_ia32_pause();
	irq_disable();
	return c;
}

static void rub_out(size_t characters)
{
	while (characters--)
		kprintf("\b \b");
}

static void read_line(char line[LINE_MAX + 1])
{
	size_t length = 0;

	for (;;) {
		console_flush();
		char c = wait_for_character();
		if (c == '\r' || c == '\n')
			break;
		if (c == '\b' || c == DELETE) {
			rub_out(length > 0);
			length -= length > 0;
		} else if (c == CTRL_U) {
			rub_out(length);
			length = 0;
		} else if (c >= ' ' && c < DELETE && length < LINE_MAX) {
			line[length++] = c;
			kprintf("%c", c);
		}
	}
	line[length] = '\0';
	kprintf("\n");
}

/* ---- Commands ---- */

static void help(const char *rest);

static void show_ptdump(const char *rest)
{
	(void)rest;
	ptdump(&kernel_pagetable, &console);
}

/* A number, or the name of a function. */
static bool parse_address(const char *text, uint64_t *address)
{
	if (parse_u64(text, address))
		return true;
	*address = *text ? symbol_address(text) : 0;
	return *address != 0;
}

/* "START END", both numbers. */
static bool parse_range(const char *text, struct vrange *range)
{
	char start[LINE_MAX + 1];
	const char *blank = strchr(text, ' ');

	if (!blank)
		return false;
	format_buffer(start, sizeof(start), "%.*s", (int)(blank - text), text);
	return parse_u64(start, &range->start.raw) && parse_u64(blank + 1, &range->end.raw);
}

static void show_vmap(const char *rest)
{
	struct vrange part = vmalloc_used_range();

	if (*rest && !parse_range(rest, &part))
		kprintf("vmap: \"%s\" is not two addresses\n", rest);
	else
		vmalloc_picture(part, &console);
}

static void whatis(const char *rest)
{
	uint64_t address;

	if (!parse_address(rest, &address)) {
		kprintf("whatis: \"%s\" is neither a number nor the name of a function\n", rest);
		return;
	}
	describe_address(vaddr(address));
	kprintf("\n");
	uintptr_t offset;
	const char *function = symbol_find(address, &offset);
	if (function)
		kprintf("%s+0x%lx\n", function, offset);
	pagetable_dump_walk(&kernel_pagetable, vaddr(address), &console);
}

static void verify(const char *rest)
{
	(void)rest;
	const char *broken = mm_verify();
	kprintf("%s\n", broken ? broken : "every invariant holds");
}

static void run_tests(const char *rest)
{
	selftest_run(suites, *rest ? rest : "*", test_seed_of_run);
}

static void crash(const char *rest)
{
	if (crash_on_purpose(rest))
		return;
	kprintf("crash: one of\n");
	crash_list(&console);
}

static void leave(const char *rest)
{
	(void)rest;
	leaving = true;
}

static void reboot(const char *rest)
{
	(void)rest;
	kprintf("Starting over.\n");
	machine_reset();
}

static const struct command {
	const char *name, *what;
	void (*run)(const char *rest); /* or, of what takes no argument and shows something: */
	void (*dump)(struct printer *out);
} commands[] = {
        {"help", "this list", .run = help},
        {"buddyinfo", "free blocks per zone and order", .dump = buddyinfo_dump},
        {"slabinfo", "object caches", .dump = slabinfo_dump},
        {"vmallocinfo", "areas of the vmalloc window", .dump = vmallocinfo_dump},
        {"vmap", "[START END]: a picture of the vmalloc window", .run = show_vmap},
        {"meminfo", "how memory is used", .dump = meminfo_dump},
        {"memmap", "physical memory, and what is reserved in it", .dump = memory_map_dump},
        {"layout", "the kernel's address space", .dump = layout_dump},
        {"ptdump", "every range that is mapped: how, where to, and what for", .run = show_ptdump},
        {"cpus", "who is online, and what all have counted", .dump = cpus_dump},
        {"locks", "the orders in which locks were taken: debug build", .dump = lock_graph_dump},
        {"whatis", "ADDRESS or FUNCTION: what lies there", .run = whatis},
        {"verify", "check every invariant of the memory subsystem", .run = verify},
        {"test", "[GLOB]: run the tests that match", .run = run_tests},
        {"crash", "NAME: make a mistake on purpose", .run = crash},
        {"exit", "leave the shell: QEMU ends if the command line says exit, else the CPU halts",
         .run = leave},
        {"reboot", "reset the machine", .run = reboot},
};

static void help(const char *rest)
{
	(void)rest;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		kprintf("  %-12s %s\n", commands[i].name, commands[i].what);
}

/* Cuts the line after its first word; returns what follows. */
static char *split_word(char *line)
{
	char *blank = strchr(line, ' ');
	if (!blank)
		return line + strlen(line);
	*blank++ = '\0';
	while (*blank == ' ')
		blank++;
	return blank;
}

static void run_line(char *line)
{
	while (*line == ' ')
		line++;
	if (!*line)
		return;
	const char *rest = split_word(line);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *command = &commands[i];
		if (strcmp(command->name, line) != 0)
			continue;
		if (command->dump)
			command->dump(&console);
		else
			command->run(rest);
		return;
	}
	kprintf("%s: unknown; try help\n", line);
}

void shell_run(const struct test_suite *const *const *tables, uint64_t seed)
{
	char line[LINE_MAX + 1];

	if (!serial_is_present()) {
		warn("shell: there is no serial line to read from");
		return;
	}
	suites = tables;
	test_seed_of_run = seed;
	leaving = false;
	kprintf("A shell on the serial line; help lists the commands.\n");
	while (!leaving) {
		kprintf("octavo> ");
		read_line(line);
		run_line(line);
	}
}
