//! The example `pages` as its user runs it: what it draws is what must be so, and it goes on where the system refuses.

use mapalloc::page_size;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod example;

const MIB: usize = 1 << 20;

/// Where pictures begin, behind the labels.
const MARGIN: usize = 20;

/// What one run printed and drew.
struct Tour {
    text: String,
    svg: String,
}

impl Tour {
    fn run(name: &str, limits: &str) -> Self {
        let svg = drawing(name);
        let script = format!("{limits} exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(example::program("pages")).args(["--plain", "--svg"]).arg(&svg);
        let output = command.output().expect("a shell");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{:?}\n{text}\n{errors}", output.status);
        let svg = fs::read_to_string(&svg).expect("the drawing");
        Self { text, svg }
    }

    /// The rows of the step whose title has these words, each with its lines.
    fn rows(&self, title: &str) -> Vec<(String, Vec<&str>)> {
        let step =
            self.text.split("\n\n").find(|step| step.trim_start().lines().next().is_some_and(|l| l.contains(title)));
        let step = step.unwrap_or_else(|| panic!("no step {title:?} in\n{}", self.text)).trim_start();
        let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
        for line in step.lines().skip(1) {
            let (label, rest) = line.split_at(MARGIN.min(line.len()));
            if !label.trim().is_empty() {
                rows.push((label.trim().to_owned(), Vec::new()));
            }
            rows.last_mut().expect("a label first").1.push(rest);
        }
        rows
    }

    fn row(&self, title: &str, label: &str) -> Row<'_> {
        let rows = self.rows(title);
        let found = rows.iter().find(|row| row.0 == label);
        Row(found.unwrap_or_else(|| panic!("no row {label:?} of {title:?}: {rows:?}")).1.clone())
    }
}

/// A row's lines: the picture, the counts, the cost, the note.
#[derive(Debug)]
struct Row<'a>(Vec<&'a str>);

impl Row<'_> {
    /// How many pages are of a kind, of how many.
    fn count(&self, kind: &str) -> usize {
        self.number(&format!(" {kind}")).unwrap_or(0)
    }

    fn pages(&self) -> usize {
        let line = self.0.iter().find(|line| line.contains(" a cell")).unwrap_or_else(|| panic!("no counts: {self:?}"));
        let of = line.split(" of ").nth(1).and_then(|rest| rest.split(' ').next());
        of.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number of pages: {self:?}"))
    }

    fn minor(&self) -> usize {
        self.number(" minor").unwrap_or_else(|| panic!("no faults: {self:?}"))
    }

    /// The number before some words, at the start of a line or behind a comma.
    fn number(&self, words: &str) -> Option<usize> {
        self.0
            .iter()
            .flat_map(|line| line.split(" of ").next())
            .flat_map(|line| line.split([',', ';']))
            .find_map(|part| part.trim().strip_suffix(words).and_then(|number| number.parse().ok()))
    }

    fn picture(&self) -> &str {
        self.0[0]
    }
}

/// Where a drawing goes, in a folder that the example has to make.
fn drawing(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pages-{name}"));
    _ = fs::remove_dir_all(&folder);
    folder.join("tour.svg")
}

#[test]
fn what_is_drawn_is_so() {
    let tour = Tour::run("whole", "");
    let used = 16 * MIB / page_size();

    let reserved = tour.row("Reserve 1024 MiB", "mapalloc");
    assert_eq!((reserved.count("reserved"), reserved.pages()), (1024 * MIB / page_size(), 1024 * MIB / page_size()));
    assert_eq!(tour.row("Commit", "mapalloc").count("untouched"), used);

    let half = tour.row("every second page", "mapalloc");
    assert_eq!((half.count("resident"), half.count("untouched"), half.pages()), (used / 2, used / 2, used));
    assert!(half.minor() >= used / 2, "{half:?}");
    assert!(half.picture().chars().all(|cell| cell == '▄'), "{half:?}");
    assert_eq!(tour.row("Touch the others", "mapalloc").count("resident"), used);

    let hole = tour.row("Decommit the middle", "mapalloc");
    assert_eq!((hole.count("resident"), hole.count("untouched")), (used / 2, used / 2));
    assert!(
        hole.picture().starts_with('█') && hole.picture().ends_with('█') && hole.picture().contains('·'),
        "{hole:?}"
    );
    let read = tour.row("reads zero", "mapalloc, read");
    assert!(read.0.contains(&"every byte read was zero"), "{read:?}");
    assert_eq!(tour.row("reads zero", "mapalloc").count("resident"), used);
    let quarter = tour.row("Uncommit", "mapalloc");
    assert_eq!((quarter.count("resident"), quarter.count("reserved")), (used / 4, used / 4 * 3));

    let grown = tour.row("Grow 16 MiB", "mapalloc");
    assert_eq!((grown.count("resident"), grown.pages()), (used, 3 * used));
    assert!(grown.minor() < used / 2, "copied: {grown:?}");
    assert_eq!(tour.row("64 MiB of addresses", "mapalloc").0.last(), Some(&"moved 0 times"));
    assert_eq!(tour.row("Drop 16 MiB", "mapalloc").count("unmapped"), used);
}

