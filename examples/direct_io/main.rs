//! Direct I/O: a file is written and read past the page cache, with buffers of whole pages that are used again and again.
//!
//! ```text
//! cargo run --release --example direct_io -- [DIR] [--mib N] [--block-kib N] [--depth N]
//! ```
//!
//! `O_DIRECT` has the device write to and read from the program's buffers, which must then be aligned for it; a
//! `PageVec<u8>` is. `frames` is a pool of such buffers, `file` asks the file system for its alignment, and `ring` does the
//! same reads and writes by io_uring, several at a time, with buffers that the kernel has registered beforehand.
//!
//! The program writes a file and reads it again both ways, each time with other contents, then reads it by plain `read`
//! into a `Vec<u8>`, without and with the page cache. A checksum of what was written is compared with that of what was
//! read. All times include filling the buffers, and checking them.
//!
//! Where the kernel forbids io_uring, or the registration of so much memory (`RLIMIT_MEMLOCK`), the program says so and goes
//! on without. The file is in DIR, or in the current directory, and removed at the end. Exit status: 0 if all went well, 1 if
//! something did not, 2 for a wrong command line, 3 if DIR's file system has no direct I/O.

mod file;
mod frames;
mod ring;

use clap::Parser;
use file::Scratch;
use frames::Frames;
use ring::{Direction, Ring};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Writes and reads a file with O_DIRECT, by pread and pwrite and by io_uring, beside buffered reads.
#[derive(Parser, Debug)]
#[command(name = "direct_io")]
struct Cli {
    /// The directory for the file, on the device to try
    #[arg(default_value = ".")]
    dir: PathBuf,

    /// Size of the file, rounded up to whole blocks
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    mib: u32,

    /// Size of a buffer, and of every read and write
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    block_kib: u32,

    /// Reads and writes at a time by io_uring
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    depth: u16,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let path = cli.dir.join(format!("mapalloc-direct-io-{}", std::process::id()));
    match Scratch::create(path).and_then(|scratch| run(&cli, &scratch)) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {}: {error}", cli.dir.display());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, scratch: &Scratch) -> io::Result<ExitCode> {
    let (direct, alignment) = match scratch.direct() {
        Ok(direct) => direct,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            eprintln!("no direct I/O on the file system of {}: give a directory on another one", cli.dir.display());
            return Ok(ExitCode::from(3));
        }
        Err(error) => return Err(error),
    };
    let len = cli.block_kib as usize * 1024;
    if !len.is_multiple_of(alignment.offset) {
        eprintln!("error: blocks of {len} bytes are no multiple of {}, as direct I/O needs", alignment.offset);
        return Ok(ExitCode::from(2));
    }
    let blocks = (u64::from(cli.mib) << 20).div_ceil(len as u64);
    let mut report = Report { bytes: blocks * len as u64, written: 0 };
    println!(
        "{}: {blocks} blocks of {} KiB; O_DIRECT takes buffers at multiples of {} bytes, and offsets of {}",
        scratch.path().display(),
        cli.block_kib,
        alignment.memory,
        alignment.offset
    );

    let frames = Frames::new(len, alignment.memory);
    report.write("written, O_DIRECT", || write(&direct, &frames, blocks))?;
    report.read("read, O_DIRECT", || read(&direct, &frames, blocks))?;
    match Ring::new(&frames, cli.depth) {
        Ok(mut ring) => {
            let buffers = match ring.refusal() {
                None => format!("{} registered buffers", cli.depth),
                Some(error) => {
                    println!("the buffers are not registered (see RLIMIT_MEMLOCK): {error}");
                    format!("{} buffers", cli.depth)
                }
            };
            let write = || write_by_ring(&direct, &mut ring, blocks);
            report.write(&format!("written, O_DIRECT, io_uring, {buffers}"), write)?;
            let read = || read_by_ring(&direct, &mut ring, blocks);
            report.read(&format!("read, O_DIRECT, io_uring, {buffers}"), read)?;
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS | libc::ENOMEM)) => {
            println!("no io_uring: the kernel has none or forbids it, or RLIMIT_MEMLOCK is too low for it: {error}");
        }
        Err(error) => return Err(error),
    }
    scratch.drop_cache()?;
    report.read("read, buffered, into a Vec", || read_buffered(&scratch.buffered, len))?;
    report.read("the same, from the page cache", || read_buffered(&scratch.buffered, len))?;
    println!("buffers: {} allocated, {} times recycled", frames.allocated(), frames.recycled());
    Ok(ExitCode::SUCCESS)
}

