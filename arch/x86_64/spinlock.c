/*
 * What the debug build knows about spinlocks. Each CPU lists the locks it holds, in the order of taking, and the places
 * where it took them.
 *
 * L1  The ranks of the ranked locks that a CPU holds ascend strictly: no cycle of waiting CPUs can form. Locks without a
 *     rank obey the orders seen before (lock_graph.c).
 * L2  A lock's owner is the CPU that holds it, plus one; 0 when it is free.
 * L3  A CPU that holds a lock has interrupts masked: its own handler cannot come and wait for it.
 *
 * The checks run before the lock is touched, so that a test survives them: a refused lock was not taken, a refused
 * unlock changed nothing. Only the spinner that gives up has spoilt the lock, by its ticket. Compiled for the machine and
 * for the host.
 */
#include <arch/irq.h>
#include <arch/lock_graph.h>
#include <arch/percpu.h>
#include <arch/spinlock.h>
#include <lib/panic.h>
#include <lib/string.h>

/*
 * Counted in turns, not in time: a spinner whose virtual CPU does not run does not age. Some twenty seconds on a
 * processor, a minute and more on an emulated one; who holds a lock needs milliseconds.
 */
uint32_t spin_turns_max = 1U << 29;

static void *owner_place(const struct spinlock *lock)
{
	return (void *)lock_place(__atomic_load_n(&lock->owner_at, __ATOMIC_RELAXED));
}

/* L1, against one lock that this CPU holds. */
static void check_nesting(const struct spinlock *lock, void *at, const struct spinlock *held, void *held_at)
{
	if (lock->rank && held->rank >= lock->rank)
		panic("spin_lock: %s (rank %u) taken at %pS while holding %s (rank %u), taken at %pS",
		      lock->name, lock->rank, at, held->name, held->rank, held_at);
	if (!lock->rank && !held->rank && strncmp(lock->name, held->name, LOCK_CLASS_NAME_MAX - 1) == 0)
		panic("spin_lock: %s taken at %pS while holding another %s, taken at %pS", lock->name, at,
		      held->name, held_at);
}

void spinlock_note_acquire(struct spinlock *lock)
{
	struct cpu *cpu = this_cpu();
	void *at = (void *)CALLER_ADDRESS;

	if (!lock->name)
		panic("spin_lock: %p, taken at %pS, was not initialised", (void *)lock, at);
	if (spin_is_held(lock))
		panic("spin_lock: %s: already held by this CPU, taken at %pS, and now at %pS", lock->name,
		      owner_place(lock), at);
	if (irqs_enabled())
		panic("spin_lock: %s: interrupts are not masked at %pS", lock->name, at);
	if (cpu->held_locks == HELD_LOCKS_MAX)
		panic("spin_lock: %s: this CPU holds %d locks already, at %pS", lock->name, HELD_LOCKS_MAX,
		      at);
	/* The last first: among ranked locks it is the highest. */
	for (unsigned n = cpu->held_locks; n-- > 0;)
		check_nesting(lock, at, cpu->held[n], (void *)cpu->held_at[n]);
	lock_graph_note(lock, (uintptr_t)at);
}

void spinlock_note_acquired(struct spinlock *lock, bool waited)
{
	struct cpu *cpu = this_cpu();

	__atomic_store_n(&lock->owner_at, (uint32_t)CALLER_ADDRESS, __ATOMIC_RELAXED);
	__atomic_store_n(&lock->owner, (uint16_t)(cpu->id + 1), __ATOMIC_RELEASE);
	cpu->held_at[cpu->held_locks] = CALLER_ADDRESS;
	cpu->held[cpu->held_locks++] = lock;
	cpu_count(COUNT_LOCKS, 1);
	if (waited)
		cpu_count(COUNT_LOCKS_CONTENDED, 1);
}

void spinlock_note_release(struct spinlock *lock)
{
	struct cpu *cpu = this_cpu();
	uint32_t owner = __atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE);
	void *at = (void *)CALLER_ADDRESS;

	if (!owner)
		panic("spin_unlock: %s: not held, at %pS", lock->name, at);
	if (owner != cpu->id + 1)
		panic("spin_unlock: %s: held by CPU %u, taken at %pS, not by CPU %u, at %pS", lock->name,
		      owner - 1, owner_place(lock), cpu->id, at);

	unsigned n = cpu->held_locks - 1; /* mostly the last: locks nest */
	while (cpu->held[n] != lock)
		n--; /* terminates: L2 says it is listed */
	for (cpu->held_locks--; n < cpu->held_locks; n++) {
		cpu->held[n] = cpu->held[n + 1];
		cpu->held_at[n] = cpu->held_at[n + 1];
	}
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
}

void spinlock_note_stuck(const struct spinlock *lock)
{
	uint32_t owner = __atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE);
	void *at = (void *)CALLER_ADDRESS;

	if (!owner)
		panic("spin_lock: %s: waited for at %pS without end, though no CPU holds it", lock->name, at);
	panic("spin_lock: %s: waited for at %pS without end: CPU %u holds it, taken at %pS", lock->name, at,
	      owner - 1, owner_place(lock));
}
