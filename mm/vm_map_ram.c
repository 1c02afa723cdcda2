/*
 * Mappings that do not last.
 *
 * Promise: frames of others at consecutive addresses for the price of their page-table entries. No area, no descriptor, no
 * lock of the vmalloc window, and one flush of the translation caches for hundreds of mappings.
 *
 *	block, 2 MiB, one area                                                     one table of level 1
 *	   [ own | guard | mapping | guard | mapping | guard | ·  ·  · not used yet ·  ·  · ]
 *	     │                                               ^ next
 *	     └─► struct ram_block: who maps where, how many are in use
 *
 * Each CPU maps in a block of its own, by moving `next` up. What is unmapped is made absent and never mapped again; so
 * nobody needs to flush, until the block is used up and its last mapping gone. Then all of it is swept at once, with one
 * flush, and becomes a hole of the window. A mapping of more than RAM_MAPPING_PAGES is an ordinary area, flushed when it
 * goes, as vmap()'s.
 *
 * The block's own page is found from any address in it by rounding down and looking into the page table, and is believed
 * if its frame's owner is the block's area. It is written through the direct map and mapped read-only, a guard behind it:
 * what runs off a mapping at either end faults. As it is mapped, the block's table is there as long as the block is, and
 * mapping cannot fail.
 *
 * W1  A block is an area VM_RAM_BLOCK of one table's span. Its first page is mapped, read-only, to a frame PAGE_VMALLOC of
 *     which the area is the owner.
 * W2  From page RAM_FIRST_PAGE to `next`, mappings follow each other, each of 1 to RAM_MAPPING_PAGES pages and a guard.
 *     The pages of one in use are mapped PAGE_KERNEL; nothing else is mapped but the first page.
 * W3  users is the number of mappings in use, plus one if the block is some CPU's. It is not 0.
 * W4  What a CPU maps in is a block, and no other CPU's.
 *
 * Who gives up the last use has the block for itself: no mapping is left that somebody could unmap, and no CPU that maps.
 * The order in which these go does not matter, nor on which CPU. A CPU gives up its block when a mapping does not fit; or in
 * the purge, if nobody else uses it: it alone could add a user, and is masked then.
 *
 * vm_unmap_aliases() promises more than the blocks that it gives back: in others, mappings were made absent and other CPUs
 * may remember them. nr_unmapped counts these, nr_flushed how many of them every CPU is known to have forgotten: it is
 * raised after the flush, so that nobody relies on one that has only begun.
 *
 * Locking: none for the entries, as a block is one last-level table (pagetable.c, T7). A CPU's block and its `next` change
 * on this CPU, masked; whether a mapping is in use is decided by one atomic exchange, so that of two who unmap it one is told.
 *
 * Cost: a constant per mapping and per page. A block costs an area, a frame, a table and a flush, for up to 255 mappings.
 */
#include <mm/vm_map_ram.h>
#include <arch/flush_site.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <arch/tlb.h>
#include <lib/check.h>
#include <lib/panic.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include "vm_map_ram_internal.h"
#include "vmalloc_internal.h"

struct ram_block *ram_current[CPUS_MAX];

static uint64_t nr_unmapped, nr_flushed; /* atomic */

static vaddr_t page_of(const struct ram_block *block, unsigned n)
{
	return vaddr(block->area->va_start + ((uintptr_t)n << PAGE_SHIFT));
}

static struct vrange pages_of(const struct ram_block *block, unsigned first, unsigned end)
{
	return vrange(page_of(block, first).raw, page_of(block, end).raw);
}

static unsigned page_number(uintptr_t address)
{
	return (unsigned)((address & (RAM_BLOCK_SIZE - 1)) >> PAGE_SHIFT);
}

/* ---- A block comes and goes --------------------------------------------------------------------------------------- */

/* The block's own page: a frame that is the area's, as in areas that own all of theirs. */
static const char *block_fill(struct vmap_area *area, const struct request *want)
{
	struct page *page = alloc_page(want->gfp | __GFP_ZERO | __GFP_NOWARN);

	if (unlikely(!page))
		return "no frames";
	frame_own(area, page);
	struct ram_block *block = page_address(page);
	*block = (struct ram_block){.area = area, .next = RAM_FIRST_PAGE, .users = 1};
	if (unlikely(!map_frames(vaddr(area->va_start), &page, 1, want))) {
		frames_disown(&page, 1);
		__free_page(page);
		return "no page-table page";
	}
	cpu_count(COUNT_AREA_PAGES, 1);
	return NULL;
}

