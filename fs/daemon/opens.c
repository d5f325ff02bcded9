// SPDX-License-Identifier: Apache-2.0
/* Which images of remote/ are open (opens.h). */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

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
/* Places + 1 by a key: the last that came, and for each the one before; lock. */
#define KEYS 4096
static struct index {
	uint32_t last[KEYS], before[OPENS_MAX];
} by_node, by_content;

static uint32_t *index_list(struct index *x, uint64_t key)
{
	return &x->last[(key ^ key >> 40) % KEYS];
}

/* lock */
static void index_add(struct index *x, uint64_t key, unsigned place)
{
	uint32_t *list = index_list(x, key);

	x->before[place] = *list;
	*list = place + 1;
}

/* lock */
static void index_remove(struct index *x, uint64_t key, unsigned place)
{
	uint32_t *at = index_list(x, key);

	while (*at != place + 1)
		at = &x->before[*at - 1];
	*at = x->before[place];
}

/* lock */
static void place_link(unsigned place)
{
	index_add(&by_node, saved->place[place].image.ino, place);
	index_add(&by_content, saved->place[place].image.content, place);
}

/* lock */
static void place_unlink(unsigned place)
{
	index_remove(&by_node, saved->place[place].image.ino, place);
	index_remove(&by_content, saved->place[place].image.content, place);
}

/* lock. An open of this node; NULL: there is none. */
static const struct saved_open *node_find(uint64_t ino)
{
	for (uint32_t at = *index_list(&by_node, ino); at; at = by_node.before[at - 1])
		if (saved->place[at - 1].image.ino == ino)
			return &saved->place[at - 1];
	return NULL;
}

void opens_attach(struct saved_opens *with)
{
	unsigned high = atomic_load(&with->high);

	pthread_mutex_lock(&lock);
	saved = with;
	idle_len = 0;
	memset(by_node.last, 0, sizeof(by_node.last));
	memset(by_content.last, 0, sizeof(by_content.last));
	for (unsigned i = high < OPENS_MAX ? high : OPENS_MAX; i-- > 0;)
		if (!atomic_load(&with->place[i].fh))
			idle[idle_len++] = (uint16_t)i;
		else
			place_link(i);
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

/* lock. The open that this request made already, before a worker died that could not answer it. */
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

/* lock */
static uint64_t place_fill(unsigned place, const struct open_image *image)
{
	struct saved_open *o = &saved->place[place];
	uint64_t fh;

	o->image = *image;
	o->unique = request_current()->unique;
	o->uses = (o->uses + 1) % USES;
	fh = (uint64_t)o->uses << USE_SHIFT | (uint64_t)place << PLACE_SHIFT | opens_content(image->content);
	atomic_store_explicit(&o->fh, fh, memory_order_release);
	place_link(place);
	return fh;
}

uint64_t opens_add(struct open_image *image)
{
	const struct saved_open *other;
	unsigned place;
	uint64_t fh;

	pthread_mutex_lock(&lock);
	fh = made_before(image->ino);
	other = fh ? &saved->place[opens_place(fh)] : node_find(image->ino);
	if (other)
		image->backing = other->image.backing;
	if (!fh && image->backing && other && other->image.content != image->content)
		image->content = other->image.content;
	else if (!fh && place_take(&place))
		fh = place_fill(place, image);
	pthread_mutex_unlock(&lock);
	return fh;
}

void opens_drop(uint64_t fh)
{
	unsigned place = opens_place(fh);

	pthread_mutex_lock(&lock);
	if (fh && atomic_load(&saved->place[place].fh) == fh) {
		place_unlink(place);
		atomic_store(&saved->place[place].fh, 0);
		idle[idle_len++] = (uint16_t)place;
	}
	pthread_mutex_unlock(&lock);
}

bool opens_of_node(uint64_t ino, struct open_image *image)
{
	const struct saved_open *o;

	pthread_mutex_lock(&lock);
	o = saved ? node_find(ino) : NULL;
	if (o)
		*image = o->image;
	pthread_mutex_unlock(&lock);
	return o;
}

bool opens_have(uint64_t content)
{
	uint32_t at;

	pthread_mutex_lock(&lock);
	at = saved ? *index_list(&by_content, content) : 0;
	while (at && saved->place[at - 1].image.content != content)
		at = by_content.before[at - 1];
	pthread_mutex_unlock(&lock);
	return at;
}

void opens_each_backed(void (*fn)(const struct open_image *image))
{
	unsigned high;

	pthread_mutex_lock(&lock);
	high = atomic_load(&saved->high);
	for (unsigned i = 0; i < high && i < OPENS_MAX; i++)
		if (atomic_load(&saved->place[i].fh) && saved->place[i].image.backing)
			fn(&saved->place[i].image);
	pthread_mutex_unlock(&lock);
}
