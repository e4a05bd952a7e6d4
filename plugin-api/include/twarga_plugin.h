/*
 * twarga_plugin.h: a collector plugin for twarga-agent in C, or in any language that can make a C shared library.
 * C11 and C++11; gcc and clang. This file is all that a plugin needs. docs/c-plugins.md goes from zero to running.
 *
 * A plugin is an ELF shared library with one line of TWARGA_PLUGIN(...). The line makes
 *   - a link section with what the plugin is called and which metrics it has, read without running anything;
 *   - the entry symbol: a `twarga_plugin` with three functions, create, collect and destroy.
 *
 * Rules for every text: UTF-8, ended by a NUL, never NULL where not said. The host copies what it is given; what it
 * gives is the host's and ends with the call.
 *
 * Rules for threads: the calls for one collector never overlap, but may come from different threads. Several collectors
 * of one plugin may run at the same time, so keep state in `self`, not in static variables. The functions of
 * `twarga_host` and `twarga_out` work on the thread of a call, until that call returns; elsewhere they refuse. Threads
 * that a collector started must have ended when `destroy` returns.
 *
 * A fault is not caught: abort(), exit(), a wild pointer or a C++ exception that leaves a function ends the process
 * that the plugin runs in. With `mode = "isolated"` that is a process of its own, otherwise the agent itself.
 *
 * Stability: what stands here stays as it is in all of API 1.x. Structs begin with their size and grow at their end
 * only; twarga_sample, an element of arrays, never does. TWARGA_HAS says whether the host has a newer field. See
 * docs/abi.md.
 */
#ifndef TWARGA_PLUGIN_H
#define TWARGA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ABI that this header speaks. */
#define TWARGA_ABI_MAJOR 1
#define TWARGA_API_VERSION "1.0"

/* What create and collect return, and the host's functions too. */
#define TWARGA_OK 0
/* May work next time: samples already put are kept, and the host tries again. */
#define TWARGA_TRANSIENT 1
/* The configuration is wrong: no second try until it changes. `error->location` is the key, such as "disks.0". */
#define TWARGA_CONFIG 2
/* This machine has nothing to collect: said once, not tried again soon. */
#define TWARGA_UNSUPPORTED 3
/* The collector can't go on: it is destroyed, and may be created anew. Also what a host function answers. */
#define TWARGA_FATAL 4

/* `twarga_sample.flags`: the counter's source began anew since the last collection. */
#define TWARGA_RESET 1u

/* `twarga_metric.kind` */
#define TWARGA_KIND_GAUGE 0u
#define TWARGA_KIND_COUNTER 1u
#define TWARGA_KIND_INFO 2u
#define TWARGA_KIND_STATE_SET 3u

/* `level` of the host's log */
#define TWARGA_LOG_ERROR 0u
#define TWARGA_LOG_WARN 1u
#define TWARGA_LOG_INFO 2u
#define TWARGA_LOG_DEBUG 3u

/* One reading. */
typedef struct twarga_sample {
    uint32_t series; /* what twarga_host.series gave */
    uint32_t flags;  /* TWARGA_RESET or 0 */
    double value;    /* in the metric's base unit; neither NaN nor infinite */
} twarga_sample;

/* A metric family that is known only at run time. */
typedef struct twarga_metric {
    uint32_t size;          /* sizeof(twarga_metric) */
    uint32_t kind;          /* TWARGA_KIND_... */
    const char *name;       /* a Prometheus name in base units, within the plugin's namespaces */
    const char *unit;       /* UCUM: "By", "s", "1" for a ratio, "Hz", "Cel"; "" for none */
    const char *help;       /* one sentence */
    const char *label_keys; /* separated by commas; "" for none */
} twarga_metric;

/* What went wrong. The host makes it; the plugin fills it (twarga_fail), as far as the text fits. */
typedef struct twarga_error {
    uint32_t size; /* set by the host */
    uint32_t reserved;
    char message[512];  /* for people: what is wrong, and where */
    char location[256]; /* the configuration key, or "" */
} twarga_error;

