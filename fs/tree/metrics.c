// SPDX-License-Identifier: Apache-2.0
/* metrics: Prometheus text exposition, format 0.0.4. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fs/daemon/session.h"
#include "fs/remote/content.h"
#include "fs/tree/tables.h"

/* Opcodes of linux/fuse.h that a client can wait for. */
static const struct {
	uint32_t opcode;
	const char *name;
} opcodes[] = {
	{ 1, "LOOKUP" }, { 3, "GETATTR" }, { 4, "SETATTR" }, { 5, "READLINK" }, { 6, "SYMLINK" },
	{ 8, "MKNOD" }, { 9, "MKDIR" }, { 10, "UNLINK" }, { 11, "RMDIR" }, { 12, "RENAME" },
	{ 13, "LINK" }, { 14, "OPEN" }, { 15, "READ" }, { 16, "WRITE" }, { 17, "STATFS" },
	{ 18, "RELEASE" }, { 20, "FSYNC" }, { 21, "SETXATTR" }, { 22, "GETXATTR" },
	{ 23, "LISTXATTR" }, { 24, "REMOVEXATTR" }, { 25, "FLUSH" }, { 27, "OPENDIR" },
	{ 28, "READDIR" }, { 29, "RELEASEDIR" }, { 30, "FSYNCDIR" }, { 34, "ACCESS" },
	{ 35, "CREATE" }, { 39, "IOCTL" }, { 40, "POLL" }, { 43, "FALLOCATE" }, { 44, "READDIRPLUS" },
	{ 45, "RENAME2" }, { 46, "LSEEK" }, { 47, "COPY_FILE_RANGE" },
};

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The value of a label: backslash, quote and newline are escaped. */
static void label(struct buf *out, const char *text)
{
	struct buf clean CLEANUP_BUF = BUF_INIT;

	text_clean(text, &clean);
	for (const char *c = clean.data ? clean.data : ""; *c; c++) {
		if (*c == '\\' || *c == '"')
			buf_adds(out, "\\");
		buf_add(out, c, 1);
	}
}

/* `dev="dev0",slot="0"`; slot is empty for the card itself. */
static void labels(struct buf *out, unsigned dev, int slot)
{
	buf_addf(out, "dev=\"dev%u\",slot=\"", dev);
	if (slot >= 0)
		buf_addf(out, "%d", slot);
	buf_adds(out, "\"");
}

static void each_slot(struct buf *out, void (*fn)(struct buf *, struct card *, const struct card_view *, int))
{
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);

		for (int s = -1; s < (int)view->slots_len; s++)
			fn(out, card, view, s);
		card_view_put(view);
	}
}

static void metric_state(struct buf *out, struct card *card, const struct card_view *view, int slot)
{
	(void)card;
	for (int s = 0; s < STATES; s++) {
		buf_adds(out, "fabricfs_card_state{");
		labels(out, view->dev, slot);
		buf_addf(out, ",state=\"%s\"} %d\n", state_word((enum state)s),
			 slot_view(view, slot)->state == (enum state)s);
	}
}

static void metric_programs(struct buf *out, struct card *card, const struct card_view *view, int slot)
{
	struct program_stats stats;

	memset(&stats, 0, sizeof(stats));
	card_program_stats(card, slot, &stats);
	for (unsigned i = 0; i < stats.results_len; i++) {
		buf_adds(out, "fabricfs_programs_total{");
		labels(out, view->dev, slot);
		buf_adds(out, ",result=\"");
		label(out, stats.results[i].result);
		buf_addf(out, "\"} %llu\n", (unsigned long long)stats.results[i].count);
	}
}

static void metric_seconds(struct buf *out, struct card *card, const struct card_view *view, int slot)
{
	struct program_stats stats;
	uint64_t sum = 0;

	memset(&stats, 0, sizeof(stats));
	card_program_stats(card, slot, &stats);
	for (unsigned i = 0; i < PROGRAM_BUCKETS; i++) {
		sum += stats.buckets[i];
		buf_adds(out, "fabricfs_program_seconds_bucket{");
		labels(out, view->dev, slot);
		if (isinf(program_bucket_seconds[i]))
			buf_addf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)sum);
		else
			buf_addf(out, ",le=\"%g\"} %llu\n", program_bucket_seconds[i], (unsigned long long)sum);
	}
	buf_adds(out, "fabricfs_program_seconds_sum{");
	labels(out, view->dev, slot);
	buf_addf(out, "} %g\nfabricfs_program_seconds_count{", stats.seconds_sum);
	labels(out, view->dev, slot);
	buf_addf(out, "} %llu\n", (unsigned long long)stats.seconds_count);
}

