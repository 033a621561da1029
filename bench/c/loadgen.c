/* An open-loop load generator that reads event streams.
 *
 *   loadgen PORT REQUEST_FILE RATE SECONDS STREAMS CANCEL_SHARE TIMEOUT SEED
 *
 * REQUEST_FILE holds one whole request; each run of '@' in it becomes the request's
 * number, which begins with SEED. Without STREAMS, RATE requests a second arrive for SECONDS at exponential
 * distances that were drawn before, and wait for nobody: a request takes an idle
 * connection or opens one, and its time counts from when it was meant to leave. What
 * fails or passes TIMEOUT enters the figures with TIMEOUT.
 *
 * With STREAMS, that many are opened at RATE a second and read to their end. When they
 * are all open, SECONDS begin, and the delay of each event (the upstream says when it
 * sent it) counts from there; what came before is kept apart. After SECONDS a random
 * CANCEL_SHARE of them is closed within five seconds. TIMEOUT bounds what is left.
 *
 * Once a second a line of progress goes to stderr; the figures, JSON, to stdout. */
#include "rig.h"
#include "histogram.h"
#include <math.h>

enum { READ_BYTES = 1 << 18, HEAD_ROOM = 8192, CANCEL_US = 5000000 };
enum { SIZE, SIZE_LINE, DATA, DATA_LINE, ENDED };

typedef struct Call {
    int fd, sent_all, in_head, chunked, phase, streaming, opened, said_done, busy;
    uint64_t meant_us, sent_us, left, cancel_us, last_event_us, stamp_us;
    size_t written;
    uint64_t number;
    char head[HEAD_ROOM];
    int head_bytes, status;
    int quotes, digits, done_at; /* where the search for stamps and [DONE] stands */
    uint64_t stamp;
    struct Call *next_idle;
} Call;

static char *request;
static size_t request_bytes;
static int port, streams, nonce_count;
static size_t nonce_at[64], nonce_size[64];
static double rate, seconds, cancel_share, timeout_s;
static Call **calls;
static size_t call_count, call_room;
static Call *idle;
static uint64_t seed, began_us, all_open_us, over_us, arrived, done, failed, late, cancelled, events, open_now, in_flight;
static Histogram lag, latency, first_byte, first_event, delay, ramp_delay, stall, tail;

static double draw(void) { return (double)(random() + 1) / ((double)RAND_MAX + 2); }

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    request = malloc(request_bytes = (size_t)ftell(file));
    rewind(file);
    if (fread(request, 1, request_bytes, file) != request_bytes) die(path);
    for (size_t at = 0, run; at < request_bytes && nonce_count < 64; at += run ? run : 1) {
        for (run = 0; at + run < request_bytes && request[at + run] == '@'; run++);
        if (run > 5) nonce_at[nonce_count] = at, nonce_size[nonce_count++] = run;
    }
}

static void let_go(Call *call) {
    if (call->fd >= 0) close(call->fd);
    call->fd = -1;
}

static void settle(Call *call, uint64_t at, int good) {
    if (!call->busy) return;
    call->busy = 0;
    in_flight--;
    if (call->opened) open_now--;
    uint64_t took_us = at - call->meant_us, limit_us = (uint64_t)(timeout_s * 1e6);
    if (good) done++; else failed++;
    if (!streams) count(&latency, good ? took_us : limit_us);
    else if (good && call->stamp_us) count(&tail, at - call->stamp_us);
    if (good && !streams) { call->next_idle = idle; idle = call; } else let_go(call);
}

static void write_more(Call *call) {
    static char *own;
    if (!own) own = malloc(request_bytes);
    memcpy(own, request, request_bytes);
    for (int n = 0; n < nonce_count; n++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%020llu", (unsigned long long)call->number);
        size_t size = nonce_size[n] < 20 ? nonce_size[n] : 20;
        memset(own + nonce_at[n], '0', nonce_size[n]);
        memcpy(own + nonce_at[n] + nonce_size[n] - size, digits + 20 - size, size);
    }
    while (call->written < request_bytes) {
        ssize_t sent = send(call->fd, own + call->written, request_bytes - call->written, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS)) return;
        if (sent < 0) { settle(call, now_us(), 0); return; }
        call->written += (size_t)sent;
    }
    call->sent_all = 1;
    watch(call->fd, EPOLLIN, call, EPOLL_CTL_MOD);
}

