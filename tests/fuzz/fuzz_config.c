// SPDX-License-Identifier: Apache-2.0
/* The configuration: any text is taken or refused with a sentence. */
#include <sys/mman.h>
#include <unistd.h>

#include "fs/daemon/config.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fabricfs.yaml", MFD_CLOEXEC);
	struct config *config = NULL;
	struct reason why = { 0 };
	char path[64];
	int err;

	fuzz_claim(fd >= 0);
	fuzz_claim(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = config_load(path, &config, &why);
	fuzz_claim(err == 0 || (err < 0 && why.text[0]));
	if (!err) {
		fuzz_claim(config);
		err = config_finish(config, size % 3 ? -1 : 2, &why);
		fuzz_claim(err == 0 || (err < 0 && why.text[0]));
		fuzz_claim(err || config->cards_len <= CONFIG_CARDS_MAX);
	}
	config_free(config);
	close(fd);
	return 0;
}
