//! `PageVec` against `Vec` on malloc.
//!
//! ```text
//! cargo bench --bench vec                        # all of it
//! cargo bench --bench vec -- 'push'              # one group
//! ```
//!
//! Criterion measures the one after the other, not in turns: for ratios use `cargo run --release --example compare`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mapalloc::PageVec;
use std::hint::black_box;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const SIZES: [(&str, usize); 3] = [("64 KiB", 64 * KIB), ("4 MiB", 4 * MIB), ("256 MiB", 256 * MIB)];

/// As each type has it: the shortest way to a vector of zeros.
trait Zeros {
    fn zeros(len: usize) -> Self;
}

impl Zeros for Vec<u64> {
    fn zeros(len: usize) -> Self {
        vec![0; len]
    }
}

impl Zeros for PageVec<u64> {
    fn zeros(len: usize) -> Self {
        // SAFETY: eight zero bytes are a `u64`.
        unsafe { Self::zeroed_unchecked(len) }
    }
}

/// One group: `$body` for each size and both types, which `$Subject` names in turn.
macro_rules! group {
    ($name:ident, $title:literal, $Subject:ident, |$bencher:ident, $len:ident| $body:expr) => {
        fn $name(criterion: &mut Criterion) {
            let mut group = criterion.benchmark_group($title);
            for (size, bytes) in SIZES {
                let $len = bytes / size_of::<u64>();
                group.throughput(Throughput::Bytes(bytes as u64));
                {
                    type $Subject<T> = Vec<T>;
                    group.bench_function(BenchmarkId::new(size, "Vec"), |$bencher| $body);
                }
                {
                    type $Subject<T> = PageVec<T>;
                    group.bench_function(BenchmarkId::new(size, "PageVec"), |$bencher| $body);
                }
            }
            group.finish();
        }
    };
}

group!(push, "push", Subject, |bencher, len| {
    bencher.iter(|| {
        let mut vec = Subject::new();
        for n in 0..len as u64 {
            vec.push(n);
        }
        assert_eq!(black_box(&vec)[len - 1], len as u64 - 1);
    });
});

group!(extend, "extend_from_slice", Subject, |bencher, len| {
    let chunk = vec![7_u64; 8 * KIB];
    bencher.iter(|| {
        let mut vec = Subject::new();
        while vec.len() < len {
            vec.extend_from_slice(black_box(&chunk));
        }
        assert_eq!(black_box(&vec)[len - 1], 7);
    });
});

group!(zeroed, "zeros, 16 pages touched", Subject, |bencher, len| {
    bencher.iter(|| {
        let mut vec = <Subject<u64> as Zeros>::zeros(black_box(len));
        for at in (0..len).step_by(len / 16) {
            assert_eq!(std::mem::replace(&mut black_box(&mut vec)[at], 1), 0);
        }
    });
});

group!(copy, "clone", Subject, |bencher, len| {
    let vec: Subject<u64> = (0..len as u64).collect();
    bencher.iter(|| assert_eq!(black_box(vec.clone())[len - 1], len as u64 - 1));
});

/// Short times: the whole file is to be done in a minute or two.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500))
}

criterion_group! {
    name = benches;
    config = short();
    targets = push, extend, zeroed, copy
}
criterion_main!(benches);
