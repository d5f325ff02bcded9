// SPDX-License-Identifier: Apache-2.0
/* Reads and writes of io/... on the actor's side (io.h). */
#include <errno.h>

#include "fs/card/io.h"

static void io_unlink(struct io_call *call)
{
	*call->at = call->next;
	if (call->next)
		call->next->at = call->at;
}

static void io_done(struct card_io *io, int err, size_t moved)
{
	struct io_call *call = io->core;

	io_unlink(call);
	/* A new image was loaded meanwhile: never the new design, never its silence. */
	if (call->stale && !moved)
		err = ESTALE;
	call->done(call, moved ? 0 : err, moved);
}

static void io_run(struct card *card, struct job *job, bool end)
{
	struct io_call *call = (struct io_call *)((char *)job - offsetof(struct io_call, job));
	struct slot *slot = call->slot;
	void *handle = slot->actor->handle;

	if (end || !handle || !card->backend->io_submit) {
		call->done(call, ENODEV, 0);
		return;
	}
	if (call->load != atomic_load(&slot->load) || slot_state(slot) != STATE_CONFIGURED) {
		call->done(call, ESTALE, 0);
		return;
	}
	if (atomic_load(&call->interrupted)) {
		call->done(call, EINTR, 0);
		return;
	}
	call->next = slot->io;
	call->at = &slot->io;
	if (slot->io)
		slot->io->at = &call->next;
	slot->io = call;
	call->io.core = call;
	call->io.done = io_done;
	card->backend->io_submit(handle, &call->io);
}

void io_call_submit(struct io_call *call)
{
	call->job.run = io_run;
	/* Not behind the programming that has just made it stale. */
	if (call->load != atomic_load(&call->slot->load)) {
		call->done(call, ESTALE, 0);
		return;
	}
	if (!actor_post(call->slot->actor, &call->job))
		call->done(call, ENODEV, 0);
}

/* Cancel the calls that `which` picks. A cancel may complete, and free, its call at once. */
static void io_cancel(struct slot *slot, bool only_interrupted, bool stale)
{
	const struct card_backend *backend = slot->card->backend;
	struct io_call *call = slot->io;

	while (call) {
		struct io_call *next = call->next;

		if ((!only_interrupted || atomic_load(&call->interrupted)) && !call->cancelled) {
			call->cancelled = true;
			call->stale = stale;
			backend->io_cancel(slot->actor->handle, &call->io);
		}
		call = next;
	}
}

void slot_io_stale(struct slot *slot)
{
	if (slot->actor->handle && slot->io)
		io_cancel(slot, false, true);
	atomic_store(&slot->io_ready, 0);
	card_changed((int)slot->card->dev, slot->index, CHANGE_IO);
}

void io_interrupted(struct actor *actor)
{
	struct slot *slot;

	for (int i = -1; (slot = card_slot(actor->card, i)); i++)
		if (slot->actor == actor)
			io_cancel(slot, true, false);
}

void io_news(struct actor *actor)
{
	const struct card_backend *backend = actor->card->backend;
	struct slot *slot;

	if (!actor->handle || !backend->io_ready)
		return;
	for (int i = -1; (slot = card_slot(actor->card, i)); i++) {
		unsigned ready;

		if (slot->actor != actor)
			continue;
		ready = backend->io_ready(actor->handle, i < 0 ? 0 : (unsigned)i);
		if (atomic_exchange(&slot->io_ready, ready) != ready)
			card_changed((int)actor->card->dev, i, CHANGE_IO);
	}
}

void io_close_all(struct actor *actor)
{
	struct slot *slot;

	for (int i = -1; actor->handle && (slot = card_slot(actor->card, i)); i++)
		if (slot->actor == actor)
			slot_io_stale(slot);
}
