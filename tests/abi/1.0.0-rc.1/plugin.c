/* Does everything that API 1.0 has, step by step; plugin.rs does the same in Rust. What comes of it: samples.txt. */
#include "twarga_plugin.h"

#include <stdlib.h>

enum { VALUE, EVENTS, INFO, STATE };

struct fixture {
    int64_t time, a, b, events, info, on, off;
    int collection;
};

static int64_t labelled(const twarga_host *host, uint32_t metric, const char *value, twarga_error *error)
{
    return host->series(host, metric, &value, 1, error);
}

static int32_t create(const char *config_json, const twarga_host *host, void **self, twarga_error *error)
{
    const char *time = strstr(config_json, "\"time\":");
    if (strstr(config_json, "\"fail\":true")) {
        strcpy(error->location, "fail");
        return twarga_fail(error, TWARGA_CONFIG, "planned");
    }
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture)
        return twarga_fail(error, TWARGA_TRANSIENT, "out of memory");
    fixture->time = time ? strtoll(time + strlen("\"time\":"), NULL, 10) : 0;
    fixture->a = labelled(host, VALUE, "a", error);
    fixture->b = labelled(host, VALUE, "b", error);
    fixture->events = host->series(host, EVENTS, NULL, 0, error);
    fixture->info = labelled(host, INFO, "\xc3\xbc" "ber", error);
    fixture->on = labelled(host, STATE, "on", error);
    fixture->off = labelled(host, STATE, "off", error);
    *self = fixture;
    return TWARGA_OK;
}

static int32_t collect(void *self, const twarga_out *out, const twarga_host *host, twarga_error *error)
{
    static const twarga_metric later = {sizeof later, TWARGA_KIND_GAUGE, "abi_later_ratio", "1", "Half.", ""};
    struct fixture *fixture = self;
    double n = ++fixture->collection;
    switch (fixture->collection) {
    case 1:
        host->log(host, TWARGA_LOG_INFO, "the first collection");
        break;
    case 2: {
        int64_t family = host->metric(host, &later, error);
        if (family < 0)
            return TWARGA_FATAL;
        twarga_put(out, host->series(host, (uint32_t)family, NULL, 0, error), 0.5);
        host->batch_time(host, fixture->time);
        break;
    }
    case 3: {
        twarga_sample reset = {(uint32_t)fixture->events, TWARGA_RESET, 50.0};
        host->unavailable(host, (uint32_t)fixture->a, "gone for now");
        host->retire(host, (uint32_t)fixture->b);
        return out->put(out, &reset, 1);
    }
    default:
        return twarga_fail(error, TWARGA_TRANSIENT, "planned");
    }
    twarga_sample samples[] = {
        {(uint32_t)fixture->a, 0, 1000.0 * n},
        {(uint32_t)fixture->b, 0, 2000.0 * n},
        {(uint32_t)fixture->events, 0, 10.0 * n},
        {(uint32_t)fixture->info, 0, 1.0},
        {(uint32_t)fixture->on, 0, fixture->collection == 1},
        {(uint32_t)fixture->off, 0, fixture->collection == 2},
    };
    return out->put(out, samples, sizeof samples / sizeof *samples);
}

TWARGA_PLUGIN(abi_fixture, "abi-fixture", "1.0.0", "Does everything that API 1.0 has", "",
              TWARGA_NAMESPACE("abi_")
              TWARGA_GAUGE("abi_value_bytes", "By", "part", "1000 or 2000 a collection.")
              TWARGA_COUNTER("abi_events_total", "", "", "10 a collection, anew in the third.")
              TWARGA_INFO("abi_info", "text", "Facts.")
              TWARGA_STATE_SET("abi_state", "state", "On, then off.")
              TWARGA_SCHEMA("{\"type\":\"object\"}"),
              create, collect, free);
