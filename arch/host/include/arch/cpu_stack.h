/*
 * Stacks that belong to one CPU; see the machine's header of the same name. A thread is a CPU here, and what
 * models an interrupt comes where the thread asks for it, never in between. Other threads may read how much there is.
 */
#ifndef ARCH_CPU_STACK_H
#define ARCH_CPU_STACK_H

#include <arch/cpu_stack_types.h>

static ALWAYS_INLINE void *cpu_stack_pop(struct cpu_stack *stack)
{
	uint32_t count = stack->count;

	if (!count)
		return NULL;
	__atomic_store_n(&stack->count, count - 1, __ATOMIC_RELAXED);
	return stack->items[count - 1];
}

static ALWAYS_INLINE bool cpu_stack_push(struct cpu_stack *stack, void *item)
{
	uint32_t count = stack->count;

	if (count >= stack->capacity)
		return false;
	stack->items[count] = item;
	__atomic_store_n(&stack->count, count + 1, __ATOMIC_RELAXED);
	return true;
}

static ALWAYS_INLINE struct cpu_pair *cpu_magazine_pair(struct cpu_magazine *magazine, uint32_t used)
{
	return (struct cpu_pair *)((char *)magazine->pairs + used);
}

static ALWAYS_INLINE struct cpu_pair cpu_magazine_pop(struct cpu_magazine **loaded)
{
	struct cpu_magazine *magazine = *loaded;
	uint32_t used = magazine->used;

	if (!used)
		return (struct cpu_pair){NULL, NULL};
	used -= (uint32_t)sizeof(struct cpu_pair);
	__atomic_store_n(&magazine->used, used, __ATOMIC_RELAXED);
	return *cpu_magazine_pair(magazine, used);
}

static ALWAYS_INLINE bool cpu_magazine_push(struct cpu_magazine **loaded, struct cpu_pair pair)
{
	struct cpu_magazine *magazine = *loaded;
	uint32_t used = magazine->used;

	if (used >= magazine->size)
		return false;
	*cpu_magazine_pair(magazine, used) = pair;
	__atomic_store_n(&magazine->used, used + (uint32_t)sizeof(struct cpu_pair), __ATOMIC_RELAXED);
	return true;
}

#endif
