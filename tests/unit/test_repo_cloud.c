// SPDX-License-Identifier: Apache-2.0
/* Where a cloud is and who asks it: clouds.yaml, secure.yaml, profiles, the environment, own keys. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/repo/cloud.h"
#include "backend/repo/yaml_file.h"
#include "tests/unit/repo_fixture.h"

static char folder[] = "/tmp/fabricfs-cloud-XXXXXX";
static char clouds[64], path[128];
static struct cloud cloud;
static struct reason why;

static int setup(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = { "clouds.yaml", "secure.yaml", "clouds-public.yaml", "secret" };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

static int each_begin(void **state)
{
	static const char *const names[] = { "OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD",
		"OS_PROJECT_NAME", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_AUTH_TYPE",
		"OS_REGION_NAME", "OS_INTERFACE", "OS_TENANT_NAME", "OS_IDENTITY_API_VERSION",
		"OS_USER_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_ID", "OS_SYSTEM_SCOPE", "OS_DOMAIN_NAME",
		"XDG_CONFIG_HOME" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	(void)teardown(state);
	mkdir(folder, 0700);
	return 0;
}

static int each_end(void **state)
{
	(void)state;
	cloud_free(&cloud);
	return 0;
}

static const char *made(const char *name, const char *text)
{
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
	return path;
}

static void good(const char *const *pairs)
{
	struct repo_made config;

	cloud_free(&cloud);
	if (cloud_read(repo_made(&config, pairs), &cloud, &why))
		fail_msg("refused: %s", why.text);
}

static void refused(const char *const *pairs, const char *sentence)
{
	struct repo_made config;

	cloud_free(&cloud);
	why = (struct reason){ 0 };
	assert_int_not_equal(cloud_read(repo_made(&config, pairs), &cloud, &why), 0);
	if (!strstr(why.text, sentence))
		fail_msg("'%s' has no '%s'", why.text, sentence);
	cloud_free(&cloud);
}

static void clouds_made(const char *text)
{
	snprintf(clouds, sizeof(clouds), "%s", made("clouds.yaml", text));
}

static const char plain[] =
	"clouds:\n"
	"  lab:\n"
	"    auth: {auth_url: 'https://k.example/identity/', username: al, password: \"p: #\\\"x\",\n"
	"           project_name: fpga, user_domain_name: Users, project_domain_id: d7}\n"
	"    region_name: R1\n"
	"    interface: internalURL\n"
	"    cacert: ca.pem\n"
	"    cert: /etc/c.pem\n"
	"    key: /etc/k.pem\n"
	"    verify: yes\n";

/* --- tests -------------------------------------------------------------------------- */

static void a_cloud_is_read_from_clouds_yaml(void **state)
{
	(void)state;
	clouds_made(plain);
	good(PAIRS("cloud", "lab", "clouds-file", clouds));
	assert_int_equal(cloud.auth, CLOUD_PASSWORD);
	assert_string_equal(cloud.auth_url, "https://k.example/identity/v3");
	assert_string_equal(cloud.username, "al");
	assert_string_equal(cloud.secret.text, "p: #\"x");
	assert_string_equal(cloud.project, "fpga");
	assert_string_equal(cloud.user_domain, "Users");
	assert_string_equal(cloud.project_domain_id, "d7");
	assert_null(cloud.project_domain);
	assert_string_equal(cloud.region, "R1");
	assert_string_equal(cloud.interface, "internal");
	snprintf(path, sizeof(path), "%s/ca.pem", folder);
	assert_string_equal(cloud.cacert, path);
	assert_string_equal(cloud.cert, "/etc/c.pem");
	assert_false(cloud.insecure);
}

static void the_only_cloud_of_a_file_needs_no_name(void **state)
{
	(void)state;
	clouds_made(plain);
	good(PAIRS("clouds-file", clouds));
	assert_non_null(strstr(cloud.where, "cloud 'lab' of "));
	clouds_made("clouds: {a: {auth: {}}, b: {auth: {}}}");
	refused(PAIRS("clouds-file", clouds), "several clouds");
	refused(PAIRS("clouds-file", clouds, "cloud", "c"), "has no cloud 'c'; it has a, b");
}

