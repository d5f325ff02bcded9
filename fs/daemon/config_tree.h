// SPDX-License-Identifier: Apache-2.0
/*
 * A YAML file as a tree of lines, lists and maps, each with its line number.
 *
 * What a configuration does not need is refused: anchors and aliases (and with
 * them every kind of expansion bomb), tags, several documents, duplicate keys,
 * deep nesting, big files. Main thread.
 */
#ifndef FS_DAEMON_CONFIG_TREE_H
#define FS_DAEMON_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include <fabricfs/error.h>

#define CONF_FILE_MAX  (1024 * 1024) /* bytes */
#define CONF_DEPTH_MAX 16            /* levels of lists and maps */
#define CONF_NODES_MAX 100000
#define CONF_KEYS_MAX  256           /* keys of one map */
#define CONF_TEXT_MAX  4096          /* bytes of one text */

/* Memory that is given back all at once. Zeroed; NULL when there is none. */
struct conf_memory;
struct conf_memory *conf_memory_new(void);
void *conf_alloc(struct conf_memory *memory, size_t bytes);
void conf_memory_free(struct conf_memory *memory);

enum conf_kind { CONF_TEXT, CONF_LIST, CONF_MAP };

struct conf_node {
	enum conf_kind kind;
	unsigned line;
	const char *key;         /* its name in the map that it is in, else NULL */
	unsigned key_line;
	const char *text;        /* of a CONF_TEXT; "" for nothing written */
	bool quoted;             /* of a CONF_TEXT: written with quotes */
	size_t len;              /* members of a list or map */
	struct conf_node *first; /* its members, in the order of the file */
	struct conf_node *next;
};

/*
 * Read `file` whole. *root is a map, or NULL for a file without content; all of
 * it belongs to `memory`. -EINVAL and "FILE:LINE: ..." for what is wrong inside,
 * else -errno of reading (-EINVAL also for what is no regular file, -EFBIG).
 */
int conf_tree_read(const char *file, struct conf_memory *memory, struct conf_node **root,
		   struct reason *why);

/* "FILE:LINE: sentence"; returns -EINVAL. */
int conf_fault(const char *file, unsigned line, struct reason *why, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define conf_fault(...) reason_failed((conf_fault)(__VA_ARGS__))
/* Text from the file made fit for a sentence: control bytes as '?', cut. In a
 * ring of per-thread buffers: good for a few uses in one sentence. */
const char *conf_show(const char *text);

#endif
