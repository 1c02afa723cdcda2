/*
 * The modelled processor: 4-level translation (Intel SDM vol. 3A, section 4.5) and a TLB.
 *
 * The TLB is a red-black tree of translations by page, one for each 4 KiB touched, whatever the leaf's size.
 * A real one is smaller and forgets at will; this one forgets only when told, which makes every run the worst
 * case. Its entries keep the permissions they were loaded with, so that a tightened protection needs its
 * flush as well.
 *
 * One TLB stands for those of all CPUs: a flush is complete only when every CPU has done it. A mutex guards
 * it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <arch/pte.h>
#include <arch/tlb.h>
#include <host/machine.h>
#include <host/soft_mmu.h>
#include <lib/check.h>
#include <lib/panic.h>
#include <lib/rbtree.h>

/* Address bits the modelled processor has: fake RAM is far below. More in an entry are reserved ones. */
#define PHYSICAL_BITS   46
#define RESERVED_ALWAYS (PTE_ADDRESS & ~((1ULL << PHYSICAL_BITS) - 1))

struct tlb_entry {
	struct rb_node rb; /* by page */
	vaddr_t page;
	paddr_t frame;
	bool write, execute;
};

static paddr_t live_root;
static pthread_mutex_t tlb_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct rb_root tlb;
static struct tlb_stats stats;

/* ---- Walking ---- */

/* Bits that must be zero in a present entry of `level`. */
static uint64_t reserved_bits(pte_t e, unsigned level)
{
	if (level == PT_LEVELS)
		return RESERVED_ALWAYS | PTE_LARGE;
	if (level == 1 || !(e.raw & PTE_LARGE))
		return RESERVED_ALWAYS;
	uint64_t below_leaf = (pt_level_size(level) - 1) & PTE_ADDRESS & ~(1ULL << 12); /* bit 12 is PAT */
	return RESERVED_ALWAYS | below_leaf;
}

static bool refuse(struct host_fault *fault, unsigned vector, unsigned error)
{
	if (fault)
		*fault = (struct host_fault){vector, error};
	return false;
}