static void secure_yaml_goes_over_clouds_yaml_key_by_key(void **state)
{
	(void)state;
	clouds_made("clouds: {lab: {auth: {auth_url: 'http://k:5000', username: al, password: old,"
		    " project_name: p}}}");
	made("secure.yaml", "clouds: {lab: {auth: {password: new}}, other: {auth: {username: x}}}");
	good(PAIRS("cloud", "lab", "clouds-file", clouds));
	assert_string_equal(cloud.secret.text, "new");
	assert_string_equal(cloud.username, "al");
}

static void a_profile_stands_under_the_cloud(void **state)
{
	(void)state;
	clouds_made("clouds: {lab: {profile: vendor, auth: {username: al, password: x, project_name: p}}}");
	made("clouds-public.yaml", "public-clouds: {vendor: {auth: {auth_url: 'https://v.example:5000/v3/',"
	     " username: nobody}, regions: [{name: R7}, R8], interface: admin}}");
	good(PAIRS("cloud", "lab", "clouds-file", clouds));
	assert_string_equal(cloud.auth_url, "https://v.example:5000/v3");
	assert_string_equal(cloud.username, "al");
	assert_string_equal(cloud.region, "R7");
	assert_string_equal(cloud.interface, "admin");
}

static void a_region_has_values_of_its_own(void **state)
{
	(void)state;
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: al, password: x, project_name: p},"
		    " interface: admin, regions: [R1, {name: R2, values: {interface: internal,"
		    " auth: {project_name: q}}}]}}");
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.region, "R1");
	assert_string_equal(cloud.interface, "admin");
	cloud_free(&cloud);
	good(PAIRS("clouds-file", clouds, "region", "R2"));
	assert_string_equal(cloud.region, "R2");
	assert_string_equal(cloud.interface, "internal");
	assert_string_equal(cloud.project, "q");
	cloud_free(&cloud);
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: al, password: x}, region_name: R1,"
		    " image_region_name: R3, interface: admin, image_interface: internal}}");
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.region, "R3");
	assert_string_equal(cloud.interface, "internal");
	cloud_free(&cloud);
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://{region_name}.k/v3', username: al, password: x},"
		    " region_name: 'r1,r2'}}");
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.region, "r1");
	cloud_free(&cloud);
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: al, password: x}, region_name: R2,"
		    " regions: [R1, R2]}}");
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.region, "R2"); /* and the log tells that others would not */
	cloud_free(&cloud);
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://{region_name}.k/v3', username: al, password: x},"
		    " region_name: 'r1,r2'}}");
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.auth_url, "https://r1.k/v3");
}

static void what_fabricfs_yaml_says_counts_whether_name_or_id(void **state)
{
	char secret[128];

	(void)state;
	clouds_made("clouds: {lab: {profile: v, auth: {auth_url: 'https://k', user_id: u1, project_name: p,"
		    " project_id: p1, password: x}}}");
	made("clouds-public.yaml", "public-clouds: {v: {auth: {username: nobody, user_domain_id: default}}}");
	snprintf(secret, sizeof(secret), "%s", made("secure.yaml", "clouds: {lab: {auth: {user_domain_name: Users}}}"));
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.user_id, "u1");
	/* An id counts, also one of a profile: that is how clients of OpenStack do it. */
	assert_string_equal(cloud.user_domain_id, "default");
	assert_string_equal(cloud.project_id, "p1");
	assert_string_equal(cloud.project, "p");
	cloud_free(&cloud);
	good(PAIRS("clouds-file", clouds, "username", "al", "project", "mine"));
	assert_string_equal(cloud.username, "al");
	assert_null(cloud.user_id);
	assert_string_equal(cloud.project, "mine");
	assert_null(cloud.project_id);
	unlink(secret);
}

