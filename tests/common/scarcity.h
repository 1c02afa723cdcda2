/* Nothing is left of one kind: frames, virtual space, area descriptors, page tables. On the live system. */
#ifndef TESTS_SCARCITY_H
#define TESTS_SCARCITY_H

#include <hoard.h>

/* Every frame, and all that shrinkers have. */
extern struct hoard taken_frames;
void take_all_frames(void);
void give_frames(void);

/* The whole window: each hole is an area without memory, but for what no area fits into. */
void take_all_space(void);
void give_space(void);

/* What `gfp` gets. */
void take_all_descriptors(gfp_t gfp);
void give_descriptors(void);

/* The live tables get no frame unless until() says so; NULL: none. They may give back. */
void take_all_tables(bool (*until)(void));
void give_tables(void);
size_t tables_asked_for(void); /* how often, since they were taken */

/* Also right in a tear_down: gives what was taken. */
void give_everything_back(void);

#endif
