/*
 * The bare client of `python -m benchmarks.ssh`: libssh from C, nothing but the exchange.
 *
 * Usage: ssh_bare HOSTS KEY HOST_KEY.pub AT_ONCE (COMMAND INPUT EXPECTED)...
 *
 * HOSTS has a line "ADDRESS PORT USER" for each. On each, over one connection whose
 * host key must be the given one, every COMMAND (a file with its text) is run with
 * the file INPUT on its standard input; its standard output must hold the text of
 * the file EXPECTED. Ends with 0 when all of that is true on every host.
 */
#include <libssh/libssh.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS_MAX 100000
#define OUTPUT_MAX 65536

typedef struct { char address[64], user[64]; unsigned port; } Host;
typedef struct { char *command, *input, *expected; size_t input_size; } Step;

static Host *hosts;
static Step steps[16];
static int host_count, step_count, next_host, good;
static ssh_key key, host_key;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char *text_of(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    char *text = malloc(1 << 20);
    size_t have = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    text[have] = 0;
    if (size != NULL) *size = have;
    return text;
}

static ssh_session connected(const Host *host) {
    int no = 0, yes = 1;
    ssh_key shown = NULL;
    ssh_session session = ssh_new();
    ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &no);
    ssh_options_set(session, SSH_OPTIONS_HOST, host->address);
    ssh_options_set(session, SSH_OPTIONS_PORT, &host->port);
    ssh_options_set(session, SSH_OPTIONS_USER, host->user);
    ssh_options_set(session, SSH_OPTIONS_NODELAY, &yes);
    ssh_options_set(session, SSH_OPTIONS_HOSTKEYS, "ssh-ed25519");
    int is_known = ssh_connect(session) == SSH_OK && ssh_get_server_publickey(session, &shown) == SSH_OK &&
                   ssh_key_cmp(shown, host_key, SSH_KEY_CMP_PUBLIC) == 0;
    ssh_key_free(shown);
    if (is_known && ssh_userauth_publickey(session, NULL, key) == SSH_AUTH_SUCCESS) return session;
    fprintf(stderr, "%s: %s\n", host->address, ssh_get_error(session));
    ssh_disconnect(session);
    ssh_free(session);
    return NULL;
}

static int ran(ssh_session session, const Step *step) {
    char output[OUTPUT_MAX], waste[4096];
    int have = 0, got, is_good = 0;
    ssh_channel channel = ssh_channel_new(session);
    if (ssh_channel_open_session(channel) == SSH_OK && ssh_channel_request_exec(channel, step->command) == SSH_OK &&
        ssh_channel_write(channel, step->input, step->input_size) == (int)step->input_size) {
        while (have < OUTPUT_MAX - 1 && (got = ssh_channel_read(channel, output + have, OUTPUT_MAX - 1 - have, 0)) > 0)
            have += got;
        while (ssh_channel_read(channel, waste, sizeof waste, 1) > 0) continue;
        output[have] = 0;
        is_good = ssh_channel_get_exit_status(channel) == 0 && strstr(output, step->expected) != NULL;
    }
    if (!is_good) fprintf(stderr, "not what was expected: %s\n", ssh_get_error(session));
    ssh_channel_close(channel);
    ssh_channel_free(channel);
    return is_good;
}

static void *work(void *unused) {
    for (;;) {
        pthread_mutex_lock(&lock);
        int mine = next_host++;
        pthread_mutex_unlock(&lock);
        if (mine >= host_count) return unused;
        ssh_session session = connected(&hosts[mine]);
        if (session == NULL) continue;
        int each = 0;
        while (each < step_count && ran(session, &steps[each])) each++;
        ssh_disconnect(session);
        ssh_free(session);
        pthread_mutex_lock(&lock);
        good += each == step_count;
        pthread_mutex_unlock(&lock);
    }
}

int main(int count, char **words) {
    if (count < 8 || (count - 5) % 3 != 0 || (count - 5) / 3 > 16) {
        fprintf(stderr, "usage: %s HOSTS KEY HOST_KEY.pub AT_ONCE (COMMAND INPUT EXPECTED)...\n", words[0]);
        return 1;
    }
    ssh_init();
    hosts = malloc(HOSTS_MAX * sizeof *hosts);
    FILE *file = fopen(words[1], "r");
    while (file != NULL && host_count < HOSTS_MAX &&
           fscanf(file, "%63s %u %63s", hosts[host_count].address, &hosts[host_count].port, hosts[host_count].user) == 3)
        host_count++;
    if (ssh_pki_import_privkey_file(words[2], NULL, NULL, NULL, &key) != SSH_OK ||
        ssh_pki_import_pubkey_file(words[3], &host_key) != SSH_OK) {
        fprintf(stderr, "the keys cannot be read\n");
        return 1;
    }
    for (int each = 5; each < count; each += 3) {
        Step *step = &steps[step_count++];
        step->command = text_of(words[each], NULL);
        step->input = text_of(words[each + 1], &step->input_size);
        step->expected = text_of(words[each + 2], NULL);
    }
    int at_once = atoi(words[4]);
    pthread_t *threads = malloc(at_once * sizeof *threads);
    for (int each = 0; each < at_once; each++) pthread_create(&threads[each], NULL, work, NULL);
    for (int each = 0; each < at_once; each++) pthread_join(threads[each], NULL);
    printf("%d of %d\n", good, host_count);
    return good == host_count && host_count > 0 ? 0 : 1;
}
