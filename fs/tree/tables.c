// SPDX-License-Identifier: Apache-2.0
/*
 * The rows: every fixed file of the tree, with what it says and when that last
 * changed (DESIGN section 1).
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/card/target.h"
#include "fs/tree/tables.h"

#include <fabricfs/clock.h>

/* --- what files say ------------------------------------------------------------------ */

static void line(const char *text, struct buf *out)
{
	size_t before = out->len;

	text_clean(text, out);
	if (out->len > before)
		buf_adds(out, "\n");
}

const char *takes_words(unsigned takes)
{
	static const char *const words[] = {
		[0] = "",
		[IMAGE_TAKES_FULL] = "full",
		[IMAGE_TAKES_PARTIAL] = "partial",
		[IMAGE_TAKES_FULL | IMAGE_TAKES_PARTIAL] = "full partial",
	};

	return words[takes & (IMAGE_TAKES_FULL | IMAGE_TAKES_PARTIAL)];
}

#define FACT(field)                                                             \
	static void format_##field(const struct place *p, struct buf *out)      \
	{                                                                       \
		line(p->view->facts.field, out);                                \
	}
FACT(vendor)
FACT(part)
FACT(serial)
FACT(board)
FACT(location)
FACT(compatible)
FACT(afus)
FACT(formats)

/* As images are compared with it. */
static void format_shell(const struct place *p, struct buf *out)
{
	struct image_target target;

	target_fill(p->view, p->slot, &target);
	line(target.shell, out);
}

static void format_takes(const struct place *p, struct buf *out)
{
	struct image_target target;

	target_fill(p->view, p->slot, &target);
	line(takes_words(target.takes), out);
}

static void format_name(const struct place *p, struct buf *out)
{
	line(p->view->name, out);
}

static void format_backend(const struct place *p, struct buf *out)
{
	line(p->view->backend, out);
}

static void format_idcode(const struct place *p, struct buf *out)
{
	if (p->view->facts.has_idcode)
		buf_addf(out, "%08x\n", (unsigned)p->view->facts.idcode);
}

static void format_state(const struct place *p, struct buf *out)
{
	line(state_word(p->self->state), out);
}

static void format_error(const struct place *p, struct buf *out)
{
	struct reason busy;

	line(card_busy(p->card, p->slot, &busy) ? busy.text : p->self->error, out);
}

static void format_progress(const struct place *p, struct buf *out)
{
	struct progress now;
	unsigned percent = 0;

	card_progress(p->card, p->slot, &now);
	if (now.phase == PHASE_IDLE)
		now.done = now.total = 0;
	if (now.total)
		percent = now.done >= now.total ? 100 : (unsigned)((double)now.done * 100 / (double)now.total);
	buf_addf(out, "%s %llu %llu %u%%\n", phase_word(now.phase), (unsigned long long)now.done,
		 (unsigned long long)now.total, percent);
}

/* What is known of the loading, then the image's facts as they are called everywhere. The order is
 * that of file numbers: new ones go to the end. */
const char *const loaded_names[] = {
	"name", "sha256", "size", "format", "part", "design", "tool", "built", "source", "loaded_at",
	"loaded_by", "duration_ms", "confirmed_by",
	"confidence", "vendor", "family", "also_parts", "package", "speed", "idcode", "declared_size",
	"partial", "compressed", "encrypted", "signed", "shell", "interface", "unique_id", "user_id",
	"dies", "kernels", "afus", "needs", "firmware", "targets", "compatible", "integrity", "detail",
};
const unsigned loaded_names_len = sizeof(loaded_names) / sizeof(loaded_names[0]);

