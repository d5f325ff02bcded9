// SPDX-License-Identifier: Apache-2.0
/*
 * Containers by the names that runtimes give their cgroups (container.h).
 *
 * The name is the evidence: no runtime is asked. All lines are looked at, since
 * with cgroup v1 and v2 together the v2 line is often "0::/". Cgroup names are
 * chosen by whoever made the container, so they are cut and cleaned.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fs/daemon/container.h"

#include <fabricfs/buf.h>

/*
 * One row per spelling, the narrower ones first. A path component that begins
 * with `prefix` and ends with `suffix` names a container; `parent` is the
 * component (or its beginning) directly above it, NULL = any. Sources: the
 * runtimes' systemd and cgroupfs cgroup managers (moby, podman, cri-o,
 * containerd's CRI plugin), systemd.exec's machine.slice, lxc.container.conf,
 * Slurm's task/cgroup plugin.
 */
static const struct pattern {
	const char *parent, *prefix, *suffix;
	const char *shown; /* what is put in front */
	enum { HEX, DIGITS, ANY } body;
} patterns[] = {
	{ NULL, "docker-", ".scope", "docker:", HEX },
	{ "docker", "", "", "docker:", HEX },
	{ NULL, "libpod-", ".scope", "podman:", HEX },
	{ NULL, "libpod-", "", "podman:", HEX },
	{ NULL, "cri-containerd-", ".scope", "kubernetes:", HEX },
	{ NULL, "crio-", ".scope", "kubernetes:", HEX },
	{ NULL, "crio-", "", "kubernetes:", HEX },
	{ "kubepods", "", "", "kubernetes:", HEX },
	{ "pod", "", "", "kubernetes:", HEX }, /* .../kubepods/besteffort/pod<uid>/<hex> */
	{ NULL, "nerdctl-", ".scope", "containerd:", HEX },
	{ NULL, "machine-", ".scope", "machine:", ANY },
	{ NULL, "lxc.payload.", "", "lxc:", ANY },
	{ "lxc.payload", "", "", "lxc:", ANY },
	{ "lxc", "", "", "lxc:", ANY },
	{ NULL, "job_", "", "job:", DIGITS },
};

#define HEX_MIN 32 /* containerd and others allow short ids; a word of hex digits is not one */

static bool body_fits(const struct pattern *p, const char *body, size_t n)
{
	if (!n || (p->body == HEX && n < HEX_MIN))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)body[i];

		if (p->body == HEX ? !isxdigit(c) : p->body == DIGITS ? !isdigit(c) : !isgraph(c))
			return false;
	}
	return true;
}

static bool component_match(const struct pattern *p, const char *above, size_t above_len,
			    const char *name, size_t n, char *out, size_t size)
{
	size_t prefix = strlen(p->prefix), suffix = strlen(p->suffix);
	/* The short id is what `docker ps` and the like show. */
	size_t most = p->body == HEX ? 12 : 80;

	if (n <= prefix + suffix || strncmp(name, p->prefix, prefix) ||
	    strncmp(name + n - suffix, p->suffix, suffix))
		return false;
	if (p->parent) {
		size_t parent = strlen(p->parent);

		/* For ids of hex digits the beginning is enough: pod<uid>, kubepods-burstable... */
		if (above_len < parent || strncmp(above, p->parent, parent) ||
		    (p->body != HEX && above_len != parent))
			return false;
	}
	n -= prefix + suffix;
	if (!body_fits(p, name + prefix, n))
		return false;
	snprintf(out, size, "%s%.*s", p->shown, (int)(n < most ? n : most), name + prefix);
	return true;
}

static bool path_match(const struct pattern *p, const char *path, size_t len, char *out, size_t size)
{
	const char *above = "";
	size_t above_len = 0;

	for (size_t i = 0; i < len;) {
		size_t n = strcspn(path + i, "/\n");

		if (i + n > len)
			n = len - i;
		if (n && component_match(p, above, above_len, path + i, n, out, size))
			return true;
		above = path + i;
		above_len = n;
		i += n + 1;
	}
	return false;
}

void container_of_cgroup(const char *text, char *out, size_t size)
{
	out[0] = '\0';
	for (size_t k = 0; k < sizeof(patterns) / sizeof(patterns[0]); k++) {
		for (const char *line = text; *line;) {
			size_t len = strcspn(line, "\n");
			/* hierarchy:controllers:path */
			const char *path = memchr(line, ':', len);

			path = path ? memchr(path + 1, ':', len - (size_t)(path + 1 - line)) : NULL;
			if (path && path_match(&patterns[k], path + 1,
					       len - (size_t)(path + 1 - line), out, size))
				return;
			line += len + (line[len] == '\n');
		}
	}
}
