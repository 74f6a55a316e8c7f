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

#define SOMEBODY                                                                                             \
    "  --client          the operand is the name of an NBD client\n"                                         \
    "  --operator        of a person who may do everything\n"                                                \
    "  --viewer          of a person who may look"

#define CERT_DIRECTORY "  --directory DIR   of the authority, default /etc/causeway/authority\n"

const struct cw_command cw_commands[] = {
    {"status", "[--watch] [--check]", 0, 0, "watch check", cw_run_status,
     "every site, group, volume and path",
     "Shows role, epoch, state, sequences, lag and what would be lost (RPO) of everything.\n"
     "  --watch   again every second, until it is interrupted\n"
     "  --check   only the exit code: 0 when every group is protected, 1 when not, with the reasons\n"
     "causeway status --json has also the URI of each volume for NBD clients: .groups[].volumes[].uri"},
    {"group create", "NAME --mode M --primary SITE --replica SITE[,SITE]", 1, 1,
     "mode= primary= replica= journal= journal-size=", cw_run_group_create, "a consistency group",
     "Makes a group: volumes with one write order, one journal, one role. It has a name of 1 to 31 letters,\n"
     "digits, '-', '_', '.'; a node has 16 at most. The next step: causeway volume create NAME/VOLUME.\n"
     "  --mode M                 async, network-sync, semi-sync or sync\n"
     "  --primary SITE           where it opens first\n"
     "  --replica SITE[,SITE]    where it is replicated to\n"
     "  --journal [SITE=]PATH    the journal's file or device (without SITE: the primary's);\n"
     "                           default: a file in the node's storage directory\n"
     "  --journal-size SIZE      at each site, default 512M, 16M at least: "
     "how far a replica may fall behind\n"
     "                           before it is copied in full"},
    {"group set", "NAME KEY=VALUE...", 2, CW_ARGUMENTS_MAX, "", cw_run_group_set,
     "change settings of a group",
     "  mode=M                   async, network-sync, semi-sync or sync\n"
     "  min_in_sync=N            0 (default): goes on alone; 1: holds writes when alone\n"
     "  replica_timeout=TIME     without progress for so long a replica leaves the set: "
     "100ms to 10m, default 5s\n"
     "  max_loss=[TIME][,SIZE]   how far a replica may lag in async and network-sync before status says so:\n"
     "                           100ms to 24h, default 60s; and in bytes: 0 (any, the default) to 1P\n"
     "  copy_brake=TIME          not in async: so long at once a write may be held for a replica that could\n"
     "                           not get into the set otherwise, because writes come faster than the path:\n"
     "                           at most 60s, default 2s; 0: never\n"
     "  home=SITE                where causeway failback moves it to: default where it opened first\n"
     "  failover=WHEN            manual (default), or automatic (with etcd only): "
     "when the primary is silent, a\n"
     "                           replica takes over by itself. "
     "In sync and semi-sync only one that is in the\n"
     "                           in-sync set; in async and network-sync only when no more than max_loss can\n"
     "                           be lost, which must name a size then. Once: until the group has come to\n"
     "                           rest, or somebody says failover=automatic again. Nothing returns by itself\n"
     "  after=TIME               so long a primary is silent before that: 1s to 1h, "
     "default 3s; never before\n"
     "                           its lease is over\n"
     "For example: causeway group set db mode=async failover=automatic max_loss=10s,64M"},
    {"group delete", "NAME", 1, 1, "", cw_run_group_delete, "delete a group that has no volumes",
     "Deletes the group and its journals at all sites. Its volumes must have been deleted before."},
    {"volume create", "GROUP/NAME --size SIZE [--path [SITE=]DEVICE]... [OPTIONS]", 1, 1,
     "size= path= overwrite= thin block-size=", cw_run_volume_create,
     "a volume in a group; exported by NBD at once",
     "Makes it at every site of the group; causeway status --json has its URI, of where it is primary. A\n"
     "group has 64 over its life, deleted ones counted.\n"
     "  --size SIZE              such as 10G or 512M; at most 1024T, a multiple of the block size\n"
     "  --path [SITE=]DEVICE     a file or device instead of a file in the node's storage (without SITE: "
     "the\n"
     "                           primary's). "
     "What exists at the primary keeps its data, and is copied in full\n"
     "                           to the replicas; then --size may be left out\n"
     "  --overwrite SITE[,SITE]  what exists at --path of these replicas may be overwritten\n"
     "  --thin                   trim gives space back, and it is not reserved\n"
     "  --block-size N           512 (default) or 4096"},
    {"volume delete", "GROUP/NAME [--force]", 1, 1, "force", cw_run_volume_delete,
     "delete a volume and its files",
     "Deletes the volume at all sites, and the files that were made for it; a device or file that was\n"
     "named at its creation stays.\n"
     "  --force   also when clients are connected"},
    {"volume attach", "GROUP/NAME --nbd SOCKET | --nbd-tls [HOST:]PORT --certificates DIR", 1, 1,
     "nbd=? nbd-tls= certificates= vhost=? ublk", cw_run_volume_attach, "one more way in to a volume",
     "Every volume has an NBD socket at whichever site is primary (see status). This adds:\n"
     "  --nbd SOCKET             a link at this path to it; an absolute path, at most 107 bytes\n"
     "  --nbd-tls [HOST:]PORT    NBD over TCP with TLS, by nbdkit; clients must show a certificate of the\n"
     "                           same authority\n"
     "  --certificates DIR       for it, an absolute path: ca-cert.pem, ca-crl.pem, server-cert.pem,\n"
     "                           server-key.pem (causeway cert issue); "
     "clients are cut off for a moment when\n"
     "                           one of them changes"},
    {"volume detach", "GROUP/NAME --nbd | --nbd-tls", 1, 1, "nbd=? nbd-tls=? vhost=? ublk",
     cw_run_volume_detach, "take such a way in away", "The volume's own NBD socket stays."},
    {"promote", "GROUP --site S [--accept-loss] [--inconsistent] [--break-glass TOKENS]", 1, 1,
     "accept-loss inconsistent break-glass=?", cw_run_promote, "make a site primary when the other is lost",
     "Waits until the old primary has confirmed that it is fenced, "
     "or its lease has run out (5 s); nothing shortens\n"
     "that. Refused (exit 3) where acknowledged writes may be missing at S: the reason tells what to do.\n"
     "  --site S        the site that shall be primary\n"
     "  --accept-loss   go on without writes that only the lost site has; "
     "in the middle of a full copy to S, from\n"
     "                  the whole image that S had before it (status says which)\n"
     "  --inconsistent  open what is no whole image, for salvage\n"
     "  --break-glass   where no quorum of the store is left: with the tokens of as many operators as the\n"
     "                  configuration asks for (break_glass), each a word or a file, with commas between;\n"
     "                  without tokens it says what they must sign (causeway break-glass sign)"},
    {"break-glass key", "NAME [--directory DIR]", 1, 1, "directory=", cw_run_break_glass_key,
     "a pair of keys for an operator",
     "Makes NAME.key, which only its owner may read, in this directory (or DIR), and prints the line for\n"
     "break_glass.keys of every node's configuration. Who has as many such files as the threshold says can\n"
     "promote any site when no quorum of the store is left: keep them apart, with people, off the sites."},
    {"break-glass sign", "REQUEST --key FILE [--hours N]", 1, 1, "key= hours=", cw_run_break_glass_sign,
     "an operator's token for a promotion without a quorum",
     "Says what is signed, and prints the token; needs nothing but the key, no site and no network. REQUEST\n"
     "is what a promotion by tokens (causeway promote) prints without any. "
     "Who signs states that the site that held\n"
     "the group writes no more, and will not before it is connected again: see to that first.\n"
     "  --key FILE   NAME.key of causeway break-glass key\n"
     "  --hours N    how long it counts, by the clock of the site that is promoted; 1 to 72, default 1"},
    {"store rebuild", "[--dry-run] [--replace] [--without SITE[,SITE]]", 0, 0,
     "dry-run replace without=", cw_run_store_rebuild, "fill an etcd that was lost, from what all sites have",
     "For an etcd that is lost for good, or was put back to an older copy. "
     "Every controller keeps a copy of the\n"
     "store's rows, every engine has epochs and reigns in its superblocks; "
     "from both this puts the rows back.\n"
     "Until then no controller that remembers more than the store has opens or promotes anything.\n"
     "  1. Bring up an etcd of empty members under the same addresses (or the restored one).\n"
     "  2. Start the controllers of all sites anew; engines may go on.\n"
     "  3. causeway store rebuild --dry-run, at any site, then without --dry-run.\n"
     "Refused (exit 3) while a site does not answer, "
     "or its engine has not read a superblock. A group of which\n"
     "it is not known who held it last gets no holder: it opens by a promotion that accepts a loss only.\n"
     "  --dry-run        tell what would stand in the store; write nothing\n"
     "  --replace        rows that stand there are of an older copy, and are put right; epochs only rise\n"
     "  --without SITE   do without what SITE knows. Only if SITE is gone for good, "
     "or its engine is off and\n"
     "                   stays off until it has been copied anew: a later reign of SITE is lost with it"},
    {"store show", "", 0, 0, "", cw_run_store_show,
     "is the store worked with, and how old is the copy of it?",
     "Tells of the controller that is asked. Exit 0 when it works with the store, "
     "1 when not, with the reason."},
    {"switchover", "GROUP --site S", 1, 1, "", cw_run_switchover, "move the primary in order, nothing lost",
     "New writes wait, everybody is brought level, the old primary lets go, S opens. "
     "If anything fails on the way,\n"
     "the old primary opens again. For a primary that is lost: causeway promote. "
     "How long nobody could write\n"
     "is told when it is done, with its parts: drain, until all have everything; fence, until\n"
     "the old primary answers nothing more; hand over, until S begins; open. "
     "Between machines with clocks of\n"
     "their own that is an upper bound.\n"
     "  --site S   the site that shall be primary"},
    {"failback", "GROUP", 1, 1, "", cw_run_failback, "move the primary back to where it belongs",
     "A switchover to the group's home: where it opened first, or what causeway group set\n"
     "GROUP home=SITE says. After a failover the old primary must be back and have caught up. Refused (exit "
     "3)\n"
     "when it is at home already, and when the home site does not answer or is not level yet: the reason "
     "tells\n"
     "how far it is."},
    {"evacuate", "SITE [--dry-run] [--parallel N]", 1, 1, "dry-run parallel=", cw_run_evacuate,
     "move all primaries away from a site, now",
     "For the minutes between a fire alarm and the power cut; works at any site. "
     "Every group whose primary is SITE\n"
     "is switched over, so many at a time, nothing lost: to a site that has everything; "
     "of several to that which has\n"
     "the fewest primaries. What cannot go is told, with the reason and what to type; "
     "what has been asked for goes\n"
     "on when this command is killed. Given again, it does what is left. "
     "Where SITE is lost meanwhile, the rest is\n"
     "for causeway promote. Exit: 0 nothing is left there, 1 something is, 3 nothing could be moved.\n"
     "  --dry-run      only tells what would go where; exit 3: not all could\n"
     "  --parallel N   so many groups at a time, 1 to 16, default 8\n"
     "UPS daemons and building alarms: control/examples/evacuate-hook."},
    {"resync", "GROUP --site S", 1, 1, "", cw_run_resync, "copy a replica in full",
     "For a replica that is diverged or damaged. Its tail is kept in a salvage file; "
     "the primary goes on meanwhile.\n"
     "It returns as soon as the copy has begun; causeway status shows how far it is. "
     "Where S cannot be reached, it\n"
     "says so and returns, too: the copy begins when S is back.\n"
     "  --site S   the replica"},
    {"losses", "GROUP [--list [FILE]] [--epoch N]", 1, 1, "list=? epoch=", cw_run_losses,
     "what takeovers of a group cost: an estimate, then the list",
     "For each takeover by another site: at most how many acknowledged writes were missing there, as\n"
     "far as the old primary's last word told, and what may have come after it. When the old primary\n"
     "is back, it keeps all that it has beyond the common point in a salvage file, before anything is\n"
     "copied over it; then the list is exact. Of each write it says whether it was acknowledged: yes,\n"
     "no, or unknown, when its answer may have been on the way as the site died.\n"
     "  --list [FILE]   the writes: sequence, time, volume, place, hash, acknowledged; of the last\n"
     "                  takeover that has such a file; to FILE instead of here\n"
     "  --epoch N       of the takeover that began epoch N"},
    {"salvage", "FILE [--volume N [--extent OFFSET+LENGTH] [--to IMAGE]]", 1, 1,
     "volume= extent= to=", cw_run_salvage, "what a salvage file holds, and how to have it back",
     "Lists the writes that were cut off a site and kept there (causeway losses names the file), each\n"
     "one checked: exit 1 where one is damaged. Nothing else than the file is needed.\n"
     "  --volume N               only writes of this volume: 0 is the first that was created\n"
     "  --extent OFFSET+LENGTH   only what touches these bytes of it, such as 1M+4096\n"
     "  --to IMAGE               puts them in place there, clipped to the extent: in a copy of the\n"
     "                           volume from before them, or a new file, which then holds no more\n"
     "                           than they wrote"},
    {"explain", "GROUP", 1, 1, "", cw_run_explain, "what state a group is in, why, and what to type",
     "In plain words: what its state is and why; who is primary, in which epoch, "
     "with which lease; who votes;\n"
     "what each replica lacks and waits for; what happens next by itself; "
     "what would be if the primary's site\n"
     "burned now; and what to type for each thing that one might want, or why it is refused now: these are\n"
     "the words that the command itself would say. It changes nothing."},
    {"audit", "", 0, 0, "", cw_run_audit, "which losses of sites would be survived, right now?",
     "For each site, and each two: if it burned now, "
     "who would still have a majority of votes (etcd's members),\n"
     "which site would take over each group, by itself or by what you type, "
     "with what it lacks, and what else\n"
     "would be gone. From what every site said in the last seconds: what is older, or not known, is no yes.\n"
     "The log of who asked for what is another thing: see causeway events.\n"
     "Exit 0 when the loss of any one site is survivable, by itself or by hand; "
     "else 1. Two sites at once do\n"
     "not count for it."},
    {"events", "[--follow] [--audit]", 0, 0, "follow audit", cw_run_events,
     "what happened, and who asked for it",
     "Tells of all sites, oldest first; the last 10000 are kept.\n"
     "  --follow   and what happens from now on\n"
     "  --audit    instead: who asked for what, from where, why, and what came of it: every\n"
     "             command that changes something, "
     "and every one that was refused for lack of rights. Nothing\n"
     "             takes lines away; each is chained to the one before it, and exit 1 tells that one was\n"
     "             changed, taken out or cut off"},
    {"lab up",
     "[--sites east,west] [--witness W] [--link memif|veth] [--paths N] [--storage disk|memory] [--mtu N] "
     "[--wan SPEC] [--net-lcores N] [--tls]",
     0, 0, "sites= link= paths= storage= mtu= wan= net-lcores= tls witness=", cw_run_lab_up,
     "whole sites on this machine",
     "Real engines and controllers, for trying, testing, rehearsing. On a lab that is there: starts what "
     "does not run.\n"
     "  --sites A,B[,C]       default east,west\n"
     "  --witness W           a third site without data: "
     "the store is an etcd of three members then, one at each\n"
     "                        site, controllers are linked, everything is by certificates. "
     "As root each site is in\n"
     "                        a network namespace of its own, "
     "joined by a control network that lab cut can cut\n"
     "  --link memif|veth     shared memory (default), or a network namespace each (root)\n"
     "  --paths N             between each two sites, 1 to 4, default 1: wan0, wan1, ... in status\n"
     "  --storage disk|memory volumes and journals on disk (default; below /var/lib where the lab's own\n"
     "                        directory is in memory), or in memory\n"
     "  --mtu N               of the paths, default 1500; 576 to 9600, over veth 3498\n"
     "  --wan SPEC            a WAN between each two sites, such as rtt=80ms,loss=1%,rate=1gbit, both ways;\n"
     "                        on each of their paths; perf/wanem/README.md tells every setting. Where it\n"
     "                        has a rate, sites find what it carries (rate_control: bbr in node.yaml)\n"
     "  --net-lcores N        network threads of each engine, 1 to 4, "
     "beside one for storage; a group's data goes\n"
     "                        through one of them. Default: one thread does both, "
     "which does most on few CPUs\n"
     "  --tls                 sites know each other by certificates, made in LAB/authority (causeway cert),\n"
     "                        and not by a shared key\n"
     "The next steps: causeway group create, causeway volume create, causeway status."},
    {"lab down", "", 0, 0, "", cw_run_lab_down, "stop a lab and remove all of it, data too",
     "Stops every process in order and removes the lab: sockets, store, volumes, journals, namespaces."},
    {"lab status", "", 0, 0, "", cw_run_lab_status, "what of a lab runs, and what its WAN did",
     "Tells which processes run, and of each WAN how many frames came and were dropped, "
     "as of the last second.\n"
     "A WAN that does not run is started again by lab start and lab up."},
    {"lab kill", "SITE", 1, 1, "", cw_run_lab_kill, "SIGKILL to a site's engine, controller and etcd",
     "As if the site were lost. lab start brings it back."},
    {"lab start", "SITE", 1, 1, "", cw_run_lab_start, "start a site that was killed",
     "Waits until it answers. What is cut stays cut."},
    {"lab cut", "SITE [SITE] [--one-way] [--only data|control] [--path NAME]", 1, 2, "path= only= one-way",
     cw_run_lab_cut, "nothing passes between two sites, or of one",
     "In a lab with a witness both the data and the control network (etcd, "
     "links between controllers) are cut.\n"
     "In others the store stays reachable: it stands for the quorum. lab heal ends all cuts.\n"
     "  --one-way             what the first site sends is lost; what it is sent arrives\n"
     "  --only data|control   one of the two networks\n"
     "  --path NAME           of data, on this path alone, such as wan1"},
    {"lab heal", "[--path NAME]", 0, 0, "path=", cw_run_lab_heal, "end all cuts",
     "All paths are whole again, and the control network.\n"
     "  --path NAME   this path alone is"},
    {"cert init", "CLUSTER", 1, 1, "directory= days=", cw_run_cert_init, "a certificate authority",
     "Makes the authority that all nodes of the cluster trust.\n" CERT_DIRECTORY
     "  --days N          how long it lasts, default 3650"},
    {"cert issue", "SITE[/NODE] [--host NAME]... | --client NAME | --operator NAME | --viewer NAME", 1, 1,
     "directory= days= host= client operator viewer", cw_run_cert_issue,
     "a certificate for a node, an NBD client or a person",
     "Makes a key and a certificate under issued/SITE/NODE of the authority's directory, with the names of\n"
     "files that nbdkit, libnbd and QEMU look for (NBD over TLS). `security:` of the node's configuration\n"
     "names them too: the sessions between sites. Without NODE it is named as the site. With --client the\n"
     "certificate is under clients/NAME and for a client of NBD over TLS: "
     "no engine takes it for a site's. It\n"
     "opens every volume that is exported by TLS. Never give a client a certificate of SITE or SITE/NODE.\n"
     "With --operator or --viewer it is under operators/NAME or viewers/NAME and for a person who speaks to\n"
     "a controller from elsewhere: an operator may do everything, a viewer may look. Nobody else takes it:\n"
     "it opens no volume.\n" CERT_DIRECTORY "  --days N          default 365\n"
     "  --host NAME       a name or address by which clients reach the node; "
     "may come several times\n" SOMEBODY},
    {"cert list", "", 0, 0, "directory=", cw_run_cert_list, "every certificate, and when it ends",
     "One line each: serial, site, node (or its client's or person's name), state, end.\n" CERT_DIRECTORY},
    {"cert renew", "SITE[/NODE] | --client NAME | --operator NAME | --viewer NAME", 1, 1,
     "directory= days= host= client operator viewer", cw_run_cert_renew,
     "the next certificate of a node, client or person",
     "A new key and certificate in place of the old files. The old certificate stays good until it ends or\n"
     "is revoked by its serial, so that nodes can change over one by one.\n" CERT_DIRECTORY
     "  --days N          default 365\n"
     "  --host NAME       default: those of the last one\n" SOMEBODY},
    {"cert revoke", "SITE[/NODE] | --client NAME | --operator NAME | --viewer NAME | SERIAL", 1, 1,
     "directory= client operator viewer", cw_run_cert_revoke, "take certificates back",
     "Writes ca-crl.pem anew, in the authority's directory, "
     "under issued/ and clients/. It works where it is\n"
     "copied to and read again: engines do by themselves, and end their sessions with that node; so do\n"
     "controllers for volumes that are exported by TLS, and for whom they speak to.\n" CERT_DIRECTORY
         SOMEBODY},
    {"nic", "COMMAND [OPERANDS] [OPTIONS]", 0, CW_ARGUMENTS_MAX, "", cw_run_nic,
     "network cards: shown, planned, given to the engine, given back",
     "show, plan, apply, verify, revert: of this machine alone. causeway nic without more tells of them."},
    {"version", "", 0, 0, "", cw_run_version, "the version", "Prints the version of this program."},
    {"rpc", "METHOD [JSON]", 1, 2, "", cw_run_rpc, "a method of the engine, unchecked: a debugging aid",
     "A debugging aid: forwards a method of dataplane/engine/RPC.md to the site's engine and prints its "
     "result.\n"
     "Nothing is checked, nothing is promised: group.fence or engine.stop do what they say."},
    LATER("verify"),
    LATER("checkpoint"),
    LATER("rewind"),
    LATER("drill"),
    LATER("capacity"),
    LATER("perf"),
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int print_overview(FILE *to)
{
    fprintf(to, "usage: causeway COMMAND [OPERANDS] [OPTIONS]\n\n");
    for (const struct cw_command *command = cw_commands; command->words; command++) {
        if (command->summary)
            fprintf(to, "  %-15s %s\n", command->words, command->summary);
    }
    fprintf(to, "\nOf later versions:");
    for (const struct cw_command *command = cw_commands; command->words; command++) {
        if (command->run == cw_run_later)
            fprintf(to, " %s", command->words);
    }
    fprintf(
        to,
        "\n\n  --site S      ask the controller of this site\n"
        "  --lab DIR     a lab (or CAUSEWAY_LAB), default %s\n"
        "  --socket PATH a controller outside a lab, "
        "default /run/causeway/control.sock where there is no lab\n"
        "  --connect ADDRESS:PORT --identity DIR\n"
        "                a controller elsewhere (its control_address); DIR: causeway cert issue --operator\n"
        "  --reason TEXT why: it stands in the audit, with who changed what (causeway events --audit)\n"
        "  --json        the outcome as JSON\n\n"
        "Every command may be given at any site. A SIZE has K, M, G or T (of 1024), a TIME ms, s, m or h.\n"
        "To begin with: causeway lab up, then causeway group --help and causeway volume --help.\n\n"
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
                "  causeway lab up --sites east,west --witness central\n"
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
    if (strcmp(argv[1], "nic") == 0)
        return cw_become_nic(argv + 1);
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
