/*
 * From the boot loader's jump to the prompt, as a table of contents. The only file where boot/ and mm/ meet: it turns
 * what the loader said and where the linker put things into the plain data that mm_init() takes.
 */
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/directmap.h>
#include <arch/trap.h>
#include <boot/boot_info.h>
#include <boot/entry.h>
#include <kernel/bench.h>
#include <kernel/cmdline.h>
#include <kernel/console.h>
#include <kernel/crash.h>
#include <kernel/panic.h>
#include <kernel/screen.h>
#include <kernel/selftest.h>
#include <kernel/shell.h>
#include <kernel/smp_boot.h>
#include <kernel/symbols.h>
#include <kernel/window.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/memblock.h>
#include <mm/mm.h>
#include <mm/vmalloc.h>
#include <test/ptcheck.h>
#include <test/soak.h>

/* What somebody sees who boots the image with no command line at all. */
#define DEFAULT_CMDLINE "test shell"

#define VGA_TEXT_BYTES (80 * 25 * sizeof(uint16_t))

static struct boot_info boot_info;
static struct parameters parameters;

extern const struct test_suite *const all_suites[];    /* tests/common: in the kernel and on the host */
extern const struct test_suite *const kernel_suites[]; /* tests/kernel: what only a machine can show */
static const struct test_suite *const *const suite_tables[] = {all_suites, kernel_suites, NULL};

/* Instructions under -icount, cycles elsewhere, since the loader's jump, without the time spent printing. */
static uint64_t printing_time;

static uint64_t time_since_boot(void)
{
	return rdtsc() - boot_tsc - printing_time;
}

/* What the machine has, as far as the loader's tables reach it. */
static void start_screen(void)
{
	struct prange pixels = boot_info.framebuffer.range;

	if (boot_info.text_screen.raw)
		vga_init(paddr_to_directmap(boot_info.text_screen));
	if (!prange_size(pixels))
		return;
	screen_init(&screen, &boot_info.framebuffer);
	if (pixels.end.raw <= BOOT_REACHABLE)
		screen_map(&screen, paddr_to_directmap(pixels.start));
}

/* Its window leaves the address space with the loader's tables. */
static void hide_screen(void)
{
	vga_init(NULL);
	screen_map(&screen, NULL);
}

static void map_screen(void)
{
	struct prange pixels = boot_info.framebuffer.range;

	if (boot_info.text_screen.raw)
		vga_init(ioremap_wc(boot_info.text_screen.raw, VGA_TEXT_BYTES));
	if (!prange_size(pixels))
		return;
	if (!screen.rows)
		return warn("framebuffer at 0x%lx: too small for a character: ignored", pixels.start.raw);
	screen_map(&screen, ioremap_wc(pixels.start.raw, prange_size(pixels)));
	if (screen.pixels)
		kprintf("Framebuffer: %u by %u pixels at 0x%lx show %u by %u characters\n",
		        screen.format.width, screen.format.height, pixels.start.raw, screen.columns,
		        screen.rows);
	else
		warn("framebuffer at 0x%lx: not mapped, the serial line alone tells", pixels.start.raw);
}

static void hear_boot_loader(uint32_t magic, paddr_t info)
{
	const char *refusal =
	        boot_handoff(magic, info, (const void *)DIRECTMAP_BASE, BOOT_REACHABLE, &boot_info);
	if (refusal)
		panic("%s", refusal);

	/* One byte more than there is room for: a longer text is cut here, and complained of where it is appended. */
	static char text[BOOT_CMDLINE_MAX + 1];
	long size = fw_cfg_read_file("opt/octavo/cmdline", text, sizeof(text) - 1);
	if (size > 0) {
		text[min_u64((uint64_t)size, sizeof(text) - 1)] = '\0';
		boot_append_cmdline(&boot_info, text);
	}
	start_screen();
	symbols_init(&boot_info);
	if (!boot_info.cmdline[0])
		boot_append_cmdline(&boot_info, DEFAULT_CMDLINE);
	cmdline_parse(boot_info.cmdline, &parameters, warn);
	smp_find_cpus(&boot_info);
}

static const char *range_type_name(uint32_t type)
{
	switch (type) {
	case BOOT_RAM:
		return "RAM";
	case BOOT_ACPI_RECLAIMABLE:
		return "ACPI tables";
	case BOOT_ACPI_NVS:
		return "ACPI NVS";
	case BOOT_BAD_RAM:
		return "defective RAM";
	default:
		return "reserved";
	}
}

static void print_machine(void)
{
	kprintf("Octavo, %s build, loaded by %s\n", IS_DEBUG ? "debug" : "release", boot_info.loader);
	kprintf("CPU: %s %s, %u physical and %u linear address bits, %u-level paging\n", cpu_features.vendor,
	        cpu_features.brand, cpu_features.physical_bits, cpu_features.linear_bits, paging_levels());
	kprintf("Command line: %s\n", boot_info.cmdline);
	kprintf("Memory map from the firmware:\n");
	for (size_t i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];
		kprintf("  0x%012lx-0x%012lx %12lu kB %s\n", r->range.start.raw, r->range.end.raw,
		        prange_size(r->range) >> 10, range_type_name(r->type));
	}
	for (size_t i = 0; i < boot_info.nr_warnings; i++)
		warn("boot: %s", boot_info.warnings[i]);
	if (boot_info.nr_warnings_dropped)
		warn("boot: %zu more warnings found no room", boot_info.nr_warnings_dropped);
}

