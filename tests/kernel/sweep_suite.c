/*
 * An interrupt at each instruction: whatever a call of the allocators is doing, a handler that allocates and frees for
 * itself may come between any two of its instructions.
 *
 * The call runs with RFLAGS.TF set, so that a debug exception follows each of its instructions. Each of these is a
 * boundary. Where a boundary is due, the hook plays the device: it runs the handler in interrupt context and, as a device
 * interrupt would, restarts a sequence that must not be interrupted. Boundaries where interrupts are masked are counted
 * and passed over, as no device gets through there. (Right behind `sti` none does either, which is not told apart.)
 *
 *	one by one    run k is interrupted once, at boundary k; the first run that ends before it was the last
 *	by stride     run r is interrupted at r, r + S, r + 2S, …; S runs meet each boundary of a longer call
 *	all in one    a single run is interrupted at every boundary
 *
 * Within a run an instruction of a restartable sequence is interrupted once only: else "all in one" would never get out.
 *
 * The handler does to the lists what hurts most, in three moods: keeps what it takes, frees what an earlier handler took,
 * or takes two and frees the first, so that a list's head is the same again but what follows it is not.
 *
 * Everything held, by handlers and by the calls, is filled with a pattern of its own that is checked after each run and
 * before it is freed. Memory given to two at once shows as a broken pattern, a list that was torn as a panic, a hang or
 * mm_verify()'s words, a page that got lost in the runner's fingerprint. That such a sweep sees what it looks for is
 * shown with a stack of the suite's own, popped in ways that are sound and in one that is not.
 */
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>
#include <arch/trap.h>
#include <lib/align.h>
#include <lib/panic.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <test/test.h>

/* ---- Memory of all kinds ---- */

enum kind {
	SMALL,
	MEDIUM,
	WHOLE_SLAB,
	EXACT,
	OBJECT,
	PAGE,
	BLOCK,
	HANDLER_KINDS,
	AREA = HANDLER_KINDS,
	KINDS
};

enum { BLOCK_ORDER = 3 };

static const size_t size_of[KINDS] = {
        [SMALL] = 64,
        [MEDIUM] = 256,
        [WHOLE_SLAB] = 4096, /* one to a slab: each allocation of an empty cache makes one */
        [EXACT] = 5 * PAGE_SIZE,
        [OBJECT] = 192,
        [PAGE] = PAGE_SIZE,
        [BLOCK] = PAGE_SIZE << BLOCK_ORDER,
        [AREA] = 3 * PAGE_SIZE,
};

static struct kmem_cache *cache; /* of OBJECT */

static void *address_of(struct page *page)
{
	return page ? page_address(page) : NULL;
}

static void *memory_take(enum kind kind, gfp_t gfp)
{
	switch (kind) {
	case OBJECT:
		return kmem_cache_alloc(cache, gfp);
	case PAGE:
		return address_of(alloc_pages(gfp, 0));
	case BLOCK:
		return address_of(alloc_pages(gfp, BLOCK_ORDER));
	case AREA:
		return vmalloc(size_of[AREA]);
	default:
		return kmalloc(size_of[kind], gfp);
	}
}

static void memory_give(enum kind kind, void *memory)
{
	switch (kind) {
	case OBJECT:
		kmem_cache_free(cache, memory);
		break;
	case PAGE:
		__free_pages(virt_to_page(memory), 0);
		break;
	case BLOCK:
		__free_pages(virt_to_page(memory), BLOCK_ORDER);
		break;
	case AREA:
		vfree(memory);
		break;
	default:
		kfree(memory);
	}
}

/* ---- Who holds what ---- */

struct holding {
	void *memory; /* NULL: nothing */
	enum kind kind;
	uint64_t mark; /* no other has it */
};

enum { KIN_MAX = 40, OTHERS_MAX = 8, CALLS_MAX = 48 };

