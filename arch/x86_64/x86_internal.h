/* What arch/x86_64's files share with each other and nobody else. */
#ifndef X86_INTERNAL_H
#define X86_INTERNAL_H

#include <arch/trap.h>

enum { SELECTOR_CODE = 0x08, SELECTOR_DATA = 0x10, SELECTOR_TSS = 0x18 };

/* Which of the TSS's seven stacks a vector runs on; 0 means the current one. */
enum { IST_NONE, IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_DEBUG };

/* The stacks behind them: linker.ld and boot/entry.asm put an unmapped page below each. */
extern char boot_stack_guard[], boot_stack[], boot_stack_top[];
extern char ist_df_guard[], ist_df_stack[], ist_df_stack_top[];
extern char ist_nmi_guard[], ist_nmi_stack[], ist_nmi_stack_top[];
extern char ist_mc_guard[], ist_mc_stack[], ist_mc_stack_top[];
extern char ist_db_guard[], ist_db_stack[], ist_db_stack_top[];

/* gdt.c: descriptor table, TSS, segment registers, and GS at the boot CPU's struct cpu. */
void gdt_init(void);

/* idt.c: every vector leads to its stub in trap.asm. */
void idt_init(void);

/* timer.c: both 8259s moved behind the exceptions, all lines masked. */
void pic_init(void);
enum { PIC_VECTOR = 32, PIC_LINES = 16 };

/* True if a vector of the 8259s came without a request behind it; answers it as its kind needs. */
bool pic_is_spurious(unsigned vector);

/* trap.asm */
enum { TRAP_STUB_SIZE = 16 };
extern char trap_stubs[];

/* trap.c, called by trap.asm with nesting counted and interrupts masked. */
void trap_entry(struct trap_frame *frame);

#endif
