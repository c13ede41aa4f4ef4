//! What went wrong: one small `Copy` value that names the operation, the size and the cause.
//!
//! Invariant: building, copying, comparing and printing an [`Error`] never touches a heap, so that an error can be
//! reported where memory has run out.

use core::fmt;

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Mapping new pages, [`mmap(2)`](https://man7.org/linux/man-pages/man2/mmap.2.html).
    Map,
    /// Giving pages back, [`munmap(2)`](https://man7.org/linux/man-pages/man2/munmap.2.html).
    Unmap,
    /// Growing or moving a mapping, [`mremap(2)`](https://man7.org/linux/man-pages/man2/mremap.2.html).
    Remap,
    /// Making reserved pages usable, [`mprotect(2)`](https://man7.org/linux/man-pages/man2/mprotect.2.html).
    Commit,
    /// Making guard pages, [`mprotect(2)`](https://man7.org/linux/man-pages/man2/mprotect.2.html).
    Guard,
    /// Locking pages into memory, [`mlock(2)`](https://man7.org/linux/man-pages/man2/mlock.2.html).
    Lock,
    /// Naming pages, [`PR_SET_VMA`](https://man7.org/linux/man-pages/man2/PR_SET_VMA.2const.html).
    Name,
    /// Choosing NUMA nodes, [`mbind(2)`](https://man7.org/linux/man-pages/man2/mbind.2.html).
    Place,
    /// Changing what pages may be used for, [`mprotect(2)`](https://man7.org/linux/man-pages/man2/mprotect.2.html).
    Protect,
    /// Sealing pages, [`mseal`](https://docs.kernel.org/userspace-api/mseal.html).
    Seal,
    /// Making pages that the kernel cannot read,
    /// [`memfd_secret(2)`](https://man7.org/linux/man-pages/man2/memfd_secret.2.html).
    Secret,
    /// Advice to the kernel, [`madvise(2)`](https://man7.org/linux/man-pages/man2/madvise.2.html).
    Advise,
    /// Making a file in memory, or changing its length.
    File,
    /// Asking which pages are in memory, [`mincore(2)`](https://man7.org/linux/man-pages/man2/mincore.2.html).
    Observe,
    /// Asking how long a file is, [`fstat(2)`](https://man7.org/linux/man-pages/man2/fstat.2.html).
    Inspect,
    /// Making a file longer, [`fallocate(2)`](https://man7.org/linux/man-pages/man2/fallocate.2.html).
    Extend,
    /// Handing pages of a file to its storage, [`msync(2)`](https://man7.org/linux/man-pages/man2/msync.2.html).
    Flush,
    /// Copying out of pages of a file or into them,
    /// [`process_vm_readv(2)`](https://man7.org/linux/man-pages/man2/process_vm_readv.2.html).
    Copy,
    /// Computing the size of an allocation.
    Allocate,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Map => "mmap",
            Self::Unmap => "munmap",
            Self::Remap => "mremap",
            Self::Commit => "mprotect",
            Self::Guard => "mprotect for guard pages",
            Self::Lock => "mlock",
            Self::Name => "naming",
            Self::Place => "mbind",
            Self::Protect => "mprotect",
            Self::Seal => "mseal",
            Self::Secret => "memfd_secret",
            Self::Advise => "madvise",
            Self::File => "memory file",
            Self::Observe => "mincore",
            Self::Inspect => "fstat",
            Self::Extend => "fallocate",
            Self::Flush => "msync",
            Self::Copy => "copy",
            Self::Allocate => "allocation",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    Os(i32),
    OutOfRange,
    Capacity,
    Alignment,
    Reservation,
    PastEnd,
    OtherFile,
}

