/*
 * Deliberate mistakes. Each is written as a careless programmer would, out of the optimiser's sight, so that what is
 * reported is what a real one would get.
 */
#include <arch/cpu.h>
#include <arch/smp.h>
#include <arch/spinlock.h>
#include <boot/entry.h>
#include <kernel/console.h>
#include <kernel/crash.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/vmalloc.h>

/* The compiler forgets what it knows about a pointer. */
static void *launder(const void *pointer)
{
	void *same;
	__asm__ volatile("" : "=r"(same) : "0"(pointer));
	return same;
}

static void read_byte(const void *pointer)
{
	(void)*(const volatile char *)launder(pointer);
}

static void write_byte(const void *pointer)
{
	*(volatile char *)launder(pointer) = 1;
}

static void run_bytes(const void *pointer)
{
	void (*code)(void) = (void (*)(void))(uintptr_t)launder(pointer);
	code();
}

static char *vmalloc_or_stop(size_t size)
{
	char *area = vmalloc(size);
	ASSERT(area);
	return area;
}

static void vmalloc_overflow(void)
{
	size_t size = 3 * PAGE_SIZE;
	read_byte(vmalloc_or_stop(size) + size);
}

/* The slack of the last page is mapped; only an access beyond it can be seen. */
static void vmalloc_overflow_odd(void)
{
	size_t size = 12345;
	read_byte(vmalloc_or_stop(size) + align_up(size, PAGE_SIZE));
}

static void use_after_vfree(void)
{
	char *area = vmalloc_or_stop(PAGE_SIZE);
	vfree(area);
	write_byte(area);
}

static NOINLINE unsigned recurse(unsigned depth, const volatile bool *endless)
{
	volatile char frame[200];
	frame[0] = (char)depth;
	if (!*endless)
		return depth;
	return recurse(depth + 1, endless) + (unsigned char)frame[0];
}

static void stack_overflow(void)
{
	bool endless = true;
	recurse(0, launder(&endless));
}

static void stack_guard(void)
{
	read_byte(boot_stack_guard + PAGE_SIZE - 8);
}

static void stack_lost(void)
{
	__asm__ volatile("movq %0, %%rsp; pushq $1" : : "r"(0xdead000000000000UL) : "memory");
}

static void bad_selector(void)
{
	__asm__ volatile("lldt %w0" : : "r"(0x1230));
}

static void exec_object(void)
{
	char *object = kmalloc(100, GFP_KERNEL);
	ASSERT(object);
	run_bytes(object);
}

static void null_member(void)
{
	read_byte((const void *)0x28);
}

static void text_write(void)
{
	write_byte(text_start);
}

static void rodata_write(void)
{
	write_byte(rodata_start);
}

static void exec_data(void)
{
	static unsigned char code[] = {0xc3}; /* ret */
	run_bytes(code);
}

static void kmalloc_double_free(void)
{
	char *object = kmalloc(100, GFP_KERNEL);
	ASSERT(object);
	kfree(object);
	kfree(launder(object)); /* NOLINT(clang-analyzer-unix.Malloc): the point of it */
}

static void non_canonical(void)
{
	read_byte((const void *)0xdead000000000000UL);
}

/* Which processors with 5-level paging accept. */
static void non_canonical_48(void)
{
	read_byte((const void *)0x0000dead00000000UL);
}

static void divide(void)
{
	__asm__ volatile("xorl %%ecx, %%ecx; xorl %%edx, %%edx; divl %%ecx" : : "a"(1) : "ecx", "edx", "cc");
}

static void assertion(void)
{
	int two = (int)(uintptr_t)launder((const void *)2);
	ASSERT(two + two == 5);
}

static void panic_on_another(void *unused)
{
	(void)unused;
	panic("crash: on another CPU");
}

static void other_cpu(void)
{
	cpu_call(1UL << 1, panic_on_another, NULL);
}

