/*
 * The red-black tree against a naive model (which keys are in), the verifier after every step, and the
 * verifier against every way of breaking a tree. The derived value under test is the largest weight in a
 * subtree.
 */
#include <test/test.h>
#include <lib/rbtree.h>

enum { KEYS = 256, SMALL = 7, STEPS = 3000, HOSTED_STEPS = 60000 };

struct item {
	struct rb_node rb;
	unsigned key;
	unsigned weight, max_weight; /* max_weight: over the subtree */
};

static struct item items[KEYS];
static bool present[KEYS]; /* the model */
static struct rb_root root;

static const struct item *item_of(const struct rb_node *node)
{
	return container_of(node, struct item, rb);
}

static bool by_key(const struct rb_node *a, const struct rb_node *b)
{
	return item_of(a)->key < item_of(b)->key;
}

static bool by_key_or_equal(const struct rb_node *a, const struct rb_node *b)
{
	return item_of(a)->key <= item_of(b)->key;
}

static unsigned derive(const struct rb_node *node)
{
	unsigned max = item_of(node)->weight;
	for (int side = RB_LEFT; side <= RB_RIGHT; side++) {
		if (node->child[side] && item_of(node->child[side])->max_weight > max)
			max = item_of(node->child[side])->max_weight;
	}
	return max;
}

static bool augment(struct rb_node *node)
{
	struct item *item = container_of(node, struct item, rb);
	unsigned before = item->max_weight;
	item->max_weight = derive(node);
	return item->max_weight != before;
}

static bool augment_ok(const struct rb_node *node)
{
	return item_of(node)->max_weight == derive(node);
}

static void clear(void)
{
	root.node = NULL;
	memset(present, 0, sizeof(present));
}

static void insert(unsigned key, unsigned weight, rb_augment_fn fn)
{
	struct item *item = &items[key];
	struct rb_node **link = &root.node, *parent = NULL;

	/*
	 * What the node held before must not matter: the derived value is deliberately what it may turn out
	 * to be.
	 */
	*item = (struct item){.key = key, .weight = weight, .max_weight = weight};
	while (*link) {
		parent = *link;
		link = key < item_of(parent)->key ? &parent->left : &parent->right;
	}
	rb_insert(&root, &item->rb, parent, link, fn);
	present[key] = true;
}

static void erase(unsigned key, rb_augment_fn fn)
{
	rb_erase(&root, &items[key].rb, fn);
	present[key] = false;
}

static void assert_tree_sound(void)
{
	assert_sound(rb_check(&root, by_key, augment_ok, NULL));
}

/* The walk in both directions meets exactly the keys of the model. */
static void assert_equals_model(unsigned keys)
{
	const struct rb_node *node = rb_first(&root);
	for (unsigned key = 0; key < keys; key++) {
		if (!present[key])
			continue;
		assert_ptr_equal(node, &items[key].rb);
		node = rb_next(node);
	}
	assert_null(node);

	node = rb_last(&root);
	for (unsigned key = keys; key-- > 0;) {
		if (!present[key])
			continue;
		assert_ptr_equal(node, &items[key].rb);
		node = rb_prev(node);
	}
	assert_null(node);
}

static unsigned depth_of_tree(void)
{
	unsigned deepest = 0;
	for (struct rb_node *node = rb_first(&root); node; node = rb_next(node)) {
		unsigned depth = 0;
		for (const struct rb_node *up = node; up; up = rb_parent(up))
			depth++;
		if (depth > deepest)
			deepest = depth;
	}
	return deepest;
}

/* ---- Claims ---- */

static void an_empty_tree_is_sound_and_has_no_ends(void)
{
	clear();
	assert_tree_sound();
	assert_null(rb_first(&root));
	assert_null(rb_last(&root));
	insert(3, 1, augment);
	erase(3, augment);
	assert_null(root.node);
	assert_tree_sound();
}

