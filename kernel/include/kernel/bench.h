/* Costs of the public calls, one `BENCH {json}` line each; meant for -icount, where they repeat to the digit. */
#ifndef KERNEL_BENCH_H
#define KERNEL_BENCH_H

/* Runs the benchmarks whose name matches `glob`. Interrupts masked. */
void bench_run(const char *glob);

#endif
