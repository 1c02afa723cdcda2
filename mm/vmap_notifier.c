/*
 * The chain of those who can do without virtual space.
 *
 * It changes and is walked within reclaim_begin() and reclaim_end(): so one CPU at a time calls notifiers or shrinkers, and
 * neither can be made to wait for itself, be it by way of the other, or for two CPUs that each want what the other has.
 */
#include <lib/panic.h>
#include <mm/page_alloc.h>
#include <mm/vmap_notifier.h>

static struct list_head notifiers = LIST_HEAD_INIT(notifiers);

static bool is_registered(const struct vmap_notifier *sought)
{
	const struct vmap_notifier *notifier;

	list_for_each_entry (notifier, &notifiers, link)
		if (notifier == sought)
			return true;
	return false;
}

/* Enters or leaves the chain, whichever of the two it is not by now. */
static void change(const char *call, struct vmap_notifier *notifier, bool enter)
{
	if (!reclaim_begin())
		panic("%s: %s, out of a notifier or shrinker", call, notifier->name);
	bool mistaken = is_registered(notifier) == enter;
	if (!mistaken && enter)
		list_add(&notifier->link, &notifiers); /* what stands on others gives back before them */
	else if (!mistaken)
		list_del(&notifier->link);
	reclaim_end();
	if (mistaken)
		panic("%s: %s is %s", call, notifier->name, enter ? "registered already" : "not registered");
}

void register_vmap_purge_notifier(struct vmap_notifier *notifier)
{
	change("register_vmap_purge_notifier", notifier, true);
}

void unregister_vmap_purge_notifier(struct vmap_notifier *notifier)
{
	change("unregister_vmap_purge_notifier", notifier, false);
}

size_t vmap_notify(void)
{
	struct vmap_notifier *notifier;
	size_t bytes = 0;

	if (!reclaim_begin()) /* a notifier, or a shrinker, asks for virtual space */
		return 0;
	list_for_each_entry (notifier, &notifiers, link)
		bytes += notifier->purge(notifier);
	reclaim_end();
	return bytes;
}
