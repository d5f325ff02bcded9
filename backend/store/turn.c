// SPDX-License-Identifier: Apache-2.0
/*
 * Whose turn it is to write. Somebody waits for the commit of a card, for as long as the lock is
 * held by another; nobody waits for the next rows of a listing. So a listing asks between rows whether
 * somebody wants to write, ends its transaction when that is so, and comes behind all who wait.
 */
#include "store_in.h"

/* So many commits of others go first; a listing is to end some day even where cards never rest. */
#define PATIENCE 64

void store_write_lock(struct store *store)
{
	atomic_fetch_add(&store->write_wanted, 1);
	pthread_mutex_lock(&store->write_lock);
	atomic_fetch_sub(&store->write_wanted, 1);
}

void store_write_lock_last(struct store *store)
{
	pthread_mutex_lock(&store->write_lock);
	store->write_patient++;
	/* Whoever wants it unlocks it too, and tells it then. */
	for (int i = 0; i < PATIENCE && atomic_load(&store->write_wanted); i++)
		pthread_cond_wait(&store->write_calm, &store->write_lock);
	store->write_patient--;
}

void store_write_unlock(struct store *store)
{
	if (store->write_patient)
		pthread_cond_signal(&store->write_calm);
	pthread_mutex_unlock(&store->write_lock);
}

bool store_write_wanted(struct store *store)
{
	return atomic_load(&store->write_wanted);
}
