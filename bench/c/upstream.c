/* The upstream of every measurement: answers chat completions from memory.
 *
 *   upstream PORT ANSWER_BYTES EVENTS RATE SECONDS
 *
 * A request with "stream":true gets EVENTS events at RATE a second, or, when RATE is 0,
 * as many as fit into SECONDS; each says in its text when it was sent ("T" and 16 digits:
 * microseconds of the monotonic clock). Any other request gets a completion of about
 * ANSWER_BYTES, with an id and a first word that no other answer has. */
#include "rig.h"

enum { READ_BYTES = 1 << 18, TAIL = 32, EVENT_ROOM = 512, BURST = 64 };

typedef struct {
    int fd, streaming, chunked, in_body, wants_stream;
    uint64_t left;          /* body bytes still to come */
    char head[65536];       /* of the request that is being read */
    int head_bytes;
    char tail[TAIL + 1];    /* of the body, for the marker that two reads may share */
    int tail_bytes;
    char *out;              /* what the socket did not take yet */
    size_t out_bytes, out_at;
    uint64_t due_us, until_us, events_left;
    int heap_at;            /* -1 outside the heap */
} Client;

static char *answer, *answer_id, *answer_text;
static size_t answer_bytes;
static uint64_t events_each, gap_us, full_speed_us;

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    "x-request-id: req_bench\r\nx-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n";
#define LEAD "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":1760000000,\"model\":\"m-1-2026-01-01\",\"choices\":[{\"index\":0,\"delta\":"
static const char LAST[] =
    LEAD "{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/* A heap of clients by the time of their next event. */
static Client **heap;
static int heap_count, heap_room;

static void put(int at, Client *client) { heap[at] = client; client->heap_at = at; }

static void sift(int at) {
    Client *client = heap[at];
    for (int up; at && heap[up = (at - 1) / 2]->due_us > client->due_us; at = up) put(at, heap[up]);
    for (int down; (down = 2 * at + 1) < heap_count; at = down) {
        if (down + 1 < heap_count && heap[down + 1]->due_us < heap[down]->due_us) down++;
        if (heap[down]->due_us >= client->due_us) break;
        put(at, heap[down]);
    }
    put(at, client);
}

static void schedule(Client *client) {
    if (client->heap_at < 0) {
        if (heap_count == heap_room) heap = realloc(heap, sizeof *heap * (size_t)(heap_room = heap_room * 2 + 64));
        put(heap_count++, client);
    }
    sift(client->heap_at);
}

static void unschedule(Client *client) {
    int at = client->heap_at;
    if (at < 0) return;
    client->heap_at = -1;
    if (at != --heap_count) { put(at, heap[heap_count]); sift(at); }
}

static void drop(Client *client) {
    unschedule(client);
    close(client->fd);
    free(client->out);
    client->out = NULL;
    client->fd = -1; /* freed by the loop: further events of this round may name it */
}

static void send_bytes(Client *client, const char *data, size_t size) {
    if (client->fd < 0) return;
    if (!client->out_bytes) {
        ssize_t sent = send(client->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) { drop(client); return; }
        if (sent > 0) { data += sent; size -= (size_t)sent; }
        if (!size) return;
        watch(client->fd, EPOLLIN | EPOLLOUT, client, EPOLL_CTL_MOD);
    }
    if (client->out_at) {
        memmove(client->out, client->out + client->out_at, client->out_bytes -= client->out_at);
        client->out_at = 0;
    }
    client->out = realloc(client->out, client->out_bytes + size);
    memcpy(client->out + client->out_bytes, data, size);
    client->out_bytes += size;
}

static size_t event(char *to, uint64_t at_us) {
    char text[EVENT_ROOM - 16];
    int size = snprintf(text, sizeof text, LEAD
        "{\"content\":\"T%016llu and a few words\"},\"finish_reason\":null}]}\n\n",
        (unsigned long long)at_us);
    return (size_t)sprintf(to, "%x\r\n%s\r\n", (unsigned)size, text);
}