/// What was written last, for the reads that follow.
struct Report {
    bytes: u64,
    written: u64,
}

impl Report {
    /// Says how fast the file was written, and remembers the checksum.
    fn write(&mut self, what: &str, write: impl FnOnce() -> io::Result<u64>) -> io::Result<()> {
        self.written = self.time(what, write)?;
        Ok(())
    }

    /// Says how fast the file was read, and compares the checksums.
    fn read(&self, what: &str, read: impl FnOnce() -> io::Result<u64>) -> io::Result<()> {
        let (found, written) = (self.time(what, read)?, self.written);
        if found == written {
            return Ok(());
        }
        Err(io::Error::other(format!("{what}: the checksum is {found:#018x}, of what was written {written:#018x}")))
    }

    fn time(&self, what: &str, work: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
        let since = Instant::now();
        let sum = work().map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))?;
        let rate = self.bytes as f64 / 1e6 / since.elapsed().as_secs_f64();
        println!("{what:56} {rate:7.0} MB/s  checksum {sum:#018x}");
        Ok(sum)
    }
}

// The contents of a file depend on the salt, so that no read finds what an earlier write has left.
const BY_CALLS: u64 = 1;
const BY_RING: u64 = 2;

fn write(file: &File, frames: &Frames, blocks: u64) -> io::Result<u64> {
    let mut sum = 0_u64;
    for block in 0..blocks {
        let mut frame = frames.take().map_err(io::Error::other)?;
        fill(&mut frame, block, BY_CALLS);
        sum = sum.wrapping_add(checksum(&frame, block));
        file.write_all_at(&frame, block * frame.len() as u64)?;
    }
    file.sync_data()?;
    Ok(sum)
}

fn read(file: &File, frames: &Frames, blocks: u64) -> io::Result<u64> {
    let mut sum = 0_u64;
    for block in 0..blocks {
        let mut frame = frames.take().map_err(io::Error::other)?;
        let at = block * frame.len() as u64;
        file.read_exact_at(&mut frame, at)?;
        sum = sum.wrapping_add(checksum(&frame, block));
    }
    Ok(sum)
}

fn write_by_ring(file: &File, ring: &mut Ring<'_>, blocks: u64) -> io::Result<u64> {
    let mut sum = 0_u64;
    ring.transfer(file, Direction::Write, blocks, |block, bytes| {
        fill(bytes, block, BY_RING);
        sum = sum.wrapping_add(checksum(bytes, block));
    })?;
    file.sync_data()?;
    Ok(sum)
}

fn read_by_ring(file: &File, ring: &mut Ring<'_>, blocks: u64) -> io::Result<u64> {
    let mut sum = 0_u64;
    ring.transfer(file, Direction::Read, blocks, |block, bytes| sum = sum.wrapping_add(checksum(bytes, block)))?;
    Ok(sum)
}

fn read_buffered(mut file: &File, len: usize) -> io::Result<u64> {
    let mut bytes = vec![0; len];
    let blocks = file.metadata()?.len() / len as u64;
    let mut sum = 0_u64;
    file.rewind()?;
    for block in 0..blocks {
        file.read_exact(&mut bytes)?;
        sum = sum.wrapping_add(checksum(&bytes, block));
    }
    Ok(sum)
}

/// Something that is different in each block and for each salt.
fn fill(bytes: &mut [u8], block: u64, salt: u64) {
    let mut state = (block + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
    for word in bytes.as_chunks_mut().0 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        *word = u64::to_le_bytes(state);
    }
}

/// Of a block in its place. The sum over all blocks does not depend on their order.
fn checksum(bytes: &[u8], block: u64) -> u64 {
    bytes.as_chunks().0.iter().fold(block + 1, |sum, &word| {
        (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    })
}
