// SPDX-License-Identifier: Apache-2.0
/* The configuration file: what is taken, and the sentence for what is not. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <fabricfs/buf.h>

#include "fs/daemon/config.h"
#include "fs/daemon/config_tree.h"
#include "fs/daemon/config_value.h"

static char folder[] = "/tmp/fabricfs-config-XXXXXX";
static char file[128];

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof(file), "%s/f.yaml", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(folder);
}

static void file_write(const void *bytes, size_t n)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static struct config *good(const char *text)
{
	struct config *config;
	struct reason why = { 0 };

	file_write(text, strlen(text));
	if (config_load(file, &config, &why))
		fail_msg("refused: %s", why.text);
	return config;
}

/* Refused with EINVAL, and with exactly this sentence behind the file's name. */
static void bad(const char *text, const char *sentence)
{
	struct config *config;
	struct reason why = { 0 };
	char wanted[REASON_MAX];

	file_write(text, strlen(text));
	assert_int_equal(config_load(file, &config, &why), -EINVAL);
	assert_null(config);
	snprintf(wanted, sizeof(wanted), "%s:%s", file, sentence);
	assert_string_equal(why.text, wanted);
}

/* Refused in this line with something that contains these words. */
static void bad_in(const char *text, unsigned line, const char *words)
{
	struct config *config;
	struct reason why = { 0 };
	char front[160];

	file_write(text, strlen(text));
	/* Backends and kinds say what they think of it once all of it is read. */
	if (!config_load(file, &config, &why)) {
		if (!config_finish(config, 0, &why))
			fail_msg("taken: %s", text);
		config_free(config);
	}
	snprintf(front, sizeof(front), "%s:%u: ", file, line);
	if (strncmp(why.text, front, strlen(front)) || !strstr(why.text, words))
		fail_msg("%s\n does not say line %u and: %s", why.text, line, words);
}

/* --- what is taken -------------------------------------------------------------------- */

static void no_file_gives_the_defaults(void **state)
{
	struct config *config;
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(config_load(NULL, &config, &why), 0);
	assert_null(config->file);
	assert_int_equal(config->cards_len, 0);
	assert_int_equal(config->access.mode, -1);
	assert_int_equal(config->telemetry_max_age_ms, 1000);
	assert_int_equal(config->upload_timeout_ms, 600000);
	assert_string_equal(config->root_sys, "/sys");
	config_free(config);
}

static void an_empty_file_is_fine(void **state)
{
	static const char *const empty[] = { "", "\n", "# only a comment\n", "---\n", "~\n", "{}\n" };

	(void)state;
	for (unsigned i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		struct config *config = good(empty[i]);

		assert_int_equal(config->cards_len, 0);
		assert_string_equal(config->file, file);
		config_free(config);
	}
}