/// The error of every operation on pages: which operation, on how many bytes, and why it failed.
///
/// It holds no heap memory and converts to [`std::io::Error`]. `Display` prints one line such as
/// `mmap of 8192 bytes: Cannot allocate memory (os error 12)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error {
    operation: Operation,
    bytes: usize,
    cause: Cause,
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    pub(crate) const fn os(operation: Operation, bytes: usize, errno: i32) -> Self {
        Self { operation, bytes, cause: Cause::Os(errno) }
    }

    /// A range that is not inside the mapping it was meant for.
    pub(crate) const fn out_of_range(operation: Operation, bytes: usize) -> Self {
        Self { operation, bytes, cause: Cause::OutOfRange }
    }

    /// A size that no address space holds (past `isize::MAX`, or zero where pages are needed).
    pub(crate) const fn capacity(operation: Operation, bytes: usize) -> Self {
        Self { operation, bytes, cause: Cause::Capacity }
    }

    /// An alignment that is not a power of two.
    pub(crate) const fn alignment(operation: Operation, align: usize) -> Self {
        Self { operation, bytes: align, cause: Cause::Alignment }
    }

    /// Room past a reservation whose addresses are not to move.
    pub(crate) const fn reservation(bytes: usize) -> Self {
        Self { operation: Operation::Allocate, bytes, cause: Cause::Reservation }
    }

    /// A range that is not inside the file.
    pub(crate) const fn past_end(operation: Operation, bytes: usize) -> Self {
        Self { operation, bytes, cause: Cause::PastEnd }
    }

    /// A file that is not the one that is mapped.
    pub(crate) const fn other_file(operation: Operation, bytes: usize) -> Self {
        Self { operation, bytes, cause: Cause::OtherFile }
    }

    /// The operation that failed.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The size in bytes that the operation was asked for; for a bad alignment, that alignment.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The `errno` of the system call, or `None` if the request was refused before it reached the kernel.
    pub const fn raw_os_error(&self) -> Option<i32> {
        match self.cause {
            Cause::Os(errno) => Some(errno),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, bytes, cause } = *self;
        let name = operation.name();
        match cause {
            Cause::Os(errno) => {
                let mut buffer = [0; 128];
                let text = crate::sys::error_text(errno, &mut buffer);
                write!(f, "{name} of {bytes} bytes: {text} (os error {errno})")
            }
            Cause::OutOfRange => write!(f, "{name} of {bytes} bytes: the range is outside the mapping"),
            Cause::Capacity => write!(f, "{name} of {bytes} bytes: not a size that can be mapped"),
            Cause::Reservation => write!(f, "{name} of {bytes} bytes: more than is reserved"),
            Cause::PastEnd => write!(f, "{name} of {bytes} bytes: the range is outside the file"),
            Cause::OtherFile => write!(f, "{name} of {bytes} bytes: not the file that is mapped"),
            Cause::Alignment => write!(f, "{name}: alignment {bytes} is not a power of two"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri's own text of an error ends in its number")]
    fn display_names_operation_size_and_errno() {
        let error = Error::os(Operation::Map, 8192, libc::ENOMEM);
        assert_eq!(error.to_string(), "mmap of 8192 bytes: Cannot allocate memory (os error 12)");
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    }

    #[test]
    fn refusals_before_the_kernel_have_no_errno() {
        let error = Error::out_of_range(Operation::Advise, 4096);
        assert_eq!(error.raw_os_error(), None);
        assert_eq!(error.to_string(), "madvise of 4096 bytes: the range is outside the mapping");
        let errors = [Error::past_end(Operation::Map, 5), Error::other_file(Operation::Remap, 5)];
        assert!(errors.iter().all(|error| error.raw_os_error().is_none()));
        assert_eq!(
            errors.map(|error| error.to_string()),
            ["mmap of 5 bytes: the range is outside the file", "mremap of 5 bytes: not the file that is mapped"]
        );
    }

    #[test]
    fn an_error_is_small() {
        assert!(size_of::<Error>() <= 24);
        assert!(size_of::<Result<(), Error>>() <= 24);
    }
}