static void end_stream(Client *client) {
    char text[EVENT_ROOM * 2], bytes[EVENT_ROOM * 3];
    unschedule(client);
    client->streaming = 0;
    size_t size = (size_t)sprintf(text, "%s", LAST);
    size = (size_t)sprintf(bytes, "%zx\r\n%s\r\n0\r\n\r\n", size, text);
    send_bytes(client, bytes, size);
}

static void next_event(Client *client) {
    char bytes[EVENT_ROOM];
    client->due_us += gap_us; /* never late because the last one was */
    client->events_left--;
    schedule(client);
    send_bytes(client, bytes, event(bytes, now_us()));
    if (client->fd >= 0 && !client->events_left) end_stream(client);
}

/* Full speed: write until the socket takes no more; EPOLLOUT calls again. */
static void pour(Client *client) {
    static char bytes[EVENT_ROOM * BURST];
    for (int rounds = 0; rounds < 8 && client->fd >= 0 && !client->out_bytes; rounds++) {
        uint64_t at = now_us();
        if (at >= client->until_us) { end_stream(client); return; }
        size_t size = 0;
        for (int n = 0; n < BURST; n++) size += event(bytes + size, at);
        send_bytes(client, bytes, size);
    }
    if (client->fd >= 0 && !client->out_bytes) /* others first, then on */
        watch(client->fd, EPOLLIN | EPOLLOUT, client, EPOLL_CTL_MOD);
}

static void flush(Client *client) {
    while (client->out_bytes > client->out_at) {
        ssize_t sent = send(client->fd, client->out + client->out_at, client->out_bytes - client->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) { drop(client); return; }
        client->out_at += (size_t)sent;
    }
    client->out_bytes = client->out_at = 0;
    if (client->streaming && !gap_us) { pour(client); return; }
    watch(client->fd, EPOLLIN, client, EPOLL_CTL_MOD);
}

static void send_answer(Client *client) {
    static unsigned long long number;
    char digits[24];
    number = (number + 6364136223846793ull) % 10000000000000000ull; /* ids have no order */
    snprintf(digits, sizeof digits, "%016llu", number);
    memcpy(answer_id, digits, 16);
    memcpy(answer_text, digits, 16);
    send_bytes(client, answer, answer_bytes);
}

static void respond(Client *client) {
    client->in_body = client->head_bytes = client->tail_bytes = 0;
    if (!client->wants_stream) { send_answer(client); return; }
    client->streaming = 1;
    client->events_left = events_each;
    client->due_us = now_us();
    client->until_us = client->due_us + full_speed_us;
    send_bytes(client, STREAM_HEAD, sizeof STREAM_HEAD - 1);
    if (client->fd < 0) return;
    if (gap_us) next_event(client); else pour(client);
}

static void see_body(Client *client, const char *data, size_t size) {
    char seen[TAIL * 2 + 1];
    size_t lead = size < TAIL ? size : TAIL;
    if (!client->wants_stream) {
        memcpy(seen, client->tail, (size_t)client->tail_bytes);
        memcpy(seen + client->tail_bytes, data, lead);
        size_t joined = (size_t)client->tail_bytes + lead;
        client->wants_stream = memmem(seen, joined, "\"stream\":true", 13) || memmem(seen, joined, "\"stream\": true", 14)
            || memmem(data, size, "\"stream\":true", 13) || memmem(data, size, "\"stream\": true", 14);
    }
    size_t keep = size < TAIL ? size : TAIL;
    memcpy(client->tail, data + size - keep, keep);
    client->tail_bytes = (int)keep;
}

static void start_body(Client *client) {
    client->head[client->head_bytes] = 0;
    const char *length = strcasestr(client->head, "\r\ncontent-length:");
    client->chunked = strcasestr(client->head, "\r\ntransfer-encoding:") != NULL;
    client->left = length ? strtoull(length + 17, NULL, 10) : 0;
    client->in_body = 1;
    client->wants_stream = client->tail_bytes = 0;
}