static void every_documented_key_is_read(void **state)
{
	struct config *config = good(
		"access: {owner: root, group: fpga, mode: \"0640\"}\n"
		"cards:\n"
		"  - {name: bench, backend: sim, part: iCE40-HX1K, slots: 0, clock: demand,\n"
		"     config_clock_hz: 25000000, faults: {link-lies: true}}\n"
		"  - name: odd\n"
		"    backend: command\n"
		"    part: xc7k325t\n"
		"    program: [/usr/local/bin/load, \"%f\"]\n"
		"    verify: none\n"
		"    access: {group: lab}\n"
		"    policy: {formats: [xilinx-bit], on-failure: rollback, skip-identical: yes,\n"
		"             max-per-minute: 3, max-temp-celsius: 85, restore: false, require-signature: true}\n"
		"cache: {quota: 20GiB, connect-timeout: 5s, offline-timeout: 500ms}\n"
		"telemetry: {max-age: 2s}\n"
		"upload-timeout: 10m\n"
		"roots: {sys: /a, dev: /b, configfs: /c, firmware: /d}\n");
	const struct config_card *odd = &config->cards[1];
	const struct card_value *v;

	(void)state;
	assert_int_equal(config->cards_len, 2);
	assert_string_equal(config->access.owner, "root");
	assert_string_equal(config->access.group, "fpga");
	assert_int_equal(config->access.mode, 0640);

	v = card_config_get(&config->cards[0].card, "config_clock_hz");
	assert_non_null(v);
	assert_int_equal(v->number, 25000000);
	v = card_config_get(&config->cards[0].card, "faults");
	assert_non_null(v);
	assert_int_equal(v->list_len, 2);
	assert_string_equal(v->list[0], "link-lies");
	assert_string_equal(v->list[1], "true");
	assert_null(v->list[2]);
	assert_string_equal(card_config_get(&config->cards[0].card, "clock")->text, "demand");

	assert_string_equal(odd->card.name, "odd");
	assert_string_equal(odd->card.part, "xc7k325t");
	assert_int_equal(odd->line, 5);
	assert_string_equal(odd->access.group, "lab");
	assert_string_equal(odd->access.owner, "");
	assert_int_equal(odd->access.mode, -1);
	assert_string_equal(odd->policy.formats[0], "xilinx-bit");
	assert_null(odd->policy.formats[1]);
	assert_int_equal(odd->policy.on_failure_rollback, 1);
	assert_int_equal(odd->policy.skip_identical, 1);
	assert_int_equal(odd->policy.max_per_minute, 3);
	assert_true(odd->policy.max_temp_celsius == 85);
	assert_int_equal(odd->policy.restore, 0);
	assert_int_equal(odd->policy.require_signature, 1);
	assert_int_equal(odd->policy.accept_unsized, -1);
	v = card_config_get(&odd->card, "program");
	assert_int_equal(v->list_len, 2);
	assert_string_equal(v->list[1], "%f");
	assert_null(v->list[2]);
	v = card_config_get(&odd->card, "verify");
	assert_int_equal(v->list_len, 0);
	assert_null(v->list[0]);
	assert_null(card_config_get(&odd->card, "clear"));

	assert_int_equal(config->cache_quota, INT64_C(20) << 30);
	assert_int_equal(config->cache_connect_timeout_ms, 5000);
	assert_int_equal(config->cache_offline_timeout_ms, 500);
	assert_int_equal(config->telemetry_max_age_ms, 2000);
	assert_int_equal(config->upload_timeout_ms, 600000);
	assert_string_equal(config->root_firmware, "/d");
	config_free(config);
}

static void durations_and_sizes_have_their_units(void **state)
{
	static const struct { const char *text; int64_t ms; } times[] = {
		{ "500ms", 500 }, { "5s", 5000 }, { "10m", 600000 }, { "1h", 3600000 }, { "2d", 172800000 },
	};
	static const struct { const char *text; int64_t bytes; } sizes[] = {
		{ "0", 0 }, { "4096", 4096 }, { "1KiB", 1024 }, { "3MB", 3000000 },
		{ "2 GiB", INT64_C(2) << 30 }, { "1TiB", INT64_C(1) << 40 },
	};
	char text[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		snprintf(text, sizeof(text), "upload-timeout: %s\n", times[i].text);

		struct config *config = good(text);

		assert_int_equal(config->upload_timeout_ms, times[i].ms);
		config_free(config);
	}
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(text, sizeof(text), "cache: {quota: %s}\n", sizes[i].text);

		struct config *config = good(text);

		assert_int_equal(config->cache_quota, sizes[i].bytes);
		config_free(config);
	}
}

/* --- keys ------------------------------------------------------------------------------ */

static void a_misspelt_key_names_its_line_and_the_nearest_one(void **state)
{
	(void)state;
	bad("access: {group: fpga}\ntelemtry: {max-age: 1s}\n",
	    "2: unknown key 'telemtry', the nearest known one is 'telemetry'");
	bad("access: {gruop: fpga}\n", "1: unknown key 'gruop', the nearest known one is 'group'");
	bad("cards:\n  - {name: a, backend: sim,\n     config_clok_hz: 1}\n",
	    "3: unknown key 'config_clok_hz', the nearest known one is 'config_clock_hz'");
	bad("cards:\n  - {name: a, backend: sim, polcy: {}}\n",
	    "2: unknown key 'polcy', the nearest known one is 'policy'");
	bad("cards:\n  - {name: a, backend: sim, policy: {on_failure: rollback}}\n",
	    "2: unknown key 'on_failure', the nearest known one is 'on-failure'");
}

