//! The example `compare`: that its tables are whole. What is in them is the machine's word.

use std::process::{Command, Output};

mod example;

fn compare(arguments: &[&str]) -> Output {
    Command::new(example::program("compare")).args(arguments).output().expect("the example starts")
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{:?}: {text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_row_has_a_figure_of_every_heap() {
    // The quickest row of each table, by a word that both names have.
    let lines = lines(&compare(&["--rounds=1", "--row=a page in each MiB"]));
    let tables: Vec<&String> = lines.iter().filter(|line| line.starts_with('|')).collect();
    assert_eq!(tables.len(), 6, "two tables of a header, a rule and a row: {lines:#?}");
    for table in tables.chunks(3) {
        let columns = table[0].matches('|').count();
        assert!(table.iter().all(|line| line.matches('|').count() == columns), "{lines:#?}");
    }
    assert!(tables[0].contains("| malloc | PageAlloc::new() | × | .with_small_limit(0) | × |"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("Median of 1 processes each")), "{lines:#?}");
}

#[test]
fn the_rows_have_names_to_choose_them_by() {
    let all = lines(&compare(&["--list"]));
    assert!(all.len() > 10, "{all:#?}");
    let some = lines(&compare(&["--list", "--row=pushed to 512 MiB"]));
    assert_eq!(some, ["global allocator: Vec pushed to 512 MiB", "container: pushed to 512 MiB"]);
}

#[test]
fn a_wrong_command_line_is_status_2() {
    assert_eq!(compare(&["--rounds=0"]).status.code(), Some(2));
    assert_eq!(compare(&["--measure", "0", "0", "99"]).status.code(), Some(2));
}