static struct holding kin[KIN_MAX];        /* the handler's, of the kind that the call is about */
static struct holding others[OTHERS_MAX];  /* the handler's, of any kind */
static struct holding results[CALLS_MAX];  /* what the last call returned, or the next one frees */
static struct holding previous[CALLS_MAX]; /* what the call before returned: held over one more run */
static uint64_t marks;
static const char *volatile broken; /* what was seen first; a handler cannot leave the case */

static void notice(const char *what)
{
	if (!broken)
		broken = what;
}

/* Every word of what is small, and at least eight of each frame. */
static size_t stride_of(enum kind kind)
{
	return size_of[kind] <= 512 ? sizeof(uint64_t) : 512;
}

static void stamp(struct holding *h, enum kind kind, void *memory)
{
	*h = (struct holding){memory, kind, (__atomic_add_fetch(&marks, 1, __ATOMIC_RELAXED)) << 32};
	for (size_t at = 0; at < size_of[kind]; at += stride_of(kind))
		*(uint64_t *)((char *)memory + at) = h->mark + at;
}

static void check_stamp(const struct holding *h)
{
	if (!h->memory)
		return;
	for (size_t at = 0; at < size_of[h->kind]; at += stride_of(h->kind)) {
		if (*(const uint64_t *)((const char *)h->memory + at) != h->mark + at)
			notice("memory that is held was written by somebody else");
	}
}

static void check_stamps(const struct holding *holdings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_stamp(&holdings[i]);
}

static void take(struct holding *h, enum kind kind, gfp_t gfp)
{
	void *memory = memory_take(kind, gfp);

	if (memory)
		stamp(h, kind, memory);
	else
		notice("an allocation was refused");
}

static void give(struct holding *h)
{
	if (!h->memory)
		return;
	check_stamp(h);
	memory_give(h->kind, h->memory);
	h->memory = NULL;
}

static void give_all(struct holding *holdings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		give(&holdings[i]);
}

/* ---- The handler ---- */

static enum mood { TAKING, GIVING, EXCHANGING, MOODS } mood;
static const char *const mood_names[MOODS] = {"taking", "giving", "exchanging"};
static enum kind about; /* the call's kind */
static struct rng handler_rng;
static size_t kin_held; /* kin[0 .. kin_held) */

static void take_kin(void)
{
	if (kin_held < KIN_MAX)
		take(&kin[kin_held++], about, GFP_ATOMIC);
}

/* The oldest first: what is given is not what was taken last. */
static void give_kin(void)
{
	if (!kin_held)
		return;
	give(&kin[0]);
	memmove(&kin[0], &kin[1], --kin_held * sizeof(kin[0]));
}

static void give_everything(void)
{
	while (kin_held)
		give_kin();
	give_all(others, OTHERS_MAX);
	give_all(results, CALLS_MAX);
	give_all(previous, CALLS_MAX);
}

/* In interrupt context, between two instructions of a call. */
static void allocate_and_free(void)
{
	struct holding *other = &others[rng_below(&handler_rng, OTHERS_MAX)];

	switch (mood) {
	case TAKING:
		while (kin_held == KIN_MAX || (kin_held > KIN_MAX / 2 && !rng_below(&handler_rng, 32)))
			give_kin();
		take_kin();
		take_kin();
		break;
	case GIVING:
		while (kin_held < 2)
			take_kin();
		give_kin();
		give_kin();
		break;
	default:
		if (kin_held > KIN_MAX - 2)
			give_kin();
		take_kin();
		take_kin();
		give(&kin[kin_held - 2]);
		kin[kin_held - 2] = kin[kin_held - 1];
		kin[--kin_held].memory = NULL;
	}
	if (other->memory)
		give(other);
	else
		take(other, (enum kind)rng_below(&handler_rng, HANDLER_KINDS), GFP_ATOMIC);
}

