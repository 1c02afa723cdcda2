/*
 * Debug build: which lock was ever taken while which was held, and where. Before two orders of the same locks meet in a
 * deadlock, it is enough that each happened once. Shared by both machines; empty in the release build.
 *
 * Orders are between classes of locks: those of one rank, or for locks without a rank, those of one name (its first
 * LOCK_CLASS_NAME_MAX - 1 characters). A class is named after its first lock. Locks of the classes beyond
 * LOCK_CLASSES_MAX are not watched; the first of them is warned about.
 */
#ifndef ARCH_LOCK_GRAPH_H
#define ARCH_LOCK_GRAPH_H

#include <arch/spinlock.h>

enum { LOCK_CLASSES_MAX = 32, LOCK_CLASS_NAME_MAX = 24 };

/*
 * This CPU is about to take `lock` at the code address `at`, holding what its struct cpu lists. Remembers the orders that
 * are new; panics, having remembered nothing, if one of them closes a cycle.
 */
void lock_graph_note(struct spinlock *lock, uintptr_t at);

/* A line for each order that was seen, with the places where it was seen first. */
struct printer;
void lock_graph_dump(struct printer *out);

/*
 * For tests: how many classes are known; and forgetting all but the first `classes`, with their orders. Locks may outlive
 * their class, which is then found anew. pre of forgetting: no other CPU takes a lock of such a class meanwhile.
 */
unsigned lock_graph_classes(void);
void lock_graph_forget(unsigned classes);

#endif