/* Advances `order` to the next permutation; false after the last. */
static bool next_permutation(unsigned *order, unsigned n)
{
	unsigned i = n - 1, j = n - 1;

	while (i > 0 && order[i - 1] >= order[i])
		i--;
	if (i == 0)
		return false;
	while (order[j] <= order[i - 1])
		j--;
	unsigned swap = order[i - 1];
	order[i - 1] = order[j];
	order[j] = swap;
	for (unsigned low = i, high = n - 1; low < high; low++, high--) {
		swap = order[low];
		order[low] = order[high];
		order[high] = swap;
	}
	return true;
}

static void start_permutation(unsigned *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
}

static void every_insertion_order_of_seven_keys_gives_a_sound_tree(void)
{
	unsigned order[SMALL];
	uint64_t step = 0;

	for (unsigned n = 1; n <= SMALL; n++) {
		start_permutation(order, n);
		do {
			test_step(step++);
			clear();
			for (unsigned i = 0; i < n; i++) {
				insert(order[i], (order[i] * 5 + 3) % 8, augment);
				assert_tree_sound();
			}
			assert_equals_model(n);
		} while (next_permutation(order, n));
	}
}

/*
 * All shapes that insertion can make of up to n keys occur among the insertion orders; each is taken down in
 * all orders.
 */
static void every_erasure_order_of_every_small_tree_keeps_it_sound(void)
{
	unsigned inserted[SMALL], erased[SMALL];
	unsigned limit = test_is_hosted() ? 6 : 5;
	uint64_t step = 0;

	for (unsigned n = 1; n <= limit; n++) {
		start_permutation(inserted, n);
		do {
			start_permutation(erased, n);
			do {
				test_step(step++);
				clear();
				for (unsigned i = 0; i < n; i++)
					insert(inserted[i], (inserted[i] * 3 + 1) % n, augment);
				for (unsigned i = 0; i < n; i++) {
					erase(erased[i], augment);
					assert_tree_sound();
				}
				assert_null(root.node);
			} while (next_permutation(erased, n));
		} while (next_permutation(inserted, n));
	}
}

static void ascending_and_descending_runs_stay_within_the_depth_bound(void)
{
	clear();
	for (unsigned key = 0; key < KEYS; key++)
		insert(key, key, augment);
	assert_tree_sound();
	assert_at_most(depth_of_tree(), 16); /* 2 log2(256 + 1), rounded down */

	for (unsigned key = KEYS; key-- > 0;) {
		erase(key, augment);
		assert_tree_sound();
	}
	for (unsigned key = KEYS; key-- > 0;)
		insert(key, 0, augment);
	assert_tree_sound();
	assert_at_most(depth_of_tree(), 16);
	assert_equals_model(KEYS);
}

static void random_inserts_erases_and_changes_of_weight_match_the_model(void)
{
	struct rng rng;
	uint64_t steps = test_is_hosted() ? HOSTED_STEPS : STEPS;

	rng_seed(&rng, test_seed());
	clear();
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		/* Small trees reach corners more often, large ones reach depth. */
		unsigned key = (unsigned)rng_below(&rng, step / 500 % 2 ? KEYS : 16);
		if (!present[key]) {
			insert(key, (unsigned)rng_below(&rng, 50), augment);
		} else if (rng_below(&rng, 4) == 0) {
			items[key].weight = (unsigned)rng_below(&rng, 50);
			rb_augment_propagate(&items[key].rb, augment);
		} else {
			erase(key, augment);
		}
		assert_tree_sound();
		if (step % 16 == 0)
			assert_equals_model(KEYS);
	}
}

static void a_plain_tree_needs_no_augmentation(void)
{
	struct rng rng;

	rng_seed(&rng, test_seed());
	clear();
	for (uint64_t step = 0; step < STEPS; step++) {
		test_step(step);
		unsigned key = (unsigned)rng_below(&rng, 64);
		if (present[key])
			erase(key, NULL);
		else
			insert(key, 0, NULL);
		assert_sound(rb_check(&root, by_key, NULL, NULL));
	}
	assert_equals_model(64);
}

