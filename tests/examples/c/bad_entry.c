/* A C plugin without TWARGA_PLUGIN: its entry is made by hand, and what is wrong with it is chosen by -D. */
#include "twarga_plugin.h"

#ifndef NAME
#define NAME "bad-entry"
#endif
#ifndef SIZE
#define SIZE sizeof(twarga_plugin)
#endif
#ifndef MAJOR
#define MAJOR TWARGA_ABI_MAJOR
#endif
#ifndef ABI
#define ABI "c"
#endif

__attribute__((used, section(".twarga_plugin"))) static const char metadata[] =
    "twarga-plugin-metadata 1\nname=" NAME "\nentry=twarga_plugin_entry_bad\nabi=" ABI "\napi=1.0\nnamespace=bad_\n";

static inline int32_t create(const char *config_json, const twarga_host *host, void **self, twarga_error *error)
{
    (void)config_json, (void)host, (void)self;
    return twarga_fail(error, TWARGA_FATAL, "a plugin with a bad entry ran");
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

#ifndef METADATA
#define METADATA metadata
#endif
#ifndef CREATE
#define CREATE create
#endif
#ifndef COLLECT
#define COLLECT collect
#endif
#ifndef DESTROY
#define DESTROY destroy
#endif

#if defined(ENTRY_IS_A_FUNCTION)
void twarga_plugin_entry_bad(void);
void twarga_plugin_entry_bad(void) {}
#elif defined(ENTRY_IS_SMALL)
const uint32_t twarga_plugin_entry_bad[2] = {sizeof(twarga_plugin), TWARGA_ABI_MAJOR};
#elif defined(ENTRY_IS_ELSEWHERE)
extern const twarga_plugin twarga_plugin_entry_bad;
const twarga_plugin *needed(void);
const twarga_plugin *needed(void)
{
    return &twarga_plugin_entry_bad;
}
#elif !defined(ENTRY_IS_MISSING)
const twarga_plugin twarga_plugin_entry_bad = {(uint32_t)(SIZE), MAJOR, METADATA, CREATE, COLLECT, DESTROY};
#endif
