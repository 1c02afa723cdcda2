/*
 * lib/string.c under other names, so that it can be tested in a process whose C library has the usual ones.
 */
#ifndef HOST_KERNEL_STRING_H
#define HOST_KERNEL_STRING_H

#include "string_model.h"

extern const struct string_functions kernel_string_functions;

#endif
