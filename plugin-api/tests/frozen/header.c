/* twarga_plugin.h as it was published: compiled by tests/tests/c_header.rs. A failure means that plugins which exist
   would misread the host, or it them. */
#include "twarga_plugin.h"

#include <stdalign.h>

#define ADVICE ": take the change back; structs grow after their last field only, see docs/abi.md"
#define SIZE(type, bytes, alignment) \
    _Static_assert(sizeof(type) >= (bytes) && alignof(type) == (alignment), "the size of " #type ADVICE)
#define FIELD(type, field, at, bytes) \
    _Static_assert(offsetof(type, field) == (at) && sizeof(((type *)0)->field) == (bytes), #type "." #field ADVICE)
#define TYPE(type, field, ...) \
    _Static_assert(_Generic(((type *)0)->field, __VA_ARGS__ : 1, default : 0), "the type of " #type "." #field ADVICE)
#define VALUE(name, number) _Static_assert((name) == (number), #name ADVICE)

_Static_assert(sizeof(twarga_sample) == 16 && alignof(twarga_sample) == 8, "twarga_sample is an element of arrays" ADVICE);
FIELD(twarga_sample, series, 0, 4);
FIELD(twarga_sample, flags, 4, 4);
FIELD(twarga_sample, value, 8, 8);

SIZE(twarga_metric, 40, 8);
FIELD(twarga_metric, size, 0, 4);
FIELD(twarga_metric, kind, 4, 4);
FIELD(twarga_metric, name, 8, 8);
FIELD(twarga_metric, unit, 16, 8);
FIELD(twarga_metric, help, 24, 8);
FIELD(twarga_metric, label_keys, 32, 8);

SIZE(twarga_error, 776, 4);
FIELD(twarga_error, size, 0, 4);
FIELD(twarga_error, reserved, 4, 4);
FIELD(twarga_error, message, 8, 512);
FIELD(twarga_error, location, 520, 256);

SIZE(twarga_host, 64, 8);
FIELD(twarga_host, size, 0, 4);
FIELD(twarga_host, api_minor, 4, 4);
FIELD(twarga_host, ctx, 8, 8);
FIELD(twarga_host, metric, 16, 8);
FIELD(twarga_host, series, 24, 8);
FIELD(twarga_host, retire, 32, 8);
FIELD(twarga_host, unavailable, 40, 8);
FIELD(twarga_host, batch_time, 48, 8);
FIELD(twarga_host, log, 56, 8);

SIZE(twarga_out, 24, 8);
FIELD(twarga_out, size, 0, 4);
FIELD(twarga_out, reserved, 4, 4);
FIELD(twarga_out, ctx, 8, 8);
FIELD(twarga_out, put, 16, 8);

SIZE(twarga_plugin, 40, 8);
FIELD(twarga_plugin, size, 0, 4);
FIELD(twarga_plugin, abi_major, 4, 4);
FIELD(twarga_plugin, metadata, 8, 8);
FIELD(twarga_plugin, create, 16, 8);
FIELD(twarga_plugin, collect, 24, 8);
FIELD(twarga_plugin, destroy, 32, 8);

TYPE(twarga_sample, series, uint32_t);
TYPE(twarga_sample, flags, uint32_t);
TYPE(twarga_sample, value, double);
TYPE(twarga_metric, size, uint32_t);
TYPE(twarga_metric, kind, uint32_t);
TYPE(twarga_metric, name, const char *);
TYPE(twarga_metric, unit, const char *);
TYPE(twarga_metric, help, const char *);
TYPE(twarga_metric, label_keys, const char *);
TYPE(twarga_error, size, uint32_t);
TYPE(twarga_error, message, char *);
TYPE(twarga_error, location, char *);
TYPE(twarga_host, size, uint32_t);
TYPE(twarga_host, api_minor, uint32_t);
TYPE(twarga_host, ctx, void *);
TYPE(twarga_host, metric, int64_t (*)(const twarga_host *, const twarga_metric *, twarga_error *));
TYPE(twarga_host, series, int64_t (*)(const twarga_host *, uint32_t, const char *const *, size_t, twarga_error *));
TYPE(twarga_host, retire, int32_t (*)(const twarga_host *, uint32_t));
TYPE(twarga_host, unavailable, int32_t (*)(const twarga_host *, uint32_t, const char *));
TYPE(twarga_host, batch_time, int32_t (*)(const twarga_host *, int64_t));
TYPE(twarga_host, log, int32_t (*)(const twarga_host *, uint32_t, const char *));
TYPE(twarga_out, size, uint32_t);
TYPE(twarga_out, ctx, void *);
TYPE(twarga_out, put, int32_t (*)(const twarga_out *, const twarga_sample *, size_t));
TYPE(twarga_plugin, size, uint32_t);
TYPE(twarga_plugin, abi_major, uint32_t);
TYPE(twarga_plugin, metadata, const char *);
TYPE(twarga_plugin, create, int32_t (*)(const char *, const twarga_host *, void **, twarga_error *));
TYPE(twarga_plugin, collect, int32_t (*)(void *, const twarga_out *, const twarga_host *, twarga_error *));
TYPE(twarga_plugin, destroy, void (*)(void *));

VALUE(TWARGA_ABI_MAJOR, 1);
VALUE(TWARGA_OK, 0);
VALUE(TWARGA_TRANSIENT, 1);
VALUE(TWARGA_CONFIG, 2);
VALUE(TWARGA_UNSUPPORTED, 3);
VALUE(TWARGA_FATAL, 4);
VALUE(TWARGA_RESET, 1);
VALUE(TWARGA_KIND_GAUGE, 0);
VALUE(TWARGA_KIND_COUNTER, 1);
VALUE(TWARGA_KIND_INFO, 2);
VALUE(TWARGA_KIND_STATE_SET, 3);
VALUE(TWARGA_LOG_ERROR, 0);
VALUE(TWARGA_LOG_WARN, 1);
VALUE(TWARGA_LOG_INFO, 2);
VALUE(TWARGA_LOG_DEBUG, 3);

static inline int32_t create(const char *config, const twarga_host *host, void **self, twarga_error *error)
{
    (void)config, (void)self, (void)error;
    return TWARGA_HAS(host, log) ? TWARGA_OK : TWARGA_FATAL;
}

static inline int32_t collect(void *self, const twarga_out *out, const twarga_host *host, twarga_error *error)
{
    (void)self, (void)out, (void)host, (void)error;
    return TWARGA_OK;
}

static inline void destroy(void *self)
{
    (void)self;
}

/* The texts of the section and the name of the entry: c_header.rs reads them in the compiled file. */
TWARGA_PLUGIN(frozen, "frozen-c", "1.2.3", "A description", "Ann",
              TWARGA_NAMESPACE("frozen_")
              TWARGA_NAMESPACE("other_")
              TWARGA_GAUGE("frozen_gauge_bytes", "By", "a,b", "A gauge.")
              TWARGA_COUNTER("frozen_total", "", "", "A counter.")
              TWARGA_INFO("frozen_info", "c", "An info.")
              TWARGA_STATE_SET("frozen_state", "state", "A state.")
              TWARGA_SCHEMA("{}"),
              create, collect, destroy);
