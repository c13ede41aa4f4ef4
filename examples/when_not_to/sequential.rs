//! One large file from its start to its end, in the page cache and not.

use crate::Scale;
use crate::contest::{Scope, Way, table as contest};
use crate::files::{Folder, evict, sum};
use crate::view::View;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

const LEN: usize = 512 << 20;
const BUFFER: usize = 256 << 10;

pub(crate) fn tables(scale: Scale, folder: &Folder) -> io::Result<String> {
    let len = LEN / scale.divisor;
    let path = folder.file("sequential", len)?;
    let mib = len >> 20;
    let scope = |state: &str| Scope { title: format!("{mib} MiB, {state}"), operations: 1, rounds: scale.rounds };
    let cached = contest(&scope("in the page cache"), ways(&path), || Ok(()))?;
    let mut stayed: f64 = 0.0;
    let cold = contest(&scope("from the device"), ways(&path), || {
        stayed = stayed.max(evict(&path)?);
        Ok(())
    })?;
    let stayed = stayed * 100.0;
    Ok(format!(
        "### One large file, from start to end\n\n{cached}{cold}At most {stayed:.0} % of the file was in memory before a run of \
         the second table.\n\n"
    ))
}

fn ways(path: &Path) -> Vec<Way<'_>> {
    let mut buffer = vec![0; BUFFER];
    let chunks = move || {
        let mut file = File::open(path)?;
        let mut all = 0_u64;
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(all),
                len => all = all.wrapping_add(sum(&buffer[..len])),
            }
        }
    };
    vec![
        Way::new("`read` by 256 KiB", chunks),
        Way::new("`fs::read` of all", move || Ok(sum(&fs::read(path)?))),
        Way::new("mapped", move || Ok(sum(&View::of(&File::open(path)?)?))),
        Way::new("mapped, `MADV_SEQUENTIAL`", move || {
            Ok(sum(&View::of(&File::open(path)?)?.advised(libc::MADV_SEQUENTIAL)?))
        }),
        Way::new("mapped, populated", move || Ok(sum(&View::populated(&File::open(path)?)?))),
    ]
}
