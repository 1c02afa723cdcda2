/*
 * Addresses that cannot be confused. A physical address, a virtual address and a frame number are three
 * struct types; handing one over for another does not compile. A C pointer is a fourth thing: a promise that
 * it may be dereferenced now. Conversions live in <arch/page.h> and <arch/directmap.h>; `.raw` appears only
 * where bits are looked at.
 *
 * Ranges are half-open: [start, end). An empty range has start == end. None may wrap.
 */
#ifndef LIB_ADDR_H
#define LIB_ADDR_H

#include <lib/compiler.h>

typedef struct {
	uint64_t raw;
} paddr_t;

typedef struct {
	uint64_t raw;
} vaddr_t;

/* Page frame number: physical address / PAGE_SIZE. */
typedef struct {
	uint64_t raw;
} pfn_t;

struct prange {
	paddr_t start, end;
};

struct vrange {
	vaddr_t start, end;
};

static inline paddr_t paddr(uint64_t raw)
{
	return (paddr_t){raw};
}

static inline vaddr_t vaddr(uint64_t raw)
{
	return (vaddr_t){raw};
}

static inline pfn_t pfn(uint64_t raw)
{
	return (pfn_t){raw};
}

static inline vaddr_t vaddr_of(const void *pointer)
{
	return (vaddr_t){(uintptr_t)pointer};
}

/* Only for addresses that are mapped: the result is a promise. */
static inline void *vaddr_pointer(vaddr_t va)
{
	return (void *)(uintptr_t)va.raw;
}

static inline paddr_t paddr_add(paddr_t pa, uint64_t bytes)
{
	return (paddr_t){pa.raw + bytes};
}

static inline vaddr_t vaddr_add(vaddr_t va, uint64_t bytes)
{
	return (vaddr_t){va.raw + bytes};
}

static inline struct prange prange(uint64_t start, uint64_t end)
{
	return (struct prange){{start}, {end}};
}

static inline struct vrange vrange(uint64_t start, uint64_t end)
{
	return (struct vrange){{start}, {end}};
}

static inline struct vrange vrange_sized(vaddr_t start, uint64_t bytes)
{
	return (struct vrange){start, {start.raw + bytes}};
}

static inline uint64_t prange_size(struct prange r)
{
	return r.end.raw - r.start.raw;
}

static inline uint64_t vrange_size(struct vrange r)
{
	return r.end.raw - r.start.raw;
}

static inline bool vrange_contains(struct vrange r, vaddr_t va)
{
	return va.raw >= r.start.raw && va.raw < r.end.raw;
}

static inline bool prange_contains(struct prange r, paddr_t pa)
{
	return pa.raw >= r.start.raw && pa.raw < r.end.raw;
}

static inline bool vrange_overlaps(struct vrange a, struct vrange b)
{
	return a.start.raw < b.end.raw && b.start.raw < a.end.raw;
}

#endif
