/*
 * What entry.asm and linker.ld define: where the image lies, the stacks below which the final page tables leave a page
 * unmapped, and the way into C. Symbols have addresses, not contents: only `&name[0]` means anything.
 */
#ifndef BOOT_ENTRY_H
#define BOOT_ENTRY_H

#include <lib/addr.h>

/*
 * Where entry.asm arrives, in long mode on the boot stack, interrupts masked. `magic` and `info` are what EAX and EBX
 * held. Mapped by the boot page tables, writable throughout: the first 4 GiB at DIRECTMAP_BASE (and, still, at 0),
 * the first 1 GiB at KIMAGE_BASE. GS is not set: arch_init_early() comes first. Defined in kernel/. Must not return.
 */
void kernel_main(uint32_t magic, paddr_t info);

/* The reachable part of physical memory until the final page tables. */
#define BOOT_REACHABLE (4UL << 30)

/* Time stamp counter, a score of instructions after the loader jumped to us. */
extern const uint64_t boot_tsc;

/* The image and its segments, each page-aligned at both ends: text RX, rodata R, data (with .bss) RW. */
extern char kimage_start[], kimage_end[];
extern char text_start[], text_end[];
extern char rodata_start[], rodata_end[];
extern char data_start[], data_end[];

/* Stacks: [name, name_top), and the page below each. The IST ones take #DF, NMI, #MC and #DB. */
extern char boot_stack_guard[], boot_stack[], boot_stack_top[];
extern char ist_df_guard[], ist_df_stack[], ist_df_stack_top[];
extern char ist_nmi_guard[], ist_nmi_stack[], ist_nmi_stack_top[];
extern char ist_mc_guard[], ist_mc_stack[], ist_mc_stack_top[];
extern char ist_db_guard[], ist_db_stack[], ist_db_stack_top[];

#endif
