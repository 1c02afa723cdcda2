/*
 * Lock order as it was seen: a directed graph whose nodes are classes of locks. Compiled for the machine and for the
 * host.
 *
 *	edges[a][b]     0, or where b was taken (high half) and where a had been (low half) when b was first taken
 *	                while a was held
 *
 * G1  Classes are appended only (but for tests), so no class is listed twice.
 * G2  An edge is one word, written once: who reads it has both places.
 * G3  The graph has no cycle: who adds an edge looks for a way back afterwards, and takes it out again if there is one.
 *     Of several CPUs whose edges close a cycle together, the last to add its own sees all of them.
 *
 * No lock. An order that is known costs one load for each lock held; a new one, a search over all edges.
 */
#include <arch/lock_graph.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include <lib/string.h>

enum { CHAIN_TEXT_MAX = 128 };
enum class_state { CLASS_FREE, CLASS_IN_WRITING, CLASS_KNOWN };

static struct lock_class {
	uint8_t state; /* enum class_state */
	uint8_t rank;
	char name[LOCK_CLASS_NAME_MAX]; /* a copy: caches and their names go */
} classes[LOCK_CLASSES_MAX];

static uint64_t edges[LOCK_CLASSES_MAX][LOCK_CLASSES_MAX];
static bool told_full;

_Static_assert(LOCK_CLASSES_MAX <= 32, "find_way() has a set of classes in a word");

/* ---- Classes ---- */

static bool is_class_of(const struct lock_class *class, const struct spinlock *lock)
{
	return __atomic_load_n(&class->state, __ATOMIC_ACQUIRE) == CLASS_KNOWN && class->rank == lock->rank &&
	       (lock->rank || strncmp(class->name, lock->name, LOCK_CLASS_NAME_MAX - 1) == 0);
}

/* Appends the lock's class here, unless another CPU was first. */
static void try_append(struct lock_class *class, const struct spinlock *lock)
{
	uint8_t state = CLASS_FREE;

	if (__atomic_compare_exchange_n(&class->state, &state, CLASS_IN_WRITING, false, __ATOMIC_ACQUIRE,
	                                __ATOMIC_ACQUIRE)) {
		class->rank = lock->rank;
		format_buffer(class->name, sizeof(class->name), "%s", lock->name);
		__atomic_store_n(&class->state, CLASS_KNOWN, __ATOMIC_RELEASE);
		return;
	}
	while (state == CLASS_IN_WRITING) {
		cpu_relax();
		state = __atomic_load_n(&class->state, __ATOMIC_ACQUIRE);
	}
}

static void tell_full(const struct spinlock *lock)
{
	if (!__atomic_exchange_n(&told_full, true, __ATOMIC_RELAXED)) /* first: who warns may lock */
		warn("lock graph: %s is not watched, nor are other locks of new classes: %d are known",
		     lock->name, LOCK_CLASSES_MAX);
}

/* The lock's class number plus one, as the lock remembers it; 0 if it has none. */
static unsigned class_remembered(const struct spinlock *lock)
{
	unsigned number = __atomic_load_n(&lock->class, __ATOMIC_RELAXED);
	return number && is_class_of(&classes[number - 1], lock) ? number : 0;
}

static unsigned class_of(struct spinlock *lock)
{
	unsigned number = class_remembered(lock);
	if (number)
		return number;
	for (number = 1; number <= LOCK_CLASSES_MAX; number++) {
		struct lock_class *class = &classes[number - 1];
		if (__atomic_load_n(&class->state, __ATOMIC_ACQUIRE) != CLASS_KNOWN)
			try_append(class, lock);
		if (is_class_of(class, lock)) {
			__atomic_store_n(&lock->class, (uint8_t)number, __ATOMIC_RELAXED);
			return number;
		}
	}
	tell_full(lock);
	return 0;
}

unsigned lock_graph_classes(void)
{
	unsigned known = 0;
	while (IS_DEBUG && known < LOCK_CLASSES_MAX &&
	       __atomic_load_n(&classes[known].state, __ATOMIC_ACQUIRE) == CLASS_KNOWN)
		known++;
	return known;
}

/* ---- Edges ---- */

static uint64_t edge(unsigned outer, unsigned inner)
{
	return __atomic_load_n(&edges[outer][inner], __ATOMIC_SEQ_CST);
}

static void *inner_place(uint64_t edge_word)
{
	return (void *)lock_place(edge_word >> 32);
}

static void *outer_place(uint64_t edge_word)
{
	return (void *)lock_place((uint32_t)edge_word);
}