static void metric_telemetry(struct buf *out, struct card *card, const struct card_view *view, int slot)
{
	(void)card;
	for (unsigned i = 0; slot < 0 && i < view->sensors_len; i++) {
		struct buf value CLEANUP_BUF = BUF_INIT;

		sensor_format(&view->sensors[i], &value);
		buf_addf(out, "fabricfs_telemetry{dev=\"dev%u\",name=\"", view->dev);
		label(out, view->sensors[i].name);
		buf_addf(out, "\"} %s", value.len ? value.data : "NaN\n");
	}
}

static void metric_telemetry_time(struct buf *out, struct card *card, const struct card_view *view, int slot)
{
	(void)card;
	if (slot < 0 && view->sensors_ns)
		buf_addf(out, "fabricfs_telemetry_time_seconds{dev=\"dev%u\"} %.3f\n", view->dev,
			 (double)view->sensors_ns / 1e9);
}

static void metric_info(struct buf *out, struct card *card, const struct card_view *view, int slot)
{
	(void)card;
	if (slot >= 0)
		return;
	buf_addf(out, "fabricfs_card_info{dev=\"dev%u\",name=\"", view->dev);
	label(out, view->name);
	buf_adds(out, "\",part=\"");
	label(out, view->facts.part);
	buf_adds(out, "\",backend=\"");
	label(out, view->backend);
	buf_adds(out, "\"} 1\n");
}

static void each_repo(struct buf *out, void (*fn)(struct buf *out, const char *name, const struct repo_state *state))
{
	for (unsigned i = 0; i < mirror_count(); i++) {
		struct repo_state state;

		repo_state_get(mirror_nth(i), &state);
		fn(out, repo_name(mirror_nth(i)), &state);
	}
}

/* Names of repositories need no escaping. */
static void repo_up(struct buf *out, const char *name, const struct repo_state *state)
{
	buf_addf(out, "fabricfs_repo_up{repo=\"%s\"} %d\n", name, state->asked && state->online);
}

static void repo_images(struct buf *out, const char *name, const struct repo_state *state)
{
	buf_addf(out, "fabricfs_repo_images{repo=\"%s\"} %llu\n", name, (unsigned long long)state->images);
}

static void repo_listed(struct buf *out, const char *name, const struct repo_state *state)
{
	if (state->listed_ns)
		buf_addf(out, "fabricfs_repo_listed_time_seconds{repo=\"%s\"} %.3f\n", name,
			 (double)state->listed_ns / 1e9);
}

bool metrics_moving(void)
{
	for (unsigned i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
		if (session_resent(opcodes[i].opcode))
			return true;
	return false;
}

void format_metrics(const struct place *p, struct buf *out)
{
	uint64_t used, quota;

	(void)p;
	family(out, "fabricfs_build_info", "gauge", "The version that serves this tree.");
	buf_adds(out, "fabricfs_build_info{version=\"" FABRICFS_VERSION "\"} 1\n");
	family(out, "fabricfs_card_info", "gauge", "What each card is.");
	each_slot(out, metric_info);
	family(out, "fabricfs_card_state", "gauge", "1 for the state that a card or slot is in.");
	each_slot(out, metric_state);
	family(out, "fabricfs_programs_total", "counter", "Programming runs by result.");
	each_slot(out, metric_programs);
	family(out, "fabricfs_program_seconds", "histogram", "How long programming runs took.");
	each_slot(out, metric_seconds);
	family(out, "fabricfs_telemetry", "gauge", "Last value of each sensor; the unit is in its name.");
	each_slot(out, metric_telemetry);
	family(out, "fabricfs_telemetry_time_seconds", "gauge",
	       "When the sensors of a card were last read, in seconds since 1970.");
	each_slot(out, metric_telemetry_time);
	family(out, "fabricfs_repo_up", "gauge", "1 while a repository answers.");
	each_repo(out, repo_up);
	family(out, "fabricfs_repo_images", "gauge", "Images that a repository lists.");
	each_repo(out, repo_images);
	family(out, "fabricfs_repo_listed_time_seconds", "gauge",
	       "When a repository was last listed as a whole, in seconds since 1970.");
	each_repo(out, repo_listed);
	family(out, "fabricfs_cache_bytes", "gauge", "Bytes of images of repositories that are kept here.");
	contents_usage(&used, &quota);
	buf_addf(out, "fabricfs_cache_bytes %llu\n", (unsigned long long)used);
	family(out, "fabricfs_resent_requests_total", "counter",
	       "Requests that came again because a worker died before it answered.");
	for (unsigned i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		uint64_t n = session_resent(opcodes[i].opcode);

		if (n)
			buf_addf(out, "fabricfs_resent_requests_total{op=\"%s\"} %llu\n", opcodes[i].name,
				 (unsigned long long)n);
	}
}
