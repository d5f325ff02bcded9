// SPDX-License-Identifier: Apache-2.0
/* What the operator of a `command` card says of it: shown, and compared with images (facts.h). */
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "facts.h"

const char *command_text(const struct card_config *config, const char *key)
{
	const struct card_value *v = card_config_get(config, key);

	return v && v->text ? v->text : "";
}

static bool idcode_parse(const char *text, uint32_t *idcode)
{
	if (strlen(text) != 8 || strspn(text, "0123456789abcdefABCDEF") != 8)
		return false;
	*idcode = (uint32_t)strtoul(text, NULL, 16);
	return true;
}

/* Words by spaces, as facts have them. False: they are too long. */
static bool words_of(const struct card_config *config, const char *key, char *out, size_t size)
{
	const struct card_value *v = card_config_get(config, key);
	struct buf all CLEANUP_BUF = BUF_INIT;

	for (size_t i = 0; v && i < v->list_len; i++)
		buf_addf(&all, "%s%s", i ? " " : "", v->list[i]);
	return !buf_ok(&all) && text_copy(out, size, all.data);
}

int command_facts_check(const struct card_config *config, struct reason *why)
{
	static const struct {
		const char *key;
		size_t size;
	} texts[] = {
		{ "shell", sizeof(((struct card_facts *)0)->shell) },
		{ "compatible", sizeof(((struct card_facts *)0)->compatible) },
		{ "afus", sizeof(((struct card_facts *)0)->afus) },
	};
	const char *idcode = command_text(config, "idcode");
	uint32_t number;
	char room[256];

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const struct card_value *v = card_config_get(config, texts[i].key);

		for (size_t k = 0; v && k < v->list_len; k++)
			if (!*v->list[k] || strpbrk(v->list[k], " \t\n"))
				return reason_set(why, EINVAL, "%s: '%s' is no name or id: it is empty, or has "
						  "blanks in it", texts[i].key, v->list[k]);
		if (!words_of(config, texts[i].key, room, texts[i].size))
			return reason_set(why, EINVAL, "%s: together longer than %zu bytes", texts[i].key,
					  texts[i].size - 1);
	}
	if (*idcode && !idcode_parse(idcode, &number))
		return reason_set(why, EINVAL, "idcode: '%s' is not eight hex digits", idcode);
	if (*idcode && (!number || number == UINT32_MAX))
		return reason_set(why, EINVAL, "idcode: no device has %s; a cable answers so that reaches none, "
				  "or none with power", idcode);
	return 0;
}

void command_facts(const struct card_config *config, struct card_facts *facts)
{
	const struct card_value *partial = card_config_get(config, "partial");

	text_copy(facts->vendor, sizeof(facts->vendor), command_text(config, "vendor"));
	text_copy(facts->part, sizeof(facts->part), config->part);
	text_copy(facts->board, sizeof(facts->board), command_text(config, "board"));
	text_copy(facts->serial, sizeof(facts->serial), command_text(config, "serial"));
	facts->has_idcode = idcode_parse(command_text(config, "idcode"), &facts->idcode);
	words_of(config, "shell", facts->shell, sizeof(facts->shell));
	words_of(config, "compatible", facts->compatible, sizeof(facts->compatible));
	words_of(config, "afus", facts->afus, sizeof(facts->afus));
	/* What has a static design beside it, or is a slot that takes partial ones, takes no others. */
	if (partial && partial->number)
		facts->takes = IMAGE_TAKES_PARTIAL |
			       (config->slots || *facts->shell ? 0 : IMAGE_TAKES_FULL);
	else if (partial)
		facts->takes = IMAGE_TAKES_FULL;
	else if (*facts->shell)
		facts->takes = IMAGE_TAKES_PARTIAL;
	if (facts->takes & IMAGE_TAKES_PARTIAL)
		facts->can |= CARD_CAN_PARTIAL;
}
