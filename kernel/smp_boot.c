/*
 * From the firmware's list of CPUs to CPUs that run.
 *
 * Ids are dense and given in the order of coming up: 0 is the CPU that booted, wherever the list has it. A CPU needs
 * stacks, which lie in one vmalloc area, each above a page that stays unmapped:
 *
 *	[ guard | kernel stack, 32 KiB | guard | #DF, 8 KiB | guard | NMI | guard | #MC | guard | #DB ] guard
 *
 * and, for the milliseconds it takes to get out of real mode, a page of RAM below 640 KiB. Whose page that is does not
 * matter: it is borrowed, its contents are put back, and what the boot loader left for us to read is not chosen. Nothing
 * else may be mapped below the upper half; while a CPU starts, this page is, read-only and executable.
 *
 * A CPU that does not answer, or cannot walk as many levels of page tables as the boot CPU does, is named and left out.
 * What was prepared for it is given back, and the next one gets its id.
 */
#include <arch/apic.h>
#include <arch/bringup.h>
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/directmap.h>
#include <boot/acpi.h>
#include <boot/ap_trampoline.h>
#include <boot/entry.h>
#include <kernel/console.h>
#include <kernel/smp_boot.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/memblock.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>

/* Where to borrow: below, firmware has been seen to write what it has no business to; above lies no RAM. */
#define LOW_START (64UL << 10)
#define LOW_END   (640UL << 10)

enum { PATIENCE_MS = 1000 };

static struct acpi_cpus firmware;
static paddr_t low_page; /* 0: none */
static size_t nr_unreachable;

/* ---- Which CPUs ---- */

static bool is_another(uint32_t apic_id)
{
	return apic_id != cpu_features.apic_id && apic_can_reach(apic_id);
}

void smp_find_cpus(const struct boot_info *info)
{
	size_t others = 0;

	acpi_find_cpus(info, (const void *)DIRECTMAP_BASE, BOOT_REACHABLE, &firmware);
	for (size_t i = 0; i < firmware.nr; i++) {
		others += is_another(firmware.apic_id[i]);
		nr_unreachable += !apic_can_reach(firmware.apic_id[i]);
	}
	if (!cpu_features.apic)
		others = 0;
	cpus_set_possible(1 + (unsigned)min_u64(others, CPUS_MAX - 1));
}

/* ---- A page to start in ---- */

static bool is_in_use(const struct boot_info *info, struct prange page)
{
	for (size_t i = 0; i < info->nr_in_use; i++) {
		const struct prange *used = &info->in_use[i].range;
		if (used->start.raw < page.end.raw && page.start.raw < used->end.raw)
			return true;
	}
	return false;
}

static bool is_ram(struct prange page)
{
	const struct memblock_ranges *ram = &mm_memblock()->ram;

	for (size_t i = 0; i < ram->count; i++) {
		if (page.start.raw >= ram->at[i].start.raw && page.end.raw <= ram->at[i].end.raw)
			return true;
	}
	return false;
}

static paddr_t find_low_page(const struct boot_info *info)
{
	for (uint64_t at = LOW_START; at < LOW_END; at += PAGE_SIZE) {
		struct prange page = prange(at, at + PAGE_SIZE);
		if (is_ram(page) && !is_in_use(info, page))
			return page.start;
	}
	return paddr(0);
}

static uint8_t borrowed[512]; /* what was there */

/* False if there is no page-table page for it. */
static bool trampoline_lay(const struct ap_parameters *parameters)
{
	uint8_t *page = paddr_to_directmap(low_page);

	ASSERT(ap_trampoline_size <= sizeof(borrowed));
	if (!pagetable_map(&kernel_pagetable, vrange_sized(vaddr(low_page.raw), PAGE_SIZE), low_page,
	                   PAGE_KERNEL_ROX, 1))
		return false;
	memcpy(borrowed, page, ap_trampoline_size);
	memcpy(page, ap_trampoline, ap_trampoline_size);
	memcpy(page + ap_trampoline_parameters, parameters, sizeof(*parameters));
	return true;
}

/* Whether the CPU went no further than to say that it walks fewer levels. pre: the trampoline lies, the CPU is in reset */
static bool trampoline_was_refused(void)
{
	const struct ap_parameters *parameters =
	        paddr_to_directmap(paddr_add(low_page, ap_trampoline_parameters));
	return parameters->refusal;
}

static void trampoline_lift(void)
{
	bool unmapped =
	        pagetable_unmap(&kernel_pagetable, vrange_sized(vaddr(low_page.raw), PAGE_SIZE), NULL);
	ASSERT(unmapped); /* a single small leaf: nothing to split */
	memcpy(paddr_to_directmap(low_page), borrowed, ap_trampoline_size);
}

/* ---- Stacks ---- */

enum { KERNEL_STACK_PAGES = 8, OTHER_STACK_PAGES = 2 };
enum { STACK_PAGES = KERNEL_STACK_PAGES + (CPU_STACKS - 1) * OTHER_STACK_PAGES };

struct cpu_memory {
	struct vmap_area *area;
	struct page *pages[STACK_PAGES];
	struct vrange stacks[CPU_STACKS];
};

static size_t stack_pages(unsigned stack)
{
	return stack == STACK_KERNEL ? KERNEL_STACK_PAGES : OTHER_STACK_PAGES;
}

