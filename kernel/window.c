/*
 * Where the vmalloc window lies, and what keeps its areas apart: parameters to calls.
 *
 * One number starts a generator, which places the window and then draws the gaps. It is the seed if there is one, so that a
 * run can be repeated; else the processor's own random number, from RDSEED or RDRAND; else the time stamp counter, of which
 * an observer who knows the machine guesses most: the report then says that the bits are fewer than the places would give.
 */
#include <kernel/window.h>
#include <arch/cpu.h>
#include <arch/machine.h>
#include <lib/bits.h>
#include <lib/printer.h>
#include <lib/rng.h>
#include <mm/vmalloc.h>
#include <mm/vmalloc_window.h>

static struct rng rng;
static uint64_t places; /* the window's was drawn of so many, at the last choice; 0: not drawn */
static const char *source;

/* A bench's figures repeat to the digit without a word about it; with a seed they are what the seed gives, which repeats too. */
static bool must_repeat(const struct parameters *parameters)
{
	return parameters->seeded || parameters->bench;
}

static void start_generator(const struct parameters *parameters)
{
	uint64_t number = parameters->seed;

	source = "the seed: none for who knows it";
	if (!must_repeat(parameters)) {
		source = cpu_random(&number);
		if (!source) {
			source = "the time stamp counter: fewer for who knows when the machine was started";
			number = rdtsc();
		}
	}
	rng_seed(&rng, number);
}

static bool wants_random_base(const struct parameters *parameters)
{
	return !parameters->nokaslr && (parameters->seeded || !parameters->bench);
}

struct vrange window_choose(const struct parameters *parameters)
{
	uint64_t size = parameters->window.size ? parameters->window.size : VMALLOC_SIZE;

	places = 0;
	start_generator(parameters);
	if (parameters->window.placed)
		return vrange_sized(vaddr(parameters->window.base), size);
	if (!wants_random_base(parameters))
		return vmalloc_window_fixed(size);
	places = vmalloc_window_places(size);
	return vmalloc_window_at(size, rng_next(&rng));
}

void window_configure(const struct parameters *parameters)
{
	vmalloc_set_gaps((unsigned)parameters->gaps, rng_next(&rng));
	vmalloc_set_quarantine(parameters->quarantine);
}

void window_describe(struct printer *out)
{
	if (places)
		print(out, "vmalloc window: at one of %lu places, %u bits of entropy, from %s\n", places,
		      log2_floor(places), source);
	else
		print(out, "vmalloc window: at a fixed place\n");
}
