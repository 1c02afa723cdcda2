/*
 * Device memory.
 *
 * Promise: a device's bytes at consecutive addresses, cached as was asked and no way else. Where two leaves lead to one
 * physical page with different types, what the processor does is undefined (Intel SDM vol. 3A, 12.12.4): whoever asks for
 * the second is refused, and told who has the first.
 *
 *	physical   [ RAM ]    [       frame buffer       ]      [ registers ]
 *	tree WC               [ A ··· its owner's ······ ]
 *	                            [ B: may overlap A ]
 *	tree UC-                                   [ C: refused, for A's sake ]
 *
 * Every mapping is a node in an interval tree, one tree per type: by first byte, each node knowing the highest end of its
 * subtree. Within a tree, mappings overlap as they like; a new one is in conflict exactly if some other type's tree has an
 * overlap, which is one descent per tree. Beside the node, a mapping is an ordinary VM_IOREMAP area, whose flags say its
 * type; node and area find each other by the addresses of both sides.
 *
 * D1  A tree is ordered by (start, va); no two nodes are equal.
 * D2  Every node's subtree_end is the highest end of its subtree.
 * D3  No two mappings in different trees overlap.
 * D4  Nodes and VM_DEVICE areas are one to one: same virtual start, physical start, pages, type, caller.
 * D5  A mapping's area is mapped from its first to its last data page, in order, with its type.
 *
 * A mapping is entered before its first leaf is written and forgotten after every CPU has flushed its last; in between, D5
 * does not hold.
 *
 * Locking: device_lock around the trees; nothing is called with it held. An area's range and leaves come and go outside of
 * it, as any area's do.
 *
 * Cost: a 64-byte object per mapping; O(log n) in the mappings of each type, for five types.
 */
#include <arch/page.h>
#include <lib/bits.h>
#include <lib/check.h>
#include <lib/panic.h>
#include <mm/kmalloc.h>
#include <mm/lock_rank.h>
#include <mm/memblock.h>
#include <mm/pagetable.h>
#include "ioremap_internal.h"
#include "mm_internal.h"
#include "vmalloc_internal.h"

/* As Linux has it: a larger area would be aligned for leaves that there are not. */
enum { IOREMAP_MAX_ORDER = PUD_SHIFT };

static struct spinlock device_lock = SPINLOCK_INIT("devices", RANK_DEVICES);
struct rb_root device_trees[MEMORY_TYPES]; /* (device_lock) */

static inline struct device_mapping *device_of(const struct rb_node *node)
{
	return container_of(node, struct device_mapping, rb);
}

/* ---- The registry ------------------------------------------------------------------------------------------------- */

/* The highest end in the subtree of a node that is right about it, or that has just been linked. */
static uint64_t highest_end(const struct rb_node *node)
{
	uint64_t end = device_of(node)->range.end.raw;

	for (enum rb_side side = RB_LEFT; side <= RB_RIGHT; side++)
		if (node->child[side])
			end = max_u64(end, device_of(node->child[side])->subtree_end);
	return end;
}

/* D2 for one node, given that it holds for its children. */
static bool device_augment(struct rb_node *node)
{
	uint64_t end = highest_end(node);
	bool changed = device_of(node)->subtree_end != end;

	device_of(node)->subtree_end = end;
	return changed;
}

/* D1 */
static bool is_before(const struct rb_node *a, const struct rb_node *b)
{
	const struct device_mapping *x = device_of(a), *y = device_of(b);
	uint64_t start = x->range.start.raw, other = y->range.start.raw;

	return start < other || (start == other && x->va < y->va);
}

static void device_link(struct rb_root *tree, struct device_mapping *device)
{
	struct rb_node **link = &tree->node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = is_before(&device->rb, parent) ? &parent->left : &parent->right;
	}
	rb_insert(tree, &device->rb, parent, link, device_augment);
}

static bool overlap(struct prange a, struct prange b)
{
	return a.start.raw < b.end.raw && b.start.raw < a.end.raw;
}

static const struct device_mapping *tree_find_overlap(const struct rb_root *tree, struct prange range)
{
	const struct rb_node *node = tree->node;

	/* Invariant: if any mapping overlaps `range`, one below `node` does, `node` included. */
	while (node && !overlap(device_of(node)->range, range)) {
		/*
		 * What has the highest end on the left either overlaps, or begins at range.end or higher; and then so
		 * does everything on the right.
		 */
		bool left = node->left && device_of(node->left)->subtree_end > range.start.raw;
		node = node->child[left ? RB_LEFT : RB_RIGHT];
	}
	return node ? device_of(node) : NULL;
}

