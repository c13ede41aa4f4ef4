//! Reads and writes by io_uring, several at a time, between a file and buffers that the kernel knows beforehand.
//!
//! Registered buffers are pinned and mapped by the kernel once, and not at every read and write. They count as locked memory
//! (`RLIMIT_MEMLOCK`); where that is refused the ring goes on with the same buffers unregistered.
//!
//! # Invariants
//! * **R1** A buffer whose request the kernel has, from its submission to its completion, is not touched, moved or freed.
//!   `busy` marks it from when it is queued, and between two transfers none is.
//! * **R2** The length of every buffer is `len`, and its pages stay where they are, since it is never grown.

use super::frames::{Frame, Frames};
use io_uring::{IoUring, opcode, types};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::abort;

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A ring with its buffers.
pub(crate) struct Ring<'p> {
    ring: IoUring,
    buffers: Vec<Frame<'p>>,
    busy: Vec<bool>,
    len: usize,
    /// Why the buffers are not registered.
    refusal: Option<io::Error>,
}

impl<'p> Ring<'p> {
    /// A ring for `depth` requests at a time, each with a frame of the pool. It is an error if the kernel has no io_uring, or
    /// forbids it.
    pub(crate) fn new(frames: &'p Frames, depth: u16) -> io::Result<Self> {
        let ring = IoUring::new(depth.into())?;
        let buffers: Vec<_> = (0..depth).map(|_| frames.take()).collect::<Result<_, _>>().map_err(io::Error::other)?;
        let mut this = Self { ring, busy: vec![false; buffers.len()], len: buffers[0].len(), buffers, refusal: None };
        let slices: Vec<_> = (this.buffers.iter_mut())
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
            .collect();
        // SAFETY: the buffers stay where they are (R2), and the ring, with its registrations, is gone before they are.
        this.refusal = unsafe { this.ring.submitter().register_buffers(&slices) }.err();
        Ok(this)
    }

    /// Why the kernel refused to register the buffers, if it did.
    pub(crate) fn refusal(&self) -> Option<&io::Error> {
        self.refusal.as_ref()
    }

    /// Reads or writes `blocks` blocks of the buffers' length from the start of the file on. `visit` is given each block's
    /// number and bytes, to fill before they are written, or to look at when they are read, in any order.
    pub(crate) fn transfer(
        &mut self,
        file: &File,
        direction: Direction,
        blocks: u64,
        mut visit: impl FnMut(u64, &mut [u8]),
    ) -> io::Result<()> {
        let mut numbers = vec![0; self.buffers.len()];
        let (mut started, mut finished) = (0, 0);
        // However this ends, by an error or a panic of `visit` too, the kernel is done with the buffers and the file.
        let drained = Drained(self);
        let ring = &mut *drained.0;
        while finished < blocks {
            while started < blocks
                && let Some(buffer) = ring.busy.iter().position(|&busy| !busy)
            {
                if direction == Direction::Write {
                    visit(started, &mut ring.buffers[buffer]);
                }
                numbers[buffer] = started;
                ring.start(file, direction, started, buffer);
                started += 1;
            }
            for (buffer, result) in ring.wait()? {
                if result? != ring.len {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if direction == Direction::Read {
                    visit(numbers[buffer], &mut ring.buffers[buffer]);
                }
                finished += 1;
            }
        }
        Ok(())
    }

    /// Queues the request for a block with a buffer that is not busy.
    fn start(&mut self, file: &File, direction: Direction, block: u64, buffer: usize) {
        let (fd, at) = (types::Fd(file.as_raw_fd()), block * self.len as u64);
        let (bytes, len, index) = (self.buffers[buffer].as_mut_ptr(), self.len as u32, buffer as u16);
        let entry = match (direction, self.refusal.is_none()) {
            (Direction::Read, true) => opcode::ReadFixed::new(fd, bytes, len, index).offset(at).build(),
            (Direction::Read, false) => opcode::Read::new(fd, bytes, len).offset(at).build(),
            (Direction::Write, true) => opcode::WriteFixed::new(fd, bytes, len, index).offset(at).build(),
            (Direction::Write, false) => opcode::Write::new(fd, bytes, len).offset(at).build(),
        };
        self.busy[buffer] = true;
        // SAFETY: the buffer is as long as the request says (R2), and busy until the completion (R1). `transfer` borrows the
        // file, and does not return before that.
        let queued = unsafe { self.ring.submission().push(&entry.user_data(buffer as u64)) };
        queued.expect("there is an entry for each buffer");
    }

    /// Submits what is queued and waits for at least one completion; the buffers that are done, with the bytes of each.
    fn wait(&mut self) -> io::Result<Vec<(usize, io::Result<usize>)>> {
        while let Err(error) = self.ring.submit_and_wait(1) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let done = self.ring.completion().map(|entry| {
            let bytes = entry.result();
            let bytes = usize::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(-bytes));
            (entry.user_data() as usize, bytes)
        });
        let done: Vec<_> = done.collect();
        for &(buffer, _) in &done {
            self.busy[buffer] = false;
        }
        Ok(done)
    }
}

/// Waits, when it is dropped, until no buffer is busy.
struct Drained<'r, 'p>(&'r mut Ring<'p>);

impl Drop for Drained<'_, '_> {
    fn drop(&mut self) {
        while self.0.busy.contains(&true) {
            if let Err(error) = self.0.wait() {
                // The kernel may go on to write to the buffers, which can then be neither used nor freed.
                eprintln!("requests cannot be waited for: {error}");
                abort();
            }
        }
    }
}
