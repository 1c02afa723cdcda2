/*
 * Ticket spinlock: CPUs are served in the order they came. Shared by both machines.
 *
 * Debug build: each lock has a name and a rank. A CPU may take a lock only while all ranked locks it holds have a lower
 * rank, so no cycle can form (an order on locks: Dijkstra, Havender). Whoever has no place in that order gives its lock
 * rank 0: it may be taken before, between and after ranked ones, and <arch/lock_graph.h> refuses the acquisition that
 * contradicts an order seen earlier. In both cases a CPU holds one lock of a class (rank, or name without one) at most.
 *
 * Recursion, unlocking by another CPU, taking a lock with interrupts enabled while handlers use it, and waiting without
 * end are reported too; always by name and with the places where the locks were taken.
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
	uint8_t rank; /* 1 to 255; 0: none, only the graph of orders checks */
	/* Debug build. */
	uint8_t class;     /* number in the graph of orders, plus one; 0 until first taken */
	uint16_t owner;    /* CPU id + 1; 0 when free */
	uint32_t owner_at; /* low half of the code address where the owner took it: lock_place() */
};

#define SPINLOCK_INIT(lock_name, lock_rank)              \
	{                                                \
		.name = (lock_name), .rank = (lock_rank) \
	}

/*
 * Debug bookkeeping (spinlock.c), called by the function that spin_lock() is inlined in: the return address is the place.
 * None is NORETURN, or that address could lie in the next function.
 */
void spinlock_note_acquire(struct spinlock *lock); /* before spinning */
void spinlock_note_acquired(struct spinlock *lock, bool waited);
void spinlock_note_release(struct spinlock *lock);
void spinlock_note_stuck(const struct spinlock *lock);

/* Turns of a spinner until it counts as stuck. Tests lower it. */
extern uint32_t spin_turns_max;

/* The place whose low half is given: all code lies within 2 GiB. */
static inline uintptr_t lock_place(uint32_t low)
{
	uintptr_t near = (uintptr_t)spinlock_note_acquire;
	return near + (uintptr_t)(int32_t)(low - (uint32_t)near);
}

static inline void spin_lock_init(struct spinlock *lock, const char *name, uint8_t rank)
{
	*lock = (struct spinlock)SPINLOCK_INIT(name, rank);
}

/* Interrupts must be masked already, as every lock of mm/ may be taken in a handler. */
static ALWAYS_INLINE void spin_lock(struct spinlock *lock)
{
	uint32_t turns = 0;

	if (IS_DEBUG)
		spinlock_note_acquire(lock);
	uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) {
		cpu_relax();
		if (IS_DEBUG && ++turns >= spin_turns_max)
			spinlock_note_stuck(lock);
	}
	if (IS_DEBUG)
		spinlock_note_acquired(lock, turns > 0);
}

static ALWAYS_INLINE void spin_unlock(struct spinlock *lock)
{
	if (IS_DEBUG)
		spinlock_note_release(lock);
	__atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

static ALWAYS_INLINE MUST_USE irqflags_t spin_lock_irqsave(struct spinlock *lock)
{
	irqflags_t flags = irq_save();
	spin_lock(lock);
	return flags;
}

static ALWAYS_INLINE void spin_unlock_irqrestore(struct spinlock *lock, irqflags_t flags)
{
	spin_unlock(lock);
	irq_restore(flags);
}

/* True if the current CPU holds it. Debug build only: always true in release, for DEBUG_ASSERT(). */
static inline bool spin_is_held(const struct spinlock *lock)
{
	return !IS_DEBUG || __atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == this_cpu()->id + 1;
}

#endif
