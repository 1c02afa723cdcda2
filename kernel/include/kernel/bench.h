/* Costs of the public calls, one `BENCH {json}` line each; meant for -icount, where they repeat to the digit. */
#ifndef KERNEL_BENCH_H
#define KERNEL_BENCH_H

/* What the time stamp counter counts here, seen on a loop of known length: "insns" under -icount, else "cycles". */
const char *bench_unit(void);

/* Runs the benchmarks whose name matches `glob`. Interrupts masked. */
void bench_run(const char *glob);

#endif
