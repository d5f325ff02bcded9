// SPDX-License-Identifier: Apache-2.0
/* A YAML file as a tree with line numbers, by libyaml's events (config_tree.h). */
#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include <fabricfs/buf.h>

#include "fs/daemon/config_tree.h"

/* --- memory --------------------------------------------------------------------- */

struct conf_block {
	struct conf_block *next;
	max_align_t bytes[];
};

struct conf_memory {
	struct conf_block *blocks;
};

struct conf_memory *conf_memory_new(void)
{
	return calloc(1, sizeof(struct conf_memory));
}

void *conf_alloc(struct conf_memory *memory, size_t bytes)
{
	struct conf_block *block;

	if (bytes > SIZE_MAX - sizeof(*block))
		return NULL;
	block = calloc(1, sizeof(*block) + bytes);
	if (!block)
		return NULL;
	block->next = memory->blocks;
	memory->blocks = block;
	return block->bytes;
}

void conf_memory_free(struct conf_memory *memory)
{
	if (!memory)
		return;
	for (struct conf_block *b = memory->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(memory);
}

/* --- sentences ------------------------------------------------------------------ */

const char *conf_show(const char *text)
{
	static __thread char ring[4][80];
	static __thread unsigned turn;
	char *out = ring[turn++ % 4];

	if (!text_copy(out, sizeof(ring[0]) - 4, text))
		memcpy(out + strlen(out), "...", 4);
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return out;
}

int(conf_fault)(const char *file, unsigned line, struct reason *why, const char *fmt, ...)
{
	char text[REASON_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return reason_set(why, EINVAL, "%s:%u: %s", file, line, text);
}

/* --- reading -------------------------------------------------------------------- */

static int file_read(const char *file, struct buf *out, struct reason *why)
{
	/* O_NONBLOCK: a FIFO in its place is refused, not waited for. */
	int fd CLEANUP_FD = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char bytes[16384];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return reason_set(why, errno, "the configuration %s cannot be read: %s", file,
				  strerror(errno));
	if (!S_ISREG(st.st_mode))
		return reason_set(why, EINVAL, "the configuration %s is not a regular file", file);
	while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return reason_set(why, errno, "the configuration %s cannot be read: %s", file,
					  strerror(errno));
		buf_add(out, bytes, (size_t)n);
		if (out->len > CONF_FILE_MAX)
			return reason_set(why, EFBIG, "the configuration %s is larger than %d bytes",
					  file, CONF_FILE_MAX);
	}
	if (buf_ok(out))
		return reason_set(why, ENOMEM, "no memory to read the configuration %s", file);
	return 0;
}

/* --- from events to nodes ------------------------------------------------------- */

struct conf_reader {
	yaml_parser_t parser;
	const char *file;
	struct conf_memory *memory;
	struct reason *why;
	size_t nodes;
};

#define READER_FAULT(r, line, ...) conf_fault((r)->file, (line), (r)->why, __VA_ARGS__)

static int reader_no_memory(struct conf_reader *r)
{
	return reason_set(r->why, ENOMEM, "no memory to read the configuration %s", r->file);
}

static int reader_next(struct conf_reader *r, yaml_event_t *event)
{
	const yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(&r->parser, event))
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		return reader_no_memory(r);
	/* A fault in the encoding has an offset and no line. */
	if (p->error == YAML_READER_ERROR)
		return READER_FAULT(r, (unsigned)p->mark.line + 1, "not text in UTF-8: %s (byte %zu)",
				    p->problem ? p->problem : "unreadable", p->problem_offset);
	return READER_FAULT(r, (unsigned)p->problem_mark.line + 1, "not YAML: %s%s%s",
			    p->problem ? p->problem : "unreadable", p->context ? " " : "",
			    p->context ? p->context : "");
}

static int reader_text(struct conf_reader *r, const yaml_event_t *event, const char **out)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	unsigned line = (unsigned)event->start_mark.line + 1;
	char *text;

	if (len > CONF_TEXT_MAX)
		return READER_FAULT(r, line, "a text of %zu bytes, at most %d are taken", len,
				    CONF_TEXT_MAX);
	if (memchr(value, '\0', len))
		return READER_FAULT(r, line, "a text with a zero byte");
	text = conf_alloc(r->memory, len + 1);
	if (!text)
		return reader_no_memory(r);
	memcpy(text, value, len);
	*out = text;
	return 0;
}

static int reader_plain(struct conf_reader *r, unsigned line, const void *anchor, const void *tag)
{
	if (anchor)
		return READER_FAULT(r, line, "anchors (&name) are not taken here, write it out");
	if (tag)
		return READER_FAULT(r, line, "tags (!name) are not taken here");
	return 0;
}

static int reader_node(struct conf_reader *r, const yaml_event_t *event, unsigned depth,
		       struct conf_node **out);

/* The key of the next member of a map, or done. */
static int reader_key(struct conf_reader *r, const struct conf_node *map, yaml_event_t *event,
		      struct conf_node *member)
{
	int err;