static void a_key_near_to_none_lists_the_known_ones(void **state)
{
	(void)state;
	bad("telemetry: {colour: blue}\n", "1: unknown key 'colour' of telemetry, known are: max-age");
	bad_in("spaceship: 1\n", 1, "unknown key 'spaceship', known are: access cards");
}

static void a_key_of_another_backend_is_unknown(void **state)
{
	(void)state;
	bad_in("cards:\n  - {name: a, backend: sim, program: [x]}\n", 2, "unknown key 'program'");
	bad_in("cards:\n  - {name: a, backend: command, config_clock_hz: 1}\n", 2,
	       "unknown key 'config_clock_hz'");
}

static void a_key_written_twice_is_refused(void **state)
{
	(void)state;
	bad("telemetry: {max-age: 1s}\ncache: {}\ntelemetry: {max-age: 2s}\n",
	    "3: the key 'telemetry' is here twice, first in line 1");
	bad_in("cards:\n- {name: a, name: b, backend: sim}\n", 2, "twice");
}

/* --- cards ----------------------------------------------------------------------------- */

static void cards_need_a_name_and_a_known_backend(void **state)
{
	(void)state;
	bad_in("cards:\n- {backend: sim}\n", 2, "without a name");
	bad_in("cards:\n- {name: a}\n", 2, "without a backend");
	bad_in("cards:\n- {name: a, backend: smi}\n", 2, "there is no 'smi', known are: ");
	bad_in("cards:\n- {name: a, backend: smi}\n", 2, "sim");
	bad_in("cards:\n- {name: a, backend: smi}\n", 2, "command");
}

static void two_cards_of_one_name_are_refused(void **state)
{
	(void)state;
	bad("cards:\n- {name: a, backend: sim}\n- {name: b, backend: sim}\n- {name: a, backend: sim}\n",
	    "4: a card named 'a' is already in line 2");
}

static void names_that_would_break_paths_are_refused(void **state)
{
	static const char *const names[] = { "a/b", "..", ".", ".hidden", "a b", "'a\tb'", "\"a\\nb\"",
					     "-x", "caf\xc3\xa9", "''" };
	char text[128], lengthy[65];

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "cards:\n- backend: sim\n  name: %s\n", names[i]);
		bad_in(text, 3, "name: ");
	}
	memset(lengthy, 'a', 64);
	lengthy[64] = '\0';
	snprintf(text, sizeof(text), "cards:\n- backend: sim\n  name: %s\n", lengthy);
	bad_in(text, 3, "at most 63");
}

static void a_command_is_a_list_and_not_a_shell_line(void **state)
{
	(void)state;
	bad_in("cards:\n- {name: a, backend: command, program: load %f}\n", 2, "no shell is used");
	bad_in("cards:\n- {name: a, backend: command, program: []}\n", 2, "needs a program");
	bad_in("cards:\n- {name: a, backend: command, program: ['']}\n", 2, "needs a program");
	bad_in("cards:\n- {name: a, backend: command, program: [a, [b]]}\n", 2, "only texts");
	bad_in("cards:\n- {name: a, backend: command, program: {a: b}}\n", 2, "has to be a list");
}

/* --- values ---------------------------------------------------------------------------- */

