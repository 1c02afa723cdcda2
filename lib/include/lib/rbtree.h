/*
 * Intrusive red-black tree (Guibas and Sedgewick 1978; insertion and deletion after CLRS, 4th ed., ch. 13),
 * with optional augmentation: a value each node derives from itself and its children, kept true through every
 * change.
 *
 * The tree never compares: the caller descends, decides, and links. Nodes are 24 bytes; the colour lives in
 * the low bit of the parent pointer (I0: nodes are at least 2-aligned).
 *
 * No lock, no allocation, no recursion. Insert and erase are O(log n) with at most 2 and 3 rotations.
 */
#ifndef LIB_RBTREE_H
#define LIB_RBTREE_H

#include <lib/compiler.h>

enum rb_side { RB_LEFT, RB_RIGHT };

struct rb_node {
	uintptr_t parent_colour; /* parent pointer | colour: 1 black, 0 red */
	union {
		struct {
			struct rb_node *left, *right;
		};
		struct rb_node *child[2]; /* the same by enum rb_side: !side is the other one */
	};
};
_Static_assert(offsetof(struct rb_node, right) == offsetof(struct rb_node, child[RB_RIGHT]),
               "two names of one thing");

struct rb_root {
	struct rb_node *node;
};

/*
 * Recomputes `node`'s derived value from the node and its two children; returns true if it changed, so that
 * propagation towards the root may stop early. The value must depend only on which nodes the subtree holds,
 * not on its shape: a maximum, a sum, a count, but no height. NULL in the functions below: a plain tree.
 */
typedef bool (*rb_augment_fn)(struct rb_node *node);

static inline struct rb_node *rb_parent(const struct rb_node *node)
{
	return (struct rb_node *)(node->parent_colour & ~(uintptr_t)1);
}

/*
 * Makes `node` the child at *link below `parent` (NULL and &root->node for an empty tree) and rebalances.
 * pre: *link == NULL, node in no tree, and the node's own derived value need not be set.
 *
 *	struct rb_node **link = &root->node, *parent = NULL;
 *	while (*link) { parent = *link; link = key < key_of(parent) ? &parent->left : &parent->right; }
 *	rb_insert(root, node, parent, link, NULL);
 */
void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent, struct rb_node **link,
               rb_augment_fn augment);

/* Unlinks `node`, which must be in the tree. The node's memory is the caller's again. */
void rb_erase(struct rb_root *root, struct rb_node *node, rb_augment_fn augment);

/* Tells the tree that `node`'s own contribution changed in place (its order in the tree must not have). */
void rb_augment_propagate(struct rb_node *node, rb_augment_fn augment);

/* In-order walk; NULL at the ends. O(log n) worst, O(1) amortised over a whole walk. */
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

/*
 * Verifier: NULL if the tree is sound, else the broken invariant (rbtree.c's numbers) in words, *where (if
 * not NULL) the node it was seen at. `less(a, b)` must hold for every two neighbours a, b: pass < where keys
 * are unique, <= where they may repeat. `augment_ok` (may be NULL) tells whether a node's derived value is
 * what it should be. O(n), and ends on any tree whose pointers can be followed. The words are constants: they
 * stay good.
 */
const char *rb_check(const struct rb_root *root, bool (*less)(const struct rb_node *, const struct rb_node *),
                     bool (*augment_ok)(const struct rb_node *), const struct rb_node **where) MUST_USE;

#endif
