/*
 * Intrusive circular doubly linked list. A head is a node that is no entry; an empty list's head points at
 * itself. No lock, no allocation; every operation is O(1).
 */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <lib/compiler.h>

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD_INIT(name)     \
	{                        \
		&(name), &(name) \
	}

static inline void list_init(struct list_head *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline void list_insert_between(struct list_head *node, struct list_head *prev, struct list_head *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

/* Directly after `at` (after a head: the first entry). */
static inline void list_add(struct list_head *node, struct list_head *at)
{
	list_insert_between(node, at, at->next);
}

/* Directly before `at` (before a head: the last entry). */
static inline void list_add_tail(struct list_head *node, struct list_head *at)
{
	list_insert_between(node, at->prev, at);
}

/* The node's own links are left pointing at themselves, so that a second removal is harmless. */
static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline void list_move(struct list_head *node, struct list_head *at)
{
	list_del(node);
	list_add(node, at);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

#define list_first_entry(head, type, member) list_entry((head)->next, type, member)

#define list_for_each_entry(pos, head, member)                                                 \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head); \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* As above, and the current entry may be removed. `tmp` has pos's type. */
#define list_for_each_entry_safe(pos, tmp, head, member)                  \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),    \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member); \
	     &pos->member != (head);                                      \
	     pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*pos), member))

#endif
