//! Memory between two processes: a sealed file and a ring of bytes, passed over a Unix socket to a process that was started
//! on its own, and the ring measured against a pipe.
//!
//! ```text
//! cargo run --release --example share -- [--mib N] [--message BYTES]...
//! ```
//!
//! The parent writes a table into a `MemoryFile`, seals it, and sends its descriptor with that of a `Ring`; the child, the
//! same program started anew, reads the table as plain bytes, which the seals allow, and then everything that comes
//! through the ring. Both sides checksum what they wrote and read. The same bytes then go through a pipe.
//!
//! Exit status: 0 if all arrived as it was sent, 1 if something did not, 2 for a wrong command line.

mod passing;

use clap::Parser;
use mapalloc::ipc::ring::Ring;
use mapalloc::ipc::{MemoryFile, Seals};
use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Arguments {
    /// How much goes through, in MiB.
    #[arg(long, default_value_t = 256)]
    mib: usize,
    /// The bytes of a message, written and read at once; may be given several times.
    #[arg(long, default_values_t = [64, 1024, 16384, 65536])]
    message: Vec<usize>,
    /// The rounds, of which the median is printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What the child does; the parent says it.
    #[arg(long, hide = true)]
    child: Option<String>,
}

/// The capacity of the ring: that of a pipe.
const CAPACITY: usize = 64 << 10;

/// A checksum that depends on every byte and its place, in four lanes, so that it takes less time than what it checks.
#[derive(Default)]
struct Checksum([u64; 4]);

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            for (lane, word) in self.0.iter_mut().zip(block.as_chunks::<8>().0) {
                *lane = (*lane ^ u64::from_ne_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
            }
        }
        for &byte in rest {
            self.0[0] = (self.0[0] ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, lane| (sum ^ lane).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23))
    }
}

/// The bytes of one message, another one each time.
fn fill(message: &mut [u8], n: u64) {
    let (words, rest) = message.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = (n ^ at as u64).to_ne_bytes();
    }
    rest.fill(n as u8);
}

fn write_all(mut target: impl Write, message: usize, total: usize) -> io::Result<u64> {
    let (mut sum, mut bytes) = (Checksum::default(), vec![0; message]);
    for n in 0..total.div_ceil(message) as u64 {
        fill(&mut bytes, n);
        sum.add(&bytes);
        target.write_all(&bytes)?;
    }
    Ok(sum.sum())
}

fn read_all(mut source: impl Read, message: usize) -> io::Result<u64> {
    let (mut sum, mut bytes) = (Checksum::default(), vec![0; message]);
    loop {
        match source.read_exact(&mut bytes) {
            Ok(()) => sum.add(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(sum.sum()),
            Err(error) => return Err(error),
        }
    }
}

/// The same program, with a socket or a pipe for its standard input.
fn child(role: &str, message: usize, input: impl Into<Stdio>) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--child", role, "--message", &message.to_string()])
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
}

/// What the child says that it has read.
fn checksum_of(child: Child) -> Result<u64, Box<dyn Error>> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("the child ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

const TABLE: &[u8] = b"what both processes read, and neither can change";

fn through_ring(message: usize, total: usize) -> Result<(u64, u64, Duration), Box<dyn Error>> {
    let table = MemoryFile::new(c"table", TABLE.len())?;
    table.map()?.write_at(0, TABLE)?;
    let sealed = table.seal()?;
    assert!(&*sealed == TABLE && table.map().is_err());
    let ring = Ring::new(CAPACITY)?;
    let producer = ring.producer()?;
    let (socket, other) = UnixStream::pair()?;
    let child = child("ring", message, std::os::fd::OwnedFd::from(other))?;
    passing::send(&socket, [table.as_fd(), ring.as_fd()])?;
    // The child says when it has both.
    (&socket).read_exact(&mut [0])?;
    let started = Instant::now();
    let sent = write_all(producer, message, total)?;
    let received = checksum_of(child)?;
    Ok((sent, received, started.elapsed()))
}

fn through_pipe(message: usize, total: usize) -> Result<(u64, u64, Duration), Box<dyn Error>> {
    let mut child = child("pipe", message, Stdio::piped())?;
    let pipe = child.stdin.take().ok_or("the child has a pipe")?;
    let started = Instant::now();
    let sent = write_all(pipe, message, total)?;
    let received = checksum_of(child)?;
    Ok((sent, received, started.elapsed()))
}

fn be_child(role: &str, message: usize) -> Result<(), Box<dyn Error>> {
    let input = io::stdin().lock();
    let sum = if role == "pipe" {
        read_all(input, message)?
    } else {
        let socket = UnixStream::from(input.as_fd().try_clone_to_owned()?);
        let [table, ring] = passing::receive(&socket)?;
        let table = MemoryFile::from_fd(table)?;
        if !table.seals()?.contains(Seals::WRITE | Seals::SHRINK) || &*table.seal()? != TABLE {
            return Err("the table is not what was sealed".into());
        }
        let consumer = Ring::from_file(MemoryFile::from_fd(ring)?)?.consumer()?;
        (&socket).write_all(&[1])?;
        read_all(consumer, message)?
    };
    println!("{sum}");
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if let Some(role) = &arguments.child {
        return be_child(role, arguments.message[0]);
    }
    println!("a sealed table and a ring of {} KiB, by descriptors over a socket, to another process", CAPACITY >> 10);
    println!("| bytes at once | ring, MB/s | pipe, MB/s | × |\n|---:|---:|---:|---:|");
    for &message in &arguments.message {
        let total = (arguments.mib << 20).div_ceil(message) * message;
        let (mut ring, mut pipe) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds.max(1) {
            for (times, way) in
                [(&mut ring, through_ring as fn(_, _) -> Result<_, _>), (&mut pipe, through_pipe as fn(_, _) -> _)]
            {
                let (sent, received, time) = way(message, total)?;
                if sent != received {
                    return Err(format!("sent {sent:x}, received {received:x}").into());
                }
                times.push(time);
            }
        }
        let speed = |times| total as f64 / median(times).as_secs_f64() / 1e6;
        let (ring, pipe) = (speed(ring), speed(pipe));
        println!("| {message} | {ring:.0} | {pipe:.0} | {:.2} |", ring / pipe);
    }
    println!("every byte arrived");
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.message.contains(&0) {
        eprintln!("a message has at least a byte");
        return ExitCode::from(2);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
