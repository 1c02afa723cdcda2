/*
 * Virtually contiguous memory in the vmalloc window, under Linux's names. vmalloc.c opens with the theory.
 *
 * Every area ends in an unmapped guard page unless VM_NO_GUARD. Takes the vmalloc lock for a range that this CPU does not
 * keep, and the page table's for mappings that need a table or lie in several, one after the other; nodes and frames come
 * and go with neither held. Any failure unwinds everything and returns NULL after one warning (unless __GFP_NOWARN):
 *
 *	vmalloc: 8192 bytes, gfp 0x8, from main+0x21: REASON
 *
 * REASON is "no virtual space", "no area descriptor", "no frames", "no page-table page"; or what is wrong with the
 * arguments: "zero size", "more than all RAM", "bad alignment", "bad protection", "bad gfp flags", "bad area flags",
 * "range outside the vmalloc window", "no such node", or which two flags contradict each other: "__GFP_NORETRY with
 * __GFP_NOFAIL", … (<mm/gfp.h>). With __GFP_NOFAIL they panic instead, with nothing left behind: "vmalloc: …: no frames, and
 * it must not fail".
 *
 * Before a request is refused for want of memory or space, what CPUs keep is taken back, shrinkers (<mm/page_alloc.h>) or
 * notifiers (<mm/vmap_notifier.h>) are asked, as hard as its flags say. Calls without flags are GFP_KERNEL.
 *
 * Mistakes panic, with nothing changed. In front stands the call, behind it "from" whom:
 *
 *	vmalloc: in interrupt context                       (any call but vfree, kvfree, and questions)
 *	vmalloc: protection 0x… is writable and executable
 *	vfree: 0x… is no vmalloc address, from …: kmalloc'ed, say: what lies there instead
 *	vfree: 0x… is in no area: freed twice, or never allocated
 *	vfree: 0x… is being freed already
 *	vfree: 0x… was freed before, by …; it was in the vmalloc area 0x…-0x… allocated by …
 *	vfree: 0x… is 4096 bytes inside the vmalloc area 0x…-0x… allocated by …
 *	vfree: 0x… is 4096 bytes before what lies at 0x… in the vmalloc area 0x…-0x… allocated by …
 *	vfree: 0x… is a vmap area allocated by …, to be freed by vunmap()
 *	free_vm_area: 0x… is no area
 *	vmap: frame 0x…, slab, cannot be given away as a single frame
 *
 * Where it differs from Linux: one 64-byte struct vmap_area is both Linux's vmap_area and its vm_struct; there is no
 * page array: the page tables know the frames.
 */
#ifndef MM_VMALLOC_H
#define MM_VMALLOC_H

#include <arch/pte.h>
#include <mm/gfp.h>
#include <mm/ioremap.h>
#include <mm/page.h>
#include <mm/va_space.h>

struct printer;

/* Linux's values where it has them. */
enum {
	VM_IOREMAP = 0x01,            /* maps device memory: frames are not ours */
	VM_ALLOC = 0x02,              /* frames are the area's own */
	VM_MAP = 0x04,                /* maps frames that the caller owns */
	VM_NO_GUARD = 0x40,           /* no guard page */
	VM_FLUSH_RESET_PERMS = 0x100, /* set_memory_*() was here: vfree() resets the direct map first */
	VM_MAP_PUT_PAGES = 0x200,     /* vmap: the frames become the area's and are freed by vfree() */
	VM_ALLOW_HUGE_VMAP = 0x400,   /* frames may be blocks of 2 MiB, mapped as such */
	VM_UNINITIALIZED = 0x20,      /* reserved, not yet filled */
	VM_GUARD_BEFORE = 0x1000,     /* a guard page before the first page as well; not in Linux */
};

#define NUMA_NO_NODE (-1)

