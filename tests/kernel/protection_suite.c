/* What the final page tables and control registers must forbid, tried out. */
#include <arch/cpu.h>
#include <arch/directmap.h>
#include <arch/machine.h>
#include <arch/pte.h>
#include <arch/smp.h>
#include <arch/trap.h>
#include <boot/entry.h>
#include <mm/kmalloc.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include "expect_fault.h"
#include "vm_access.h"

enum {
	PROTECTED = FAULT_PRESENT,
	WRITE_PROTECTED = FAULT_PRESENT | FAULT_WRITE,
	NO_EXECUTE = FAULT_PRESENT | FAULT_FETCH
};

static vaddr_t first_byte(const char *start)
{
	return vaddr_of(start);
}

static vaddr_t last_byte(const char *end)
{
	return vaddr(vaddr_of(end).raw - 1);
}

/* The same byte of the image through the direct map. */
static vaddr_t alias_of(vaddr_t image)
{
	return vaddr_of(paddr_to_directmap(paddr(image.raw - KIMAGE_BASE)));
}

static void assert_absent(vaddr_t va)
{
	expect_page_fault(va.raw, 0, touch_read(vaddr_pointer(va)));
}

static void assert_not_writable(vaddr_t va)
{
	expect_page_fault(va.raw, WRITE_PROTECTED, touch_write(vaddr_pointer(va)));
}

/* Read-only or absent, but never writable. */
static void assert_alias_not_writable(vaddr_t image)
{
	vaddr_t alias = alias_of(image);

	if (is_mapped(alias))
		assert_not_writable(alias);
	else
		expect_page_fault(alias.raw, FAULT_WRITE, *(volatile uint8_t *)vaddr_pointer(alias) = 0);
}

static void text_cannot_be_written(void)
{
	assert_not_writable(first_byte(text_start));
	assert_not_writable(last_byte(text_end));
}

static void rodata_cannot_be_written(void)
{
	assert_not_writable(first_byte(rodata_start));
	assert_not_writable(last_byte(rodata_end));
}

static void text_cannot_be_written_through_the_direct_map(void)
{
	assert_alias_not_writable(first_byte(text_start));
	assert_alias_not_writable(last_byte(text_end));
}

static void rodata_cannot_be_written_through_the_direct_map(void)
{
	assert_alias_not_writable(first_byte(rodata_start));
	assert_alias_not_writable(last_byte(rodata_end));
}

static const uint8_t code[] = {0xc3}; /* ret */

static void cannot_be_executed(void *memory)
{
	*(uint8_t *)memory = code[0];
	expect_page_fault(memory, NO_EXECUTE, touch_execute(memory));
}

static void data_cannot_be_executed(void)
{
	static uint8_t data;
	cannot_be_executed(&data);
}

static void constants_cannot_be_executed(void)
{
	expect_page_fault(code, NO_EXECUTE, touch_execute(code));
}

static void the_stack_cannot_be_executed(void)
{
	uint8_t local;
	cannot_be_executed(&local);
}

static void the_heap_cannot_be_executed(void)
{
	void *object = kmalloc(64, GFP_KERNEL);
	assert_non_null(object);
	cannot_be_executed(object);
	kfree(object);
}

static void vmalloc_memory_cannot_be_executed(void)
{
	void *area = vmalloc(PAGE_SIZE);
	assert_non_null(area);
	cannot_be_executed(area);
	vfree(area);
}

static void text_cannot_be_executed_through_the_direct_map(void)
{
	vaddr_t alias = alias_of(first_byte(text_start));
	uint64_t error = is_mapped(alias) ? NO_EXECUTE : FAULT_FETCH;

	expect_page_fault(alias.raw, error, touch_execute(vaddr_pointer(alias)));
}

static void page_0_is_absent(void)
{
	for (uint64_t address = 0; address < PAGE_SIZE; address += 1023)
		assert_absent(vaddr(address));
}

static void the_identity_map_is_gone(void)
{
	assert_absent(vaddr((uintptr_t)text_start - KIMAGE_BASE));
	for (uint64_t address = PAGE_SIZE; address < 1UL << (pt_address_bits(paging_levels()) - 1);
	     address *= 2)
		assert_absent(vaddr(address));
}

static void the_image_ends_where_it_says(void)
{
	assert_absent(vaddr(first_byte(kimage_start).raw - 1));
	assert_absent(vaddr_of(kimage_end));
}

static void every_stack_guard_is_absent(void)
{
	const struct guarded_stack *s;
	unsigned stacks = 0;

	for (; (s = guarded_stack(stacks)); stacks++) {
		assert_int_equal(vrange_size(s->guard), PAGE_SIZE);
		assert_absent(s->guard.start);
		assert_absent(vaddr(s->guard.end.raw - 1));
		touch_read(vaddr_pointer(s->stack.start));
		touch_read(vaddr_pointer(vaddr(s->stack.end.raw - 1)));
	}
	assert_int_equal(stacks, CPU_STACKS * nr_cpus_online());
}

static void run_off_the_stack(void)
{
	const struct guarded_stack *stack = guarded_stack(STACK_KERNEL);

	expect_fault(TRAP_DOUBLE_FAULT, overflow_stack());
	assert_true(vrange_contains(stack->guard, expected_fault.address));
	assert_at_least(expected_fault.frame.rsp, stack->guard.start.raw);
	assert_at_most(expected_fault.frame.rsp, stack->stack.start.raw + 256);
}