static void one_domain_may_be_said_for_both(void **state)
{
	(void)state;
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: al, password: x, project_name: p,"
		    " domain_name: D, project_domain_id: d7, default_domain_id: no}}}");
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.user_domain, "D");
	assert_null(cloud.user_domain_id);
	assert_string_equal(cloud.project_domain_id, "d7");
	assert_null(cloud.project_domain);
	cloud_free(&cloud);
	/* Of one's own it is not overruled by a default. */
	setenv("OS_AUTH_URL", "https://k", 1);
	setenv("OS_USERNAME", "al", 1);
	setenv("OS_PASSWORD", "x", 1);
	setenv("OS_USER_DOMAIN_NAME", "Users", 1);
	setenv("OS_DEFAULT_DOMAIN_ID", "d0", 1);
	good(NULL);
	assert_string_equal(cloud.user_domain, "Users");
	assert_null(cloud.user_domain_id);
	assert_string_equal(cloud.project_domain_id, "d0");
}

static void old_and_dashed_spellings_are_taken(void **state)
{
	(void)state;
	clouds_made("clouds: {lab: {auth-type: v3password, auth: {auth-url: 'https://k', user_name: al, password: x,"
		    " tenant-name: p, user-domain-name: D}, endpoint_type: internalURL, image_endpoint: 'https://g'}}");
	good(PAIRS("clouds-file", clouds));
	assert_string_equal(cloud.username, "al");
	assert_string_equal(cloud.project, "p");
	assert_string_equal(cloud.user_domain, "D");
	assert_string_equal(cloud.interface, "internal");
	assert_string_equal(cloud.endpoint, "https://g");
	cloud_free(&cloud);
	clouds_made("clouds: {lab: {auth_plugin: token_endpoint, auth: {endpoint: 'https://g/', token: t}}}");
	good(PAIRS("clouds-file", clouds));
	assert_int_equal(cloud.auth, CLOUD_FIXED_TOKEN);
	assert_string_equal(cloud.endpoint, "https://g/");
}

static void files_are_found_where_openstacks_clients_find_them(void **state)
{
	char dir[96], file[128];

	(void)state;
	/* The first that is there is the one, whether it has the cloud or not. */
	snprintf(dir, sizeof(dir), "%s/openstack", folder);
	assert_int_equal(mkdir(dir, 0700), 0);
	setenv("XDG_CONFIG_HOME", folder, 1);
	made("openstack/clouds.yml", "clouds: {lab: {auth: {auth_url: 'https://k', username: al}}}");
	made("openstack/secure.json", "{\"clouds\": {\"lab\": {\"auth\": {\"password\": \"sesame\"}}}}");
	good(PAIRS("cloud", "lab"));
	assert_string_equal(cloud.secret.text, "sesame");
	refused(PAIRS("cloud", "other"), "has no cloud 'other'; it has lab");
	setenv("OS_CLOUD", "lab", 1);
	setenv("OS_REGION_NAME", "R9", 1);
	good(NULL);
	assert_null(cloud.region);
	/* openstacksdk's word for the environment itself. */
	setenv("OS_CLOUD", "envvars", 1);
	setenv("OS_AUTH_URL", "https://env", 1);
	refused(NULL, "the environment (OS_...): there is no OS_USERNAME");
	snprintf(file, sizeof(file), "%s/clouds.yml", dir);
	unlink(file);
	snprintf(file, sizeof(file), "%s/secure.json", dir);
	unlink(file);
	rmdir(dir);
}

static void anchors_and_merges_are_yaml_too(void **state)
{
	(void)state;
	clouds_made("base: &base\n  region_name: R1\n  auth: &auth {auth_url: 'https://k', username: al}\n"
		    "clouds:\n  lab:\n    <<: *base\n    region_name: R2\n    auth:\n      <<: *auth\n"
		    "      password: x\n      project_id: 0123\n");
	good(PAIRS("cloud", "lab", "clouds-file", clouds));
	assert_string_equal(cloud.region, "R2");
	assert_string_equal(cloud.username, "al");
	assert_string_equal(cloud.project_id, "0123");
}

