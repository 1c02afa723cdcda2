/*
 * Segments exist only because long mode insists: one for code, one for data, and the task state segment, of which only
 * the interrupt stacks matter. Intel SDM vol. 3A, sections 3.4.5 and 8.7.
 */
#include <arch/cpu.h>
#include <arch/percpu.h>
#include "x86_internal.h"

struct PACKED tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* IST n at ist[n - 1] */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map; /* beyond the limit: no ports for ring 3 */
};
_Static_assert(sizeof(struct tss) == 104, "the processor's layout");

struct PACKED table_pointer {
	uint16_t limit;
	uint64_t base;
};

/* Access byte: present, ring 0; 0x9b executable and readable, 0x93 writable, both accessed; 0x89 a free TSS. */
#define SEGMENT_CODE 0x00af9b000000ffffUL
#define SEGMENT_DATA 0x00cf93000000ffffUL
#define SEGMENT_TSS  0x0000890000000000UL

static struct cpu boot_cpu;
static struct tss tss;
static uint64_t gdt[5] = {0, SEGMENT_CODE, SEGMENT_DATA}; /* and two words of TSS descriptor */

static void describe_tss(void)
{
	uint64_t base = (uintptr_t)&tss;

	tss.ist[IST_DOUBLE_FAULT - 1] = (uintptr_t)ist_df_stack_top;
	tss.ist[IST_NMI - 1] = (uintptr_t)ist_nmi_stack_top;
	tss.ist[IST_MACHINE_CHECK - 1] = (uintptr_t)ist_mc_stack_top;
	tss.ist[IST_DEBUG - 1] = (uintptr_t)ist_db_stack_top;
	tss.io_map = sizeof(tss);
	gdt[SELECTOR_TSS / 8] =
	        SEGMENT_TSS | (sizeof(tss) - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
}

static void load_segments(void)
{
	struct table_pointer pointer = {sizeof(gdt) - 1, (uintptr_t)gdt};

	__asm__ volatile("lgdt %0\n\t"
	                 "pushq %1\n\t" /* CS changes only by a far transfer */
	                 "leaq 1f(%%rip), %%rax\n\t"
	                 "pushq %%rax\n\t"
	                 "lretq\n"
	                 "1:\n\t"
	                 "movl %2, %%eax\n\t"
	                 "movl %%eax, %%ds\n\t"
	                 "movl %%eax, %%es\n\t"
	                 "movl %%eax, %%ss\n\t"
	                 "xorl %%eax, %%eax\n\t"
	                 "movl %%eax, %%fs\n\t"
	                 "movl %%eax, %%gs\n\t"
	                 "movl %3, %%eax\n\t"
	                 "ltr %%ax"
	                 :
	                 : "m"(pointer), "i"(SELECTOR_CODE), "i"(SELECTOR_DATA), "i"(SELECTOR_TSS)
	                 : "rax", "memory");
}

void gdt_init(void)
{
	describe_tss();
	load_segments();
	boot_cpu.self = &boot_cpu;
	wrmsr(MSR_GS_BASE, (uintptr_t)&boot_cpu); /* after gs was loaded, which cleared it */
}

bool arch_is_ready(void)
{
	return boot_cpu.self != NULL;
}
