/*
 * The hosted machine.
 *
 *	memory file   [ bank 0 |     hole     | bank 1 ]        offset = physical address
 *	bus           [ mapped whole, always open: the processor model's own way ]
 *	direct map    [ ?????? |    never     | ?????? ]        opened leaf by leaf, as the tables map it
 *	frame array   [ ? ? ? ]                                 likewise, where the tables lead
 *
 * A touch of a closed place raises SIGSEGV; the handler asks the page tables and opens the leaf, or lets the
 * access be reported by the next handler, which is AddressSanitizer's. So mm/ runs unchanged on plain
 * pointers, and yet reaches no byte that it has not mapped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <arch/directmap.h>
#include <host/machine.h>
#include <host/soft_mmu.h>
#include <lib/rng.h>

/* Bytes of struct page per frame, which this layer does not know: design, section 5. */
enum { FRAME_ENTRY_BYTES = 16 };

uintptr_t host_ram_base, host_ram_span, host_frames_base;

static struct {
	int file;
	uint8_t *bus;
	struct prange banks[HOST_BANKS_MAX];
	size_t nr_banks;
	paddr_t reach; /* before the final tables */
	struct vrange ram_window, frames_window;
	struct sigaction next_handler;
} machine;

static void require(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "host machine: %s: %s\n", what, strerror(errno));
	abort();
}

static const struct prange *bank_of(paddr_t pa, uint64_t size)
{
	for (size_t i = 0; i < machine.nr_banks; i++) {
		const struct prange *bank = &machine.banks[i];
		if (prange_contains(*bank, pa) && size <= bank->end.raw - pa.raw)
			return bank;
	}
	return NULL;
}

void *host_bus(paddr_t pa, uint64_t size)
{
	return bank_of(pa, size) ? machine.bus + pa.raw : NULL;
}

/* Address space that cannot be touched, aligned so that the largest leaves fit. */
static uintptr_t reserve_window(uint64_t size)
{
	void *raw =
	        mmap(NULL, size + PUD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	require(raw != MAP_FAILED, "reserving a window");
	return align_up((uintptr_t)raw, PUD_SIZE);
}

/*
 * mmap() over a part of a window. Not by that name: a sanitizer takes that for a write to all of it, which would race with
 * the CPUs at work there. Two may open the same leaf at once: both do the same.
 */
static bool remap(uintptr_t va, uint64_t size, int protection, int flags, int file, uint64_t offset)
{
	return syscall(SYS_mmap, va, size, protection, flags | MAP_FIXED, file, offset) != -1;
}

/* Shows [pa, pa + size) of RAM at `va`. */
static bool window_show(uintptr_t va, paddr_t pa, uint64_t size, bool write)
{
	return remap(va, size, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, machine.file, pa.raw);
}

void host_windows_close(struct vrange range)
{
	const struct vrange windows[] = {machine.ram_window, machine.frames_window};

	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		uint64_t start = max_u64(range.start.raw, windows[i].start.raw);
		uint64_t end = min_u64(range.end.raw, windows[i].end.raw);
		int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
		if (start < end)
			require(remap(start, end - start, PROT_NONE, flags, -1, 0), "closing a window");
	}
}

/*
 * What the processor would reach at `va`: by the tables, or before there are any, the boot loader's direct
 * map.
 */
static bool find_leaf(vaddr_t va, struct host_leaf *leaf)
{
	if (host_mmu_is_live())
		return host_mmu_walk(va, leaf, NULL);
	if (!vrange_contains(machine.ram_window, va))
		return false;
	vaddr_t page = vaddr(align_down(va.raw, PAGE_SIZE));
	*leaf = (struct host_leaf){vrange_sized(page, PAGE_SIZE), paddr(page.raw - host_ram_base), true,
	                           false, MEMORY_WB};
	return leaf->pa.raw < machine.reach.raw;
}