/* The shortest way along edges, breadth first. Returns its number of edges, 0 if there is none; way[] gets one more. */
static unsigned find_way(unsigned from, unsigned to, uint8_t way[LOCK_CLASSES_MAX])
{
	uint8_t queue[LOCK_CLASSES_MAX], came_from[LOCK_CLASSES_MAX];
	unsigned head = 0, tail = 0, length = 0;
	uint32_t reached = 1U << from;

	queue[tail++] = (uint8_t)from;
	while (head < tail && !(reached >> to & 1)) {
		unsigned at = queue[head++];
		for (unsigned next = 0; next < LOCK_CLASSES_MAX; next++) {
			if (reached >> next & 1 || !edge(at, next))
				continue;
			reached |= 1U << next;
			came_from[next] = (uint8_t)at;
			queue[tail++] = (uint8_t)next;
		}
	}
	if (!(reached >> to & 1))
		return 0;
	for (unsigned at = to; at != from; at = came_from[at])
		length++;
	way[0] = (uint8_t)from;
	for (unsigned at = to, n = length; n; at = came_from[at])
		way[n--] = (uint8_t)at;
	return length;
}

static NORETURN void refuse(const struct spinlock *lock, uintptr_t at, const struct spinlock *held,
                            uintptr_t held_at, const uint8_t *way, unsigned length)
{
	uint64_t first = edge(way[0], way[1]), last = edge(way[length - 1], way[length]);
	char chain[CHAIN_TEXT_MAX];
	struct buffer_printer text;

	if (length == 1)
		panic("spin_lock: %s taken at %pS while holding %s, taken at %pS; but the other order was "
		      "seen: %s taken at %pS while holding %s, taken at %pS",
		      lock->name, (void *)at, held->name, (void *)held_at, classes[way[1]].name,
		      inner_place(first), classes[way[0]].name, outer_place(first));

	buffer_printer_init(&text, chain, sizeof(chain));
	for (unsigned n = 0; n <= length; n++)
		print(&text.printer, "%s%s", n ? " > " : "", classes[way[n]].name);
	panic("spin_lock: %s taken at %pS while holding %s, taken at %pS; but the other order was seen, %s: "
	      "%s taken at %pS while holding %s, taken at %pS; %s taken at %pS while holding %s, taken at %pS",
	      lock->name, (void *)at, held->name, (void *)held_at, chain, classes[way[1]].name,
	      inner_place(first), classes[way[0]].name, outer_place(first), classes[way[length]].name,
	      inner_place(last), classes[way[length - 1]].name, outer_place(last));
}

/* `lock` of class `inner` is taken while `held` is. */
static void note_order(const struct spinlock *lock, unsigned inner, uintptr_t at, const struct spinlock *held,
                       uintptr_t held_at)
{
	unsigned outer = class_remembered(held);
	uint64_t none = 0, places = (uint64_t)at << 32 | (uint32_t)held_at;
	uint8_t way[LOCK_CLASSES_MAX];

	if (!outer || edge(--outer, inner))
		return;
	if (!__atomic_compare_exchange_n(&edges[outer][inner], &none, places, false, __ATOMIC_SEQ_CST,
	                                 __ATOMIC_SEQ_CST))
		return; /* another CPU saw the same, and it will look */
	unsigned length = find_way(inner, outer, way);
	if (length) { /* G3 */
		__atomic_store_n(&edges[outer][inner], 0, __ATOMIC_SEQ_CST);
		refuse(lock, at, held, held_at, way, length);
	}
}

void lock_graph_note(struct spinlock *lock, uintptr_t at)
{
	const struct cpu *cpu = this_cpu();
	unsigned inner = IS_DEBUG ? class_of(lock) : 0;

	for (unsigned n = 0; inner && n < cpu->held_locks; n++)
		note_order(lock, inner - 1, at, cpu->held[n], cpu->held_at[n]);
}

/* ---- Looking at it ---- */

void lock_graph_dump(struct printer *out)
{
	bool any = false;

	for (unsigned outer = 0; IS_DEBUG && outer < LOCK_CLASSES_MAX; outer++) {
		for (unsigned inner = 0; inner < LOCK_CLASSES_MAX; inner++) {
			uint64_t places = edge(outer, inner);
			any |= places;
			if (places)
				print(out, "%s (rank %u) > %s (rank %u), taken at %pS and %pS\n",
				      classes[outer].name, classes[outer].rank, classes[inner].name,
				      classes[inner].rank, outer_place(places), inner_place(places));
		}
	}
	if (!any)
		print(out, IS_DEBUG ? "no lock was taken while another was held\n"
		                    : "only the debug build watches locks\n");
}

void lock_graph_forget(unsigned number)
{
	for (unsigned class = number; IS_DEBUG && class < LOCK_CLASSES_MAX; class ++) {
		for (unsigned other = 0; other < LOCK_CLASSES_MAX; other++) {
			__atomic_store_n(&edges[class][other], 0, __ATOMIC_SEQ_CST);
			__atomic_store_n(&edges[other][class], 0, __ATOMIC_SEQ_CST);
		}
		__atomic_store_n(&classes[class].state, CLASS_FREE, __ATOMIC_RELEASE);
		told_full = false;
	}
}
