//! Whether what the process holds at rest grows.
//!
//! Of each figure the median over the last quarter of the rest points is compared with that over the second quarter. The
//! first quarter is left out: caches fill, arenas are set up. Medians do not mind a rest point at which a thread had not
//! quite gone.

use crate::figures::Figures;

/// A quarter has so many rest points at least.
const FEWEST: usize = 2;

/// A figure and how much more of it may be there at the end: a few times what runs without a leak were seen to vary by.
struct Watched {
    name: &'static str,
    of: fn(&Figures) -> u64,
    slack: u64,
    is_bytes: bool,
}

const WATCHED: [Watched; 6] = [
    Watched { name: "resident memory", of: |f| f.rss, slack: 2 << 20, is_bytes: true },
    Watched { name: "live bytes in the engine", of: |f| f.engine_live, slack: 256 << 10, is_bytes: true },
    Watched { name: "page tables", of: |f| f.page_tables, slack: 512 << 10, is_bytes: true },
    Watched { name: "mappings", of: |f| f.mappings, slack: 16, is_bytes: false },
    Watched { name: "descriptors", of: |f| f.descriptors, slack: 0, is_bytes: false },
    Watched { name: "threads", of: |f| f.threads, slack: 1, is_bytes: false },
];

/// What has become of one figure.
#[derive(Debug)]
pub struct Verdict {
    pub line: String,
    pub drifts: bool,
}

/// The verdicts over the rest points, or how many there are if they are too few.
pub fn judge(rests: &[Figures]) -> Result<Vec<Verdict>, usize> {
    let quarter = rests.len() / 4;
    if quarter < FEWEST {
        return Err(rests.len());
    }
    let judged = WATCHED.iter().map(|watched| {
        let median = |part: &[Figures]| {
            let mut values: Vec<u64> = part.iter().map(watched.of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let (before, after) = (median(&rests[quarter..2 * quarter]), median(&rests[rests.len() - quarter..]));
        let drifts = after > before + watched.slack;
        let show = |value: u64| if watched.is_bytes { format!("{} KiB", value >> 10) } else { value.to_string() };
        let line = format!(
            "{:<26} {:>12} in the second quarter, {:>12} in the last, may grow by {:>9}: {}",
            watched.name,
            show(before),
            show(after),
            show(watched.slack),
            if drifts { "DRIFTS" } else { "steady" }
        );
        Verdict { line, drifts }
    });
    Ok(judged.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drifting(rests: usize, rss: impl Fn(u64) -> u64) -> Vec<bool> {
        let figures = |n| Figures { rss: rss(n), descriptors: 5, mappings: 100, ..Figures::default() };
        let rests: Vec<_> = (0..rests as u64).map(figures).collect();
        judge(&rests).unwrap().iter().map(|verdict| verdict.drifts).collect()
    }

    #[test]
    fn growth_beyond_the_slack_is_noticed_and_less_is_not() {
        assert_eq!(drifting(40, |n| n << 20), [true, false, false, false, false, false]);
        assert_eq!(drifting(40, |n| 100 - n), [false; 6]);
        assert_eq!(drifting(8, |_| 50 << 20), [false; 6]);
        // The start, and single points.
        assert_eq!(drifting(40, |n| if n < 10 { 0 } else { 50 << 20 }), [false; 6]);
        assert_eq!(drifting(40, |n| if n % 10 == 7 { 500 << 20 } else { 50 << 20 }), [false; 6]);
    }

    #[test]
    fn one_descriptor_is_a_drift() {
        let rests: Vec<_> = (0..8).map(|n| Figures { descriptors: 5 + n / 4, ..Figures::default() }).collect();
        assert!(judge(&rests).unwrap()[4].drifts);
    }

    #[test]
    fn few_rest_points_are_no_verdict() {
        assert_eq!(judge(&[Figures::default(); 7]).unwrap_err(), 7);
    }
}