static void loaded_nth(const struct slot_view *self, unsigned nth, struct buf *out)
{
	const struct loaded *l = &self->loaded;
	struct buf fact CLEANUP_BUF = BUF_INIT;
	char time[RFC3339_MAX];

	if (!l->sha256[0])
		return;
	switch (nth) {
	case 0: text_clean(l->name, out); break;
	case 1: text_clean(l->sha256, out); break;
	case 2: buf_addf(out, "%llu", (unsigned long long)l->size); break;
	case 3: text_clean(l->format, out); break;
	case 4: text_clean(l->part, out); break;
	case 5: text_clean(l->design, out); break;
	case 6: text_clean(l->tool, out); break;
	case 7: text_clean(l->built, out); break;
	case 8: text_clean(l->source, out); break;
	case 9:
		clock_rfc3339(l->loaded_at_ns, time);
		buf_adds(out, time);
		break;
	case 10: text_clean(l->loaded_by, out); break;
	case 11: buf_addf(out, "%lld", (long long)l->duration_ms); break;
	case 12: text_clean(l->confirmed_by, out); break;
	default:
		image_fact_text(&self->loaded_facts, loaded_names[nth], &fact);
		text_clean(fact.data ? fact.data : "", out);
		out->failed |= fact.failed;
	}
}

bool loaded_value(const struct slot_view *self, const char *name, struct buf *out)
{
	for (unsigned i = 0; i < loaded_names_len; i++) {
		if (!strcmp(name, loaded_names[i])) {
			loaded_nth(self, i, out);
			return true;
		}
	}
	return false;
}

static void format_loaded(const struct place *p, struct buf *out)
{
	size_t before = out->len;

	loaded_value(p->self, p->row->name, out);
	if (out->len > before)
		buf_adds(out, "\n");
}

static void format_version(const struct place *p, struct buf *out)
{
	(void)p;
	buf_adds(out, "fabricfs " FABRICFS_VERSION "\n");
}

static int records_dev(const struct place *p)
{
	return p->card ? (int)p->dev : -1;
}

/* The store knows cards; of a slot's history the others' lines are left out. */
static void keep_slot(struct buf *out, size_t from, int slot)
{
	struct buf kept CLEANUP_BUF = BUF_INIT;
	char key[32] = "";
	struct buf k = BUF_INIT;

	buf_addf(&k, "\"slot\":%d", slot);
	text_copy(key, sizeof(key), k.data);
	buf_free(&k);
	if (!out->data)
		return;
	for (char *at = out->data + from, *end; (end = strchr(at, '\n')); at = end + 1) {
		*end = 0;

		const char *hit = strstr(at, key);

		/* Quotes inside values are escaped, so this is the key and nothing else. */
		if (hit && (hit[strlen(key)] == ',' || hit[strlen(key)] == '}')) {
			buf_adds(&kept, at);
			buf_adds(&kept, "\n");
		}
		*end = '\n';
	}
	out->len = from;
	out->data[from] = 0;
	buf_add(out, kept.data ? kept.data : "", kept.len);
}

static void format_records(const struct place *p, struct buf *out)
{
	size_t from = out->len;

	if (store_records(cards_store(), records_dev(p), 0, STORE_HISTORY_MAX, out, NULL, NULL, NULL)) {
		out->len = from;
		if (out->data)
			out->data[from] = 0;
	}
	if (p->slot >= 0)
		keep_slot(out, from, p->slot);
}

static uint64_t size_records(const struct place *p)
{
	uint64_t bytes = 0;

	if (p->slot >= 0) {
		struct buf all CLEANUP_BUF = BUF_INIT;

		format_records(p, &all);
		return all.len;
	}
	return store_records_size(cards_store(), records_dev(p), &bytes) ? 0 : bytes;
}

/* --- when it changed ------------------------------------------------------------------ */

static int64_t mtime_facts(const struct place *p) { return p->view->facts_ns; }
static int64_t mtime_state(const struct place *p) { return p->self->state_ns; }

static int64_t mtime_error(const struct place *p)
{
	int64_t busy_ns = card_busy_ns(p->card, p->slot);

	return busy_ns > p->self->error_ns ? busy_ns : p->self->error_ns;
}

static int64_t mtime_shell(const struct place *p)
{
	int64_t loaded = p->view->self.loaded_ns;

	return loaded > p->view->facts_ns ? loaded : p->view->facts_ns;
}

