/* What page_alloc.c and its verifier share: each CPU's lists of free blocks. page_alloc.c tells what they mean. */
#ifndef MM_PAGE_ALLOC_INTERNAL_H
#define MM_PAGE_ALLOC_INTERNAL_H

#include <arch/cpu_stack.h>
#include <arch/percpu.h>
#include <mm/page_alloc.h>

enum {
	CPU_LIST_ORDERS = 4, /* blocks of order 0 to 3: up to 32 KiB, what slabs and stacks are made of */
	CPU_LIST_BYTES = 1024,
	CPU_LIST_MAX = (CPU_LIST_BYTES - sizeof(struct cpu_stack)) / sizeof(void *),
};

/* Behind cpu->pages: a struct cpu_stack of struct page pointers per zone and order, each in CPU_LIST_BYTES. */
struct page_cpu {
	char lists[NR_ZONES][CPU_LIST_ORDERS][CPU_LIST_BYTES] ALIGNED(64);
};

static inline struct cpu_stack *page_cpu_list(struct page_cpu *lists, unsigned zone, unsigned order)
{
	return (struct cpu_stack *)(void *)lists->lists[zone][order];
}

/* Frames of `zone` in a CPU's lists. */
static inline size_t page_cpu_frames(struct page_cpu *lists, unsigned zone)
{
	size_t frames = 0;
	for (unsigned order = 0; order < CPU_LIST_ORDERS; order++) {
		const struct cpu_stack *list = page_cpu_list(lists, zone, order);
		frames += (size_t)__atomic_load_n(&list->count, __ATOMIC_RELAXED) << order;
	}
	return frames;
}

#endif