/*
 * What the host does for a plugin during a call. It is one and the same for all calls of a collector.
 * Ids are given by metric and series; TWARGA_OK or TWARGA_FATAL by the others. `error` may be NULL.
 */
typedef struct twarga_host twarga_host;
struct twarga_host {
    uint32_t size;      /* how much of this struct the host has: see TWARGA_HAS */
    uint32_t api_minor; /* of the host: 0 for API 1.0 */
    void *ctx;          /* the host's own */
    /* Declares a family at run time. Its id (the same for the same declaration), or -1 and `error`. */
    int64_t (*metric)(const twarga_host *host, const twarga_metric *metric, twarga_error *error);
    /* Registers a series, or finds it again: the metric is its place in TWARGA_PLUGIN's list, from 0, or an id of
       `metric`; the labels are the values in the order of its label keys, at most 16 (NULL where there are none).
       Its id, or -1 and `error`. */
    int64_t (*series)(const twarga_host *host, uint32_t metric, const char *const *labels, size_t count,
                      twarga_error *error);
    /* The series ended: its thing is gone. The id is not used again. */
    int32_t (*retire)(const twarga_host *host, uint32_t series);
    /* The series has no value this time, and why, in few words: stored and shown in place of the value. */
    int32_t (*unavailable)(const twarga_host *host, uint32_t series, const char *reason);
    /* When the samples of this batch were true, in milliseconds since 1970 UTC. Without it, the host's own time. */
    int32_t (*batch_time)(const twarga_host *host, int64_t unix_ms);
    /* A line for the agent's log; not stdout. */
    int32_t (*log)(const twarga_host *host, uint32_t level, const char *message);
};

/* Takes the samples of one collection. */
typedef struct twarga_out twarga_out;
struct twarga_out {
    uint32_t size;
    uint32_t reserved;
    void *ctx;
    /* Appends a copy of the samples: all of them, or none. */
    int32_t (*put)(const twarga_out *out, const twarga_sample *samples, size_t count);
};

/* What the entry symbol is. Made by TWARGA_PLUGIN. */
typedef struct twarga_plugin {
    uint32_t size;        /* sizeof(twarga_plugin) */
    uint32_t abi_major;   /* TWARGA_ABI_MAJOR */
    const char *metadata; /* the text of the link section */
    /* Makes a collector. `config_json` is its table [plugins.NAME.config] as a JSON object. On TWARGA_OK, *self is
       its state, never NULL (a collector without state gives the address of anything static). On any other answer
       *self is not looked at and nothing is destroyed. */
    int32_t (*create)(const char *config_json, const twarga_host *host, void **self, twarga_error *error);
    /* Puts this cycle's samples. */
    int32_t (*collect)(void *self, const twarga_out *out, const twarga_host *host, twarga_error *error);
    /* Frees it. Called once; nothing follows. */
    void (*destroy)(void *self);
} twarga_plugin;

/* Whether a struct of the host has a field: TWARGA_HAS(host, log). */
#define TWARGA_HAS(object, field) \
    ((object)->size >= (size_t)((const char *)(&(object)->field + 1) - (const char *)(object)))

/* Puts one sample. `series` is the answer of twarga_host.series. */
static inline int32_t twarga_put(const twarga_out *out, int64_t series, double value)
{
    twarga_sample sample;
    sample.series = (uint32_t)series;
    sample.flags = 0;
    sample.value = value;
    return series < 0 ? TWARGA_FATAL : out->put(out, &sample, 1);
}

/* Fills `error` and gives `code`: return twarga_fail(error, TWARGA_TRANSIENT, "/proc/x can't be read"); */
static inline int32_t twarga_fail(twarga_error *error, int32_t code, const char *message)
{
    size_t length = strlen(message);
    if (length >= sizeof error->message)
        length = sizeof error->message - 1;
    memcpy(error->message, message, length);
    error->message[length] = '\0';
    return code;
}

