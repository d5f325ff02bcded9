// SPDX-License-Identifier: Apache-2.0
/*
 * The policy `repositories`: a card takes only images that are known to be of one of
 * these. An image that came by reference says itself which repository gave it; of other
 * bytes it is known by their hash, as far as the catalogue tells it.
 */
#include <errno.h>
#include <string.h>

#include "fs/card/card.h"
#include "fs/remote/source.h"

#include <fabricfs/buf.h>

static bool named(char *const *names, const char *name, size_t len)
{
	for (; *names; names++)
		if (strlen(*names) == len && !memcmp(*names, name, len))
			return true;
	return false;
}

bool card_takes_repository(const struct card *card, const char *name)
{
	char *const *names = card->card_config->policy.repositories;

	return !names || named(names, name, strlen(name));
}

int slot_takes_source(const struct slot *slot, const char *source, const char *algo, const char *digest,
		      struct reason *why)
{
	char *const *names = slot->card->card_config->policy.repositories;
	struct buf list CLEANUP_BUF = BUF_INIT;
	const char *end = strchr(source, ':');
	size_t len = end ? (size_t)(end - source) : 0;

	if (!names || (len && named(names, source, len)))
		return 0;
	for (char *const *name = names; *name; name++)
		if (*digest && source_is_of(algo, digest, *name))
			return 0;
	for (char *const *name = names; *name; name++)
		buf_addf(&list, "%s%s", name == names ? "" : ", ", *name);
	if (buf_ok(&list))
		return reason_set(why, ENOMEM, "no memory for the policy of %s", slot->name);
	if (len)
		return reason_set(why, EPERM, "the policy of %s takes only images of the repositories %s, and this one "
				  "is of %.*s", slot->name, list.data, (int)len, source);
	return reason_set(why, EPERM, "the policy of %s takes only images of the repositories %s, and of this one it is "
			  "not known that it is of any; copy it from remote/", slot->name, list.data);
}
