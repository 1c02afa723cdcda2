#include <remote.h>

#include <lib/align.h>
#include <lib/printer.h>
#include <lib/string.h>
#include <mm/memblock.h>
#include <mm/mm.h>
#include <mm/vmalloc.h>
#include <test/test.h>

/* Where there is less than this, the middle has to do. */
#define LARGE (4 * PGD_SIZE)

#define WRITTEN_DOWN  0xffffc08000000000UL
#define NEAR          (16UL << 20)
#define DIGITS        16
#define ADDRESS_CHARS (2 + DIGITS)

static size_t window_size(void)
{
	return VMALLOC_END - VMALLOC_START;
}

void need_window(size_t size, const char *why)
{
	if (window_size() < size)
		test_skip("%s: a vmalloc window of %zu KiB, this has %zu", why, size >> 10,
		          window_size() >> 10);
}

uintptr_t remote_for(size_t size)
{
	if (window_size() >= LARGE)
		return align_up(VMALLOC_START + PGD_SIZE, PGD_SIZE);
	need_window(2 * align_up(size, PAGE_SIZE), "needs room away from other areas");
	return align_down(VMALLOC_START + window_size() / 2, PAGE_SIZE);
}

uintptr_t remote(void)
{
	return remote_for(64 * PAGE_SIZE);
}

/* The address that stands at `words`, "0x" and all its digits, if it is near what they were written down for. */
static bool address_at(const char *words, uint64_t *address)
{
	char text[ADDRESS_CHARS + 1];
	size_t length = 0;

	while (length < ADDRESS_CHARS && words[length])
		length++;
	memcpy(text, words, length);
	text[length] = '\0';
	return length == ADDRESS_CHARS && strncmp(text, "0xffffc", 7) == 0 && parse_u64(text, address) &&
	       *address - WRITTEN_DOWN + NEAR < 2 * NEAR;
}

const char *relocated(const char *words)
{
	static char moved[512];
	size_t length = 0;
	uint64_t address;

	while (*words && length + ADDRESS_CHARS + 1 < sizeof(moved)) {
		if (address_at(words, &address)) {
			format_buffer(moved + length, sizeof(moved) - length, "0x%016lx",
			              address - WRITTEN_DOWN + remote());
			length += ADDRESS_CHARS;
			words += ADDRESS_CHARS;
		} else {
			moved[length++] = *words++;
		}
	}
	moved[length] = '\0';
	return *words ? "(too long to be relocated)" : moved;
}

uint64_t no_ram(void)
{
	const struct memblock_ranges *ram = &mm_memblock()->ram;
	return align_up(max_u64(ram->at[ram->count - 1].end.raw, 4 * PUD_SIZE), PUD_SIZE);
}