/* Nobody's yet, with its maker as the one user; NULL after a warning. */
static struct ram_block *block_create(const struct request *asked)
{
	struct request want = *asked;

	want.size = want.align = RAM_BLOCK_SIZE;
	want.flags = VM_RAM_BLOCK | VM_NO_GUARD;
	want.prot = PAGE_KERNEL_RO;
	struct vmap_area *area = area_reserve(&want);
	if (unlikely(!area))
		return NULL;
	const char *lacking = block_fill(area, &want);
	if (unlikely(lacking)) {
		area_cancel(area);
		return refuse(&want, lacking);
	}
	area_publish(area);
	return page_address(vmalloc_to_page((void *)area->va_start));
}

/* One flush for all of them, then they are gone. pre: users is 0; count <= CPUS_MAX. Frames given back. */
static NOINLINE size_t blocks_retire(struct ram_block *const *blocks, size_t count)
{
	struct vrange swept[CPUS_MAX];
	size_t nr = 0;

	if (!count)
		return 0;
	do {
		struct vmap_area *area = blocks[nr]->area;
		area_set_flags(area, area_flags(area) | VM_DYING);
		pagetable_clear(&kernel_pagetable, pages_of(blocks[nr], 0, RAM_FIRST_PAGE), NULL);
		swept[nr] = pages_of(blocks[nr], 0, blocks[nr]->next); /* each page of it cleared once */
	} while (++nr < count);
	pagetable_sweep(&kernel_pagetable, swept, count, false);
	for (size_t i = 0; i < count; i++) {
		struct page *page = virt_to_page(blocks[i]);
		struct vmap_area *area = page->owner;
		frames_disown(&page, 1);
		__free_page(page);
		cpu_count(COUNT_AREA_PAGES, -1UL);
		vmap_areas_release(&area, 1);
	}
	return count;
}

static void block_put(struct ram_block *block)
{
	if (__atomic_sub_fetch(&block->users, 1, __ATOMIC_ACQ_REL) == 0)
		blocks_retire(&block, 1);
}

/* ---- Finding ------------------------------------------------------------------------------------------------------ */

/* The block that `address` lies in, or NULL. Masked, or by a user of the block: it does not go meanwhile. */
static struct ram_block *block_at(uintptr_t address)
{
	uintptr_t start = align_down(address, RAM_BLOCK_SIZE);
	const struct vmap_area *area = area_of_frame(start);

	if (!area || area->va_start != start || !(area_flags(area) & VM_RAM_BLOCK))
		return NULL;
	const struct page *page = vmalloc_to_page((const void *)start);
	return page ? page_address(page) : NULL;
}

/* The mapping that begins at or next below page n, or NULL. */
static struct ram_mapping *mapping_below(struct ram_block *block, unsigned n)
{
	for (unsigned slot = n / 2; slot >= RAM_FIRST_PAGE / 2; slot--) {
		struct ram_mapping *mapping = &block->mappings[slot];
		if (__atomic_load_n(&mapping->pages, __ATOMIC_ACQUIRE) && mapping->first <= n)
			return mapping;
	}
	return NULL;
}

bool ram_block_find(const struct vmap_area *area, uintptr_t address, struct vmap_area *found)
{
	bool inside = false;

	if (!(area_flags(area) & VM_RAM_BLOCK) || address - area->va_start >= RAM_BLOCK_SIZE)
		return false;
	irqflags_t flags = irq_save();
	struct ram_block *block = block_at(address);
	const struct ram_mapping *mapping = block ? mapping_below(block, page_number(address)) : NULL;
	if (mapping) {
		uint32_t by = __atomic_load_n(&mapping->unmapped_by, __ATOMIC_RELAXED);
		uintptr_t start = area->va_start + ((uintptr_t)mapping->first << PAGE_SHIFT);
		*found = (struct vmap_area){
		        .va_start = start,
		        .va_end = start + ((mapping->pages + 1UL) << PAGE_SHIFT),
		        .requested_size = (size_t)mapping->pages << PAGE_SHIFT,
		        .caller = mapping->mapped_by,
		        .flags = VM_RAM | (by ? VM_LAZY : 0),
		        .freed_by = by,
		};
		inside = address < found->va_end;
	}
	irq_restore(flags);
	return inside;
}

