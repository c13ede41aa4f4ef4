//! The job itself, once, on the heap of this process: walk, read and tokenise, merge, query, and give it all back.

use super::cli::Cli;
use super::corpus;
use super::index::{Builder, Index};
use super::query;
use super::usage;
use indicatif::ProgressBar;
use mapalloc::{PageAlloc, Stats};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Hits that are shown of each query.
const SHOWN: usize = 3;

/// The phases, as [`Outcome::phases`] has them.
pub(crate) const PHASES: [&str; 6] = ["walk", "read", "tokenise", "merge", "query", "drop"];

/// All that is known once the job is done.
pub(crate) struct Outcome {
    /// The findings, the same on every heap.
    pub(crate) answer: String,
    pub(crate) failures: Vec<String>,
    pub(crate) total: Duration,
    /// Reading and tokenising take turns on every thread: theirs is the mean over the threads.
    pub(crate) phases: [Duration; PHASES.len()],
    pub(crate) minor_faults: u64,
    pub(crate) peak_rss_kib: Option<u64>,
    /// After the index is dropped.
    pub(crate) final_rss_kib: Option<u64>,
    /// While the index lives, and after it is dropped; malloc has none.
    pub(crate) stats: Option<[Stats; 2]>,
}

/// What one thread did.
#[derive(Default)]
struct Share {
    builder: Builder,
    failures: Vec<String>,
    binaries: usize,
    bytes: u64,
    reading: Duration,
    tokenising: Duration,
}

/// Does the job; `heap` is the global allocator, if that is a `PageAlloc`. The bar shows itself on a terminal only.
pub(crate) fn run(cli: &Cli, heap: Option<&PageAlloc>, bar: &ProgressBar) -> Outcome {
    let faults = usage::minor_faults();
    let started = Instant::now();
    let corpus = corpus::walk(&cli.roots);
    let walk = started.elapsed();

    bar.set_length(corpus.files.len() as u64);
    let mut failures = corpus.failures;
    let mut shares = read_all(&corpus.files, cli.threads(), bar);
    let mean = |of: fn(&Share) -> Duration| shares.iter().map(of).sum::<Duration>() / shares.len() as u32;
    let (reading, tokenising) = (mean(|share| share.reading), mean(|share| share.tokenising));
    let bytes = shares.iter().map(|share| share.bytes).sum();
    let binaries = shares.iter().map(|share| share.binaries).sum();
    failures.extend(shares.iter_mut().flat_map(|share| share.failures.drain(..)));
    failures.sort();
    bar.finish_and_clear();

    let since = Instant::now();
    let index = Index::merge(corpus.files, shares.into_iter().map(|share| share.builder).collect());
    let merge = since.elapsed();

    let since = Instant::now();
    let mut answer = String::new();
    summarise(&mut answer, &index, bytes, binaries, failures.len());
    for query in &cli.queries {
        answer_query(&mut answer, &index, query);
    }
    let query = since.elapsed();

    let living = heap.map(PageAlloc::stats);
    let since = Instant::now();
    drop(index);
    let dropping = since.elapsed();
    Outcome {
        answer,
        failures,
        total: started.elapsed(),
        phases: [walk, reading, tokenising, merge, query, dropping],
        minor_faults: usage::minor_faults() - faults,
        peak_rss_kib: usage::peak_rss_kib(),
        final_rss_kib: usage::rollup_kib("Rss"),
        stats: living.zip(heap.map(PageAlloc::stats)).map(<[Stats; 2]>::from),
    }
}

/// Reads and tokenises all files; the threads take them in turns, so that a large file holds up one thread only.
fn read_all(files: &[PathBuf], threads: usize, bar: &ProgressBar) -> Vec<Share> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut share = Share::default();
        while let Some((number, path)) = Some(next.fetch_add(1, Relaxed)).and_then(|n| Some((n, files.get(n)?))) {
            let since = Instant::now();
            let content = corpus::read(path);
            share.reading += since.elapsed();
            match content {
                Ok(Some(text)) => {
                    let since = Instant::now();
                    share.bytes += text.len() as u64;
                    share.builder.add(number as u32, &text);
                    drop(text);
                    share.tokenising += since.elapsed();
                }
                Ok(None) => share.binaries += 1,
                Err(error) => share.failures.push(corpus::failure(path, &error)),
            }
            bar.inc(1);
        }
        share
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker panicked")).collect()
    })
}

fn summarise(answer: &mut String, index: &Index, bytes: u64, binaries: usize, failures: usize) {
    let mut commonest: Vec<(u64, &str)> = (index.terms.iter())
        .map(|(term, &number)| (index.list(number).iter().map(|posting| u64::from(posting.count)).sum(), &term[..]))
        .collect();
    commonest.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    commonest.truncate(8);
    let commonest: Vec<_> = commonest.iter().map(|(count, term)| format!("{term} {count}")).collect();
    // Writing to a `String` cannot fail.
    _ = writeln!(
        answer,
        "{} text files, {bytes} bytes; skipped: {binaries} binary, {failures} unreadable",
        index.texts
    );
    _ = writeln!(answer, "{} distinct terms, {} postings", index.terms.len(), index.len());
    _ = writeln!(answer, "commonest terms: {}", commonest.join(", "));
}

fn answer_query(answer: &mut String, index: &Index, query: &str) {
    let hits = query::search(index, query);
    _ = writeln!(answer, "query \"{query}\": {} documents", hits.len());
    for hit in hits.iter().take(SHOWN) {
        let path = index.documents[hit.document as usize].path.display();
        _ = writeln!(answer, "  {:6.3}  {path}:{}", hit.score, hit.line);
    }
}