static void an_alias_to_what_contains_it_ends(void **state)
{
	(void)state;
	clouds_made("clouds: &c\n  lab: &l\n    <<: *l\n    auth: *c\n    profile: *l\n");
	refused(PAIRS("cloud", "lab", "clouds-file", clouds), "there is no auth_url");
	clouds_made("&r {<<: *r, a: b}");
	refused(PAIRS("cloud", "lab", "clouds-file", clouds), "has no cloud 'lab'");
}

static void kinds_of_credentials_are_known_by_auth_type_or_by_what_is_there(void **state)
{
	(void)state;
	clouds_made("clouds: {a: {auth_type: v3applicationcredential, auth: {auth_url: 'https://k',"
		    " application_credential_id: i, application_credential_secret: s}},"
		    " b: {auth: {auth_url: 'https://k', application_credential_name: n, username: u,"
		    " application_credential_secret: s}},"
		    " c: {auth_type: token, auth: {auth_url: 'https://k', token: t}},"
		    " d: {auth_type: none, image_endpoint_override: 'http://g:9292/'},"
		    " e: {auth_type: admin_token, auth: {token: t}, image_endpoint_override: 'http://g'}}");
	good(PAIRS("cloud", "a", "clouds-file", clouds));
	assert_int_equal(cloud.auth, CLOUD_APPLICATION);
	cloud_free(&cloud);
	good(PAIRS("cloud", "b", "clouds-file", clouds));
	assert_int_equal(cloud.auth, CLOUD_APPLICATION);
	cloud_free(&cloud);
	good(PAIRS("cloud", "c", "clouds-file", clouds));
	assert_int_equal(cloud.auth, CLOUD_TOKEN);
	assert_string_equal(cloud.secret.text, "t");
	cloud_free(&cloud);
	good(PAIRS("cloud", "d", "clouds-file", clouds));
	assert_int_equal(cloud.auth, CLOUD_NONE);
	cloud_free(&cloud);
	good(PAIRS("cloud", "e", "clouds-file", clouds));
	assert_int_equal(cloud.auth, CLOUD_FIXED_TOKEN);
}

static void what_is_not_spoken_is_refused_by_name(void **state)
{
	(void)state;
	clouds_made("clouds: {lab: {auth_type: v3oidcpassword, auth: {auth_url: 'https://k'}}}");
	refused(PAIRS("clouds-file", clouds), "auth_type 'v3oidcpassword' is not known here, wanted is one of "
		"password, v3password, v3applicationcredential, token, v3token, admin_token, token_endpoint, none");
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: u, password: p, system_scope: all}}}");
	refused(PAIRS("clouds-file", clouds), "system_scope is not spoken here");
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: u, password: p, trust_id: t}}}");
	refused(PAIRS("clouds-file", clouds), "trust_id is not spoken here");
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: u, password: p, domain_name: D}}}");
	refused(PAIRS("clouds-file", clouds), "domain_name without a project asks for a token of a domain");
	clouds_made("clouds: {lab: {image_api_version: 1, auth: {auth_url: 'https://k', username: u, password: p}}}");
	refused(PAIRS("clouds-file", clouds), "image_api_version is 1; only version 2");
	clouds_made("clouds: {lab: {verify: true, insecure: true, auth: {auth_url: 'https://k'}}}");
	refused(PAIRS("clouds-file", clouds), "cannot both be meant");
	clouds_made("clouds: {lab: {insecure: perhaps, auth: {auth_url: 'https://k'}}}");
	refused(PAIRS("clouds-file", clouds), "insecure is 'perhaps'");
	clouds_made("clouds: {lab: {profile: ovh, auth: {username: u, password: p}}}");
	refused(PAIRS("clouds-file", clouds), "its profile 'ovh' is in no clouds-public.yaml");
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://[::1', username: u, password: p}}}");
	refused(PAIRS("clouds-file", clouds), "the auth_url cannot be asked: its host is neither");
	clouds_made("clouds: {lab: {identity_api_version: 2.0, auth: {auth_url: 'https://k'}}}");
	refused(PAIRS("clouds-file", clouds), "only Keystone's version 3");
	clouds_made("clouds: {lab: {interface: outside, auth: {auth_url: 'https://k', username: u, password: p}}}");
	refused(PAIRS("clouds-file", clouds), "wanted is public, internal or admin");
	clouds_made("clouds: {lab: {auth: {auth_url: 'ftp://k', username: u, password: p}}}");
	refused(PAIRS("clouds-file", clouds), "http:// or https://");
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://u:sesame@k', username: u, password: p}}}");
	refused(PAIRS("clouds-file", clouds), "no user, query or fragment");
	assert_null(strstr(why.text, "sesame"));
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', username: u}}}");
	refused(PAIRS("clouds-file", clouds), "there is no password");
	clouds_made("clouds: {lab: {verify: perhaps, auth: {auth_url: 'https://k'}}}");
	refused(PAIRS("clouds-file", clouds), "verify is 'perhaps'");
	clouds_made("clouds: {lab: {auth: {auth_url: 'https://k', password: p}}}");
	refused(PAIRS("clouds-file", clouds), "there is no username");
	clouds_made("clouds: {lab: {auth_type: v3applicationcredential, auth: {auth_url: 'https://k',"
		    " application_credential_name: n, application_credential_secret: s}}}");
	refused(PAIRS("clouds-file", clouds), "by its id, or by its name and its user");
}

