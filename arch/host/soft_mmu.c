/*
 * The modelled processor: translation by 4 or 5 levels (Intel SDM vol. 3A, section 4.5) and a TLB for each CPU.
 *
 * A TLB is a red-black tree of translations by page, one for each 4 KiB touched, whatever the leaf's size.
 * A real one is smaller and forgets at will; this one forgets only when told, which makes every run the worst
 * case. Its entries keep the permissions they were loaded with, so that a tightened protection needs its
 * flush as well.
 *
 * A CPU translates, walk included, with its own TLB's mutex held. A flush goes through all TLBs, each under its mutex: as
 * if every CPU answered the shootdown at once, and after the walk it was in. It ends when each CPU that masked interrupts has
 * unmasked them, or waited for something, since. CPUs that are off remember nothing.
 */
#include <pthread.h>
#include <stdlib.h>
#include <arch/pte.h>
#include <arch/smp.h>
#include <arch/tlb.h>
#include <host/cpus.h>
#include <host/machine.h>
#include <host/soft_mmu.h>
#include <lib/bits.h>
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

struct tlb {
	pthread_mutex_t mutex;
	struct rb_root root;
};

static paddr_t live_root;
static unsigned live_levels = 4;
static struct tlb tlbs[HOST_CPUS] = {[0 ... HOST_CPUS - 1] = {.mutex = PTHREAD_MUTEX_INITIALIZER}};
static bool skip_remote; /* atomic */

/* ---- Walking ---- */

/* Bits that must be zero in a present entry of `level`. */
static uint64_t reserved_bits(pte_t e, unsigned level)
{
	if (level > 3)
		return RESERVED_ALWAYS | PTE_LARGE;
	if (level == 1 || !(e.raw & PTE_LARGE))
		return RESERVED_ALWAYS;
	uint64_t below_leaf = (pt_level_size(level) - 1) & PTE_ADDRESS & ~(1ULL << 12); /* bit 12 is PAT */
	return RESERVED_ALWAYS | below_leaf;
}

/* Entry 0 in the lowest byte: the register, were there one. */
static const uint8_t pat[8] = {MEMORY_WB, MEMORY_WC, MEMORY_UC_MINUS, MEMORY_UC,
                               MEMORY_WB, MEMORY_WP, MEMORY_UC_MINUS, MEMORY_WT};

static enum memory_type leaf_type(pte_t e, unsigned level)
{
	unsigned pat_bit = level == 1 ? 7 : 12;
	return (enum memory_type)pat[(e.raw >> 3 & 3) | (e.raw >> pat_bit & 1) << 2];
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

	if (!vaddr_is_canonical(va, live_levels))
		return refuse(fault, TRAP_GENERAL_PROTECTION, 0);
	for (unsigned level = live_levels;; level--) {
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
			        leaf_type(e, level),
			};
			return true;
		}
		table = paddr(e.raw & PTE_ADDRESS);
	}
}