/* So that the handler can do as its mood is, many times in a row. A few it always holds: slabs stay in use. */
static void prepare_handler(void)
{
	static const struct {
		size_t low, wanted, high;
	} supply[MOODS] = {
	        [TAKING] = {4, 4, KIN_MAX / 2},
	        [GIVING] = {KIN_MAX / 2, KIN_MAX, KIN_MAX},
	        [EXCHANGING] = {KIN_MAX / 4, KIN_MAX / 2, KIN_MAX - 2},
	};
	irqflags_t flags = irq_save(); /* the handler may be a timer's */

	if (kin_held < supply[mood].low || kin_held > supply[mood].high) {
		while (kin_held > supply[mood].wanted)
			give_kin();
		while (kin_held < supply[mood].wanted)
			take_kin();
	}
	irq_restore(flags);
}

/* ---- Stepping ---- */

enum {
	RESTARTS_MAX = 256,
	BOUNDARIES_MAX = 1 << 22, /* of a run: more is a call that does not end */
};
#define NEVER SIZE_MAX

static struct {
	void (*interrupt)(void);
	void (*restart)(struct trap_frame *frame);
	bool stepping;
	uint64_t end;  /* the instruction after the call */
	size_t at;     /* boundaries of this run so far */
	size_t due;    /* the next one to interrupt at */
	size_t stride; /* and how far behind it the one after is; 0: none */
	size_t last;   /* where it was interrupted, as a number and as an address */
	uint64_t last_rip;
	/* This run was interrupted here, and thereby taken back to the beginning of a sequence. */
	uint64_t restarted[RESTARTS_MAX];
	size_t nr_restarted;
	/* Over all runs. */
	size_t interrupted, masked, restarts;
} sweep;

static bool was_restarted_at(uint64_t rip)
{
	for (size_t i = 0; i < sweep.nr_restarted; i++) {
		if (sweep.restarted[i] == rip)
			return true;
	}
	return sweep.nr_restarted == RESTARTS_MAX;
}

static void interrupt(struct trap_frame *frame)
{
	sweep.interrupted++;
	sweep.last = sweep.at;
	sweep.last_rip = frame->rip;
	if (!in_interrupt())
		notice("a handler that is not in interrupt context");
	sweep.interrupt();
	sweep.restart(frame);
	if (frame->rip != sweep.last_rip) {
		sweep.restarted[sweep.nr_restarted++] = sweep.last_rip;
		sweep.restarts++;
	}
}

/* A boundary that is due. Where one alone is looked for and this is masked, the next will do. */
static void meet(struct trap_frame *frame)
{
	bool masked = !(frame->rflags & RFLAGS_IF);

	if (masked)
		sweep.masked++;
	else if (!was_restarted_at(frame->rip))
		interrupt(frame);
	sweep.due = sweep.stride ? sweep.due + sweep.stride : masked ? sweep.due + 1 : NEVER;
}

/* The flag may come back by itself: the call saves flags and restores them. */
static bool step(struct trap_frame *frame)
{
	if (!sweep.stepping)
		return false;
	if (frame->rip == sweep.end) {
		sweep.due = NEVER;
	} else if (sweep.due != NEVER) {
		if (sweep.at == sweep.due)
			meet(frame);
		if (++sweep.at == BOUNDARIES_MAX) {
			notice("the call does not end");
			sweep.due = NEVER;
		}
	}
	if (sweep.due == NEVER)
		frame->rflags &= ~RFLAGS_TF;
	return true;
}

/*
 * Calls `call` with the trap flag set; before that, *end becomes where it returns to. The first boundary is before the
 * first instruction of `call`, the last one before its return. Assembly of its own, as the compiler must see that
 * somebody calls: else it would believe that nobody writes what only `call` does.
 */
void step_through(void (*call)(void), uint64_t *end);
__asm__(".pushsection .text; .type step_through, @function\n"
        "step_through:\n\t"
        "pushq	%rbp\n\t"
        "movq	%rsp, %rbp\n\t"
        "movq	$step_end, (%rsi)\n\t"
        "pushfq\n\t"
        "orq	$0x100, (%rsp)\n\t" /* RFLAGS_TF: takes effect after the call */
        "popfq\n\t"
        "call	*%rdi\n"
        "step_end:\n\t"
        "popq	%rbp\n\t"
        "ret\n"
        ".popsection");
