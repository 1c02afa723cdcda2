/* Kernel parameters: one table, one pass, no state. */
#include <kernel/cmdline.h>
#include <lib/string.h>
#include <mm/vmalloc.h>
#include <mm/vmalloc_window.h>

enum { WORD_MAX = 128 };

enum kind {
	SWITCH, /* name */
	GLOB,   /* name or name=pattern */
	NUMBER, /* name=number */
	TEXT,   /* name=text */
	WINDOW, /* name=size[@address] */
};

struct known {
	const char *name;
	enum kind kind;
	size_t flag;  /* SWITCH, GLOB, NUMBER if not 0: offset of the bool */
	size_t value; /* GLOB, NUMBER, TEXT, WINDOW: offset of what takes the value */
	size_t room;  /* GLOB, TEXT: its size */
	uint64_t max; /* NUMBER: the largest; 0: any */
};

#define AT(member)   offsetof(struct parameters, member)
#define ROOM(member) sizeof(((struct parameters *)NULL)->member)

static const struct known table[] = {
        {.name = "test", .kind = GLOB, .flag = AT(test), .value = AT(test_glob), .room = ROOM(test_glob)},
        {.name = "bench", .kind = GLOB, .flag = AT(bench), .value = AT(bench_glob), .room = ROOM(bench_glob)},
        {.name = "seed", .kind = NUMBER, .flag = AT(seeded), .value = AT(seed)},
        {.name = "nokaslr", .kind = SWITCH, .flag = AT(nokaslr)},
        {.name = "vmalloc", .kind = WINDOW, .value = AT(window)},
        {.name = "vmalloc_gaps", .kind = NUMBER, .value = AT(gaps), .max = VMALLOC_GAPS_MAX},
        {.name = "vmalloc_quarantine", .kind = NUMBER, .value = AT(quarantine)},
        {.name = "soak", .kind = NUMBER, .value = AT(soak)},
        {.name = "ptcheck", .kind = NUMBER, .value = AT(ptcheck)},
        {.name = "exit", .kind = SWITCH, .flag = AT(exit)},
        {.name = "shell", .kind = SWITCH, .flag = AT(shell)},
        {.name = "crash", .kind = TEXT, .value = AT(crash), .room = ROOM(crash)},
};

typedef void (*complain_fn)(const char *fmt, ...);

static const struct known *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

static bool assign_number(const struct known *known, const char *value, char *parameters, const char **reason)
{
	uint64_t number;

	if (!value || !parse_u64(value, &number))
		return false;
	if (known->max && number > known->max) {
		*reason = "too large";
		return false;
	}
	*(uint64_t *)(parameters + known->value) = number;
	if (known->flag)
		*(bool *)(parameters + known->flag) = true;
	return true;
}

static bool assign_window(const char *value, struct window_wish *window, const char **reason)
{
	struct window_wish wish = {0};
	char size[WORD_MAX];

	if (!value)
		return false;
	const char *at = strchr(value, '@');
	size_t length = at ? (size_t)(at - value) : strlen(value);
	memcpy(size, value, length); /* a part of a word */
	size[length] = '\0';
	wish.placed = at;
	if (!parse_u64(size, &wish.size) || (at && !parse_u64(at + 1, &wish.base)))
		return false;
	*reason = vmalloc_window_fault(wish.size, wish.placed, wish.base);
	if (*reason)
		return false;
	*window = wish;
	return true;
}

/*
 * `value` is NULL where the word has no `=`. False if the parameter takes no such value, for a *reason perhaps; then nothing
 * changes.
 */
static bool assign(const struct known *known, const char *value, char *parameters, const char **reason)
{
	switch (known->kind) {
	case SWITCH:
		if (value)
			return false;
		*(bool *)(parameters + known->flag) = true;
		return true;
	case GLOB:
		if (!value)
			value = "*";
		if (!*value || strlen(value) >= known->room)
			return false;
		*(bool *)(parameters + known->flag) = true;
		break;
	case NUMBER:
		return assign_number(known, value, parameters, reason);
	case WINDOW:
		return assign_window(value, (struct window_wish *)(void *)(parameters + known->value),
		                     reason);
	case TEXT:
		if (!value || !*value || strlen(value) >= known->room)
			return false;
		break;
	}
	memcpy(parameters + known->value, value, strlen(value) + 1);
	return true;
}

static void take_word(char *word, struct parameters *parameters, complain_fn complain)
{
	char *equals = strchr(word, '=');

	if (equals)
		*equals = '\0';
	const struct known *known = find(word);
	const char *value = equals ? equals + 1 : NULL, *reason = NULL;
	if (!known)
		complain("command line: unknown parameter %s", word);
	else if (!assign(known, value, (char *)parameters, &reason))
		complain(reason  ? "command line: %s: bad value \"%s\": %s"
		         : value ? "command line: %s: bad value \"%s\""
		                 : "command line: %s: value missing",
		         word, value, reason);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void cmdline_parse(const char *text, struct parameters *parameters, complain_fn complain)
{
	memset(parameters, 0, sizeof(*parameters));
	for (;;) {
		char word[WORD_MAX];
		size_t length = 0;

		while (is_blank(*text))
			text++;
		if (!*text)
			return;
		for (; *text && !is_blank(*text); text++, length++) {
			if (length < WORD_MAX)
				word[length] = *text;
		}
		if (length < WORD_MAX) {
			word[length] = '\0';
			take_word(word, parameters, complain);
		} else {
			word[WORD_MAX - 1] = '\0';
			complain("command line: word too long: %s...", word);
		}
	}
}
