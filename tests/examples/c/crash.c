/* A plugin that collects twice and follows a wild pointer in its third collection. */
#include "twarga_plugin.h"

#include <stdlib.h>

struct crash {
    int64_t series;
    int collections;
};

/* Volatile: the compiler must not see where it leads. */
static int *volatile nowhere;

static int32_t crash_create(const char *config_json, const twarga_host *host, void **self, twarga_error *error)
{
    (void)config_json;
    struct crash *crash = calloc(1, sizeof *crash);
    if (!crash)
        return twarga_fail(error, TWARGA_TRANSIENT, "out of memory");
    crash->series = host->series(host, 0, NULL, 0, error);
    if (crash->series < 0) {
        free(crash);
        return TWARGA_FATAL;
    }
    *self = crash;
    return TWARGA_OK;
}

static int32_t crash_collect(void *self, const twarga_out *out, const twarga_host *host, twarga_error *error)
{
    struct crash *crash = self;
    (void)host;
    (void)error;
    crash->collections++;
    if (crash->collections == 3)
        *nowhere = 1;
    return twarga_put(out, crash->series, crash->collections);
}

TWARGA_PLUGIN(crash_c, "crash-c", "1.0.0", "Ends by SIGSEGV", "",
              TWARGA_NAMESPACE("crash_c_")
              TWARGA_GAUGE("crash_c_collections", "", "", "Collections since it was made."),
              crash_create, crash_collect, free);
