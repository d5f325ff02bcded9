// SPDX-License-Identifier: Apache-2.0
/*
 * What an OpenStack cloud says, and clouds.yaml: the first byte tells which, the
 * second in parts of how many bytes a page comes. Anything is taken or refused
 * with a sentence, and it does not matter where a page is cut.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fabricfs/log.h>

#include "backend/repo/cloud.h"
#include "backend/repo/glance_page.h"
#include "backend/repo/keystone.h"

#include "tests/fuzz/fuzz.h"

/* Warnings about profiles and the like are many here (linked with --wrap). */
void __wrap_log_msg(enum log_level level, const char *fmt, ...);
void __wrap_log_msg(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

struct count {
	size_t records, bytes, entries;
};

static int record(void *core, const char *text, size_t len, struct reason *why)
{
	struct count *count = core;
	struct glance_record r;
	int err = glance_record_read(&r, text, len, "p", why);

	count->records++;
	count->bytes += len;
	fuzz_claim(err == 0 || err == -EBADMSG || err == -ENOENT);
	if (!err) {
		const struct repo_entry *e = &r.entry;
		size_t n = 0;

		count->entries++;
		fuzz_claim(glance_id_good(e->id) && strlen(e->id) < REPO_ID_MAX);
		fuzz_claim(!e->digest == !e->digest_algo && strlen(e->validator) < REPO_ID_MAX);
		while (e->properties[n]) {
			fuzz_claim(strlen(e->properties[n]) < REPO_PROPERTY_MAX);
			n++;
		}
		fuzz_claim(!(n % 2) && n <= 2 * REPO_PROPERTIES_MAX);
		fuzz_claim(e->name && (!e->name_len || e->name[e->name_len - 1] == e->name[e->name_len - 1]));
	}
	glance_record_free(&r);
	return 0;
}

static int page(const char *text, size_t len, size_t part, struct count *count, char **next)
{
	struct reason why = { 0 };
	struct glance_page p;
	int err = 0;

	*count = (struct count){ 0 };
	*next = NULL;
	glance_page_init(&p, record, count);
	for (size_t at = 0; at < len && !err; at += part)
		err = glance_page_feed(&p, text + at, len - at < part ? len - at : part, &why);
	if (!err)
		err = glance_page_end(&p, next, &why);
	glance_page_free(&p);
	fuzz_claim(err == 0 || (err < 0 && why.text[0]));
	return err;
}

static void try_page(const char *text, size_t len, size_t part)
{
	struct count whole, parts;
	char *next[2];
	int err = page(text, len, len + 1, &whole, &next[0]);

	fuzz_claim(page(text, len, part, &parts, &next[1]) == err);
	fuzz_claim(!memcmp(&whole, &parts, sizeof(whole)));
	fuzz_claim(!next[0] == !next[1] && (!next[0] || !strcmp(next[0], next[1])));
	free(next[0]);
	free(next[1]);
}

static void try_answer(const char *text, size_t len)
{
	static char url[] = "https://k/v3", where[] = "its keys", interface[] = "public";
	const struct cloud cloud = { .auth_url = url, .where = where, .interface = interface };
	struct keystone_session *session = NULL;
	struct reason why = { 0 };
	int err = keystone_answer(&cloud, text, len, &session, &why);

	fuzz_claim(err == 0 ? session != NULL : !session && err < 0 && why.text[0]);
	fuzz_claim(err || (session->project_id && session->endpoints_len && session->lifetime_ms >= 0));
	for (size_t i = 0; !err && i < session->endpoints_len; i++) {
		const char *base = session->endpoints[i].url;

		fuzz_claim(!strncmp(base, "http", 4) && base[strlen(base) - 1] != '/');
	}
	keystone_session_put(session);
}

static void try_clouds(const char *text, size_t len)
{
	int fd = memfd_create("clouds.yaml", MFD_CLOEXEC);
	char path[64];
	const struct repo_value values[] = { { .key = "clouds-file", .kind = REPO_KEY_FILE, .text = path } };
	const struct repo_config config = { .name = "lab", .kind = "glance", .values = values, .values_len = 1 };
	struct secret body = { 0 };
	struct cloud cloud;
	struct reason why = { 0 };
	int err;

	fuzz_claim(fd >= 0 && !fchmod(fd, 0600) && write(fd, text, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = cloud_read(&config, &cloud, &why);
	fuzz_claim(err == 0 || (err < 0 && why.text[0]));
	if (!err && cloud.auth != CLOUD_NONE && cloud.auth != CLOUD_FIXED_TOKEN) {
		fuzz_claim(cloud.auth_url && cloud.secret.text && cloud.interface);
		fuzz_claim(!keystone_request(&cloud, &body));
		fuzz_claim(body.len < body.mapped && body.text[0] == '{' && body.text[body.len - 1] == '}');
		secret_free(&body);
	}
	cloud_free(&cloud);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const char *text = (const char *)data + 2;

	if (data[0] % 3 == 0)
		try_page(text, size - 2, data[1] + 1U);
	else if (data[0] % 3 == 1)
		try_answer(text, size - 2);
	else
		try_clouds(text, size - 2);
	return 0;
}
