// SPDX-License-Identifier: Apache-2.0
/*
 * What is wrong with a simulated card, as text and as values: the words of the
 * configuration (`faults:`) and of the attributes user.fpga.sim.<fault>.
 *
 *	link-lies         the link takes every byte, delivers none, reports success
 *	bit-errors N      one bit of N on the link arrives flipped, on the average
 *	slow HZ           the link carries HZ bits a second, and no more
 *	done-stuck        from the next configuration on DONE stays low, nothing starts
 *	unplug            the card is without power and cannot be reached
 *	over-temperature C  the card's surroundings have C degrees Celsius
 *	stuck-sensor N=V  the sensor of this telemetry value tells V, whatever there is to
 *	                  tell (model_temp_celsius, model_power_watts, or both)
 *	stuck-pin P=L     package pin P is tied to level L (several: "68=0 67=1")
 *	upset B:R:C       not a state but an event: this configuration bit (bank, row,
 *	                  column; or "random") flips now
 *
 * A card with slots has those of its links for all slots, unless a slot has its
 * own; unplug, over-temperature and stuck-sensor are the card's only, stuck-pin and upset a slot's.
 *
 * A set of faults is the worker's; it is told to the card's process at every
 * connection and kept in a file of the run folder, so that neither the end of a
 * worker nor that of the card's process heals a card.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <fabricfs/card.h>
#include <fabricfs/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_PINS 8

struct stuck_pin {
	char name[8];
	bool level;
};

enum fault_sensor { FAULT_TEMP, FAULT_POWER, FAULT_SENSORS };

struct stuck_sensor {
	bool set;
	uint64_t micro; /* millionths of its unit */
};

struct faults {
	bool link_lies, done_stuck, unplug;
	uint64_t bit_errors;  /* one bit of so many; 0 = none */
	uint64_t slow_hz;     /* 0 = as configured */
	uint64_t ambient_c;   /* 0 = room temperature */
	struct stuck_pin pins[FAULT_PINS];
	unsigned pins_len;
	struct stuck_sensor sensors[FAULT_SENSORS];
};

struct upset {
	bool random;
	unsigned bank, row, column;
};

/* Change one fault. value NULL, and "0" or "false" of one that is or is not: it goes away.
 * 0, or -EINVAL (no such fault, listing them; a value it does not take). */
int faults_set(struct faults *f, const char *name, const char *value, struct reason *why);
/* faults_sensor.c: the fault stuck-sensor of a set, from text and to it. 0 or -EINVAL. */
int faults_sensors_set(struct faults *f, const char *value, struct reason *why);
void faults_sensors_text(const struct faults *f, char *text, size_t size);
/* What deviates, as name and value. */
void faults_list(const struct faults *f, struct card_attrs *out);
/* The reverse: a new set. -EINVAL. */
int faults_parse(struct faults *f, const char *text, size_t len, struct reason *why);
/* The value of an upset. 0 or -EINVAL. */
int upset_parse(struct upset *u, const char *value, struct reason *why);

bool faults_equal(const struct faults *a, const struct faults *b);

/* The set in the run folder, of the card or of host->slot. -ENOENT: there is none. */
int faults_load(struct faults *f, const struct card_host *host, struct reason *why);
int faults_save(const struct faults *f, const struct card_host *host, struct reason *why);
void faults_forget(const struct card_host *host);
/* What holds for slot host->slot: what the run folder has of the card, else `configured`, and over
 * it the slot's own (NULL: what the folder has of that). */
int faults_hold(const struct faults *configured, const struct card_host *host, const struct faults *own,
		struct faults *f, struct reason *why);

#endif