static void start(uint64_t meant_us) {
    Call *call = idle;
    if (call) idle = call->next_idle;
    else {
        call = calloc(1, sizeof *call);
        call->fd = -1;
        if (call_count == call_room) calls = realloc(calls, sizeof *calls * (call_room = call_room * 2 + 64));
        calls[call_count++] = call;
    }
    int fd = call->fd, fresh = fd < 0;
    if (fresh) {
        struct sockaddr_in address = loopback(port);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd < 0) die("socket");
        no_delay(fd);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) { close(fd); fd = -1; }
    }
    memset(call, 0, sizeof *call);
    call->fd = fd;
    call->in_head = call->busy = 1;
    call->meant_us = meant_us;
    call->number = seed * 10000000 + ++arrived;
    in_flight++;
    call->sent_us = now_us();
    count(&lag, call->sent_us - meant_us);
    if (fd < 0) { settle(call, call->sent_us, 0); return; }
    watch(fd, EPOLLIN | EPOLLOUT, call, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
    if (!fresh) write_more(call);
}

static void take_event(Call *call, uint64_t at) {
    uint64_t took_us = at > call->stamp ? at - call->stamp : 0;
    events++;
    call->stamp_us = call->stamp;
    if (!call->opened) {
        call->opened = 1;
        open_now++;
        count(&first_event, at - call->meant_us);
    } else if (all_open_us && call->last_event_us >= all_open_us) count(&stall, at - call->last_event_us);
    call->last_event_us = at;
    count(all_open_us && call->stamp >= all_open_us ? &delay : &ramp_delay, took_us);
}

/* Look for "T and 16 digits (a stamp), and for [DONE]; both may span reads. */
static void see_body(Call *call, const char *data, size_t size, uint64_t at) {
    static const char DONE[] = "[DONE]";
    if (!call->streaming) return;
    for (size_t n = 0; n < size; n++) {
        char c = data[n];
        call->done_at = c == DONE[call->done_at] ? call->done_at + 1 : c == '[';
        if (call->done_at == 6) call->said_done = 1, call->done_at = 0;
        if (call->quotes == 2 && c >= '0' && c <= '9') {
            call->stamp = call->stamp * 10 + (uint64_t)(c - '0');
            if (++call->digits == 16) { take_event(call, at); call->quotes = 0; }
        } else if (c == '"') call->quotes = 1;
        else if (c == 'T' && call->quotes == 1) call->quotes = 2, call->digits = 0, call->stamp = 0;
        else call->quotes = 0;
    }
}

static int parse_head(Call *call) {
    call->head[call->head_bytes] = 0;
    if (sscanf(call->head, "HTTP/1.%*c %d", &call->status) != 1) return 0;
    const char *length = strcasestr(call->head, "\r\ncontent-length:");
    call->chunked = strcasestr(call->head, "\r\ntransfer-encoding:") != NULL;
    call->left = length ? strtoull(length + 17, NULL, 10) : call->chunked ? 0 : NEVER;
    call->streaming = strcasestr(call->head, "text/event-stream") != NULL;
    call->phase = !call->chunked && !call->left ? ENDED : call->chunked ? SIZE : DATA;
    call->in_head = 0;
    return 1;
}

static void take(Call *call, const char *data, size_t size, uint64_t at) {
    while (size && call->busy) {
        if (call->in_head) {
            if (!call->head_bytes) count(&first_byte, at - call->meant_us);
            call->head[call->head_bytes++] = *data++, size--;
            int n = call->head_bytes;
            int ends = n >= 4 && !memcmp(call->head + n - 4, "\r\n\r\n", 4);
            if (n == HEAD_ROOM - 1 || (ends && !parse_head(call))) settle(call, at, 0);
        } else if (call->phase == SIZE || call->phase == SIZE_LINE) {
            char c = *data++;
            size--;
            int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
            if (call->phase == SIZE && digit >= 0) call->left = call->left * 16 + (uint64_t)digit;
            else if (c == '\n') call->phase = call->left ? DATA : ENDED;
            else call->phase = SIZE_LINE;
        } else if (call->phase == DATA) {
            size_t part = size < call->left ? size : (size_t)call->left;
            see_body(call, data, part, at);
            data += part, size -= part;
            if (call->left != NEVER) call->left -= part;
            if (!call->left) call->phase = call->chunked ? DATA_LINE : ENDED;
        } else if (call->phase == DATA_LINE) {
            if (*data == '\n') call->phase = SIZE;
            data++, size--;
        } else break; /* the empty line behind the last chunk */
    }
    if (call->busy && !call->in_head && call->phase == ENDED)
        settle(call, at, call->status == 200 && (!streams || call->said_done));
}

static void on_ready(Call *call, uint32_t what) {
    static char bytes[READ_BYTES];
    if (call->fd < 0) return;
    if (what & EPOLLOUT && call->busy && !call->sent_all) write_more(call);
    if (!(what & (EPOLLIN | EPOLLHUP | EPOLLERR)) || call->fd < 0) return;
    ssize_t got = read(call->fd, bytes, sizeof bytes);
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0) { take(call, bytes, (size_t)got, now_us()); return; }
    int whole = call->busy && !call->in_head && call->left == NEVER && !call->chunked && (!streams || call->said_done);
    if (call->busy) settle(call, now_us(), whole);
    else { /* an idle connection was closed */
        for (Call **at = &idle; *at; at = &(*at)->next_idle) if (*at == call) { *at = call->next_idle; break; }
        let_go(call);
    }
}

