//! Input and output as the standard library has them: errors, a vector that is written to, and the traits that a box has
//! because its value has them.

use crate::boxed::PageBox;
use crate::error::Error;
use crate::vec::PageVec;
use core::fmt::Arguments;
use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

impl Error {
    /// The standard library's word for this kind of error.
    pub fn kind(&self) -> io::ErrorKind {
        match self.raw_os_error() {
            Some(errno) => io::Error::from_raw_os_error(errno).kind(),
            None => io::ErrorKind::InvalidInput,
        }
    }
}

impl From<Error> for io::Error {
    /// Keeps the `errno` where there is one; otherwise the error becomes the payload of an `InvalidInput` error.
    fn from(error: Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::from_raw_os_error(errno),
            None => Self::new(error.kind(), error),
        }
    }
}

/// Writing appends to the vector.
///
/// Where the kernel has no memory for the bytes, the error says so and nothing is written.
impl Write for PageVec<u8> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.try_reserve(bytes.len())?;
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = parts.iter().fold(0, |total: usize, part| total.saturating_add(part.len()));
        self.try_reserve(total)?;
        for part in parts {
            self.extend_from_slice(part);
        }
        Ok(total)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: ?Sized + Read> Read for PageBox<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (**self).read_vectored(buffers)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (**self).read_to_end(buffer)
    }

    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        (**self).read_to_string(buffer)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_exact(buffer)
    }
}

impl<W: ?Sized + Write> Write for PageBox<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (**self).write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).write_all(bytes)
    }

    fn write_fmt(&mut self, arguments: Arguments<'_>) -> io::Result<()> {
        (**self).write_fmt(arguments)
    }
}

impl<S: ?Sized + Seek> Seek for PageBox<S> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (**self).seek(position)
    }

    fn rewind(&mut self) -> io::Result<()> {
        (**self).rewind()
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        (**self).stream_position()
    }

    fn seek_relative(&mut self, offset: i64) -> io::Result<()> {
        (**self).seek_relative(offset)
    }
}

impl<B: ?Sized + BufRead> BufRead for PageBox<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        (**self).fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        (**self).consume(amount);
    }

    fn read_until(&mut self, byte: u8, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (**self).read_until(byte, buffer)
    }

    fn skip_until(&mut self, byte: u8) -> io::Result<usize> {
        (**self).skip_until(byte)
    }

    fn read_line(&mut self, buffer: &mut String) -> io::Result<usize> {
        (**self).read_line(buffer)
    }
}

impl<T: ?Sized + AsFd> AsFd for PageBox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (**self).as_fd()
    }
}

impl<T: ?Sized + AsRawFd> AsRawFd for PageBox<T> {
    fn as_raw_fd(&self) -> RawFd {
        (**self).as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Operation;
    use std::io::Cursor;

    #[test]
    fn an_errno_becomes_that_of_the_standard_error() {
        let error = Error::os(Operation::Map, 8192, libc::ENOMEM);
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENOMEM));
    }

    #[test]
    fn refusals_before_the_kernel_are_invalid_input() {
        let error = Error::out_of_range(Operation::Advise, 4096);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn writing_appends() {
        let mut out = PageVec::new();
        write!(out, "{}-{}", 1, 2).unwrap();
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"c")];
        assert_eq!(out.write_vectored(&parts).unwrap(), 3);
        out.flush().unwrap();
        assert_eq!(out, b"1-2abc");
    }

    #[test]
    fn streams_work_through_the_box() {
        let mut file = PageBox::new(Cursor::new(Vec::new()));
        file.write_all(b"one\ntwo\n").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut line = String::new();
        file.read_line(&mut line).unwrap();
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).unwrap();
        assert_eq!((&*line, &*rest), ("one\n", &b"two\n"[..]));
    }
}
