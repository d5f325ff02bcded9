// SPDX-License-Identifier: Apache-2.0
/* Small pieces of what files say: clean text, sensors, README, times of records. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/tree/tables.h"

void sensor_format(const struct card_sensor *sensor, struct buf *out)
{
	int decimals = sensor->decimals < 0 ? 0 : sensor->decimals > 9 ? 9 : sensor->decimals;

	if (isfinite(sensor->value))
		buf_addf(out, "%.*f\n", decimals, sensor->value);
}

void format_readme(const struct place *p, struct buf *out)
{
	(void)p;
	buf_adds(out,
		 "fabricfs: programmable cards as files. Copying an image onto a card runs it.\n"
		 "\n"
		 "  cat status                     all cards in a table (status.json for programs)\n"
		 "  cp design.bin dev0/image       program dev0 with it, and see that it runs\n"
		 "  cat dev0/error                 why the last copy failed, in one sentence\n"
		 "  cp design.bin dev0/check       check it only; then: cat dev0/check\n"
		 "  cp design.bin dev0/slots/1/image    one slot of a card that has them\n"
		 "  cp dev0/image old.bin          the bytes that are loaded now\n"
		 "  cat dev0/loaded/sha256         what is loaded: name size format part ...\n"
		 "  echo rollback > dev0/ctl       the last good image again (cat dev0/ctl: words)\n"
		 "  echo upload > dev0/stop        end an upload that hangs\n"
		 "  cat dev0/history               what happened, as JSON lines; events: all cards\n"
		 "  cat dev0/.follow               the same as it happens (not listed)\n"
		 "  printf hi > dev0/io/tx         talk to the design, where it offers that:\n"
		 "  cat dev0/io/rx                 what it answered so far; io/.rx waits for bytes\n"
		 "  grep . dev0/telemetry/*        measured now, the unit is in the name\n"
		 "  ls -l remote/lab               images of a repository, fetched when read\n"
		 "  ls dev0/fits/lab               those of them that are known to suit dev0\n"
		 "  cat remote/lab/.repo/state     is it online; .repo/error: why its list is old\n"
		 "\n"
		 "cp, cat, dd, tee, install, mv, curl -o and editors end with the image loaded or\n"
		 "with an error. Shell builtins (printf > image) and tar -xO do not look at the\n"
		 "result of close: check dev0/error after them. Prefer cp to rsync, whose rename\n"
		 "makes others wait who list dev0 meanwhile.\n"
		 "\n"
		 "A card keeps its number; by-id, by-path and by-part are links to it. state,\n"
		 "error and events can be waited for with poll(). metrics is for Prometheus.\n"
		 "In a Makefile:   /fpga/dev0/image: design.bin ; cp $< $@\n");
}

/* --- the time of the last record ------------------------------------------------------- */

/* "2026-11-21T12:00:00.123456Z" as told in the record itself; 0 = cannot be read. */
static int64_t record_time(const char *json)
{
	static const char key[] = "\"time\":\"";
	const char *at = strstr(json, key);
	struct tm tm = { 0 };
	char fraction[16] = "";
	int64_t ns = 0;

	if (!at || sscanf(at + sizeof(key) - 1, "%4d-%2d-%2dT%2d:%2d:%2d.%9[0-9]", &tm.tm_year, &tm.tm_mon,
			  &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, fraction) < 6)
		return 0;
	for (int i = 0, scale = 100000000; i < 9 && fraction[i]; i++, scale /= 10)
		ns += (fraction[i] - '0') * scale;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (int64_t)timegm(&tm) * 1000000000 + ns;
}

/* Asked at every stat of events and history: remembered by the record's number. Cards that
 * share a place read it from the store again. */
#define TIMES 64
static struct {
	int dev;
	uint64_t seq;
	int64_t ns;
} times[TIMES];
static pthread_mutex_t times_lock = PTHREAD_MUTEX_INITIALIZER;

int64_t records_mtime(int dev)
{
	struct store *store = cards_store();
	uint64_t seq = store ? store_records_last(store, dev) : 0;
	unsigned i = (unsigned)(dev + 1) % TIMES;
	struct buf record CLEANUP_BUF = BUF_INIT;
	int64_t ns = 0;

	if (!seq)
		return 0;
	pthread_mutex_lock(&times_lock);
	if (times[i].seq == seq && times[i].dev == dev)
		ns = times[i].ns;
	pthread_mutex_unlock(&times_lock);
	if (ns)
		return ns;
	if (store_records(store, dev, seq - 1, 1, &record, NULL, NULL, NULL) || !record.len)
		return 0;
	ns = record_time(record.data);
	pthread_mutex_lock(&times_lock);
	times[i].dev = dev;
	times[i].seq = seq;
	times[i].ns = ns;
	pthread_mutex_unlock(&times_lock);
	return ns;
}
