"""Joining the wanted sums with stored rows, 64 rows at once; the words are those of `tiles`.

A test of bytes lets every match pass: windows are rounded outward. What passes is compared exactly.
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["join_tiles"]

u8 = np.uint8

CHUNK = 256  # sums whose runs are listed before any is tested: short loops of one kind run fastest
MOST_HITS = 1024
CODE = (1 << 31) - 1


@njit
def open_bucket(bucket, coarse, stretch_bits, fine_count, strides, mixed):
    """The first places, in the table of cells, of the coarse cells that a bucket's windows meet; returns how many."""
    count = 1
    mixed[0] = (bucket >> (stretch_bits + coarse)) * fine_count
    bits = (bucket >> stretch_bits) & ((1 << coarse) - 1)
    for k in range(coarse):
        if (bits >> k) & 1:
            for t in range(count):
                mixed[count + t] = mixed[t] + strides[k]
            count += count
    return count


@njit
def list_runs(
    start, fine_count, strides, stretch_bits, usual, wanted, wanted_start, bucket, at, until,
    mixed, run_first, run_stop, run_sum,
):  # fmt: skip
    """List the runs of rows that the windows of the sums at..until - 1 meet, the empty ones left out.

    A run is cut where its first tile ends, so that most are within one tile. Returns how many, the bucket of the last
    sum, and the rows in all runs.
    """
    coarse = strides.size - 1
    runs, count, bucket_end, rows = 0, 0, 0, 0
    for q in range(at, until):
        if q >= bucket_end:
            while wanted_start[bucket + 1] <= q:
                bucket += 1
            bucket_end = wanted_start[bucket + 1]
            count = open_bucket(bucket, coarse, stretch_bits, fine_count, strides, mixed)
        fine = wanted[q] >> 32
        low = fine >> 1
        high = min(low + usual + 1 + (fine & 1), fine_count)
        for t in range(count):
            first, stop = start[mixed[t] + low], start[mixed[t] + high]
            rows += max(stop - first, 0)
            cut = ((first >> 6) + 1) << 6
            run_first[runs] = first
            run_stop[runs] = min(stop, cut)
            run_sum[runs] = q
            runs += int(first < stop)
            run_first[runs] = cut
            run_stop[runs] = stop
            run_sum[runs] = q
            runs += int(cut < stop)
    return runs, bucket, rows


@njit
def passes_four(tile, x0, x1, x2, x3, w0, w1, w2, w3):
    """Whether some row of a tile has its first four bytes within the widths above x."""
    passes = False
    for q in range(64):
        passes |= (
            (u8(tile[q] - x0) <= w0)
            & (u8(tile[q + 64] - x1) <= w1)
            & (u8(tile[q + 128] - x2) <= w2)
            & (u8(tile[q + 192] - x3) <= w3)
        )
    return passes


@njit
def list_hits(
    tiles, wanted, wanted_bits, words_3, words_4, reach, widths,
    run_first, run_stop, run_sum, run, runs, row, hit_run, hit_tile, steps,
):  # fmt: skip
    """List tiles of the runs run..runs - 1, the first from `row` on, where a row passes the test of four bytes.

    Stops where the list is full or `steps` tiles were tested. Returns the number of hits, of tiles, and the run and row
    to go on with.
    """
    line_3, line_4, wanted_partner = words_3[0], words_4[0], (1 << wanted_bits) - 1
    w0, w1, w2, w3 = widths[0], widths[1], widths[2], widths[3]
    hits, tested = 0, 0
    while run < runs and tested < steps and hits < hit_run.size:
        code = wanted[run_sum[run]] & CODE
        word = line_3[code >> wanted_bits] + line_4[code & wanted_partner] - reach[0]
        x0, x1 = u8((word >> 8) & 255), u8((word >> 24) & 255)
        x2, x3 = u8((word >> 40) & 255), u8((word >> 56) & 255)
        g, last = max(np.int64(run_first[run]), row) >> 6, (np.int64(run_stop[run]) - 1) >> 6
        tested -= g
        while g <= last and hits < hit_run.size:
            hit_run[hits] = run
            hit_tile[hits] = g
            hits += int(passes_four(tiles[g], x0, x1, x2, x3, w0, w1, w2, w3))
            g += 1
        tested += g
        if g <= last:
            return hits, tested, run, g << 6
        run += 1
        row = 0
    return hits, tested, run, row


@njit
def mark_passing(tile, code, wanted_bits, words_3, words_4, reach, widths, passing):
    """Say of each row of a tile whether all its bytes lie in their windows around a wanted sum; passing uint8[64]."""
    for q in range(64):
        passing[q] = 1
    for b in range(widths.size):
        w = b >> 2
        word = words_3[w, code >> wanted_bits] + words_4[w, code & ((1 << wanted_bits) - 1)] - reach[w]
        line, low, width = tile[64 * b : 64 * b + 64], u8((word >> (16 * (b & 3) + 8)) & 255), widths[b]
        for q in range(64):
            passing[q] &= u8(u8(line[q] - low) <= width)