_Static_assert(RFLAGS_TF == 0x100, "step_through() sets it");

/* One run, interrupted at boundary `due` and, with a stride, from there on. False if it ended before. */
static bool run_interrupted(void (*call)(void), size_t due, size_t stride)
{
	size_t before = sweep.interrupted;

	sweep.at = 0;
	sweep.due = due;
	sweep.stride = stride;
	sweep.nr_restarted = 0;
	sweep.stepping = true;
	step_through(call, &sweep.end);
	sweep.stepping = false;
	return sweep.interrupted > before || (stride && sweep.at > due);
}

static void begin_sweep(void (*handler)(void))
{
	sweep.interrupt = handler;
	sweep.restart = restart_interrupted_sequence;
	sweep.interrupted = sweep.masked = sweep.restarts = 0;
}

/* ---- What is swept ---- */

/* A call works on results[0 .. count): fills in their memory, or frees it. */
struct target {
	const char *name;
	void (*call)(void);
	enum kind kind;
	bool frees;
	bool cold; /* nothing is left in the caches of free memory when it is called */
	size_t count;
};

static size_t count; /* of the current target */
static const size_t *volatile sizes = size_of;

static void call_kmalloc(void)
{
	for (size_t i = 0; i < count; i++)
		results[i].memory = kmalloc(sizes[about], GFP_KERNEL);
}

static void call_kfree(void)
{
	for (size_t i = 0; i < count; i++)
		kfree(results[i].memory);
}

static void call_kmem_cache_alloc(void)
{
	for (size_t i = 0; i < count; i++)
		results[i].memory = kmem_cache_alloc(cache, GFP_KERNEL);
}

static void call_kmem_cache_free(void)
{
	for (size_t i = 0; i < count; i++)
		kmem_cache_free(cache, results[i].memory);
}

static void call_alloc_page(void)
{
	for (size_t i = 0; i < count; i++)
		results[i].memory = address_of(alloc_pages(GFP_KERNEL, 0));
}

static void call_free_page(void)
{
	for (size_t i = 0; i < count; i++)
		__free_pages(virt_to_page(results[i].memory), 0);
}

static void call_alloc_block(void)
{
	results[0].memory = address_of(alloc_pages(GFP_KERNEL, BLOCK_ORDER));
}

static void call_free_block(void)
{
	__free_pages(virt_to_page(results[0].memory), BLOCK_ORDER);
}

static void call_alloc_pages_bulk(void)
{
	struct page *pages[CALLS_MAX];
	size_t got = alloc_pages_bulk(GFP_KERNEL, count, pages);

	for (size_t i = 0; i < got; i++)
		results[i].memory = page_address(pages[i]);
}

static void call_free_pages_bulk(void)
{
	struct page *pages[CALLS_MAX];

	for (size_t i = 0; i < count; i++)
		pages[i] = virt_to_page(results[i].memory);
	free_pages_bulk(count, pages);
}

static void call_vmalloc(void)
{
	results[0].memory = vmalloc(size_of[AREA]);
}

static void call_vfree(void)
{
	vfree(results[0].memory);
}