/* Maps all stacks into the area; what is missing after a failure goes with the area. */
static bool map_stacks(struct cpu_memory *memory)
{
	vaddr_t at = vaddr(memory->area->va_start);
	struct page **pages = memory->pages;

	for (unsigned stack = 0; stack < CPU_STACKS; stack++) {
		size_t count = stack_pages(stack);
		at = vaddr_add(at, PAGE_SIZE); /* its guard */
		memory->stacks[stack] = vrange_sized(at, count << PAGE_SHIFT);
		if (!pagetable_map_pages(&kernel_pagetable, at, pages, count, PAGE_KERNEL))
			return false;
		at = memory->stacks[stack].end;
		pages += count;
	}
	return true;
}

static void give_memory(const struct cpu_memory *memory, size_t frames)
{
	if (memory->area)
		free_vm_area(memory->area);
	for (size_t i = 0; i < frames; i++)
		__free_page(memory->pages[i]);
}

static bool take_memory(struct cpu_memory *memory)
{
	memory->area = get_vm_area((STACK_PAGES + CPU_STACKS) << PAGE_SHIFT, VM_MAP);
	size_t frames = alloc_pages_bulk(GFP_KERNEL, STACK_PAGES, memory->pages);
	if (memory->area && frames == STACK_PAGES && map_stacks(memory))
		return true;
	give_memory(memory, frames);
	return false;
}

/* ---- One CPU ---- */

static bool start_on(const struct cpu_memory *memory, uint32_t apic_id, unsigned patience_ms)
{
	unsigned id = nr_cpus_online();
	const struct ap_parameters parameters = {
	        .root = (uint32_t)kernel_pagetable.root.raw,
	        .cr0 = (uint32_t)read_cr0(),
	        .cr4 = CR4_PAE | ((uint32_t)read_cr4() & CR4_LA57),
	        .stack_top = memory->stacks[STACK_KERNEL].end.raw,
	        .entry = (uintptr_t)cpu_entry,
	        .argument = id,
	};

	ASSERT(kernel_pagetable.root.raw <= UINT32_MAX); /* memblock's early limit */
	if (!trampoline_lay(&parameters)) {
		warn("smp: no memory to start the CPU with APIC id %u: left out", apic_id);
		return false;
	}
	bool online = cpu_start(id, apic_id, low_page, memory->stacks, patience_ms);
	bool refused = !online && trampoline_was_refused();
	trampoline_lift();
	if (refused)
		warn("smp: CPU with APIC id %u has no 5-level paging, which the others use: left out",
		     apic_id);
	else if (!online)
		warn("smp: CPU with APIC id %u does not answer: left out", apic_id);
	return online;
}

bool smp_start_cpu(uint32_t apic_id, unsigned patience_ms)
{
	struct cpu_memory memory;

	struct cpu *cpu = cpu_storage(nr_cpus_online());
	if (!take_memory(&memory)) {
		warn("smp: no memory for the stacks of the CPU with APIC id %u: left out", apic_id);
		return false;
	}
	if (!page_cpu_create(cpu))
		warn("smp: no memory for the page lists of the CPU with APIC id %u: left out", apic_id);
	else if (start_on(&memory, apic_id, patience_ms))
		return true; /* the memory is the CPU's, for good */
	else
		page_cpu_destroy(cpu);
	give_memory(&memory, STACK_PAGES);
	return false;
}

/* ---- All of them ---- */

static bool start_apic(void)
{
	paddr_t registers = apic_registers();
	volatile uint32_t *page = NULL;

	if (registers.raw) {
		page = ioremap(registers.raw, PAGE_SIZE);
		if (!page)
			return false;
	}
	clock_init();
	apic_init(page);
	return true;
}

/* Why no other CPU can be started, or NULL. */
static const char *reason_to_stay_alone(const struct boot_info *info)
{
	if (!cpu_features.apic)
		return "it has no local APIC to start another with";
	if (!start_apic())
		return "its local APIC cannot be mapped";
	if (firmware.refusal)
		return firmware.refusal;
	if (cpus_possible() == 1)
		return "the firmware lists no other";
	low_page = find_low_page(info);
	if (!low_page.raw)
		return "no page of RAM below 640 KiB is free to start another in";
	return NULL;
}

static void start_others(void)
{
	size_t no_room = firmware.nr_dropped;

	for (size_t i = 0; i < firmware.nr; i++) {
		if (!is_another(firmware.apic_id[i]))
			continue;
		unsigned id = nr_cpus_online();
		if (id == CPUS_MAX)
			no_room++;
		else
			smp_start_cpu(firmware.apic_id[i], PATIENCE_MS);
	}
	if (no_room)
		warn("smp: %zu CPUs beyond %d are left out", no_room, CPUS_MAX);
	if (nr_unreachable)
		warn("smp: %zu CPUs with APIC ids above 254 are left out", nr_unreachable);
}

static void say_who_is_online(void)
{
	unsigned count = nr_cpus_online();

	kprintf("smp: %u CPUs online (APIC ids", count);
	for (unsigned id = 0; id < count; id++)
		kprintf(" %u", cpu_apic_id(id));
	kprintf(")\n");
}

void smp_start(const struct boot_info *info)
{
	const char *alone = reason_to_stay_alone(info);

	if (!alone)
		start_others();
	if (!alone && cpus_online() == 1)
		alone = "no other answers";
	if (alone)
		kprintf("smp: one CPU, because %s\n", alone);
	else
		say_who_is_online();
}

void cpus_dump(struct printer *out)
{
	for (unsigned id = 0; id < cpus_possible(); id++) {
		if (!cpu_by_id(id))
			print(out, "CPU %u is not online\n", id);
		else if (apic_is_present())
			print(out, "CPU %u is online, APIC id %u\n", id, cpu_apic_id(id));
		else
			print(out, "CPU %u is online, without a local APIC\n", id);
	}
	counters_dump(out);
}