/* Enters the mapping; or copies one of another type that overlaps it to *other, and returns false. */
static bool device_enter(struct device_mapping *device, struct device_mapping *other)
{
	const struct device_mapping *found = NULL;

	irqflags_t flags = spin_lock_irqsave(&device_lock);
	for (unsigned type = 0; type < MEMORY_TYPES && !found; type++)
		if (type != device->type)
			found = tree_find_overlap(&device_trees[type], device->range);
	if (found)
		*other = *found;
	else
		device_link(&device_trees[device->type], device);
	spin_unlock_irqrestore(&device_lock, flags);
	return !found;
}

void device_forget(const struct vmap_area *area)
{
	const struct device_mapping sought = {.range.start = {area->phys_addr}, .va = area->va_start};
	struct rb_root *tree = &device_trees[area_memory_type(area)];

	irqflags_t flags = spin_lock_irqsave(&device_lock);
	struct rb_node *node = tree->node;
	while (node && (is_before(node, &sought.rb) || is_before(&sought.rb, node)))
		node = node->child[is_before(node, &sought.rb) ? RB_RIGHT : RB_LEFT];
	ASSERT(node); /* D4 */
	rb_erase(tree, node, device_augment);
	spin_unlock_irqrestore(&device_lock, flags);
	kfree(device_of(node));
}

/* ---- Mapping ------------------------------------------------------------------------------------------------------ */

size_t device_align(size_t size)
{
	if (size <= PAGE_SIZE)
		return PAGE_SIZE;
	return 1UL << min_u64(log2_ceil(size), IOREMAP_MAX_ORDER);
}

static bool overlaps_ram(struct prange range)
{
	const struct memblock_ranges *ram = &mm_state.memblock.ram;

	for (size_t i = 0; i < ram->count; i++)
		if (overlap(range, ram->at[i]))
			return true;
	return false;
}

/*
 * Enters, then maps, an area that is there. The address of what was asked for in it, or NULL after a warning, with area and
 * mapping given back.
 */
static void *device_fill(struct device_mapping *device, struct vmap_area *area, const struct request *want)
{
	struct device_mapping other = {0};

	*device = (struct device_mapping){
	        .range = prange(want->phys_addr, want->phys_addr + align_up(want->size, PAGE_SIZE)),
	        .va = area->va_start,
	        .caller = area->caller,
	        .type = area_memory_type(area),
	};
	if (unlikely(!device_enter(device, &other))) {
		warn("%s: %zu bytes, gfp 0x%x, from %pS: %s, but 0x%lx-0x%lx is mapped %s from %pS",
		     want->call, want->size - want->offset, want->gfp, want->caller,
		     memory_type_name(device->type), other.range.start.raw, other.range.end.raw,
		     memory_type_name(other.type), code_address(other.caller));
		area_cancel(area);
		kfree(device);
		return NULL;
	}
	if (unlikely(!area_map_device(area, want))) {
		device_forget(area);
		area_cancel(area);
		return refuse(want, "no page-table page");
	}
	return (char *)area_publish(area) + want->offset;
}

static void *map_device(const char *call, const void *caller, uint64_t phys, size_t size,
                        enum memory_type type)
{
	size_t offset = phys & (PAGE_SIZE - 1);
	uint64_t end;

	if (!mm_state.pat && (type == MEMORY_WC || type == MEMORY_WT))
		type = MEMORY_UC_MINUS;
	struct request want =
	        request_anywhere(call, caller, size, VM_IOREMAP | VM_DEVICE | (uint32_t)type << VM_TYPE_SHIFT,
	                         pgprot_as(PAGE_KERNEL, type));
	const char *fault = request_fault(&want);
	if (!fault && (__builtin_add_overflow(phys, size, &end) || end > 1UL << mm_state.physical_bits))
		fault = "no such physical address";
	if (!fault && overlaps_ram(prange(phys - offset, align_up(end, PAGE_SIZE))))
		fault = "ordinary RAM";
	if (unlikely(fault))
		return refuse(&want, fault);

	/* The offset into the first page belongs to the area. */
	want.offset = offset;
	want.size += offset;
	want.phys_addr = phys - offset;
	want.align = device_align(want.size);
	struct device_mapping *device = kmalloc(sizeof(*device), META_GFP(want.gfp));
	if (unlikely(!device))
		return refuse(&want, "no area descriptor");
	struct vmap_area *area = area_reserve(&want);
	if (unlikely(!area)) {
		kfree(device);
		return NULL;
	}
	return device_fill(device, area, &want);
}