/* Opens the part of the leaf around `va` that is RAM; false if the access must not succeed. */
static bool open_window(vaddr_t va, bool write)
{
	struct host_leaf leaf;

	if (!vrange_contains(machine.ram_window, va) && !vrange_contains(machine.frames_window, va))
		return false;
	if (!find_leaf(va, &leaf) || (write && !leaf.write))
		return false;
	const struct prange *bank = bank_of(paddr_add(leaf.pa, va.raw - leaf.va.start.raw), 1);
	if (!bank)
		return false;
	uint64_t start = max_u64(leaf.pa.raw, bank->start.raw);
	uint64_t end = min_u64(leaf.pa.raw + vrange_size(leaf.va), bank->end.raw);
	return window_show(leaf.va.start.raw + (start - leaf.pa.raw), paddr(start), end - start, leaf.write);
}

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		abort();
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *user = context;
	vaddr_t va = vaddr_of(info->si_addr);
	int saved_errno = errno;

	if (open_window(va, user->uc_mcontext.gregs[REG_ERR] & FAULT_WRITE)) {
		errno = saved_errno;
		return;
	}
	if (vrange_contains(machine.ram_window, va))
		say("host machine: a direct-map access that the page tables do not allow\n");
	else if (vrange_contains(machine.frames_window, va))
		say("host machine: a frame-array access that the page tables do not allow\n");
	/* The instruction repeats, and the next handler reports it with its backtrace. */
	sigaction(signal, &machine.next_handler, NULL);
}

void host_catch_faults(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	require(sigaction(SIGSEGV, &action, NULL) == 0, "catching faults");
}

/*
 * RAM comes up with whatever was in it. One stretch of random words, repeated: its length is no power of two.
 */
static void fill_with_garbage(void)
{
	static uint64_t garbage[12289];
	struct rng rng;

	rng_seed(&rng, 0xa5a5a5a5);
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++)
		garbage[i] = rng_next(&rng);
	for (size_t b = 0; b < machine.nr_banks; b++) {
		uint64_t at = machine.banks[b].start.raw, end = machine.banks[b].end.raw;
		while (at < end) {
			size_t length = min_u64(sizeof(garbage), end - at);
			require(pwrite(machine.file, garbage, length, (off_t)at) == (ssize_t)length,
			        "filling RAM");
			at += length;
		}
	}
}

void host_machine_create(const struct prange *banks, size_t nr_banks)
{
	require(nr_banks > 0 && nr_banks <= HOST_BANKS_MAX && !machine.nr_banks, "one machine, few banks");
	memcpy(machine.banks, banks, nr_banks * sizeof(*banks));
	machine.nr_banks = nr_banks;
	machine.reach = paddr(UINT64_MAX);

	host_ram_span = align_up(banks[nr_banks - 1].end.raw, PUD_SIZE);
	machine.file = memfd_create("octavo fake RAM", MFD_CLOEXEC);
	require(machine.file >= 0 && ftruncate(machine.file, (off_t)host_ram_span) == 0, "creating RAM");
	machine.bus = mmap(NULL, host_ram_span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
	                   machine.file, 0);
	require(machine.bus != MAP_FAILED, "mapping RAM");
	fill_with_garbage();

	uint64_t frames_span = align_up(host_ram_span / PAGE_SIZE * FRAME_ENTRY_BYTES, PUD_SIZE);
	host_ram_base = reserve_window(host_ram_span);
	host_frames_base = reserve_window(frames_span);
	machine.ram_window = vrange_sized(vaddr(host_ram_base), host_ram_span);
	machine.frames_window = vrange_sized(vaddr(host_frames_base), frames_span);

	require(sigaction(SIGSEGV, NULL, &machine.next_handler) == 0, "finding the sanitizer's handler");
	host_catch_faults();
}

void host_machine_limit_reach(paddr_t limit)
{
	machine.reach = limit;
}

void host_machine_activate(paddr_t root, unsigned levels)
{
	host_mmu_load_root(root, levels);
	host_windows_close(machine.ram_window);
	host_windows_close(machine.frames_window);
}