/*
 * The parts of TWARGA_PLUGIN. All are string literals, written one after the other without commas between. No line
 * breaks in them. What the names must look like: docs/c-plugins.md; the agent refuses others when it loads the plugin.
 */
#define TWARGA_NAMESPACE(prefix) "namespace=" prefix "\n"
#define TWARGA_GAUGE(name, unit, labels, help) TWARGA_FAMILY_("gauge", name, unit, labels, help)
#define TWARGA_COUNTER(name, unit, labels, help) TWARGA_FAMILY_("counter", name, unit, labels, help)
#define TWARGA_INFO(name, labels, help) TWARGA_FAMILY_("info", name, "", labels, help)
#define TWARGA_STATE_SET(name, labels, help) TWARGA_FAMILY_("stateset", name, "", labels, help)
/* The JSON Schema of the configuration, with which `twarga-agent check` checks it; leave it out where there is none. */
#define TWARGA_SCHEMA(json) "schema=" json "\n"

/*
 * Makes the plugin. Once in a library, at file scope:
 *   symbol       an identifier, part of the entry symbol's name, so that two plugins can be linked into one program
 *   name         the plugin's name, as in agent.toml: "thermal-c"
 *   version      "1.0.0"
 *   description  one sentence
 *   authors      "Ann <ann@example.org>", may be ""
 *   parts        TWARGA_NAMESPACE(...) at least once, then the metrics in the order of their ids, then TWARGA_SCHEMA(...)
 *   create, collect, destroy   see twarga_plugin
 */
#define TWARGA_PLUGIN(symbol, name, version, description, authors, parts, create, collect, destroy) \
    __attribute__((used, section(".twarga_plugin"))) static const char twarga_plugin_metadata_##symbol[] = \
        "twarga-plugin-metadata 1\nname=" name "\nversion=" version "\ndescription=" description \
        "\nauthors=" authors "\nentry=twarga_plugin_entry_" #symbol "\nabi=c\napi=" TWARGA_API_VERSION \
        "\ncompiler=" TWARGA_COMPILER_ "\ntarget=" TWARGA_TARGET_ "\nprofile=" TWARGA_PROFILE_ "\n" parts; \
    TWARGA_EXTERN_ TWARGA_VISIBLE_ const twarga_plugin twarga_plugin_entry_##symbol; \
    const twarga_plugin twarga_plugin_entry_##symbol = { \
        (uint32_t)sizeof(twarga_plugin), TWARGA_ABI_MAJOR, twarga_plugin_metadata_##symbol, create, collect, destroy}

/* Below: not for authors. */
#define TWARGA_FAMILY_(kind, name, unit, labels, help) \
    "metric=" kind "\t" name "\t" unit "\t" labels "\t" help "\n"

#define TWARGA_VISIBLE_ __attribute__((visibility("default")))
#ifdef __cplusplus
#define TWARGA_EXTERN_ extern "C"
#else
#define TWARGA_EXTERN_ extern
#endif

#if defined(__clang__)
#define TWARGA_COMPILER_ "clang " __clang_version__
#elif defined(__GNUC__)
#define TWARGA_COMPILER_ "gcc " __VERSION__
#else
#error "twarga_plugin.h needs the attributes of gcc or clang"
#endif

#if defined(__x86_64__)
#define TWARGA_MACHINE_ "x86_64"
#elif defined(__aarch64__)
#define TWARGA_MACHINE_ "aarch64"
#elif defined(__riscv)
#define TWARGA_MACHINE_ "riscv"
#else
#define TWARGA_MACHINE_ "unknown"
#endif
#if defined(__GLIBC__)
#define TWARGA_TARGET_ TWARGA_MACHINE_ "-linux-gnu"
#else
#define TWARGA_TARGET_ TWARGA_MACHINE_ "-linux"
#endif

#ifdef __OPTIMIZE__
#define TWARGA_PROFILE_ "release"
#else
#define TWARGA_PROFILE_ "debug"
#endif

#ifdef __cplusplus
}
#endif

#endif