void *ioremap(uint64_t phys, size_t size)
{
	return map_device("ioremap", (void *)CALLER_ADDRESS, phys, size, MEMORY_UC_MINUS);
}

void *ioremap_uc(uint64_t phys, size_t size)
{
	return map_device("ioremap_uc", (void *)CALLER_ADDRESS, phys, size, MEMORY_UC);
}

void *ioremap_wc(uint64_t phys, size_t size)
{
	return map_device("ioremap_wc", (void *)CALLER_ADDRESS, phys, size, MEMORY_WC);
}

void *ioremap_wt(uint64_t phys, size_t size)
{
	return map_device("ioremap_wt", (void *)CALLER_ADDRESS, phys, size, MEMORY_WT);
}

void *ioremap_cache(uint64_t phys, size_t size)
{
	return map_device("ioremap_cache", (void *)CALLER_ADDRESS, phys, size, MEMORY_WB);
}

void iounmap(const void *address)
{
	if (address)
		release("iounmap", VM_IOREMAP, (uintptr_t)address & PAGE_MASK, (void *)CALLER_ADDRESS);
}

/* ---- Verifier ----------------------------------------------------------------------------------------------------- */

static bool end_is_right(const struct rb_node *node)
{
	return device_of(node)->subtree_end == highest_end(node);
}

/* D4, from the node's side; device_check() counts. */
static const char *check_area(const struct device_mapping *device)
{
	const struct vmap_area *area = find_vm_area((const void *)device->va);

	CHECK(area && area->va_start == device->va && (area->flags & VM_DEVICE),
	      "D4: the mapping of 0x%lx at 0x%lx has no area", device->range.start.raw, device->va);
	CHECK(area->phys_addr == device->range.start.raw &&
	              area_data_pages(area) << PAGE_SHIFT == prange_size(device->range) &&
	              area_memory_type(area) == device->type && area->caller == device->caller,
	      "D4: the mapping of 0x%lx is not what its area 0x%lx-0x%lx says", device->range.start.raw,
	      area->va_start, area->va_end);
	return NULL;
}

/* D5, a leaf at a time. */
static const char *check_leaves(const struct device_mapping *device)
{
	uint64_t size = prange_size(device->range);
	struct translation leaf;

	for (uint64_t at = 0; at < size; at += pt_level_size(leaf.level)) {
		vaddr_t va = vaddr(device->va + at);
		CHECK(pagetable_lookup(&kernel_pagetable, va, &leaf) &&
		              leaf.pa.raw == device->range.start.raw + at,
		      "D5: 0x%lx does not lead to the device at 0x%lx", va.raw, device->range.start.raw + at);
		CHECK(pgprot_type(leaf.prot) == device->type, "D5: 0x%lx is mapped %s, not %s", va.raw,
		      pgprot_memory_type(leaf.prot), memory_type_name(device->type));
	}
	return NULL;
}

static const char *check_mapping(const struct device_mapping *device, unsigned type)
{
	const char *broken;

	CHECK(device->type == type, "D1: the mapping of 0x%lx is %s, but in the tree of %s",
	      device->range.start.raw, memory_type_name(device->type),
	      memory_type_name((enum memory_type)type));
	for (unsigned other = 0; other < MEMORY_TYPES; other++) {
		const struct device_mapping *found =
		        other == type ? NULL : tree_find_overlap(&device_trees[other], device->range);
		CHECK(!found, "D3: 0x%lx is mapped as %s and as %s", device->range.start.raw,
		      memory_type_name(device->type), memory_type_name(found->type));
	}
	broken = check_area(device);
	return broken ? broken : check_leaves(device);
}

const char *device_check(size_t areas)
{
	const struct rb_node *where = NULL;
	size_t nodes = 0;

	for (unsigned type = 0; type < MEMORY_TYPES; type++) {
		const char *broken = rb_check(&device_trees[type], is_before, NULL, &where);
		CHECK(!broken, "D1: %s at 0x%lx", broken, where ? device_of(where)->range.start.raw : 0);
		broken = rb_check(&device_trees[type], is_before, end_is_right, &where);
		CHECK(!broken, "D2: the mapping of 0x%lx does not know the highest end of its subtree",
		      where ? device_of(where)->range.start.raw : 0);
		for (const struct rb_node *node = rb_first(&device_trees[type]); node; node = rb_next(node)) {
			broken = check_mapping(device_of(node), type);
			if (broken)
				return broken;
			nodes++;
		}
	}
	CHECK(nodes == areas, "D4: %zu mappings are entered, %zu areas are there", nodes, areas);
	return NULL;
}
