/*
 * The red-black tree's verifier: checks rbtree.c's invariants on any tree, sound or not, in O(n) without
 * recursion.
 *
 * It enters a child only after the child's parent link was seen to point back (I1). A node has one parent
 * link, so no node can be entered from two places, and the walk ends however broken the tree is.
 */
#include <lib/rbtree.h>

struct walk {
	const struct rb_node *seen_at; /* where the fault is */
	size_t blacks;                 /* black nodes from the root to the current one, both included */
	size_t height;                 /* blacks at the first missing child; 0: none met yet */
};

static bool is_black(const struct rb_node *node)
{
	return !node || (node->parent_colour & 1);
}

/* What can be said of a node by looking at it and its children; all that is needed before entering them. */
static const char *check_node(const struct rb_node *node, struct walk *walk)
{
	walk->seen_at = node;
	if (node->left && node->left == node->right)
		return "I1: both children are one node";
	for (int side = RB_LEFT; side <= RB_RIGHT; side++) {
		const struct rb_node *child = node->child[side];
		if (!child) {
			if (!walk->height)
				walk->height = walk->blacks;
			if (walk->height != walk->blacks)
				return "I4: two ways to the bottom differ in black nodes";
			continue;
		}
		if ((uintptr_t)child & 1)
			return "I0: a node lies at an odd address";
		if (rb_parent(child) != node)
			return "I1: a child's parent link does not point back";
		if (!is_black(node) && !is_black(child))
			return "I3: a red node has a red child";
	}
	return NULL;
}

/* Pre-order, so that nothing is entered unchecked: I0, I1, I3, I4. */
static const char *check_shape(const struct rb_node *node, struct walk *walk)
{
	while (node) {
		walk->blacks += is_black(node);
		const char *broken = check_node(node, walk);
		if (broken)
			return broken;
		if (node->left || node->right) {
			node = node->left ? node->left : node->right;
			continue;
		}
		/* Up to the first ancestor whose right subtree was not entered yet. */
		const struct rb_node *from;
		do {
			walk->blacks -= is_black(node);
			from = node;
			node = rb_parent(from);
		} while (node && (node->right == from || !node->right));
		if (node)
			node = node->right;
	}
	return NULL;
}

static const char *check_contents(const struct rb_root *root,
                                  bool (*less)(const struct rb_node *, const struct rb_node *),
                                  bool (*augment_ok)(const struct rb_node *), struct walk *walk)
{
	const struct rb_node *before = NULL;
	for (const struct rb_node *node = rb_first(root); node; node = rb_next(node)) {
		walk->seen_at = node;
		if (before && !less(before, node))
			return "I5: two neighbours are out of order";
		if (augment_ok && !augment_ok(node))
			return "I6: a derived value is wrong";
		before = node;
	}
	return NULL;
}

static const char *check_all(const struct rb_root *root,
                             bool (*less)(const struct rb_node *, const struct rb_node *),
                             bool (*augment_ok)(const struct rb_node *), struct walk *walk)
{
	walk->seen_at = root->node;
	if (!root->node)
		return NULL;
	if ((uintptr_t)root->node & 1)
		return "I0: a node lies at an odd address";
	if (rb_parent(root->node))
		return "I1: the root has a parent";
	if (!is_black(root->node))
		return "I2: the root is red";
	const char *broken = check_shape(root->node, walk);
	return broken ? broken : check_contents(root, less, augment_ok, walk);
}

const char *rb_check(const struct rb_root *root, bool (*less)(const struct rb_node *, const struct rb_node *),
                     bool (*augment_ok)(const struct rb_node *), const struct rb_node **where)
{
	struct walk walk = {0};
	const char *broken = check_all(root, less, augment_ok, &walk);
	if (broken && where)
		*where = walk.seen_at;
	return broken;
}
