/* A sound card that fails on command, between PortAudio and ALSA (LD_PRELOAD).
 *
 * FAULT_FILE names a file that is read at each call: "FAULT" or "FAULT capture" or "FAULT playback"; empty or absent,
 * everything is passed on.
 *
 *   at open           busy -EBUSY   acces -EACCES   nodev -ENODEV
 *   at each transfer  enodev -ENODEV   eio -EIO   epipe -EPIPE   estrpipe -ESTRPIPE   hang: until it is cleared
 *   at configuration  48k: a card that knows 48 kHz only
 *
 * The real functions come from dlopen: Python loads extensions with RTLD_LOCAL, so RTLD_NEXT finds nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void pcm_t;
typedef void params_t;
typedef long sframes_t;
typedef unsigned long uframes_t;
enum { PLAYBACK, CAPTURE };

static void *real(const char *name)
{
    static void *library;
    if (!library)
        library = dlopen("libasound.so.2", RTLD_LAZY | RTLD_LOCAL);
    return library ? dlsym(library, name) : NULL;
}

/* True if `fault` is on for this direction. */
static int is(const char *fault, int stream)
{
    char text[64] = "";
    const char *path = getenv("FAULT_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0)
        return 0;
    text[got] = 0;
    char *rest, *word = strtok_r(text, " \n", &rest), *side = strtok_r(NULL, " \n", &rest);
    return word && !strcmp(word, fault) && (!side || !strcmp(side, stream == CAPTURE ? "capture" : "playback"));
}

static int direction(pcm_t *pcm)
{
    static int (*stream)(pcm_t *);
    if (!stream)
        stream = (int (*)(pcm_t *))real("snd_pcm_stream");
    return stream(pcm);
}

/* 0, or the error that a transfer meets. */
static int transfer(pcm_t *pcm)
{
    int stream = direction(pcm);
    while (is("hang", stream))
        usleep(20000);
    return is("enodev", stream)     ? -ENODEV
           : is("eio", stream)      ? -EIO
           : is("epipe", stream)    ? -EPIPE
           : is("estrpipe", stream) ? -ESTRPIPE
                                    : 0;
}

int snd_pcm_open(pcm_t **pcm, const char *name, int stream, int mode)
{
    int error = is("busy", stream) ? -EBUSY : is("acces", stream) ? -EACCES : is("nodev", stream) ? -ENODEV : 0;
    int (*pass)(pcm_t **, const char *, int, int) = real("snd_pcm_open");
    return error ? error : pass(pcm, name, stream, mode);
}

int snd_pcm_hw_params_set_rate_near(pcm_t *pcm, params_t *params, unsigned *rate, int *dir)
{
    int (*pass)(pcm_t *, params_t *, unsigned *, int *) = real("snd_pcm_hw_params_set_rate_near");
    if (is("48k", direction(pcm)))
        *rate = 48000;
    return pass(pcm, params, rate, dir);
}

#define TRANSFER(result, name, parameters, arguments)            \
    result name parameters                                       \
    {                                                            \
        static result(*pass) parameters;                         \
        int error = transfer(pcm);                               \
        if (!pass)                                               \
            pass = (result(*) parameters)real(#name);            \
        return error ? error : pass arguments;                   \
    }

TRANSFER(sframes_t, snd_pcm_readi, (pcm_t * pcm, void *to, uframes_t size), (pcm, to, size))
TRANSFER(sframes_t, snd_pcm_readn, (pcm_t * pcm, void **to, uframes_t size), (pcm, to, size))
TRANSFER(sframes_t, snd_pcm_writei, (pcm_t * pcm, const void *from, uframes_t size), (pcm, from, size))
TRANSFER(sframes_t, snd_pcm_writen, (pcm_t * pcm, void **from, uframes_t size), (pcm, from, size))
TRANSFER(sframes_t, snd_pcm_avail_update, (pcm_t * pcm), (pcm))
TRANSFER(int, snd_pcm_mmap_begin, (pcm_t * pcm, const void **areas, uframes_t *offset, uframes_t *frames),
         (pcm, areas, offset, frames))
TRANSFER(sframes_t, snd_pcm_mmap_commit, (pcm_t * pcm, uframes_t offset, uframes_t frames), (pcm, offset, frames))
TRANSFER(int, snd_pcm_poll_descriptors_revents,
         (pcm_t * pcm, struct pollfd *waits, unsigned count, unsigned short *revents), (pcm, waits, count, revents))