/* Many calls in one: enough to empty or to fill whatever stands before the slabs, and some slabs. */
static const struct target targets[] = {
        {"kmalloc(64)", call_kmalloc, SMALL, .count = 1},
        {"kfree(64)", call_kfree, SMALL, .count = 1, .frees = true},
        {"kmem_cache_alloc", call_kmem_cache_alloc, OBJECT, .count = 1},
        {"kmem_cache_free", call_kmem_cache_free, OBJECT, .count = 1, .frees = true},
        {"kmalloc(5 pages)", call_kmalloc, EXACT, .count = 1},
        {"kfree(5 pages)", call_kfree, EXACT, .count = 1, .frees = true},
        {"alloc_pages(0)", call_alloc_page, PAGE, .count = 1},
        {"__free_pages(0)", call_free_page, PAGE, .count = 1, .frees = true},
        {"alloc_pages(3)", call_alloc_block, BLOCK, .count = 1},
        {"__free_pages(3)", call_free_block, BLOCK, .count = 1, .frees = true},
        {"alloc_pages_bulk(16)", call_alloc_pages_bulk, PAGE, .count = 16},
        {"free_pages_bulk(16)", call_free_pages_bulk, PAGE, .count = 16, .frees = true},
        {"kmalloc(4096), cold", call_kmalloc, WHOLE_SLAB, .count = 1, .cold = true},
        {"kfree(4096), cold", call_kfree, WHOLE_SLAB, .count = 1, .cold = true, .frees = true},
        {"48 x kmalloc(256), cold", call_kmalloc, MEDIUM, .count = 48, .cold = true},
        {"48 x kfree(256), cold", call_kfree, MEDIUM, .count = 48, .cold = true, .frees = true},
        {"48 x alloc_pages(0), cold", call_alloc_page, PAGE, .count = 48, .cold = true},
        {"48 x __free_pages(0), cold", call_free_page, PAGE, .count = 48, .cold = true, .frees = true},
        {"vmalloc(3 pages)", call_vmalloc, AREA, .count = 1},
        {"vfree(3 pages)", call_vfree, AREA, .count = 1, .frees = true},
};

/* The handler's part in a vmalloc is its frames. */
static enum kind kin_of(const struct target *target)
{
	return target->kind == AREA ? PAGE : target->kind;
}

static void prepare(const struct target *target)
{
	count = target->count;
	about = kin_of(target);
	if (target->cold)
		give_everything();
	prepare_handler();
	if (target->cold)
		reclaim_pages();
	for (size_t i = 0; i < count; i++) {
		if (target->frees)
			take(&results[i], target->kind, GFP_KERNEL);
		else
			results[i].memory = NULL;
	}
	if (target->cold && target->frees) /* one empty slab: the next that becomes empty is one too many */
		memory_give(target->kind, memory_take(target->kind, GFP_KERNEL));
}

/* Results are stamped before the older ones are checked: had these been given out again, it would show. */
static void conclude(const struct target *target)
{
	for (size_t i = 0; i < count; i++) {
		if (target->frees)
			results[i].memory = NULL;
		else if (results[i].memory)
			stamp(&results[i], target->kind, results[i].memory);
		else
			notice("the call was refused");
	}
	check_stamps(results, count);
	give_all(previous, CALLS_MAX);
	memcpy(previous, results, sizeof(previous));
	memset(results, 0, sizeof(results));
}

/* ---- Sweeps ---- */

enum {
	STEPS_MAX = 120000, /* of a sweep, about: some 0.05 s where the host is idle */
	RUNS_PER_VERIFY = 128,
};

static size_t runs;

static void fail_if(const char *words, const char *name)
{
	if (!words)
		return;
	test_note("%s: interrupted last at boundary %zu, %pS, by a handler in the mood for %s", name,
	          sweep.last, (void *)sweep.last_rip, mood_names[mood]);
	fail_msg("%s", words);
}

static bool sweep_run(const struct target *target, size_t due, size_t stride)
{
	prepare(target);
	if (target->frees) /* from its first instruction on it may be anybody's */
		check_stamps(results, count);
	bool met = run_interrupted(target->call, due, stride);
	conclude(target);
	check_stamps(kin, kin_held);
	check_stamps(others, OTHERS_MAX);
	check_stamps(previous, CALLS_MAX);
	fail_if(broken, target->name);
	if (!(++runs % RUNS_PER_VERIFY))
		fail_if(mm_verify(), target->name);
	return met;
}

/* How far apart the interruptions of a run may be; 0: one a run will do. */
static size_t choose_stride(size_t length)
{
	return length * length / 2 <= STEPS_MAX ? 0 : STEPS_MAX / length + 1;
}

/* In one mood; each boundary is met. */
static void sweep_boundaries(const struct target *target, size_t stride)
{
	begin_sweep(allocate_and_free);
	if (stride) {
		for (size_t due = 0; due < stride && sweep_run(target, due, stride); due++)
			;
	} else {
		for (size_t due = 0; sweep_run(target, due, 0); due = sweep.last + 1)
			;
	}
}

