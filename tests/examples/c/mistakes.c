/* A C plugin that uses the host wrongly in every way that the host must survive. What it is told becomes series:
   c_mistakes_info{text=…} for each message of the host, and c_mistakes_refusals for the calls that have none. */
#include "twarga_plugin.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXTS, REFUSALS };

enum { MOST = 32 };

struct mistakes {
    int64_t texts[MOST];
    size_t count;
    int64_t refusals;
    const twarga_host *host;
};

/* Registers what the host said, if it refused. */
static void note(struct mistakes *self, int64_t id, const twarga_error *error)
{
    const char *text = id < 0 ? error->message : "not refused";
    if (self->count < MOST)
        self->texts[self->count++] = self->host->series(self->host, TEXTS, &text, 1, NULL);
}

static void register_wrongly(struct mistakes *self, twarga_error *error)
{
    const twarga_host *host = self->host;
    const char *bad = "\xff", *none = NULL, *good = "a";
    note(self, host->series(NULL, TEXTS, &good, 1, error), error);
    note(self, host->series(host, TEXTS, &bad, 1, error), error);
    note(self, host->series(host, TEXTS, &none, 1, error), error);
    note(self, host->series(host, TEXTS, NULL, 1, error), error);
    note(self, host->series(host, TEXTS, &good, SIZE_MAX, error), error);
    note(self, host->series(host, TEXTS, NULL, 0, error), error);
    note(self, host->series(host, 77, NULL, 0, error), error);
    host->series(host, 78, NULL, 0, NULL); /* nowhere to tell it */
    twarga_error old = {8, 0, "untouched", ""};
    host->series(host, 79, NULL, 0, &old); /* smaller than any header has it */
    note(self, -1, &old);
}

static void declare_wrongly(struct mistakes *self, twarga_error *error)
{
    const twarga_host *host = self->host;
    twarga_metric sound = {sizeof sound, TWARGA_KIND_GAUGE, "c_mistakes_new", "", "Help.", ""};
    twarga_metric metric = sound;
    note(self, host->metric(host, NULL, error), error);
    metric.size = 8;
    note(self, host->metric(host, &metric, error), error);
    metric = sound, metric.kind = 1000;
    note(self, host->metric(host, &metric, error), error);
    metric = sound, metric.help = NULL;
    note(self, host->metric(host, &metric, error), error);
    metric = sound, metric.name = "c_mistakes_\xc3";
    note(self, host->metric(host, &metric, error), error);
    metric = sound, metric.name = "elsewhere";
    note(self, host->metric(host, &metric, error), error);
}

static int32_t create(const char *config_json, const twarga_host *host, void **out, twarga_error *error)
{
    if (strstr(config_json, "\"no_state\""))
        return TWARGA_OK;
    if (strstr(config_json, "\"config\"")) {
        strcpy(error->location, "disks.0");
        return twarga_fail(error, TWARGA_CONFIG, "no such disk");
    }
    if (strstr(config_json, "\"strange_code\""))
        return twarga_fail(error, 99, "strange");
    if (strstr(config_json, "\"negative_code\""))
        return -1;
    if (strstr(config_json, "\"no_message\""))
        return TWARGA_UNSUPPORTED;
    if (strstr(config_json, "\"no_end\"")) { /* neither a NUL nor UTF-8 */
        memset(error->message, 0xff, sizeof error->message);
        memset(error->location, 'x', sizeof error->location);
        return TWARGA_TRANSIENT;
    }
    struct mistakes *self = calloc(1, sizeof *self);
    if (!self)
        return twarga_fail(error, TWARGA_TRANSIENT, "out of memory");
    self->host = host;
    register_wrongly(self, error);
    declare_wrongly(self, error);
    self->refusals = host->series(host, REFUSALS, NULL, 0, error);
    *out = self;
    return TWARGA_OK;
}

static void *use_elsewhere(void *host)
{
    int32_t code = ((const twarga_host *)host)->retire(host, 0);
    return (void *)(intptr_t)code;
}

static int32_t collect(void *state, const twarga_out *out, const twarga_host *host, twarga_error *error)
{
    struct mistakes *self = state;
    _Alignas(8) char bytes[2 * sizeof(twarga_sample)] = {0};
    twarga_sample sample = {(uint32_t)self->refusals, 0, 1.0};
    int refused = 0;
    refused += out->put(out, NULL, 1) == TWARGA_FATAL;
    refused += out->put(NULL, &sample, 1) == TWARGA_FATAL;
    refused += out->put(out, (const twarga_sample *)(const void *)(bytes + 1), 1) == TWARGA_FATAL;
    refused += out->put(out, &sample, SIZE_MAX) == TWARGA_FATAL;
    refused += out->put(out, NULL, 0) == TWARGA_OK ? 0 : 100;
    refused += host->log(host, TWARGA_LOG_INFO, NULL) == TWARGA_FATAL;
    refused += host->log(NULL, TWARGA_LOG_INFO, "") == TWARGA_FATAL;
    refused += host->log(host, 1000, "\xff is replaced") == TWARGA_OK ? 0 : 100;
    refused += host->unavailable(host, 0, NULL) == TWARGA_FATAL;
    refused += twarga_put(out, -1, 0) == TWARGA_FATAL;
    host->unavailable(host, 4000000000u, "no such series");
    host->retire(host, 4000000000u);

    pthread_t thread;
    void *code = NULL;
    if (host != self->host || pthread_create(&thread, NULL, use_elsewhere, (void *)(uintptr_t)host) != 0)
        return twarga_fail(error, TWARGA_FATAL, "another host, or no thread");
    pthread_join(thread, &code);
    refused += (intptr_t)code == TWARGA_FATAL;

    for (size_t i = 0; i < self->count; i++)
        twarga_put(out, self->texts[i], 1);
    return twarga_put(out, self->refusals, refused);
}

static void destroy(void *state)
{
    struct mistakes *self = state;
    /* no call is under way: refused, not believed */
    if (self->host->retire(self->host, 0) != TWARGA_FATAL)
        abort();
    free(self);
}

TWARGA_PLUGIN(c_mistakes, "c-mistakes", "1.0.0", "Uses the host wrongly", "",
              TWARGA_NAMESPACE("c_mistakes_")
              TWARGA_INFO("c_mistakes_info", "text", "What the host said.")
              TWARGA_GAUGE("c_mistakes_refusals", "", "", "Calls that were refused without a message."),
              create, collect, destroy);
