/* A plugin that does something wrong already when it is loaded, as it was compiled: FAULT is what, VERSION its version. */
#include "twarga_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether this is a process of one plugin. */
static int is_isolated(void)
{
    char line[256] = "";
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (!file)
        return 0;
    size_t count = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    for (size_t at = 0; at < count; at += strlen(line + at) + 1)
        if (!strcmp(line + at, "isolated-plugin"))
            return 1;
    return 0;
}

__attribute__((constructor)) static void loaded(void)
{
    const char *fault = FAULT;
    if (!strcmp(fault, "crash"))
        abort();
    while (!strcmp(fault, "hang") || (!strcmp(fault, "hang-in-agent") && !is_isolated()))
        sleep(3600);
}

static int32_t loading_create(const char *config_json, const twarga_host *host, void **self, twarga_error *error)
{
    (void)config_json;
    int64_t *series = malloc(sizeof *series);
    if (!series)
        return twarga_fail(error, TWARGA_TRANSIENT, "out of memory");
    *series = host->series(host, 0, NULL, 0, error);
    if (*series < 0) {
        free(series);
        return TWARGA_FATAL;
    }
    *self = series;
    return TWARGA_OK;
}

static int32_t loading_collect(void *self, const twarga_out *out, const twarga_host *host, twarga_error *error)
{
    (void)host;
    (void)error;
    return twarga_put(out, *(int64_t *)self, 1);
}

TWARGA_PLUGIN(loading_c, "loading-c", VERSION, "Its faults are in its initialiser", "",
              TWARGA_NAMESPACE("loading_c_")
              TWARGA_GAUGE("loading_c_value", "", "", "One."),
              loading_create, loading_collect, free);