@njit
def compare_rows(
    passing, order, first, stop, code_bits, code, wanted_bits,
    columns_1, columns_2, columns_3, columns_4, sizes, errors, codes, control,
):  # fmt: skip
    """Compare the passing rows first..stop - 1 of a tile with the wanted sum of a code, exactly.

    Returns the row after which to look at the buffer: it is full, or a match meets control[4]; else -1.
    """
    sizes_1, sizes_2, sizes_3, sizes_4, smallest, largest = sizes
    limit = min(control[3], control[1] + control[2])
    i, p = code >> wanted_bits, code & ((1 << wanted_bits) - 1)
    for r in range(first, stop):
        if passing[r & 63] == 0:
            continue
        k, m = order[r] >> code_bits, order[r] & ((1 << code_bits) - 1)
        error = 0
        for x in range(columns_1.shape[0]):
            error = max(error, abs(columns_1[x, k] + columns_2[x, m] - columns_3[x, i] - columns_4[x, p]))
            if error > limit:
                break
        if error <= limit and smallest <= sizes_1[k] + sizes_2[m] + sizes_3[i] + sizes_4[p] <= largest:
            errors[control[0]] = error
            codes[control[0], 0] = np.int64(k) * columns_2.shape[1] + m
            codes[control[0], 1] = i * columns_4.shape[1] + p
            control[0] += 1
            control[1] = min(control[1], error)
            limit = min(control[3], control[1] + control[2])
            if control[0] == errors.size or error <= control[4] or limit < 0:
                return r
    return -1


@njit
def join_tiles(
    start, order, tiles, code_bits, fine_count, strides, stretch_bits, usual, wanted, wanted_start, wanted_bits,
    words_3, words_4, reach, widths, columns_1, columns_2, columns_3, columns_4, sizes,
    errors, codes, control, state, stop_sum, steps,
):  # fmt: skip
    """Compare the wanted sums state[0]..stop_sum - 1 with all rows within the window.

    columns int64[d, m] are the coordinates of the four lists, sizes a tuple (sizes_1, sizes_2, sizes_3, sizes_4,
    smallest, largest), the number of rows (of the instance) in their entries; a match has between smallest and largest
    of them and |1 + 2 - 3 - 4| <= limit in every coordinate, the limit as in `CandidateBuffer`. It is written with the
    codes (1 * m2 + 2, 3 * m4 + 4). state int64[3] is (sum, run of its chunk, row) to go on with.

    Returns the number of sums and of rows in their runs; early where `compare_rows` asks for it or after `steps` tiles.
    """
    coarse = strides.size - 1
    mixed = np.empty(1 << coarse, np.int64)
    most_runs = (2 * CHUNK << coarse) + 2
    run_first, run_stop = np.empty(most_runs, np.int32), np.empty(most_runs, np.int32)
    run_sum = np.empty(most_runs, np.int64)
    hit_run, hit_tile = np.empty(MOST_HITS, np.int64), np.empty(MOST_HITS, np.int64)
    passing = np.empty(64, np.uint8)
    work = spent = 0
    at, run, row = state
    bucket = np.searchsorted(wanted_start, at, side="right") - 1
    while at < stop_sum and spent < steps:
        until = min(at + CHUNK, stop_sum)
        runs, bucket, rows = list_runs(
            start, fine_count, strides, stretch_bits, usual, wanted, wanted_start, bucket, at, until,
            mixed, run_first, run_stop, run_sum,
        )  # fmt: skip
        work += until - at + rows if run == 0 and row == 0 else 0
        while run < runs:
            state[0], state[1], state[2] = at, run, row
            if spent >= steps:
                return work
            hits, tested, run, row = list_hits(
                tiles, wanted, wanted_bits, words_3, words_4, reach, widths,
                run_first, run_stop, run_sum, run, runs, row, hit_run, hit_tile, steps,
            )  # fmt: skip
            spent += tested + 16 * hits
            for h in range(hits):
                q, g = run_sum[hit_run[h]], hit_tile[h]
                first, stop = np.int64(run_first[hit_run[h]]), np.int64(run_stop[hit_run[h]])
                if hit_run[h] == state[1]:
                    first = max(first, state[2])
                mark_passing(tiles[g], wanted[q] & CODE, wanted_bits, words_3, words_4, reach, widths, passing)
                paused = compare_rows(
                    passing, order, max(first, g << 6), min(stop, (g + 1) << 6), code_bits,
                    wanted[q] & CODE, wanted_bits,
                    columns_1, columns_2, columns_3, columns_4, sizes, errors, codes, control,
                )  # fmt: skip
                if paused >= 0:
                    state[1], state[2] = hit_run[h], paused + 1
                    return work
        run = row = 0
        at = until
    state[0], state[1], state[2] = at, 0, 0
    return work
