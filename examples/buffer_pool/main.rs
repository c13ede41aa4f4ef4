//! A buffer pool as databases have one, over one reservation of pages: a file several times larger than the pool, read and
//! updated by several threads.
//!
//! ```text
//! cargo run --release --example buffer_pool -- [FILE] [--page-kib 4|8|16] [--pages N] [--frames N] [--threads N]
//!     [--operations N] [--updates PERCENT] [--skew K]
//! ```
//!
//! `pool` is the pool: fixed frames, clock eviction, pins and latches, dirty pages written back. It is meant to be read.
//! `file` is what lies below, and what is in a page: its number, how often it was updated, and a checksum. They are checked
//! at each read. Some pages are wanted more often than others: the first ones, the more so the larger the skew.
//!
//! The program checks the whole file through the pool, has the threads work, tells the pool to shrink, which gives the
//! memory of the frames back to the system, has them work again, flushes, and checks the whole file past the pool: every
//! page must be right, and all together as often updated as the threads say.
//!
//! A FILE that exists is used as it is, one that does not is made and kept; without any there is a temporary one. Exit
//! status: 0 if all was right, 1 if something was not, 2 for a wrong command line.

mod file;
mod pool;

use clap::Parser;
use file::{PageFile, update, verify};
use pool::Pool;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use std::{fs, io, thread};

/// Reads and updates a file through a buffer pool from several threads, and checks every page.
#[derive(Parser, Debug)]
#[command(name = "buffer_pool")]
struct Cli {
    /// The file, made if it is not there [default: a temporary one]
    file: Option<PathBuf>,

    /// Size of a page
    #[arg(long, value_name = "KIB", default_value = "4", value_parser = ["4", "8", "16"])]
    page_kib: String,

    /// Pages of a new file
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pages: u64,

    /// Frames of the pool, which must be more than the threads; then an eighth of them
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(2..))]
    frames: u32,

    /// Threads that read and update
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// Reads and updates, of all threads together, before and again after the pool shrinks
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    operations: u64,

    /// How many of a hundred operations are updates
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100))]
    updates: u8,

    /// 1 wants every page as often as any other; with K, half of all operations are for the first 1 in 2 to the K
    #[arg(long, value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=16))]
    skew: u8,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.smaller() <= usize::from(cli.threads) {
        eprintln!("error: {} frames, of which an eighth stays, are too few for {} threads", cli.frames, cli.threads);
        return ExitCode::from(2);
    }
    let done = match cli.page_kib.as_str() {
        "4" => run::<4096>(&cli),
        "8" => run::<8192>(&cli),
        _ => run::<16_384>(&cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    /// The frames that the pool shrinks to.
    fn smaller(&self) -> usize {
        self.frames as usize / 8
    }
}

fn run<const N: usize>(cli: &Cli) -> io::Result<()> {
    let temporary = Temporary(std::env::temp_dir().join(format!("mapalloc-buffer-pool-{}", std::process::id())));
    let path = cli.file.as_deref().unwrap_or(&temporary.0);
    let file = open::<N>(path, cli.pages)?;
    let (pages, frames) = (file.pages(), cli.frames as usize);
    let pool = Pool::new(file, frames, frames).map_err(io::Error::other)?;
    println!(
        "{}: {pages} pages of {} KiB, {}; the pool: {frames} frames, {}, of which resident: {}",
        path.display(),
        N >> 10,
        kib(pages as usize * N),
        kib(frames * N),
        kib(pool.resident_bytes()?),
    );

    let before = (0..pages).map(|page| verify(&*pool.shared(page)?, page)).sum::<io::Result<u64>>()?;
    println!("checked through the pool: every page is right, {before} updates so far");

    let mut made = work(&pool, cli, 1)?;
    let resident = pool.resident_bytes()?;
    pool.resize(cli.smaller())?;
    let left = pool.resident_bytes()?;
    println!("shrunk to {} frames: resident were {}, are {}", cli.smaller(), kib(resident), kib(left));
    if left > (cli.smaller() * N).next_multiple_of(mapalloc::page_size()) {
        return Err(io::Error::other("the memory of frames that are gone is still there"));
    }
    made += work(&pool, cli, 2)?;

    pool.flush()?;
    let mut bytes = [0; N];
    let mut after = 0;
    for page in 0..pages {
        pool.file().read(page, &mut bytes)?;
        after += verify(&bytes, page)?;
    }
    println!("flushed, and checked past the pool: every page is right, {} updates, {made} were made", after - before);
    if after - before == made { Ok(()) } else { Err(io::Error::other("updates were lost")) }
}

fn open<const N: usize>(path: &Path, pages: u64) -> io::Result<PageFile<N>> {
    let file = if path.exists() { PageFile::open(path) } else { PageFile::create(path, pages) };
    file.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// Has the threads read and update, and says what the pool made of it. Returns how many updates they made.
fn work<const N: usize>(pool: &Pool<N>, cli: &Cli, seed: u64) -> io::Result<u64> {
    let (before, since) = (pool.counts(), Instant::now());
    let threads = u64::from(cli.threads);
    let share = |thread: u64| cli.operations / threads + u64::from(thread < cli.operations % threads);
    let made = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || operate(pool, cli, share(thread), Random::new(seed << 32 | thread))))
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker panicked")).sum::<io::Result<u64>>()
    })?;
    let (time, after) = (since.elapsed(), pool.counts());
    let (hits, misses) = (after.hits - before.hits, after.misses - before.misses);
    println!(
        "{} operations by {threads} threads, {made} of them updates, in {:.0} ms: {:.2} µs each",
        cli.operations,
        time.as_secs_f64() * 1e3,
        time.as_secs_f64() * 1e6 / cli.operations.max(1) as f64,
    );
    println!(
        "  hit rate {:.1} %, {} evictions, {} pages written back, resident {}",
        100.0 * hits as f64 / (hits + misses).max(1) as f64,
        after.evictions - before.evictions,
        after.write_backs - before.write_backs,
        kib(pool.resident_bytes()?),
    );
    Ok(made)
}

/// What one thread does. Returns how many updates it made.
fn operate<const N: usize>(pool: &Pool<N>, cli: &Cli, operations: u64, mut random: Random) -> io::Result<u64> {
    let pages = pool.file().pages();
    let mut made = 0;
    for _ in 0..operations {
        // Below 1, so the page is below `pages`.
        let place = random.fraction().powi(cli.skew.into());
        let page = (place * pages as f64) as u64;
        if random.fraction() * 100.0 < f64::from(cli.updates) {
            let mut bytes = pool.exclusive(page)?;
            verify(&bytes, page)?;
            update(&mut bytes, random.next());
            made += 1;
        } else {
            verify(&*pool.shared(page)?, page)?;
        }
    }
    Ok(made)
}

/// The same numbers in every run: xorshift64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// At least 0, below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A path where nothing is left.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is not there if another file was used.
        _ = fs::remove_file(&self.0);
    }
}

fn kib(bytes: usize) -> String {
    format!("{} KiB", bytes >> 10)
}
