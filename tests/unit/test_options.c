// SPDX-License-Identifier: Apache-2.0
/* The command line of a mount (fs/daemon/options.h). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/daemon/options.h"

static struct options o;
static struct reason why;
static char dir[] = "/tmp/fabricfs-options-XXXXXX";

/* Words end with NULL; the first, the program's name, is put in front. */
static int parse(const char *first, ...)
{
	char *argv[32] = { strdup("fabricfs") };
	int argc = 1, err;
	va_list ap;

	va_start(ap, first);
	for (const char *w = first; w && argc < 31; w = va_arg(ap, const char *))
		argv[argc++] = strdup(w);
	va_end(ap);
	argv[argc] = NULL;
	memset(&why, 0, sizeof(why));
	err = options_parse(argc, argv, &o, &why);
	for (int i = 0; i < 32; i++)
		free(argv[i]); /* getopt permutes, it loses nothing */
	return err;
}

static void refused(int err, const char *part)
{
	assert_int_equal(err, -EINVAL);
	if (!strstr(why.text, part))
		fail_msg("the sentence '%s' does not say '%s'", why.text, part);
}

static void mount_point_alone_gets_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse(dir, NULL), 0);
	assert_string_equal(o.mountpoint, dir);
	assert_string_equal(o.source, "fabricfs");
	assert_string_equal(o.state_dir, "/var/lib/fabricfs");
	assert_int_equal(o.sim, -1);
	assert_int_equal(o.threads, 0);
	assert_false(o.foreground);
	assert_false(o.debug);
	assert_int_equal(o.mount_flags, 0);
}

static void short_and_long_options_mean_the_same(void **state)
{
	(void)state;
	assert_int_equal(parse("-c", "/c.yaml", "-s", "/st", "-f", "-d", "--sim", "3", dir, NULL), 0);
	struct options first = o;

	assert_int_equal(parse(dir, "--config=/c.yaml", "--state-dir", "/st", "--foreground", "--debug",
			       "--sim=3", NULL), 0);
	assert_memory_equal(&first, &o, sizeof(o));
	assert_string_equal(o.config, "/c.yaml");
	assert_string_equal(o.state_dir, "/st");
	assert_int_equal(o.sim, 3);
	assert_true(o.foreground && o.debug);
}

static void what_mount_and_fstab_pass_is_understood(void **state)
{
	(void)state;
	/* mount -t fuse.fabricfs none DIR -o allow_other,sim=2 runs this. */
	assert_int_equal(parse("none", dir, "-o", "rw,allow_other,sim=2,dev,suid", NULL), 0);
	assert_string_equal(o.source, "fabricfs");
	assert_string_equal(o.mountpoint, dir);
	assert_int_equal(o.sim, 2);
	assert_true(o.allow_other);
	assert_int_equal(parse("cards", dir, "-o",
			       "auto,noauto,user,users,nofail,_netdev,defaults,x-systemd.automount,"
			       "config=/c.yaml,state-dir=/st,threads=3,comment=x", NULL), 0);
	assert_string_equal(o.source, "cards");
	assert_string_equal(o.config, "/c.yaml");
	assert_string_equal(o.state_dir, "/st");
	assert_int_equal(o.threads, 3);
}

static void flags_of_mount_add_up_and_the_last_one_wins(void **state)
{
	(void)state;
	assert_int_equal(parse("-o", "ro,noexec,noatime", "-o", "exec,nosuid,nodev", dir, NULL), 0);
	assert_int_equal(o.mount_flags, MS_RDONLY | MS_NOATIME);
	assert_int_equal(parse("-o", "ro", "-o", "rw,,", dir, NULL), 0);
	assert_int_equal(o.mount_flags, 0);
}

static void unknown_mount_option_is_named(void **state)
{
	(void)state;
	refused(parse("-o", "rw,colour=red", dir, NULL), "colour");
	refused(parse("-o", "remount,ro", dir, NULL), "remount");
	refused(parse("-o", "sim=", dir, NULL), "sim=");
	refused(parse("-o", "config=", dir, NULL), "config=");
}

static void wrong_command_lines_are_refused_with_what_was_wanted(void **state)
{
	(void)state;
	refused(parse(NULL), "mount point");
	refused(parse("a", "b", dir, NULL), "3 words");
	refused(parse("--colour", dir, NULL), "--colour");
	refused(parse("-x", dir, NULL), "-x");
	refused(parse(dir, "-c", NULL), "-c");
	refused(parse("--sim", "many", dir, NULL), "many");
	refused(parse("--sim", "-1", dir, NULL), "-1");
	refused(parse("--sim", "4x", dir, NULL), "4x");
	refused(parse("--sim", "99999999999999999999", dir, NULL), "99999999999999999999");
}