static void count_slabs(const struct slab_stats *stats, void *context)
{
	*(size_t *)context += stats->slabs;
}

static size_t slabs(void)
{
	size_t sum = 0;

	slab_for_each_cache(count_slabs, &sum);
	return sum;
}

/* Boundaries of the call when nothing interrupts it. A cold one of kmalloc's must make or destroy a slab. */
static size_t measure(const struct target *target)
{
	mood = EXCHANGING;
	prepare(target);
	size_t slabs_before = slabs();
	run_interrupted(target->call, NEVER - 1, 0);
	size_t slabs_after = slabs();
	conclude(target);
	fail_if(broken, target->name);
	if (target->cold && target->kind < EXACT)
		assert_true(target->frees ? slabs_after < slabs_before : slabs_after > slabs_before);
	return sweep.at;
}

static void report_sweep(const struct target *target, size_t length, size_t stride)
{
	test_note("%s: %zu instructions, %zu boundaries, %zu interrupted, %zu masked, %zu restarts%s",
	          target->name, length, sweep.interrupted + sweep.masked, sweep.interrupted, sweep.masked,
	          sweep.restarts, stride ? ", by stride" : "");
}

static void sweep_target(const struct target *target)
{
	size_t length = measure(target), stride = choose_stride(length);

	for (unsigned m = 0; m < MOODS; m++) {
		mood = (enum mood)m;
		sweep_boundaries(target, stride);
		assert_at_least(sweep.interrupted, 1);
		if (m == MOODS - 1)
			report_sweep(target, length, stride);
		sweep_run(target, 0, 1); /* all in one */
		fail_if(mm_verify(), target->name);
	}
	give_everything();
	fail_if(broken, target->name);
}

static void sweep_kind(enum kind from, enum kind to, bool cold)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		if (targets[i].kind >= from && targets[i].kind <= to && targets[i].cold == cold)
			sweep_target(&targets[i]);
	}
}

static void kmalloc_and_kfree_may_be_interrupted_anywhere(void)
{
	sweep_kind(SMALL, EXACT, false);
}

static void kmalloc_and_kfree_may_be_interrupted_where_slabs_come_and_go(void)
{
	sweep_kind(SMALL, EXACT, true);
}

static void object_caches_may_be_interrupted_anywhere(void)
{
	sweep_kind(OBJECT, OBJECT, false);
}

static void the_page_allocator_may_be_interrupted_anywhere(void)
{
	sweep_kind(PAGE, BLOCK, false);
}

static void the_page_allocator_may_be_interrupted_after_everything_was_reclaimed(void)
{
	sweep_kind(PAGE, BLOCK, true);
}

static void vmalloc_and_vfree_may_be_interrupted_anywhere(void)
{
	sweep_kind(AREA, AREA, false);
}

/* ---- The same from a real timer, wherever it strikes ---- */

enum { TICKS_PER_SECOND = 20000, TICKS_WANTED = 4000, TICKS_ENOUGH = 100 };

static volatile unsigned ticks;

static void tick(void)
{
	ticks++;
	mood = (enum mood)rng_below(&handler_rng, MOODS);
	allocate_and_free();
}

/* An emulator on a busy host may be far from the rate: about half a second is long enough, some seconds too long. */
static bool has_ticked_enough(uint64_t cycles)
{
	return ticks >= TICKS_WANTED || cycles > (ticks >= TICKS_ENOUGH ? 1UL << 30 : 1UL << 34);
}