static void the_root_always_knows_the_largest_weight(void)
{
	clear();
	for (unsigned key = 0; key < KEYS; key++) {
		insert(key, (key * 37 + 11) % KEYS, augment);
		unsigned max = 0;
		for (unsigned k = 0; k <= key; k++)
			max = items[k].weight > max ? items[k].weight : max;
		assert_int_equal(item_of(root.node)->max_weight, max);
	}
	for (unsigned key = 0; key < KEYS - 1; key++) {
		erase(key, augment);
		unsigned max = 0;
		for (unsigned k = key + 1; k < KEYS; k++)
			max = items[k].weight > max ? items[k].weight : max;
		assert_int_equal(item_of(root.node)->max_weight, max);
	}
	clear();
}

static void equal_keys_are_in_order_only_for_a_verifier_that_allows_them(void)
{
	static struct item twins[3];

	clear();
	for (size_t i = 0; i < ARRAY_SIZE(twins); i++) {
		struct rb_node *parent = rb_last(&root);
		twins[i] = (struct item){.key = 1};
		/* Behind the last: its right child is free. */
		rb_insert(&root, &twins[i].rb, parent, parent ? &parent->right : &root.node, NULL);
	}
	assert_sound(rb_check(&root, by_key_or_equal, NULL, NULL));
	assert_string_equal(rb_check(&root, by_key, NULL, NULL), "I5: two neighbours are out of order");
	assert_ptr_equal(rb_first(&root), &twins[0].rb);
	assert_ptr_equal(rb_last(&root), &twins[2].rb);
}

/* ---- The verifier finds what is broken ---- */

enum { COLOUR = 1 };

/*
 * Seven keys inserted so that the tree is full, black above, red leaves:
 *
 *	         3
 *	     1       5          1 and 5 black
 *	    0 2     4 6         red
 */
static void build_full_tree(void)
{
	static const unsigned order[] = {3, 1, 5, 0, 2, 4, 6};

	clear();
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		insert(order[i], order[i], augment);
	assert_tree_sound();
	assert_ptr_equal(root.node, &items[3].rb);
	assert_true(items[1].rb.parent_colour & COLOUR);
	assert_false(items[0].rb.parent_colour & COLOUR);
}

static void assert_broken(const char *words, const struct item *at)
{
	const struct rb_node *where = NULL;
	const char *broken = rb_check(&root, by_key, augment_ok, &where);

	assert_non_null(broken);
	assert_string_equal(broken, words);
	assert_ptr_equal(where, &at->rb);
}

static void the_verifier_reports_a_node_at_an_odd_address(void)
{
	build_full_tree();
	struct rb_node *child = items[1].rb.left;

	items[1].rb.left = (struct rb_node *)((uintptr_t)child | 1);
	assert_broken("I0: a node lies at an odd address", &items[1]);
	items[1].rb.left = child;

	root.node = (struct rb_node *)((uintptr_t)&items[3].rb | 1);
	const char *broken = rb_check(&root, by_key, augment_ok, NULL);
	assert_non_null(broken);
	assert_string_equal(broken, "I0: a node lies at an odd address");
	root.node = &items[3].rb;
	assert_tree_sound();
}

static void the_verifier_reports_a_parent_link_that_does_not_point_back(void)
{
	build_full_tree();
	uintptr_t kept = items[4].rb.parent_colour;

	items[4].rb.parent_colour = (uintptr_t)&items[1].rb | (kept & COLOUR);
	assert_broken("I1: a child's parent link does not point back", &items[5]);
	items[4].rb.parent_colour = kept;
	assert_tree_sound();
}

