// SPDX-License-Identifier: Apache-2.0
/*
 * A simulated card with slots: several fabrics on one carrier, in one process,
 * as a carrier is one box with one supply.
 *
 * Each slot is served by a thread of its own, over a connection of its own, with
 * all that a card without slots has (process.h); none waits for another, so they
 * run on as many cores as there are. What a slot shows to the host goes through
 * its board, which is cut off from the fabric from the moment that configuration
 * begins until DONE is high (board_off, board_wake): the isolation latch.
 *
 * The thread that main() began in serves the connection of the card itself: its
 * temperature, what all slots have counted, its end. Of the slots it sees only
 * what they have noted of themselves, under a lock that is held for a copy.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include "process.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

struct seat {
	struct process p;
	pthread_t thread;
	struct model model;  /* of the card's thread: the power of this fabric */
	bool awake;          /* of the slot's thread: when it noted its resources last */
	uint64_t design;

	pthread_mutex_t lock;
	uint64_t stats[PROTO_STATS], ram_accesses; /* lock */
};

struct carrier {
	unsigned n;
	struct seat *seats;
	atomic_bool ending;
	struct hello_words hello; /* the first one; part is NULL before */
	struct model model;  /* of all of it */
	struct thermal thermal;
};

void carrier_note(struct process *slot)
{
	/* Of its run, or changed by an upset: a number that no other design has had here. */
	uint64_t design = slot->load.last_id ^ slot->upset_id << 1;
	struct seat *seat;
	bool awake;

	if (slot->nudge_fd < 0 || !slot->fabric)
		return;
	seat = &slot->carrier->seats[slot->slot];
	awake = link_awake(&slot->link);
	pthread_mutex_lock(&seat->lock);
	service_counters(slot, seat->stats, &seat->ram_accesses);
	/* Counting what a design has takes longer, and is the same for as long as it is loaded. */
	if (awake != seat->awake || design != seat->design) {
		service_resources(slot, seat->stats);
		seat->awake = awake;
		seat->design = design;
	}
	pthread_mutex_unlock(&seat->lock);
}

bool carrier_nudged(struct process *slot)
{
	uint64_t count;

	if (read(slot->nudge_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("slot %u: eventfd: %m", slot->slot);
	return atomic_load(&slot->carrier->ending);
}

/* Have every slot look around: one that is at rest would not. */
static void seats_nudge(const struct carrier *c)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < c->n; i++)
		if (c->seats[i].thread && write(c->seats[i].p.nudge_fd, &one, sizeof(one)) < 0 &&
		    errno != EAGAIN)
			log_error("waking slot %u: %m", i);
}

/* The temperature has changed. */
static void carrier_heat(struct process *p)
{
	struct carrier *c = p->carrier;
	unsigned trips = atomic_load(&c->thermal.trips);

	thermal_note(&c->thermal, c->model.temp_degc);
	if (trips != atomic_load(&c->thermal.trips))
		seats_nudge(c);
	process_news(p);
}

/* --- messages to the card itself -------------------------------------------------- */

static int hello(struct process *p, const struct proto_msg *msg, struct reason *why)
{
	struct carrier *c = p->carrier;
	struct hello_words words;
	struct fabric *scratch = NULL;
	int err = 0;

	hello_words(msg, &words);
	if (c->hello.part && strcasecmp(words.part, c->hello.part) != 0)
		return reason_set(why, EBUSY, "the card's process simulates %s, not %s", c->hello.part,
				  words.part);
	if (!c->hello.part)
		err = service_fabric(&words, &scratch, why);
	if (err)
		return err;
	fabric_free(scratch);
	hello_words(msg, &c->hello);
	p->greeted = true;
	process_send(p, &(struct proto_msg){ .type = PROTO_HELLO, .reply = true, .seq = msg->seq,
					     .arg = { p->instance, (uint64_t)getpid() } });
	process_news(p);
	return 0;
}

static int accept_image(const struct carrier *c, const struct proto_msg *msg, int fd, struct reason *why)
{
	struct fabric *scratch = NULL;
	int err = service_fabric(&c->hello, &scratch, why);

	if (!err)
		err = service_accept(scratch, msg, fd, why);
	fabric_free(scratch);
	return err;
}

static int faults(struct process *p, const struct proto_msg *msg, struct reason *why)
{
	struct carrier *c = p->carrier;
	struct faults f;
	int err = faults_parse(&f, (const char *)msg->data, msg->len, why);

	/* Those of the links are told to each slot. */
	if (err)
		return err;
	memcpy(p->sensors, f.sensors, sizeof(p->sensors));
	model_surround(&c->model, (double)f.ambient_c);
	carrier_heat(p);
	return 0;
}

static void telemetry(struct process *p, const struct proto_msg *msg)
{
	static const enum proto_stat sums[] = { STAT_CYCLES, STAT_TOGGLES, STAT_BYTES_IN, STAT_BYTES_OUT,
						STAT_FRAMING, STAT_OVERRUNS };
	struct carrier *c = p->carrier;
	uint64_t all[PROTO_STATS * (1 + SIM_SLOTS_MAX)] = { 0 };
	int64_t now = clock_mono_ns();
	double power_w = 0;

	for (unsigned i = 0; i < c->n; i++) {
		struct seat *seat = &c->seats[i];
		uint64_t *own = all + (size_t)PROTO_STATS * (1 + i), ram_accesses;

		pthread_mutex_lock(&seat->lock);
		memcpy(own, seat->stats, sizeof(seat->stats));
		ram_accesses = seat->ram_accesses;
		pthread_mutex_unlock(&seat->lock);
		model_step(&seat->model, c->hello.part, now, own[STAT_TOGGLES], ram_accesses);
		own[STAT_POWER_NW] = (uint64_t)(seat->model.power_w * 1e9);
		power_w += seat->model.power_w;
		for (unsigned s = 0; s < sizeof(sums) / sizeof(sums[0]); s++)
			all[sums[s]] += own[sums[s]];
	}
	model_heat(&c->model, now, power_w);
	carrier_heat(p);
	service_sensors(p, &c->model, power_w, all);
	service_reply_stats(p, msg->seq, all, PROTO_STATS * (1 + c->n));
}

