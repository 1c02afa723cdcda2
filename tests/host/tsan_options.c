/*
 * What ThreadSanitizer asks for when the program begins; nobody calls it in other builds. The first report ends the
 * program: what comes after a race need not be true. TSAN_OPTIONS overrides.
 */
const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
	return "halt_on_error=1 exitcode=66 second_deadlock_stack=1 history_size=4";
}
