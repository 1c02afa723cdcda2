/*
 * QEMU's firmware configuration device through its I/O ports (QEMU, docs/specs/fw_cfg). Selecting an item rewinds it;
 * each read of the data port gives its next byte. Numbers in the directory are big-endian.
 */
#include <arch/devices.h>
#include <arch/io.h>
#include <lib/string.h>

enum { SELECTOR = 0x510, DATA = 0x511 };
enum { ITEM_SIGNATURE = 0x00, ITEM_DIRECTORY = 0x19 };
enum {
	NAME_MAX = 56,
	FILES_MAX = 4096 /* far more than there are items: a sane end for a device that is not one */
};

static void read_bytes(void *to, size_t size)
{
	for (uint8_t *byte = to; size; size--)
		*byte++ = inb(DATA);
}

static uint32_t read_big_endian(size_t size)
{
	uint32_t value = 0;
	while (size--)
		value = value << 8 | inb(DATA);
	return value;
}

static bool is_present(void)
{
	char signature[4];
	outw(SELECTOR, ITEM_SIGNATURE);
	read_bytes(signature, sizeof(signature));
	return memcmp(signature, "QEMU", sizeof(signature)) == 0;
}

/* The file's item and size; false if there is no such file. */
static bool find_file(const char *name, uint16_t *item, uint32_t *size)
{
	outw(SELECTOR, ITEM_DIRECTORY);
	uint32_t files = read_big_endian(4);
	for (uint32_t i = 0; i < files && i < FILES_MAX; i++) {
		char entry_name[NAME_MAX];
		*size = read_big_endian(4);
		*item = (uint16_t)read_big_endian(2);
		read_big_endian(2); /* reserved */
		read_bytes(entry_name, sizeof(entry_name));
		if (strncmp(entry_name, name, sizeof(entry_name)) == 0)
			return true;
	}
	return false;
}

long fw_cfg_read_file(const char *name, void *buffer, size_t capacity)
{
	uint16_t item;
	uint32_t size;

	if (!is_present() || !find_file(name, &item, &size))
		return -1;
	outw(SELECTOR, item);
	read_bytes(buffer, size < capacity ? size : capacity);
	return (long)size;
}
