/* Kernel parameters: one table, one pass, no state. */
#include <kernel/cmdline.h>
#include <lib/string.h>

enum { WORD_MAX = 128 };

enum kind {
	SWITCH, /* name */
	GLOB,   /* name or name=pattern */
	NUMBER, /* name=number */
	TEXT,   /* name=text */
};

struct known {
	const char *name;
	enum kind kind;
	size_t flag;  /* SWITCH, GLOB: offset of the bool */
	size_t value; /* GLOB, NUMBER, TEXT: offset of what takes the value */
	size_t room;  /* GLOB, TEXT: its size */
};

#define AT(member)   offsetof(struct parameters, member)
#define ROOM(member) sizeof(((struct parameters *)NULL)->member)

static const struct known table[] = {
        {.name = "test", .kind = GLOB, .flag = AT(test), .value = AT(test_glob), .room = ROOM(test_glob)},
        {.name = "bench", .kind = GLOB, .flag = AT(bench), .value = AT(bench_glob), .room = ROOM(bench_glob)},
        {.name = "seed", .kind = NUMBER, .value = AT(seed)},
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

/* `value` is NULL where the word has no `=`. False if the parameter takes no such value; then nothing changes. */
static bool assign(const struct known *known, const char *value, char *parameters)
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
		return value && parse_u64(value, (uint64_t *)(parameters + known->value));
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
	const char *value = equals ? equals + 1 : NULL;
	if (!known)
		complain("command line: unknown parameter %s", word);
	else if (!assign(known, value, (char *)parameters))
		complain(value ? "command line: %s: bad value \"%s\"" : "command line: %s: value missing",
		         word, value);
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