bool host_mmu_walk(vaddr_t va, struct host_leaf *leaf, struct host_fault *fault)
{
	paddr_t table = live_root;
	bool write = true, execute = true;

	if (!vaddr_is_canonical(va))
		return refuse(fault, TRAP_GENERAL_PROTECTION, 0);
	for (unsigned level = PT_LEVELS;; level--) {
		const pte_t *entries = host_bus(table, PAGE_SIZE);
		if (!entries)
			return refuse(fault, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
		pte_t e = {__atomic_load_n(&entries[pt_index(va, level)].raw, __ATOMIC_ACQUIRE)};
		if (!(e.raw & PTE_PRESENT))
			return refuse(fault, TRAP_PAGE_FAULT, 0);
		if (e.raw & reserved_bits(e, level))
			return refuse(fault, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
		write &= (e.raw & PTE_WRITE) != 0;
		execute &= !(e.raw & PTE_NO_EXEC);
		if (level == 1 || (e.raw & PTE_LARGE)) {
			uint64_t size = pt_level_size(level);
			*leaf = (struct host_leaf){
			        vrange_sized(vaddr(align_down(va.raw, size)), size),
			        paddr(e.raw & PTE_ADDRESS & ~(size - 1)),
			        write,
			        execute,
			};
			return true;
		}
		table = paddr(e.raw & PTE_ADDRESS);
	}
}

void host_mmu_load_root(paddr_t root)
{
	live_root = root;
	tlb_flush_all();
}

bool host_mmu_is_live(void)
{
	return live_root.raw != 0;
}

/* ---- Remembering ---- */

static struct tlb_entry *entry_of(const struct rb_node *node)
{
	return node ? container_of(node, struct tlb_entry, rb) : NULL;
}

/* The remembered translation of the lowest page at or above `page`, or NULL. */
static struct tlb_entry *tlb_at_or_above(vaddr_t page)
{
	struct rb_node *node = tlb.node;
	struct tlb_entry *best = NULL;

	while (node) {
		struct tlb_entry *entry = entry_of(node);
		if (entry->page.raw >= page.raw)
			best = entry;
		node = entry->page.raw >= page.raw ? node->left : node->right;
	}
	return best;
}

static struct tlb_entry *tlb_find(vaddr_t page)
{
	struct tlb_entry *entry = tlb_at_or_above(page);
	return entry && entry->page.raw == page.raw ? entry : NULL;
}

static struct tlb_entry *tlb_remember(vaddr_t page, const struct host_leaf *leaf)
{
	struct rb_node **link = &tlb.node, *parent = NULL;
	struct tlb_entry *entry = malloc(sizeof(*entry));

	ASSERT(entry);
	entry->page = page;
	entry->frame = paddr_add(leaf->pa, page.raw - leaf->va.start.raw);
	entry->write = leaf->write;
	entry->execute = leaf->execute;
	while (*link) {
		parent = *link;
		link = page.raw < entry_of(parent)->page.raw ? &parent->left : &parent->right;
	}
	rb_insert(&tlb, &entry->rb, parent, link, NULL);
	return entry;
}

static void tlb_forget(struct vrange range)
{
	struct tlb_entry *entry;

	while ((entry = tlb_at_or_above(range.start)) && entry->page.raw < range.end.raw) {
		rb_erase(&tlb, &entry->rb, NULL);
		free(entry);
	}
}

static bool translate_locked(vaddr_t va, enum host_access access, paddr_t *pa, struct host_fault *fault)
{
	vaddr_t page = vaddr(align_down(va.raw, PAGE_SIZE));
	unsigned asked = access == HOST_WRITE ? FAULT_WRITE : access == HOST_FETCH ? FAULT_FETCH : 0;
	struct tlb_entry *entry = tlb_find(page);

	if (!entry) {
		struct host_leaf leaf;
		if (!host_mmu_walk(va, &leaf, fault)) {
			if (fault && fault->vector == TRAP_PAGE_FAULT)
				fault->error |= asked;
			return false;
		}
		entry = tlb_remember(page, &leaf);
	}
	if ((access == HOST_WRITE && !entry->write) || (access == HOST_FETCH && !entry->execute))
		return refuse(fault, TRAP_PAGE_FAULT, FAULT_PRESENT | asked);
	*pa = paddr_add(entry->frame, va.raw - page.raw);
	return true;
}

bool host_mmu_translate(vaddr_t va, enum host_access access, paddr_t *pa, struct host_fault *fault)
{
	pthread_mutex_lock(&tlb_mutex);
	bool ok = translate_locked(va, access, pa, fault);
	pthread_mutex_unlock(&tlb_mutex);
	return ok;
}

/* Device memory and holes read as ones and swallow what is written: nothing answers on the bus. */
bool host_mmu_read(vaddr_t va, uint8_t *value, struct host_fault *fault)
{
	paddr_t pa;
	if (!host_mmu_translate(va, HOST_READ, &pa, fault))
		return false;
	const uint8_t *byte = host_bus(pa, 1);
	*value = byte ? *byte : 0xff;
	return true;
}

bool host_mmu_write(vaddr_t va, uint8_t value, struct host_fault *fault)
{
	paddr_t pa;
	if (!host_mmu_translate(va, HOST_WRITE, &pa, fault))
		return false;
	uint8_t *byte = host_bus(pa, 1);
	if (byte)
		*byte = value;
	return true;
}

/* ---- Forgetting: <arch/tlb.h> ---- */

void tlb_flush_range_here(struct vrange range)
{
	tlb_flush_range(range);
}

void tlb_flush_range(struct vrange range)
{
	uint64_t pages = vrange_size(range) / PAGE_SIZE;

	if (pages > TLB_FLUSH_SINGLE_MAX) {
		tlb_flush_all();
		host_windows_close(range);
		return;
	}
	pthread_mutex_lock(&tlb_mutex);
	tlb_forget(range);
	stats.single += pages;
	pthread_mutex_unlock(&tlb_mutex);
	host_windows_close(range);
}

/*
 * The windows keep what they show: mm/ never remaps them, and reopening all of them each time would cost
 * seconds.
 */
void tlb_flush_all(void)
{
	pthread_mutex_lock(&tlb_mutex);
	tlb_forget(vrange(0, UINT64_MAX));
	stats.full++;
	pthread_mutex_unlock(&tlb_mutex);
}

struct tlb_stats tlb_stats(void)
{
	return stats;
}

/* ---- Asking ---- */

size_t host_tlb_cached(struct vrange range)
{
	size_t count = 0;
	for (struct tlb_entry *e = tlb_at_or_above(range.start); e && e->page.raw < range.end.raw;
	     e = entry_of(rb_next(&e->rb)))
		count++;
	return count;
}

size_t host_tlb_leading_to(struct prange range)
{
	size_t count = 0;
	for (struct rb_node *node = rb_first(&tlb); node; node = rb_next(node))
		count += prange_contains(range, entry_of(node)->frame);
	return count;
}

const char *host_tlb_check(void)
{
	for (struct rb_node *node = rb_first(&tlb); node; node = rb_next(node)) {
		const struct tlb_entry *e = entry_of(node);
		struct host_leaf leaf;
		CHECK(host_mmu_walk(e->page, &leaf, NULL), "TLB: 0x%lx was unmapped without a flush",
		      e->page.raw);
		uint64_t frame = leaf.pa.raw + (e->page.raw - leaf.va.start.raw);
		CHECK(frame == e->frame.raw, "TLB: 0x%lx was moved from frame 0x%lx to 0x%lx without a flush",
		      e->page.raw, e->frame.raw, frame);
		CHECK(leaf.write >= e->write && leaf.execute >= e->execute,
		      "TLB: 0x%lx lost a permission without a flush", e->page.raw);
	}
	return NULL;
}
