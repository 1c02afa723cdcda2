/* What vmalloc.c and vmalloc_check.c share. vmalloc.c tells what it means. */
#ifndef MM_VMALLOC_INTERNAL_H
#define MM_VMALLOC_INTERNAL_H

#include <arch/spinlock.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>

/* Area flag, beside those of <mm/vmalloc.h>: given back, and about to leave. The address finds it, nobody may free it. */
enum { VM_DYING = 1 << 30 };

struct vmalloc_state {
	struct spinlock lock;
	struct va_space space;    /* (lock); the window's bounds are constant */
	size_t nr_pages;          /* (lock) frames that areas own, those still being filled included */
	struct kmem_cache *nodes; /* constant: holes and areas */
};
extern struct vmalloc_state vmalloc_state;

/* The three kinds by what frees them: VM_ALLOC vfree(), VM_MAP vunmap(), VM_IOREMAP iounmap(). */
static inline uint32_t area_class(const struct vmap_area *area)
{
	if (area->flags & (VM_ALLOC | VM_MAP_PUT_PAGES))
		return VM_ALLOC;
	return area->flags & (VM_MAP | VM_IOREMAP);
}

static inline bool area_owns_frames(const struct vmap_area *area)
{
	return area_class(area) == VM_ALLOC;
}

static inline const char *area_kind(const struct vmap_area *area)
{
	return area->flags & VM_IOREMAP ? "ioremap" : area->flags & VM_MAP ? "vmap" : "vmalloc";
}

/* One past the last byte that may be mapped: the guard page, if there is one, begins here. */
static inline uintptr_t area_data_end(const struct vmap_area *area)
{
	return area->va_end - (area->flags & VM_NO_GUARD ? 0 : PAGE_SIZE);
}

static inline size_t area_data_pages(const struct vmap_area *area)
{
	return (area_data_end(area) - area->va_start) >> PAGE_SHIFT;
}

/* For %pS. Code lies in the top 2 GiB, so the low half tells all. */
static inline const void *area_caller(const struct vmap_area *area)
{
	return (const void *)(intptr_t)(int32_t)area->caller;
}

#endif
