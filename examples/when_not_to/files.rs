//! Files to read: made in a folder of their own, put out of the page cache, removed at the end.

use crate::view::View;
use mapalloc::observe::Residency;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("when-not-to-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A file of `len` bytes that are not zero, on the device.
    pub(crate) fn file(&self, name: &str, len: usize) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = File::create(&path)?;
        let mut random = Random(len as u64);
        let mut left = len;
        let mut chunk = vec![0; 1 << 20];
        while left > 0 {
            let part = left.min(chunk.len());
            chunk[..part]
                .chunks_mut(8)
                .for_each(|word| word.copy_from_slice(&random.next().to_ne_bytes()[..word.len()]));
            file.write_all(&chunk[..part])?;
            left -= part;
        }
        file.sync_all()?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("when_not_to: {} is left: {error}", self.0.display());
        }
    }
}

/// Asks the kernel to forget a file, and returns the share of it that stayed in memory.
pub(crate) fn evict(path: &Path) -> io::Result<f64> {
    let file = File::open(path)?;
    // SAFETY: a call on a descriptor that is open; no memory of this process is touched.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => {
            let view = View::of(&file)?;
            let residency = Residency::of(&view)?;
            Ok(residency.resident_pages() as f64 / residency.pages() as f64)
        }
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The sum of the words, which takes every byte and little time.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().fold(0, |sum, &word| sum.wrapping_add(u64::from_ne_bytes(word)))
}

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
