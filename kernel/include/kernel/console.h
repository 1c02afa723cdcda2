/*
 * Where words go: COM1 always, and VGA text (<arch/devices.h>) or pixels where there are any. Usable from the first C
 * instruction, in any context. Each CPU fills a line of its own, which goes out whole at its newline, so that lines of
 * several CPUs do not mix.
 */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include <lib/printer.h>

/* The console as a sink that can name code addresses. */
extern struct printer console;

/* The serial line is ready; call first. Screens join by vga_init() or screen_map(). */
void console_init(void);

/* Sends out this CPU's unfinished line: a prompt. */
void console_flush(void);

/* No other CPU runs any more: what it was sending is over. */
void console_seize(void);

/* vformat_buffer() with the console's names for code addresses. */
void console_format(char *text, size_t capacity, const char *fmt, va_list args) PRINTF_LIKE(3, 0);

#define kprintf(...) print(&console, __VA_ARGS__)

#endif
