/*
 * The processor's privileged instructions, one inline function each, and its features. x86_64 only: mm/ never
 * includes this; what mm/ needs of the machine is <arch/tlb.h>, <arch/irq.h> and <arch/spinlock.h>.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <lib/addr.h>

static inline uint64_t read_cr0(void)
{
	uint64_t v;
	__asm__ volatile("movq %%cr0, %0" : "=r"(v));
	return v;
}

static inline void write_cr0(uint64_t v)
{
	__asm__ volatile("movq %0, %%cr0" : : "r"(v) : "memory");
}

static inline vaddr_t read_cr2(void)
{
	uint64_t v;
	__asm__ volatile("movq %%cr2, %0" : "=r"(v));
	return vaddr(v);
}

static inline paddr_t read_cr3(void)
{
	uint64_t v;
	__asm__ volatile("movq %%cr3, %0" : "=r"(v));
	return paddr(v);
}

/* Loads the root of the address space; drops all non-global translations of this CPU. */
static inline void write_cr3(paddr_t root)
{
	__asm__ volatile("movq %0, %%cr3" : : "r"(root.raw) : "memory");
}

static inline uint64_t read_cr4(void)
{
	uint64_t v;
	__asm__ volatile("movq %%cr4, %0" : "=r"(v));
	return v;
}

static inline void write_cr4(uint64_t v)
{
	__asm__ volatile("movq %0, %%cr4" : : "r"(v) : "memory");
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* Writes back and empties this CPU's caches, and those it shares. Milliseconds. */
static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

/* Drops this CPU's translation of the page at `va`, and its paging-structure caches. */
static inline void invlpg(vaddr_t va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va.raw) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

enum {
	CR0_WP = 1 << 16,   /* read-only holds for the kernel too */
	CR0_NW = 1 << 29,   /* with CR0_CD: caches may differ from memory; never wanted */
	CR0_CD = 1 << 30,   /* caches take nothing in */
	CR4_PAE = 1 << 5,   /* eight-byte page-table entries: long mode has no others */
	CR4_MCE = 1 << 6,   /* a machine check is an exception, not a shutdown */
	CR4_PGE = 1 << 7,   /* global translations */
	CR4_UMIP = 1 << 11, /* user code may not read GDT, IDT, TSS addresses */
	CR4_LA57 = 1 << 12, /* five levels of page tables; long mode must be left to change it */
	CR4_SMEP = 1 << 20, /* the kernel does not execute user pages */
	CR4_SMAP = 1 << 21, /* nor read them */
};
enum { MSR_APIC_BASE = 0x1b, MSR_PAT = 0x277, MSR_EFER = 0xc0000080, MSR_GS_BASE = 0xc0000101 };
enum { EFER_NXE = 1 << 11 };

/* How many levels of page tables this CPU walks. The same on all: entry.asm decides, the others follow. */
static inline unsigned paging_levels(void)
{
	return read_cr4() & CR4_LA57 ? 5 : 4;
}

static inline NORETURN void cpu_halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static inline void irq_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void irq_disable(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* What the CPU can do, from CPUID; filled by cpu_init_features(). */
struct cpu_features {
	bool nx, gigabyte_pages, global_pages, machine_check, pat, smep, smap, umip, la57, apic, x2apic,
	        rdrand, rdseed;
	uint32_t apic_id; /* of the CPU that asked: the boot CPU */
	uint8_t physical_bits, linear_bits;
	char vendor[13];
	char brand[49];
};
extern struct cpu_features cpu_features;

/* Reads CPUID; entry.asm has refused CPUs without long mode and NX. */
void cpu_init_features(void);

/*
 * 64 bits that nobody foretells, from the best source that the CPU has: its name, "RDSEED" or "RDRAND". NULL, and *value as
 * it was, if it has neither, or neither answers.
 */
const char *cpu_random(uint64_t *value);

/*
 * Turns on what the running CPU has: EFER.NXE, CR0.WP, CR4.MCE/PGE/SMEP/SMAP/UMIP, and writes the PAT of <arch/pte.h>.
 * After the final page tables live, before the CPU touches anything that is not WB; interrupts masked.
 */
void cpu_init_protection(void);

#endif
