/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes on a socket: lines, messages, and the parameters in them that become identities, sets and numbers. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/rpc.h"
#include "control/words.h"
#include "seeds.h"

const size_t cw_fuzz_input_max = CW_FUZZ_TEXT_MAX;

static const char *const seeds[] = {
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"lease.renew\",\"params\":{\"groups\":[{\"group\":1,\"epoch\":"
    "3}]}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"store.set\",\"params\":{\"group\":1,\"epoch\":3,\"from\":"
    "[\"east\"],"
    "\"to\":[{\"site\":\"east\",\"boot_id\":\"b\",\"journal_id\":\"j\",\"process_start\":\"p\"}]}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"site\":\"east\",\"reign\":\"00ff\",\"x\":1.5,\"y\":true}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"no\",\"data\":{\"status\":"
    "\"again\"}}}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"level\":\"info\",\"text\":\"x\"}}\n\n{}\n[]"
    "\nx\n",
};

static void read_parameters(const json_t *params)
{
    struct cw_set set, again;
    struct cw_member member;
    (void)cw_json_u64(params, "epoch", 0);
    (void)cw_json_hex(params, "reign", 0);
    (void)cw_json_number(params, "x", 0);
    (void)cw_json_bool(params, "y", false);
    (void)cw_set_from_names(json_object_get(params, "from"), &set);
    (void)cw_member_from_json(params, &member);
    if (!cw_set_from_json(json_object_get(params, "to"), &set))
        return;
    char *text = cw_set_to_text(&set);
    CW_ASSERT(text && cw_set_from_text(text, &again) && cw_set_equal(&set, &again));
    free(text);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    struct cw_rpc_lines lines = {0};
    struct cw_rpc_message message;
    enum cw_rpc_next next = CW_RPC_NEXT_NONE;
    for (size_t at = 0; at < size; at += 97) {
        if (!cw_rpc_lines_push(&lines, data + at, size - at < 97 ? size - at : 97))
            break;
        while ((next = cw_rpc_lines_next(&lines, &message)) == CW_RPC_NEXT_MESSAGE) {
            CW_ASSERT(message.kind != CW_RPC_NONE && message.whole);
            read_parameters(message.params);
            read_parameters(message.result);
            json_decref(message.whole);
        }
        CW_ASSERT(message.whole == NULL);
    }
    cw_rpc_lines_free(&lines);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    return cw_fuzz_pick(rng, seeds, CW_COUNT_OF(seeds), data);
}
