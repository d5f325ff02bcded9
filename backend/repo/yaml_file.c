// SPDX-License-Identifier: Apache-2.0
/*
 * A YAML file with secrets in it (yaml_file.h), over libyaml's documents.
 *
 * A document is a graph: an alias may lead back to what contains it. Nothing
 * here walks down it but one step at a time, and merges are followed to a
 * fixed depth.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include <fabricfs/log.h>

#include "backend/repo/secret.h"
#include "backend/repo/yaml_file.h"

#define MERGE_DEPTH 8 /* mappings merged into mappings */

struct yaml_file {
	yaml_document_t document;
	char path[];
};

/* libyaml frees what it has read as it is: its buffers and the scalars are wiped before. */
static void parser_wipe(yaml_parser_t *parser)
{
	if (parser->raw_buffer.start)
		explicit_bzero(parser->raw_buffer.start,
			       (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
	if (parser->buffer.start)
		explicit_bzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
	yaml_parser_delete(parser);
}

static void document_wipe(yaml_document_t *document)
{
	for (yaml_node_t *n = document->nodes.start; n && n < document->nodes.top; n++)
		if (n->type == YAML_SCALAR_NODE)
			explicit_bzero(n->data.scalar.value, n->data.scalar.length);
	yaml_document_delete(document);
}

int yaml_file_parse(const char *text, size_t len, const char *path, struct yaml_file **out,
		    struct reason *why)
{
	const size_t path_len = strlen(path) + 1;
	struct yaml_file *f = calloc(1, sizeof(*f) + path_len);
	yaml_parser_t parser;
	int err = 0;

	*out = NULL;
	if (!f || !yaml_parser_initialize(&parser)) {
		free(f);
		return reason_set(why, ENOMEM, "no memory for %s", path);
	}
	memcpy(f->path, path, path_len);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &f->document))
		/* libyaml's words quote nothing of the file. */
		err = reason_set(why, EINVAL, "%s:%zu: %s", path, parser.problem_mark.line + 1,
				 parser.problem ? parser.problem : "this is not YAML");
	parser_wipe(&parser);
	if (err) {
		free(f);
		return err;
	}
	if (!yaml_is_map(f, yaml_root(f))) {
		yaml_file_close(f);
		return reason_set(why, EINVAL, "%s: a mapping is wanted on its top level", path);
	}
	*out = f;
	return 0;
}

int yaml_file_read(const char *path, const char *what, int optional, struct yaml_file **out,
		   struct reason *why)
{
	struct secret text CLEANUP_SECRET = { 0 };
	struct stat st;
	int err;

	*out = NULL;
	if (stat(path, &st))
		return errno == ENOENT && optional ? -ENOENT :
						     reason_set(why, errno, "%s %s: %s", what, path, strerror(errno));
	err = secret_read(&text, what, path, false, why);
	if (!err && S_ISREG(st.st_mode) && (st.st_mode & 0077))
		log_warn("%s %s: others may read it (mode %04o), 0600 is what a file with secrets should have",
			 what, path, (unsigned)(st.st_mode & 07777));
	return err ? err : yaml_file_parse(text.text, text.len, path, out, why);
}

void yaml_file_close(struct yaml_file *f)
{
	if (!f)
		return;
	document_wipe(&f->document);
	free(f);
}

const char *yaml_file_path(const struct yaml_file *f)
{
	return f->path;
}

static yaml_node_t *node_get(const struct yaml_file *f, int node, yaml_node_type_t type)
{
	/* libyaml does not change what it is asked about, but does not say so. */
	yaml_node_t *n = f ? yaml_document_get_node((yaml_document_t *)&f->document, node) : NULL;

	return n && n->type == type ? n : NULL;
}

int yaml_root(const struct yaml_file *f)
{
	return f && f->document.nodes.start < f->document.nodes.top ? 1 : 0;
}

bool yaml_is_map(const struct yaml_file *f, int node)
{
	return node_get(f, node, YAML_MAPPING_NODE) != NULL;
}

static bool scalar_is(const struct yaml_file *f, int node, const char *text)
{
	const yaml_node_t *n = node_get(f, node, YAML_SCALAR_NODE);

	return n && n->data.scalar.length == strlen(text) &&
	       !memcmp(n->data.scalar.value, text, n->data.scalar.length);
}

static int get_own(const struct yaml_file *f, int map, const char *key)
{
	const yaml_node_t *n = node_get(f, map, YAML_MAPPING_NODE);

	if (n)
		for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++)
			if (scalar_is(f, p->key, key))
				return p->value;
	return 0;
}

static int get_deep(const struct yaml_file *f, int map, const char *key, unsigned depth)
{
	int found = get_own(f, map, key), merged;

	if (found || !depth)
		return found;
	merged = get_own(f, map, "<<");
	if (yaml_is_map(f, merged))
		return get_deep(f, merged, key, depth - 1);
	/* Of a list of mappings the first that has the key; a list has no lists. */
	for (size_t i = 0; !found && i < MERGE_DEPTH && yaml_item(f, merged, i); i++)
		found = get_own(f, yaml_item(f, merged, i), key);
	return found;
}

int yaml_get(const struct yaml_file *f, int map, const char *key)
{
	return get_deep(f, map, key, MERGE_DEPTH);
}

int yaml_item(const struct yaml_file *f, int list, size_t n)
{
	const yaml_node_t *node = node_get(f, list, YAML_SEQUENCE_NODE);

	if (!node || n >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return 0;
	return node->data.sequence.items.start[n];
}

const char *yaml_text(const struct yaml_file *f, int node)
{
	const yaml_node_t *n = node_get(f, node, YAML_SCALAR_NODE);
	const char *text;

	if (!n)
		n = node_get(f, yaml_item(f, node, 0), YAML_SCALAR_NODE);
	if (!n)
		return NULL;
	text = (const char *)n->data.scalar.value;
	/* A NUL inside would hide the rest. */
	if (strlen(text) != n->data.scalar.length)
		return NULL;
	if (n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (!*text || !strcmp(text, "~") || !strcasecmp(text, "null")))
		return NULL;
	return text;
}

const char *yaml_key(const struct yaml_file *f, int map, size_t n, int *value)
{
	const yaml_node_t *node = node_get(f, map, YAML_MAPPING_NODE);
	const yaml_node_pair_t *pair;
	const char *text;

	if (!node || n >= (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start))
		return NULL;
	pair = node->data.mapping.pairs.start + n;
	*value = pair->value;
	text = yaml_text(f, pair->key);
	return text ? text : "";
}