static int64_t mtime_loaded(const struct place *p) { return p->self->loaded_ns; }
static int64_t mtime_image(const struct place *p) { return p->self->image_ns; }
static int64_t mtime_check(const struct place *p) { return p->self->check_ns; }
static int64_t mtime_sensors(const struct place *p) { return p->view->sensors_ns; }
static int64_t mtime_records(const struct place *p) { return records_mtime(records_dev(p)); }

static int64_t mtime_progress(const struct place *p)
{
	struct progress now;

	card_progress(p->card, p->slot, &now);
	return now.phase == PHASE_IDLE ? p->self->state_ns : clock_now_ns();
}

/* Of what is about all cards: the newest change of any. */
static int64_t mtime_cards(const struct place *p)
{
	int64_t newest = 0;

	(void)p;
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);
		int64_t times[] = { view->facts_ns, view->sensors_ns, view->self.state_ns,
				    view->self.error_ns, view->self.loaded_ns,
				    card_busy_ns(card, -1) };

		for (unsigned t = 0; t < sizeof(times) / sizeof(times[0]); t++)
			if (times[t] > newest)
				newest = times[t];
		card_view_put(view);
	}
	return newest;
}

/* And of repositories. */
static int64_t mtime_all(const struct place *p)
{
	int64_t newest = mtime_cards(p);

	for (unsigned i = 0; i < mirror_count(); i++) {
		struct repo_state state;

		repo_state_get(mirror_nth(i), &state);
		newest = state.changed_ns > newest ? state.changed_ns : newest;
		newest = state.since_ns > newest ? state.since_ns : newest;
	}
	return newest;
}

static uint64_t version_state(const struct place *p) { return (uint64_t)p->self->state_ns; }
static uint64_t version_error(const struct place *p) { return (uint64_t)mtime_error(p); }
/* +1: a file without records can be read and be no news afterwards. */
static uint64_t version_records(const struct place *p)
{
	return store_records_last(cards_store(), records_dev(p)) + 1;
}

/* --- the rows ------------------------------------------------------------------------- */

#define BOTH (ROW_CARD | ROW_SLOT)
#define STATUS_CHANGES (CHANGE_STATE | CHANGE_ERROR | CHANGE_LOADED | CHANGE_FACTS | CHANGE_CARDS | \
			CHANGE_TELEMETRY | CHANGE_LEASE | CHANGE_PROGRESS)

#define REPO_CHANGES (CHANGE_REPO_STATE | CHANGE_REPO_ERROR | CHANGE_LISTING)

#define DIR_ROW(dir_, file_, name_, flags_, changes_, mtime_)                                  \
	{ .dir = (dir_), .file = (file_), .name = (name_), .type = S_IFDIR, .keep = KEEP_ACTIVE, \
	  .flags = (flags_), .changes = (changes_), .mtime = (mtime_) }

const struct row top_rows[] = {
	DIR_ROW(0, TOP_ROOT, "", 0, CHANGE_CARDS, NULL),
	{ .dir = TOP_ROOT, .file = TOP_README, .name = "README", .type = S_IFREG, .keep = KEEP_VALUE,
	  .format = format_readme },
	{ .dir = TOP_ROOT, .file = TOP_STATUS, .name = "status", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = ROW_MEASURED, .changes = STATUS_CHANGES, .format = format_status,
	  .mtime = mtime_cards },
	{ .dir = TOP_ROOT, .file = TOP_STATUS_JSON, .name = "status.json", .type = S_IFREG,
	  .keep = KEEP_RENDER, .flags = ROW_MEASURED, .changes = STATUS_CHANGES | REPO_CHANGES,
	  .format = format_status_json, .mtime = mtime_all },
	{ .dir = TOP_ROOT, .file = TOP_EVENTS, .name = "events", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = ROW_POLL, .changes = CHANGE_RECORDS, .format = format_records, .size = size_records,
	  .mtime = mtime_records, .version = version_records },
	{ .dir = TOP_ROOT, .file = TOP_FOLLOW, .name = ".follow", .type = S_IFREG, .keep = KEEP_ACTIVE,
	  .flags = ROW_HIDDEN, .changes = CHANGE_RECORDS, .mtime = mtime_records },
	{ .dir = TOP_ROOT, .file = TOP_METRICS, .name = "metrics", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = ROW_MEASURED, .changes = STATUS_CHANGES | REPO_CHANGES | CHANGE_RECORDS,
	  .format = format_metrics, .mtime = mtime_all },
	{ .dir = TOP_ROOT, .file = TOP_VERSION, .name = "version", .type = S_IFREG, .keep = KEEP_VALUE,
	  .format = format_version },
	DIR_ROW(TOP_ROOT, TOP_BY_ID, "by-id", 0, CHANGE_FACTS | CHANGE_CARDS, NULL),
	DIR_ROW(TOP_ROOT, TOP_BY_PATH, "by-path", 0, CHANGE_FACTS | CHANGE_CARDS, NULL),
	DIR_ROW(TOP_ROOT, TOP_BY_PART, "by-part", 0, CHANGE_FACTS | CHANGE_CARDS, NULL),
	DIR_ROW(TOP_ROOT, TOP_REMOTE, "remote", 0, 0, NULL),
};
const unsigned top_rows_len = sizeof(top_rows) / sizeof(top_rows[0]);

