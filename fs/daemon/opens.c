// SPDX-License-Identifier: Apache-2.0
/* Which images of remote/ are open (opens.h). */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "fs/daemon/opens.h"
#include "fs/daemon/opens_saved.h"
#include "fs/daemon/session.h"

#define PLACE_SHIFT 36
#define USE_SHIFT   52
#define USES	    4096u

_Static_assert(UINT64_C(1) << (USE_SHIFT - PLACE_SHIFT) == OPENS_MAX, "a place fits into a handle");
_Static_assert(USES == 1u << (64 - USE_SHIFT), "and how often it was used");

/* Of this process: the shared memory has no lock, as one that died might hold it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct saved_opens *saved;
static uint16_t idle[OPENS_MAX]; /* places below saved->high that are free; lock */
static unsigned idle_len;

void opens_attach(struct saved_opens *with)
{
	unsigned high = atomic_load(&with->high);

	pthread_mutex_lock(&lock);
	saved = with;
	idle_len = 0;
	for (unsigned i = high < OPENS_MAX ? high : OPENS_MAX; i-- > 0;)
		if (!atomic_load(&with->place[i].fh))
			idle[idle_len++] = (uint16_t)i;
	pthread_mutex_unlock(&lock);
}

/* lock */
static bool place_take(unsigned *place)
{
	unsigned high = atomic_load(&saved->high);

	if (idle_len) {
		*place = idle[--idle_len];
		return true;
	}
	if (high >= OPENS_MAX)
		return false;
	*place = high;
	/* Known to successors before anything can be published there. */
	atomic_store(&saved->high, high + 1);
	return true;
}

/* The open that this request made already, before a worker died that could not answer it. */
static uint64_t made_before(uint64_t ino)
{
	const struct request *request = request_current();
	unsigned high = atomic_load(&saved->high);

	for (unsigned i = 0; request->resent && request->unique && i < high && i < OPENS_MAX; i++) {
		struct saved_open *o = &saved->place[i];
		uint64_t fh = atomic_load_explicit(&o->fh, memory_order_acquire);

		if (fh && o->unique == request->unique && o->image.ino == ino)
			return fh;
	}
	return 0;
}

uint64_t opens_add(const struct open_image *image)
{
	struct saved_open *o;
	unsigned place;
	uint64_t fh;
	bool taken;

	fh = made_before(image->ino);
	if (fh)
		return fh;
	pthread_mutex_lock(&lock);
	taken = place_take(&place);
	pthread_mutex_unlock(&lock);
	if (!taken)
		return 0;
	o = &saved->place[place];
	o->image = *image;
	o->unique = request_current()->unique;
	o->uses = (o->uses + 1) % USES;
	fh = (uint64_t)o->uses << USE_SHIFT | (uint64_t)place << PLACE_SHIFT | opens_content(image->content);
	atomic_store_explicit(&o->fh, fh, memory_order_release);
	return fh;
}

void opens_drop(uint64_t fh)
{
	unsigned place = opens_place(fh);
	uint64_t is = fh;

	if (!fh || !atomic_compare_exchange_strong(&saved->place[place].fh, &is, 0))
		return;
	pthread_mutex_lock(&lock);
	idle[idle_len++] = (uint16_t)place;
	pthread_mutex_unlock(&lock);
}

/* Of a node, or (0) of a content. */
static bool find(uint64_t ino, uint64_t content, struct open_image *image)
{
	unsigned high = saved ? atomic_load(&saved->high) : 0;

	for (unsigned i = 0; i < high && i < OPENS_MAX; i++) {
		struct saved_open *o = &saved->place[i];
		uint64_t fh = atomic_load_explicit(&o->fh, memory_order_acquire);

		if (!fh || (ino ? o->image.ino != ino : opens_content(fh) != content))
			continue;
		if (image)
			*image = o->image;
		/* Else it was closed meanwhile, and the place is perhaps another's. */
		if (atomic_load(&o->fh) == fh)
			return true;
	}
	return false;
}

bool opens_of_node(uint64_t ino, struct open_image *image)
{
	return find(ino, 0, image);
}

bool opens_have(uint64_t content)
{
	return find(0, content, NULL);
}
