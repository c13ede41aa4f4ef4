//! Many small files, each opened, read whole and closed; all are in the page cache.

use crate::Scale;
use crate::contest::{Scope, Way, table as contest};
use crate::files::{Folder, sum};
use crate::view::View;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

const SIZES: [(usize, &str); 4] =
    [(4 << 10, "4 KiB"), (16 << 10, "16 KiB"), (128 << 10, "128 KiB"), (1 << 20, "1 MiB")];

/// All files of a size together, and the most files.
const TOTAL: usize = 128 << 20;
const MOST: usize = 4000;

pub(crate) fn table(scale: Scale, folder: &Folder) -> io::Result<String> {
    let mut text = String::from("### Many small files\n\n");
    for (size, name) in SIZES {
        let count = (TOTAL / size).min(MOST).div_ceil(scale.divisor);
        let files: Vec<_> =
            (0..count).map(|n| folder.file(&format!("small-{size}-{n}"), size)).collect::<io::Result<_>>()?;
        let scope = Scope { title: format!("a file of {name}"), operations: count, rounds: scale.rounds };
        let each = |read: &mut dyn FnMut(&PathBuf) -> io::Result<u64>| {
            files.iter().try_fold(0_u64, |all, path| Ok(all.wrapping_add(read(path)?)))
        };
        let mut buffer = vec![0; size];
        let ways = vec![
            Way::new("`read` into one buffer", || {
                each(&mut |path| {
                    File::open(path)?.read_exact(&mut buffer)?;
                    Ok(sum(&buffer))
                })
            }),
            Way::new("`fs::read`, a `Vec` each", || each(&mut |path| Ok(sum(&fs::read(path)?)))),
            Way::new("mapped", || each(&mut |path| Ok(sum(&View::of(&File::open(path)?)?)))),
            Way::new("mapped, populated", || each(&mut |path| Ok(sum(&View::populated(&File::open(path)?)?)))),
        ];
        text.push_str(&contest(&scope, ways, || Ok(()))?);
    }
    Ok(text)
}
