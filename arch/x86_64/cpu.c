/*
 * What the processor is and which of its protections are on. CPUID leaves and control bits: Intel SDM vol. 2A "CPUID",
 * vol. 3A section 2.5; AMD64 APM vol. 3, appendix E.
 */
#include <arch/cpu.h>

struct cpu_features cpu_features;

struct cpuid {
	uint32_t a, b, c, d;
};

static struct cpuid cpuid(uint32_t leaf)
{
	struct cpuid r;
	__asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
	return r;
}

/* Four characters a word, lowest byte first. */
static char *put_word(char *text, uint32_t word)
{
	for (unsigned i = 0; i < 4; i++)
		*text++ = (char)(word >> 8 * i);
	return text;
}

static void read_vendor(struct cpuid basic)
{
	char *text = cpu_features.vendor;
	text = put_word(text, basic.b);
	text = put_word(text, basic.d);
	text = put_word(text, basic.c);
	*text = '\0';
}

static void read_brand(void)
{
	char *text = cpu_features.brand;
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
		struct cpuid r = cpuid(leaf);
		text = put_word(text, r.a);
		text = put_word(text, r.b);
		text = put_word(text, r.c);
		text = put_word(text, r.d);
	}
	*text = '\0';
}

void cpu_init_features(void)
{
	struct cpuid basic = cpuid(0);
	uint32_t extended = cpuid(0x80000000).a;

	read_vendor(basic);
	struct cpuid r = cpuid(1);
	cpu_features.machine_check = r.d >> 7 & 1;
	cpu_features.apic = r.d >> 9 & 1;
	cpu_features.global_pages = r.d >> 13 & 1;
	cpu_features.pat = r.d >> 16 & 1;
	cpu_features.x2apic = cpu_features.apic && (r.c >> 21 & 1);
	cpu_features.apic_id = r.b >> 24;
	if (cpu_features.x2apic && basic.a >= 0xb && cpuid(0xb).b) /* else the leaf says nothing */
		cpu_features.apic_id = cpuid(0xb).d;               /* all 32 bits of it */
	if (basic.a >= 7) {
		r = cpuid(7);
		cpu_features.smep = r.b >> 7 & 1;
		cpu_features.smap = r.b >> 20 & 1;
		cpu_features.umip = r.c >> 2 & 1;
	}
	r = cpuid(0x80000001); /* exists: it is what says long mode */
	cpu_features.nx = r.d >> 20 & 1;
	cpu_features.gigabyte_pages = r.d >> 26 & 1;
	if (extended >= 0x80000004)
		read_brand();
	cpu_features.physical_bits = 36; /* what PAE gives, where leaf 8 is silent */
	cpu_features.linear_bits = 48;
	if (extended >= 0x80000008) {
		r = cpuid(0x80000008);
		cpu_features.physical_bits = (uint8_t)r.a;
		cpu_features.linear_bits = (uint8_t)(r.a >> 8);
	}
}

void cpu_init_protection(void)
{
	uint64_t cr4 = read_cr4();

	if (cpu_features.machine_check)
		cr4 |= CR4_MCE;
	if (cpu_features.global_pages)
		cr4 |= CR4_PGE;
	if (cpu_features.smep)
		cr4 |= CR4_SMEP;
	if (cpu_features.smap)
		cr4 |= CR4_SMAP;
	if (cpu_features.umip)
		cr4 |= CR4_UMIP;
	if (cpu_features.pat)
		wrmsr(MSR_PAT, PAT_POWER_ON); /* no leaf of ours asks for another type than WB yet */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr0(read_cr0() | CR0_WP);
	write_cr4(cr4);
}