static void a_file_that_is_no_yaml_is_refused_without_being_quoted(void **state)
{
	(void)state;
	clouds_made("clouds:\n  lab: {auth: {password: sesame\n  x: ]\n");
	refused(PAIRS("clouds-file", clouds), "clouds.yaml:");
	assert_null(strstr(why.text, "sesame"));
	clouds_made("- sesame\n");
	refused(PAIRS("clouds-file", clouds), "a mapping is wanted");
	refused(PAIRS("clouds-file", "/nonexistent/clouds.yaml"), "/nonexistent/clouds.yaml");
	clouds_made("");
	refused(PAIRS("clouds-file", clouds), "a mapping is wanted");
}

static void the_environment_is_one_more_way(void **state)
{
	(void)state;
	refused(NULL, "where Keystone is and who asks it is not told");
	setenv("OS_AUTH_URL", "https://k:5000/v3", 1);
	setenv("OS_USERNAME", "al", 1);
	setenv("OS_PASSWORD", "sesame", 1);
	setenv("OS_TENANT_NAME", "fpga", 1);
	setenv("OS_INTERFACE", "public", 1);
	good(NULL);
	assert_string_equal(cloud.auth_url, "https://k:5000/v3");
	assert_string_equal(cloud.project, "fpga");
	assert_string_equal(cloud.secret.text, "sesame");
	cloud_free(&cloud);
	unsetenv("OS_PASSWORD");
	refused(NULL, "there is no OS_PASSWORD");
	clouds_made(plain);
	setenv("OS_CLIENT_CONFIG_FILE", clouds, 1);
	setenv("OS_CLOUD", "lab", 1);
	good(NULL);
	assert_string_equal(cloud.region, "R1");
}

static void own_keys_need_no_file_and_go_over_one(void **state)
{
	char secret[128];

	(void)state;
	snprintf(secret, sizeof(secret), "%s", made("secret", "sesame\r\nrest\n"));
	setenv("OS_PROJECT_NAME", "not this one", 1);
	good(PAIRS("auth-url", "https://k", "username", "al", "password-file", secret, "project", "fpga"));
	assert_string_equal(cloud.secret.text, "sesame");
	assert_string_equal(cloud.project, "fpga");
	assert_string_equal(cloud.interface, "public");
	cloud_free(&cloud);
	clouds_made(plain);
	good(PAIRS("cloud", "lab", "clouds-file", clouds, "region", "R9", "interface", "public", "cacert",
		   "/own.pem", "verify", "no", "password-file", secret));
	assert_string_equal(cloud.region, "R9");
	assert_string_equal(cloud.interface, "public");
	assert_string_equal(cloud.cacert, "/own.pem");
	assert_string_equal(cloud.secret.text, "sesame");
	assert_true(cloud.insecure);
}

