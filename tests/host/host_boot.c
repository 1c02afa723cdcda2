/*
 * The hosted PC: two banks of RAM, so that all three zones exist, with the holes and odd bounds that a PC's
 * memory map has. Nothing lies in the fake kernel image; it is there so that mm/ maps, protects and accounts
 * for one.
 *
 *	0 to 639 KiB                   RAM
 *	1 MiB to 64 MiB - 128 KiB      RAM, the image at 2 MiB
 *	4 GiB to 4 GiB + 64 MiB        RAM
 */
#include "host_boot.h"
#include <arch/irq.h>
#include <host/machine.h>
#include <mm/mm.h>

#define KIB 1024UL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define LOW_END   (64 * MIB)
#define HIGH_BASE (4 * GIB)
#define HIGH_END  (4 * GIB + 64 * MIB)
#define IMAGE     (2 * MIB)
/* What the boot loader's tables reach on the machine; here it leaves the high bank out, as there. */
#define EARLY_LIMIT (1 * GIB)

static unsigned processor_levels;

static void activate(paddr_t root)
{
	host_machine_activate(root, processor_levels);
}

const char *host_boot(unsigned levels)
{
	static const struct prange banks[] = {
	        {{0}, {LOW_END}},
	        {{HIGH_BASE}, {HIGH_END}},
	};
	static const struct prange available[] = {
	        {{HIGH_BASE}, {HIGH_END}},
	        {{0}, {639 * KIB}},
	        {{MIB}, {LOW_END - 128 * KIB + 512}},
	};
	static const struct prange unavailable[] = {
	        {{639 * KIB}, {640 * KIB}},
	        {{960 * KIB}, {MIB}},
	        {{LOW_END - 128 * KIB}, {LOW_END}},
	        {{4 * GIB - 256 * KIB}, {4 * GIB}},
	};
	static const struct mm_reservation reserved[] = {
	        {"boot information", {{4 * MIB + 100}, {4 * MIB + 2000}}},
	        {"module", {{5 * MIB}, {5 * MIB + 100 * KIB}}},
	};
	const struct mm_segment image[] = {
	        {"text", vrange(KIMAGE_BASE + IMAGE, KIMAGE_BASE + IMAGE + 256 * KIB), paddr(IMAGE),
	         PAGE_KERNEL_ROX},
	        {"rodata", vrange(KIMAGE_BASE + IMAGE + 256 * KIB, KIMAGE_BASE + IMAGE + 384 * KIB),
	         paddr(IMAGE + 256 * KIB), PAGE_KERNEL_RO},
	        {"data", vrange(KIMAGE_BASE + IMAGE + 384 * KIB, KIMAGE_BASE + IMAGE + 512 * KIB),
	         paddr(IMAGE + 384 * KIB), PAGE_KERNEL},
	};
	const struct mm_boot_map map = {
	        .available = available,
	        .nr_available = ARRAY_SIZE(available),
	        .unavailable = unavailable,
	        .nr_unavailable = ARRAY_SIZE(unavailable),
	        .reserved = reserved,
	        .nr_reserved = ARRAY_SIZE(reserved),
	        .image = image,
	        .nr_image = ARRAY_SIZE(image),
	        .early_limit = paddr(EARLY_LIMIT),
	        .levels = levels,
	        .max_level = 3,
	        .physical_bits = 52,
	        .pat = true,
	        .vmalloc = vrange_sized(vaddr(VMALLOC_FIXED_BASE), VMALLOC_SIZE),
	        .activate = activate,
	};

	processor_levels = levels;
	host_machine_create(banks, ARRAY_SIZE(banks));
	host_machine_limit_reach(map.early_limit);
	irqflags_t flags = irq_save();
	const char *refused = mm_init(&map);
	irq_restore(flags);
	return refused;
}
