/* SPDX-License-Identifier: BSD-3-Clause */
/* store rebuild, store show: for the day on which etcd is lost for good, or was put back to an older copy. */
#include <stdio.h>
#include <string.h>

#include "control/cli.h"
#include "control/paragraph.h"

static const char *joined(const json_t *names, char *text, size_t size)
{
    size_t index, used = 0;
    json_t *name;
    text[0] = 0;
    json_array_foreach(names, index, name)
    {
        int bytes = snprintf(text + used, size - used, "%s%s", index ? ", " : "", json_string_value(name));
        used += bytes > 0 && (size_t)bytes < size - used ? (size_t)bytes : 0;
    }
    return text;
}

static void print_plan(const json_t *plan)
{
    size_t index;
    json_t *group;
    json_array_foreach(json_object_get(plan, "groups"), index, group)
    {
        char set[300], head[100];
        const char *holder = cw_json_text(group, "holder", "");
        printf("%s: epoch %lu, %s%s, in sync: %s\n", cw_json_text(group, "name", ""),
               cw_json_u64(group, "epoch", 0), *holder ? "held by " : "held by nobody", holder,
               joined(json_object_get(group, "in_sync"), set, sizeof set)[0] ? set : "nobody");
        snprintf(head, sizeof head, "  ");
        cw_paragraph(stdout, 100, head, 2, cw_json_text(group, "words", ""));
    }
}

int cw_run_store_rebuild(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    bool is_dry = cw_cli_has(cli, "dry-run");
    json_t *params = json_pack("{s:b,s:o}", "replace", (int)cw_cli_has(cli, "replace"), "without",
                               cw_cli_list(cli, "without"));
    if (cli->reason)
        json_object_set_new(params, "reason", json_string(cli->reason));
    json_t *plan = cw_ask(cli, cli->site, is_dry ? "store.plan" : "store.rebuild", params, &failure);
    if (!plan)
        return cw_say_failure(cli, &failure);
    if (cli->is_json) {
        json_dumpf(plan, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_plan(plan);
        printf(is_dry ? "%lu rows would be written, and %zu removed of what was deleted since; nothing was. "
                        "Without --dry-run they are\n"
                      : "%lu rows stand in the store, and %zu were removed of what was deleted since; "
                        "controllers begin to work with it by themselves: causeway status\n",
               cw_json_u64(plan, "rows", 0), json_array_size(json_object_get(plan, "removed")));
    }
    json_decref(plan);
    return CW_EXIT_DONE;
}

int cw_run_store_show(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    json_t *shown = cw_ask(cli, cli->site, "store.show", json_object(), &failure);
    if (!shown)
        return cw_say_failure(cli, &failure);
    const json_t *copy = json_object_get(shown, "copy");
    bool is_used = cw_json_bool(shown, "used", false);
    if (cli->is_json) {
        json_dumpf(shown, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        const char *why = cw_json_text(shown, "why_not", "");
        printf("%s: the store %s %s\n", cw_json_text(shown, "site", ""), cw_json_text(shown, "store", ""),
               is_used ? "is worked with" : "is not worked with");
        if (*why)
            printf("%s\n", why);
        if (json_is_object(copy))
            printf("this site's copy of it: %lu rows of revision %lu, written %lu s ago\n",
                   cw_json_u64(copy, "rows", 0), cw_json_u64(copy, "revision", 0),
                   cw_json_u64(copy, "age_seconds", 0));
        else
            printf("this site has no copy of it\n");
    }
    json_decref(shown);
    return is_used ? CW_EXIT_DONE : CW_EXIT_FAILED;
}
