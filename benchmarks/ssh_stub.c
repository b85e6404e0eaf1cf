/*
 * The cheap hosts of `python -m benchmarks.ssh --server stub`: an SSH server with real
 * key exchange, host key signature and public key login, and answers made up.
 *
 * Usage: ssh_stub PORT HOST_KEY AUTHORIZED_KEY.pub
 *
 * Nothing is executed. A command that ends with the words of remedy's loader is
 * answered as the payload behind it would be: its nonce is read from the payload,
 * which is a fix or else one collector. A host (an address of 127.0.0.0/8) is full
 * until a fix was sent to it, and has room from then on; SIGUSR1 fills them all
 * again. Any other command gets the collector's row. The payload's digest is not
 * looked at: that is work of the host, and what is measured here is the client's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAYLOAD_MAX 1048576
#define BOOT "6b0f3c1e-0000-4000-8000-000000000001"

static ssh_bind binding;
static ssh_key authorized;
static pthread_mutex_t accepting = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned char mended[65536]; /* by the last two bytes of the address */

static void fill_all(int number) {
    (void)number;
    for (size_t each = 0; each < sizeof mended; each++) mended[each] = 0;
}

static void row_of(int is_mended, char *row, size_t size) {
    snprintf(row, size, "{\"mount\":\"/\",\"free_percent\":%d,\"total_kib\":2048000}\n", is_mended ? 90 : 3);
}

/* Reads as many bytes of the payload as the command announced; NULL when they do not come. */
static char *payload_of(ssh_channel channel, const char *command) {
    const char *words = NULL, *found = command;
    while ((found = strstr(found, "' remedy ")) != NULL) words = found++;
    size_t size = 0, have = 0;
    if (words == NULL || sscanf(words, "' remedy %zu ", &size) != 1 || size == 0 || size > PAYLOAD_MAX) return NULL;
    char *payload = malloc(size + 1);
    while (payload != NULL && have < size) {
        int got = ssh_channel_read(channel, payload + have, size - have, 0);
        if (got <= 0) {
            free(payload);
            return NULL;
        }
        have += got;
    }
    if (payload != NULL) payload[size] = 0;
    return payload;
}

static void answer(ssh_channel channel, const char *command, unsigned host) {
    char row[128], out[1024], err[512] = "";
    char *payload = payload_of(channel, command);
    const char *nonce = payload == NULL ? NULL : strstr(payload, "remedy_nonce=");
    if (nonce == NULL) {
        row_of(mended[host], out, sizeof out);
    } else if (strstr(payload, "remedy_fix()") != NULL) {
        nonce += strlen("remedy_nonce=");
        mended[host] = 1;
        snprintf(out, sizeof out, "\n%.32s started " BOOT "\nmended\n\n%.32s end 0 0\n", nonce, nonce);
        snprintf(err, sizeof err, "\n%.32s started " BOOT "\n\n%.32s end 0 0\n", nonce, nonce);
    } else {
        nonce += strlen("remedy_nonce=");
        row_of(mended[host], row, sizeof row);
        snprintf(out, sizeof out,
                 "\n%.32s started " BOOT "\n%s\n%.32s end 0 0 0\n\n%.32s over 0 0\n\n%.32s done\n",
                 nonce, row, nonce, nonce, nonce);
        snprintf(err, sizeof err, "\n%.32s started " BOOT "\n\n%.32s over 0 0\n\n%.32s done\n", nonce, nonce, nonce);
    }
    free(payload);
    ssh_channel_write(channel, out, strlen(out));
    if (err[0]) ssh_channel_write_stderr(channel, err, strlen(err));
    ssh_channel_request_send_exit_status(channel, 0);
    ssh_channel_send_eof(channel);
    ssh_channel_close(channel);
}

static void authenticate(ssh_message message) {
    if (ssh_message_subtype(message) == SSH_AUTH_METHOD_PUBLICKEY &&
        ssh_key_cmp(ssh_message_auth_pubkey(message), authorized, SSH_KEY_CMP_PUBLIC) == 0) {
        if (ssh_message_auth_publickey_state(message) == SSH_PUBLICKEY_STATE_VALID) {
            ssh_message_auth_reply_success(message, 0);
            return;
        }
        if (ssh_message_auth_publickey_state(message) == SSH_PUBLICKEY_STATE_NONE) {
            ssh_message_auth_reply_pk_ok_simple(message);
            return;
        }
    }
    ssh_message_auth_set_methods(message, SSH_AUTH_METHOD_PUBLICKEY);
    ssh_message_reply_default(message);
}

/* Answers one message; the command of an `exec` is run to its end. */
static void take(ssh_message message, ssh_channel *channel, unsigned host) {
    switch (ssh_message_type(message)) {
    case SSH_REQUEST_SERVICE:
        ssh_message_service_reply_success(message);
        return;
    case SSH_REQUEST_AUTH:
        authenticate(message);
        return;
    case SSH_REQUEST_CHANNEL_OPEN:
        if (ssh_message_subtype(message) == SSH_CHANNEL_SESSION) {
            *channel = ssh_message_channel_request_open_reply_accept(message);
            return;
        }
        break;
    case SSH_REQUEST_CHANNEL:
        if (ssh_message_subtype(message) == SSH_CHANNEL_REQUEST_EXEC && *channel != NULL) {
            char *command = strdup(ssh_message_channel_request_command(message));
            ssh_message_channel_request_reply_success(message);
            answer(*channel, command, host);
            free(command);
            *channel = NULL; /* freed with the session */
            return;
        }
        if (ssh_message_subtype(message) == SSH_CHANNEL_REQUEST_PTY ||
            ssh_message_subtype(message) == SSH_CHANNEL_REQUEST_ENV) {
            ssh_message_channel_request_reply_success(message);
            return;
        }
        break;
    }
    ssh_message_reply_default(message);
}

static void *serve(void *given) {
    int socket = (int)(intptr_t)given, one = 1, is_bound;
    struct sockaddr_in here = {0};
    socklen_t size = sizeof here;
    ssh_session session = ssh_new();
    ssh_channel channel = NULL;
    ssh_message message;

    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    getsockname(socket, (struct sockaddr *)&here, &size);
    unsigned host = ntohl(here.sin_addr.s_addr) & 0xffff;
    pthread_mutex_lock(&accepting);
    is_bound = ssh_bind_accept_fd(binding, session, socket) == SSH_OK;
    pthread_mutex_unlock(&accepting);
    if (is_bound && ssh_handle_key_exchange(session) == SSH_OK) {
        ssh_set_auth_methods(session, SSH_AUTH_METHOD_PUBLICKEY);
        while ((message = ssh_message_get(session)) != NULL) {
            take(message, &channel, host);
            ssh_message_free(message);
        }
    }
    ssh_disconnect(session);
    ssh_free(session);
    return NULL;
}

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: %s PORT HOST_KEY AUTHORIZED_KEY.pub\n", words[0]);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, fill_all);
    ssh_init();
    binding = ssh_bind_new();
    ssh_bind_options_set(binding, SSH_BIND_OPTIONS_HOSTKEY, words[2]);
    if (ssh_pki_import_pubkey_file(words[3], &authorized) != SSH_OK) return 1;

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1])), .sin_addr = {INADDR_ANY}};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 4096) != 0) {
        perror("listen");
        return 1;
    }
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 262144);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (socket >= 0 && pthread_create(&thread, &small, serve, (void *)(intptr_t)socket) != 0) close(socket);
    }
}
