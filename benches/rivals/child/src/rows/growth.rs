//! What grows: vectors by doubling, buffers in small steps.

use super::Row;
use crate::Stage;
use std::hint::black_box;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "vec-growth-1G",
        what: "a Vec extended by 64 KiB at a time to 1 GiB",
        source: "model of the requests for mremap in jemalloc's (#126, #338) and mimalloc's (#693) trackers",
        run: |stage| stage.time(|| _ = grow(1 << 30, 64 << 10)),
    },
    Row {
        name: "vec-growth-200K",
        what: "5,000 Vecs, one after another, pushed to 200 KiB",
        source: "model of buffers that are filled and dropped",
        run: |stage| stage.time(|| (0..5_000).for_each(|_| _ = grow(200 << 10, 256))),
    },
    Row {
        name: "vecs-growth-many",
        what: "1,000 Vecs growing together to 200 KiB, twice",
        source: "model of a server that fills a buffer for each connection",
        run: many,
    },
    Row {
        name: "realloc-steps-4K",
        what: "3 buffers to 16 MiB in steps of 4 KiB",
        source: "model of logs and files read with exact growth",
        run: |stage| stage.time(|| (0..3).for_each(|_| step(16 << 20, 4 << 10))),
    },
    Row {
        name: "realloc-steps-128",
        what: "100 buffers to 256 KiB in steps of 128 bytes",
        source: "model of strings built with exact growth",
        run: |stage| stage.time(|| (0..100).for_each(|_| step(256 << 10, 128))),
    },
];

fn grow(bytes: usize, chunk: usize) -> Vec<u8> {
    let chunk = vec![1; chunk];
    let mut buffer = Vec::new();
    while buffer.len() < bytes {
        buffer.extend_from_slice(&chunk);
    }
    black_box(buffer)
}

fn step(bytes: usize, by: usize) {
    let mut buffer: Vec<u8> = Vec::new();
    while buffer.len() < bytes {
        buffer.reserve_exact(by);
        buffer.resize(buffer.len() + by, 1);
    }
    black_box(buffer);
}

fn many(stage: &mut Stage) {
    stage.time(|| {
        for _ in 0..2 {
            let mut all: Vec<Vec<u8>> = (0..1_000).map(|_| Vec::new()).collect();
            let chunk = [1; 1024];
            for _ in 0..200 {
                all.iter_mut().for_each(|buffer| buffer.extend_from_slice(&chunk));
            }
            black_box(all);
        }
    });
}
