/* What arch/x86_64's files share with each other and nobody else. */
#ifndef X86_INTERNAL_H
#define X86_INTERNAL_H

#include <arch/smp.h>
#include <arch/trap.h>

enum { SELECTOR_CODE = 0x08, SELECTOR_DATA = 0x10, SELECTOR_TSS = 0x18 };

/* Which of the TSS's seven stacks a vector runs on; 0 means the current one. They are numbered as enum stack_kind. */
enum {
	IST_NONE = 0,
	IST_DOUBLE_FAULT = STACK_DOUBLE_FAULT,
	IST_NMI = STACK_NMI,
	IST_MACHINE_CHECK = STACK_MACHINE_CHECK,
	IST_DEBUG = STACK_DEBUG,
};

/* The boot CPU's: linker.ld and boot/entry.asm put an unmapped page below each. */
extern char boot_stack[], boot_stack_top[];
extern char ist_df_stack[], ist_df_stack_top[];
extern char ist_nmi_stack[], ist_nmi_stack_top[];
extern char ist_mc_stack[], ist_mc_stack_top[];
extern char ist_db_stack[], ist_db_stack_top[];

/* stacks.c: below each range lies an unmapped page. */
void stacks_register(unsigned cpu, const struct vrange ranges[CPU_STACKS]);
void stacks_forget(unsigned cpu);
void stacks_register_boot(void);

/* gdt.c: CPU `id`'s descriptor table, TSS, segment registers, and GS at its struct cpu. pre: its stacks are known */
void gdt_init(unsigned id);
extern struct cpu cpus[CPUS_MAX];

/* idt.c: every vector leads to its stub in trap.asm. One table for all CPUs; each loads it. */
void idt_init(void);
void idt_load(void);

/* timer.c: both 8259s moved behind the exceptions, all lines masked. */
void pic_init(void);
enum { PIC_VECTOR = 32, PIC_LINES = 16 };

/* True if a vector of the 8259s came without a request behind it; answers it as its kind needs. */
bool pic_is_spurious(unsigned vector);

/* The local APICs' vectors. The processor demands ones in the last four bits of the spurious one. */
enum {
	VECTOR_FLUSH = TRAP_IRQ_VECTORS,
	VECTOR_CALL,
	VECTOR_TIMER,
	VECTOR_ERROR = 0xfe,
	VECTOR_SPURIOUS = 0xff,
};

/* apic.c: this CPU's, as apic_init() did for the boot CPU; what an interrupt of it means; and interrupting others. */
void apic_init_cpu(void);
void apic_interrupt(unsigned vector);
void apic_note_id(unsigned id, uint32_t apic_id);
void apic_send(unsigned id, unsigned vector);
void apic_send_nmi(unsigned id);
void apic_send_init(unsigned id);
void apic_send_startup(unsigned id, paddr_t page);

/* smp.c: bits of CPU sets, and who is online. Only cpu_entry() adds to it. */
extern cpuset_t online;
static inline cpuset_t cpu_bit(unsigned id)
{
	return (cpuset_t)1 << id;
}

/* smp.c: runs what other CPUs asked for by cpu_call(). In a handler; or interrupts masked and no lock held. */
void calls_serve(void);
NORETURN void cpu_idle(void);

/* tlb.c: does what other CPUs asked for. Any context but an NMI. */
void tlb_answer(void);
void tlb_flush_all_here(void);

/* bringup.c: an NMI now means that another CPU reports. */
bool cpu_must_park(void);

/* trap.asm */
enum { TRAP_STUB_SIZE = 16 };
extern char trap_stubs[];

/* trap.c, called by trap.asm with nesting counted and interrupts masked. */
void trap_entry(struct trap_frame *frame);

#endif