static void a_timer_that_allocates_and_frees_disturbs_nobody(void)
{
	struct rng rng;
	size_t calls = 0;
	uint64_t start = rdtsc();

	rng_seed(&rng, test_seed());
	about = SMALL;
	timer_start(TICKS_PER_SECOND, tick);
	irq_enable();
	for (; !has_ticked_enough(rdtsc() - start); calls++) {
		const struct target *target = &targets[rng_below(&rng, ARRAY_SIZE(targets))];
		if (target->cold)
			continue;
		test_step(calls);
		prepare(target);
		target->call();
		conclude(target);
		if (broken)
			break;
	}
	timer_stop();
	test_note("%zu calls, %u ticks", calls, ticks);
	give_everything();
	assert_sound(broken);
	assert_at_least(ticks, TICKS_ENOUGH);
}

/* ---- Does a sweep see what it looks for? ---- */

static struct {
	volatile size_t top;
	unsigned items[KIN_MAX];        /* item n is n */
	unsigned times_popped[KIN_MAX]; /* by call and handler */
} stack;

static unsigned pop(void)
{
	size_t top = stack.top - 1;
	unsigned item = stack.items[top];

	stack.top = top; /* whoever came in between has the same item */
	return item;
}

static void pop_in_handler(void)
{
	stack.times_popped[pop()]++;
}

static unsigned popped; /* by the call */

static void call_pop(void)
{
	popped = pop();
}

static void call_pop_masked(void)
{
	irqflags_t flags = irq_save();

	popped = pop();
	irq_restore(flags);
}

/* The same as a sequence that is restarted: its last instruction alone changes anything. */
unsigned restartable_pop(volatile size_t *top, const unsigned *items);
extern const char restartable_pop_end[];
__asm__(".pushsection .text; .type restartable_pop, @function\n"
        "restartable_pop:\n\t"
        "movq	(%rdi), %rax\n\t"
        "decq	%rax\n\t"
        "movl	(%rsi, %rax, 4), %ecx\n\t"
        "movq	%rax, (%rdi)\n"
        "restartable_pop_end:\n\t"
        "movl	%ecx, %eax\n\t"
        "ret\n"
        ".popsection");

static void restart_pop(struct trap_frame *frame)
{
	if (frame->rip - (uintptr_t)restartable_pop <
	    (uintptr_t)restartable_pop_end - (uintptr_t)restartable_pop)
		frame->rip = (uintptr_t)restartable_pop;
}

static void call_pop_restartable(void)
{
	popped = restartable_pop(&stack.top, stack.items);
}

/* One run over a full stack. Counts the items that were popped twice. */
static bool pop_interrupted(void (*call)(void), size_t due, size_t stride, size_t *collisions)
{
	for (unsigned i = 0; i < KIN_MAX; i++) {
		stack.items[i] = i;
		stack.times_popped[i] = 0;
	}
	stack.top = KIN_MAX;
	bool met = run_interrupted(call, due, stride);
	stack.times_popped[popped]++;
	for (unsigned i = 0; i < KIN_MAX; i++)
		*collisions += stack.times_popped[i] > 1;
	return met;
}

static size_t sweep_pop(void (*call)(void), void (*restart)(struct trap_frame *frame))
{
	size_t collisions = 0;

	begin_sweep(pop_in_handler);
	sweep.restart = restart;
	for (size_t due = 0; pop_interrupted(call, due, 0, &collisions); due = sweep.last + 1)
		;
	test_note("%zu boundaries, %zu interrupted, %zu masked, %zu restarts, %zu collisions",
	          sweep.interrupted + sweep.masked, sweep.interrupted, sweep.masked, sweep.restarts,
	          collisions);
	return collisions;
}

static void a_stack_that_two_instructions_pop_is_found_out(void)
{
	size_t collisions = sweep_pop(call_pop, restart_interrupted_sequence);

	assert_at_least(collisions, 1);
	assert_at_most(collisions,
	               sweep.interrupted - 2); /* before the first and after the last it is sound */
	assert_int_equal(sweep.masked, 0);
}

static void the_same_stack_with_interrupts_masked_is_sound(void)
{
	assert_int_equal(sweep_pop(call_pop_masked, restart_interrupted_sequence), 0);
	assert_at_least(sweep.interrupted, 2);
	assert_at_least(sweep.masked, 2);
}

