/*
 * What the debug build knows about spinlocks. Each CPU lists the locks it holds, in the order of taking.
 *
 * L1  The ranks of the locks that a CPU holds ascend strictly: no cycle of waiting CPUs can form.
 * L2  A lock's owner is the CPU that holds it, plus one; 0 when it is free. Others read it meanwhile: a CPU sees its own
 *     number there if and only if it holds the lock.
 * L3  A CPU that holds a lock has interrupts masked: its own handler cannot come and wait for it.
 *
 * The checks run before the lock is touched, so that a test survives them: a refused lock was not taken, a refused
 * unlock changed nothing. Compiled for the machine and for the host.
 */
#include <arch/irq.h>
#include <arch/percpu.h>
#include <arch/spinlock.h>
#include <lib/panic.h>

void spinlock_note_acquire(struct spinlock *lock)
{
	struct cpu *cpu = this_cpu();

	if (spin_owner(lock) == cpu->id + 1)
		panic("spin_lock: %s: already held by this CPU", lock->name);
	if (irqs_enabled())
		panic("spin_lock: %s: interrupts are not masked", lock->name);
	if (cpu->held_locks == HELD_LOCKS_MAX)
		panic("spin_lock: %s: this CPU holds %d locks already", lock->name, HELD_LOCKS_MAX);
	if (cpu->held_locks) { /* L1: the last is the highest */
		const struct spinlock *last = cpu->held[cpu->held_locks - 1];
		if (last->rank >= lock->rank)
			panic("spin_lock: %s (rank %u) taken while holding %s (rank %u)", lock->name,
			      lock->rank, last->name, last->rank);
	}
}

void spinlock_note_acquired(struct spinlock *lock)
{
	struct cpu *cpu = this_cpu();

	__atomic_store_n(&lock->owner, cpu->id + 1, __ATOMIC_RELAXED);
	cpu->held[cpu->held_locks++] = lock;
}

void spinlock_note_release(struct spinlock *lock)
{
	struct cpu *cpu = this_cpu();

	uint32_t owner = spin_owner(lock);
	if (!owner)
		panic("spin_unlock: %s: not held", lock->name);
	if (owner != cpu->id + 1)
		panic("spin_unlock: %s: held by CPU %u, not by this one", lock->name, owner - 1);

	unsigned at = 0;
	while (cpu->held[at] != lock)
		at++; /* terminates: L2 says it is listed */
	for (cpu->held_locks--; at < cpu->held_locks; at++)
		cpu->held[at] = cpu->held[at + 1]; /* mostly the last: locks nest */
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
}
