//! What goes beyond the process: forks that allocate, rings to a program of its own, mapped files; and purges meanwhile.

use crate::contents::{Random, check, fill, sum};
use crate::forms::Heap;
use crate::load::{Load, Phase};
use crate::objects::{Fault, Kind, Object};
use mapalloc::file::{FileMap, FileOptions, ReadWrite};
use mapalloc::ipc::ring::Ring;
use mapalloc::ipc::{MemoryFile, SharedPages};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// The variable that makes the program the reading end of a ring, which is its standard input: the seed and the length of
/// what it is to find there.
pub const PEER: &str = "SOAK_PEER";

/// What hangs longer than this is killed.
const PATIENCE: Duration = Duration::from_secs(60);

pub static ERRANDS: [(&str, AtomicU64); 4] = [
    ("forks", AtomicU64::new(0)),
    ("rings", AtomicU64::new(0)),
    ("files", AtomicU64::new(0)),
    ("purges", AtomicU64::new(0)),
];

/// Runs errands in turns until the cycle ends.
pub fn run(load: &Load, heap: &Heap, random: &mut Random) {
    for (turn, (_, count)) in ERRANDS.iter().enumerate().cycle() {
        match load.phase() {
            Phase::Rest => break,
            Phase::Idle => thread::sleep(Duration::from_millis(5)),
            _ => {
                let done = match turn {
                    0 => fork(random),
                    1 => ring(random, load),
                    2 => file(random),
                    _ => {
                        heap.purge();
                        Ok(())
                    }
                };
                load.note(done);
                count.fetch_add(1, Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn fault(what: &'static str) -> impl Fn(io::Error) -> Fault {
    move |error| Fault(format!("{what}: {error}"))
}

/// A child that finds its parent's objects, allocates on its own, and says by shared memory what it did.
fn fork(random: &mut Random) -> Result<(), Fault> {
    const OBJECTS: u64 = 24;
    // The standard library's only: what other rooms of the crate lock, another thread may have locked.
    let kinds = [Kind::Block, Kind::Vector, Kind::Text, Kind::HashMap, Kind::BTreeMap];
    let mut objects = (0..8).map(|n| Object::new(kinds[n % kinds.len()], random)).collect::<Result<Vec<_>, _>>()?;
    let report = SharedPages::new(8).map_err(|error| Fault(format!("shared pages: {error}")))?;
    let report = report.into_atomics::<AtomicU64>().map_err(|refusal| Fault(format!("shared pages: {refusal}")))?;
    let seed = random.next();
    // SAFETY: the child uses what is its own thread's and the global allocator, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| -> Result<u64, Fault> {
            let mut random = Random::new(seed);
            for object in &mut objects {
                object.change(&mut random)?;
            }
            for n in 0..OBJECTS {
                let mut object = Object::new(kinds[n as usize % kinds.len()], &mut random)?;
                object.change(&mut random)?;
                object.free()?;
            }
            objects.into_iter().try_for_each(Object::free)?;
            Ok(OBJECTS)
        }));
        let code = match result {
            Ok(Ok(count)) => {
                report[0].store(seed ^ count, Relaxed);
                0
            }
            Ok(Err(Fault(what))) => {
                eprintln!("soak: in a forked child: {what}");
                1
            }
            Err(_) => 1,
        };
        // SAFETY: the way out of a forked child.
        unsafe { libc::_exit(code) };
    }
    if child < 0 {
        return Err(fault("fork")(io::Error::last_os_error()));
    }
    wait_for(child)?;
    objects.into_iter().try_for_each(Object::free)?;
    match report[0].load(Relaxed) ^ seed {
        OBJECTS => Ok(()),
        other => Err(Fault(format!("a forked child reports {other:#x}, not {OBJECTS} objects"))),
    }
}

/// Waits for a child of `fork` that should end well.
fn wait_for(child: libc::pid_t) -> Result<(), Fault> {
    let started = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to an integer that the call may write.
        match unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } {
            0 if started.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(1)),
            0 => {
                // SAFETY: the child has not been waited for, so the number is its own.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, &mut status, 0);
                }
                return Err(Fault("a forked child hangs; it was killed".into()));
            }
            _ if status == 0 => return Ok(()),
            _ => return Err(Fault(format!("a forked child ended with the status {status:#x}"))),
        }
    }
}

