/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of commands, and finding one's way through it. */
#include "control/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LATER(words)                                                                                         \
    {                                                                                                        \
        words, "", 0, CW_ARGUMENTS_MAX, "to= label=", cw_run_later, NULL, "Comes with a later version."      \
    }

#define CERT_DIRECTORY "  --directory DIR   of the authority, default /etc/causeway/authority\n"

const struct cw_command cw_commands[] = {
    {"status", "[--watch] [--check]", 0, 0, "watch check", cw_run_status,
     "every site, group, volume and path",
     "Shows role, epoch, state, sequences, lag and what would be lost (RPO) of everything.\n"
     "  --watch   again every second\n"
     "  --check   only the exit code: 0 when every group is protected, 1 when not, with the reasons"},
    {"group create", "NAME --mode M --primary SITE --replica SITE[,SITE]", 1, 1,
     "mode= primary= replica= journal= journal-size=", cw_run_group_create, "a consistency group",
     "Makes a group: volumes with one write order, one journal, one role.\n"
     "  --mode M                 async, network-sync, semi-sync or sync\n"
     "  --primary SITE           where it opens first\n"
     "  --replica SITE[,SITE]    where it is replicated to\n"
     "  --journal [SITE=]PATH    the journal's file or device (without SITE: the primary's);\n"
     "                           default: a file in the node's storage directory\n"
     "  --journal-size SIZE      default 512M"},
    {"group set", "NAME KEY=VALUE...", 2, CW_ARGUMENTS_MAX, "", cw_run_group_set,
     "change settings of a group",
     "Settings: mode (async, network-sync, semi-sync, sync), min_in_sync (0: goes on alone, 1: holds writes\n"
     "when alone), replica_timeout (5s), max_loss (60s: the objective in async and network-sync),\n"
     "failover (manual)."},
    {"group delete", "NAME", 1, 1, "", cw_run_group_delete, "delete a group that has no volumes",
     "Deletes the group and its journals at all sites. Its volumes must have been deleted before."},
    {"volume create", "GROUP/NAME --size SIZE", 1, 1, "size= path= overwrite= thin block-size=",
     cw_run_volume_create, "a volume in a group; exported by NBD at once",
     "  --size SIZE              such as 10G or 512M\n"
     "  --path [SITE=]DEVICE     a file or device instead of a file in the node's storage (without SITE: "
     "the\n"
     "                           primary's). What exists at the primary keeps its data, and is copied in "
     "full\n"
     "                           to the replicas; then --size may be left out\n"
     "  --overwrite SITE[,SITE]  what exists at --path of these replicas may be overwritten\n"
     "  --thin                   trim gives space back, and it is not reserved\n"
     "  --block-size N           512 (default) or 4096"},
    {"volume delete", "GROUP/NAME [--force]", 1, 1, "force", cw_run_volume_delete,
     "delete a volume and its files",
     "Deletes the volume at all sites, and the files that were made for it; a device or file that was\n"
     "named at its creation stays.\n"
     "  --force   also when clients are connected"},
    {"volume attach", "GROUP/NAME --nbd [SOCKET] | --nbd-tls ADDRESS --certificates DIR", 1, 1,
     "nbd=? nbd-tls= certificates= vhost=? ublk", cw_run_volume_attach, "one more way in to a volume",
     "Every volume has an NBD socket at whichever site is primary (see status). This adds:\n"
     "  --nbd SOCKET             a link at this path to it\n"
     "  --nbd-tls [HOST:]PORT    NBD over TCP with TLS, by nbdkit; clients must show a certificate of the\n"
     "                           same authority\n"
     "  --certificates DIR       for it: ca-cert.pem, ca-crl.pem, server-cert.pem, server-key.pem (causeway "
     "cert\n"
     "                           issue); clients are cut off for a moment when one of them changes"},
    {"volume detach", "GROUP/NAME --nbd | --nbd-tls", 1, 1, "nbd=? nbd-tls=? vhost=? ublk",
     cw_run_volume_detach, "take such a way in away", "The volume's own NBD socket stays."},
    {"promote", "GROUP --site S [--accept-loss] [--inconsistent]", 1, 1,
     "accept-loss inconsistent break-glass=", cw_run_promote, "make a site primary when the other is lost",
     "Waits until the old primary has confirmed that it is fenced, or its lease has run out (5 s); nothing "
     "shortens\n"
     "that. Refused (exit 3) where acknowledged writes may be missing at S.\n"
     "  --accept-loss   go on without writes that only the lost site has; in the middle of a full copy to S, "
     "from\n"
     "                  the whole image that S had before it (status says which)\n"
     "  --inconsistent  open what is no whole image, for salvage"},
    {"switchover", "GROUP --site S", 1, 1, "", cw_run_switchover, "move the primary in order, nothing lost",
     "New writes wait, everybody is brought level, the old primary lets go, S opens. If anything fails on "
     "the way,\n"
     "the old primary opens again."},
    {"resync", "GROUP --site S", 1, 1, "", cw_run_resync, "copy a replica in full",
     "For a replica that is diverged or damaged. Its tail is kept in a salvage file; the primary goes on "
     "meanwhile."},
    {"salvage", "FILE", 1, 1, "volume= to=", cw_run_salvage,
     "what a salvage file holds, and how to have it back",
     "Lists the writes that were cut off a site and kept there (the site's events name the file), each one\n"
     "checked. Nothing else than the file is needed.\n"
     "  --volume N   puts the writes of this volume in place instead: 0 is the first that was created\n"
     "  --to IMAGE   there; a copy of the volume from before them, or a new file, which then holds no more\n"
     "               than they wrote"},
    {"events", "[--follow]", 0, 0, "follow", cw_run_events, "what happened",
     "  --follow   and what happens from now on"},
    {"lab up",
     "[--sites east,west] [--link memif|veth] [--paths N] [--storage disk|memory] [--mtu N] [--wan SPEC] "
     "[--tls]",
     0, 0, "sites= link= paths= storage= mtu= wan= tls witness=?", cw_run_lab_up,
     "whole sites on this machine",
     "Real engines and controllers, for trying, testing, rehearsing. On a lab that is there: starts what "
     "does not run.\n"
     "  --sites A,B[,C]       default east,west\n"
     "  --link memif|veth     shared memory, or a network namespace each (root)\n"
     "  --paths N             between each two sites, 1 to 4, default 1: wan0, wan1, ... in status\n"
     "  --storage disk|memory where volumes and journals go\n"
     "  --mtu N               of the paths, default 1500\n"
     "  --wan SPEC            a WAN between each two sites, such as rtt=80ms,loss=1%,rate=1gbit, both ways;\n"
     "                        on each of their paths; perf/wanem/README.md tells every setting\n"
     "  --tls                 sites know each other by certificates, made in LAB/authority (causeway cert),\n"
     "                        and not by a shared key"},
    {"lab down", "", 0, 0, "", cw_run_lab_down, "stop a lab and remove all of it, data too",
     "Stops every process in order and removes the lab: sockets, store, volumes, journals, namespaces."},
    {"lab status", "", 0, 0, "", cw_run_lab_status, "what of a lab runs, and what its WAN did",
     "Tells which processes run, and of each WAN how many frames came and were dropped, as of the last "
     "second.\n"
     "A WAN that does not run is started again by lab start and lab up."},
    {"lab kill", "SITE", 1, 1, "", cw_run_lab_kill, "SIGKILL to a site's engine and controller",
     "As if the site were lost. lab start brings it back."},
    {"lab start", "SITE", 1, 1, "", cw_run_lab_start, "start a site that was killed",
     "Waits until it answers."},
    {"lab cut", "SITE [SITE] [--path NAME]", 1, 2, "path=", cw_run_lab_cut,
     "drop all frames of a site, or between two",
     "The store stays reachable: it stands for the quorum. lab heal ends it.\n"
     "  --path NAME   on this path alone, such as wan1"},
    {"lab heal", "[--path NAME]", 0, 0, "path=", cw_run_lab_heal, "end all cuts",
     "All paths are whole again.\n"
     "  --path NAME   this path alone is"},
    {"cert init", "CLUSTER", 1, 1, "directory= days=", cw_run_cert_init, "a certificate authority",
     "Makes the authority that all nodes of the cluster trust.\n" CERT_DIRECTORY
     "  --days N          how long it lasts, default 3650"},
    {"cert issue", "SITE[/NODE] [--host NAME]... | --client NAME", 1, 1, "directory= days= host= client",
     cw_run_cert_issue, "a certificate for a node or an NBD client",
     "Makes a key and a certificate under issued/SITE/NODE of the authority's directory, with the names of\n"
     "files that nbdkit, libnbd and QEMU look for (NBD over TLS). `security:` of the node's configuration\n"
     "names them too: the sessions between sites. Without NODE it is named as the site. With --client the\n"
     "certificate is under clients/NAME and for a client of NBD over TLS: no engine takes it for a site's. "
     "It\n"
     "opens every volume that is exported by TLS. Never give a client a certificate of SITE or "
     "SITE/NODE.\n" CERT_DIRECTORY "  --days N          default 365\n"
     "  --host NAME       a name or address by which clients reach the node; may come several times\n"
     "  --client          the operand is the name of a client"},
    {"cert list", "", 0, 0, "directory=", cw_run_cert_list, "every certificate, and when it ends",
     "One line each: serial, site, node (or its client's name), state, end.\n" CERT_DIRECTORY},
    {"cert renew", "SITE[/NODE] | --client NAME", 1, 1, "directory= days= host= client", cw_run_cert_renew,
     "the next certificate of a node or client",
     "A new key and certificate in place of the old files. The old certificate stays good until it ends or\n"
     "is revoked by its serial, so that nodes can change over one by one.\n" CERT_DIRECTORY
     "  --days N          default 365\n"
     "  --host NAME       default: those of the last one\n"
     "  --client          the operand is the name of a client"},
    {"cert revoke", "SITE[/NODE] | --client NAME | SERIAL", 1, 1, "directory= client", cw_run_cert_revoke,
     "take certificates back",
     "Writes ca-crl.pem anew, in the authority's directory, under issued/ and clients/. It works where it "
     "is\n"
     "copied to and read again: engines do by themselves, and end their sessions with that node; so do\n"
     "controllers for volumes that are exported by TLS.\n" CERT_DIRECTORY
     "  --client          the operand is the name of a client"},
    {"version", "", 0, 0, "", cw_run_version, "the version", "Prints the version."},
    {"rpc", "METHOD [JSON]", 1, 2, "", cw_run_rpc, NULL,
     "A debugging aid: forwards a method of dataplane/engine/RPC.md to the site's engine and prints its "
     "result.\n"
     "Nothing is checked, nothing is promised: group.fence or engine.stop do what they say."},
    LATER("failback"),
    LATER("evacuate"),
    LATER("verify"),
    LATER("checkpoint"),
    LATER("rewind"),
    LATER("drill"),
    LATER("capacity"),
    LATER("audit"),
    LATER("explain"),
    LATER("losses"),
    LATER("perf"),
    LATER("nic"),
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int print_overview(FILE *to)
{
    fprintf(to, "usage: causeway COMMAND [OPERANDS] [OPTIONS]\n\n");
    for (const struct cw_command *command = cw_commands; command->words; command++) {
        if (command->summary)
            fprintf(to, "  %-15s %s\n", command->words, command->summary);
    }
    fprintf(to, "\nOf later versions: ");
    for (const struct cw_command *command = cw_commands; command->words; command++) {
        if (command->run == cw_run_later)
            fprintf(to, "%s ", command->words);
    }
    fprintf(
        to,
        "\n\n  --site S      ask the controller of this site\n"
        "  --lab DIR     a lab (or CAUSEWAY_LAB), default %s\n"
        "  --socket PATH a controller outside a lab\n"
        "  --json        the outcome as JSON\n\n"
        "Exit: 0 done, 1 failed, 2 wrong usage, 3 refused as unsafe. causeway COMMAND --help tells more.\n",
        CW_LAB_DEFAULT);
    return to == stdout ? CW_EXIT_DONE : CW_EXIT_USAGE;
}

/* The commands that begin with one word, and how they are used together. */
static int print_family(FILE *to, const char *family)
{
    static const struct {
        const char *family, *example;
    } examples[] = {
        {"group", "  causeway group create db --mode sync --primary east --replica west\n"
                  "  causeway group set db min_in_sync=1\n"},
        {"volume", "  causeway volume create db/data --size 1G\n"
                   "  causeway volume attach db/data --nbd /run/db-data.sock\n"},
        {"cert", "  causeway cert init production\n"
                 "  causeway cert issue east --host east.example.net\n"
                 "  causeway cert issue --client database-7\n"
                 "  causeway cert revoke east\n"},
        {"lab", "  causeway lab up --sites east,west\n"
                "  causeway lab up --wan rtt=80ms,loss=1%\n"
                "  causeway lab kill east\n"
                "  causeway lab start east\n"
                "  causeway lab down\n"},
    };
    size_t length = strlen(family);
    fprintf(to, "usage: causeway %s COMMAND [OPERANDS] [OPTIONS]\n\n", family);
    for (const struct cw_command *command = cw_commands; command->words; command++) {
        if (strncmp(command->words, family, length) == 0 && command->words[length] == ' ')
            fprintf(to, "  %-15s %s\n", command->words, command->summary);
    }
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        if (strcmp(examples[i].family, family) == 0)
            fprintf(to, "\nFor example:\n%s", examples[i].example);
    }
    fprintf(to, "\ncauseway %s COMMAND --help tells more.\n", family);
    return to == stdout ? CW_EXIT_DONE : CW_EXIT_USAGE;
}

int cw_cli_main(int argc, char **argv)
{
    struct cw_cli cli;
    bool is_help;
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return print_overview(stderr);
    int code = cw_cli_parse(cw_commands, argc, argv, &cli, &is_help);
    if (code)
        return code;
    if (!cli.command && cli.family)
        return print_family(is_help ? stdout : stderr, cli.family);
    if (!cli.command)
        return print_overview(stdout);
    if (is_help) {
        cw_cli_help(cli.command);
        return CW_EXIT_DONE;
    }
    return cli.command->run(&cli);
}
