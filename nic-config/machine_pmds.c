/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which cards this machine's DPDK drives, and by what: its plug-ins hold that as text, for tools to find ("PMD_INFO_STRING= "
 * and an object of JSON, ended by a byte of 0). The plug-ins are not loaded for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "nic-config/machine_live.h"

#define PLUG_IN_BYTES_MAX (64u << 20)
#define FOLDER_BYTES      128u

static const char mark[] = "PMD_INFO_STRING= ";
static const char *const places[] = {"/usr/lib/*/dpdk/pmds-*", "/usr/lib64/dpdk/pmds-*",
                                     "/usr/local/lib/*/dpdk/pmds-*", "/usr/local/lib64/dpdk/pmds-*"};

/* Of several versions the newest: "pmds-23.0". */
static bool find_folder(char *folder, size_t size)
{
    folder[0] = '\0';
    for (size_t i = 0; i < CW_COUNT_OF(places); i++) {
        glob_t found;
        if (glob(places[i], 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++) {
            const char *path = found.gl_pathv[j];
            bool is_newer = folder[0] == '\0' || strverscmp(strrchr(path, '/'), strrchr(folder, '/')) > 0;
            if (is_newer && strlen(path) < size)
                snprintf(folder, size, "%s", path);
        }
        globfree(&found);
    }
    return folder[0] != '\0';
}

static void take_all(const char *bytes, size_t length, json_t *pmds)
{
    const char *at = bytes, *end = bytes + length;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        at += sizeof mark - 1;
        size_t text = strnlen(at, (size_t)(end - at));
        json_t *pmd = json_loadb(at, text, 0, NULL);
        if (json_is_object(pmd))
            json_array_append(pmds, pmd);
        json_decref(pmd);
        at += text;
    }
}

static void take_plug_in(const char *path, json_t *pmds)
{
    struct stat about; /* the links beside it have the same again */
    if (lstat(path, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > PLUG_IN_BYTES_MAX)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *bytes = fd >= 0 ? malloc((size_t)about.st_size + 1) : NULL;
    size_t length = 0;
    while (bytes != NULL && length < (size_t)about.st_size) {
        ssize_t n = read(fd, bytes + length, (size_t)about.st_size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    if (bytes != NULL)
        take_all(bytes, length, pmds);
    free(bytes);
    if (fd >= 0)
        close(fd);
}

struct folder {
    char path[FOLDER_BYTES];
    json_t *pmds;
};

static void take_file(void *context, const char *name)
{
    struct folder *folder = context;
    char path[FOLDER_BYTES + 257];
    if (strncmp(name, "librte_net_", 11) != 0 || strstr(name, ".so") == NULL)
        return;
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    take_plug_in(path, folder->pmds);
}

json_t *cw_machine_live_pmds(const struct cw_machine *machine, char *why, size_t why_size)
{
    struct folder folder = {.pmds = json_array()};
    if (!find_folder(folder.path, sizeof folder.path))
        snprintf(why, why_size, "there are no plug-ins of DPDK in %s and the like", places[0]);
    else if (!cw_machine_list(machine, folder.path, take_file, &folder) || json_array_size(folder.pmds) == 0)
        snprintf(why, why_size, "%s: no plug-in for a card in it can be read", folder.path);
    else
        return folder.pmds;
    json_decref(folder.pmds);
    return NULL;
}
