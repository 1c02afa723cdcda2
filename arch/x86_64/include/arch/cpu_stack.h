/*
 * Stacks that belong to one CPU and need no lock, no atomic instruction and no masking, though an interrupt handler of
 * the same CPU may push and pop at any instruction.
 *
 * Each operation is a short restartable sequence: it reads, decides, writes where nobody looks, and ends in one store
 * that makes it happen. The range of its instructions is listed in section .restart. When an interrupt arrives inside a
 * listed range, trap.c moves the saved RIP back to the range's first instruction before any handler runs
 * (restart_interrupted_sequence()): what was read is stale by then, what was written is above the top of the stack, and
 * the sequence simply begins anew. Cost on the fast path: nothing. (Bershad, Redell, Ellis, "Fast mutual exclusion for
 * uniprocessors", ASPLOS 1992; Linux offers the same to user space as rseq.)
 *
 * Everything else that touches such a stack does so on its own CPU with interrupts masked. The host has a header of the
 * same name, where a thread is a CPU and nothing interrupts it.
 */
#ifndef ARCH_CPU_STACK_H
#define ARCH_CPU_STACK_H

#include <arch/cpu_stack_types.h>

_Static_assert(offsetof(struct cpu_stack, items) == 8, "the sequences below know it");
_Static_assert(offsetof(struct cpu_magazine, pairs) == 16 && sizeof(struct cpu_pair) == 16,
               "the sequences below know it");

/*
 * [1, 2) is restartable; 2 follows the committing store. The asm statements are volatile in so many words: gcc 12 takes an
 * asm goto with unused outputs for one without effects.
 */
#define RESTARTABLE ".pushsection .restart, \"a\"; .quad 1b, 2b; .popsection"

/* The last item pushed, or NULL. pre: this CPU's; no item is NULL */
static ALWAYS_INLINE void *cpu_stack_pop(struct cpu_stack *stack)
{
	void *item;
	uint64_t n;

	__asm__ volatile goto("1: movl (%[stack]), %k[n]\n\t"
	                      "subl $1, %k[n]\n\t"
	                      "jc %l[empty]\n\t"
	                      "movq 8(%[stack],%[n],8), %[item]\n\t"
	                      "movl %k[n], (%[stack])\n"
	                      "2: " RESTARTABLE
	                      : [n] "=&r"(n), [item] "=&r"(item)
	                      : [stack] "r"(stack)
	                      : "memory", "cc"
	                      : empty);
	if (!item)
		__builtin_unreachable();
	return item;
empty:
	return NULL;
}

/* False if there is no room. pre: this CPU's */
static ALWAYS_INLINE bool cpu_stack_push(struct cpu_stack *stack, void *item)
{
	uint64_t n;

	__asm__ volatile goto("1: movl (%[stack]), %k[n]\n\t"
	                      "cmpl 4(%[stack]), %k[n]\n\t"
	                      "jae %l[full]\n\t"
	                      "movq %[item], 8(%[stack],%[n],8)\n\t"
	                      "addl $1, (%[stack])\n"
	                      "2: " RESTARTABLE
	                      : [n] "=&r"(n)
	                      : [stack] "r"(stack), [item] "r"(item)
	                      : "memory", "cc"
	                      : full);
	return true;
full:
	return false;
}

/* The last pair of *loaded; first is NULL if it is empty. pre: this CPU's */
static ALWAYS_INLINE struct cpu_pair cpu_magazine_pop(struct cpu_magazine **loaded)
{
	void *first, *second, *magazine; /* not a struct's members: gcc 12 crashes on those */
	uint64_t n;

	__asm__ volatile goto(
	        "1: movq %[loaded], %[magazine]\n\t"
	        "movl (%[magazine]), %k[n]\n\t"
	        "subl $16, %k[n]\n\t"
	        "jc %l[empty]\n\t"
	        "movq 16(%[magazine],%[n]), %[first]\n\t"
	        "movq 24(%[magazine],%[n]), %[second]\n\t"
	        "movl %k[n], (%[magazine])\n"
	        "2: " RESTARTABLE
	        : [magazine] "=&r"(magazine), [n] "=&r"(n), [first] "=&r"(first), [second] "=&r"(second)
	        : [loaded] "m"(*loaded)
	        : "memory", "cc"
	        : empty);
	if (!first)
		__builtin_unreachable();
	return (struct cpu_pair){first, second};
empty:
	return (struct cpu_pair){NULL, NULL};
}

/* False if *loaded has no room. pre: this CPU's */
static ALWAYS_INLINE bool cpu_magazine_push(struct cpu_magazine **loaded, struct cpu_pair pair)
{
	void *first = pair.first, *second = pair.second, *magazine;
	uint64_t n;

	__asm__ volatile goto("1: movq %[loaded], %[magazine]\n\t"
	                      "movl (%[magazine]), %k[n]\n\t"
	                      "cmpl 4(%[magazine]), %k[n]\n\t"
	                      "jae %l[full]\n\t"
	                      "movq %[first], 16(%[magazine],%[n])\n\t"
	                      "movq %[second], 24(%[magazine],%[n])\n\t"
	                      "addl $16, %k[n]\n\t"
	                      "movl %k[n], (%[magazine])\n"
	                      "2: " RESTARTABLE
	                      : [magazine] "=&r"(magazine), [n] "=&r"(n)
	                      : [loaded] "m"(*loaded), [first] "r"(first), [second] "r"(second)
	                      : "memory", "cc"
	                      : full);
	return true;
full:
	return false;
}

#endif