static void take(Client *client, const char *data, size_t size) {
    while (size && client->fd >= 0) {
        if (!client->in_body) {
            client->head[client->head_bytes++] = *data++, size--;
            int n = client->head_bytes;
            if (n >= 4 && !memcmp(client->head + n - 4, "\r\n\r\n", 4)) start_body(client);
            else { if (n == (int)sizeof client->head - 1) drop(client); continue; }
        }
        size_t part = client->chunked || size < client->left ? size : (size_t)client->left;
        if (part) see_body(client, data, part);
        data += part, size -= part;
        if (!client->chunked) client->left -= part;
        else if (client->tail_bytes < 5 || memcmp(client->tail + client->tail_bytes - 5, "0\r\n\r\n", 5)) return;
        if (client->chunked || !client->left) respond(client);
    }
}

static void make_answer(size_t size) {
    char *body = malloc(size + 1024), *at = body;
    at += sprintf(at, "{\"id\":\"chatcmpl-0000000000000000\",\"object\":\"chat.completion\",\"created\":1760000000,"
        "\"model\":\"m-1-2026-01-01\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"0000000000000000 ");
    static const char SENTENCE[] = "The spirit safe is the locked glass case through which every drop of the "
        "distillery runs, so that it is watched, measured and cut, and nobody touches it. ";
    for (size_t n = 0; n + 420 < size; n++) *at++ = SENTENCE[n % (sizeof SENTENCE - 1)];
    at += sprintf(at, "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":80,\"total_tokens\":122},"
        "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\"}");
    size_t body_bytes = (size_t)(at - body);
    answer = malloc(body_bytes + 256);
    answer_bytes = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        "x-request-id: req_bench\r\ncontent-length: %zu\r\n\r\n", body_bytes);
    memcpy(answer + answer_bytes, body, body_bytes + 1); /* with its NUL */
    answer_bytes += body_bytes;
    answer_id = strstr(answer, "0000000000000000");
    answer_text = strstr(answer_id + 16, "0000000000000000");
    free(body);
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) die("listen");
    return fd;
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        Client *client = calloc(1, sizeof *client);
        client->fd = fd;
        client->heap_at = -1;
        no_delay(fd);
        watch(fd, EPOLLIN, client, EPOLL_CTL_ADD);
    }
}

int main(int count, char **words) {
    static char bytes[READ_BYTES];
    struct epoll_event events[256];
    if (count != 6) return fprintf(stderr, "upstream PORT ANSWER_BYTES EVENTS RATE SECONDS\n"), 2;
    double rate = atof(words[4]);
    make_answer((size_t)atol(words[2]));
    events_each = strtoull(words[3], NULL, 10);
    gap_us = rate > 0 ? (uint64_t)(1e6 / rate) : 0;
    full_speed_us = (uint64_t)(atof(words[5]) * 1e6);
    open_loop();
    int listener = listen_on(atoi(words[1])), mark;
    watch(listener, EPOLLIN, &mark, EPOLL_CTL_ADD);
    for (;;) {
        int ready = wait_until(heap_count ? heap[0]->due_us : NEVER, events, 256);
        for (int n = 0; n < ready; n++) {
            Client *client = events[n].data.ptr;
            if (!client) { clear_timer(); continue; }
            if (events[n].data.ptr == &mark) { accept_all(listener); continue; }
            if (events[n].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                ssize_t got = read(client->fd, bytes, sizeof bytes);
                if (got > 0) take(client, bytes, (size_t)got);
                else if (!got || errno != EAGAIN) drop(client);
            }
            if (client->fd >= 0 && events[n].events & EPOLLOUT) flush(client);
            if (client->fd < 0) free(client);
        }
        uint64_t at = now_us();
        while (heap_count && heap[0]->due_us <= at) {
            Client *client = heap[0];
            next_event(client);
            if (client->fd < 0) free(client);
        }
    }
}