#define FACT_ROW(file_, name_, format_)                                                        \
	{ .dir = FILE_DIR, .file = (file_), .name = (name_), .type = S_IFREG, .keep = KEEP_VALUE, \
	  .flags = ROW_CARD, .changes = CHANGE_FACTS, .format = (format_), .mtime = mtime_facts }
/*
 * Not kept by the kernel, though nobody polls them: they are empty while the card is
 * programmed, and a READ that meets the change after its reader learnt the size would be
 * filled up with NULs in the page cache (seen once in 160,000 reads while workers died).
 */
#define LOADED_ROW(nth_, name_)                                                                \
	{ .dir = FILE_LOADED_DIR, .file = FILE_LOADED(nth_), .name = (name_),                     \
	  .type = S_IFREG, .keep = KEEP_RENDER, .flags = BOTH, .changes = CHANGE_LOADED,          \
	  .format = format_loaded, .mtime = mtime_loaded }
#define ACTIVE_ROW(dir_, file_, name_, keep_, flags_, changes_, mtime_, ops_)                  \
	{ .dir = (dir_), .file = (file_), .name = (name_), .type = S_IFREG, .keep = (keep_),      \
	  .flags = ROW_OWNED | (flags_), .changes = CHANGE_ACCESS | (changes_), .mtime = (mtime_), \
	  .ops = (ops_) }
#define IO_ROW(endpoint_, name_)                                                               \
	ACTIVE_ROW(FILE_IO_DIR, FILE_IO_FIRST + (endpoint_), name_, KEEP_ACTIVE, BOTH,            \
		   CHANGE_LOADED | CHANGE_ENDPOINTS, mtime_loaded, &io_ops)