static struct mm_segment image_segment(const char *name, const char *start, const char *end, pgprot_t prot)
{
	return (struct mm_segment){
	        .name = name,
	        .va = {vaddr_of(start), vaddr_of(end)},
	        .pa = paddr((uintptr_t)start - KIMAGE_BASE),
	        .prot = prot,
	};
}

static void activate_address_space(paddr_t root)
{
	hide_screen();
	write_cr3(root);
	cpu_init_protection();
}

static void report_stage(const char *stage)
{
	uint64_t before = rdtsc();
	kprintf("[%10lu] %s\n", before - boot_tsc - printing_time, stage);
	printing_time += rdtsc() - before;
}

/* The data segment is everything writable but the pages below the stacks, which stay unmapped. */
static size_t describe_image(struct mm_segment *segments)
{
	const char *start = data_start;
	size_t count = 0;

	segments[count++] = image_segment("text", text_start, text_end, PAGE_KERNEL_ROX);
	segments[count++] = image_segment("rodata", rodata_start, rodata_end, PAGE_KERNEL_RO);
	while (start < data_end) {
		const char *end = data_end, *name = "data";
		const struct guarded_stack *s;
		for (unsigned n = 0; (s = guarded_stack(n)); n++) {
			const char *hole = vaddr_pointer(s->guard.start);
			if (hole >= start && hole < end)
				end = hole;
			if (vaddr_pointer(s->stack.start) == start)
				name = s->what;
		}
		if (start < end)
			segments[count++] = image_segment(name, start, end, PAGE_KERNEL);
		start = end + PAGE_SIZE;
	}
	return count;
}

static void start_memory(void)
{
	static struct prange available[BOOT_RANGES_MAX], unavailable[BOOT_RANGES_MAX];
	static struct mm_reservation reserved[BOOT_IN_USE_MAX + 1];
	static struct mm_segment image[8];
	static struct mm_boot_map map = {
	        .available = available,
	        .unavailable = unavailable,
	        .reserved = reserved,
	        .image = image,
	        .early_limit = {BOOT_REACHABLE},
	        .activate = activate_address_space,
	        .progress = report_stage,
	};

	for (size_t i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];
		if (r->type == BOOT_RAM)
			available[map.nr_available++] = r->range;
		else
			unavailable[map.nr_unavailable++] = r->range;
	}
	reserved[map.nr_reserved++] = (struct mm_reservation){
	        .what = "kernel image",
	        .range = prange((uintptr_t)kimage_start - KIMAGE_BASE, (uintptr_t)kimage_end - KIMAGE_BASE),
	};
	for (size_t i = 0; i < boot_info.nr_in_use; i++) {
		reserved[map.nr_reserved++] = (struct mm_reservation){
		        .what = boot_info.in_use[i].what,
		        .range = boot_info.in_use[i].range,
		};
	}
	map.nr_image = describe_image(image);
	map.levels = paging_levels();
	map.max_level = cpu_features.gigabyte_pages ? 3 : 2;
	map.physical_bits = cpu_features.physical_bits;
	map.pat = cpu_features.pat;
	map.vmalloc = window_choose(&parameters);

	const char *refusal = mm_init(&map);
	if (refusal)
		panic("mm: %s", refusal);
	uint64_t ready = time_since_boot();
	window_configure(&parameters);
	kprintf("BENCH {\"name\":\"boot.mm_ready\",\"%s\":%lu,\"n\":1}\n", bench_unit(), ready);
	map_screen();

	if (mm_memblock()->lost)
		warn("mm: %lu kB of RAM could not be used", mm_memblock()->lost >> 10);
	kprintf("Physical memory:\n");
	memory_map_dump(&console);
	kprintf("Kernel address space:\n");
	layout_dump(&console);
	window_describe(&console);
	meminfo_dump(&console);
}

/* What the command line asks for, in the order that makes sense. True unless a test failed. */
static bool do_as_told(void)
{
	bool passed = true;

	if (parameters.crash[0] && !crash_on_purpose(parameters.crash)) {
		warn("crash=%s: no such crash; there are:", parameters.crash);
		crash_list(&console);
	}
	if (parameters.bench)
		bench_run(parameters.bench_glob);
	if (parameters.test)
		passed = selftest_run(suite_tables, parameters.test_glob, parameters.seed);
	if (parameters.soak)
		passed &= soak_run(parameters.soak, parameters.seed);
	if (parameters.ptcheck)
		passed &= ptcheck_run(parameters.ptcheck, parameters.seed);
	if (parameters.shell)
		shell_run(suite_tables, parameters.seed);
	return passed;
}

void kernel_main(uint32_t magic, paddr_t info)
{
	arch_init_early();
	console_init();
	hear_boot_loader(magic, info);
	print_machine();
	start_memory();
	smp_start(&boot_info);

	bool passed = do_as_told();
	if (parameters.exit)
		debug_exit(passed ? EXIT_PASSED : EXIT_FAILED);
	kprintf("Nothing left to do: halted. (In QEMU, Ctrl-A X leaves.)\n");
	cpu_halt_forever();
}
