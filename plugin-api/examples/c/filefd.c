/* Open file handles of the host, from /proc/sys/fs/file-nr (proc_sys_fs(5)): allocated, free, most. */
#include "twarga_plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The places of the metrics in TWARGA_PLUGIN's list. */
enum { ALLOCATED, MAXIMUM };

static const char SOURCE[] = "/proc/sys/fs/file-nr";

struct filefd {
    int64_t allocated, maximum;
};

static int32_t filefd_create(const char *config_json, const twarga_host *host, void **self, twarga_error *error)
{
    (void)config_json; /* there is nothing to set */
    struct filefd *filefd = malloc(sizeof *filefd);
    if (!filefd)
        return twarga_fail(error, TWARGA_TRANSIENT, "out of memory");
    filefd->allocated = host->series(host, ALLOCATED, NULL, 0, error);
    filefd->maximum = host->series(host, MAXIMUM, NULL, 0, error);
    if (filefd->allocated < 0 || filefd->maximum < 0) {
        free(filefd);
        return TWARGA_FATAL; /* the host has filled `error` */
    }
    *self = filefd;
    return TWARGA_OK;
}

static int32_t filefd_collect(void *self, const twarga_out *out, const twarga_host *host, twarga_error *error)
{
    const struct filefd *filefd = self;
    char message[160];
    unsigned long allocated, maximum;
    FILE *file = fopen(SOURCE, "re");
    if (!file) {
        snprintf(message, sizeof message, "%s: %s", SOURCE, strerror(errno));
        return twarga_fail(error, TWARGA_TRANSIENT, message);
    }
    int read = fscanf(file, "%lu %*u %lu", &allocated, &maximum);
    fclose(file);
    if (read != 2) { /* no value is better than a wrong one */
        host->unavailable(host, (uint32_t)filefd->allocated, "unknown format");
        host->unavailable(host, (uint32_t)filefd->maximum, "unknown format");
        return TWARGA_OK;
    }
    twarga_put(out, filefd->allocated, (double)allocated);
    return twarga_put(out, filefd->maximum, (double)maximum);
}

TWARGA_PLUGIN(filefd_c, "filefd-c", "1.0.0", "Open file handles of the host, in C", "",
              TWARGA_NAMESPACE("filefd_c_")
              TWARGA_GAUGE("filefd_c_allocated", "", "", "Allocated file handles.")
              TWARGA_GAUGE("filefd_c_maximum", "", "", "The most file handles that the kernel allocates.")
              TWARGA_SCHEMA("{\"type\":\"object\",\"additionalProperties\":false}"),
              filefd_create, filefd_collect, free);