/* ---- Mapping ------------------------------------------------------------------------------------------------------ */

/* Pages and a guard, and one more user; where they begin. By the CPU that maps in the block, masked, or its maker. */
static unsigned pages_take(struct ram_block *block, unsigned pages)
{
	unsigned first = block->next;

	__atomic_store_n(&block->next, first + pages + 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&block->users, 1, __ATOMIC_RELAXED);
	return first;
}

/* This CPU maps in `block` from now on, no longer in what it had. */
static void current_replace(struct ram_block *block)
{
	irqflags_t flags = irq_save();
	struct ram_block *old = ram_current[this_cpu()->id];
	__atomic_store_n(&ram_current[this_cpu()->id], block, __ATOMIC_RELEASE);
	irq_restore(flags);
	if (old)
		block_put(old);
}

/* A block with room for `pages`, from *first on, of which the caller is a user now; NULL after a warning. */
static struct ram_block *block_for(unsigned pages, const struct request *want, unsigned *first)
{
	irqflags_t flags = irq_save();
	struct ram_block *block = ram_current[this_cpu()->id];
	bool fits = block && block->next + pages + 1 <= RAM_BLOCK_PAGES;
	if (likely(fits))
		*first = pages_take(block, pages);
	irq_restore(flags);
	if (likely(fits))
		return block;

	block = block_create(want);
	if (likely(block)) {
		*first = pages_take(block, pages); /* before anybody can think that it is not used */
		current_replace(block);
	}
	return block;
}

static void mapping_write(struct ram_block *block, unsigned first, unsigned pages, const void *caller)
{
	struct ram_mapping *mapping = &block->mappings[first / 2];

	mapping->mapped_by = (uint32_t)(uintptr_t)caller;
	mapping->first = (uint16_t)first;
	__atomic_store_n(&mapping->pages, (uint16_t)pages, __ATOMIC_RELEASE);
}

static void *map_in_block(struct page *const *pages, unsigned count, const struct request *want)
{
	unsigned first;
	struct ram_block *block = block_for(count, want, &first);

	if (unlikely(!block))
		return NULL;
	vaddr_t at = page_of(block, first);
	bool mapped = pagetable_map_pages(&kernel_pagetable, at, pages, count, want->prot);
	ASSERT(mapped); /* W1: the table is there */
	mapping_write(block, first, count, want->caller);
	return vaddr_pointer(at);
}

static void *map_as_area(struct page *const *pages, unsigned count, const struct request *want)
{
	struct vmap_area *area = area_reserve(want);

	if (unlikely(!area))
		return NULL;
	if (unlikely(!area_map_pages(area, pages, count, want))) {
		area_cancel(area);
		return refuse(want, "no page-table page");
	}
	return area_publish(area);
}

void *vm_map_ram(struct page *const *pages, unsigned int count, int node)
{
	struct request want = request_anywhere("vm_map_ram", (void *)CALLER_ADDRESS,
	                                       (size_t)count << PAGE_SHIFT, VM_RAM, PAGE_KERNEL);
	const char *fault = request_fault(&want);

	if (!fault && count > nr_managed_pages())
		fault = "more than all RAM";
	if (!fault && node != NUMA_NO_NODE && node != 0)
		fault = "no such node";
	if (unlikely(fault))
		return refuse(&want, fault);
	return count <= RAM_MAPPING_PAGES ? map_in_block(pages, count, &want)
	                                  : map_as_area(pages, count, &want);
}

/* ---- Unmapping ---------------------------------------------------------------------------------------------------- */

static NORETURN void report_count(uintptr_t address, size_t pages, unsigned count, uint32_t mapped_by,
                                  const void *caller)
{
	panic("vm_unmap_ram: 0x%lx has %zu page%s, not %u, mapped by %pS, from %pS", address, pages,
	      pages == 1 ? "" : "s", count, code_address(mapped_by), caller);
}

