/*
 * A lock to keep while other CPUs are called: whoever waits for it serves their calls meanwhile, in the order they came.
 * Shared by both machines.
 *
 * Not for interrupt handlers, which might wait for what they interrupted; and never wanted while a spinlock is held, whose
 * holder may not serve calls, so that mutexes stand before all spinlocks in the order of locks. The latter is checked in the
 * debug build, which counts held spinlocks; all other mistakes in every build, as it is no fast path's.
 */
#ifndef ARCH_MUTEX_H
#define ARCH_MUTEX_H

#include <arch/irq.h>
#include <arch/smp.h>
#include <arch/spinlock.h>
#include <lib/compiler.h>
#include <lib/panic.h>

struct mutex {
	uint32_t next;    /* ticket of the next to come */
	uint32_t serving; /* ticket that may pass */
	uint32_t owner;   /* CPU id + 1; 0 when free */
	const char *name;
};

#define MUTEX_INIT(mutex_name)        \
	{                             \
		.name = (mutex_name), \
	}

/* True if the current CPU holds it. */
static inline bool mutex_is_held(const struct mutex *mutex)
{
	return __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == this_cpu()->id + 1;
}

static inline void mutex_lock(struct mutex *mutex)
{
	if (unlikely(in_interrupt()))
		panic("mutex %s: wanted in an interrupt handler", mutex->name);
	if (unlikely(this_cpu()->held_locks))
		panic("mutex %s: wanted with the spinlock %s held", mutex->name, this_cpu()->held[0]->name);
	if (unlikely(mutex_is_held(mutex)))
		panic("mutex %s: wanted by the CPU that holds it", mutex->name);

	uint32_t ticket = __atomic_fetch_add(&mutex->next, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&mutex->serving, __ATOMIC_ACQUIRE) != ticket) {
		cpu_serve();
		cpu_relax();
	}
	__atomic_store_n(&mutex->owner, this_cpu()->id + 1, __ATOMIC_RELAXED);
	this_cpu()->held_mutexes++;
}

static inline void mutex_unlock(struct mutex *mutex)
{
	if (unlikely(!mutex_is_held(mutex)))
		panic("mutex %s: given back by a CPU that does not hold it", mutex->name);
	this_cpu()->held_mutexes--;
	__atomic_store_n(&mutex->owner, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&mutex->serving, mutex->serving + 1, __ATOMIC_RELEASE);
}

#endif
