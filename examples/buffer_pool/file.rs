//! A file of pages, and what is in each: its number, how often it was updated, a payload, and a checksum of all that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A number that no page has.
pub(crate) const NO_PAGE: u64 = u64::MAX;

/// A file whose length is a number of pages of `N` bytes.
pub(crate) struct PageFile<const N: usize> {
    file: File,
    pages: u64,
}

impl<const N: usize> PageFile<N> {
    /// A new file of pages that were never updated.
    pub(crate) fn create(path: &Path, pages: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let this = Self { file, pages };
        let mut bytes = [0; N];
        for page in 0..pages {
            seal(&mut bytes, page, 0);
            this.write(page, &bytes)?;
        }
        Ok(this)
    }

    /// A file that is there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let (len, unit) = (file.metadata()?.len(), N as u64);
        if len == 0 || len % unit != 0 {
            return Err(io::Error::other(format!("{len} bytes are no number of pages of {N}")));
        }
        Ok(Self { file, pages: len / unit })
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    pub(crate) fn read(&self, page: u64, bytes: &mut [u8; N]) -> io::Result<()> {
        self.file.read_exact_at(bytes, page * N as u64)
    }

    pub(crate) fn write(&self, page: u64, bytes: &[u8; N]) -> io::Result<()> {
        self.file.write_all_at(bytes, page * N as u64)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Checks that these are the bytes of this page, and returns how often it was updated.
pub(crate) fn verify<const N: usize>(bytes: &[u8; N], page: u64) -> io::Result<u64> {
    let wrong = |what: String| Err(io::Error::other(format!("page {page}: {what}")));
    let [sum, number, updates] = [0, 1, 2].map(|n| word(bytes, n));
    let expected = checksum(bytes);
    if sum != expected {
        return wrong(format!("the checksum is {sum:#018x}, of the contents it is {expected:#018x}"));
    }
    if number != page {
        return wrong(format!("the contents are those of page {number}"));
    }
    Ok(updates)
}

/// Updates a page that was found right: another payload, and one update more.
pub(crate) fn update<const N: usize>(bytes: &mut [u8; N], payload: u64) {
    let (number, updates) = (word(bytes, 1), word(bytes, 2));
    // Some word behind the header, a different one each time.
    let at = 3 + payload as usize % (N / 8 - 3);
    bytes[8 * at..][..8].copy_from_slice(&payload.to_le_bytes());
    seal(bytes, number, updates + 1);
}

/// Writes the header.
fn seal<const N: usize>(bytes: &mut [u8; N], number: u64, updates: u64) {
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes[16..24].copy_from_slice(&updates.to_le_bytes());
    let sum = checksum(bytes);
    bytes[..8].copy_from_slice(&sum.to_le_bytes());
}

fn word(bytes: &[u8], n: usize) -> u64 {
    let (words, _) = bytes.as_chunks();
    u64::from_le_bytes(words[n])
}

/// Of everything behind the first word. Each word counts by its place too.
fn checksum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words[1..].iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &word| {
        (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    })
}
