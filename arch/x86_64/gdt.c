/*
 * Segments exist only because long mode insists: one for code, one for data, and the task state segment, of which only
 * the interrupt stacks matter. Each CPU has its own of everything: a TSS serves one, and its descriptor marks it busy. Intel
 * SDM vol. 3A, sections 3.4.5 and 8.7.
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

/* In cache lines of its own: nobody else's business. */
static struct segments {
	uint64_t gdt[5]; /* null, code, data, and two words of TSS descriptor */
	struct tss tss;
} ALIGNED(64) segments[CPUS_MAX];

struct cpu cpus[CPUS_MAX];

static void describe(struct segments *own, unsigned id)
{
	uint64_t base = (uintptr_t)&own->tss;

	for (unsigned stack = STACK_DOUBLE_FAULT; stack < CPU_STACKS; stack++)
		own->tss.ist[stack - 1] = guarded_stack(id * CPU_STACKS + stack)->stack.end.raw;
	own->tss.io_map = sizeof(own->tss);
	own->gdt[SELECTOR_CODE / 8] = SEGMENT_CODE;
	own->gdt[SELECTOR_DATA / 8] = SEGMENT_DATA;
	own->gdt[SELECTOR_TSS / 8] =
	        SEGMENT_TSS | (sizeof(own->tss) - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	own->gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
}

static void load(const struct segments *own)
{
	struct table_pointer pointer = {sizeof(own->gdt) - 1, (uintptr_t)own->gdt};

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

void gdt_init(unsigned id)
{
	struct cpu *cpu = &cpus[id];

	describe(&segments[id], id);
	load(&segments[id]);
	cpu->id = id;
	cpu->line = (size_t)id * CACHE_LINE;
	cpu->self = cpu;
	wrmsr(MSR_GS_BASE, (uintptr_t)cpu); /* after gs was loaded, which cleared it */
}

bool arch_is_ready(void)
{
	return cpus[0].self != NULL;
}
