//! Loads here and there in a large anonymous array, each of which waits for the one before: what the address translation
//! costs, with huge pages and without.

use crate::Scale;
use crate::contest::{Scope, Way, table as contest};
use crate::files::Random;
use mapalloc::map::{MapOptions, Mapping};
use mapalloc::observe::Areas;
use std::io;

const SIZES: [usize; 3] = [16 << 20, 256 << 20, 2 << 30];
const LOADS: usize = 4_000_000;

pub(crate) fn table(scale: Scale) -> io::Result<String> {
    let mut text = String::from("### Here and there in a large array\n\n");
    for size in SIZES {
        let len = size / scale.divisor;
        let loads = LOADS / scale.divisor;
        let arrays = [(false, "small pages"), (true, "huge pages")].map(|(huge, name)| {
            let mut array = MapOptions::new().huge_pages(huge).populate(true).map(len)?;
            // Written to, or all of it would be the one page of zeros.
            array.iter_mut().step_by(mapalloc::page_size()).for_each(|byte| *byte = 0);
            let share = Areas::of(&array)?.huge as f64 / array.len() as f64 * 100.0;
            Ok::<_, io::Error>((format!("{name} ({share:.0} % huge)"), array))
        });
        let arrays = arrays.into_iter().collect::<io::Result<Vec<_>>>()?;
        let scope = Scope {
            title: format!("a load in {} MiB", len as f64 / 1048576.0),
            operations: loads,
            rounds: scale.rounds,
        };
        let ways = arrays.iter().map(|(name, array)| Way::new(name, || Ok(chase(array, loads)))).collect();
        text.push_str(&contest(&scope, ways, || Ok(()))?);
    }
    Ok(text)
}

/// So many loads, the address of each from the value of the one before.
fn chase(array: &Mapping, loads: usize) -> u64 {
    let (words, _) = array.as_chunks::<8>();
    // The sizes are powers of two.
    let mask = words.len() - 1;
    let mut random = Random(1);
    let mut last = 0;
    for _ in 0..loads {
        random.0 = random.0.wrapping_add(last);
        last = u64::from_ne_bytes(words[random.next() as usize & mask]);
    }
    random.0
}