	member->key_line = (unsigned)event->start_mark.line + 1;
	if (event->type == YAML_ALIAS_EVENT)
		return READER_FAULT(r, member->key_line, "aliases (*name) are not taken here");
	if (event->type != YAML_SCALAR_EVENT)
		return READER_FAULT(r, member->key_line, "a key has to be a word");
	err = reader_plain(r, member->key_line, event->data.scalar.anchor, event->data.scalar.tag);
	if (!err)
		err = reader_text(r, event, &member->key);
	if (err)
		return err;
	for (const struct conf_node *n = map->first; n; n = n->next)
		if (n->key && !strcmp(n->key, member->key))
			return READER_FAULT(r, member->key_line,
					    "the key '%s' is here twice, first in line %u",
					    conf_show(n->key), n->key_line);
	if (map->len >= CONF_KEYS_MAX)
		return READER_FAULT(r, member->key_line, "more than %d keys in one place",
				    CONF_KEYS_MAX);
	return 0;
}

static int reader_members(struct conf_reader *r, struct conf_node *node, unsigned depth)
{
	yaml_event_type_t end = node->kind == CONF_MAP ? YAML_MAPPING_END_EVENT
						       : YAML_SEQUENCE_END_EVENT;
	struct conf_node **tail = &node->first;

	if (depth >= CONF_DEPTH_MAX)
		return READER_FAULT(r, node->line, "nested more than %d levels deep", CONF_DEPTH_MAX);
	for (;;) {
		struct conf_node key = { 0 }, *member = NULL;
		yaml_event_t event;
		int err = reader_next(r, &event);

		if (err)
			return err;
		if (event.type == end) {
			yaml_event_delete(&event);
			return 0;
		}
		if (node->kind == CONF_MAP) {
			err = reader_key(r, node, &event, &key);
			yaml_event_delete(&event);
			if (!err)
				err = reader_next(r, &event);
			if (err)
				return err;
		}
		err = reader_node(r, &event, depth + 1, &member);
		yaml_event_delete(&event);
		if (err)
			return err;
		assert(member && (key.key || node->kind != CONF_MAP));
		member->key = key.key;
		member->key_line = key.key_line;
		*tail = member;
		tail = &member->next;
		node->len++;
	}
}

static int reader_node(struct conf_reader *r, const yaml_event_t *event, unsigned depth,
		       struct conf_node **out)
{
	unsigned line = (unsigned)event->start_mark.line + 1;
	struct conf_node *node;
	int err;

	if (++r->nodes > CONF_NODES_MAX)
		return READER_FAULT(r, line, "more than %d values", CONF_NODES_MAX);
	node = conf_alloc(r->memory, sizeof(*node));
	if (!node)
		return reader_no_memory(r);
	node->line = line;
	*out = node;
	if (event->type == YAML_ALIAS_EVENT)
		return READER_FAULT(r, line, "aliases (*name) are not taken here, write it out");
	if (event->type == YAML_SCALAR_EVENT) {
		node->kind = CONF_TEXT;
		node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		err = reader_plain(r, line, event->data.scalar.anchor, event->data.scalar.tag);
		return err ? err : reader_text(r, event, &node->text);
	}
	if (event->type == YAML_MAPPING_START_EVENT) {
		node->kind = CONF_MAP;
		err = reader_plain(r, line, event->data.mapping_start.anchor,
				   event->data.mapping_start.tag);
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		node->kind = CONF_LIST;
		err = reader_plain(r, line, event->data.sequence_start.anchor,
				   event->data.sequence_start.tag);
	} else {
		err = READER_FAULT(r, line, "a value is missing");
	}
	return err ? err : reader_members(r, node, depth);
}

/* The stream: at most one document, whose root is a map. */
static int reader_run(struct conf_reader *r, struct conf_node **root)
{
	bool seen = false;

	for (;;) {
		yaml_event_t event;
		yaml_event_type_t type;
		unsigned line;
		int err = reader_next(r, &event);

		if (err)
			return err;
		type = event.type;
		line = (unsigned)event.start_mark.line + 1;
		if (type == YAML_DOCUMENT_START_EVENT && seen)
			err = READER_FAULT(r, line, "a second document begins, one is taken");
		else if (type == YAML_DOCUMENT_START_EVENT)
			seen = true;
		else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
			 type != YAML_DOCUMENT_END_EVENT)
			err = reader_node(r, &event, 0, root);
		yaml_event_delete(&event);
		if (err || type == YAML_STREAM_END_EVENT)
			return err;
	}
}

int conf_tree_read(const char *file, struct conf_memory *memory, struct conf_node **root,
		   struct reason *why)
{
	struct conf_reader r = { .file = file, .memory = memory, .why = why };
	struct buf bytes CLEANUP_BUF = BUF_INIT;
	int err = file_read(file, &bytes, why);

	*root = NULL;
	if (err || !bytes.len)
		return err;
	if (!yaml_parser_initialize(&r.parser))
		return reader_no_memory(&r);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes.data, bytes.len);
	err = reader_run(&r, root);
	yaml_parser_delete(&r.parser);
	if (err)
		return err;
	/* A file of "---" alone, or "~": nothing is configured. */
	if (*root && (*root)->kind == CONF_TEXT && !(*root)->quoted &&
	    (!*(*root)->text || !strcmp((*root)->text, "~") || !strcmp((*root)->text, "null")))
		*root = NULL;
	if (*root && (*root)->kind != CONF_MAP)
		return conf_fault(file, (*root)->line, why,
				  "the configuration has to be a map of keys and values");
	return 0;
}
