// SPDX-License-Identifier: Apache-2.0
/*
 * libcurl, loaded when the first repository needs it (private to backend/repo).
 *
 * It brings some thirty libraries and 4 MiB of resident memory along, which a
 * machine with cards and without repositories should not pay. To the rest of
 * backend/repo its functions are called as ever.
 */
#ifndef BACKEND_REPO_CURL_API_H
#define BACKEND_REPO_CURL_API_H

/* Its checks of types are macros that call the functions by their linked names. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <stdbool.h>

#include <fabricfs/error.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define CURL_API(X)                                                                               \
	X(curl_easy_cleanup) X(curl_easy_getinfo) X(curl_easy_init) X(curl_easy_pause) X(curl_easy_setopt)           \
	X(curl_easy_strerror) X(curl_free) X(curl_getdate) X(curl_global_cleanup)                 \
	X(curl_global_init) X(curl_multi_add_handle) X(curl_multi_cleanup)                        \
	X(curl_multi_info_read) X(curl_multi_init) X(curl_multi_perform) X(curl_multi_poll)       \
	X(curl_multi_remove_handle) X(curl_multi_setopt) X(curl_multi_wakeup)                     \
	X(curl_slist_append) X(curl_slist_free_all) X(curl_url) X(curl_url_cleanup)               \
	X(curl_url_get) X(curl_url_set) X(curl_url_strerror)

#define CURL_API_MEMBER(name) __typeof__(name) *name##_;
struct curl_api {
	CURL_API(CURL_API_MEMBER)
};
#undef CURL_API_MEMBER

extern struct curl_api curl_api;

/* Load it, if it is not. -ENOPKG with the package's name. Main thread, before others use it. */
int curl_api_load(struct reason *why);
bool curl_api_loaded(void);

#define curl_easy_cleanup	 curl_api.curl_easy_cleanup_
#define curl_easy_getinfo	 curl_api.curl_easy_getinfo_
#define curl_easy_init		 curl_api.curl_easy_init_
#define curl_easy_setopt	 curl_api.curl_easy_setopt_
#define curl_easy_strerror	 curl_api.curl_easy_strerror_
#define curl_free		 curl_api.curl_free_
#define curl_getdate		 curl_api.curl_getdate_
#define curl_global_cleanup	 curl_api.curl_global_cleanup_
#define curl_global_init	 curl_api.curl_global_init_
#define curl_multi_add_handle	 curl_api.curl_multi_add_handle_
#define curl_multi_cleanup	 curl_api.curl_multi_cleanup_
#define curl_multi_info_read	 curl_api.curl_multi_info_read_
#define curl_multi_init		 curl_api.curl_multi_init_
#define curl_multi_perform	 curl_api.curl_multi_perform_
#define curl_multi_poll		 curl_api.curl_multi_poll_
#define curl_multi_remove_handle curl_api.curl_multi_remove_handle_
#define curl_multi_setopt	 curl_api.curl_multi_setopt_
#define curl_easy_pause	 curl_api.curl_easy_pause_
#define curl_multi_wakeup	 curl_api.curl_multi_wakeup_
#define curl_slist_append	 curl_api.curl_slist_append_
#define curl_slist_free_all	 curl_api.curl_slist_free_all_
#define curl_url		 curl_api.curl_url_
#define curl_url_cleanup	 curl_api.curl_url_cleanup_
#define curl_url_get		 curl_api.curl_url_get_
#define curl_url_set		 curl_api.curl_url_set_
#define curl_url_strerror	 curl_api.curl_url_strerror_

#endif