/*
 * The block in which `count` pages are mapped at `address`: no longer in use, but still mapped, and still the block's user.
 * NULL if there is no such mapping in use.
 */
static struct ram_block *mapping_claim(uintptr_t address, unsigned count, const void *caller)
{
	struct ram_mapping copy = {0};
	uint32_t in_use = 0;
	bool claimed = false;

	irqflags_t flags = irq_save();
	struct ram_block *block = block_at(address);
	struct ram_mapping *mapping = block ? mapping_below(block, page_number(address)) : NULL;
	if (mapping && page_of(block, mapping->first).raw == address) {
		copy.pages = mapping->pages;
		copy.mapped_by = mapping->mapped_by;
		copy.unmapped_by = __atomic_load_n(&mapping->unmapped_by, __ATOMIC_RELAXED);
		claimed = copy.pages == count &&
		          __atomic_compare_exchange_n(&mapping->unmapped_by, &in_use,
		                                      (uint32_t)(uintptr_t)caller, false, __ATOMIC_ACQ_REL,
		                                      __ATOMIC_RELAXED);
	}
	irq_restore(flags);

	if (unlikely(copy.pages && copy.pages != count && !copy.unmapped_by))
		report_count(address, copy.pages, count, copy.mapped_by, caller);
	return claimed ? block : NULL;
}

/* The area of a large mapping, marked as leaving. Anything else is the caller's mistake. */
static struct vmap_area *area_claim(uintptr_t address, unsigned count, const void *caller)
{
	struct vmap_area *area = area_take("vm_unmap_ram", VM_RAM, address, caller);

	if (unlikely(area->requested_size != (size_t)count << PAGE_SHIFT)) {
		area_set_flags(area, area_flags(area) & ~(uint32_t)VM_DYING);
		report_count(address, area->requested_size >> PAGE_SHIFT, count, area->caller, caller);
	}
	return area;
}

void vm_unmap_ram(const void *mem, unsigned int count)
{
	const void *caller = (void *)CALLER_ADDRESS;
	uintptr_t address = (uintptr_t)mem;

	if (unlikely(in_interrupt()))
		panic("vm_unmap_ram: in interrupt context, from %pS", caller);
	struct ram_block *block = mapping_claim(address, count, caller);
	if (unlikely(!block)) {
		vmap_ranges_undefer();
		vmap_area_dissolve(area_claim(address, count, caller), caller);
		return;
	}
	/* The guard is cleared with it, so that every page of the block is, once. */
	unsigned first = page_number(address);
	pagetable_clear(&kernel_pagetable, pages_of(block, first, first + count + 1), NULL);
	__atomic_fetch_add(&nr_unmapped, 1, __ATOMIC_RELEASE);
	block_put(block);
}

/* ---- Purging ------------------------------------------------------------------------------------------------------ */

/* This CPU's block, if nobody else uses it: it is the caller's then. */
static void haul_block(void *context)
{
	struct ram_block **hauled = context, **current = &ram_current[this_cpu()->id];

	*hauled = NULL;
	if (!*current || __atomic_load_n(&(*current)->users, __ATOMIC_ACQUIRE) != 1)
		return;
	*hauled = *current;
	__atomic_store_n(current, NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&(*hauled)->users, 0, __ATOMIC_RELAXED); /* another CPU may just be looking */
}

/* Nobody but CPU `id` uses its block, as it looks. Masked, which holds off the flush before which no block goes. */
static bool seems_idle(unsigned id)
{
	irqflags_t flags = irq_save();
	const struct ram_block *block = __atomic_load_n(&ram_current[id], __ATOMIC_ACQUIRE);
	bool idle = block && __atomic_load_n(&block->users, __ATOMIC_RELAXED) == 1;
	irq_restore(flags);
	return idle;
}

