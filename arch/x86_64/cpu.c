/*
 * What the processor is and which of its protections are on. CPUID leaves and control bits: Intel SDM vol. 2A "CPUID",
 * vol. 3A section 2.5; AMD64 APM vol. 3, appendix E.
 */
#include <arch/cpu.h>
#include <arch/pte.h>

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
	cpu_features.rdrand = r.c >> 30 & 1;
	cpu_features.apic_id = r.b >> 24;
	if (cpu_features.x2apic && basic.a >= 0xb && cpuid(0xb).b) /* else the leaf says nothing */
		cpu_features.apic_id = cpuid(0xb).d;               /* all 32 bits of it */
	if (basic.a >= 7) {
		r = cpuid(7);
		cpu_features.smep = r.b >> 7 & 1;
		cpu_features.rdseed = r.b >> 18 & 1;
		cpu_features.smap = r.b >> 20 & 1;
		cpu_features.umip = r.c >> 2 & 1;
		cpu_features.la57 = r.c >> 16 & 1;
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

/* Ten attempts, as Intel advises (SDM vol. 1, 7.3.17): a source that is silent for longer is broken. */
enum { RANDOM_ATTEMPTS = 10 };

static bool rdseed(uint64_t *value)
{
	bool valid;
	__asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(valid));
	return valid;
}

static bool rdrand(uint64_t *value)
{
	bool valid;
	__asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(valid));
	return valid;
}

static bool insist(bool (*draw)(uint64_t *value), uint64_t *value)
{
	uint64_t got;

	for (unsigned i = 0; i < RANDOM_ATTEMPTS; i++) {
		if (draw(&got)) {
			*value = got;
			return true;
		}
	}
	return false;
}

const char *cpu_random(uint64_t *value)
{
	if (cpu_features.rdseed && insist(rdseed, value))
		return "RDSEED";
	if (cpu_features.rdrand && insist(rdrand, value))
		return "RDRAND";
	return NULL;
}

/*
 * Tables that others use already hold entries whose meaning changes: what this CPU remembers of them, and what it took
 * into its caches by the old meaning, must go. So the caches take in nothing meanwhile. Intel SDM vol. 3A, 12.12.4, which
 * refers to 12.11.8; that all CPUs change at once is not needed, as each does before it uses any such entry.
 */
static void write_pat(void)
{
	uint64_t cr0 = read_cr0();

	/* Without global pages, until the caller turns them on, reloading CR3 drops every translation. */
	write_cr4(read_cr4() & ~(uint64_t)CR4_PGE);
	write_cr0((cr0 | CR0_CD) & ~(uint64_t)CR0_NW);
	wbinvd();
	write_cr3(read_cr3());
	wrmsr(MSR_PAT, PAT_VALUE);
	wbinvd();
	write_cr3(read_cr3());
	write_cr0(cr0 & ~(uint64_t)(CR0_CD | CR0_NW));
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
		write_pat();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr0(read_cr0() | CR0_WP);
	write_cr4(cr4);
}
