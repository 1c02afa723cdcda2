/*
 * Function names out of the ELF64 symbol table, read in place where the loader put it. The table is the loader's, so
 * nothing in it is believed: a name is shown only if it starts and ends inside the string table, and a table that
 * reaches outside the direct map is not used at all.
 */
#include <arch/directmap.h>
#include <kernel/symbols.h>
#include <lib/string.h>

/* System V ABI, chapter 4, "Symbol Table". */
struct elf_symbol {
	uint32_t name;
	uint8_t info, other;
	uint16_t section;
	uint64_t value, size;
};
_Static_assert(sizeof(struct elf_symbol) == 24, "Elf64_Sym");

enum { TYPE_MASK = 0xf, TYPE_FUNCTION = 2, SECTION_NONE = 0 };

static const struct elf_symbol *symbols;
static const char *strings;
static size_t nr_symbols, strings_size;

static bool fits(paddr_t start, uint64_t size)
{
	return start.raw < DIRECTMAP_SIZE && size <= DIRECTMAP_SIZE - start.raw;
}

void symbols_init(const struct boot_info *info)
{
	uint64_t bytes;

	if (__builtin_mul_overflow(info->nr_symbols, sizeof(struct elf_symbol), &bytes))
		return;
	if (!fits(info->symbols, bytes) || !fits(info->symbol_strings, info->symbol_strings_size))
		return;
	symbols = paddr_to_directmap(info->symbols);
	strings = paddr_to_directmap(info->symbol_strings);
	strings_size = info->symbol_strings_size;
	nr_symbols = info->nr_symbols;
}

static bool is_function(const struct elf_symbol *symbol)
{
	return (symbol->info & TYPE_MASK) == TYPE_FUNCTION && symbol->section != SECTION_NONE;
}

/* NULL if it does not end inside the table. */
static const char *name_of(const struct elf_symbol *symbol)
{
	if (symbol->name >= strings_size)
		return NULL;
	size_t room = strings_size - symbol->name;
	return strnlen(strings + symbol->name, room) < room ? strings + symbol->name : NULL;
}

/* Assembly's functions have no size: they reach to the next one, so the nearest start at or below wins. */
const char *symbol_find(uintptr_t address, uintptr_t *offset)
{
	const struct elf_symbol *best = NULL;

	for (size_t i = 0; i < nr_symbols; i++) {
		const struct elf_symbol *symbol = &symbols[i];
		if (!is_function(symbol) || symbol->value > address || (best && symbol->value <= best->value))
			continue;
		best = symbol;
	}
	if (!best || (best->size && address - best->value >= best->size))
		return NULL;
	*offset = address - best->value;
	return name_of(best);
}

uintptr_t symbol_address(const char *name)
{
	for (size_t i = 0; i < nr_symbols; i++) {
		const char *candidate = is_function(&symbols[i]) ? name_of(&symbols[i]) : NULL;
		if (candidate && strcmp(candidate, name) == 0)
			return symbols[i].value;
	}
	return 0;
}
