/*
 *	host-bench CONTENDER
 *
 * says `ready` and whose code it runs, then answers each line `ROW NANOSECONDS` of its input with a line
 * `NANOSECONDS OPERATIONS ANSWERS`: so that whoever asks can have many contenders take turns.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <lib/panic.h>
#include <lib/printer.h>
#include "host_bench.h"

/* ---- What mm/ wants of whoever hosts it ---- */

static void say(const char *what, const char *fmt, va_list args)
{
	char text[512];

	vformat_buffer(text, sizeof(text), fmt, args);
	fprintf(stderr, "host-bench: %s: %s\n", what, text);
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("panic", fmt, args);
	va_end(args);
	abort();
}

void warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("warning", fmt, args);
	va_end(args);
}

/* ---- Time and order ---- */

static uint64_t read_clock(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t own_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t wall_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void fill_sequence(uint32_t *sequence, unsigned n, enum order order)
{
	uint32_t random = 1;

	for (unsigned i = 0; i < n; i++)
		sequence[i] = order == LIFO ? n - 1 - i : i;
	for (unsigned i = n; order == RANDOM && i-- > 1;) {
		unsigned j = pick(&random, i + 1);
		uint32_t moved = sequence[i];
		sequence[i] = sequence[j];
		sequence[j] = moved;
	}
}

/* ---- A row that all have ---- */

enum { SPINS = 20000 };

/* No memory, no allocator: between two contenders, what differs here is the machine's noise. */
static uint64_t spin(void *random)
{
	for (unsigned i = 0; i < SPINS; i++)
		xorshift32(random);
	return 0;
}

static struct measured run_calibration(const struct host_row *row, uint64_t least_ns)
{
	uint32_t random = 1;

	(void)row;
	struct measured measured = repeat(least_ns, SPINS, spin, &random);
	if (!random)
		abort(); /* never: the stream has no zero, which the compiler does not know */
	return measured;
}

static const struct host_row calibration = {.name = "calibration", .run = run_calibration};

/* ---- Asking and answering ---- */

static const struct contender *find_contender(const char *name)
{
	static const struct {
		const struct contender *list;
		size_t count;
	} families[] = {
	        {heap_contenders, ARRAY_SIZE(heap_contenders)},
	        {frame_contenders, ARRAY_SIZE(frame_contenders)},
	        {range_contenders, ARRAY_SIZE(range_contenders)},
	};

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		for (size_t i = 0; i < families[f].count; i++) {
			if (strcmp(families[f].list[i].name, name) == 0)
				return &families[f].list[i];
		}
	}
	fprintf(stderr, "host-bench: there is no contender \"%s\"\n", name);
	exit(2);
}

static const struct host_row *find_row(const struct contender *contender, const char *name)
{
	for (size_t i = 0; i < contender->nr_rows; i++) {
		if (strcmp(contender->rows[i].name, name) == 0)
			return &contender->rows[i];
	}
	if (strcmp(name, calibration.name) == 0)
		return &calibration;
	fprintf(stderr, "host-bench: %s has no row \"%s\"\n", contender->name, name);
	exit(2);
}

int main(int nr_arguments, char **arguments)
{
	char line[128], name[64];
	uint64_t least_ns;

	if (nr_arguments != 2) {
		fprintf(stderr, "usage: host-bench CONTENDER\n");
		return 2;
	}
	const struct contender *contender = find_contender(arguments[1]);
	contender->set_up();
	printf("ready %s\n", contender->describe ? contender->describe() : contender->name);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%63s %" SCNu64, name, &least_ns) != 2) {
			fprintf(stderr, "host-bench: not understood: %s", line);
			return 2;
		}
		const struct host_row *row = find_row(contender, name);
		struct measured measured = row->run(row, least_ns);
		printf("%lu %lu %lu\n", measured.ns, measured.operations, measured.answers);
		fflush(stdout);
	}
	return 0;
}
