/*
 * Red-black tree.
 *
 * Promises logarithmic depth: the longest way down is at most twice the shortest. A node is red or black, a
 * missing child counts as black, and between operations:
 *
 * I0  Nodes lie at even addresses: bit 0 of the parent pointer is the colour.
 * I1  A child's parent link points at the node it hangs below; the root's is NULL.
 * I2  The root is black.
 * I3  A red node has no red child.
 * I4  From the root to every missing child the number of black nodes is the same.
 * I5  In-order, the nodes are in the caller's order.
 * I6  A node's derived value is what augment() makes of the node and its children. It is a function of which
 *     nodes are in the subtree, not of the subtree's shape (a maximum, a sum, a count; not a height).
 *
 * I3 and I4 bound the depth by 2 log2(n + 1). Insertion adds a red node, which can break only I3 (or I2), and
 * moves the fault upward until recolouring or at most two rotations end it. Erasure of a black node breaks I4
 * on one side and moves that upward until recolouring or at most three rotations end it. I6 is restored on
 * the way to the root before any rotation; a rotation keeps the set of nodes below its place, so only the two
 * rotated nodes change.
 *
 * Each case is written once, for a side: "left" and "right" in the pictures are child[side] and child[!side].
 * In the pictures capitals are black, small letters red, and a node in (parentheses) has either colour.
 *
 * No lock: the owner of the tree serialises.
 */
#include <lib/rbtree.h>

enum { RED = 0, BLACK = 1 };

static inline bool is_red(const struct rb_node *node)
{
	return node && !(node->parent_colour & BLACK);
}

static inline uintptr_t colour_of(const struct rb_node *node)
{
	return node->parent_colour & BLACK;
}

static inline void set_red(struct rb_node *node)
{
	node->parent_colour &= ~(uintptr_t)BLACK;
}

static inline void set_black(struct rb_node *node)
{
	node->parent_colour |= BLACK;
}

static inline void set_parent(struct rb_node *node, struct rb_node *parent)
{
	node->parent_colour = (uintptr_t)parent | colour_of(node);
}

/* pre: child is a child of parent */
static inline enum rb_side side_of(const struct rb_node *parent, const struct rb_node *child)
{
	return parent->right == child ? RB_RIGHT : RB_LEFT;
}

/*
 * Whoever pointed down at `old`, `parent` or the root, points at `new` (may be NULL). Upward links are the
 * caller's.
 */
static inline void replace_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old,
                                 struct rb_node *new)
{
	if (parent)
		parent->child[side_of(parent, old)] = new;
	else
		root->node = new;
}

/*
 * `down` sinks to `side`, its other child rises into its place. Colours stay with their nodes.
 *
 *	   (down)                (up)
 *	   /    \               /    \
 *	  a     (up)   -->  (down)    c
 *	        /  \         /  \
 *	       b    c       a    b
 */
static void rotate(struct rb_root *root, struct rb_node *down, enum rb_side side, rb_augment_fn augment)
{
	struct rb_node *up = down->child[!side];
	struct rb_node *inner = up->child[side];
	struct rb_node *above = rb_parent(down);

	down->child[!side] = inner;
	if (inner)
		set_parent(inner, down);
	replace_child(root, above, down, up);
	set_parent(up, above);
	up->child[side] = down;
	set_parent(down, up);
	if (augment) {
		augment(down);
		augment(up);
	}
}

void rb_augment_propagate(struct rb_node *node, rb_augment_fn augment)
{
	while (node && augment(node))
		node = rb_parent(node);
}

void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent, struct rb_node **link,
               rb_augment_fn augment)
{
	node->parent_colour = (uintptr_t)parent | RED;
	node->left = node->right = NULL;
	*link = node;
	if (augment) {
		augment(node);
		rb_augment_propagate(parent, augment);
	}

	/* Invariant: all holds, but `node` is red and may be the root (I2) or below a red parent (I3). */
	while (is_red(parent)) {
		/* A red parent is not the root, so there is a grandparent, and it is black. */
		struct rb_node *grandparent = rb_parent(parent);
		enum rb_side side = side_of(grandparent, parent);
		struct rb_node *uncle = grandparent->child[!side];

		/*
		 * 1: red uncle. The grandparent lends its blackness to both children; the fault moves up.
		 *
		 *	     G             g
		 *	    / \           / \
		 *	   p   u   -->   P   U
		 *	  /             /
		 *	 n             n
		 */
		if (is_red(uncle)) {
			set_black(parent);
			set_black(uncle);
			set_red(grandparent);
			node = grandparent;
			parent = rb_parent(node);
			continue;
		}

		/*
		 * 2: black uncle, node on the inner side. A rotation makes it case 3 with the two exchanged.
		 *
		 *	    G             G
		 *	   / \           / \
		 *	  p   U   -->   n   U
		 *	   \           /
		 *	    n         p
		 */
		if (node == parent->child[!side]) {
			rotate(root, parent, side, augment);
			parent = node;
		}

		/*
		 * 3: black uncle, node on the outer side. The top stays black: done.
		 *
		 *	      G           P
		 *	     / \         / \
		 *	    p   U  -->  n   g
		 *	   /                 \
		 *	  n                   U
		 */
		set_black(parent);
		set_red(grandparent);
		rotate(root, grandparent, !side, augment);
		return;
	}
	if (!parent)
		set_black(node);
}

/*
 * Invariant, at each turn: all holds, except that ways through parent->child[side] have one black node too
 * few (I4). So the sibling's side has at least one black node more than none, and the sibling exists.
 */