static void a_misspelt_command_is_no_source(void **state)
{
	(void)state;
	refused(parse("inspec", "x.bin", NULL), "no command 'inspec', the nearest is 'inspect'");
	refused(parse("isnpect", "Makefile", NULL), "the nearest is 'inspect'");
	refused(parse("inspekt", "a", "b", "c", NULL), "the nearest is 'inspect'");
	refused(parse("check-confg", NULL), "the nearest is 'check-config'");
	refused(parse("checkconfig", "x.yaml", NULL), "the nearest is 'check-config'");
	refused(parse("-d", "inspect", "x.bin", NULL), "inspect has to be the first word");
	refused(parse("--json", "inspect", "x.bin", NULL), "inspect has to be the first word");
	refused(parse("help", NULL), "--help is an option");
	/* Whatever it is called, where there is a directory to mount on it is a source. */
	assert_int_equal(parse("inspec", dir, NULL), 0);
	assert_string_equal(o.source, "inspec");
	/* And what looks like none is told what it was told before. */
	assert_int_equal(parse("bench", "/nowhere/at/all", NULL), -ENOENT);
	assert_non_null(strstr(why.text, "no such directory"));
	assert_int_equal(parse("/inspec", NULL), -ENOENT);
}

static void path_that_is_too_long_is_refused_and_not_cut(void **state)
{
	char path[PATH_MAX + 10];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	refused(parse("-c", path, dir, NULL), "longer");
	refused(parse("-s", path, dir, NULL), "longer");
}

static void relative_paths_are_of_the_working_directory(void **state)
{
	char wanted[PATH_MAX], link[PATH_MAX];

	(void)state;
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("mnt", 0700), 0);
	snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink("mnt", link), 0);
	assert_int_equal(parse("-c", "c.yaml", "-s", "st", "mnt", NULL), 0);
	snprintf(wanted, sizeof(wanted), "%s/c.yaml", dir);
	assert_string_equal(o.config, wanted);
	snprintf(wanted, sizeof(wanted), "%s/st", dir);
	assert_string_equal(o.state_dir, wanted);
	snprintf(wanted, sizeof(wanted), "%s/mnt", dir);
	assert_string_equal(o.mountpoint, wanted);
	/* What the kernel will call it, which is how it is found again. */
	assert_int_equal(parse("link/.", NULL), 0);
	assert_string_equal(o.mountpoint, wanted);
	assert_int_equal(unlink("link"), 0);
	assert_int_equal(rmdir("mnt"), 0);
	assert_int_equal(chdir("/"), 0);
}

static void missing_mount_point_is_not_a_usage_fault(void **state)
{
	(void)state;
	assert_int_equal(parse("/no/such/place", NULL), -ENOENT);
	assert_non_null(strstr(why.text, "/no/such/place"));
}

static void state_without_root_is_where_xdg_says(void **state)
{
	(void)state;
	if (seteuid(65534)) {
		print_message("skip: needs root to become somebody else: %s\n", strerror(errno));
		skip();
	}
	setenv("XDG_STATE_HOME", "/x/state", 1);
	assert_int_equal(parse("/", NULL), 0);
	assert_string_equal(o.state_dir, "/x/state/fabricfs");
	setenv("XDG_STATE_HOME", "relative", 1); /* invalid, so it counts as unset */
	setenv("HOME", "/home/al", 1);
	assert_int_equal(parse("/", NULL), 0);
	assert_string_equal(o.state_dir, "/home/al/.local/state/fabricfs");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	refused(parse("/", NULL), "--state-dir");
	assert_int_equal(seteuid(0), 0);
}

static void help_and_version_need_no_mount_point(void **state)
{
	(void)state;
	assert_int_equal(parse("--help", NULL), 0);
	assert_true(o.help);
	assert_int_equal(parse("-V", NULL), 0);
	assert_true(o.version);
}

static void help_names_every_option(void **state)
{
	static const char *const options[] = { "-c, --config", "-s, --state-dir", "--sim", "-f, --foreground",
					       "-d, --debug", "-o OPT", "-h, --help", "-V, --version",
					       "config=", "state-dir=", "sim=", "threads=", "inspect",
					       "check-config" };

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		assert_non_null(strstr(options_help(), options[i]));
}

static int dir_make(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int dir_remove(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_point_alone_gets_the_defaults),
		cmocka_unit_test(short_and_long_options_mean_the_same),
		cmocka_unit_test(what_mount_and_fstab_pass_is_understood),
		cmocka_unit_test(flags_of_mount_add_up_and_the_last_one_wins),
		cmocka_unit_test(unknown_mount_option_is_named),
		cmocka_unit_test(wrong_command_lines_are_refused_with_what_was_wanted),
		cmocka_unit_test(a_misspelt_command_is_no_source),
		cmocka_unit_test(path_that_is_too_long_is_refused_and_not_cut),
		cmocka_unit_test(relative_paths_are_of_the_working_directory),
		cmocka_unit_test(missing_mount_point_is_not_a_usage_fault),
		cmocka_unit_test(state_without_root_is_where_xdg_says),
		cmocka_unit_test(help_and_version_need_no_mount_point),
		cmocka_unit_test(help_names_every_option),
	};

	return cmocka_run_group_tests_name("options", tests, dir_make, dir_remove);
}