void host_mmu_load_root(paddr_t root, unsigned levels)
{
	live_root = root;
	live_levels = levels;
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
static struct tlb_entry *tlb_at_or_above(const struct tlb *tlb, vaddr_t page)
{
	struct rb_node *node = tlb->root.node;
	struct tlb_entry *best = NULL;

	while (node) {
		struct tlb_entry *entry = entry_of(node);
		if (entry->page.raw >= page.raw)
			best = entry;
		node = entry->page.raw >= page.raw ? node->left : node->right;
	}
	return best;
}

static struct tlb_entry *tlb_find(const struct tlb *tlb, vaddr_t page)
{
	struct tlb_entry *entry = tlb_at_or_above(tlb, page);
	return entry && entry->page.raw == page.raw ? entry : NULL;
}

static struct tlb_entry *tlb_remember(struct tlb *tlb, vaddr_t page, const struct host_leaf *leaf)
{
	struct rb_node **link = &tlb->root.node, *parent = NULL;
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
	rb_insert(&tlb->root, &entry->rb, parent, link, NULL);
	return entry;
}

static void tlb_forget(struct tlb *tlb, struct vrange range)
{
	struct tlb_entry *entry;

	while ((entry = tlb_at_or_above(tlb, range.start)) && entry->page.raw < range.end.raw) {
		rb_erase(&tlb->root, &entry->rb, NULL);
		free(entry);
	}
}

static bool translate_locked(struct tlb *tlb, vaddr_t va, enum host_access access, paddr_t *pa,
                             struct host_fault *fault)
{
	vaddr_t page = vaddr(align_down(va.raw, PAGE_SIZE));
	unsigned asked = access == HOST_WRITE ? FAULT_WRITE : access == HOST_FETCH ? FAULT_FETCH : 0;
	struct tlb_entry *entry = tlb_find(tlb, page);

	if (!entry) {
		struct host_leaf leaf;
		if (!host_mmu_walk(va, &leaf, fault)) {
			if (fault && fault->vector == TRAP_PAGE_FAULT)
				fault->error |= asked;
			return false;
		}
		entry = tlb_remember(tlb, page, &leaf);
	}
	if ((access == HOST_WRITE && !entry->write) || (access == HOST_FETCH && !entry->execute))
		return refuse(fault, TRAP_PAGE_FAULT, FAULT_PRESENT | asked);
	*pa = paddr_add(entry->frame, va.raw - page.raw);
	return true;
}

bool host_mmu_translate(vaddr_t va, enum host_access access, paddr_t *pa, struct host_fault *fault)
{
	struct tlb *tlb = &tlbs[this_cpu()->id];

	pthread_mutex_lock(&tlb->mutex);
	bool ok = translate_locked(tlb, va, access, pa, fault);
	pthread_mutex_unlock(&tlb->mutex);
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

static void tlb_flush(struct tlb *tlb, struct vrange range)
{
	pthread_mutex_lock(&tlb->mutex);
	tlb_forget(tlb, range);
	pthread_mutex_unlock(&tlb->mutex);
}

static void await_masked(unsigned id)
{
	const struct cpu *cpu = &host_cpus[id];
	uint32_t answers = __atomic_load_n(&cpu->nr_answers, __ATOMIC_SEQ_CST);

	while (!__atomic_load_n(&cpu->irqs_enabled, __ATOMIC_SEQ_CST) &&
	       __atomic_load_n(&cpu->nr_answers, __ATOMIC_SEQ_CST) == answers)
		cpu_relax(); /* it may be waiting for us */
}

/* The CPU that asks counts for all: a thread writes its own counters only. */
static void flush_everywhere(struct vrange range)
{
	cpuset_t online = cpus_online() & ~(1UL << this_cpu()->id);
	unsigned own = this_cpu()->id, others = count_bits(online), id;
	bool all = !__atomic_load_n(&skip_remote, __ATOMIC_RELAXED);

	for (id = 0; id < HOST_CPUS; id++)
		if (all || id == own)
			tlb_flush(&tlbs[id], range);
	for_each_cpu (id, all ? online : 0)
		await_masked(id);
	if (all && others) {
		cpu_count(COUNT_SHOOTDOWNS, 1);
		cpu_count(COUNT_IPIS, others);
	}
}

void tlb_flush_range_here(struct vrange range)
{
	tlb_flush(&tlbs[this_cpu()->id], range);
}

void tlb_flush_range(struct vrange range)
{
	uint64_t pages = vrange_size(range) / PAGE_SIZE;

	if (pages > TLB_FLUSH_SINGLE_MAX) {
		tlb_flush_all();
	} else {
		flush_everywhere(range);
		cpu_count(COUNT_FLUSH_SINGLE, pages);
	}
	host_windows_close(range);
}

/*
 * The windows keep what they show: mm/ never remaps them, and reopening all of them each time would cost
 * seconds.
 */
void tlb_flush_all(void)
{
	flush_everywhere(vrange(0, UINT64_MAX));
	cpu_count(COUNT_FLUSH_FULL, 1);
}

struct tlb_stats tlb_stats(void)
{
	return (struct tlb_stats){
	        .single = counter_sum(COUNT_FLUSH_SINGLE),
	        .full = counter_sum(COUNT_FLUSH_FULL),
	};
}

void host_tlb_power_off(void)
{
	tlb_flush(&tlbs[this_cpu()->id], vrange(0, UINT64_MAX));
}

void host_tlb_skip_remote(bool skip)
{
	__atomic_store_n(&skip_remote, skip, __ATOMIC_RELAXED);
}

/* ---- Asking ---- */

/* How many translations the CPUs remember together that lie in `pages` and lead into `frames`. */
static size_t count_remembered(struct vrange pages, struct prange frames)
{
	size_t count = 0;

	for (struct tlb *tlb = tlbs; tlb < tlbs + HOST_CPUS; tlb++) {
		pthread_mutex_lock(&tlb->mutex);
		for (struct tlb_entry *e = tlb_at_or_above(tlb, pages.start);
		     e && e->page.raw < pages.end.raw; e = entry_of(rb_next(&e->rb)))
			count += prange_contains(frames, e->frame);
		pthread_mutex_unlock(&tlb->mutex);
	}
	return count;
}

size_t host_tlb_cached(struct vrange range)
{
	return count_remembered(range, prange(0, UINT64_MAX));
}

size_t host_tlb_leading_to(struct prange range)
{
	return count_remembered(vrange(0, UINT64_MAX), range);
}

static const char *check_tlb(const struct tlb *tlb, unsigned id)
{
	for (struct rb_node *node = rb_first(&tlb->root); node; node = rb_next(node)) {
		const struct tlb_entry *e = entry_of(node);
		struct host_leaf leaf;
		CHECK(host_mmu_walk(e->page, &leaf, NULL),
		      "TLB of CPU %u: 0x%lx was unmapped without a flush", id, e->page.raw);
		uint64_t frame = leaf.pa.raw + (e->page.raw - leaf.va.start.raw);
		CHECK(frame == e->frame.raw,
		      "TLB of CPU %u: 0x%lx was moved from frame 0x%lx to 0x%lx without a flush", id,
		      e->page.raw, e->frame.raw, frame);
		CHECK(leaf.write >= e->write && leaf.execute >= e->execute,
		      "TLB of CPU %u: 0x%lx lost a permission without a flush", id, e->page.raw);
	}
	return NULL;
}

const char *host_tlb_check(void)
{
	const char *broken = NULL;

	for (unsigned id = 0; id < HOST_CPUS && !broken; id++) {
		pthread_mutex_lock(&tlbs[id].mutex);
		broken = check_tlb(&tlbs[id], id);
		pthread_mutex_unlock(&tlbs[id].mutex);
	}
	return broken;
}
