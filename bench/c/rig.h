/* What the upstream and the load generator share: a clock, an epoll loop with one
 * timer of microseconds, and a word for what cannot go on. */
#ifndef RIG_H
#define RIG_H

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NEVER UINT64_MAX

static inline uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* one clock for all processes of a machine */
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static int loop_fd, timer_fd;

static inline void watch(int fd, uint32_t events, void *data, int op) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(loop_fd, op, fd, &event)) die("epoll_ctl");
}

/* Data of the timer's events is NULL. */
static inline void open_loop(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    loop_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (loop_fd < 0 || timer_fd < 0) die("epoll, timerfd");
    watch(timer_fd, EPOLLIN, NULL, EPOLL_CTL_ADD);
}

static inline int wait_until(uint64_t due_us, struct epoll_event *events, int room) {
    static uint64_t armed_us;
    uint64_t at = now_us();
    if (due_us <= at) return epoll_wait(loop_fd, events, room, 0);
    if (due_us != armed_us) {
        struct itimerspec when = {0};
        if (due_us != NEVER) {
            when.it_value.tv_sec = (time_t)(due_us / 1000000);
            when.it_value.tv_nsec = (long)(due_us % 1000000) * 1000;
        }
        timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
        armed_us = due_us;
    }
    return epoll_wait(loop_fd, events, room, -1);
}

static inline void clear_timer(void) {
    uint64_t count;
    if (read(timer_fd, &count, sizeof count) < 0 && errno != EAGAIN) die("timerfd");
}

static inline void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

#endif