/* In blocks that stay. Two that purge at once may both flush: neither relies on the other's having ended. */
static void flush_unmapped(uint64_t unmapped)
{
	uint64_t flushed = __atomic_load_n(&nr_flushed, __ATOMIC_ACQUIRE);

	if (flushed >= unmapped)
		return;
	if (flush_site(FLUSH_SWEEP))
		tlb_flush_all();
	while (flushed < unmapped && !__atomic_compare_exchange_n(&nr_flushed, &flushed, unmapped, false,
	                                                          __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

size_t ram_blocks_purge(void)
{
	uint64_t unmapped = __atomic_load_n(&nr_unmapped, __ATOMIC_ACQUIRE);
	struct ram_block *idle[CPUS_MAX];
	size_t count = 0;
	unsigned id;

	for_each_cpu (id, cpus_online()) {
		if (!seems_idle(id))
			continue;
		cpu_call(1ULL << id, haul_block, &idle[count]);
		count += idle[count] != NULL;
	}
	flush_unmapped(unmapped);
	return blocks_retire(idle, count);
}

/* ---- Verifier ----------------------------------------------------------------------------------------------------- */

static bool is_leaf(vaddr_t at, pgprot_t prot)
{
	struct translation leaf;

	return pagetable_lookup(&kernel_pagetable, at, &leaf) && leaf.level == 1 && leaf.prot.raw == prot.raw;
}

static bool is_absent(vaddr_t at)
{
	struct translation leaf;

	return !pagetable_find(&kernel_pagetable, at, &leaf);
}

/* W2 for what begins at page n, or for the first page that nobody has had yet; *end is where the next begins. */
static const char *mapping_check(const struct ram_block *block, unsigned n, unsigned *end, unsigned *in_use)
{
	const struct ram_mapping *mapping = &block->mappings[n / 2];
	bool live = n < block->next && !mapping->unmapped_by;

	*end = n + 1;
	if (n < block->next) {
		CHECK(mapping->first == n && mapping->pages && mapping->pages <= RAM_MAPPING_PAGES &&
		              n + mapping->pages < block->next,
		      "W2: no mapping begins at 0x%lx", page_of(block, n).raw);
		*end = n + mapping->pages + 1;
		*in_use += live;
	}
	for (unsigned page = n; page < *end; page++) {
		bool guard = page + 1 == *end;
		CHECK(!live || guard || is_leaf(page_of(block, page), PAGE_KERNEL),
		      "W2: 0x%lx belongs to a mapping and is not mapped as one", page_of(block, page).raw);
		CHECK((live && !guard) || is_absent(page_of(block, page)),
		      "W2: 0x%lx belongs to no mapping and is mapped", page_of(block, page).raw);
	}
	return NULL;
}

const char *ram_block_check(const struct vmap_area *area)
{
	const struct ram_block *block = block_at(area->va_start);
	unsigned in_use = 0, current = 0;

	CHECK(area->requested_size == RAM_BLOCK_SIZE && is_aligned(area->va_start, RAM_BLOCK_SIZE) && block &&
	              block->area == area && is_leaf(vaddr(area->va_start), PAGE_KERNEL_RO),
	      "W1: 0x%lx-0x%lx is no block", area->va_start, area->va_end);
	CHECK(is_absent(page_of(block, 1)), "W2: the guard 0x%lx of the block's own page is mapped",
	      page_of(block, 1).raw);
	for (unsigned n = RAM_FIRST_PAGE; n < RAM_BLOCK_PAGES;) {
		const char *broken = mapping_check(block, n, &n, &in_use);
		if (broken)
			return broken;
	}
	for (unsigned id = 0; id < CPUS_MAX; id++)
		current += ram_current[id] == block;
	CHECK(current <= 1, "W4: %u CPUs map in the block 0x%lx-0x%lx", current, area->va_start,
	      area->va_end);
	CHECK(block->users && block->users == in_use + current,
	      "W3: the block 0x%lx-0x%lx has %u users, counted as %u", area->va_start, area->va_end,
	      in_use + current, block->users);
	return NULL;
}

const char *ram_current_check(void)
{
	for (unsigned id = 0; id < CPUS_MAX; id++) {
		const struct page *page = ram_current[id] ? virt_to_page(ram_current[id]) : NULL;
		CHECK(!page || (page->type == PAGE_VMALLOC &&
		                kmem_cache_owns(vmalloc_state.nodes, page->owner) &&
		                block_at(((const struct vmap_area *)page->owner)->va_start) ==
		                        ram_current[id]),
		      "W4: CPU %u maps in %p, which is no block", id, (void *)ram_current[id]);
	}
	return NULL;
}
