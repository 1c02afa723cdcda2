/*
 * Stacks that belong to one CPU; see the machine's header of the same name. A thread is a CPU here, and what
 * models an interrupt comes where the thread asks for it, never in between.
 */
#ifndef ARCH_CPU_STACK_H
#define ARCH_CPU_STACK_H

#include <lib/compiler.h>

struct cpu_stack {
	uint32_t count, capacity;
	void *items[];
};

struct cpu_pair {
	void *first, *second;
};
struct cpu_magazine {
	uint32_t used, size; /* bytes of pairs[] */
	struct cpu_magazine *next;
	struct cpu_pair pairs[];
};

static ALWAYS_INLINE void *cpu_stack_pop(struct cpu_stack *stack)
{
	return stack->count ? stack->items[--stack->count] : NULL;
}

static ALWAYS_INLINE bool cpu_stack_push(struct cpu_stack *stack, void *item)
{
	if (stack->count >= stack->capacity)
		return false;
	stack->items[stack->count++] = item;
	return true;
}

static ALWAYS_INLINE struct cpu_pair cpu_magazine_pop(struct cpu_magazine **loaded)
{
	struct cpu_magazine *magazine = *loaded;

	if (!magazine->used)
		return (struct cpu_pair){NULL, NULL};
	magazine->used -= sizeof(struct cpu_pair);
	return magazine->pairs[magazine->used / sizeof(struct cpu_pair)];
}

static ALWAYS_INLINE bool cpu_magazine_push(struct cpu_magazine **loaded, struct cpu_pair pair)
{
	struct cpu_magazine *magazine = *loaded;

	if (magazine->used >= magazine->size)
		return false;
	magazine->pairs[magazine->used / sizeof(struct cpu_pair)] = pair;
	magazine->used += sizeof(struct cpu_pair);
	return true;
}

#endif
