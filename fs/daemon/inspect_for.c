// SPDX-License-Identifier: Apache-2.0
/*
 * What `inspect --for` compares with (inspect_for.h). Of a card it is read from
 * the files of its directory, which are what an upload is compared with too.
 * A container may have been given nothing but that one directory, so the mounts
 * are looked through for it as well as for the whole tree.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>

#include "inspect_for.h"

/* --- mounts --------------------------------------------------------------------------- */

/* The kernel writes blanks, backslashes and others as \ and three octal digits. */
static void unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
		    in[3] >= '0' && in[3] <= '7') {
			*out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

/* A line of mountinfo (proc(5)): what of the tree is mounted, and where. False: it is no tree. */
static bool mount_line(char *line, const char **root, const char **dir)
{
	char *fields[5], *save = NULL, *word = strtok_r(line, " \n", &save);

	for (unsigned i = 0; i < 5; i++, word = strtok_r(NULL, " \n", &save)) {
		if (!word)
			return false;
		fields[i] = word;
	}
	/* Optional fields end with a dash. */
	while (word && strcmp(word, "-") != 0)
		word = strtok_r(NULL, " \n", &save);
	word = strtok_r(NULL, " \n", &save);
	if (!word || strcmp(word, "fuse.fabricfs") != 0)
		return false;
	unescape(fields[3]);
	unescape(fields[4]);
	*root = fields[3];
	*dir = fields[4];
	return true;
}

/* Where devN is: appended to out. False: nowhere that this process sees. */
static bool mounts_search(const char *dev, struct buf *out)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line CLEANUP_FREE = NULL;
	const char *root, *dir;
	size_t size = 0;
	bool found = false;

	while (mounts && !found && getline(&line, &size, mounts) > 0) {
		if (!mount_line(line, &root, &dir))
			continue;
		found = true;
		if (!strcmp(root, "/"))
			buf_addf(out, "%s/%s", strcmp(dir, "/") != 0 ? dir : "", dev);
		else if (root[0] == '/' && !strcmp(root + 1, dev))
			buf_adds(out, dir);
		else
			found = false;
	}
	if (mounts)
		fclose(mounts);
	return found;
}

/* --- a card's files ---------------------------------------------------------------------- */

/* One value, without its newline. 0 or -errno, and then it is "". */
static int read_value(const char *folder, const char *file, char *out, size_t size)
{
	struct buf path CLEANUP_BUF = BUF_INIT;
	int fd CLEANUP_FD = -1;
	ssize_t n;

	out[0] = '\0';
	buf_addf(&path, "%s/%s", folder, file);
	if (buf_ok(&path))
		return -ENOMEM;
	fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

static bool has_slots(const char *folder)
{
	struct buf path CLEANUP_BUF = BUF_INIT;

	buf_addf(&path, "%s/slots/0", folder);
	return !buf_ok(&path) && !access(path.data, F_OK);
}

static unsigned takes_parse(const char *words)
{
	/* "full", "partial" or both; what an older daemon does not tell is not known. */
	return (strstr(words, "full") ? IMAGE_TAKES_FULL : 0u) |
	       (strstr(words, "partial") ? IMAGE_TAKES_PARTIAL : 0u);
}

/* The same as the daemon compares with, out of the files in which it shows that. */
static int card_read(struct inspect_for *f, const char *folder, const char *rest)
{
	struct image_target *t = &f->target;
	struct buf state CLEANUP_BUF = BUF_INIT;
	char text[64], *end;
	int err;

	/* That a slot is there is seen by its state; all else is its card's. */
	buf_addf(&state, "%s%s", folder, rest);
	if (buf_ok(&state))
		return -ENOMEM;
	err = read_value(state.data, "state", text, sizeof(text));
	if (!err)
		err = read_value(folder, "part", f->part, sizeof(f->part));
	if (err)
		return err;
	if (!read_value(folder, "idcode", text, sizeof(text)) && strlen(text) == 8) {
		t->idcode = (uint32_t)strtoul(text, &end, 16);
		t->has_idcode = !*end;
	}
	read_value(folder, "formats", f->formats, sizeof(f->formats));
	read_value(folder, "board", f->board, sizeof(f->board));
	read_value(folder, "shell", f->shell, sizeof(f->shell));
	read_value(folder, "compatible", f->compatible, sizeof(f->compatible));
	read_value(folder, "afus", f->afus, sizeof(f->afus));
	read_value(folder, "takes", text, sizeof(text));
	t->takes = takes_parse(text);
	t->region = *rest || has_slots(folder) || !(t->takes & IMAGE_TAKES_FULL);
	return 0;
}

/* --- names --------------------------------------------------------------------------------- */

/* Past the word and the number behind it; NULL if that is not what is there. */
static const char *past_number(const char *text, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(text, word, len) != 0 || !isdigit((unsigned char)text[len]))
		return NULL;
	return text + len + strspn(text + len, "0123456789");
}

/* The length of devN in devN or devN/slots/M, 0 for anything else. */
static size_t card_length(const char *name)
{
	const char *dev = past_number(name, "dev");
	const char *slot = dev ? past_number(dev, "/slots/") : NULL;

	return dev && (!*dev || (slot && !*slot)) ? (size_t)(dev - name) : 0;
}

/* The card or slot at the end of a path, "" = there is none; *length as card_length(). */
static const char *path_card(const char *path, size_t *length)
{
	const char *at = path;

	while ((at = strstr(at, "/dev"))) {
		*length = card_length(++at);
		if (*length)
			return at;
	}
	return "";
}

static int card_find(struct inspect_for *f, const char *name, size_t length, const char *mount,
		     struct reason *why)
{
	struct buf folder CLEANUP_BUF = BUF_INIT;
	char dev[32] = "";
	int err = -ENAMETOOLONG;

	f->target.name = name;
	if (length < sizeof(dev)) {
		memcpy(dev, name, length);
		dev[length] = '\0';
		if (name != f->name)
			buf_addf(&folder, "%.*s", (int)(name + length - f->name), f->name);
		else if (mount || !mounts_search(dev, &folder))
			buf_addf(&folder, "%s/%s", mount ? mount : "/fpga", dev);
		err = buf_ok(&folder) ? -ENOMEM : card_read(f, folder.data, name + length);
	}
	if (!err)
		return 0;
	return reason_set(why, -err, "--for %s: %s%s cannot be read: %s; say --mount DIR, or name a part",
			  f->name, folder.data ? folder.data : "", name + length, strerror(-err));
}

int inspect_for_find(struct inspect_for *f, const char *mount, struct reason *why)
{
	size_t length = card_length(f->name);
	const char *name = length ? f->name : path_card(f->name, &length);

	f->target = (struct image_target){
		.name = f->name, .part = f->part, .formats = f->formats, .board = f->board,
		.shell = f->shell, .compatible = f->compatible, .afus = f->afus, .region = true,
	};
	if (*name)
		return card_find(f, name, length, mount, why);
	if (strchr(f->name, '/'))
		return reason_set(why, EINVAL, "--for %s: neither a part nor the directory of a card or slot "
				  "(/fpga/dev0, /fpga/dev0/slots/1)", f->name);
	if (!text_copy(f->part, sizeof(f->part), f->name))
		return reason_set(why, EINVAL, "--for %s: too long to be a part", f->name);
	return 0;
}
