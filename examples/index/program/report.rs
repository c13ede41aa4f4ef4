//! The words between child and parent, and the report for the reader.

use super::Kind;
use super::children::{Finished, Spread, lines, number};
use super::job::{Outcome, PHASES};
use mapalloc::{RouteStats, Stats};
use std::fmt::Write;
use std::time::Duration;

/// Below this a job is mostly start-up, and its differences mostly noise.
const TOO_SHORT_MS: f64 = 50.0;

/// What a child prints: one `key value` a line, keys as [`compare`] reads them.
pub(crate) fn machine(outcome: &Outcome) -> String {
    let mut text = String::new();
    for line in outcome.answer.lines() {
        _ = writeln!(text, "answer {line}");
    }
    _ = writeln!(text, "total {}", outcome.total.as_secs_f64() * 1e3);
    for (name, time) in PHASES.iter().zip(outcome.phases) {
        _ = writeln!(text, "{name} {}", time.as_secs_f64() * 1e3);
    }
    _ = writeln!(text, "faults {}", outcome.minor_faults);
    for (key, value) in [("peak", outcome.peak_rss_kib), ("final", outcome.final_rss_kib)] {
        if let Some(kib) = value {
            _ = writeln!(text, "{key} {kib}");
        }
    }
    for line in outcome.stats.iter().map(stats_table).collect::<String>().lines() {
        _ = writeln!(text, "stats {line}");
    }
    text
}

/// The report of a single run.
pub(crate) fn single(kind: Kind, outcome: &Outcome) -> String {
    let mut text = outcome.answer.clone();
    let kib = |value: Option<u64>| mib(value.map(|kib| kib as f64));
    _ = writeln!(
        text,
        "\n{}: {:.1} ms, {} minor faults, peak RSS {}, {} after drop",
        kind.label(),
        outcome.total.as_secs_f64() * 1e3,
        outcome.minor_faults,
        kib(outcome.peak_rss_kib),
        kib(outcome.final_rss_kib),
    );
    let phase = |(name, time): (&&str, Duration)| format!("{name} {:.1} ms", time.as_secs_f64() * 1e3);
    let phases: Vec<_> = PHASES.iter().zip(outcome.phases).map(phase).collect();
    _ = writeln!(text, "{}", phases.join(", "));
    if let Some(stats) = &outcome.stats {
        _ = write!(text, "\nStats of {}\n{}", kind.label(), stats_table(stats));
    }
    text
}

/// The report of all runs, the first of each heap first; or which heap did not find what malloc found.
pub(crate) fn compare(runs: &[(Kind, Vec<Finished>)], threads: usize) -> Result<String, String> {
    let answer = |run: &Finished| lines(&run.output, "answer").collect::<Vec<_>>().join("\n");
    let reference = runs.first().and_then(|(_, runs)| runs.first()).map(answer).ok_or("nothing was run")?;
    for (kind, runs) in runs {
        if let Some(other) = runs.iter().map(answer).find(|other| *other != reference) {
            return Err(format!(
                "the answers differ (did the files change meanwhile?)\n--- malloc\n{reference}\n--- {}\n{other}",
                kind.label()
            ));
        }
    }

    let spread = |kind: Kind, key: &str| {
        let of_kind = runs.iter().filter(|(other, _)| *other == kind).flat_map(|(_, runs)| runs);
        Spread::of(of_kind.filter_map(|run| number(&run.output, key)).collect())
    };
    let median = |kind, key: &str| spread(kind, key).map(|spread| spread.median);
    let base = median(Kind::Malloc, "total").ok_or("a run reported no time")?;
    let rounds = runs.first().map_or(0, |(_, runs)| runs.len());
    let mut text = format!("{reference}\n\nThe job on each heap: median of {rounds} runs, threads: {threads}\n\n");
    let header = ["whole job", "ms", "min..max", "to malloc", "peak RSS", "after drop", "minor faults"];
    let mut table = vec![header.map(String::from).to_vec()];
    for kind in Kind::ALL {
        let time = spread(kind, "total").ok_or("a run reported no time")?;
        table.push(vec![
            kind.label().to_owned(),
            format!("{:.1}", time.median),
            format!("{:.1}..{:.1}", time.min, time.max),
            format!("{:.2} x", time.median / base),
            mib(median(kind, "peak")),
            mib(median(kind, "final")),
            median(kind, "faults").map_or_else(|| "n/a".into(), |faults| format!("{faults:.0}")),
        ]);
    }
    text.push_str(&align(&table));
    if base < TOO_SHORT_MS {
        _ = writeln!(text, "\nThe job is too short to compare times: give a larger directory.");
    }

    let mut header = vec!["phases, ms".to_owned()];
    header.extend(PHASES.map(String::from));
    let mut table = vec![header];
    for kind in Kind::ALL {
        let mut row = vec![kind.label().to_owned()];
        row.extend(PHASES.map(|name| median(kind, name).map_or_else(|| "n/a".into(), |ms| format!("{ms:.1}"))));
        table.push(row);
    }
    text.push('\n');
    text.push_str(&align(&table));
    for (kind, runs) in runs.iter().filter(|(kind, _)| *kind != Kind::Malloc) {
        _ = writeln!(text, "\nStats of {}", kind.label());
        for line in runs.first().iter().flat_map(|run| lines(&run.output, "stats")) {
            _ = writeln!(text, "{line}");
        }
    }
    Ok(text)
}

/// The allocator's own figures, with the index alive and without it.
fn stats_table([living, dropped]: &[Stats; 2]) -> String {
    let size = |bytes: usize| match bytes >> 10 {
        kib @ ..10_000 => format!("{kib} KiB"),
        kib => mib(Some(kib as f64)),
    };
    let route = |route: RouteStats| format!("{} ({})", route.live, size(route.live_bytes));
    let row = |name: &str, value: &dyn Fn(&Stats) -> String| vec![name.to_owned(), value(living), value(dropped)];
    align(&[
        ["", "with the index", "after drop"].map(String::from).to_vec(),
        row("live, fallback", &|stats| route(stats.fallback)),
        row("live, slab", &|stats| route(stats.slab)),
        row("live, run", &|stats| route(stats.run)),
        row("live, large", &|stats| route(stats.large)),
        row("fallback calls", &|stats| stats.fallback_calls.to_string()),
        row("mapped", &|stats| size(stats.mapped_bytes)),
        row("metadata", &|stats| size(stats.metadata_bytes)),
        row("free, resident", &|stats| size(stats.free_resident_bytes)),
    ])
}

fn mib(kib: Option<f64>) -> String {
    kib.map_or_else(|| "n/a".into(), |kib| format!("{:.1} MiB", kib / 1024.0))
}

/// Rows of equal length in columns, the first to the left, the others to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<_> = (0..columns).map(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            _ = if i == 0 { write!(text, "{cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}
