/* Counts of times in microseconds, to three digits, from 1 us to hours. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { EXACT = 2048, STEPS = 1024, CELLS = EXACT + 30 * STEPS };

typedef struct { uint64_t cells[CELLS]; } Histogram;

static inline void count(Histogram *times, uint64_t us) {
    if (us >= (uint64_t)1 << 36) us = ((uint64_t)1 << 36) - 1;
    int shift = us < EXACT ? 0 : 53 - __builtin_clzll(us);
    times->cells[us < EXACT ? us : (uint64_t)shift * STEPS + (us >> shift)]++;
}

/* As JSON: [[least time of the cell, count], ...], what Python merges. */
static inline void print_histogram(const char *name, const Histogram *times) {
    const char *between = "";
    printf(",\"%s\":[", name);
    for (uint64_t at = 0; at < CELLS; at++) {
        if (!times->cells[at]) continue;
        uint64_t shift = at < EXACT ? 0 : at / STEPS - 1;
        uint64_t us = at < EXACT ? at : (at - shift * STEPS) << shift;
        printf("%s[%llu,%llu]", between, (unsigned long long)us, (unsigned long long)times->cells[at]);
        between = ",";
    }
    printf("]");
}

#endif
