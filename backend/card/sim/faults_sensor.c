// SPDX-License-Identifier: Apache-2.0
/* The fault stuck-sensor as text (faults.h): NAME=VALUE, several with spaces between them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "faults.h"

#define DECIMALS 6

static const struct {
	const char *name;
	uint64_t max; /* in the sensor's unit */
} sensors[FAULT_SENSORS] = {
	[FAULT_TEMP] = { "model_temp_celsius", 150 },
	[FAULT_POWER] = { "model_power_watts", 100 },
};

/* A decimal number of len bytes, in millionths. */
static bool micro_get(const char *text, size_t len, uint64_t max, uint64_t *micro)
{
	uint64_t whole = 0, part = 0;
	size_t i = 0, decimals = 0;

	for (; i < len && text[i] >= '0' && text[i] <= '9' && whole <= max; i++)
		whole = whole * 10 + (uint64_t)(text[i] - '0');
	if (!i)
		return false;
	if (i < len && text[i] == '.')
		for (i++; i < len && text[i] >= '0' && text[i] <= '9' && decimals < DECIMALS; i++, decimals++)
			part = part * 10 + (uint64_t)(text[i] - '0');
	for (size_t k = decimals; k < DECIMALS; k++)
		part *= 10;
	*micro = whole * 1000000 + part;
	return i == len && text[i - 1] != '.' && *micro <= max * 1000000;
}

int faults_sensors_set(struct faults *f, const char *value, struct reason *why)
{
	struct stuck_sensor stuck[FAULT_SENSORS] = { 0 };

	for (const char *at = value ? value : ""; *at;) {
		size_t len = strcspn(at, " "), name = strcspn(at, "= "), i;

		if (!len) {
			at++;
			continue;
		}
		for (i = 0; i < FAULT_SENSORS; i++)
			if (strlen(sensors[i].name) == name && !memcmp(sensors[i].name, at, name))
				break;
		if (i == FAULT_SENSORS || at[name] != '=' || stuck[i].set ||
		    !micro_get(at + name + 1, len - name - 1, sensors[i].max, &stuck[i].micro))
			return reason_set(why, EINVAL, "faults: stuck-sensor is %s=VALUE (up to %" PRIu64 ") or "
					  "%s=VALUE (up to %" PRIu64 "), or both with a space between them, not "
					  "'%s'", sensors[0].name, sensors[0].max, sensors[1].name,
					  sensors[1].max, value);
		stuck[i].set = true;
		at += len;
	}
	memcpy(f->sensors, stuck, sizeof(stuck));
	return 0;
}

void faults_sensors_text(const struct faults *f, char *text, size_t size)
{
	size_t len = 0;

	*text = '\0';
	for (unsigned i = 0; i < FAULT_SENSORS && len < size; i++) {
		const struct stuck_sensor *s = &f->sensors[i];
		char part[DECIMALS + 2] = "";
		size_t n;

		if (!s->set)
			continue;
		n = (size_t)snprintf(part, sizeof(part), ".%06u", (unsigned)(s->micro % 1000000));
		while (part[n - 1] == '0' || part[n - 1] == '.')
			if (part[--n] == '.')
				break;
		part[n] = '\0';
		len += (size_t)snprintf(text + len, size - len, "%s%s=%" PRIu64 "%s", len ? " " : "",
					sensors[i].name, s->micro / 1000000, part);
	}
}
