/* What the compiler can be told about a declaration, and three idioms that functions cannot express. */
#ifndef LIB_COMPILER_H
#define LIB_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define NORETURN          __attribute__((noreturn))
#define NOINLINE          __attribute__((noinline))
#define ALWAYS_INLINE     inline __attribute__((always_inline))
#define PACKED            __attribute__((packed))
#define ALIGNED(n)        __attribute__((aligned(n)))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define RETURNS_TWICE     __attribute__((returns_twice))
#define MALLOC_LIKE       __attribute__((malloc))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The structure whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/*
 * The address the current function returns to: who called. A macro, because in a function it would be ours.
 */
#define CALLER_ADDRESS ((uintptr_t)__builtin_return_address(0))

/*
 * True in the debug build: full-structure checks at the ends of stages, lock ranks, poison, injected
 * failures.
 */
#ifdef OCTAVO_DEBUG
enum { IS_DEBUG = 1 };
#else
enum { IS_DEBUG = 0 };
#endif

#endif