const struct row card_rows[] = {
	DIR_ROW(UINT32_MAX, FILE_DIR, "", BOTH | ROW_OWNED, CHANGE_STATE | CHANGE_ACCESS, mtime_state),
	ACTIVE_ROW(FILE_DIR, FILE_IMAGE, "image", KEEP_NOTHING, BOTH, 0, mtime_image, &image_ops),
	ACTIVE_ROW(FILE_DIR, FILE_CHECK, "check", KEEP_NOTHING, BOTH, 0, mtime_check, &image_ops),
	{ .dir = FILE_DIR, .file = FILE_STATE, .name = "state", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = BOTH | ROW_POLL, .changes = CHANGE_STATE, .format = format_state,
	  .mtime = mtime_state, .version = version_state },
	{ .dir = FILE_DIR, .file = FILE_PROGRESS, .name = "progress", .type = S_IFREG,
	  .keep = KEEP_FRESH, .flags = BOTH, .format = format_progress, .mtime = mtime_progress },
	{ .dir = FILE_DIR, .file = FILE_ERROR, .name = "error", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = BOTH | ROW_POLL, .changes = CHANGE_ERROR, .format = format_error,
	  .mtime = mtime_error, .version = version_error },
	FACT_ROW(FILE_NAME, "name", format_name),
	FACT_ROW(FILE_VENDOR, "vendor", format_vendor),
	FACT_ROW(FILE_PART, "part", format_part),
	FACT_ROW(FILE_IDCODE, "idcode", format_idcode),
	FACT_ROW(FILE_SERIAL, "serial", format_serial),
	FACT_ROW(FILE_BOARD, "board", format_board),
	FACT_ROW(FILE_BACKEND, "backend", format_backend),
	FACT_ROW(FILE_LOCATION, "location", format_location),
	FACT_ROW(FILE_COMPATIBLE, "compatible", format_compatible),
	FACT_ROW(FILE_AFUS, "afus", format_afus),
	FACT_ROW(FILE_FORMATS, "formats", format_formats),
	FACT_ROW(FILE_TAKES, "takes", format_takes),
	{ .dir = FILE_DIR, .file = FILE_SHELL, .name = "shell", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = ROW_CARD, .changes = CHANGE_FACTS | CHANGE_LOADED, .format = format_shell,
	  .mtime = mtime_shell },
	DIR_ROW(FILE_DIR, FILE_LOADED_DIR, "loaded", BOTH, CHANGE_LOADED, mtime_loaded),
	LOADED_ROW(0, "name"),
	LOADED_ROW(1, "sha256"),
	LOADED_ROW(2, "size"),
	LOADED_ROW(3, "format"),
	LOADED_ROW(4, "part"),
	LOADED_ROW(5, "design"),
	LOADED_ROW(6, "tool"),
	LOADED_ROW(7, "built"),
	LOADED_ROW(8, "source"),
	LOADED_ROW(9, "loaded_at"),
	LOADED_ROW(10, "loaded_by"),
	LOADED_ROW(11, "duration_ms"),
	LOADED_ROW(12, "confirmed_by"),
	LOADED_ROW(13, "confidence"),
	LOADED_ROW(14, "vendor"),
	LOADED_ROW(15, "family"),
	LOADED_ROW(16, "also_parts"),
	LOADED_ROW(17, "package"),
	LOADED_ROW(18, "speed"),
	LOADED_ROW(19, "idcode"),
	LOADED_ROW(20, "declared_size"),
	LOADED_ROW(21, "partial"),
	LOADED_ROW(22, "compressed"),
	LOADED_ROW(23, "encrypted"),
	LOADED_ROW(24, "signed"),
	LOADED_ROW(25, "shell"),
	LOADED_ROW(26, "interface"),
	LOADED_ROW(27, "unique_id"),
	LOADED_ROW(28, "user_id"),
	LOADED_ROW(29, "dies"),
	LOADED_ROW(30, "kernels"),
	LOADED_ROW(31, "afus"),
	LOADED_ROW(32, "needs"),
	LOADED_ROW(33, "firmware"),
	LOADED_ROW(34, "targets"),
	LOADED_ROW(35, "compatible"),
	LOADED_ROW(36, "integrity"),
	LOADED_ROW(37, "detail"),
	{ .dir = FILE_DIR, .file = FILE_HISTORY, .name = "history", .type = S_IFREG,
	  .keep = KEEP_RENDER, .flags = BOTH, .changes = CHANGE_RECORDS, .format = format_records,
	  .size = size_records, .mtime = mtime_records },
	DIR_ROW(FILE_DIR, FILE_TELEMETRY_DIR, "telemetry", ROW_CARD, CHANGE_FACTS, mtime_facts),
	ACTIVE_ROW(FILE_DIR, FILE_CTL, "ctl", KEEP_ACTIVE, BOTH, CHANGE_STATE | CHANGE_LOADED | CHANGE_FACTS,
		   mtime_facts, &ctl_ops),
	ACTIVE_ROW(FILE_DIR, FILE_STOP, "stop", KEEP_ACTIVE, BOTH, 0, mtime_facts, &ctl_ops),
	ACTIVE_ROW(FILE_DIR, FILE_LEASE, "lease", KEEP_ACTIVE, BOTH, CHANGE_LEASE, mtime_facts, &lease_ops),
	{ .dir = FILE_DIR, .file = FILE_EVENTS, .name = "events", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = ROW_CARD | ROW_POLL, .changes = CHANGE_RECORDS, .format = format_records,
	  .size = size_records, .mtime = mtime_records, .version = version_records },
	{ .dir = FILE_DIR, .file = FILE_FOLLOW, .name = ".follow", .type = S_IFREG, .keep = KEEP_ACTIVE,
	  .flags = ROW_CARD | ROW_HIDDEN, .changes = CHANGE_RECORDS, .mtime = mtime_records },
	DIR_ROW(FILE_DIR, FILE_SLOTS_DIR, "slots", ROW_CARD, CHANGE_FACTS, mtime_facts),
	DIR_ROW(FILE_DIR, FILE_IO_DIR, "io", BOTH, CHANGE_ENDPOINTS | CHANGE_LOADED, mtime_loaded),
	IO_ROW(CARD_TX, "tx"),
	IO_ROW(CARD_RX, "rx"),
	IO_ROW(CARD_REGS, "regs"),
	IO_ROW(CARD_PINS, "pins"),
	IO_ROW(CARD_LEDS, "leds"),
	IO_ROW(CARD_BUTTONS, "buttons"),
	ACTIVE_ROW(FILE_IO_DIR, FILE_IO_DOT_RX, ".rx", KEEP_ACTIVE, BOTH | ROW_HIDDEN,
		   CHANGE_LOADED | CHANGE_ENDPOINTS, mtime_loaded, &io_ops),
	DIR_ROW(FILE_DIR, FILE_FITS_DIR, "fits", ROW_CARD, 0, mtime_facts),
	DIR_ROW(FILE_DIR, FILE_NODES_DIR, "nodes", ROW_CARD, 0, mtime_facts),
};
const unsigned card_rows_len = sizeof(card_rows) / sizeof(card_rows[0]);

