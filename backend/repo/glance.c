// SPDX-License-Identifier: Apache-2.0
/*
 * Images of an OpenStack cloud: Glance, version 2 of its interface, with
 * tokens of Keystone (glance.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/log.h>

#include "backend/repo/cloud.h"
#include "backend/repo/glance.h"

static const struct repo_key keys[] = {
	CLOUD_KEYS,
	{ "visibility", REPO_KEY_WORDS },
	{ 0 },
};

static int visibility_read(const struct repo_config *config, unsigned *listed, struct reason *why)
{
	static const char *const words[] = { "public",	  "private", "shared",
					     "community", "hidden",  "pending" };
	const struct repo_value *v = repo_config_get(config, "visibility");

	*listed = v ? 0 : GLANCE_USUAL;
	for (size_t i = 0; v && i < v->list_len; i++) {
		unsigned k = 0;

		while (k < 6 && strcmp(words[k], v->list[i]))
			k++;
		if (k == 6)
			return reason_set(why, EINVAL, "visibility has '%.32s', wanted are public, private, "
					  "shared, community, hidden or pending", v->list[i]);
		*listed |= 1U << k;
	}
	if (!*listed)
		return reason_set(why, EINVAL, "visibility is empty: nothing would be listed");
	return 0;
}

static int glance_check(const struct repo_config *config, struct reason *why)
{
	unsigned listed;
	int err = cloud_check(config, why);

	return err ? err : visibility_read(config, &listed, why);
}

static int peer_new(const struct repo_config *config, const struct cloud *cloud,
		    struct transfer_peer **peer, struct reason *why)
{
	const struct transfer_peer_config made = {
		.name = config->name,
		.cacert = cloud->cacert,
		.client_cert = cloud->cert,
		.client_key = cloud->key,
		.insecure = cloud->insecure,
		.connect_timeout_ms = config->connect_timeout_ms,
		.offline_timeout_ms = config->offline_timeout_ms,
	};

	return transfer_peer_new(&made, peer, why);
}

static void glance_close(void *repo)
{
	struct glance *g = repo;

	keystone_put(g->keystone);
	if (g->peer)
		transfer_peer_put(g->peer);
	pthread_mutex_destroy(&g->lock);
	free(g->name);
	free(g);
}

static int glance_open(const struct repo_config *config, void **repo, struct reason *why)
{
	struct transfer_peer *logins = NULL;
	struct cloud cloud = { 0 };
	struct glance *g = calloc(1, sizeof(*g));
	int err;

	*repo = NULL;
	if (!g)
		return reason_set(why, ENOMEM, "no memory for a repository");
	pthread_mutex_init(&g->lock, NULL);
	g->config = config;
	g->name = strdup(config->name);
	err = g->name ? visibility_read(config, &g->listed, why) :
			reason_set(why, ENOMEM, "no memory for a repository");
	if (!err)
		err = cloud_read(config, &cloud, why);
	if (!err && cloud.auth_url && !strncmp(cloud.auth_url, "http://", 7) &&
	    cloud.auth != CLOUD_NONE && cloud.auth != CLOUD_FIXED_TOKEN)
		log_warn("repository %s: %s is not encrypted, and the credentials are sent to it", g->name,
			 cloud.auth_url);
	/* Who writes an address down means it. */
	else if (!err && cloud.endpoint && !strncmp(cloud.endpoint, "http://", 7) && cloud.auth != CLOUD_NONE)
		log_warn("repository %s: %s is not encrypted, and the token is sent to it", g->name, cloud.endpoint);
	/* Two, so that a login never waits behind data. */
	if (!err)
		err = peer_new(config, &cloud, &logins, why);
	if (!err)
		err = peer_new(config, &cloud, &g->peer, why);
	if (!err)
		err = keystone_new(&cloud, logins, g->name, &g->keystone, why);
	if (err && logins)
		transfer_peer_put(logins);
	cloud_free(&cloud);
	if (err)
		glance_close(g);
	else
		*repo = g;
	return err;
}

static void glance_cost(void *repo, struct repo_cost *cost)
{
	struct glance *g = repo;
	uint64_t requests, retries, received;

	keystone_cost(g->keystone, cost);
	transfer_peer_cost(g->peer, &requests, &retries, &received);
	cost->requests += requests;
	cost->retries += retries;
	cost->received += received;
}

const struct repo_kind glance_kind = {
	.version = REPO_ABI,
	.name = "glance",
	.keys = keys,
	.check = glance_check,
	.open = glance_open,
	.close = glance_close,
	.list = glance_list,
	.list_cancel = glance_list_cancel,
	.fetch = glance_fetch,
	.fetch_cancel = glance_fetch_cancel,
	.cost = glance_cost,
};
