/* Around a case that starts the timer or needs it silent, or that changes whether interrupts are masked. */
#ifndef TESTS_TIMER_BEFORE_H
#define TESTS_TIMER_BEFORE_H

/* For a set_up and a tear_down: the timer, and whether this CPU's interrupts are enabled, are what they were. */
void remember_timer(void);
void put_timer_back(void);

#endif
