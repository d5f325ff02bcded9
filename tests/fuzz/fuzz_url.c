// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses: what the configuration takes libcurl takes too, and means the same
 * server by it; what is shown of one has no control character and no password.
 */
#include <fabricfs/url.h>

#include "backend/repo/curl_api.h"
#include "backend/repo/keystone.h"
#include "backend/repo/url.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[4096], shown[512], cleaned[URL_MAX], origin[URL_ORIGIN_MAX];
	struct reason why = { 0 };
	char *endpoint;

	fuzz_claim(curl_api_load(&why) == 0);
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	url_show(text, shown, sizeof(shown));
	for (const char *c = shown; *c; c++)
		fuzz_claim((unsigned char)*c >= 0x20 && *c != 0x7f);
	url_origin(text, origin);
	endpoint = keystone_endpoint_url(text);
	if (url_fault(text)) {
		fuzz_claim(!endpoint);
		return 0;
	}
	fuzz_claim(url_clean(text, cleaned, sizeof(cleaned), &why) == 0);
	fuzz_claim(!url_fault(cleaned) && !url_fault(origin));
	fuzz_claim(url_same_origin(text, origin) && url_same_origin(text, cleaned));
	fuzz_claim(!endpoint || (!url_fault(endpoint) && url_same_origin(text, endpoint)));
	free(endpoint);
	return 0;
}