static void repair_deficit(struct rb_root *root, struct rb_node *parent, enum rb_side side,
                           rb_augment_fn augment)
{
	for (;;) {
		struct rb_node *sibling = parent->child[!side];

		/*
		 * 1: red sibling. A rotation gives the deficit a black sibling below a red parent, which ends
		 *    in case 2, 3 or 4 without moving up.
		 *
		 *	   P                 S
		 *	  / \               / \
		 *	-1   s     -->     p   F
		 *	    / \           / \
		 *	   N   F        -1   N
		 */
		if (is_red(sibling)) {
			set_black(sibling);
			set_red(parent);
			rotate(root, parent, side, augment);
			sibling = parent->child[!side];
		}
		struct rb_node *near = sibling->child[side], *far = sibling->child[!side];

		/*
		 * 2: black sibling, no red nephew. The sibling turns red, so that both sides lack one black:
		 *    a red parent makes up for it by turning black, else the deficit is now the parent's.
		 *
		 *	  (p)             (p) -1
		 *	  / \             / \
		 *	-1   S     -->   0   s
		 *	    / \             / \
		 *	   N   F           N   F
		 */
		if (!is_red(near) && !is_red(far)) {
			struct rb_node *deficient = parent;

			set_red(sibling);
			if (is_red(parent)) {
				set_black(parent);
				return;
			}
			parent = rb_parent(deficient);
			if (!parent)
				return; /* every way through the tree is shorter by one: I4 holds */
			side = side_of(parent, deficient);
			continue;
		}

		/*
		 * 3: black sibling, only the near nephew red. A rotation makes it the sibling of case 4.
		 *
		 *	  (p)             (p)
		 *	  / \             / \
		 *	-1   S     -->  -1   N
		 *	    / \               \
		 *	   n   F               s
		 *	                        \
		 *	                         F
		 */
		if (!is_red(far)) {
			set_black(near);
			set_red(sibling);
			rotate(root, sibling, !side, augment);
			far = sibling;
			sibling = near;
		}

		/*
		 * 4: black sibling, far nephew red. The parent comes down black on the short side: done.
		 *
		 *	  (p)               (s)
		 *	  / \               / \
		 *	-1   S     -->     P   F
		 *	    / \           / \
		 *	  (n)  f         0  (n)
		 */
		sibling->parent_colour = (uintptr_t)rb_parent(sibling) | colour_of(parent);
		set_black(parent);
		set_black(far);
		rotate(root, parent, side, augment);
		return;
	}
}

static struct rb_node *outermost(struct rb_node *node, enum rb_side side)
{
	while (node && node->child[side])
		node = node->child[side];
	return node;
}

/* `heir` takes over the place, children and colour of `node`. pre: heir hangs nowhere and has no children */
static void take_place(struct rb_root *root, struct rb_node *node, struct rb_node *heir)
{
	*heir = *node;
	replace_child(root, rb_parent(node), node, heir);
	if (node->left)
		set_parent(node->left, heir);
	if (node->right)
		set_parent(node->right, heir);
}

/*
 * Only a node with at most one child can simply be cut out. One with two is replaced by its successor, the
 * leftmost node on its right, which has no left child and is cut out first:
 *
 *	      (node)                       (successor)
 *	      /    \                        /       \
 *	     a      b          -->         a         b
 *	           /                                /
 *	   successor                          orphan
 *	           \
 *	          orphan
 */
void rb_erase(struct rb_root *root, struct rb_node *node, rb_augment_fn augment)
{
	struct rb_node *cut = node->left && node->right ? outermost(node->right, RB_LEFT) : node;
	struct rb_node *orphan = cut->left ? cut->left : cut->right;
	struct rb_node *parent = rb_parent(cut);
	enum rb_side side = parent ? side_of(parent, cut) : RB_LEFT;
	bool lost_black = colour_of(cut) == BLACK;

	replace_child(root, parent, cut, orphan);
	if (orphan) {
		/* By I4 an only child is red, its parent black: turning black, it makes up for the loss. */
		orphan->parent_colour = (uintptr_t)parent | BLACK;
		lost_black = false;
	}
	if (cut != node) {
		take_place(root, node, cut);
		if (parent == node)
			parent = cut;
	}
	if (augment) {
		/*
		 * Below the heir a value that did not change ends the way up; the heir itself holds a stale
		 * one.
		 */
		struct rb_node *changed = parent;
		if (cut != node) {
			while (changed != cut && augment(changed))
				changed = rb_parent(changed);
			augment(cut);
			changed = rb_parent(cut);
		}
		rb_augment_propagate(changed, augment);
	}
	if (lost_black && parent)
		repair_deficit(root, parent, side, augment);
}

struct rb_node *rb_first(const struct rb_root *root)
{
	return outermost(root->node, RB_LEFT);
}

struct rb_node *rb_last(const struct rb_root *root)
{
	return outermost(root->node, RB_RIGHT);
}

/*
 * The neighbour on `side`: the near end of that subtree, else the first ancestor that we are not on that side
 * of.
 */
static inline struct rb_node *neighbour(const struct rb_node *node, enum rb_side side)
{
	if (node->child[side])
		return outermost(node->child[side], !side);
	struct rb_node *parent = rb_parent(node);
	while (parent && parent->child[side] == node) {
		node = parent;
		parent = rb_parent(node);
	}
	return parent;
}

struct rb_node *rb_next(const struct rb_node *node)
{
	return neighbour(node, RB_RIGHT);
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	return neighbour(node, RB_LEFT);
}