static void values_of_the_wrong_kind_name_what_is_wanted(void **state)
{
	static const struct { const char *text, *words; } cases[] = {
		{ "access: root\n", "access: 'root' is written here, it has to be a map" },
		{ "access: {mode: 999}\n", "octal mode" },
		{ "access: {mode: rw}\n", "octal mode" },
		{ "access: {mode: '0777'}\n", "without the bits for executing" },
		{ "access: {mode: '066000'}\n", "octal mode" },
		{ "access: {owner: [a]}\n", "owner: a list is written here, it has to be a text" },
		{ "access: {owner: }\n", "owner: nothing is written here" },
		{ "access: [a]\n", "it has to be a map" },
		{ "cards: {}\n", "it has to be a list" },
		{ "cards: [a]\n", "it has to be a map" },
		{ "cards: [[]]\n", "it has to be a map" },
		{ "upload-timeout: 10\n", "a time with its unit" },
		{ "upload-timeout: 10 parsecs\n", "a time with its unit" },
		{ "upload-timeout: -5s\n", "a time with its unit" },
		{ "upload-timeout: 99999999999999999999s\n", "a time with its unit" },
		{ "upload-timeout: 9223372036854775807h\n", "a time with its unit" },
		{ "upload-timeout: 9999d\n", "at most a year" },
		{ "upload-timeout: 0\n", "would end every upload" },
		{ "access: {owner: 4294967296}\n", "neither a name nor a number" },
		{ "access: {group: 4294967295}\n", "neither a name nor a number" },
		{ "access: {group: 18446744073709551616}\n", "neither a name nor a number" },
		{ "access: {owner: -1}\n", "neither a name nor a number" },
		{ "cache: {quota: 20 gigs}\n", "a size such as" },
		{ "cache: {quota: 9999999999TiB}\n", "a size such as" },
		{ "cache: {quota: -1}\n", "a size such as" },
		{ "roots: {sys: sys}\n", "not an absolute path" },
		{ "cards: [{name: a, backend: sim, config_clock_hz: fast}]\n", "a whole number" },
		{ "cards: [{name: a, backend: sim, config_clock_hz: 1e6}]\n", "a whole number" },
		{ "cards: [{name: a, backend: sim, slots: 99999999999999999999}]\n", "is too large, at most 64" },
		{ "cards: [{name: a, backend: sim, slots: 65}]\n", "at most 64" },
		{ "cards: [{name: a, backend: sim, faults: [x]}]\n", "it has to be a map" },
		{ "cards: [{name: a, backend: sim, faults: {x: {y: z}}}]\n", "text or number" },
		{ "cards: [{name: a, backend: sim, policy: {restore: maybe}}]\n", "true or false" },
		{ "cards: [{name: a, backend: sim, policy: {formats: []}}]\n", "allow nothing" },
		{ "cards: [{name: a, backend: sim, policy: {formats: [ice40, ice41]}}]\n",
		  "'ice41' is not known" },
		{ "cards: [{name: a, backend: sim, policy: {digests: [abc]}}]\n", "not a SHA-256" },
		{ "cards: [{name: a, backend: sim, policy: {repositories: []}}]\n", "allow nothing" },
		{ "cards: [{name: a, backend: sim, policy: {on-failure: panic}}]\n", "known are: keep" },
		{ "cards: [{name: a, backend: sim, policy: {max-per-minute: 17}}]\n", "at most 16" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		bad_in(cases[i].text, 1, cases[i].words);
}

static void repositories_have_the_keys_of_their_kinds(void **state)
{
	struct config *config = good("cache: {connect-timeout: 2s, offline-timeout: 3s}\n"
				     "repositories:\n"
				     "  nfs: {kind: directory, path: /net/images, max-age: 5s, depth: 2}\n"
				     "  other.one: {path: /srv, kind: directory, writable: no}\n");
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(config_finish(config, 0, &why), 0);
	assert_int_equal(config->repos_len, 2);

	const struct repo_config *nfs = &config->repos[0].repo;

	assert_string_equal(nfs->name, "nfs");
	assert_string_equal(nfs->kind, "directory");
	assert_int_equal(nfs->max_age_ms, 5000);
	assert_int_equal(nfs->connect_timeout_ms, 2000);
	assert_int_equal(nfs->offline_timeout_ms, 3000);
	assert_string_equal(repo_config_text(nfs, "path", ""), "/net/images");
	assert_int_equal(repo_config_get(nfs, "depth")->number, 2);
	assert_null(repo_config_get(nfs, "url"));
	assert_int_equal(config->repos[1].repo.max_age_ms, 60000);
	assert_false(config->repos[1].repo.writable);
	config_free(config);
}

static void repositories_that_cannot_be_are_refused_by_their_line(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "repositories:\n  nfs: {kind: directory}\n", "needs its path" },
		{ "repositories:\n  nfs: {kind: directory, path: net}\n", "not an absolute path" },
		{ "repositories:\n  nfs: {kind: directory, path: /x, depth: 17}\n", "at most 16 levels" },
		{ "repositories:\n  nfs: {kind: directory, pth: /x}\n", "the nearest known one is 'path'" },
		{ "repositories:\n  nfs: {kind: directory, zzzzzzzz: /x}\n",
		  "of a repository of kind directory, known are: kind max-age writable path depth" },
		{ "repositories:\n  nfs: {path: /x}\n", "the repository 'nfs' has no kind" },
		{ "repositories:\n  .repo: {kind: directory, path: /x}\n", "no name for a repository" },
		{ "repositories:\n  a/b: {kind: directory, path: /x}\n", "no name for a repository" },
		{ "repositories:\n  nfs: /x\n", "it has to be a map" },
		{ "cache:\n  offline-timeout: 0\n", "no repository could ever answer" },
		{ "repositories:\n  w: {kind: http, url: 'ftp://h/'}\n", "has to begin with http:// or https://" },
		{ "repositories:\n  w: {kind: http, url: 'http://[::1/x'}\n", "its host is neither" },
		{ "repositories:\n  w: {kind: http, url: 'http://h:99999/x'}\n", "its port is no number from 1 to 65535" },
		{ "repositories:\n  w: {kind: http, url: 'http://h/a b'}\n", "a blank" },
		{ "repositories:\n  w: {kind: http, url: 'http://al:sesame@h/'}\n",
		  "url is no address that can be asked: a user or a password does not belong into it" },
		{ "repositories:\n  w: {kind: http, url: 'http://h/', manifest: 'http://h:0/m'}\n", "manifest is no address" },
		{ "repositories:\n  w: {kind: http, url: 'http://h/', manifest: 'http://k/m'}\n",
		  "manifest: it has to be on the same server" },
		{ "repositories:\n  w: {kind: http, url: 'http://h/', checksums: '//h/m'}\n", "checksums is no address" },
		{ "repositories:\n  g: {kind: glance, endpoint: 'https://g/?x'}\n", "without user, query or fragment" },
		{ "repositories:\n  g: {kind: glance, auth-url: 'https://k:x', token-file: /x}\n", "its port is no number" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		bad_in(cases[i].text, 2, cases[i].words);
}

static void what_does_nothing_yet_is_refused_not_ignored(void **state)
{
	(void)state;
	bad_in("repositories:\n  reg: {kind: oci, url: 'https://x'}\n", 2,
	       "the repository 'reg': this version does not serve the kind oci yet");
	bad_in("repositories:\n  nfs: {kind: directory, path: /x, writable: true}\n", 2, "only reads");
	bad_in("repositories:\n  web: {kind: htpp}\n", 2, "known are: glance http");
	bad_in("repositories:\n  web: {knd: http}\n", 2, "the nearest known one is 'kind'");
	bad_in("cards: [{name: a, backend: sim, match: {serial: 1}}]\n", 1, "discovers none");
	bad_in("cards: [{name: a, backend: sim, policy: {repositories: [r]}}]\n", 1, "'r', none is configured");
	bad_in("cards: [{name: a, backend: sim, policy: {max-temp-celsius: 0}}]\n", 1, "0 would refuse everything");
	bad_in("cards: [{name: a, backend: sim, policy: {max-temp-celsius: 151}}]\n", 1, "at most 150");
	bad_in("cards: [{name: a, backend: sim, policy: {max-temp-celsius: warm}}]\n", 1, "max-temp-celsius");
	bad_in("cards: [{name: a, backend: sim, policy: {signers: [x]}}]\n", 1, "not enforced");
}

/* --- hostile files ---------------------------------------------------------------------- */

static void expansion_bombs_are_refused_at_the_first_anchor(void **state)
{
	(void)state;
	bad_in("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", 1, "anchors");
	bad_in("access: *a\n", 1, "aliases");
	bad_in("*a : 1\n", 1, "aliases");
	bad_in("access: {<<: *a}\n", 1, "aliases");
	bad_in("&a access: {}\n", 1, "anchors");
	bad_in("access: !!binary aGk=\n", 1, "tags");
	bad_in("access: !ruby/object {}\n", 1, "tags");
}

static void deep_nesting_ends_at_the_bound(void **state)
{
	struct buf text CLEANUP_BUF = BUF_INIT;

	(void)state;
	buf_adds(&text, "cards: ");
	for (int i = 0; i < 50000; i++)
		buf_adds(&text, "[");
	bad_in(text.data, 1, "nested more than 16");
	buf_clear(&text);
	for (int i = 0; i < 400; i++) {
		for (int j = 0; j < i; j++)
			buf_adds(&text, " ");
		buf_adds(&text, "a:\n");
	}
	bad_in(text.data, 17, "nested more than 16");
}

static void broken_yaml_has_its_line(void **state)
{
	(void)state;
	bad_in("access: {owner: root\ncards: []\n", 2, "not YAML");
	bad_in("access:\n\tgroup: x\n", 2, "not YAML");
	bad_in("cards: \"never ended\n", 2, "not YAML");
	bad_in("- a\n- b\n", 1, "has to be a map");
	bad_in("just text\n", 1, "has to be a map");
	bad_in("access: {}\n---\naccess: {}\n", 2, "second document");
	bad_in("[a]: 1\n", 1, "a key has to be a word");
	bad_in("access: {group: \"a\\0b\"}\n", 1, "a zero byte");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	static const unsigned char junk[] = { 'a', ':', ' ', 0xff, 0xfe, 0x00, '\n' };
	struct config *config;
	struct reason why = { 0 };
	unsigned char all[256];

	(void)state;
	file_write(junk, sizeof(junk));
	assert_int_equal(config_load(file, &config, &why), -EINVAL);
	assert_non_null(strstr(why.text, "not text in UTF-8"));
	for (unsigned i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	file_write(all, sizeof(all));
	assert_int_equal(config_load(file, &config, &why), -EINVAL);
}

static void control_bytes_of_the_file_do_not_reach_the_sentence(void **state)
{
	struct config *config;
	struct reason why = { 0 };
	const char *text = "\"\\e[31mred\\a\": 1\n";

	(void)state;
	file_write(text, strlen(text));
	assert_int_equal(config_load(file, &config, &why), -EINVAL);
	for (const char *c = why.text; *c; c++)
		assert_true((unsigned char)*c >= 0x20);
}

static void sizes_and_counts_are_capped(void **state)
{
	struct buf text CLEANUP_BUF = BUF_INIT;
	struct config *config;
	struct reason why = { 0 };

	(void)state;
	while (text.len <= CONF_FILE_MAX)
		buf_adds(&text, "# a comment that fills the file\n");
	file_write(text.data, text.len);
	assert_int_equal(config_load(file, &config, &why), -EFBIG);
	assert_non_null(strstr(why.text, "larger than 1048576 bytes"));

	buf_clear(&text);
	for (int i = 0; i < 300; i++)
		buf_addf(&text, "k%d: 1\n", i);
	bad_in(text.data, 257, "more than 256 keys");

	buf_clear(&text);
	buf_adds(&text, "cards: [");
	for (int i = 0; i < 100001; i++)
		buf_adds(&text, "a,");
	buf_adds(&text, "]\n");
	bad_in(text.data, 1, "more than 100000 values");

	buf_clear(&text);
	buf_adds(&text, "cards: [");
	for (int i = 0; i < CONFIG_CARDS_MAX + 1; i++)
		buf_adds(&text, "a,");
	buf_adds(&text, "]\n");
	bad_in(text.data, 1, "at most 4096");

	buf_clear(&text);
	buf_adds(&text, "access: {group: ");
	for (int i = 0; i < 4097; i++)
		buf_adds(&text, "a");
	buf_adds(&text, "}\n");
	bad_in(text.data, 1, "a text of 4097 bytes");
	bad_in("access: {group: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n", 1,
	       "longer than 63");
}

static void check_sentence(struct config **config, size_t at)
{
	struct reason why = { 0 };
	int err = config_load(file, config, &why);

	if (!err != !*why.text)
		fail_msg("at %zu: %d and the sentence '%s'", at, err, why.text);
}

/* Every prefix of a good file, and every good file with one byte changed, is
 * taken or refused with a sentence; nothing else. */
static void damaged_files_never_crash(void **state)
{
	static const char text[] = "access: {owner: root, mode: \"0660\"}\ncards:\n"
				   "  - {name: a, backend: command, program: [x, \"%f\"], verify: none}\n"
				   "  - name: b\n    backend: sim\n    policy: {formats: [ice40]}\n"
				   "upload-timeout: 10m\n";
	char copy[sizeof(text)];
	struct config *config;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++) {
		file_write(text, i);
		check_sentence(&config, i);
		config_free(config);
	}
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		static const char bytes[] = "\0\n\"&*!|>{[:#\x80 ";

		memcpy(copy, text, sizeof(text));
		copy[i] = bytes[i % (sizeof(bytes) - 1)];
		file_write(copy, sizeof(text) - 1);
		check_sentence(&config, i);
		config_free(config);
	}
}

static void only_regular_files_are_read(void **state)
{
	struct config *config;
	struct reason why = { 0 };

	(void)state;
	unlink(file);
	assert_int_equal(config_load(file, &config, &why), -ENOENT);
	assert_non_null(strstr(why.text, file));
	assert_int_equal(config_load(folder, &config, &why), -EINVAL);
	assert_non_null(strstr(why.text, "not a regular file"));
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(config_load(file, &config, &why), -EINVAL);
	assert_int_equal(config_load("/dev/zero", &config, &why), -EINVAL);
	unlink(file);
}

/* --- simulated cards --------------------------------------------------------------------- */

static void one_simulated_card_when_there_is_no_other(void **state)
{
	struct config *config = good("");
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(config_finish(config, -1, &why), 0);
	assert_int_equal(config->cards_len, 1);
	assert_string_equal(config->cards[0].card.name, "sim0");
	assert_string_equal(config->cards[0].backend, "sim");
	assert_string_equal(config->cards[0].card.part, "");
	assert_int_equal(config->cards[0].line, 0);
	assert_int_equal(config->cards[0].policy.restore, -1);
	config_free(config);

	config = good("cards: [{name: mine, backend: sim}]\n");
	assert_int_equal(config_finish(config, -1, &why), 0);
	assert_int_equal(config->cards_len, 1);
	config_free(config);

	config = good("");
	assert_int_equal(config_finish(config, 0, &why), 0);
	assert_int_equal(config->cards_len, 0);
	config_free(config);
}

static void asked_for_cards_skip_the_names_that_are_taken(void **state)
{
	struct config *config = good("cards: [{name: sim1, backend: sim}]\n");
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(config_finish(config, 3, &why), 0);
	assert_int_equal(config->cards_len, 4);
	assert_string_equal(config->cards[1].card.name, "sim0");
	assert_string_equal(config->cards[2].card.name, "sim2");
	assert_string_equal(config->cards[3].card.name, "sim3");
	config_free(config);
}

static void more_cards_than_the_bound_are_refused(void **state)
{
	struct config *config = good("");
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(config_finish(config, CONFIG_CARDS_MAX + 1, &why), -EINVAL);
	assert_non_null(strstr(why.text, "4096"));
	config_free(config);
}

static void what_the_backend_refuses_has_the_line_of_the_card(void **state)
{
	struct config *config = good("cards:\n- {name: ok, backend: sim}\n- {name: odd, backend: sim, "
				     "part: xc7a35t-nonsense}\n");
	struct reason why = { 0 };
	char front[160];

	(void)state;
	assert_int_equal(config_finish(config, -1, &why), -EINVAL);
	snprintf(front, sizeof(front), "%s:3: card 'odd': ", file);
	assert_memory_equal(why.text, front, strlen(front));
	config_free(config);

	config = good("cards:\n- {name: odd, backend: command, program: [/bin/true]}\n");
	assert_int_equal(config_finish(config, -1, &why), -EINVAL);
	assert_non_null(strstr(why.text, "verify"));
	config_free(config);
}

static void check_config_says_by_its_exit_status(void **state)
{
	char word[] = "check-config", extra[] = "x", help[] = "--help", wrong[] = "--wrong";

	(void)state;
	config_free(good("cards: [{name: a, backend: sim}]\n"));
	assert_int_equal(check_config_main(2, (char *[]){ word, file, NULL }), 0);
	file_write("crads: []\n", 10);
	assert_int_equal(check_config_main(2, (char *[]){ word, file, NULL }), 1);
	assert_int_equal(check_config_main(3, (char *[]){ word, file, extra, NULL }), 2);
	assert_int_equal(check_config_main(2, (char *[]){ word, wrong, NULL }), 2);
	assert_int_equal(check_config_main(2, (char *[]){ word, help, NULL }), 0);
}

static void the_nearest_word_is_near(void **state)
{
	static const char *const words[] = { "access", "cards", "cache", "roots", NULL };

	(void)state;
	assert_string_equal(conf_nearest("card", words), "cards");
	assert_string_equal(conf_nearest("caches", words), "cache");
	assert_string_equal(conf_nearest("acess", words), "access");
	assert_string_equal(conf_nearest("rotos", words), "roots");
	assert_null(conf_nearest("submarine", words));
	assert_null(conf_nearest("", words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_file_gives_the_defaults),
		cmocka_unit_test(an_empty_file_is_fine),
		cmocka_unit_test(every_documented_key_is_read),
		cmocka_unit_test(durations_and_sizes_have_their_units),
		cmocka_unit_test(a_misspelt_key_names_its_line_and_the_nearest_one),
		cmocka_unit_test(a_key_near_to_none_lists_the_known_ones),
		cmocka_unit_test(a_key_of_another_backend_is_unknown),
		cmocka_unit_test(a_key_written_twice_is_refused),
		cmocka_unit_test(cards_need_a_name_and_a_known_backend),
		cmocka_unit_test(two_cards_of_one_name_are_refused),
		cmocka_unit_test(names_that_would_break_paths_are_refused),
		cmocka_unit_test(a_command_is_a_list_and_not_a_shell_line),
		cmocka_unit_test(values_of_the_wrong_kind_name_what_is_wanted),
		cmocka_unit_test(repositories_have_the_keys_of_their_kinds),
		cmocka_unit_test(repositories_that_cannot_be_are_refused_by_their_line),
		cmocka_unit_test(what_does_nothing_yet_is_refused_not_ignored),
		cmocka_unit_test(expansion_bombs_are_refused_at_the_first_anchor),
		cmocka_unit_test(deep_nesting_ends_at_the_bound),
		cmocka_unit_test(broken_yaml_has_its_line),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(control_bytes_of_the_file_do_not_reach_the_sentence),
		cmocka_unit_test(sizes_and_counts_are_capped),
		cmocka_unit_test(damaged_files_never_crash),
		cmocka_unit_test(only_regular_files_are_read),
		cmocka_unit_test(one_simulated_card_when_there_is_no_other),
		cmocka_unit_test(asked_for_cards_skip_the_names_that_are_taken),
		cmocka_unit_test(more_cards_than_the_bound_are_refused),
		cmocka_unit_test(what_the_backend_refuses_has_the_line_of_the_card),
		cmocka_unit_test(check_config_says_by_its_exit_status),
		cmocka_unit_test(the_nearest_word_is_near),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