/* The sequence has three boundaries inside: behind each instruction but the last. */
static void the_same_stack_popped_by_a_sequence_that_is_restarted_is_sound(void)
{
	size_t collisions = sweep_pop(call_pop_restartable, restart_pop);

	assert_int_equal(collisions, 0);
	assert_int_equal(sweep.restarts, 3);
	assert_int_equal(sweep.masked, 0);
	assert_at_least(sweep_pop(call_pop_restartable, restart_interrupted_sequence), 1);
}

static void a_run_interrupted_everywhere_gets_out_of_a_restarted_sequence(void)
{
	size_t collisions = 0;

	begin_sweep(pop_in_handler);
	sweep.restart = restart_pop;
	pop_interrupted(call_pop_restartable, 0, 1, &collisions);
	assert_int_equal(collisions, 0);
	assert_int_equal(sweep.restarts, 3);
	assert_null(broken);
}

static void count_only(void)
{
}

static unsigned runs_begun;

static void call_nothing(void)
{
	runs_begun++;
	__asm__ volatile("nop; nop; nop; nop");
}

/* `count_only` changes nothing, so each boundary is met once, whichever way. */
static void each_way_to_sweep_meets_each_boundary(void)
{
	begin_sweep(count_only);
	run_interrupted(call_nothing, 0, 1);
	size_t length = sweep.at;
	assert_int_equal(sweep.interrupted, length);
	assert_at_least(length, 5);

	begin_sweep(count_only);
	runs_begun = 0;
	for (size_t due = 0; run_interrupted(call_nothing, due, 0); due = sweep.last + 1)
		assert_int_equal(sweep.last, due);
	assert_int_equal(sweep.interrupted, length);
	assert_int_equal(runs_begun, length + 1);

	begin_sweep(count_only);
	for (size_t due = 0; due < 3; due++)
		run_interrupted(call_nothing, due, 3);
	assert_int_equal(sweep.interrupted, length);
	assert_false(in_interrupt());
}

/* ---- Around each case ---- */

static struct timer timer_before;
static bool enabled_before;

static void set_up(void)
{
	timer_before = timer_running();
	enabled_before = irqs_enabled();
	timer_stop(); /* what it interrupts would not be what is counted */
	irq_enable();
	debug_step_hook(step);
	rng_seed(&handler_rng, ~test_seed());
	cache = kmem_cache_create("sweep", size_of[OBJECT], 0, 0, NULL);
	mood = EXCHANGING;
	broken = NULL;
	ticks = 0;
	runs = 0;
}

static void tear_down(void)
{
	timer_stop();
	sweep.stepping = false;
	debug_step_hook(NULL);
	give_everything();
	kmem_cache_destroy(cache);
	if (timer_before.hz)
		timer_start(timer_before.hz, timer_before.tick);
	if (!enabled_before)
		irq_disable();
}

static const struct test_case cases[] = {
        TEST_CASE(each_way_to_sweep_meets_each_boundary),
        TEST_CASE(a_stack_that_two_instructions_pop_is_found_out),
        TEST_CASE(the_same_stack_with_interrupts_masked_is_sound),
        TEST_CASE(the_same_stack_popped_by_a_sequence_that_is_restarted_is_sound),
        TEST_CASE(a_run_interrupted_everywhere_gets_out_of_a_restarted_sequence),
        TEST_CASE(kmalloc_and_kfree_may_be_interrupted_anywhere),
        TEST_CASE(kmalloc_and_kfree_may_be_interrupted_where_slabs_come_and_go),
        TEST_CASE(object_caches_may_be_interrupted_anywhere),
        TEST_CASE(the_page_allocator_may_be_interrupted_anywhere),
        TEST_CASE(the_page_allocator_may_be_interrupted_after_everything_was_reclaimed),
        TEST_CASE(vmalloc_and_vfree_may_be_interrupted_anywhere),
        TEST_CASE(a_timer_that_allocates_and_frees_disturbs_nobody),
};

const struct test_suite sweep_suite = TEST_SUITE("sweep", cases, .set_up = set_up, .tear_down = tear_down);