static void the_verifier_reports_a_root_with_a_parent(void)
{
	build_full_tree();

	items[3].rb.parent_colour = (uintptr_t)&items[6].rb | COLOUR;
	assert_broken("I1: the root has a parent", &items[3]);
	items[3].rb.parent_colour = COLOUR;
	assert_tree_sound();
}

static void the_verifier_reports_one_node_hanging_on_both_sides(void)
{
	build_full_tree();

	items[5].rb.left = &items[6].rb;
	assert_broken("I1: both children are one node", &items[5]);
	items[5].rb.left = &items[4].rb;
	assert_tree_sound();
}

static void the_verifier_ends_on_a_cycle(void)
{
	build_full_tree();

	items[0].rb.left = &items[3].rb;
	assert_broken("I1: a child's parent link does not point back", &items[0]);
	items[0].rb.left = NULL;
	assert_tree_sound();
}

static void the_verifier_reports_a_red_root(void)
{
	build_full_tree();

	items[3].rb.parent_colour &= ~(uintptr_t)COLOUR;
	assert_broken("I2: the root is red", &items[3]);
	items[3].rb.parent_colour |= COLOUR;
	assert_tree_sound();
}

static void the_verifier_reports_a_red_child_of_a_red_node(void)
{
	build_full_tree();

	items[5].rb.parent_colour &= ~(uintptr_t)COLOUR;
	assert_broken("I3: a red node has a red child", &items[5]);
	items[5].rb.parent_colour |= COLOUR;
	assert_tree_sound();
}

static void the_verifier_reports_unequal_black_heights(void)
{
	build_full_tree();

	items[6].rb.parent_colour |= COLOUR;
	assert_broken("I4: two ways to the bottom differ in black nodes", &items[6]);
	items[6].rb.parent_colour &= ~(uintptr_t)COLOUR;
	assert_tree_sound();
}

static void the_verifier_reports_keys_out_of_order(void)
{
	build_full_tree();

	items[2].key = 4;
	assert_broken("I5: two neighbours are out of order", &items[3]);
	items[2].key = 2;
	assert_tree_sound();
}

static void the_verifier_reports_a_wrong_derived_value(void)
{
	build_full_tree();

	items[5].max_weight++;
	assert_broken("I6: a derived value is wrong", &items[3]);
	items[5].max_weight--;
	assert_tree_sound();
}

static const struct test_case cases[] = {
        TEST_CASE(an_empty_tree_is_sound_and_has_no_ends),
        TEST_CASE(every_insertion_order_of_seven_keys_gives_a_sound_tree),
        TEST_CASE(every_erasure_order_of_every_small_tree_keeps_it_sound),
        TEST_CASE(ascending_and_descending_runs_stay_within_the_depth_bound),
        TEST_CASE(random_inserts_erases_and_changes_of_weight_match_the_model),
        TEST_CASE(a_plain_tree_needs_no_augmentation),
        TEST_CASE(the_root_always_knows_the_largest_weight),
        TEST_CASE(equal_keys_are_in_order_only_for_a_verifier_that_allows_them),
        TEST_CASE(the_verifier_reports_a_node_at_an_odd_address),
        TEST_CASE(the_verifier_reports_a_parent_link_that_does_not_point_back),
        TEST_CASE(the_verifier_reports_a_root_with_a_parent),
        TEST_CASE(the_verifier_reports_one_node_hanging_on_both_sides),
        TEST_CASE(the_verifier_ends_on_a_cycle),
        TEST_CASE(the_verifier_reports_a_red_root),
        TEST_CASE(the_verifier_reports_a_red_child_of_a_red_node),
        TEST_CASE(the_verifier_reports_unequal_black_heights),
        TEST_CASE(the_verifier_reports_keys_out_of_order),
        TEST_CASE(the_verifier_reports_a_wrong_derived_value),
};

extern const struct test_suite rbtree_suite;
const struct test_suite rbtree_suite = TEST_SUITE("rbtree", cases);
