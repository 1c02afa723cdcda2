/*
 * Ticket spinlock: CPUs are served in the order they came. Shared by both machines.
 *
 * Debug build: each lock has a name and a rank. A CPU may take a lock only while all locks it holds have a lower rank,
 * so no cycle can form (an order on locks: Dijkstra, Havender). Recursion, unlock by another CPU, and taking a lock that
 * interrupt handlers use without masking interrupts are reported by name.
 */
#ifndef ARCH_SPINLOCK_H
#define ARCH_SPINLOCK_H

#include <arch/irq.h>
#include <arch/smp.h>
#include <lib/compiler.h>

struct spinlock {
	uint32_t next;    /* ticket of the next to come */
	uint32_t serving; /* ticket that may pass */
	const char *name;
	uint32_t rank;
	uint32_t owner; /* atomic; debug: CPU id + 1; 0 when free */
};

#define SPINLOCK_INIT(lock_name, lock_rank)              \
	{                                                \
		.name = (lock_name), .rank = (lock_rank) \
	}

/* Debug bookkeeping (spinlock.c); panics naming both locks. */
void spinlock_note_acquire(struct spinlock *lock); /* before spinning */
void spinlock_note_acquired(struct spinlock *lock);
void spinlock_note_release(struct spinlock *lock);

static inline uint32_t spin_owner(const struct spinlock *lock)
{
	return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
}

static inline void spin_lock_init(struct spinlock *lock, const char *name, uint32_t rank)
{
	*lock = (struct spinlock)SPINLOCK_INIT(name, rank);
}

/* Interrupts must be masked already, as every lock of mm/ may be taken in a handler. */
static inline void spin_lock(struct spinlock *lock)
{
	if (IS_DEBUG)
		spinlock_note_acquire(lock);
	uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
		cpu_relax();
	if (IS_DEBUG)
		spinlock_note_acquired(lock);
}

static inline void spin_unlock(struct spinlock *lock)
{
	if (IS_DEBUG)
		spinlock_note_release(lock);
	__atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

static inline MUST_USE irqflags_t spin_lock_irqsave(struct spinlock *lock)
{
	irqflags_t flags = irq_save();
	spin_lock(lock);
	return flags;
}

static inline void spin_unlock_irqrestore(struct spinlock *lock, irqflags_t flags)
{
	spin_unlock(lock);
	irq_restore(flags);
}

/* True if the current CPU holds it. Debug build only: always true in release, for DEBUG_ASSERT(). */
static inline bool spin_is_held(const struct spinlock *lock)
{
	return !IS_DEBUG || spin_owner(lock) == this_cpu()->id + 1;
}

#endif
