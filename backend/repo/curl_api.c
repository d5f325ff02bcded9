// SPDX-License-Identifier: Apache-2.0
/* Loads libcurl. See curl_api.h. */
#include "backend/repo/curl_api.h"

#include <dlfcn.h>

struct curl_api curl_api;
static bool loaded;

bool curl_api_loaded(void)
{
	return loaded;
}

static int symbol_find(void *library, const char *name, void *out, struct reason *why)
{
	void *symbol = dlsym(library, name);

	if (!symbol)
		return reason_set(why, ENOPKG, "libcurl.so.4 has no %s: 7.87 or newer is needed", name);
	*(void **)out = symbol;
	return 0;
}

int curl_api_load(struct reason *why)
{
	if (loaded)
		return 0;
	/* Never given back: it has threads and tables of its own. */
	void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return reason_set(why, ENOPKG, "repositories on the network need libcurl.so.4 (package libcurl4): %s",
				  dlerror());
#define CURL_API_FIND(name)                                                                       \
	if (symbol_find(library, #name, &curl_api.name##_, why) < 0)                              \
		return -ENOPKG;
	CURL_API(CURL_API_FIND)
#undef CURL_API_FIND
	loaded = true;
	return 0;
}