static void panic_with_the_rest(void *rest)
{
	__atomic_fetch_sub((unsigned *)rest, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n((unsigned *)rest, __ATOMIC_RELAXED))
		cpu_relax();
	panic("crash: on every CPU at once");
}

static void all_cpus(void)
{
	unsigned rest = nr_cpus_online();

	for (unsigned id = 1; cpu_by_id(id); id++)
		cpu_start_work(id, panic_with_the_rest, &rest);
	panic_with_the_rest(&rest);
}

/* Prints for ever with interrupts masked: in the middle of a line is where it will be stopped. */
static void print_endlessly(void *started)
{
	irq_disable();
	for (;;) {
		__atomic_store_n((bool *)started, true, __ATOMIC_RELAXED);
		kprintf("this line may be cut\n");
	}
}

static void busy_cpu(void)
{
	bool started = false;

	cpu_start_work(1, print_endlessly, &started);
	while (!__atomic_load_n(&started, __ATOMIC_RELAXED))
		cpu_relax();
	panic("crash: while another CPU prints");
}

static struct spinlock never_released = SPINLOCK_INIT("never released", 1);

static void wait_for_lock(void *unused)
{
	(void)unused;
	irq_disable();
	spin_lock(&never_released);
}

static void deaf_cpu(void)
{
	spin_lock(&never_released);
	cpu_start_work(1, wait_for_lock, NULL);
	while (__atomic_load_n(&never_released.next, __ATOMIC_RELAXED) < 2)
		cpu_relax();
	panic("crash: with a lock that another CPU waits for");
}

static void flood_of_warnings(void)
{
	for (unsigned i = 0; i < 25; i++)
		warn("crash: one of many, number %u", i);
	warn("crash: the only one of its kind");
	panic("crash: after a flood of warnings");
}

static const struct crash {
	const char *name, *what;
	void (*make)(void);
} crashes[] = {
        {"vmalloc-overflow", "reads the byte after a vmalloc area of 3 pages", vmalloc_overflow},
        {"vmalloc-overflow-odd", "reads the first byte after the last page of an area of 12345 bytes",
         vmalloc_overflow_odd},
        {"use-after-vfree", "writes to a vmalloc area that was freed", use_after_vfree},
        {"stack-overflow", "recurses without end", stack_overflow},
        {"stack-guard", "reads in the guard page below the kernel stack", stack_guard},
        {"stack-lost", "pushes where no stack can be", stack_lost},
        {"selector", "loads a segment selector that is none", bad_selector},
        {"exec-object", "runs a kmalloc object of 100 bytes", exec_object},
        {"null", "reads a member at offset 0x28 of a structure at NULL", null_member},
        {"text-write", "writes to the kernel's code", text_write},
        {"rodata-write", "writes to a constant", rodata_write},
        {"exec-data", "runs data", exec_data},
        {"double-free", "frees a kmalloc object twice", kmalloc_double_free},
        {"non-canonical", "reads at an address that no pointer can have", non_canonical},
        {"non-canonical-48", "reads at an address that only 5 levels of page tables could translate",
         non_canonical_48},
        {"divide", "divides by zero", divide},
        {"assert", "asserts what is not so", assertion},
        {"other-cpu", "panics on CPU 1", other_cpu},
        {"all-cpus", "panics on every CPU at once", all_cpus},
        {"deaf-cpu", "panics while CPU 1 waits for its lock with interrupts masked", deaf_cpu},
        {"warnings", "warns too often, then panics", flood_of_warnings},
        {"busy-cpu", "panics while CPU 1 prints with interrupts masked", busy_cpu},
};

bool crash_on_purpose(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
		if (strcmp(crashes[i].name, name) != 0)
			continue;
		kprintf("On purpose: %s\n", crashes[i].what);
		crashes[i].make();
		panic("crash: %s went unnoticed", name);
	}
	return false;
}

void crash_list(struct printer *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		print(out, "  %-22s %s\n", crashes[i].name, crashes[i].what);
}