static void running_off_the_stack_arrives_as_a_double_fault_in_its_guard(void)
{
	for (unsigned i = 0; i < 3; i++) /* the stack for it must be free again each time */
		run_off_the_stack();
}

static void write_protection_binds_the_kernel(void)
{
	assert_true(read_cr0() & CR0_WP);
	assert_true(rdmsr(MSR_EFER) & EFER_NXE);
}

static void what_the_processor_offers_is_on(void)
{
	uint64_t cr4 = read_cr4();

	assert_int_equal(!!(cr4 & CR4_MCE), cpu_features.machine_check);
	assert_int_equal(!!(cr4 & CR4_PGE), cpu_features.global_pages);
	assert_int_equal(!!(cr4 & CR4_SMEP), cpu_features.smep);
	assert_int_equal(!!(cr4 & CR4_SMAP), cpu_features.smap);
	assert_int_equal(!!(cr4 & CR4_UMIP), cpu_features.umip);
}

static uint64_t pats[CPUS_MAX], cr0s[CPUS_MAX];

static void read_pat(void *context)
{
	(void)context;
	pats[this_cpu()->id] = rdmsr(MSR_PAT);
	cr0s[this_cpu()->id] = read_cr0();
}

static void cache_bits_mean_the_same_on_every_cpu(void)
{
	if (!cpu_features.pat)
		test_skip("this processor has no PAT");
	cpu_call(cpus_online(), read_pat, NULL);
	for (unsigned id = 0; id < nr_cpus_online(); id++) {
		test_step(id);
		assert_int_equal(pats[id], 0x0407050600070106); /* WT UC- WP WB UC UC- WC WB */
		assert_int_equal(cr0s[id] & (CR0_CD | CR0_NW), 0);
	}
}

static void smap_is_not_suspended(void)
{
	enum { RFLAGS_AC = 1 << 18 };
	uint64_t flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	assert_false(flags & RFLAGS_AC);
}

/*
 * A user page in the lower half, made behind pagetable.c's back, which refuses to. Every level must say "user" for the
 * processor to call it one.
 */
#define USER_PAGE 0x0000123400000000UL

static pte_t *entry_of(vaddr_t va, unsigned level)
{
	pte_t *table = paddr_to_directmap(kernel_pagetable.root);

	for (unsigned at = paging_levels(); at > level; at--)
		table = paddr_to_directmap(pte_table_paddr(table[pt_index(va, at)]));
	return &table[pt_index(va, level)];
}

static void mark_user(vaddr_t va, bool user)
{
	for (unsigned level = paging_levels(); level >= 1; level--) {
		pte_t *entry = entry_of(va, level);
		entry->raw = user ? entry->raw | PTE_USER : entry->raw & ~PTE_USER;
	}
	invlpg(va);
}

static void with_user_page(pgprot_t prot, uint64_t error, void (*touch)(const void *))
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct vrange range = vrange_sized(vaddr(USER_PAGE), PAGE_SIZE);

	assert_non_null(page);
	*(uint8_t *)page_address(page) = code[0];
	assert_true(pagetable_map(&kernel_pagetable, range, page_to_paddr(page), prot, 1));
	touch((const void *)USER_PAGE); /* fine while it is the kernel's own */
	mark_user(range.start, true);
	try_to_fault(touch((const void *)USER_PAGE));
	mark_user(range.start, false);
	assert_true(pagetable_unmap(&kernel_pagetable, range, NULL));
	__free_page(page);
	fault_demand_page(__FILE__, __LINE__, "touching a user page", USER_PAGE, error);
}

static void read_it(const void *pointer)
{
	touch_read(pointer);
}

static void smep_keeps_the_kernel_from_running_user_pages(void)
{
	if (!cpu_features.smep)
		test_skip("this processor has no SMEP");
	with_user_page(PAGE_KERNEL_ROX, NO_EXECUTE, touch_execute);
}

static void smap_keeps_the_kernel_from_reading_user_pages(void)
{
	if (!cpu_features.smap)
		test_skip("this processor has no SMAP");
	with_user_page(PAGE_KERNEL, PROTECTED, read_it);
}

static const struct test_case cases[] = {
        TEST_CASE(text_cannot_be_written),
        TEST_CASE(rodata_cannot_be_written),
        TEST_CASE(text_cannot_be_written_through_the_direct_map),
        TEST_CASE(rodata_cannot_be_written_through_the_direct_map),
        TEST_CASE(data_cannot_be_executed),
        TEST_CASE(constants_cannot_be_executed),
        TEST_CASE(the_stack_cannot_be_executed),
        TEST_CASE(the_heap_cannot_be_executed),
        TEST_CASE(vmalloc_memory_cannot_be_executed),
        TEST_CASE(text_cannot_be_executed_through_the_direct_map),
        TEST_CASE(page_0_is_absent),
        TEST_CASE(the_identity_map_is_gone),
        TEST_CASE(the_image_ends_where_it_says),
        TEST_CASE(every_stack_guard_is_absent),
        TEST_CASE(running_off_the_stack_arrives_as_a_double_fault_in_its_guard),
        TEST_CASE(write_protection_binds_the_kernel),
        TEST_CASE(what_the_processor_offers_is_on),
        TEST_CASE(cache_bits_mean_the_same_on_every_cpu),
        TEST_CASE(smap_is_not_suspended),
        TEST_CASE(smep_keeps_the_kernel_from_running_user_pages),
        TEST_CASE(smap_keeps_the_kernel_from_reading_user_pages),
};

const struct test_suite protection_suite = TEST_SUITE("protection", cases);