#[test]
fn huge_pages_are_as_the_kernel_counts_them() {
    let tour = Tour::run("huge", "");
    for label in ["mapalloc", "populated"] {
        let row = tour.row("Ask for huge pages", label);
        let counted = row.number(" MiB in huge pages").expect("a count");
        // Kernels before 6.7 do not say which pages they are.
        assert!([0, counted].contains(&(row.count("huge") * page_size() / MIB)), "{row:?}");
        assert_eq!(row.count("huge") + row.count("resident"), row.pages(), "{row:?}");
    }
}

#[test]
fn guards_locks_and_read_only_pages_are_seen() {
    let tour = Tour::run("protected", "");
    let guarded = tour.row("Guard pages", "mapalloc");
    assert_eq!((guarded.count("guard"), guarded.count("resident"), guarded.pages()), (8, 56, 64), "{guarded:?}");
    assert!(guarded.picture().starts_with("╳╳╳╳█") && guarded.picture().ends_with("█╳╳╳╳"), "{guarded:?}");
    let read_only = tour.row("Make pages read-only", "mapalloc");
    assert_eq!((read_only.count("read-only"), read_only.pages()), (4 * MIB / page_size(), 4 * MIB / page_size()));
    let locked = tour.row("Lock 4 MiB", "mapalloc");
    let refused = locked.0.iter().any(|line| line.contains("refused: lock"));
    assert_eq!(locked.count("locked"), if refused { 0 } else { locked.pages() }, "{locked:?}");
}

#[test]
fn after_a_fork_exactly_the_written_pages_are_exclusive() {
    let tour = Tour::run("fork", "");
    assert_eq!(tour.row("Fork:", "parent").picture(), "░".repeat(64));
    for process in ["parent", "child"] {
        assert_eq!(tour.row("every fourth page", process).picture(), "█░░░".repeat(16), "{process}");
    }
    assert!(tour.row("every fourth page", "parent").minor() >= 16);
    assert_eq!(tour.row("The child ends", "parent").picture(), "█".repeat(64));
}

#[test]
fn it_goes_on_where_memory_is_refused() {
    // In KiB: less than is reserved at first, enough for the rest.
    let tour = Tour::run("limited", "ulimit -v 600000;");
    for label in ["mapalloc", "malloc"] {
        let row = tour.row("Reserve 1024 MiB", label);
        assert!(row.0.iter().any(|line| line.starts_with("refused: ")), "{row:?}");
    }
    assert_eq!(tour.row("every second page", "mapalloc").count("resident"), 8 * MIB / page_size());
    assert_eq!(tour.row("Drop 16 MiB", "mapalloc").count("unmapped"), 16 * MIB / page_size());
}

#[test]
fn the_drawing_is_well_formed_and_has_every_step() {
    let tour = Tour::run("drawing", "");
    let elements = elements(&tour.svg).unwrap_or_else(|error| panic!("{error}:\n{}", tour.svg));
    assert_eq!(elements.first().map(String::as_str), Some("svg"));
    assert!(elements.iter().filter(|name| *name == "rect").count() > 100, "{elements:?}");
    let titles = tour.text.lines().filter(|line| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok()));
    let titles: Vec<_> = titles.collect();
    assert!(titles.len() >= 15, "{titles:?}");
    for title in titles {
        assert!(tour.svg.contains(&format!(">{title}</text>")), "{title}");
    }
}

#[test]
fn a_drawing_that_cannot_be_written_is_status_3() {
    let output = Command::new(example::program("pages")).args(["--plain", "--svg", "/proc/no/such.svg"]).output();
    let output = output.expect("the example starts");
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&output.stderr).starts_with("pages: cannot write /proc/no/such.svg: "),
        "{output:?}"
    );
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let output = Command::new(example::program("pages")).arg("--no-such-option").output().expect("the example starts");
    assert_eq!(output.status.code(), Some(2));
}

/// The names of a document's elements in their order, if every one is closed, attributes are quoted and text is escaped.
fn elements(mut rest: &str) -> Result<Vec<String>, String> {
    let (mut names, mut open) = (Vec::new(), Vec::new());
    while let Some((text, tag)) = rest.split_once('<') {
        let entities = text.split('&').skip(1);
        if text.contains('>')
            || entities.clone().any(|rest| !["amp;", "lt;", "gt;"].iter().any(|e| rest.starts_with(e)))
        {
            return Err(format!("text that is not escaped: {text:?}"));
        }
        let (tag, after) = tag.split_once('>').ok_or("a tag without an end")?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("{name} is closed and not open"));
            }
            continue;
        }
        let empty = tag.ends_with('/');
        let (name, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag, ""));
        // Outside the quotes are names with an equals sign.
        let parts: Vec<_> = attributes.split('"').collect();
        if parts.len() % 2 == 0 || parts.iter().step_by(2).any(|part| !part.trim().is_empty() && !part.ends_with('=')) {
            return Err(format!("attributes of {name}: {attributes}"));
        }
        names.push(name.to_owned());
        if !empty {
            open.push(name);
        }
    }
    if open.is_empty() && rest.trim().is_empty() { Ok(names) } else { Err(format!("open at the end: {open:?}")) }
}