/*
 * What is freed is flushed out of the CPUs' translation caches later, many areas at a time; until then its frames and its
 * addresses wait. This does it now, for all CPUs: afterwards no address that was ever given back leads anywhere, and the
 * frames behind are free; nor does one that vm_unmap_ram() took away (<mm/vm_map_ram.h>). Ranges in quarantine stay there.
 * Runs by itself before memory or virtual space is refused. Not in interrupts, no lock held.
 */
void vm_unmap_aliases(void);

/* The window; needs kmalloc and the final page tables. */
void vmalloc_init(struct vrange window);

/*
 * From now on, an area that may lie anywhere in the window leaves 0 to `pages` pages free before it, as many as a generator
 * seeded with `seed` says: its address cannot be told from that of others. 0: no gaps, as at first. pages <=
 * VMALLOC_GAPS_MAX. Gaps are free space: they go before virtual space is refused, and smaller areas may come to lie in them.
 */
#define VMALLOC_GAPS_MAX 1024
void vmalloc_set_gaps(unsigned pages, uint64_t seed);

/*
 * Ranges that were given back and flushed stay unmapped and reserved until others of more than `bytes` of address space have
 * followed them, first in, first out: use after vfree() keeps faulting, and is reported with who asked and who freed. 0: none
 * do, as at first, and none is left. They are used again before virtual space or memory is refused. No lock held.
 */
void vmalloc_set_quarantine(size_t bytes);

/* Its bounds, which are constant from then on, under the names that Linux has for them. */
extern struct vrange vmalloc_window;
#define VMALLOC_START (vmalloc_window.start.raw)
#define VMALLOC_END   (vmalloc_window.end.raw)

/*
 * `size` bytes, writable, not executable, page-aligned; vzalloc's are zero. NULL for size 0 or if it cannot be had. From
 * 2 MiB on, PAGE_KERNEL memory begins where a 2 MiB leaf may, if the window has room for it there, and each of its 2 MiB
 * is one block and one leaf, if there is such a block at hand without reclaim; otherwise pages, as in any other area. With
 * `prot` they are that: PAGE_KERNEL_RO, PAGE_KERNEL_ROX, …; PAGE_KERNEL_EXEC is writable and executable, a mistake. It holds
 * at the area's address; <mm/set_memory.h> has it hold in the direct map too, and changes it.
 */
void *vmalloc(size_t size) MUST_USE;
void *vzalloc(size_t size) MUST_USE;
void *__vmalloc(size_t size, gfp_t gfp, pgprot_t prot) MUST_USE;

/* Linux's name for memory that is hoped to be huge: __vmalloc(size, gfp, PAGE_KERNEL). */
void *vmalloc_huge(size_t size, gfp_t gfp) MUST_USE;

/*
 * `size` bytes, rounded up to a multiple of `align` (a power of two, at most PAGE_SIZE; 0 is 1), that end where their last
 * page ends, with a guard page right behind and one before the first page: the first byte read or written past the end
 * faults, whereas behind vmalloc's lies the rest of the page. Before them, the slack of their first page takes what is
 * written. Aligned to `align` and no more; freed by vfree() of this very pointer. Otherwise as vmalloc(); for buffers that
 * are suspected of being overrun. Not in Linux.
 */
void *vmalloc_guarded(size_t size, size_t align) MUST_USE;

/*
 * In [start, end), at an alignment of `align` (0 or a power of two; less than a page means a page). `node` is
 * NUMA_NO_NODE or 0. vm_flags: VM_NO_GUARD, VM_GUARD_BEFORE (the guards are in the range, and what is aligned is the first
 * page behind the one before), and VM_ALLOW_HUGE_VMAP for 2 MiB leaves with any protection. `caller` is shown in vmallocinfo
 * and reports. Bad arguments fail with a warning that names them.
 */
void *__vmalloc_node_range(size_t size, size_t align, unsigned long start, unsigned long end, gfp_t gfp,
                           pgprot_t prot, unsigned long vm_flags, int node, const void *caller) MUST_USE;

