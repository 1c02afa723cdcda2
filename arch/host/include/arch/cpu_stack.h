/*
 * Stacks that belong to one CPU; see the machine's header of the same name. A thread is a CPU here, and what
 * models an interrupt comes where the thread asks for it, never in between. Other threads may read how much there is.
 */
#ifndef ARCH_CPU_STACK_H
#define ARCH_CPU_STACK_H

#include <arch/cpu_stack_types.h>

static ALWAYS_INLINE void *cpu_stack_pop(struct cpu_stack *stack)
{
	if (!stack->count)
		return NULL;
	__atomic_store_n(&stack->count, stack->count - 1, __ATOMIC_RELAXED);
	return stack->items[stack->count];
}

static ALWAYS_INLINE bool cpu_stack_push(struct cpu_stack *stack, void *item)
{
	if (stack->count >= stack->capacity)
		return false;
	stack->items[stack->count] = item;
	__atomic_store_n(&stack->count, stack->count + 1, __ATOMIC_RELAXED);
	return true;
}

static ALWAYS_INLINE struct cpu_pair cpu_magazine_pop(struct cpu_magazine **loaded)
{
	struct cpu_magazine *magazine = *loaded;

	if (!magazine->used)
		return (struct cpu_pair){NULL, NULL};
	__atomic_store_n(&magazine->used, magazine->used - (uint32_t)sizeof(struct cpu_pair),
	                 __ATOMIC_RELAXED);
	return magazine->pairs[magazine->used / sizeof(struct cpu_pair)];
}

static ALWAYS_INLINE bool cpu_magazine_push(struct cpu_magazine **loaded, struct cpu_pair pair)
{
	struct cpu_magazine *magazine = *loaded;

	if (magazine->used >= magazine->size)
		return false;
	magazine->pairs[magazine->used / sizeof(struct cpu_pair)] = pair;
	__atomic_store_n(&magazine->used, magazine->used + (uint32_t)sizeof(struct cpu_pair),
	                 __ATOMIC_RELAXED);
	return true;
}

#endif
