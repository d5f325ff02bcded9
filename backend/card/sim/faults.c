// SPDX-License-Identifier: Apache-2.0
/* Faults as text (faults.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"

#include <fabricfs/buf.h>

enum kind { KIND_FLAG, KIND_NUMBER, KIND_PINS, KIND_SENSORS };

static const struct {
	const char *name;
	enum kind kind;
	size_t at;
	uint64_t min, max;
} rows[] = {
	{ "link-lies", KIND_FLAG, offsetof(struct faults, link_lies), 0, 0 },
	{ "done-stuck", KIND_FLAG, offsetof(struct faults, done_stuck), 0, 0 },
	{ "unplug", KIND_FLAG, offsetof(struct faults, unplug), 0, 0 },
	{ "bit-errors", KIND_NUMBER, offsetof(struct faults, bit_errors), 2, 1000000000000 },
	{ "slow", KIND_NUMBER, offsetof(struct faults, slow_hz), 1000, 1000000000 },
	{ "over-temperature", KIND_NUMBER, offsetof(struct faults, ambient_c), 26, 150 },
	{ "stuck-pin", KIND_PINS, offsetof(struct faults, pins), 0, 0 },
	{ "stuck-sensor", KIND_SENSORS, offsetof(struct faults, sensors), 0, 0 },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
#define NAMES "link-lies, done-stuck, unplug, bit-errors, slow, over-temperature, stuck-pin, stuck-sensor"

static int flag_set(bool *flag, const char *name, const char *value, struct reason *why)
{
	if (!value || !strcmp(value, "0") || !strcmp(value, "false"))
		*flag = false;
	else if (!strcmp(value, "1") || !strcmp(value, "true"))
		*flag = true;
	else
		return reason_set(why, EINVAL, "faults: %s is true or false (1 or 0), not '%s'", name, value);
	return 0;
}

/* Decimal digits and nothing else. */
static bool number_get(const char *text, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && !*end;
}

static int number_set(uint64_t *number, size_t row, const char *value, struct reason *why)
{
	uint64_t n = 0;

	if (value && (!number_get(value, &n) || n < rows[row].min || n > rows[row].max))
		return reason_set(why, EINVAL, "faults: %s is a number from %" PRIu64 " to %" PRIu64
				  ", not '%s'", rows[row].name, rows[row].min, rows[row].max, value);
	*number = n;
	return 0;
}

static int pins_set(struct faults *f, const char *value, struct reason *why)
{
	struct stuck_pin pins[FAULT_PINS] = { 0 };
	unsigned n = 0;

	for (const char *at = value ? value : ""; *at;) {
		size_t len = strcspn(at, " "), name = strcspn(at, "= ");

		if (!len) {
			at++;
			continue;
		}
		if (n == FAULT_PINS)
			return reason_set(why, EINVAL, "faults: stuck-pin takes at most %d pins", FAULT_PINS);
		if (!name || name >= sizeof(pins[n].name) || len != name + 2 || at[name] != '=' ||
		    (at[name + 1] != '0' && at[name + 1] != '1'))
			return reason_set(why, EINVAL, "faults: stuck-pin is PIN=0 or PIN=1, several with "
					  "spaces between them, not '%s'", value);
		pins[n] = (struct stuck_pin){ .level = at[name + 1] == '1' };
		memcpy(pins[n].name, at, name);
		for (unsigned i = 0; i < n; i++)
			if (!strcmp(pins[i].name, pins[n].name))
				return reason_set(why, EINVAL, "faults: stuck-pin has pin '%s' twice, in '%s'",
						  pins[n].name, value);
		n++;
		at += len;
	}
	memcpy(f->pins, pins, n * sizeof(pins[0]));
	f->pins_len = n;
	return 0;
}

int faults_set(struct faults *f, const char *name, const char *value, struct reason *why)
{
	for (size_t i = 0; i < ROWS; i++) {
		void *field = (char *)f + rows[i].at;

		if (strcmp(name, rows[i].name) != 0)
			continue;
		switch (rows[i].kind) {
		case KIND_FLAG:
			return flag_set(field, name, value, why);
		case KIND_NUMBER:
			return number_set(field, i, value, why);
		case KIND_PINS:
			return pins_set(f, value, why);
		case KIND_SENSORS:
			return faults_sensors_set(f, value, why);
		}
	}
	if (!strcmp(name, "upset"))
		return reason_set(why, EINVAL, "faults: an upset is an event, not a state: set it as an "
				  "attribute of the card while a design runs");
	return reason_set(why, EINVAL, "faults: there is no fault '%s', there are: " NAMES ", and upset as "
			  "an attribute", name);
}

bool faults_equal(const struct faults *a, const struct faults *b)
{
	struct card_attrs x, y;

	faults_list(a, &x);
	faults_list(b, &y);
	return x.len == y.len && !memcmp(x.text, y.text, x.len);
}

