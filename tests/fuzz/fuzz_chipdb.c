// SPDX-License-Identifier: Apache-2.0
/*
 * The chip database reader. Bit 0 of the first byte: the rest is a database;
 * else it is edits of the real one (fuzz.h), and what is accepted must carry an
 * image through every stage that follows its indices.
 */
#include "backend/card/sim/engine/engine.h"

#include "tests/fuzz/fuzz.h"

extern const uint8_t sim_db_hx1k[];
extern const uint64_t sim_db_hx1k_size;

/* As the fabric uses it: whatever comes of it, nothing outside is touched. */
static void run_through(const struct chipdb *db)
{
	static uint8_t *image;
	static size_t image_size;
	struct program *program = NULL;
	struct netlist netlist = { 0 };
	struct config config = { 0 };
	struct eval eval = { 0 };
	struct reason why = { 0 };
	size_t used;

	if (!image)
		image = fuzz_file("contrib/examples/regs/regs.bin", &image_size);
	if (!config_init(&config, db, &why) &&
	    !config_feed(&config, image, image_size, &used, &why) && config.state == CONFIG_AWAKE &&
	    !netlist_init(&netlist, &config, true, &why) &&
	    !program_build(&netlist, &program, &why) && !eval_init(&eval, program, &why)) {
		eval_start(&eval);
		for (unsigned i = 0; i < 4; i++)
			eval_cycle(&eval, program->n_domains ? program->domains[0].clk : 0, NULL, NULL);
	}
	eval_fini(&eval);
	program_free(program);
	netlist_fini(&netlist);
	config_fini(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool whole = size && data[0] & 1;
	size_t n = whole ? size - 1 : sim_db_hx1k_size;
	struct reason why = { 0 };
	struct chipdb db;
	uint8_t *bytes;

	if (!size)
		return 0;
	bytes = malloc(n ? n : 1);
	fuzz_claim(bytes);
	memcpy(bytes, whole ? data + 1 : sim_db_hx1k, n);
	if (!whole)
		fuzz_edit(bytes, n, data + 1, size - 1);

	int err = chipdb_open(&db, bytes, n, &why);

	fuzz_claim(err == 0 || (err == -EBADMSG && why.text[0]));
	if (!err) {
		char name[80];

		for (unsigned net = 0; net < db.nets; net += 97)
			chipdb_net_name(&db, net, name, sizeof(name));
		if (!whole)
			run_through(&db);
	}
	free(bytes);
	return 0;
}