/* Give each stream its own chance, and its own moment within the next seconds. */
static void choose_cancelled(uint64_t at) {
    for (size_t n = 0; n < call_count; n++)
        if (calls[n]->busy && draw() < cancel_share) calls[n]->cancel_us = at + (uint64_t)(draw() * CANCEL_US);
}

static void cancel_due(uint64_t at) {
    for (size_t n = 0; n < call_count; n++) {
        Call *call = calls[n];
        if (!call->busy || !call->cancel_us || call->cancel_us > at) continue;
        if (call->opened) open_now--;
        call->busy = 0, in_flight--, cancelled++;
        let_go(call);
    }
}

static void progress(uint64_t at) {
    fprintf(stderr, "{\"at_s\":%.1f,\"arrived\":%llu,\"open\":%llu,\"done\":%llu,\"failed\":%llu,\"cancelled\":%llu,"
        "\"events\":%llu,\"in_flight\":%llu,\"steady\":%s}\n", (double)(at - began_us) / 1e6, (unsigned long long)arrived,
        (unsigned long long)open_now, (unsigned long long)done, (unsigned long long)failed,
        (unsigned long long)cancelled, (unsigned long long)events, (unsigned long long)in_flight,
        all_open_us && at < over_us ? "true" : "false");
}

static void print_figures(uint64_t ended_us) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"arrived\":%llu,\"done\":%llu,\"failed\":%llu,\"late\":%llu,\"cancelled\":%llu,\"events\":%llu,"
        "\"all_open\":%s,\"wall_s\":%.3f,\"cpu_s\":%.3f", (unsigned long long)arrived, (unsigned long long)done,
        (unsigned long long)failed, (unsigned long long)late, (unsigned long long)cancelled, (unsigned long long)events,
        all_open_us ? "true" : "false", (double)(ended_us - began_us) / 1e6,
        (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    print_histogram("lag", &lag);
    print_histogram("latency", &latency);
    print_histogram("first_byte", &first_byte);
    print_histogram("first_event", &first_event);
    print_histogram("delay", &delay);
    print_histogram("ramp_delay", &ramp_delay);
    print_histogram("stall", &stall);
    print_histogram("tail", &tail);
    printf("}\n");
}

int main(int argc, char **words) {
    struct epoll_event ready[256];
    if (argc != 9) return fprintf(stderr, "see the first comment of loadgen.c\n"), 2;
    port = atoi(words[1]);
    read_request(words[2]);
    rate = atof(words[3]), seconds = atof(words[4]), streams = atoi(words[5]);
    cancel_share = atof(words[6]), timeout_s = atof(words[7]);
    srandom((unsigned)(seed = strtoull(words[8], NULL, 10)));
    open_loop();
    began_us = now_us() + 1000;
    uint64_t next_us = began_us, told_us = began_us, swept_us = began_us, last_us;
    uint64_t limit_us = NEVER, span_us = (uint64_t)(seconds * 1e6), patience_us = (uint64_t)(timeout_s * 1e6);
    if (!streams) over_us = began_us + span_us, limit_us = over_us + patience_us;
    else limit_us = began_us + (uint64_t)(streams / rate * 1e6) + patience_us; /* to be all open */
    for (;;) {
        uint64_t at = last_us = now_us();
        int more = streams ? arrived < (uint64_t)streams : next_us < over_us;
        for (int burst = 0; more && next_us <= at && burst < 64; burst++) {
            start(next_us);
            next_us += streams ? (uint64_t)(1e6 / rate) : (uint64_t)(-log(draw()) * 1e6 / rate);
            more = streams ? arrived < (uint64_t)streams : next_us < over_us;
        }
        if (streams && !all_open_us && !more && open_now == in_flight && open_now) {
            all_open_us = at, over_us = at + span_us, limit_us = over_us + patience_us;
        }
        if (at >= told_us + 1000000) progress(at), told_us = at;
        if (streams && all_open_us && at >= over_us && cancel_share > 0) choose_cancelled(at), cancel_share = -1;
        if (cancel_share < 0 && at >= swept_us + 20000) cancel_due(at), swept_us = at;
        if (!more && (!in_flight || at >= limit_us)) break;
        uint64_t tick_us = cancel_share < 0 ? at + 20000 : at + 500000;
        int found = wait_until(more && next_us < tick_us ? next_us : tick_us, ready, 256);
        for (int n = 0; n < found; n++) {
            if (ready[n].data.ptr) on_ready(ready[n].data.ptr, ready[n].events);
            else clear_timer();
        }
    }
    for (size_t n = 0; n < call_count; n++) if (calls[n]->busy) late++, settle(calls[n], last_us, 0);
    print_figures(last_us);
    return 0;
}