/* --- places --------------------------------------------------------------------------- */

static const struct row *row_numbered(const struct row *rows, unsigned len, uint32_t file)
{
	for (unsigned i = 0; i < len; i++)
		if (rows[i].file == file)
			return &rows[i];
	return NULL;
}

const struct row *place_rows(const struct place *p, unsigned *len)
{
	*len = p->repo ? repo_rows_len : p->card ? card_rows_len : top_rows_len;
	return p->repo ? repo_rows : p->card ? card_rows : top_rows;
}

bool row_exists(const struct row *row, const struct place *dir)
{
	if (!dir->card)
		return true;
	if (!(row->flags & (dir->slot < 0 ? ROW_CARD : ROW_SLOT)))
		return false;
	if (row->dir == FILE_IO_DIR) {
		unsigned endpoint = row->file == FILE_IO_DOT_RX ? CARD_RX : row->file - FILE_IO_FIRST;

		/* A card with slots has no design of its own. */
		if (dir->slot < 0 && dir->view->slots_len)
			return false;
		/* What it could offer: an open of what it does not offer now is ENODEV. */
		return dir->view->facts.endpoints & CARD_ENDPOINT_BIT(endpoint);
	}
	return true;
}

uint64_t row_ino(const struct row *row, const struct place *dir)
{
	if (dir->repo)
		return node_repo(repo_id(dir->repo), (enum repo_file)row->file);
	if (!dir->card)
		return row->file == TOP_ROOT ? NODE_ROOT : node_make(NODE_TOP, 0, -1, row->file);
	return node_make(NODE_CARD, dir->dev, dir->slot, row->file);
}

const struct row *row_find(const struct place *dir, const char *name, uint64_t *ino)
{
	unsigned len;
	const struct row *rows = place_rows(dir, &len);

	if (dir->kind != NODE_ROOT_KIND && dir->kind != NODE_TOP && dir->kind != NODE_CARD && !dir->repo)
		return NULL;
	for (unsigned i = 0; i < len; i++) {
		if (rows[i].dir != dir->file || strcmp(rows[i].name, name) || !row_exists(&rows[i], dir))
			continue;
		*ino = row_ino(&rows[i], dir);
		return &rows[i];
	}
	return NULL;
}