/// Bytes through a ring to this program in a process of its own, which compares them.
fn ring(random: &mut Random, load: &Load) -> Result<(), Fault> {
    let refused = |what: &dyn std::fmt::Display| Fault(format!("a ring: {what}"));
    let (seed, len) = (random.next(), (1 << 16) + random.below(1 << 20));
    let ring = Ring::new(1 << (12 + random.below(6))).map_err(|error| refused(&error))?;
    let mut bytes = vec![0; len];
    fill(seed, &mut bytes);
    let input = OwnedFd::from(ring_file(&ring).map_err(fault("a ring's file"))?);
    let mut child = Command::new("/proc/self/exe")
        .env(PEER, format!("{seed} {len} {}", sum(0, &bytes)))
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .spawn()
        .map_err(fault("the reading end of a ring"))?;
    let result = (|| {
        let mut producer = ring.producer().map_err(|error| refused(&error))?;
        let (mut rest, started) = (&bytes[..], Instant::now());
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(1 + random.below(9000))];
            let written = producer.try_write(piece).map_err(|error| refused(&error))?;
            rest = &rest[written..];
            if written == 0 {
                if producer.consumer_is_gone() || started.elapsed() > PATIENCE {
                    return Err(refused(&"the reading end is gone, or hangs"));
                }
                thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    })();
    let ended = end_of(&mut child, result.is_ok())?;
    match result {
        // Ctrl-C at a terminal goes to the children too.
        _ if load.is_stopped() => Ok(()),
        Ok(()) if !ended => Err(refused(&"the reading end did not find what was sent")),
        result => result,
    }
}

/// The ring's file once more, to be the standard input of a child.
fn ring_file(ring: &Ring) -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(ring.as_fd().try_clone_to_owned()?))
}

/// Whether the child ends well, within the time that there is, if it is to; else it is killed.
fn end_of(child: &mut Child, may_end: bool) -> Result<bool, Fault> {
    let started = Instant::now();
    while may_end && started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().map_err(fault("a child"))? {
            return Ok(status.success());
        }
        thread::sleep(Duration::from_millis(1));
    }
    _ = child.kill();
    _ = child.wait();
    Ok(false)
}

/// The program as the reading end of a ring.
pub fn peer(task: &str) -> ExitCode {
    match read_as_peer(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("soak: the reading end of a ring: {message}");
            ExitCode::FAILURE
        }
    }
}

fn read_as_peer(task: &str) -> Result<(), Box<dyn std::error::Error>> {
    use std::os::fd::AsFd;
    let mut words = task.split(' ');
    let mut word = || words.next().ok_or("a word is missing in the task");
    let (seed, len, expected) = (word()?.parse::<u64>()?, word()?.parse::<usize>()?, word()?.parse::<u64>()?);
    let ring = Ring::from_file(MemoryFile::from_fd(io::stdin().as_fd().try_clone_to_owned()?)?)?;
    let mut bytes = vec![0; len];
    let mut consumer = ring.consumer()?;
    let mut read = 0;
    while read < len {
        match consumer.read(&mut bytes[read..])? {
            0 => return Err(format!("the stream ends after {read} of {len} bytes").into()),
            count => read += count,
        }
    }
    check(seed, &bytes).map_err(|at| format!("byte {at} is another one"))?;
    if sum(0, &bytes) == expected { Ok(()) } else { Err("the sum is another one".into()) }
}

/// A mapped file that grows, is written to, read back by the file's own means, and shrinks.
fn file(random: &mut Random) -> Result<(), Fault> {
    let path = std::env::temp_dir().join(format!("soak-{}-{:x}", std::process::id(), random.next()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(fault("a file"))?;
    // From here on it goes with the process.
    std::fs::remove_file(&path).map_err(fault("a file"))?;
    let (seed, len) = (random.next(), 1 + random.magnitude(20));
    let refused = |error: mapalloc::Error| Fault(format!("a mapped file: {error}"));
    file.set_len(1).map_err(fault("a file"))?;
    let mut map: FileMap<ReadWrite> = FileOptions::new().map(&file).map_err(refused)?;
    map.extend_file(&file, len).map_err(refused)?;
    let mut bytes = vec![0; len];
    fill(seed, &mut bytes);
    for piece in (0..len).step_by(10_000) {
        map.write_at(piece, &bytes[piece..len.min(piece + 10_000)]).map_err(refused)?;
    }
    map.flush_async().map_err(refused)?;
    bytes.fill(0);
    file.read_exact_at(&mut bytes, 0).map_err(fault("a file"))?;
    check(seed, &bytes).map_err(|at| Fault(format!("a mapped file of {len} bytes has another byte at {at}")))?;
    map.shrink(len / 2 + 1).map_err(refused)?;
    let mut last = [0];
    map.read_at(len / 2, &mut last).map_err(refused)?;
    if last[0] == bytes[len / 2] { Ok(()) } else { Err(Fault("a map that shrank shows other bytes".into())) }
}