static void a_file_that_was_written_since_is_noticed(void **state)
{
	char secure[128];

	(void)state;
	clouds_made(plain);
	good(PAIRS("cloud", "lab", "clouds-file", clouds));
	assert_false(seen_files_changed(&cloud.files));
	clouds_made(plain);
	assert_true(seen_files_changed(&cloud.files));
	seen_files_look(&cloud.files);
	assert_false(seen_files_changed(&cloud.files));
	/* Also one that was not there, and one that is not there any more. */
	snprintf(secure, sizeof(secure), "%s", made("secure.yaml", "clouds: {}"));
	assert_true(seen_files_changed(&cloud.files));
	cloud_free(&cloud);
	good(PAIRS("cloud", "lab", "clouds-file", clouds));
	assert_int_equal(unlink(secure), 0);
	assert_true(seen_files_changed(&cloud.files));
	cloud_free(&cloud);
	/* The environment does not change. */
	setenv("OS_AUTH_URL", "https://k", 1);
	setenv("OS_USERNAME", "al", 1);
	setenv("OS_PASSWORD", "x", 1);
	good(NULL);
	assert_false(seen_files_changed(&cloud.files));
}

static int checked(const char *const *pairs)
{
	struct repo_made config;

	why = (struct reason){ 0 };
	return cloud_check(repo_made(&config, pairs), &why);
}

static void keys_that_do_not_fit_together_are_refused_before_anything_is_read(void **state)
{
	(void)state;
	assert_int_equal(checked(NULL), 0);
	assert_int_equal(checked(PAIRS("cloud", "lab", "region", "R1")), 0);
	assert_int_equal(checked(PAIRS("auth-url", "https://k", "password-file", "/x")), 0);
	assert_int_equal(checked(PAIRS("cloud", "lab", "auth-url", "https://k")), -EINVAL);
	assert_int_equal(checked(PAIRS("auth-url", "https://k")), -EINVAL);
	assert_int_equal(checked(PAIRS("auth-url", "https://k", "password-file", "/x", "token-file", "/y")), -EINVAL);
	assert_int_equal(checked(PAIRS("cert", "/c")), 0); /* its key may be within */
	assert_int_equal(checked(PAIRS("key", "/c")), -EINVAL);
	assert_int_equal(checked(PAIRS("interface", "publicURL")), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each_begin, each_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_cloud_is_read_from_clouds_yaml),
		TEST(the_only_cloud_of_a_file_needs_no_name),
		TEST(secure_yaml_goes_over_clouds_yaml_key_by_key),
		TEST(a_profile_stands_under_the_cloud),
		TEST(a_region_has_values_of_its_own),
		TEST(what_fabricfs_yaml_says_counts_whether_name_or_id),
		TEST(one_domain_may_be_said_for_both),
		TEST(old_and_dashed_spellings_are_taken),
		TEST(files_are_found_where_openstacks_clients_find_them),
		TEST(anchors_and_merges_are_yaml_too),
		TEST(an_alias_to_what_contains_it_ends),
		TEST(kinds_of_credentials_are_known_by_auth_type_or_by_what_is_there),
		TEST(what_is_not_spoken_is_refused_by_name),
		TEST(a_file_that_is_no_yaml_is_refused_without_being_quoted),
		TEST(the_environment_is_one_more_way),
		TEST(own_keys_need_no_file_and_go_over_one),
		TEST(a_file_that_was_written_since_is_noticed),
		TEST(keys_that_do_not_fit_together_are_refused_before_anything_is_read),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
