#include "timer_before.h"
#include <arch/cpu.h>
#include <arch/devices.h>
#include <arch/irq.h>

static struct timer timer_before;
static bool enabled_before;

void remember_timer(void)
{
	timer_before = timer_running();
	enabled_before = irqs_enabled();
}

void put_timer_back(void)
{
	timer_stop();
	if (timer_before.hz)
		timer_start(timer_before.hz, timer_before.tick);
	if (enabled_before)
		irq_enable();
	else
		irq_disable();
}
