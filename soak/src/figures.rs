//! What the process holds, as the kernel and the allocator say.

use crate::forms::Heap;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

/// The figures of a moment, in bytes where they are memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub at: Duration,
    /// After all was freed and purged, with no thread at work.
    pub at_rest: bool,
    pub rss: u64,
    pub mappings: u64,
    pub descriptors: u64,
    pub threads: u64,
    pub page_tables: u64,
    /// The objects as the program knows them.
    pub live: u64,
    /// All allocations as the engine counts them.
    pub engine_live: u64,
    pub engine_free: u64,
    pub engine_mapped: u64,
    pub engine_metadata: u64,
}

pub const HEADINGS: &str = "seconds,at_rest,rss,mappings,descriptors,threads,page_tables,live,engine_live,engine_free,\
engine_mapped,engine_metadata";

impl Figures {
    pub fn row(&self) -> String {
        format!(
            "{:.3},{},{},{},{},{},{},{},{},{},{},{}",
            self.at.as_secs_f64(),
            u8::from(self.at_rest),
            self.rss,
            self.mappings,
            self.descriptors,
            self.threads,
            self.page_tables,
            self.live,
            self.engine_live,
            self.engine_free,
            self.engine_mapped,
            self.engine_metadata
        )
    }
}

/// Reads figures into a buffer that is kept, so that reading is no load of its own.
pub struct Reader {
    text: String,
}

impl Reader {
    pub fn new() -> Self {
        Self { text: String::with_capacity(1 << 20) }
    }

    fn read(&mut self, path: &str) -> io::Result<&str> {
        self.text.clear();
        File::open(path)?.read_to_string(&mut self.text)?;
        Ok(&self.text)
    }

    /// A line of the form `Name:   123 kB` or `Name:  123`.
    fn field(text: &str, name: &str) -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    }

    pub fn now(&mut self, heap: &Heap, at: Duration, at_rest: bool, live: usize) -> io::Result<Figures> {
        let missing = |name: &str| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/self has no {name}"));
        let rollup = Self::field(self.read("/proc/self/smaps_rollup")?, "Rss").ok_or_else(|| missing("Rss"))?;
        let mappings = self.read("/proc/self/maps")?.lines().count() as u64;
        let status = self.read("/proc/self/status")?;
        let page_tables = Self::field(status, "VmPTE").ok_or_else(|| missing("VmPTE"))?;
        let threads = Self::field(status, "Threads").ok_or_else(|| missing("Threads"))?;
        // One of them is the folder's own.
        let descriptors = std::fs::read_dir("/proc/self/fd")?.count() as u64 - 1;
        let stats = heap.stats();
        Ok(Figures {
            at,
            at_rest,
            rss: rollup << 10,
            mappings,
            descriptors,
            threads,
            page_tables: page_tables << 10,
            live: live as u64,
            engine_live: stats.live_bytes() as u64,
            engine_free: stats.free_resident_bytes as u64,
            engine_mapped: stats.mapped_bytes as u64,
            engine_metadata: stats.metadata_bytes as u64,
        })
    }
}
