// SPDX-License-Identifier: Apache-2.0
/* The kinds of repositories: one line each. */
#include <string.h>

#include "backend/repo/directory/directory.h"
#include "backend/repo/glance.h"
#include "backend/repo/http.h"
#include "backend/repo/transfer.h"

const struct repo_kind *const repo_kinds[] = {
	&directory_kind,
	&glance_kind,
	&http_kind,
	NULL,
};

const struct repo_kind *repo_kind_find(const char *name)
{
	for (const struct repo_kind *const *k = repo_kinds; *k; k++)
		if ((*k)->version == REPO_ABI && !strcmp((*k)->name, name))
			return *k;
	return NULL;
}

int repo_kinds_start(struct reason *why)
{
	int err = transfer_thread_start(why);

	if (err)
		return err;
	err = directory_start(why);
	if (err)
		transfer_thread_stop();
	return err;
}

void repo_kinds_resume(void)
{
	transfer_resume();
}

bool repo_kinds_stop(void)
{
	bool ended = directory_stop();

	transfer_thread_stop();
	return ended;
}
