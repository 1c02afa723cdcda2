/*
 * Who can do without virtual space: a chain of callbacks, asked before an area is refused for want of it. As Linux's
 * register_vmap_purge_notifier(), but that a notifier is a structure of its own and answers by what it returns.
 *
 * vmalloc(), vmap(), ioremap(), get_vm_area() and their kin, when no hole fits even after every CPU's freed ranges have been
 * flushed, call all notifiers, the latest registered first, and look again, as often as <mm/gfp.h> says: never for requests
 * without __GFP_RECLAIM or with __GFP_NORETRY, and no more once a round has given nothing back.
 */
#ifndef MM_VMAP_NOTIFIER_H
#define MM_VMAP_NOTIFIER_H

#include <lib/list.h>

/*
 * `purge` gives back areas that it can do without, by vunmap(), vfree(), iounmap() or free_vm_area(), and returns how many
 * bytes of the window that were; 0 if it has none. It is called on one CPU at a time, not in interrupts, with no spinlock
 * held, and never while shrinkers run. What it asks for itself, memory or virtual space, it gets if it is there: nothing is
 * reclaimed for it and no notifier called. It neither registers nor unregisters any.
 */
struct vmap_notifier {
	const char *name;
	size_t (*purge)(struct vmap_notifier *notifier);
	struct list_head link;
};

/*
 * The structure stays the caller's, and where it is until unregistered. After unregistering, no CPU is in its callback nor
 * will be. Both wait while some CPU reclaims: not in interrupts, no spinlock held. Mistakes panic:
 *
 *	register_vmap_purge_notifier: NAME is registered already
 *	unregister_vmap_purge_notifier: NAME is not registered
 *	register_vmap_purge_notifier: NAME, out of a notifier or shrinker        (and unregister_…)
 */
void register_vmap_purge_notifier(struct vmap_notifier *notifier);
void unregister_vmap_purge_notifier(struct vmap_notifier *notifier);

/* For vmalloc.c: calls them all. Bytes given back; 0 within a notifier or shrinker. Contexts as for registering. */
size_t vmap_notify(void);

#endif
