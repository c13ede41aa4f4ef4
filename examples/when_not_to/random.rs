//! Records of 4 KiB here and there in one large file, in the page cache and not.

use crate::Scale;
use crate::contest::{Scope, Way, table as contest};
use crate::files::{Folder, Random, evict, sum};
use crate::view::View;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

const LEN: usize = 1 << 30;
const RECORD: usize = 4 << 10;

/// Records that are read in a run: from the page cache, and from the device.
const CACHED: usize = 200_000;
const COLD: usize = 4_000;

pub(crate) fn tables(scale: Scale, folder: &Folder) -> io::Result<String> {
    let len = LEN / scale.divisor;
    let path = folder.file("random", len)?;
    let mib = len >> 20;
    let scope = |records, state: &str| Scope {
        title: format!("a record of 4 KiB in {mib} MiB, {state}"),
        operations: records,
        rounds: scale.rounds,
    };
    let places = |count: usize| -> Vec<usize> {
        let mut random = Random(1);
        (0..count / scale.divisor).map(|_| random.below(len / RECORD) * RECORD).collect()
    };

    let (near, far) = (places(CACHED), places(COLD));
    // Seen whole once, so that its page tables are there.
    let kept = View::populated(&File::open(&path)?)?;
    let mut ways = ways(&path, &near);
    ways.push(Way::new("mapped, touched before", || Ok(records(&kept, &near))));
    let cached = contest(&scope(near.len(), "in the page cache"), ways, || Ok(()))?;
    // Pages that somebody has mapped stay in memory.
    drop(kept);

    let mut stayed: f64 = 0.0;
    let cold = contest(&scope(far.len(), "from the device"), self::ways(&path, &far), || {
        stayed = stayed.max(evict(&path)?);
        Ok(())
    })?;
    let stayed = stayed * 100.0;
    Ok(format!(
        "### Here and there in a large file\n\n{cached}{cold}At most {stayed:.0} % of the file was in memory before a run of \
         the second table.\n\n"
    ))
}

fn ways<'a>(path: &'a Path, places: &'a [usize]) -> Vec<Way<'a>> {
    let pread = move |advice: Option<i32>| {
        let file = File::open(path)?;
        if let Some(advice) = advice {
            // SAFETY: a call on a descriptor that is open; no memory of this process is touched.
            let error = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) };
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        let mut record = [0; RECORD];
        places.iter().try_fold(0_u64, |all, &place| {
            file.read_exact_at(&mut record, place as u64)?;
            Ok(all.wrapping_add(sum(&record)))
        })
    };
    vec![
        Way::new("`pread`", move || pread(None)),
        Way::new("`pread`, `POSIX_FADV_RANDOM`", move || pread(Some(libc::POSIX_FADV_RANDOM))),
        Way::new("mapped", move || Ok(records(&View::of(&File::open(path)?)?, places))),
        Way::new("mapped, `MADV_RANDOM`", move || {
            Ok(records(&View::of(&File::open(path)?)?.advised(libc::MADV_RANDOM)?, places))
        }),
    ]
}

fn records(view: &[u8], places: &[usize]) -> u64 {
    places.iter().fold(0, |all, &place| all.wrapping_add(sum(&view[place..place + RECORD])))
}