int place_open(struct place *p, uint64_t ino)
{
	*p = (struct place){ .ino = ino, .kind = node_kind(ino), .dev = node_card(ino),
			     .slot = node_slot(ino), .file = node_file(ino) };
	if (p->kind == NODE_ROOT_KIND || p->kind == NODE_TOP) {
		if (p->kind == NODE_ROOT_KIND && ino != NODE_ROOT)
			return -ENOENT;
		p->slot = -1;
		p->row = row_numbered(top_rows, top_rows_len, p->file);
		return p->row ? 0 : -ENOENT;
	}
	if (p->kind == NODE_REPO || p->kind == NODE_REPO_FILE) {
		p->repo = mirror_find(p->dev);
		p->slot = -1;
		p->row = p->repo ? row_numbered(repo_rows, repo_rows_len, p->file) : NULL;
		return p->row && ino == row_ino(p->row, p) ? 0 : -ENOENT;
	}
	if (p->kind == NODE_ENTRY || p->kind > NODE_FIT)
		return -ENOENT;
	if (p->kind == NODE_FITS || p->kind == NODE_FIT) {
		p->slot = -1;
		p->dev = p->kind == NODE_FIT ? node_fit_card(ino) : p->dev;
		p->fits = p->kind == NODE_FITS ? mirror_find(node_fits_repo(ino)) : NULL;
		if (p->kind == NODE_FITS && !p->fits)
			return -ENOENT;
	}
	p->card = cards_find(p->dev);
	if (!p->card)
		return -ENOENT;
	p->view = card_view_get(p->card);
	p->self = slot_view(p->view, p->slot);
	if (!p->self)
		goto none;
	if (p->kind == NODE_CARD) {
		p->row = row_numbered(card_rows, card_rows_len, p->file);
		if (!p->row || !row_exists(p->row, p))
			goto none;
	}
	if (p->kind == NODE_SENSOR && p->file >= p->view->sensors_len)
		goto none;
	return 0;
none:
	place_close(p);
	return -ENOENT;
}

void place_close(struct place *p)
{
	if (p->view)
		card_view_put(p->view);
	p->view = NULL;
	p->self = NULL;
}

bool place_is_dir(const struct place *p)
{
	return p->row ? S_ISDIR(p->row->type) : p->kind == NODE_PARTDIR || p->kind == NODE_FITS;
}

bool place_is_link(const struct place *p)
{
	return p->kind == NODE_LINK || p->kind == NODE_FIT;
}

bool place_takes_uploads(const struct place *p)
{
	return p->kind == NODE_CARD && p->file == FILE_DIR;
}

const struct active_ops *place_active(const struct place *p)
{
	if (p->kind == NODE_TEMP)
		return &temp_ops;
	return p->row ? p->row->ops : NULL;
}

void place_format(const struct place *p, struct buf *out)
{
	if (p->row && p->row->format)
		p->row->format(p, out);
	else if (p->kind == NODE_SENSOR)
		sensor_format(&p->view->sensors[p->file], out);
}

uint64_t place_size(const struct place *p)
{
	const struct active_ops *ops = place_active(p);

	if (ops)
		return ops->size ? ops->size(p->card, p->ino) : 0;
	if (p->row && p->row->size)
		return p->row->size(p);

	struct buf b CLEANUP_BUF = BUF_INIT;

	if (place_is_link(p))
		link_target(p, &b);
	else
		place_format(p, &b);
	return b.len;
}

int64_t place_mtime(const struct place *p)
{
	if (p->kind == NODE_SENSOR)
		return mtime_sensors(p);
	if (p->fits) {
		struct repo_state state;

		repo_state_get(p->fits, &state);
		return state.changed_ns;
	}
	if (p->card && !p->row)
		return mtime_facts(p);
	return p->row && p->row->mtime ? p->row->mtime(p) : 0;
}