/*
 * pre: returned by one of the above, or by vmap() with VM_MAP_PUT_PAGES. NULL: no-op. Cannot fail. In an interrupt handler
 * the area is only marked: it is unmapped by the CPU's next vmalloc or vfree outside of one, or when memory runs short.
 */
void vfree(const void *address);

/*
 * An address range without memory. flags: VM_MAP or VM_IOREMAP, perhaps with VM_NO_GUARD or VM_GUARD_BEFORE. VM_IOREMAP
 * aligns it as ioremap() does. The caller maps into it, from vm_area_address() on, with the page table's functions; what
 * is still mapped is unmapped with it, the frames stay the caller's.
 */
struct vmap_area *get_vm_area(size_t size, unsigned long flags) MUST_USE;
void free_vm_area(struct vmap_area *area);

/* Where an area's memory begins: behind its guard page, if it has one before. */
void *vm_area_address(const struct vmap_area *area);

/* The area that holds `address` (its guard pages included), or NULL. The caller keeps it alive. */
struct vmap_area *find_vm_area(const void *address);

/*
 * Maps `count` given frames, in that order, at consecutive addresses; where they follow each other in memory and are
 * aligned, by leaves of 2 MiB and 1 GiB. flags: VM_MAP, perhaps with VM_NO_GUARD or VM_GUARD_BEFORE, and with
 * VM_MAP_PUT_PAGES if the frames (held, single, each once) are to be the area's. The array stays the caller's.
 */
void *vmap(struct page *const *pages, unsigned count, unsigned long flags, pgprot_t prot) MUST_USE;
void vunmap(const void *address);

/*
 * The frame behind a mapped vmalloc address, page by page whatever the leaf, or NULL (pfn 0 for none is never a vmalloc
 * frame). Frames behind an area are blocks, of up to 8 or of 512: only the first one's entry says whose they are
 * (page_find_block()).
 */
struct page *vmalloc_to_page(const void *address);
unsigned long vmalloc_to_pfn(const void *address);

bool is_vmalloc_addr(const void *address);

/*
 * kmalloc up to a page and in interrupts; above, one block if there is one at hand without reclaim, else vmalloc. With
 * __GFP_RETRY_MAYFAIL, a block is reclaimed for as well before it is given up.
 */
void *kvmalloc(size_t size, gfp_t gfp) MUST_USE;
void kvfree(const void *address);

/*
 * What lies at a window address: area, slack, guard page or hole; requested size, caller, side, distance in bytes from
 * the nearest byte that was asked for. One line without its end; false outside the window. Takes no lock: for fault
 * reports. Never panics.
 */
bool vmalloc_describe(vaddr_t address, struct printer *out);

struct vmalloc_stats {
	size_t areas, total_bytes, used_bytes, largest_hole; /* the last: what an area can be made of */
	size_t nr_pages; /* frames held by VM_ALLOC areas, and by blocks of vm_map_ram() */
	/* Of the window: given back, not yet flushed, kept by a CPU for its next area, or in quarantine. */
	size_t kept_bytes;
	size_t quarantine_bytes; /* of these, those in quarantine */
};
struct vmalloc_stats vmalloc_stats(void);

/* Verifier: the areas, their mappings, their guards. Dump in /proc/vmallocinfo's format. */
const char *vmalloc_check(void) MUST_USE;
void vmallocinfo_dump(struct printer *out);

/* From the window's start to the end of its highest area; empty if there is none. Takes the vmalloc lock. */
struct vrange vmalloc_used_range(void);

/*
 * A picture of `part` of the window, which need not be page-aligned nor lie in it as a whole: a line that tells how many
 * pages one character stands for and what each means, then rows of 64 characters, 16 at most, each behind its address.
 * Allocates nothing; takes the vmalloc lock for one area at a time, never while printing.
 */
void vmalloc_picture(struct vrange part, struct printer *out);

#endif
