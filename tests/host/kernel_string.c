/* Compiles lib/string.c a second time; see kernel_string.h. The renaming comes after every other header. */
#include "kernel_string.h"

#define memcpy  kernel_memcpy
#define memmove kernel_memmove
#define memset  kernel_memset
#define memcmp  kernel_memcmp
#define strlen  kernel_strlen
#define strnlen kernel_strnlen
#define strcmp  kernel_strcmp
#define strncmp kernel_strncmp
#define strchr  kernel_strchr

/* The header again, for the new names. */
#undef LIB_STRING_H
#include "../../lib/string.c"

#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr

const struct string_functions kernel_string_functions = {
        .memcpy = kernel_memcpy,
        .memmove = kernel_memmove,
        .memset = kernel_memset,
        .memcmp = kernel_memcmp,
        .strlen = kernel_strlen,
        .strnlen = kernel_strnlen,
        .strcmp = kernel_strcmp,
        .strncmp = kernel_strncmp,
        .strchr = kernel_strchr,
};