int carrier_message(struct process *p, const struct proto_msg *msg, int fd)
{
	struct carrier *c = p->carrier;
	struct reason why = { 0 };
	int err = 0;

	switch ((enum proto_type)msg->type) {
	case PROTO_HELLO:
		err = hello(p, msg, &why);
		if (!err)
			return 0;
		break;
	case PROTO_ACCEPT:
		err = accept_image(c, msg, fd, &why);
		break;
	case PROTO_FAULTS:
		err = faults(p, msg, &why);
		break;
	case PROTO_TELEMETRY:
		telemetry(p, msg);
		return 0;
	case PROTO_CANCEL:
		return 0;
	case PROTO_QUIT:
		p->ending = true;
		return 0;
	case PROTO_STATUS:
	case PROTO_PROGRAM:
	case PROTO_CONFIRM:
	case PROTO_VERIFY:
	case PROTO_CLEAR:
	case PROTO_RESET:
	case PROTO_IO:
	case PROTO_UPSET:
		err = reason_set(&why, EOPNOTSUPP, "the card has slots: this is for one of them");
		break;
	case PROTO_NEWS:
	case PROTO_PROGRESS:
	case PROTO_TYPES:
		return -EPROTO; /* proto_decode() lets none of them through */
	}
	process_reply(p, msg->type, msg->seq, err, &why);
	return 0;
}

/* --- its life ------------------------------------------------------------------------ */

static void *seat_main(void *arg)
{
	process_loop(arg);
	return NULL;
}

static int seats_begin(struct carrier *c, struct process *card, int first_fd)
{
	const char *dot = strrchr(card->socket_name, '.');
	int err = 0;

	if (!dot)
		return -EINVAL;
	for (unsigned i = 0; !err && i < c->n; i++) {
		struct process *p = &c->seats[i].p;
		char name[sizeof(p->socket_name)];

		/* As spawn.c named them. */
		snprintf(name, sizeof(name), "%.*s.%u%s", (int)(dot - card->socket_name),
			 card->socket_name, i, dot);
		err = process_init(p, first_fd + (int)i, name);
		p->nudge_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (!err && p->nudge_fd < 0)
			err = -errno;
		p->carrier = c;
		p->thermal = &c->thermal;
		p->slot = i;
		p->instance = card->instance;
	}
	for (unsigned i = 0; !err && i < c->n; i++) {
		char name[32];

		err = -pthread_create(&c->seats[i].thread, NULL, seat_main, &c->seats[i].p);
		snprintf(name, sizeof(name), "card-slot-%u", i);
		name[15] = '\0'; /* the kernel takes no more */
		if (!err)
			pthread_setname_np(c->seats[i].thread, name);
	}
	return err;
}

/*
 * Whoever finds one of the sockets gone or refusing makes them all anew, under
 * this lock; so that nobody's new ones are unlinked, all go at once.
 */
static void names_unlink(const struct carrier *c, const struct process *card)
{
	const char *dot = strrchr(card->socket_name, '.');
	char name[64];

	snprintf(name, sizeof(name), "%.*s.lock", (int)(dot - card->socket_name), card->socket_name);

	int lock CLEANUP_FD = openat(card->run_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		log_warn("locking %s: %m", name);
	unlinkat(card->run_fd, card->socket_name, 0);
	for (unsigned i = 0; i < c->n; i++)
		unlinkat(card->run_fd, c->seats[i].p.socket_name, 0);
}

int carrier_begin(struct process *card, unsigned slots)
{
	struct carrier *c = calloc(1, sizeof(*c));

	if (c)
		c->seats = calloc(slots, sizeof(*c->seats));
	if (!c || !c->seats) {
		free(c);
		return -ENOMEM;
	}
	c->n = slots;
	for (unsigned i = 0; i < slots; i++)
		pthread_mutex_init(&c->seats[i].lock, NULL);
	card->carrier = c;
	card->thermal = &c->thermal;
	return 0;
}

void carrier_end(struct process *card)
{
	struct carrier *c = card->carrier;

	atomic_store(&c->ending, true);
	seats_nudge(c);
	for (unsigned i = 0; i < c->n; i++) {
		struct seat *seat = &c->seats[i];

		if (seat->thread)
			pthread_join(seat->thread, NULL);
		if (seat->p.packet) {
			cleanup_fd(&seat->p.nudge_fd);
			process_fini(&seat->p);
		}
		pthread_mutex_destroy(&seat->lock);
	}
	card->carrier = NULL;
	card->thermal = &card->own_thermal;
	free(c->seats);
	free(c);
}

int carrier_run(struct process *card, unsigned slots, int first_fd)
{
	int err = carrier_begin(card, slots);

	if (!err)
		err = seats_begin(card->carrier, card, first_fd);
	if (!err)
		process_loop(card);
	else
		log_error("beginning with %u slots: %s", slots, strerror(-err));
	if (card->carrier) {
		if (strchr(card->socket_name, '.'))
			names_unlink(card->carrier, card);
		carrier_end(card);
	}
	return err ? 1 : 0;
}