static void list_add(struct card_attrs *out, const char *name, const char *value)
{
	size_t n = strlen(name) + 1, v = strlen(value) + 1;

	/* All of them together fit: at most 8 pins of 10 bytes, 2 sensors of 30, names and numbers. */
	if (n + v > sizeof(out->text) - out->len)
		return;
	memcpy(out->text + out->len, name, n);
	memcpy(out->text + out->len + n, value, v);
	out->len += n + v;
}

void faults_list(const struct faults *f, struct card_attrs *out)
{
	out->len = 0;
	for (size_t i = 0; i < ROWS; i++) {
		const void *field = (const char *)f + rows[i].at;
		char text[128] = "";
		size_t len = 0;

		switch (rows[i].kind) {
		case KIND_FLAG:
			if (*(const bool *)field)
				text_copy(text, sizeof(text), "1");
			break;
		case KIND_NUMBER:
			if (*(const uint64_t *)field)
				snprintf(text, sizeof(text), "%" PRIu64, *(const uint64_t *)field);
			break;
		case KIND_PINS:
			for (unsigned p = 0; p < f->pins_len; p++)
				len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s=%d", p ? " " : "",
							f->pins[p].name, f->pins[p].level);
			break;
		case KIND_SENSORS:
			faults_sensors_text(f, text, sizeof(text));
			break;
		}
		if (*text)
			list_add(out, rows[i].name, text);
	}
}

int faults_parse(struct faults *f, const char *text, size_t len, struct reason *why)
{
	const char *end = text + len;

	*f = (struct faults){ 0 };
	while (text < end) {
		const char *name = text, *value = memchr(name, '\0', (size_t)(end - name));
		const char *next = value && value + 1 < end
					   ? memchr(value + 1, '\0', (size_t)(end - value - 1)) : NULL;
		int err = next ? faults_set(f, name, value + 1, why)
			       : reason_set(why, EINVAL, "faults: the set is cut short");

		if (err)
			return err;
		text = next + 1;
	}
	return 0;
}

int upset_parse(struct upset *u, const char *value, struct reason *why)
{
	unsigned v[3];
	const char *at = value;

	*u = (struct upset){ .random = true };
	if (!strcmp(value, "random"))
		return 0;
	for (unsigned i = 0; i < 3; i++) {
		char *end = NULL;
		unsigned long n = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : 1000000;

		if (n > 65535 || *end != (i < 2 ? ':' : '\0'))
			return reason_set(why, EINVAL, "upset is BANK:ROW:COLUMN of a configuration bit, or "
					  "the word random, not '%s'", value);
		v[i] = (unsigned)n;
		at = end + 1;
	}
	*u = (struct upset){ .bank = v[0], .row = v[1], .column = v[2] };
	return 0;
}

/* --- in the run folder -------------------------------------------------------------- */

static void file_name(const struct card_host *host, const char *end, char name[48])
{
	if (host->slot < 0)
		snprintf(name, 48, "card-%u.faults%s", host->dev, end);
	else
		snprintf(name, 48, "card-%u.%d.faults%s", host->dev, host->slot, end);
}

int faults_load(struct faults *f, const struct card_host *host, struct reason *why)
{
	char name[48], text[CARD_ATTRS_BYTES];
	ssize_t n;

	file_name(host, "", name);

	int fd CLEANUP_FD = openat(host->run_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n < 0)
		return reason_set(why, errno, "reading the faults of a simulated card: %s", strerror(errno));
	return faults_parse(f, text, (size_t)n, why);
}

int faults_save(const struct faults *f, const struct card_host *host, struct reason *why)
{
	struct card_attrs list;
	char name[48], made[48];

	faults_list(f, &list);
	file_name(host, "", name);
	file_name(host, ".new", made);

	/* By rename: whoever is killed here leaves the old set or the new one. */
	int fd CLEANUP_FD = openat(host->run_dir, made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, list.text, list.len) != (ssize_t)list.len ||
	    renameat(host->run_dir, made, host->run_dir, name) < 0)
		return reason_set(why, errno ? errno : ENOSPC, "keeping the faults of a simulated card: %s",
				  strerror(errno ? errno : ENOSPC));
	return 0;
}

void faults_forget(const struct card_host *host)
{
	char name[48];

	file_name(host, "", name);
	unlinkat(host->run_dir, name, 0);
}

int faults_hold(const struct faults *configured, const struct card_host *host, const struct faults *own,
		struct faults *f, struct reason *why)
{
	struct card_host card = *host;
	struct faults kept = { 0 };
	int err;

	card.slot = -1;
	err = faults_load(f, &card, why);
	if (err == -ENOENT)
		*f = *configured;
	else if (err)
		return err;
	err = own ? 0 : faults_load(&kept, host, why);
	if (err && err != -ENOENT)
		return err;
	own = own ? own : &kept;
	/* What is wrong with the card is wrong with each slot; only numbers can contradict. */
	f->link_lies |= own->link_lies;
	f->done_stuck |= own->done_stuck;
	if (own->bit_errors)
		f->bit_errors = own->bit_errors;
	if (own->slow_hz)
		f->slow_hz = own->slow_hz;
	memcpy(f->pins, own->pins, sizeof(f->pins));
	f->pins_len = own->pins_len;
	return 0;
}
