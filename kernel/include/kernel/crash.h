/*
 * Mistakes made on purpose, by name, so that anybody can see the report that each one earns: `crash=NAME` on the
 * command line, or `crash NAME` in the shell.
 */
#ifndef KERNEL_CRASH_H
#define KERNEL_CRASH_H

#include <lib/printer.h>

/* Makes the mistake called `name` and does not return. False if there is none of that name. */
bool crash_on_purpose(const char *name);

/* Names and what they do, one a line. */
void crash_list(struct printer *out);

#endif
